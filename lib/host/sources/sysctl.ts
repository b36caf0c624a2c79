/** `sysctl -a`: lines of `name = value`. */
export function readSysctls(source: string): Map<string, string> {
  const out = new Map<string, string>();
  for (const line of source.split(/\r?\n/)) {
    const at = line.indexOf("=");
    if (at > 0) out.set(line.slice(0, at).trim().replaceAll("/", "."), line.slice(at + 1).trim());
  }
  return out;
}
