/**
 * Hosts that could use up time, memory or the JavaScript stack. Each is the host of the README with rules inserted at the
 * start of a chain, or with sets.
 */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { examples } from "../capture.ts";

const BASE = join(examples, "ufw-docker-20.10");
const BASE_RULES = readFileSync(join(BASE, "iptables-save.txt"), "utf8");

/** Additions to the host of the README. */
export interface Extra {
  /** Rules at the start of a chain of table filter, and the chains that they need. */
  readonly chain?: string;
  readonly rules?: readonly string[];
  readonly declares?: readonly string[];
  /** Rules at the start of nat PREROUTING. */
  readonly nat?: readonly string[];
  /** Text of a table nat, mangle or raw. */
  readonly table?: string;
  readonly ipset?: string;
}

/** Writes a host into a folder. */
export function writeHost(folder: string, extra: Extra): void {
  cpSync(BASE, folder, { recursive: true });
  writeFileSync(join(folder, "iptables-save.txt"), rulesOf(extra));
  if (extra.ipset !== undefined) writeFileSync(join(folder, "sets.ipset"), extra.ipset);
}

/** Returns the rules of a host as iptables-save prints them. */
export function rulesOf({
  chain = "DOCKER-USER",
  rules = [],
  declares = [],
  nat = [],
  table = "",
}: Extra): string {
  const lines = BASE_RULES.split("\n");
  const filter = lines.indexOf("*filter");
  const insert = (at: number, more: readonly string[]): void => {
    for (const [i, line] of more.entries()) lines.splice(at + i, 0, line);
  };
  const first = (name: string, from: number): number =>
    lines.findIndex((line, i) => i > from && line.includes(`-A ${name} `));
  if (rules.length > 0) {
    const before = lines.slice(0, first(chain, filter));
    const after = lines.slice(before.length);
    lines.splice(0, lines.length, ...before);
    for (const rule of rules) lines.push(rule);
    for (const line of after) lines.push(line);
    insert(
      lines.findIndex((line, i) => i > filter && line.startsWith(":")),
      declares.map((name) => `:${name} - [0:0]`),
    );
  }
  if (nat.length > 0) insert(first("PREROUTING", lines.indexOf("*nat")), nat);
  return `${table}${lines.join("\n")}`;
}

const times = <T>(n: number, make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i));
const names = (n: number): string[] => times(n, (i) => `c${i}`);

/** Returns chains that all have the same rules, which call the next chain; the last has a different one. */
const calling = (chain: string, n: number, calls: (i: number) => string[], last: string): Extra => ({
  chain,
  declares: names(n),
  rules: [...times(n - 1, calls).flat(), `-A c${n - 1} ${last}`, `-A ${chain} -j c0`],
});

const DROP = "-p tcp -m tcp --dport 9999 -j DROP";
const MARK = "-p tcp -m tcp --dport 9999 -j MARK --set-xmark 0x1/0x1";

export const twice = (chain: string, n: number, last = DROP): Extra =>
  calling(chain, n, (i) => [`-A c${i} -j c${i + 1}`, `-A c${i} -j c${i + 1}`], last);
const twiceUnknown = (chain: string, n: number): Extra =>
  calling(
    chain,
    n,
    (i) => [`-A c${i} -m foo --x ${i} -j c${i + 1}`, `-A c${i} -m bar --y ${i} -j c${i + 1}`],
    DROP,
  );
const twiceGoto = (chain: string, n: number): Extra =>
  calling(
    chain,
    n,
    (i) => [
      `-A c${i} -s 10.0.${i}.0/24 -g c${i + 1}`,
      `-A c${i} -j c${i + 1}`,
      `-A c${i} -d 10.1.${i}.0/24 -j c${i + 1}`,
    ],
    DROP,
  );
export const deep = (chain: string, n: number, last = DROP): Extra =>
  calling(
    chain,
    n,
    (i) => [`-A c${i} -s 10.${i >> 16}.${(i >> 8) & 255}.${i & 255} -j ACCEPT`, `-A c${i} -j c${i + 1}`],
    last,
  );

const opaque = (chain: string, n: number): Extra => ({
  chain,
  rules: times(n, (k) => `-A ${chain} -m foo${k} --bar ${k} -p tcp -j ${k % 3 === 0 ? "ACCEPT" : "DROP"}`),
});
const opaquePorts = (chain: string, n: number): Extra => ({
  chain,
  rules: times(n, (k) => `-A ${chain} -p tcp -m tcp --dport ${k + 7000} -m foo${k} --bar ${k} -j DROP`),
});
/** Unknown matches with networks and ports that overlap. */
const opaqueMixed = (chain: string, n: number): Extra => ({
  chain,
  rules: times(
    n,
    (k) =>
      `-A ${chain} -s 10.${(k / 250) | 0}.${k % 250}.0/24 -p tcp -m tcp --dport ${1 + ((k * 7919) % 60_000)}:65000 -m foo${k} --bar ${k} -j ${k % 3 === 0 ? "ACCEPT" : "DROP"}`,
  ),
});
/** Returns rules that may each set another bit of the mark. */
const opaqueMarks = (chain: string, n: number): Extra => ({
  chain,
  rules: times(n, (k) => {
    const bit = `0x${(2 ** (k % 32)).toString(16)}`;
    return `-A ${chain} -m foo${k} --bar ${k} -j MARK --set-xmark ${bit}/${bit}`;
  }),
});
/** Returns overlapping rules that all set the same bit of the mark. */
const overlappingMarks = (n: number): Extra => ({
  table: `*mangle\n:PREROUTING ACCEPT [0:0]\n${times(
    n,
    (k) =>
      `-A PREROUTING -s 10.0.0.0/${8 + (k % 24)} -p tcp -m tcp --sport ${k}:${k + 2000} -j MARK --set-xmark 0x1/0x1\n`,
  ).join("")}COMMIT\n`,
});
const unknownTranslations = (n: number): Extra => ({
  nat: times(
    n,
    (k) =>
      `-A PREROUTING -m foo${k} --x ${k} -p tcp -j DNAT --to-destination 172.17.0.${(k % 250) + 2}:${(k % 60_000) + 1}`,
  ),
});
const addresses = (chain: string, n: number): Extra => ({
  chain,
  rules: times(n, (k) => `-A ${chain} -s ${10 + (k >> 16)}.${(k >> 8) & 255}.${k & 255}.1/32 -j DROP`),
});
const addressesAndPorts = (chain: string, n: number): Extra => ({
  chain,
  rules: times(
    n,
    (k) =>
      `-A ${chain} -s ${10 + (k >> 16)}.${(k >> 8) & 255}.${k & 255}.1/32 -p tcp -m tcp --dport ${(k % 60_000) + 1} -j ${k % 2 === 0 ? "ACCEPT" : "DROP"}`,
  ),
});
const logs = (chain: string, n: number): Extra => ({
  chain,
  rules: times(n, (k) => `-A ${chain} -m comment --comment ${k} -j LOG`),
});
/** Returns nested lists, which the kernel refuses. */
const lists = (n: number): Extra => ({
  rules: ["-A DOCKER-USER -m set --match-set l0 src -j DROP"],
  ipset: `${times(n, (i) => `create l${i} list:set size 8\n`).join("")}create z hash:ip\nadd z 192.0.2.1\nadd l${n - 1} z\n${times(n - 1, (i) => `add l${i} l${i + 1}\n`).join("")}`,
});

/** Hosts that take some seconds in total. Each is made when it is written: all together have ten million rules. */
export const SMALL: Readonly<Record<string, () => Extra>> = {
  "24 chains that call the next one twice, and may mark packets": () => twice("FORWARD", 24, MARK),
  "2,000 nested chains that mark packets": () => deep("INPUT", 2000, MARK),
  "2,000 unknown matches": () => opaque("DOCKER-USER", 2000),
  "5,000 lists of sets in each other": () => lists(5000),
};

const CHAINS = ["INPUT", "FORWARD", "DOCKER-USER"];

/** Full size; takes about ten minutes. */
export const FULL: Readonly<Record<string, () => Extra>> = Object.fromEntries([
  ...CHAINS.flatMap((chain): [string, () => Extra][] => [
    [`${chain}: 24 chains that call the next one twice`, () => twice(chain, 24)],
    [`${chain}: the same, and mark packets`, () => twice(chain, 24, MARK)],
    [`${chain}: the same by unknown matches`, () => twiceUnknown(chain, 24)],
    [`${chain}: the same, with gotos`, () => twiceGoto(chain, 24)],
    [`${chain}: 2,000 nested chains`, () => deep(chain, 2000)],
    [`${chain}: 20,000 nested chains`, () => deep(chain, 20_000)],
    [`${chain}: 20,000 nested chains that mark packets`, () => deep(chain, 20_000, MARK)],
    [`${chain}: 2,000 unknown matches`, () => opaque(chain, 2000)],
    [`${chain}: 5,000 unknown matches`, () => opaque(chain, 5000)],
    [`${chain}: 5,000 unknown matches with a port each`, () => opaquePorts(chain, 5000)],
    [`${chain}: 2,000 unknown matches with networks and ports that overlap`, () => opaqueMixed(chain, 2000)],
    [`${chain}: 2,000 unknown matches that mark packets`, () => opaqueMarks(chain, 2000)],
    [`${chain}: 1,000,000 addresses`, () => addresses(chain, 1_000_000)],
  ]),
  ["1,000,000 addresses and ports", () => addressesAndPorts("DOCKER-USER", 1_000_000)],
  ["1,000,000 LOG", () => logs("FORWARD", 1_000_000)],
  ["500 rules that overlap and mark packets", () => overlappingMarks(500)],
  ["5,000 unknown translations", () => unknownTranslations(5000)],
  ["5,000 lists of sets in each other", () => lists(5000)],
]);
