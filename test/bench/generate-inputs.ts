/** Hosts that are large in one input: an ipset, routes, interfaces, routing rules, next hops, chains. */
import { type DockerHost, dockerHost, random } from "./generate.ts";

/** Files of a host, by name. */
export type HostFiles = Readonly<Record<string, string>>;

/** Returns the files of a drawn host. */
export const hostFiles = ({ save, addr, route }: DockerHost): HostFiles => ({
  "save.txt": save,
  "addr.json": addr,
  "route.json": route,
});

const dotted = (a: number): string => [a >>> 24, (a >>> 16) & 255, (a >>> 8) & 255, a & 255].join(".");

/** A host of 1,000 published ports and as many rules of its owner as given. */
export const ruleHost = (rules: number): HostFiles => hostFiles(dockerHost(1000, { rules }));

/** Adds chains, and rules in front of those of INPUT, to the table filter. */
const inFront = (host: HostFiles, rules: readonly string[], chains: readonly string[] = []): HostFiles => ({
  ...host,
  "save.txt": host["save.txt"]!.replace(
    ":DOCKER - [0:0]\n",
    (first) => chains.map((name) => `:${name} - [0:0]\n`).join("") + first,
  ).replace(/^\[\d+:\d+\] -A INPUT /m, (first) => rules.map((rule) => `[0:0] ${rule}\n`).join("") + first),
});

/** A host whose INPUT drops the sources of an ipset. */
export function ipsetHost(entries: number): HostFiles {
  const r = random(11);
  const members = Array.from({ length: entries }, () => {
    const address = (1 + r(222)) * 2 ** 24 + r(2 ** 24);
    return r(4) === 0 ? `${dotted(address - (address % 256))}/24` : dotted(address);
  });
  const host = inFront(hostFiles(dockerHost(20)), ["-A INPUT -m set --match-set blocklist src -j DROP"]);
  const create = `create blocklist hash:net family inet hashsize 4096 maxelem ${2 * entries}\n`;
  return { ...host, "ipset.txt": create + members.map((member) => `add blocklist ${member}\n`).join("") };
}

/** A router with routes to networks behind 40 gateways on two interfaces. */
export function routeHost(routes: number): HostFiles {
  const host = hostFiles(dockerHost(20));
  const learned = Array.from({ length: routes }, (_, i) => {
    // Networks of /24 in random order; every fourth follows its neighbour to the same gateway.
    const number = (i * 0x9e3779b1) >>> 10;
    const net = dotted(((20 + (number % 80)) * 2 ** 24 + (number >>> 6) * 256) >>> 0);
    const at = (i >> 2) % 40;
    const dev = at % 2 === 0 ? "eth0" : "eth1";
    return { dst: `${net}/24`, gateway: `${at % 2 === 0 ? "203.0.113" : "10.99.0"}.${2 + at}`, dev };
  });
  const list = [...(JSON.parse(host["route.json"]!) as object[]), ...learned];
  return { ...host, "route.json": JSON.stringify(list) };
}

/** A host with outside interfaces, each with a network. */
export const interfaceHost = (interfaces: number): HostFiles => hostFiles(dockerHost(20, { interfaces }));

/**
 * Routing rules, each a `goto`.
 * @param spread each leads to another rule, else all to that of table main
 */
export function gotoHost(rules: number, spread = false): HostFiles {
  const list = Array.from({ length: rules }, (_, i) => ({
    priority: 100 + i,
    src: dotted((10 * 2 ** 24 + i * 256) >>> 0),
    srclen: 24,
    goto: spread ? Math.min(102 + 2 * i, 99 + rules) : 32_766,
  }));
  const usual = [
    { priority: 0, src: "all", table: "local" },
    { priority: 32766, src: "all", table: "main" },
    { priority: 32767, src: "all", table: "default" },
  ];
  return { ...hostFiles(dockerHost(20)), "rule.json": JSON.stringify([...usual, ...list]) };
}

/** A default route of next hops on as many interfaces. */
export function nextHopHost(hops: number): HostFiles {
  const host = hostFiles(dockerHost(20, { interfaces: hops }));
  const [, ...others] = JSON.parse(host["route.json"]!) as object[];
  const nexthops = Array.from({ length: hops }, (_, i) => ({
    gateway: i < 2 ? ["203.0.113.254", "10.99.0.254"][i]! : `10.${100 + ((i - 2) >> 8)}.${(i - 2) & 255}.254`,
    dev: `eth${i}`,
    weight: 1,
    flags: [],
  }));
  return { ...host, "route.json": JSON.stringify([{ dst: "default", flags: [], nexthops }, ...others]) };
}

/** Chains that call the next two, so that the paths through them are as many as Fibonacci numbers: the calls of each chain. */
const callsOf = (chains: number): { readonly port: number; readonly to: number }[][] =>
  Array.from({ length: chains }, (_, i) =>
    [1, 2]
      .filter((step) => i + step < chains)
      .map((step) => ({ port: 1 + ((i * 7 + step) % 60_000), to: i + step })),
  );

/** A host with such chains of iptables. */
export function callHost(chains: number): HostFiles {
  const names = Array.from({ length: chains }, (_, i) => `call-${i}`);
  const calls = callsOf(chains).flatMap((list, i) =>
    list.map(({ port, to }) => `-A call-${i} -p tcp -m tcp --dport ${port} -j call-${to}`),
  );
  return inFront(hostFiles(dockerHost(20)), ["-A INPUT -j call-0", ...calls], names);
}

/** The same chains in a table of nftables, each after those that it calls. */
export function callRuleset(chains: number): string {
  const bodies = callsOf(chains).map((list, i) => {
    const rules = list.map(({ port, to }) => `    tcp dport ${port} jump call-${to}\n`);
    return `  chain call-${i} {\n${rules.join("")}  }\n`;
  });
  const base = "    type filter hook input priority filter; policy accept;\n    jump call-0\n";
  return `table inet filter {\n${bodies.reverse().join("")}  chain input {\n${base}  }\n}\n`;
}
