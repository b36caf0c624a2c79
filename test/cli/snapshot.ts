/** Builds snapshots, as `fwcheck collect` prints them, from the files of a capture. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const BOUNDARY = "6f0c0f6e-5a0e-4e57-9d0e-0d7a0f3a5b11";

export interface Part {
  readonly kind: string;
  readonly title: string;
  readonly text: string;
  readonly code?: number;
}

export const snapshot = (parts: readonly Part[], end = `${BOUNDARY} done\n`): string =>
  `fwcheck-snapshot 1 ${BOUNDARY}\n${parts
    .map(
      ({ kind, title, text, code = 0 }) =>
        `${BOUNDARY} begin ${kind} ${title}\n${text}\n${BOUNDARY} end ${code}\n`,
    )
    .join("")}${end}`;

const KINDS: Readonly<Record<string, readonly [kind: string, title: string]>> = {
  "addr.json": ["addr", "ip -j addr"],
  "docker-inspect.json": ["docker", "docker inspect, network fields"],
  "docker-network-inspect.json": ["docker", "docker network inspect"],
  "ip6tables-save.txt": ["rules", "ip6tables-save -c"],
  "iptables-save.txt": ["rules", "iptables-save -c"],
  "route4.json": ["route", "ip -j -4 route show table all"],
  "route6.json": ["route", "ip -j -6 route show table all"],
  "nft-tables.txt": ["tables", "nft list tables"],
  "sysctl.txt": ["sysctl", "settings of /proc/sys/net"],
};
/** Returns the parts of a snapshot of a capture: its files, and plausible output of the other programs. */
export function partsOf(folder: string): readonly Part[] {
  const files = readdirSync(folder)
    .filter((name) => Object.hasOwn(KINDS, name))
    .map((name) => ({
      kind: KINDS[name]![0],
      title: KINDS[name]![1],
      text: readFileSync(join(folder, name), "utf8"),
    }));
  const tables = files.flatMap(({ kind, title, text }) =>
    kind !== "rules"
      ? []
      : [...text.matchAll(/^\*(\w+)/gm)].map(
          ([, t]) => `table ${title.startsWith("ip6") ? "ip6" : "ip"} ${t}\n`,
        ),
  );
  const rule = (priority: number, table: string) => ({ priority, src: "all", table });
  const rules = (...list: object[]) => `${JSON.stringify(list)}\n`;
  return [
    ...files,
    ...(files.some(({ kind }) => kind === "tables")
      ? []
      : [{ kind: "tables", title: "nft list tables", text: tables.join("") }]),
    { kind: "expressions", title: "expressions of nft in tables of iptables", text: "" },
    { kind: "ipset", title: "ipset save", text: "" },
    {
      kind: "link",
      title: "ip -d -j link",
      text:
        files
          .find(({ kind }) => kind === "addr")
          ?.text.replaceAll(/"addr_info":\[[^\]]*\]/g, '"addr_info":[]') ?? "",
    },
    {
      kind: "rule",
      title: "ip -j -4 rule",
      text: rules(rule(0, "local"), rule(32766, "main"), rule(32767, "default")),
    },
    { kind: "rule", title: "ip -j -6 rule", text: rules(rule(0, "local"), rule(32766, "main")) },
  ];
}
