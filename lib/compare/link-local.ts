/** Link-local addresses that only one of two hosts has: bridges get new ones each time they are made. */
import type { Host } from "../host/host.ts";
import { isInRanges, prefixes } from "../packet/address.ts";
import type { Address, Family, Range } from "../packet/field.ts";
import { or, type Predicate, within } from "../packet/predicate.ts";

const LINK_LOCAL: Readonly<Record<Family, readonly Range[]>> = {
  4: prefixes(4, "169.254.0.0/16"),
  6: prefixes(6, "fe80::/10"),
};

/** Returns the link-local addresses that one host has and another does not. */
export function foreignLinkLocalAddresses(family: Family, hosts: readonly Host[]): Address[] {
  const sets = hosts.map(
    ({ interfaces }) =>
      new Set(
        interfaces
          .flatMap(({ addresses }) => addresses)
          .filter((each) => each.family === family && isInRanges(each.address, LINK_LOCAL[family]))
          .map(({ address }) => address),
      ),
  );
  const all = new Set(sets.flatMap((set) => [...set]));
  return [...all].filter((address) => sets.some((set) => !set.has(address)));
}

/** Packets to or from link-local addresses that only some of the hosts have. */
export function foreignLinkLocal(family: Family, hosts: readonly Host[]): Predicate {
  const ranges = foreignLinkLocalAddresses(family, hosts).map((address): Range => [address, address]);
  return or(within("dst", ranges), within("src", ranges));
}
