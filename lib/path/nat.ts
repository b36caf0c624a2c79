/** Which header a translation gives, as far as it can be foretold (net/netfilter/nf_nat_core.c). */
import { type Host, sysctl } from "../host/host.ts";
import { isInRanges as lies, maskBits, prefixRange } from "../packet/address.ts";
import { type Address, type Family, type Range, tracksPorts } from "../packet/field.ts";
import { ANY, is, within } from "../packet/predicate.ts";
import type { Nat } from "../rules/effect.ts";
import type { Case } from "./decision-list.ts";

/** A new address and port; `null` keeps the old one. */
export interface Header {
  readonly address: Address | null;
  readonly port: number | null;
}

/** What a translation makes of a header. */
export interface Translated extends Header {
  /** Where the kernel chooses among several, which one was taken here, as a sentence; else `null`. */
  readonly choice: string | null;
}

/**
 * The translation of one header.
 * @param old the address and port that are to be replaced
 * @param device the interface whose address MASQUERADE and REDIRECT take: out for the first, in for the second
 * @param source the address it comes from, where it is one: then the hash that spreads a range is worked out
 * @returns `null` when there is nothing to translate to (the interface has no address): the kernel drops the packet
 */
export function translate(
  nat: Nat,
  old: { readonly address: Address; readonly port: number | undefined },
  proto: number,
  device: string,
  towards: Address,
  host: Host,
  family: Family,
  source?: Address,
): Translated | null {
  const choices: string[] = [];
  let address: Address | null = null;
  switch (nat.to.kind) {
    case "keep":
      break;
    case "range":
      address = nat.to.first;
      if (nat.to.first === nat.to.last) break;
      if (source !== undefined)
        address = spread(nat.to.first, nat.to.last, source, towards, nat.persistent === true, nat.side);
      else choices.push("the first of the rule's addresses is taken; the kernel spreads them by a hash");
      break;
    case "netmap": {
      const { address: base, mask } = nat.to;
      address =
        typeof base === "number"
          ? ((base & (mask as number)) | ((old.address as number) & ~(mask as number))) >>> 0
          : (base & (mask as bigint)) | ((old.address as bigint) & ~(mask as bigint));
      break;
    }
    case "interface": {
      if (isNobody(nat, family) && old.address === 0) return { address: null, port: null, choice: null };
      const found = interfaceAddress(host, device, towards, family, nat.side);
      if (found === undefined) return null;
      address = found;
      break;
    }
  }
  let port: number | null = null;
  if (nat.ports !== null && tracksPorts(proto)) {
    const { first, last, base } = nat.ports;
    if (base !== undefined && old.port !== undefined)
      port = first + (((old.port - base) & 0xffff) % (last - first + 1));
    else if (first === last) port = first;
    else if (old.port !== undefined && old.port >= first && old.port <= last && !nat.random) port = old.port;
    else {
      port = first;
      choices.push(`the first of the rule's ports is taken; the kernel chooses one from ${first} to ${last}`);
    }
  } else if (nat.random && tracksPorts(proto))
    choices.push("the port is kept; the rule lets the kernel choose one at random");
  return { address, port, choice: choices.length === 0 ? null : choices.join("; ") };
}

/**
 * The header that a translation gives to every packet alike, `null` for what it keeps.
 * @returns `null` where the host, the packet or the kernel has a say in it
 */
export function fixed({ to, ports }: Nat): Header | null {
  if (to.kind !== "keep" && (to.kind !== "range" || to.first !== to.last)) return null;
  if (ports !== null && (ports.first !== ports.last || ports.base !== undefined)) return null;
  return { address: to.kind === "range" ? to.first : null, port: ports?.first ?? null };
}

/** Whether packets that come from no address, 0.0.0.0, are left alone (nf_nat_masquerade_ipv4). */
export const isNobody = (nat: Nat, family: Family): boolean =>
  family === 4 && nat.to.kind === "interface" && nat.side === "src";

/**
 * The address of a range that a flow gets: a hash of where it comes from and, unless it is to be persistent, where it
 * goes (find_best_ips_proto). Words are hashed as they stand in memory, on a little-endian machine.
 */
function spread(
  first: Address,
  last: Address,
  source: Address,
  towards: Address,
  persistent: boolean,
  side: Nat["side"],
): Address {
  const words = (a: Address): number[] =>
    typeof a === "number"
      ? [swap(a), 0, 0, 0]
      : [96n, 64n, 32n, 0n].map((shift) => swap(Number((a >> shift) & 0xffff_ffffn)));
  const [lo, hi, dst] = [words(first), words(last), words(towards)];
  const six = typeof first === "bigint";
  const top = six ? 3 : 0;
  let hash = jhash(words(source), persistent ? 0 : dst[top]!);
  let whole = false;
  let out = 0n;
  for (let i = 0; i <= top; i++) {
    const least = whole ? 0 : swap(lo[i]!);
    const count = whole ? 0xffff_ffff : swap(hi[i]!) - least + 1;
    const word = (least + Number((BigInt(hash) * BigInt(count)) >> 32n)) >>> 0;
    out = (out << 32n) | BigInt(word);
    if (word !== swap(hi[i]!)) whole = true;
    // A destination is written over while it is hashed.
    if (!persistent) hash = (hash ^ (side === "dst" ? swap(word) : dst[i]!)) >>> 0;
  }
  return six ? out : Number(out);
}

const swap = (n: number): number =>
  (((n & 0xff) << 24) | ((n & 0xff00) << 8) | ((n >>> 8) & 0xff00) | (n >>> 24)) >>> 0;
const rotate = (n: number, by: number): number => (n << by) | (n >>> (32 - by));

/** jhash2 of four words (include/linux/jhash.h). */
function jhash(k: readonly number[], seed: number): number {
  const start = (0xdeadbeef + (4 << 2) + seed) | 0;
  let [a, b, c] = [(start + k[0]!) | 0, (start + k[1]!) | 0, (start + k[2]!) | 0];
  a = (a - c) ^ rotate(c, 4);
  c = (c + b) | 0;
  b = (b - a) ^ rotate(a, 6);
  a = (a + c) | 0;
  c = (c - b) ^ rotate(b, 8);
  b = (b + a) | 0;
  a = (a - c) ^ rotate(c, 16);
  c = (c + b) | 0;
  b = (b - a) ^ rotate(a, 19);
  a = (a + c) | 0;
  c = (c - b) ^ rotate(b, 4);
  b = (b + a) | 0;
  a = (a + k[3]!) | 0;
  c = ((c ^ b) - rotate(b, 14)) | 0;
  a = ((a ^ c) - rotate(c, 11)) | 0;
  b = ((b ^ a) - rotate(a, 25)) | 0;
  c = ((c ^ b) - rotate(b, 16)) | 0;
  a = ((a ^ c) - rotate(c, 4)) | 0;
  b = ((b ^ a) - rotate(a, 14)) | 0;
  c = ((c ^ b) - rotate(b, 24)) | 0;
  return c >>> 0;
}

/**
 * MASQUERADE takes the address that the kernel would send from: IPv4 one whose subnet holds the next hop, else the
 * first, else the first of another interface (inet_select_addr); IPv6 the one that has the longest prefix in common
 * (ipv6_dev_get_saddr). REDIRECT takes the first of the interface packets came in by, or the loopback address.
 */
function interfaceAddress(
  host: Host,
  device: string,
  towards: Address,
  family: Family,
  side: Nat["side"],
): Address | undefined {
  if (side === "dst" && (device === "" || device === "lo")) return family === 4 ? 0x7f00_0001 : 1n;
  const of = (name: string) =>
    host.interfaces.find((i) => i.name === name)?.addresses.filter((a) => a.family === family) ?? [];
  const own = of(device);
  if (side === "dst") {
    // IPv6 wants an address of the scope the packet was sent to (nf_nat_redirect_ipv6_usable).
    const wanted = family === 6 ? reachOf(towards as bigint) : 0;
    return own.find((a) => wanted === 0 || reachOf(a.address as bigint) === wanted)?.address;
  }
  if (family === 4) {
    const wide = (name: string) =>
      of(name).filter((a) => a.narrow !== true && (a.address as number) >>> 24 !== 127);
    const own = wide(device);
    if (own.length < 2) return (own[0] ?? host.interfaces.flatMap((i) => wide(i.name))[0])?.address;
    const next = nextHop(host, device, towards);
    return (own.find((a) => lies(next, [prefixRange(a.prefix)])) ?? own[0])?.address;
  }
  return sourceAddress(host, device, towards as bigint);
}

/** Whom IPv4 hands a packet to that goes out by a device: a gateway, or the destination itself (rt_nexthop). */
function nextHop(host: Host, device: string, towards: Address): Address {
  let best: { readonly bits: number; readonly metric: number; readonly via: Address } | undefined;
  for (const { family, type, to, table, metric, ...route } of host.routes) {
    if (family !== 4 || type !== "unicast" || table === "local" || !lies(towards, [prefixRange(to)]))
      continue;
    const hop = (route.hops ?? [route]).find(({ dev }) => dev === device);
    const bits = maskBits(to.mask) ?? 0;
    if (hop === undefined || (best !== undefined && (bits - best.bits || best.metric - metric) <= 0))
      continue;
    best = { bits, metric, via: hop.via ?? towards };
  }
  return best?.via ?? towards;
}

/**
 * How far an address reaches, as ipv6_addr_scope says it: 1 the host, 2 the link, 5 the site, 0 everywhere. What looks
 * like IPv4's in the last 32 bits has a scope of its own, which no ordinary address shares.
 */
function reachOf(a: bigint): number {
  if (a >> 120n === 0xffn) {
    const scope = Number((a >> 112n) & 15n);
    return [1, 2, 5].includes(scope) ? scope : 0;
  }
  if (a === 1n) return 1;
  if (a >> 32n === 0n && a !== 0n) return COMPATIBLE;
  return a >> 118n === 0x3fan ? 2 : a >> 118n === 0x3fbn ? 5 : 0;
}

/** IPV6_ADDR_COMPATv4: ::/96 but for no address and the loopback one. */
const COMPATIBLE = 8;

/**
 * Destinations among which MASQUERADE and REDIRECT may find an address for one and none for another: each class, and
 * one address of it. IPv4 makes no difference.
 */
export const destinations: Readonly<Record<Family, readonly Case<Address>[]>> = {
  4: [{ when: ANY, outcome: 0 }],
  6: [
    { when: is("dst", 0n), outcome: 0n },
    { when: is("dst", 1n), outcome: 1n },
    { when: within("dst", [[0n, 0xffff_ffffn]]), outcome: 2n },
    { when: within("dst", [[0x3fan << 118n, (0x3fbn << 118n) - 1n]]), outcome: 0x3fan << 118n },
    { when: within("dst", [[0x3fbn << 118n, (0x3fcn << 118n) - 1n]]), outcome: 0x3fbn << 118n },
    ...[1n, 2n, 5n].map((scope) => ({
      when: within(
        "dst",
        Array.from({ length: 16 }, (_, flags): Range => {
          const first = (0xff00n | (BigInt(flags) << 4n) | scope) << 112n;
          return [first, first + (1n << 112n) - 1n];
        }),
      ),
      outcome: (0xff00n | scope) << 112n,
    })),
    { when: within("dst", [[0xffn << 120n, (1n << 128n) - 1n]]), outcome: 0xff0en << 112n },
    { when: ANY, outcome: 0x2000n << 112n },
  ],
};

/** The scopes of RFC 4291 and the labels of the kernel's policy table (net/ipv6/addrlabel.c). */
const scopeOf = (a: bigint): number =>
  a === 0n
    ? -1
    : a >> 120n === 0xffn
      ? Number((a >> 112n) & 15n)
      : a >> 118n === 0x3fan || a === 1n
        ? 2
        : a >> 118n === 0x3fbn
          ? 5
          : 14;
/** Prefixes and their labels, the longest first; what is in none has label 1. */
const LABELS: readonly (readonly [bits: bigint, prefix: bigint, label: number])[] = [
  [128n, 1n, 0],
  [96n, 0xffffn, 4],
  [96n, 0n, 3],
  [32n, 0x2001_0000n, 6],
  [28n, 0x2001_001n, 7],
  [16n, 0x2002n, 2],
  [16n, 0x3ffen, 12],
  [10n, 0x3fbn, 11],
  [7n, 0x7en, 5],
];
const labelOf = (a: bigint): number =>
  LABELS.find(([bits, prefix]) => a >> (128n - bits) === prefix)?.[2] ?? 1;

/** The address the kernel sends from towards another: RFC 6724 as far as addresses alone decide (ipv6_dev_get_saddr). */
function sourceAddress(host: Host, device: string, towards: bigint): Address | undefined {
  const scope = scopeOf(towards);
  let best: { address: bigint; score: readonly number[] } | undefined;
  for (const { name, addresses } of host.interfaces) {
    const hides = sysctl(host, `net.ipv6.conf.${name}.use_tempaddr`, 0) >= 2;
    for (const { family, address: a, prefix, deprecated = false, temporary = false } of addresses) {
      // Towards the link or a group only its own interface is asked.
      if (family !== 6 || ((scope <= 2 || towards >> 120n === 0xffn) && name !== device)) continue;
      const address = a as bigint;
      const own = scopeOf(address);
      const differing = address ^ towards;
      const common = differing === 0n ? 128 : 128 - differing.toString(2).length;
      const score = [
        address === towards ? 1 : 0,
        own >= scope ? -own : own - 128,
        deprecated ? 0 : 1,
        name === device ? 1 : 0,
        labelOf(address) === labelOf(towards) ? 1 : 0,
        temporary === hides ? 1 : 0,
        Math.min(common, maskBits(prefix.mask) ?? 128),
      ];
      const at = best === undefined ? 0 : score.findIndex((n, i) => n !== best!.score[i]);
      if (best === undefined || (at >= 0 && score[at]! > best.score[at]!)) best = { address, score };
    }
  }
  return best?.address;
}
