/** The link layer: mac, pkttype and eui64 (net/netfilter/xt_mac.c, xt_pkttype.c, ipv6/netfilter/ip6t_eui64.c). */
import { parseMac, printMac } from "../../packet/packet-json.ts";
import { and, is, negate, not, opaque } from "../../packet/predicate.ts";
import { sharedKey } from "../../rules/facts.ts";
import { packetTypeIs, withoutHardwareAddress } from "../../rules/link-layer.ts";
import { match, negatable, Unreadable } from "../extension.ts";
import { compare } from "../nft-form.ts";
import { oneOf, word } from "../word-codecs.ts";

const hardware = word<number>("a MAC address like 00:11:22:33:44:55", parseMac, printMac);

export const mac = match({
  name: "mac",
  options: { source: negatable("--mac-source", hardware) },
  normalize: (values) => (values.source === undefined ? new Unreadable("--mac-source") : values),
  // A packet without a MAC address does not match, negated or not.
  copy: () => "unchanged",
  nft: ({ source }) => compare("ether saddr", source!.not, printMac(source!.value)),
  predicate: ({ source }, facts) =>
    and(not(withoutHardwareAddress(facts)), negate(source!.not, is("mac", source!.value))),
});

const KINDS = ["unicast", "broadcast", "multicast"] as const;
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
  nft: ({ type }) => compare("meta pkttype", type!.not, type!.value),
  predicate: ({ type }, facts) => negate(type!.not, packetTypeIs(KINDS.indexOf(type!.value), facts)),
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
