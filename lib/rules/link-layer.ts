/** Link layer of a packet and its interfaces, as both rule languages test it. */
import { MULTICAST } from "../packet/address.ts";
import type { Range } from "../packet/field.ts";
import { ANY, and, is, not, or, type Predicate, within } from "../packet/predicate.ts";
import type { Facts } from "./facts.ts";

/** Returns the packets of interfaces with these names. */
const ofInterfaces = (field: "in" | "out", names: readonly string[]): Predicate =>
  within(
    field,
    names.map((name): Range => [name, name]),
  );

/** Returns the packets that arrive on an interface without Ethernet frames: they have no hardware address. */
export const withoutHardwareAddress = (facts: Facts): Predicate =>
  ofInterfaces(
    "in",
    ["lo", ...facts.interfaces].filter((name) => facts.bare(name)),
  );

/** PACKET_LOOPBACK: packets of the host to itself, which count as broadcast or multicast (pkttype_mt). */
const LOOPED = 5;

/** Returns the packets with a link-layer type as rules see it: 0 host, 1 broadcast, 2 multicast, 3 other host. */
export function packetTypeIs(type: number, { family }: Facts): Predicate {
  const plain = is("pkttype", type);
  if (type !== 1 && type !== 2) return plain;
  const group = family === 6 ? ANY : within("dst", MULTICAST[4]);
  return or(plain, and(is("pkttype", LOOPED), type === 2 ? group : not(group)));
}

/**
 * Returns the packets whose interface is in a group (`ip link set group`).
 * @param unknown result for interfaces whose group is not known
 */
export function inGroup(
  field: "in" | "out",
  holds: (group: number) => boolean,
  facts: Facts,
  unknown: Predicate,
): Predicate {
  const known = facts.interfaces.filter((name) => facts.groupOf(name) !== undefined);
  const inside = known.filter((name) => holds(facts.groupOf(name)!));
  return or(ofInterfaces(field, inside), and(not(ofInterfaces(field, known)), unknown));
}
