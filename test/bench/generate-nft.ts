/** Rulesets of nftables of any size, as `nft list ruleset` prints them; the same seed gives the same text. */
import { kube, random } from "./generate.ts";

/** One rule of a dump in the words of nft; rules of kube-proxy only. */
function translated(rule: string): string {
  const words: string[] = [];
  const comment = /--comment "([^"]*)"/.exec(rule)?.[1];
  const find = (pattern: RegExp): string | undefined => pattern.exec(rule)?.[1];
  const proto = find(/ -p (\w+)/);
  const negated = / ! -s /.test(rule);
  const source = find(/ -s (\S+)/);
  const destination = find(/ -d (\S+)/);
  const port = find(/--dport (\d+)/);
  const host = (prefix: string): string => prefix.replace(/\/32$/, "");
  if (source !== undefined) words.push(`ip saddr ${negated ? "!= " : ""}${host(source)}`);
  if (destination !== undefined) words.push(`ip daddr ${host(destination)}`);
  if (port !== undefined) words.push(`${proto} dport ${port}`);
  else if (proto !== undefined) words.push(`meta l4proto ${proto}`);
  if (/--probability/.test(rule)) words.push("numgen random mod 100 < 50");
  if (/addrtype/.test(rule)) words.push("fib daddr type local");
  if (/! --mark/.test(rule)) words.push("meta mark & 0x00004000 != 0x00004000");
  words.push("counter packets 0 bytes 0");
  const to = find(/--to-destination (\S+)/);
  const target = find(/ -j (\S+)/)!;
  if (to !== undefined) words.push(`dnat to ${to}`);
  else if (target === "MARK")
    words.push(
      /0x0$/.test(rule) ? "meta mark set meta mark & 0xffffbfff" : "meta mark set meta mark | 0x00004000",
    );
  else if (target === "MASQUERADE") words.push("masquerade fully-random");
  else if (target === "RETURN") words.push("return");
  else words.push(`jump ${target}`);
  if (comment !== undefined) words.push(`comment "${comment}"`);
  return words.join(" ");
}

const HOOKS: Readonly<Record<string, string>> = {
  PREROUTING: "type nat hook prerouting priority dstnat; policy accept;",
  INPUT: "type nat hook input priority 100; policy accept;",
  OUTPUT: "type nat hook output priority -100; policy accept;",
  POSTROUTING: "type nat hook postrouting priority srcnat; policy accept;",
};

/** The rules of kube-proxy in iptables mode, translated. */
export function kubeNft(size: number): string {
  const chains = new Map<string, string[]>();
  for (const line of kube(size).split("\n")) {
    const [, declared] = /^:(\S+)/.exec(line) ?? [];
    const [, chain, rule] = /^\S+ -A (\S+)(.*)$/.exec(line) ?? [];
    if (declared !== undefined) chains.set(declared, []);
    else if (chain !== undefined) chains.get(chain)!.push(translated(` ${rule}`));
  }
  const blocks = [...chains].map(([name, rules]) => {
    const base = HOOKS[name];
    const lines = [...(base === undefined ? [] : [base]), ...rules].map((line) => `\t\t${line}\n`);
    return `\tchain ${name} {\n${lines.join("")}\t}\n`;
  });
  return `table ip kube-proxy {\n${blocks.join("\n")}}\n`;
}

/** A set of so many addresses, and one rule that drops their packets. */
export function bigSet(size: number, seed = 3): string {
  const r = random(seed);
  const addresses = new Set<string>();
  while (addresses.size < size) addresses.add(`${1 + r(223)}.${r(256)}.${r(256)}.${r(256)}`);
  const lines: string[] = [];
  const list = [...addresses];
  for (let i = 0; i < list.length; i += 2) lines.push(list.slice(i, i + 2).join(", "));
  return [
    "table inet blocked {",
    "\tset banned {\n\t\ttype ipv4_addr",
    `\t\telements = { ${lines.join(",\n\t\t\t     ")} }\n\t}\n`,
    "\tchain input {\n\t\ttype filter hook input priority filter; policy accept;",
    "\t\tip saddr @banned drop\n\t}\n}\n",
  ].join("\n");
}

/** A rule for each address, which no packet of the bench has: once for iptables, once for nft. */
export function linearRules(size: number): { readonly iptables: string; readonly nft: string } {
  const addresses = Array.from(
    { length: size },
    (_, i) => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`,
  );
  return {
    iptables: [
      "*filter",
      ":INPUT ACCEPT [0:0]",
      ":FORWARD ACCEPT [0:0]",
      ":OUTPUT ACCEPT [0:0]",
      ...addresses.map((address) => `-A INPUT -s ${address}/32 -p tcp -m tcp --dport 22 -j DROP`),
      "COMMIT\n",
    ].join("\n"),
    nft: [
      "table ip filter2 {",
      "\tchain input {\n\t\ttype filter hook input priority filter; policy accept;",
      ...addresses.map((address) => `\t\tip saddr ${address} tcp dport 22 drop`),
      "\t}\n}\n",
    ].join("\n"),
  };
}

/** A verdict map by address and port and a set of addresses, each of so many elements, as one filter at input. */
export function mapsAndSets(
  size: number,
  seed = 4,
): { readonly text: string; readonly addresses: readonly number[] } {
  const r = random(seed);
  const numbers = new Set<number>();
  while (numbers.size < size) numbers.add(((1 + r(223)) << 24) | r(1 << 24));
  const addresses = [...numbers].map((n) => n >>> 0);
  const dotted = (n: number): string => [n >>> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255].join(".");
  const elements = addresses.map((n, i) => `${dotted(n)} : ${["drop", "accept", "jump other"][i % 3]}`);
  const text = [
    "table inet maps {",
    `\tmap verdicts {\n\t\ttype ipv4_addr : verdict\n\t\telements = { ${elements.join(",\n\t\t\t     ")} }\n\t}\n`,
    `\tset hosts {\n\t\ttype ipv4_addr\n\t\telements = { ${addresses.map((n) => dotted((n ^ 0x0100) >>> 0)).join(",\n\t\t\t     ")} }\n\t}\n`,
    "\tchain other {\n\t\ttcp dport { 22, 80, 443 } accept\n\t\tdrop\n\t}\n",
    "\tchain input {\n\t\ttype filter hook input priority filter; policy accept;",
    "\t\tip saddr vmap @verdicts\n\t\tip saddr @hosts drop\n\t}\n}\n",
  ].join("\n");
  return { text, addresses };
}
