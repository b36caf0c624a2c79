/** The host's own addresses and broadcast addresses. */
import { LOOPBACK, prefixRange } from "../packet/address.ts";
import type { Family, Range, Scalar } from "../packet/field.ts";
import { normalizeRanges } from "../packet/predicate.ts";
import type { Host } from "./host.ts";

/**
 * Address types of the host's own addresses in the kernel's table `local`: inet_addr_type (net/ipv4/fib_frontend.c). The
 * lowest address of a subnet is an ordinary one since Linux 5.14; the highest is its broadcast address.
 */
export function ownAddresses(
  host: Host,
  family: Family,
  device?: string,
): { local: Range[]; broadcast: Range[] } {
  const local: Range[] = device === undefined || device === "lo" ? [...LOOPBACK[family]] : [];
  const broadcast: Range[] = [];
  for (const each of host.interfaces) {
    if (device !== undefined && each.name !== device) continue;
    for (const a of each.addresses) {
      if (a.family !== family) continue;
      local.push([a.address, a.address]);
      if (a.broadcast !== null) broadcast.push([a.broadcast, a.broadcast]);
      else if (family === 4) {
        const [first, last] = prefixRange(a.prefix) as readonly [number, number];
        if (last - first >= 3) broadcast.push([last, last]);
      }
    }
  }
  for (const route of host.routes) {
    if (route.family !== family || (device !== undefined && route.dev !== device)) continue;
    if (route.type === "local") local.push(prefixRange(route.to));
    if (route.type === "broadcast") broadcast.push(prefixRange(route.to));
  }
  if (family === 4 && device === undefined) broadcast.push([0, 0], [0xffff_ffff, 0xffff_ffff]);
  if (family === 4 && (device === undefined || device === "lo")) broadcast.push([0x7fff_ffff, 0x7fff_ffff]);
  // The broadcast address of a local prefix is the longer route.
  return { local: without(local, broadcast), broadcast: normalizeRanges(broadcast) };
}

/** Subtracts ranges. An address by itself stays: it is as long a route as a broadcast address, and was there first. */
function without(ranges: readonly Range[], holes: readonly Range[]): Range[] {
  const [rest, gaps]: [Range[], Range[]] = [[], normalizeRanges(holes)];
  const one = (a: Scalar): never => (typeof a === "bigint" ? 1n : 1) as never;
  let at = 0;
  for (const range of normalizeRanges(ranges)) {
    const [lo, hi] = range;
    while (at < gaps.length && gaps[at]![1] < lo) at++;
    if (lo === hi) {
      rest.push(range);
      continue;
    }
    let from: Scalar = lo;
    for (let i = at; i < gaps.length && gaps[i]![0] <= hi; i++) {
      const [first, last] = gaps[i]!;
      if (first > from) rest.push([from, ((first as number) - one(first)) as Scalar]);
      from = ((last as number) + one(last)) as Scalar;
    }
    if (from <= hi) rest.push([from, hi]);
  }
  return rest;
}
