/** Tells what a file is from its contents, so that a folder of files can be given as it lies. */
import { arrays, list, property } from "./sources/json.ts";
import { listsSockets } from "./sources/ss.ts";

/** What a file can be: each is an option of `HostSources`, `rules` the dump itself. */
export type Kind = "rules" | "addr" | "route" | "rule" | "docker" | "ipset" | "sysctl" | "listening";

/**
 * Tells by its contents what a file is.
 * @returns what program printed the text, or `undefined` when it is none that fwcheck reads
 */
export function kindOf(text: string): Kind | undefined {
  const start = text.trimStart();
  if ((start.startsWith("[") && !/^\[\d+:\d+\]/.test(start)) || start.startsWith("{")) return jsonKind(start);
  if (/^\*(raw|mangle|nat|filter|security)\s*$/m.test(text)) return "rules";
  if (/^(create|add) \S+ /m.test(text)) return "ipset";
  if (/^(net|kernel|vm)[./]\S+\s*=/m.test(text)) return "sysctl";
  if (listsSockets(text)) return "listening";
  return undefined;
}

function jsonKind(text: string): Kind | undefined {
  let entries: unknown[];
  try {
    entries = arrays(text);
  } catch {
    return undefined;
  }
  const [first] = entries;
  const docker = [
    "NetworkSettings",
    "IPAM",
    "DockerRootDir",
    "firewall-backend",
    "userland-proxy",
    "iptables",
  ];
  if (docker.some((key) => property(first, key) !== undefined)) return "docker";
  if (property(first, "priority") !== undefined) return "rule";
  if (property(first, "dst") !== undefined) return "route";
  if (entries.some((entry) => list(property(entry, "addr_info")).length > 0)) return "addr";
  return undefined;
}
