/** Result files of captures with nftables: the connections that clients opened. */

/** One line of a result file. */
export interface ResultLine {
  /** Section of the file: `fix by conntrack`; `""` before the first. */
  readonly section: string;
  readonly label: string;
  readonly value: string;
}

/** Parses a result file: `LABEL VALUE` lines, and headings `== SECTION (...)`. */
export function resultLines(text: string): readonly ResultLine[] {
  let section = "";
  return text.split("\n").flatMap((line) => {
    const heading = /^== (.*?)(?: \(.*)?$/.exec(line);
    if (heading !== null) section = heading[1]!;
    const result = /^\s*(\S.*?)\s+(\S+)$/.exec(line);
    const note = line.startsWith("#") || / = works/.test(line);
    if (heading !== null || note || result === null) return [];
    const tables = /^\s*(.*?: tables(?: left)?)\s(.*?)\s*$/.exec(line);
    const [, label, value] = tables ?? result;
    return [{ section, label: label!, value: value! }];
  });
}

/** Values of a connection that was answered: an HTTP status, a success, or the echoed text. */
export const answered = (value: string): boolean => ["200", "404", "1", "ping1"].includes(value);
