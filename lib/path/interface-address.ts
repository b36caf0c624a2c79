/** Addresses of an interface that MASQUERADE and REDIRECT use, as the kernel selects them. */
import { type Host, sysctl } from "../host/host.ts";
import { isInRanges, maskBits, prefixRange } from "../packet/address.ts";
import type { Address, Family, Range } from "../packet/field.ts";
import { ANY, is, within } from "../packet/predicate.ts";
import type { Case } from "./decision-list.ts";

/**
 * Returns the address of an interface that MASQUERADE sends from; `undefined` if there is none. IPv4 takes an address
 * whose subnet contains the next hop, else the first one, else the first one of another interface (inet_select_addr). IPv6
 * takes the address with the longest common prefix (ipv6_dev_get_saddr).
 */
export function masqueradeAddress(host: Host, device: string, dst: Address): Address | undefined {
  if (typeof dst === "bigint") return sourceAddress(host, device, dst);
  const wide = (name: string) =>
    addressesOf(host, name, 4).filter((a) => a.narrow !== true && (a.address as number) >>> 24 !== 127);
  const own = wide(device);
  if (own.length < 2) return (own[0] ?? host.interfaces.flatMap((i) => wide(i.name))[0])?.address;
  const next = nextHop(host, device, dst);
  return (own.find((a) => isInRanges(next, [prefixRange(a.prefix)])) ?? own[0])?.address;
}

/**
 * Returns the address that REDIRECT sends to: the first one of the input interface, or the loopback address. IPv6 takes an
 * address with the scope of the destination (nf_nat_redirect_ipv6_usable).
 */
export function redirectAddress(host: Host, device: string, dst: Address): Address | undefined {
  const family: Family = typeof dst === "bigint" ? 6 : 4;
  if (device === "" || device === "lo") return family === 4 ? 0x7f00_0001 : 1n;
  const scope = typeof dst === "bigint" ? addressScope(dst) : 0;
  return addressesOf(host, device, family).find(
    (a) => scope === 0 || addressScope(a.address as bigint) === scope,
  )?.address;
}

const addressesOf = (host: Host, device: string, family: Family) =>
  host.interfaces.find((i) => i.name === device)?.addresses.filter((a) => a.family === family) ?? [];

/** Returns the IPv4 next hop by an interface: a gateway, or the destination itself (rt_nexthop). */
function nextHop(host: Host, device: string, dst: Address): Address {
  let best: { readonly bits: number; readonly metric: number; readonly via: Address } | undefined;
  for (const { family, type, to, table, metric, ...route } of host.routes) {
    if (family !== 4 || type !== "unicast" || table === "local" || !isInRanges(dst, [prefixRange(to)]))
      continue;
    const hop = (route.hops ?? [route]).find(({ dev }) => dev === device);
    const bits = maskBits(to.mask) ?? 0;
    if (hop === undefined || (best !== undefined && (bits - best.bits || best.metric - metric) <= 0))
      continue;
    best = { bits, metric, via: hop.via ?? dst };
  }
  return best?.via ?? dst;
}

/**
 * Returns the scope of an address by ipv6_addr_scope: 1 host, 2 link, 5 site, 0 global. IPv4-compatible addresses have a
 * scope of their own, which no other address shares.
 */
function addressScope(a: bigint): number {
  if (a >> 120n === 0xffn) {
    const scope = Number((a >> 112n) & 15n);
    return [1, 2, 5].includes(scope) ? scope : 0;
  }
  if (a === 1n) return 1;
  if (a >> 32n === 0n && a !== 0n) return COMPATIBLE;
  return a >> 118n === 0x3fan ? 2 : a >> 118n === 0x3fbn ? 5 : 0;
}

/** IPV6_ADDR_COMPATv4: ::/96 except :: and ::1. */
const COMPATIBLE = 8;

/**
 * Classes of destinations for which MASQUERADE and REDIRECT may find different addresses or none, each with a
 * representative. IPv4 has one class.
 */
export const DESTINATION_CLASSES: Readonly<Record<Family, readonly Case<Address>[]>> = {
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

/** Scope of an address by RFC 4291. */
const sourceScope = (a: bigint): number =>
  a === 0n
    ? -1
    : a >> 120n === 0xffn
      ? Number((a >> 112n) & 15n)
      : a >> 118n === 0x3fan || a === 1n
        ? 2
        : a >> 118n === 0x3fbn
          ? 5
          : 14;
/** Labels of prefixes in the kernel's policy table, the longest first (net/ipv6/addrlabel.c); other addresses have label 1. */
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

/** Returns the IPv6 source address for a destination: the rules of RFC 6724 that depend on addresses only (ipv6_dev_get_saddr). */
function sourceAddress(host: Host, device: string, dst: bigint): Address | undefined {
  const scope = sourceScope(dst);
  let best: { address: bigint; score: readonly number[] } | undefined;
  for (const { name, addresses } of host.interfaces) {
    const prefersTemporary = sysctl(host, `net.ipv6.conf.${name}.use_tempaddr`, 0) >= 2;
    for (const { family, address: a, prefix, deprecated = false, temporary = false } of addresses) {
      // For a link-local or multicast destination only addresses of the interface count.
      if (family !== 6 || ((scope <= 2 || dst >> 120n === 0xffn) && name !== device)) continue;
      const address = a as bigint;
      const own = sourceScope(address);
      const differing = address ^ dst;
      const common = differing === 0n ? 128 : 128 - differing.toString(2).length;
      const score = [
        address === dst ? 1 : 0,
        own >= scope ? -own : own - 128,
        deprecated ? 0 : 1,
        name === device ? 1 : 0,
        labelOf(address) === labelOf(dst) ? 1 : 0,
        temporary === prefersTemporary ? 1 : 0,
        Math.min(common, maskBits(prefix.mask) ?? 128),
      ];
      const at = best === undefined ? 0 : score.findIndex((n, i) => n !== best!.score[i]);
      if (best === undefined || (at >= 0 && score[at]! > best.score[at]!)) best = { address, score };
    }
  }
  return best?.address;
}
