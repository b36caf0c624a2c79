/** Packets that the kernel drops or holds back between the hooks, outside of any table or route. */
import type { Host } from "../host/host.ts";
import { LOOPBACK, MULTICAST, prefixes } from "../packet/address.ts";
import type { Family, Range } from "../packet/field.ts";
import { ANY, and, between, is, not, or, type Predicate, within } from "../packet/predicate.ts";
import type { EndReason, RefusalCases } from "./end-reason.ts";
import { byInterface, ipv6Setting } from "./interface-settings.ts";

/** Unicast packet in a multicast or broadcast frame (RFC 1122, 3.3.6). */
export const DISGUISED = between("pkttype", 1, 2);

export const HIDDEN: EndReason = { code: "unicast-in-multicast-frame" };

/** Routed packets that are not forwarded (ip_forward, ip6_forward), with the reason. */
export const ENDED: RefusalCases = [
  { when: not(is("pkttype", 0)), outcome: { code: "frame-not-forwarded" } },
  { when: between("ttl", 0, 1), outcome: { code: "ttl-ends" } },
  { when: ANY, outcome: null },
];

/** Returns the routed packets that are not forwarded, IPv6 sources of link scope included. */
export function stoppedCases(host: Host, family: Family): RefusalCases {
  if (family === 4) return ENDED;
  const back = or(...host.interfaces.map(({ name }) => and(is("in", name), is("out", name))));
  return [
    { when: and(not(back), is("src", 0n)), outcome: { code: "no-source-address" } },
    {
      when: and(not(back), within("src", prefixes(6, "fe80::/10"))),
      outcome: { code: "link-local-source" },
    },
    ...ENDED,
  ];
}

/** Fragments that are held back until all have arrived (nf_defrag_ipv4). */
export const heldCases = (tracks: boolean): RefusalCases => [
  ...(tracks ? [{ when: is("fragment", 1), outcome: HELD }] : []),
  { when: ANY, outcome: null },
];
const HELD: EndReason = { code: "fragment-waits", waitsFor: "conntrack" };

/** Translations on a bridge that are not followed: IPv6 multicast is flooded to the ports. */
export const groupCases = (family: Family): RefusalCases => [
  ...(family === 6
    ? [{ when: within("dst", MULTICAST[6]), outcome: { code: "bridged-to-group" } as const }]
    : []),
  { when: ANY, outcome: null },
];

/** PACKET_OTHERHOST (linux/if_packet.h). */
const OTHER_HOST = 3;

/** Packets that are dropped before any table: frames for other hosts (ip_rcv_core), invalid IPv6 headers (ip6_rcv_core), and fragments. */
export function refusedCases(host: Host, family: Family, tracks: boolean): RefusalCases {
  const six = (name: string): Predicate =>
    byInterface(host, (device) => ipv6Setting(host, name, device) !== 0);
  const outside = not(is("in", "lo"));
  const at = (when: Predicate, outcome: EndReason): RefusalCases[number] => ({ when, outcome });
  return [
    at(is("pkttype", OTHER_HOST), { code: "other-host" }),
    ...(family === 4
      ? []
      : [
          at(six("disable_ipv6"), { code: "ipv6-disabled" }),
          at(and(outside, within("src", LOOPBACK[6])), { code: "ipv6-loopback" }),
          at(and(outside, within("dst", LOOPBACK[6])), { code: "ipv6-loopback" }),
          at(and(DISGUISED, not(within("dst", MULTICAST[6])), six("drop_unicast_in_l2_multicast")), HIDDEN),
          at(within("src", MULTICAST[6]), { code: "multicast-source" }),
          // Scope 0 is reserved, scope 1 never leaves an interface.
          at(and(outside, ...SCOPES), { code: "host-group" }),
        ]),
    ...heldCases(tracks),
  ];
}

/** ff?0::/16 and ff?1::/16. */
const SCOPES = [
  within(
    "dst",
    Array.from({ length: 16 }, (_, flags): Range => {
      const first = BigInt(0xff00 | (flags << 4)) << 112n;
      return [first, first | ((1n << 113n) - 1n)];
    }),
  ),
];
