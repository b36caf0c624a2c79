/** Rulesets of nftables of any size, as `nft list ruleset` prints them; the same seed gives the same text. */
import { type DockerHost, dockerAddresses, dockerPolicy, kube, random } from "./generate.ts";

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

/** A rule about input of the owner, from the words of iptables. */
function inputRule(rule: string): string {
  const find = (pattern: RegExp): string | undefined => pattern.exec(rule)?.[1];
  const source = find(/-s (\S+)/)?.replace(/\/32$/, "");
  const port = `${find(/-p (\w+)/)} dport ${find(/--dport (\d+)/)}`;
  const verdict = find(/-j (\w+)/)!.toLowerCase();
  return `${source === undefined ? "" : `ip saddr ${source} `}${port} ${verdict}`;
}

/**
 * The host of `dockerHost` with forward policy ACCEPT, in nftables: the owner's table, and Docker 29's with the drops of direct
 * access that Docker 20.10 does not have.
 */
export function dockerHostNft(
  ports: number,
  rules = 300,
  seed = 4,
): Omit<DockerHost, "save"> & { readonly nft: string } {
  const { bridges, published, user, allowed } = dockerPolicy(random(seed), ports, rules);
  const chain = (name: string, lines: readonly string[]): string =>
    `\tchain ${name} {\n${lines.map((line) => `\t\t${line}\n`).join("")}\t}\n`;
  const jumps = (map: string, target: string): string =>
    `\tmap ${map} {\n\t\ttype ifname : verdict\n\t\telements = { ${bridges.map(({ name }) => `"${name}" : jump ${target}__${name}`).join(",\n\t\t\t     ")} }\n\t}\n`;
  const endpoints = new Map(published.map((port) => [port.ip, port.bridge]));
  const owner = [
    chain("input", [
      "type filter hook input priority filter; policy drop;",
      'iifname "lo" accept',
      "ct state vmap { invalid : drop, established : accept, related : accept }",
      "icmp type echo-request accept",
      "udp sport 67 udp dport 68 accept",
      "ip daddr 224.0.0.251 udp dport 5353 accept",
      ...user.map(inputRule),
    ]),
    chain("forward", ["type filter hook forward priority filter; policy accept;"]),
    chain("output", ["type filter hook output priority filter; policy accept;"]),
  ];
  const docker = [
    jumps("filter-forward-in-jumps", "filter-forward-in"),
    jumps("filter-forward-out-jumps", "filter-forward-out"),
    jumps("nat-postrouting-out-jumps", "nat-postrouting-out"),
    chain("filter-FORWARD", [
      "type filter hook forward priority filter; policy accept;",
      "oifname vmap @filter-forward-in-jumps",
      "iifname vmap @filter-forward-out-jumps",
    ]),
    chain("nat-OUTPUT", [
      "type nat hook output priority dstnat; policy accept;",
      "ip daddr != 127.0.0.0/8 fib daddr type local counter packets 0 bytes 0 jump nat-prerouting-and-output",
    ]),
    chain("nat-POSTROUTING", [
      "type nat hook postrouting priority srcnat; policy accept;",
      "iifname vmap @nat-postrouting-out-jumps",
    ]),
    chain("nat-PREROUTING", [
      "type nat hook prerouting priority dstnat; policy accept;",
      "fib daddr type local counter packets 0 bytes 0 jump nat-prerouting-and-output",
    ]),
    chain(
      "nat-prerouting-and-output",
      published.map(
        ({ port, proto, to, ip, bridge, local }) =>
          `iifname != "${bridge}" ${local ? "ip daddr 127.0.0.1 " : ""}${proto} dport ${port} counter packets 0 bytes 0 dnat to ${ip}:${to} comment "DNAT"`,
      ),
    ),
    chain("raw-PREROUTING", [
      "type filter hook prerouting priority raw; policy accept;",
      ...[...endpoints].map(
        ([ip, bridge]) =>
          `ip daddr ${ip} iifname != "${bridge}" counter packets 0 bytes 0 drop comment "DROP DIRECT ACCESS"`,
      ),
    ]),
    ...bridges.flatMap(({ name, net }) => [
      chain(`filter-forward-in__${name}`, [
        "ct state established,related counter packets 0 bytes 0 accept",
        `iifname "${name}" counter packets 0 bytes 0 accept comment "ICC"`,
        ...published
          .filter(({ bridge }) => bridge === name)
          .map(({ ip, proto, to }) => `ip daddr ${ip} ${proto} dport ${to} counter packets 0 bytes 0 accept`),
        'counter packets 0 bytes 0 drop comment "UNPUBLISHED PORT DROP"',
      ]),
      chain(`filter-forward-out__${name}`, [
        "ct state established,related counter packets 0 bytes 0 accept",
        'counter packets 0 bytes 0 accept comment "OUTGOING"',
      ]),
      chain(`nat-postrouting-out__${name}`, [
        `oifname != "${name}" ip saddr ${net} counter packets 0 bytes 0 masquerade comment "MASQUERADE"`,
      ]),
    ]),
  ];
  return {
    ...dockerAddresses(bridges),
    findings: published.filter(({ port }) => !allowed.has(port)).length,
    nft: `table inet firewall {\n${owner.join("\n")}}\ntable ip docker-bridges {\n${docker.join("\n")}}\n`,
  };
}
