/** The link layer: mac, pkttype and eui64 (net/netfilter/xt_mac.c, xt_pkttype.c, ipv6/netfilter/ip6t_eui64.c). */
import { MULTICAST } from "../../packet/address.ts";
import type { Range } from "../../packet/field.ts";
import { parseMac, printMac } from "../../packet/packet-json.ts";
import { and, is, negate, not, opaque, or, within } from "../../packet/predicate.ts";
import { sharedKey } from "../../rules/facts.ts";
import { match, negatable, Unreadable } from "../extension.ts";
import { oneOf, word } from "../word-codecs.ts";

const hardware = word<number>("a MAC address like 00:11:22:33:44:55", parseMac, printMac);

export const mac = match({
  name: "mac",
  options: { source: negatable("--mac-source", hardware) },
  normalize: (values) => (values.source === undefined ? new Unreadable("--mac-source") : values),
  // A packet without a MAC address does not match, negated or not.
  copy: () => "unchanged",
  predicate({ source }, facts) {
    const bare = ["lo", ...facts.interfaces].filter((name) => facts.bare(name));
    const without = within(
      "in",
      bare.map((name): Range => [name, name]),
    );
    return and(not(without), negate(source!.not, is("mac", source!.value)));
  },
});

const KINDS = ["unicast", "broadcast", "multicast"] as const;
/** PACKET_LOOPBACK: packets of the host to itself, which xt_pkttype counts as broadcast or multicast. */
const LOOPBACK = 5;

export const pkttype = match({
  name: "pkttype",
  options: {
    type: negatable(
      "--pkt-type",
      oneOf(KINDS, {
        fold: true,
        also: new Map([
          ["host", "unicast"],
          ["bcast", "broadcast"],
          ["mcast", "multicast"],
        ]),
      }),
    ),
  },
  normalize: (values) => (values.type === undefined ? new Unreadable("--pkt-type") : values),
  predicate({ type }, facts) {
    const kind = is("pkttype", KINDS.indexOf(type!.value));
    const group = facts.family === 6 ? and() : within("dst", MULTICAST[4]);
    const looped =
      type!.value === "unicast"
        ? or()
        : and(is("pkttype", LOOPBACK), type!.value === "multicast" ? group : not(group));
    return negate(type!.not, or(kind, looped));
  },
});

export const eui64 = match({
  name: "eui64",
  family: 6,
  opaque: "the relation of the source address to the MAC address is not modelled",
  options: {},
  predicate: () =>
    opaque(
      sharedKey("eui64", ""),
      "whether the source address holds the sender's MAC address is not described",
    ),
});
