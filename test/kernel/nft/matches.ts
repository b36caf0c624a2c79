/** Random matches of nftables: every expression that is modelled exactly, in all forms of comparison. */
import type { Family } from "fwcheck";
import { chance, PORTS, pick, some, whole } from "../generate.ts";
import {
  disjoint,
  isAddress,
  isNamed,
  isOrdered,
  keys,
  type Place,
  type Protocol,
  prefix,
  range,
  type Type,
  value,
  values,
} from "./place.ts";

/** What the rule's other matches say: those of one rule must not contradict each other. */
export interface Theme {
  readonly protocol: Protocol | undefined;
  /** Family of addresses; `undefined` in a table of both where no match needs one. */
  readonly family: Family | undefined;
}

/** Something that can be compared. */
export interface Selector {
  readonly text: string;
  readonly type: Type;
}

const selector = (text: string, type: Type): Selector => ({ text, type });
const hex = (n: number): string => `0x${n.toString(16)}`;
const not = (place: Place, otherwise = ""): string => (chance(place.next, 0.25) ? "!= " : otherwise);

/** Expressions with values that can be put into sets. */
export function selectors(place: Place, { protocol, family }: Theme): Selector[] {
  const out: Selector[] = [
    ...(protocol === undefined ? [selector("meta l4proto", "inet_proto")] : []),
    selector("iifname", "ifname"),
    selector("oifname", "ifname"),
    selector("iifname", "ifname"),
    selector("oifname", "ifname"),
    selector("meta mark", "mark"),
    selector("ct mark", "mark"),
    selector("ct state", "ct_state"),
    selector("meta length", "length"),
    selector("meta pkttype", "pkt_type"),
  ];
  if (family !== undefined) {
    const ip = family === 4 ? "ip" : "ip6";
    const address: Type = family === 4 ? "ipv4_addr" : "ipv6_addr";
    for (let i = 0; i < 2; i++) out.push(selector(`${ip} saddr`, address), selector(`${ip} daddr`, address));
    out.push(
      selector(`ct original ${ip} ${pick(place.next, ["saddr", "daddr"])}`, address),
      selector(`ct reply ${ip} ${pick(place.next, ["saddr", "daddr"])}`, address),
      selector(`${ip} dscp`, "dscp"),
      selector(family === 4 ? "ip ttl" : "ip6 hoplimit", "byte"),
    );
    if (family === 4) out.push(selector("ip length", "length"));
    if (protocol === undefined)
      out.push(selector(family === 4 ? "ip protocol" : "ip6 nexthdr", "inet_proto"));
  }
  if (protocol === "icmp") out.push(...twice(selector("icmp type", "icmp_type")));
  else if (protocol === "icmpv6") out.push(...twice(selector("icmpv6 type", "icmpv6_type")));
  else if (protocol !== undefined)
    out.push(
      ...twice(selector(`${protocol} dport`, "inet_service")),
      selector(`${protocol} sport`, "inet_service"),
    );
  else out.push(selector("th dport", "inet_service"), selector("th sport", "inet_service"));
  if (place.base?.hook !== "output" && place.base?.hook !== "postrouting")
    out.push(selector("ether saddr", "ether_addr"));
  else out.push(selector("meta skuid", "uid"), selector("meta skgid", "uid"));
  return out;
}

const twice = <T>(item: T): T[] => [item, item, item];

/** A comparison of one expression with a value, an interval, a prefix or a set. */
function compared(place: Place, { text, type }: Selector): string {
  const { next } = place;
  const forms: (() => string)[] = [
    () => `${text} ${not(place)}${value(next, type)}`,
    () => `${text} ${not(place)}{ ${values(next, type, 5).join(", ")} }`,
  ];
  if (isNamed(type)) forms.push(() => `${text} ${not(place)}@${place.sets.set([type])}`);
  if (isOrdered(type))
    forms.push(
      () => `${text} ${not(place)}${range(next, type)}`,
      () => `${text} ${not(place)}{ ${disjoint(next, type, 4).join(", ")} }`,
      () => `${text} ${pick(next, ["<", ">", "<=", ">="])} ${value(next, type)}`,
    );
  if (isAddress(type)) {
    const masked = type === "ipv4_addr" ? "& 255.255.0.255 == 10.99.0.2" : "& ::ff == ::2";
    forms.push(
      () => `${text} ${not(place)}${prefix(next, type)}`,
      () => `${text} ${not(place)}${prefix(next, type)}`,
      () => `${text} ${masked}`,
    );
  }
  if (type === "ifname")
    forms.push(
      () => `${text} ${not(place)}${pick(next, ['"eth*"', '"br-*"', '"d*"', '"veth*"'])}`,
      () => `${text} ${not(place)}{ "eth*", ${value(next, type).replace("eth", "br-")} }`,
    );
  if (type === "mark")
    forms.push(
      () =>
        `${text} & ${hex(pick(next, [1, 3, 0xff]))} ${pick(next, ["==", "!="])} ${hex(whole(next, 0, 3))}`,
      () => `${text} & ${hex(pick(next, [0xf, 0xff]))} ${pick(next, ["==", "!="])} ${range(next, "byte")}`,
    );
  return pick(next, forms)();
}

/** A key of several parts in a set. */
function concatenated(place: Place, theme: Theme): string {
  const parts = keyParts(place, theme);
  const types = parts.map((p) => p.type);
  const text = parts.map((p) => p.text).join(" . ");
  // nft 1.0.6 prints `ip dscp >> 2` there.
  if (types.every(isNamed) && !types.includes("dscp") && chance(place.next, 0.5))
    return `${text} ${not(place)}@${place.sets.set(types)}`;
  const intervals = types.some(isOrdered) && chance(place.next, 0.4);
  const elements = keys(place.next, types, intervals, whole(place.next, 1, 5));
  return `${text} ${not(place)}{ ${elements.join(", ")} }`;
}

/** The parts of a key: one to three expressions, each of them once. */
export function keyParts(place: Place, theme: Theme, least = 2): Selector[] {
  const given = selectors(place, theme);
  const parts = new Map<string, Selector>();
  const wanted = whole(place.next, least, 3);
  for (let tries = 0; parts.size < wanted && tries < 20; tries++) {
    const each = pick(place.next, given);
    // nft 1.0.6 prints numbers in the host's order wrong there, and crashes on some.
    if (each.type !== "uid" && each.type !== "length") parts.set(each.text, each);
  }
  return [...parts.values()];
}

const FLAGS = ["fin", "syn", "rst", "psh", "ack", "urg"];
const STATES = ["new", "established", "related", "invalid", "untracked"];

/** All forms of a test of TCP's flags. */
function tcpFlags(place: Place): string {
  const { next } = place;
  const bits = (most: number, by: string): string => some(next, FLAGS, most).join(by);
  const mask = some(next, FLAGS, 4);
  const part = some(next, mask, 2);
  const masked = mask.length === 1 ? mask[0] : `(${mask.join("|")})`;
  const wanted = part.length === 1 ? part[0] : `(${part.join("|")})`;
  const one = pick(next, FLAGS);
  return pick(next, [
    `tcp flags ${pick(next, ["syn", "ack", "rst"])}`,
    `tcp flags ${bits(3, ",")}`,
    `tcp flags == ${bits(2, "|")}`,
    `tcp flags ! ${one}`,
    `tcp flags ! ${bits(2, ",")}`,
    `tcp flags != ${bits(2, ",")}`,
    `tcp flags { syn, ${one === "syn" ? "ack" : one} }`,
    `tcp flags != { syn, syn|ack }`,
    `tcp flags { syn }`,
    `tcp flags & ${masked} ${pick(next, ["==", "!="])} ${wanted}`,
    `tcp flags & ${masked} ${pick(next, ["==", "!="])} ${wanted}`,
    `tcp flags & ${masked} ${pick(next, ["==", "!="])} 0`,
    `tcp flags & (fin|syn|rst|ack) == syn`,
    ...(mask.length === 1
      ? []
      : [
          `tcp flags ${not(place)}${part.join(",")} / ${mask.join(",")}`,
          `tcp flags ${part[0]} / ${mask.join(",")}`,
        ]),
  ]);
}

/** Tests of the bits of a connection's state and status. */
function connection(place: Place, { protocol }: Theme): string {
  const { next } = place;
  const states = (most: number): string[] => some(next, STATES, most);
  const usual = ["dnat", "snat", "seen-reply", "confirmed", "expected", "dying"];
  const status = protocol === "tcp" ? [...usual, "assured"] : usual;
  const one = pick(next, status);
  const other = pick(
    next,
    status.filter((s) => s !== one),
  );
  return pick(next, [
    `ct state ${states(3).join(",")}`,
    `ct state established,related`,
    `ct state != ${states(2).join(",")}`,
    `ct state ! ${pick(next, STATES)}`,
    `ct state { ${states(3).join(", ")} }`,
    `ct state != { ${states(3).join(", ")} }`,
    `ct state & (${states(3).join("|")}) ${pick(next, ["==", "!="])} 0`,
    `ct status ${pick(next, ["dnat", "snat", one])}`,
    `ct status ${one},${other}`,
    `ct status { ${one}, ${other} }`,
    `ct status { dnat }`,
    `ct status != ${pick(next, ["dnat", one])}`,
    `ct status ! ${pick(next, ["dnat", one])}`,
    `ct status & ${one} == ${one}`,
    `ct status & (${one}|${other}) ${pick(next, ["==", "!="])} ${one}`,
    `ct direction ${not(place)}${pick(next, ["original", "reply"])}`,
    // nft 1.0.6 leaves it out of the listing before an expression of the transport header.
    ...(protocol === undefined
      ? [`ct original protocol ${not(place)}${pick(next, ["tcp", "udp"])} meta mark 0-255`]
      : []),
  ]);
}

/** The ports of a connection's tuples; they need the protocol. */
const tuplePorts = (place: Place): string =>
  `ct ${pick(place.next, ["original", "reply"])} ${pick(place.next, ["proto-src", "proto-dst"])} ` +
  pick(place.next, [
    `${not(place)}${pick(place.next, PORTS)}`,
    range(place.next, "inet_service"),
    `${not(place)}{ ${disjoint(place.next, "inet_service", 3).join(", ")} }`,
  ]);

/** Lookups of addresses and routes. */
function fib(place: Place): string {
  const { next, base } = place;
  const types = ["local", "unicast", "broadcast", "multicast", "blackhole", "unreachable"];
  const forms = [
    `fib daddr type ${not(place)}${pick(next, ["local", ...types])}`,
    `fib daddr type local`,
    `fib saddr type ${not(place)}${pick(next, types)}`,
    `fib daddr type { ${some(next, types, 3).join(", ")} }`,
  ];
  const hook = base?.hook;
  if (hook === "prerouting" || hook === "input" || hook === "forward")
    forms.push(`fib ${pick(next, ["daddr", "saddr"])} . iif type ${pick(next, types)}`);
  if (hook === "output" || hook === "postrouting" || hook === "forward")
    forms.push(`fib ${pick(next, ["daddr", "saddr"])} . oif type ${pick(next, types)}`);
  if (hook === "prerouting")
    forms.push(
      "fib saddr . iif oif missing",
      "fib saddr . iif oif != 0",
      "fib saddr . mark . iif oif missing",
      `fib saddr oifname ${not(place)}"eth0"`,
      `fib daddr oifname "docker0"`,
    );
  return pick(next, forms);
}

/** Matches that are neither of a set's type nor of a connection. */
function other(place: Place, { family, protocol }: Theme): string {
  const { next } = place;
  const forms = [
    `meta iifgroup ${not(place)}${pick(next, [0, 1, 2, 3])}`,
    `meta oifgroup ${not(place)}${pick(next, [0, 1, 2, 3])}`,
    `iif ${not(place)}"${pick(next, ["eth0", "eth1", "docker0", "lo"])}"`,
    `oif ${not(place)}"${pick(next, ["eth0", "eth1", "docker0", "lo"])}"`,
    `meta mark ${not(place)}${pick(next, [0, 1, 2])}`,
  ];
  if (place.family === "inet" && family === undefined)
    forms.push(
      `meta nfproto ${not(place)}${pick(next, ["ipv4", "ipv6"])}`,
      `meta protocol ${pick(next, ["ip", "ip6"])}`,
    );
  if (family === 4) forms.push(`ip ecn ${not(place)}${pick(next, ["not-ect", "ect0", "ect1", "ce"])}`);
  if (family === 4)
    forms.push(`ip frag-off & 0x1fff ${pick(next, ["==", "!="])} 0`, `ip version 4`, `ip hdrlength 5`);
  if (family === 6) forms.push(`ip6 version 6`, `ip6 ecn ${not(place)}${pick(next, ["not-ect", "ect0"])}`);
  if (protocol === "icmp")
    forms.push(`icmp code ${not(place)}${range(next, "byte")}`, "icmp code { 0, 1, 3 }");
  if (protocol === "icmpv6") forms.push(`icmpv6 code ${not(place)}${pick(next, [0, 4])}`);
  return pick(next, forms);
}

/** Tests of adjacent fields, in any order: nft 1.0.6 merges these into one. */
function adjacent(place: Place, { family, protocol }: Theme): string {
  const { next } = place;
  const of = (header: string, ...fields: readonly (readonly [name: string, type: Type])[]): Selector[] =>
    fields.map(([name, type]) => selector(`${header} ${name}`, type));
  const pairs: Selector[][] = [];
  if (protocol === "icmp" || protocol === "icmpv6")
    pairs.push(of(protocol, ["type", `${protocol}_type`], ["code", "byte"]));
  else pairs.push(of(protocol ?? "th", ["sport", "inet_service"], ["dport", "inet_service"]));
  if (protocol === "udp") pairs.push(of("udp", ["dport", "inet_service"], ["length", "length"]));
  if (protocol === "tcp") pairs.push(of("tcp", ["flags", "tcp_flag"], ["window", "length"]));
  if (family === 4)
    pairs.push(
      of("ip", ["ttl", "byte"], ["protocol", "inet_proto"]),
      of("ip", ["length", "length"], ["id", "length"]),
    );
  if (family === 6)
    pairs.push(
      of("ip6", ["nexthdr", "inet_proto"], ["hoplimit", "byte"]),
      of("ip6", ["length", "length"], ["nexthdr", "inet_proto"]),
    );
  const tests = pick(next, pairs).map((each) => `${each.text} != ${value(next, each.type)}`);
  if (chance(next, 0.3)) tests.reverse();
  return tests.join(chance(next, 0.2) ? " counter " : " ");
}

/** Matches that the inputs do not determine. */
const UNKNOWN = [
  "limit rate 100000/second burst 100000 packets",
  "limit rate over 100000/second burst 100000 packets",
  "quota over 5 mbytes",
  "numgen inc mod 3 0",
  "numgen random mod 2 0",
  "meta cpu 0",
  "ct bytes > 500",
  "ct original packets > 2",
  "ct expiration > 5",
  "meta random < 1000000",
];

/** A random match. */
export function match(place: Place, theme: Theme): string {
  const { next } = place;
  if (chance(next, 0.02)) return pick(next, UNKNOWN);
  if (chance(next, 0.03)) return adjacent(place, theme);
  const n = next();
  if (theme.protocol === "tcp" && n < 0.15) return tcpFlags(place);
  if (n < 0.3) return connection(place, theme);
  if ((theme.protocol === "tcp" || theme.protocol === "udp") && n < 0.36)
    return `meta l4proto ${theme.protocol} ${tuplePorts(place)}`;
  if (n < 0.42) return place.base === null ? other(place, theme) : fib(place);
  if (n < 0.5) return other(place, theme);
  if (n < 0.62) return concatenated(place, theme);
  return compared(place, pick(next, selectors(place, theme)));
}
