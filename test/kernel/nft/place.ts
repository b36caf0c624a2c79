/** Where a random rule of nftables stands, and the sets of its table. */
import type { Family } from "fwcheck";
import { ADDRESSES, chance, MACS, NEIGHBOURS, PORTS, pick, type Random, some, whole } from "../generate.ts";

export type TableFamily = "ip" | "ip6" | "inet";
export type NftHook = "prerouting" | "input" | "forward" | "output" | "postrouting";
export type Protocol = "tcp" | "udp" | "icmp" | "icmpv6" | "sctp" | "dccp" | "udplite";

/** A rule's place: what it may match, look up and call. */
export interface Place {
  readonly next: Random;
  readonly family: TableFamily;
  /** Family of the lab's packets. */
  readonly packets: Family;
  /** Base chain from which the rule's chain can be reached; `null` for a chain of all of them. */
  readonly base: { readonly hook: NftHook; readonly type: "filter" | "nat" | "route" } | null;
  readonly sets: Sets;
  /** Chains that the rule may call. */
  readonly chains: readonly string[];
  /** nft reads statements that 1.0.6 refuses. */
  readonly modern: boolean;
}

/** Keys of sets by their types. */
export type Type =
  | "ipv4_addr"
  | "ipv6_addr"
  | "inet_service"
  | "inet_proto"
  | "ifname"
  | "mark"
  | "icmp_type"
  | "icmpv6_type"
  | "dscp"
  | "ct_state"
  | "ether_addr"
  | "pkt_type"
  | "byte"
  | "length"
  | "tcp_flag"
  | "uid";

/** Prefixes that do not overlap: maps take no others. */
const PREFIXES = {
  ipv4_addr: [
    "203.0.113.0/29",
    "203.0.113.8/29",
    "10.99.0.0/16",
    "172.17.0.0/16",
    "172.30.0.0/24",
    "8.8.0.0/16",
  ],
  ipv6_addr: [
    "2001:db8:1::/64",
    "2001:db8:99::/64",
    "fd00:17::/64",
    "fd00:30::/65",
    "2606:4700::/32",
    "2001:db8:ffff::/48",
  ],
} as const;
const DEVICES = ["eth0", "eth1", "docker0", "br-app", "lo"];
const NUMBERS: Readonly<Partial<Record<Type, readonly number[]>>> = {
  byte: [1, 2, 63, 64, 65, 255],
  length: [28, 29, 36, 40, 48, 60, 80],
  uid: [0, 99, 1000, 1001],
  mark: [0, 1, 2, 3, 5, 0x10, 0xff],
  inet_service: PORTS,
};
const WORDS: Readonly<Partial<Record<Type, readonly string[]>>> = {
  inet_proto: ["tcp", "udp", "icmp", "ipv6-icmp", "sctp", "47", "esp"],
  ifname: DEVICES.map((name) => `"${name}"`),
  icmp_type: ["echo-request", "echo-reply", "destination-unreachable", "time-exceeded", "13", "42"],
  icmpv6_type: ["echo-request", "echo-reply", "destination-unreachable", "nd-neighbor-solicit", "200"],
  dscp: ["cs0", "cs1", "af11", "af21", "ef", "0x04"],
  ct_state: ["new", "established", "related", "invalid", "untracked"],
  ether_addr: MACS,
  tcp_flag: ["syn", "ack", "rst"],
  pkt_type: ["host", "broadcast", "multicast", "other"],
};

/** A value of a type. */
export function value(next: Random, type: Type): string {
  if (type === "ipv4_addr") return pick(next, ADDRESSES[4]);
  if (type === "ipv6_addr") return pick(next, ADDRESSES[6]);
  const words = WORDS[type];
  return words === undefined ? String(pick(next, NUMBERS[type]!)) : pick(next, words);
}

export const isOrdered = (type: Type): boolean => NUMBERS[type] !== undefined || isAddress(type);
export const isAddress = (type: Type): type is "ipv4_addr" | "ipv6_addr" => /^ipv[46]_addr$/.test(type);

/** Two values in order, joined by `-`. */
export function range(next: Random, type: Type): string {
  if (type === "ipv4_addr" || type === "ipv6_addr") {
    const base =
      type === "ipv4_addr" ? ["203.0.113.", "172.17.0.", "10.99.0."] : ["2001:db8:1::", "fd00:17::"];
    const lo = whole(next, 1, 8);
    const net = pick(next, base);
    return `${net}${lo}-${net}${whole(next, lo + 1, 9)}`;
  }
  const [a, b] = [pick(next, NUMBERS[type]!), pick(next, NUMBERS[type]!)];
  if (a !== b) return `${Math.min(a, b)}-${Math.max(a, b)}`;
  return a === 0 ? "0-3" : `${a - 1}-${a}`;
}

/** A prefix of any length; sometimes a host's. */
export function prefix(next: Random, type: "ipv4_addr" | "ipv6_addr"): string {
  const bits = type === "ipv4_addr" ? [8, 12, 16, 23, 24, 25, 28, 31] : [16, 32, 48, 63, 64, 65, 120];
  return chance(next, 0.5) ? pick(next, PREFIXES[type]) : `${value(next, type)}/${pick(next, bits)}`;
}

/** Values that are different from each other. */
export const values = (next: Random, type: Type, most: number): string[] => [
  ...new Set(Array.from({ length: whole(next, 1, most) }, () => value(next, type))),
];

/** Intervals that do not overlap. */
export function disjoint(next: Random, type: Type, most: number): string[] {
  if (isAddress(type)) return some<string>(next, PREFIXES[type], most);
  const numbers = NUMBERS[type];
  if (numbers === undefined) return values(next, type, most);
  const bounds = [...some(next, numbers, most + 2)].sort((a, b) => a - b);
  const out: string[] = [];
  for (let i = 0; i < bounds.length && out.length < most; i++) {
    const wide = i + 1 < bounds.length && chance(next, 0.5);
    out.push(wide ? `${bounds[i]}-${bounds[i + 1]}` : String(bounds[i]));
    if (wide) i++;
  }
  return out;
}

/** Keys of a set: intervals never overlap, since the kernel refuses such elements. */
export function keys(next: Random, types: readonly Type[], intervals: boolean, most: number): string[] {
  const plain = (type: Type): string => value(next, type);
  if (!intervals) {
    const drawn = Array.from({ length: most }, () => types.map(plain).join(" . "));
    return [...new Set(drawn)];
  }
  const ordered = types.flatMap((type, i) => (isOrdered(type) ? [i] : []));
  const apart = pick(next, ordered);
  const wide = (type: Type): string => {
    if (!isOrdered(type) || chance(next, 0.4)) return value(next, type);
    return isAddress(type) && chance(next, 0.6) ? prefix(next, type) : range(next, type);
  };
  const same = types.map(wide);
  return disjoint(next, types[apart]!, most).map((interval) =>
    types.map((type, i) => (i === apart ? interval : chance(next, 0.3) ? same[i]! : wide(type))).join(" . "),
  );
}

/** Named sets and maps of a table, declared when rules need them. */
export class Sets {
  private readonly lines: string[] = [];
  private readonly names = new Map<string, string[]>();

  constructor(private readonly next: Random) {}

  /** A set of these types; an older one as often as not. */
  set(types: readonly Type[]): string {
    const { next } = this;
    const known = this.names.get(types.join(" . ")) ?? [];
    if (known.length > 0 && chance(next, 0.5)) return pick(next, known);
    const intervals = types.some(isOrdered) && chance(next, 0.5);
    const merge = intervals && types.length === 1;
    const most = whole(next, 1, 6);
    const elements =
      types.length === 1 && !intervals ? values(next, types[0]!, most) : keys(next, types, intervals, most);
    const name = this.declare("set", `type ${types.map(typeName).join(" . ")}`, [
      ...(intervals ? ["flags interval"] : []),
      ...(merge ? ["auto-merge"] : []),
      ...(chance(next, 0.9) ? [`elements = { ${elements.join(", ")} }`] : []),
    ]);
    this.names.set(types.join(" . "), [...known, name]);
    return name;
  }

  /** A map; its elements are `key : data`. */
  map(types: readonly Type[], data: string, elements: readonly string[], intervals: boolean): string {
    return this.declare("map", `type ${types.map(typeName).join(" . ")} : ${data}`, [
      ...(intervals ? ["flags interval"] : []),
      ...(elements.length === 0 ? [] : [`elements = { ${elements.join(", ")} }`]),
    ]);
  }

  private declare(kind: "set" | "map", type: string, more: readonly string[]): string {
    const name = `${kind[0]}${this.lines.length}`;
    this.lines.push(
      [`\t${kind} ${name} {`, `\t\t${type}`, ...more.map((line) => `\t\t${line}`), "\t}"].join("\n"),
    );
    return name;
  }

  get text(): readonly string[] {
    return this.lines;
  }
}

const typeName = (type: Type): string => type;

/** Types that a named set can have: those without a name of their own are used in anonymous sets alone. */
export const isNamed = (type: Type): boolean => type !== "byte" && type !== "length" && type !== "uid";

/** The neighbours of the lab, as an address of each. */
export const neighbour = (next: Random, family: Family): string => pick(next, NEIGHBOURS[family]);
