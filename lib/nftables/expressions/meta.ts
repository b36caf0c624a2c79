/** Properties of the packet outside its headers: `meta`, and the link layer. */
import { isInRanges } from "../../packet/address.ts";
import { ANY, and, is, NEVER, not, or, type Predicate } from "../../packet/predicate.ts";
import { inGroup, packetTypeIs, withoutHardwareAddress } from "../../rules/link-layer.ts";
import { TYPES } from "../datatype.ts";
import {
  always,
  type CompileContext,
  enumerated,
  fieldOperand,
  type Operand,
  unknownOf,
  unknownOperand,
} from "../operand.ts";
import { ETHER_TYPE, INTERFACE_TYPE, NF_PROTO } from "../symbols.ts";

const { integer } = TYPES;

/** The family of the packet as a number of its own in each of these fields. */
const family = (name: string, type: Operand["type"], v4: number, v6: number): Operand =>
  enumerated(name, type, ({ facts }) => [[facts.family === 4 ? v4 : v6, ANY]]);

function* packetTypes({ facts }: CompileContext): Generator<readonly [number, Predicate]> {
  for (let type = 0; type <= 4; type++) yield [type, packetTypeIs(type, facts)];
}

/**
 * `ether` implies an interface with Ethernet frames: `meta iiftype`, which at postrouting is the type of the output interface
 * (skb->dev).
 */
function framed(at: CompileContext): Predicate {
  const { facts } = at;
  const hooks = new Set(at.bases().map(({ hook }) => hook));
  const comesIn = not(is("in", ""));
  // A packet between ports of a bridge has no input interface at postrouting.
  const hasFrame = hooks.has("POSTROUTING") ? or(comesIn, not(is("physin", ""))) : comesIn;
  const arrived = and(hasFrame, not(withoutHardwareAddress(facts)));
  if (!hooks.has("POSTROUTING")) return arrived;
  const leaves = not(
    or(...facts.interfaces.filter((name) => facts.bare(name)).map((name) => is("out", name))),
  );
  const why = "the type of the interface depends on the hook that calls the chain";
  return and(arrived, hooks.size === 1 ? leaves : or(leaves, unknownOf("ether", why, at, "framed")));
}

/** Groups of the interfaces that the inputs list (`ip link set group`); of others the group is unknown. */
function group(name: string, field: "in" | "out"): Operand {
  const why = "the groups of interfaces are not known";
  const test = (holds: (group: number) => boolean, text: string, at: CompileContext): Predicate =>
    inGroup(field, holds, at.facts, unknownOf(name, why, at, field === "in" ? text : null));
  return {
    name,
    type: TYPES.devgroup,
    except: "interfaces without a numeric group in `ip -j addr`",
    guard: () => not(is(field, "")),
    within: (ranges, at) => test((value) => isInRanges(value, ranges), JSON.stringify(ranges), at),
    masked: (mask, value, at) =>
      test((each) => (each & (mask as number)) >>> 0 === value, `${mask} ${value}`, at),
  };
}

/** Type of an interface: lo alone is a loopback interface, and the types of others are not read. */
const linkType = (name: string, field: "in" | "out"): Operand => {
  const why = "the types of interfaces are not read";
  const loopback = INTERFACE_TYPE.get("loopback")!;
  return {
    name,
    type: TYPES.iface_type,
    except: "interfaces other than lo",
    guard: () => not(is(field, "")),
    within(ranges, at) {
      const rest = ranges.filter(([lo, hi]) => lo !== loopback || hi !== loopback);
      const others =
        rest.length === 0
          ? NEVER
          : and(not(is(field, "lo")), unknownOf(name, why, at, JSON.stringify(ranges)));
      return or(isInRanges(loopback, ranges) ? is(field, "lo") : NEVER, others);
    },
    masked: (mask, value, at) => unknownOf(name, why, at, `${mask} ${value}`),
  };
};

/** The packet has a local socket; the kernel knows no owner of any other. */
const sent = (): Predicate => is("socket", 1);

const unknown = (text: string, why: string): Operand[] =>
  text.split(" ").map((name) => unknownOperand(`meta ${name}`, integer, why));

const UNQUALIFIED: readonly Operand[] = [
  fieldOperand("iif", TYPES.iface_index, "in", always),
  fieldOperand("oif", TYPES.iface_index, "out", always),
  fieldOperand("iifname", TYPES.ifname, "in", always),
  fieldOperand("oifname", TYPES.ifname, "out", always),
  linkType("iiftype", "in"),
  linkType("oiftype", "out"),
  group("iifgroup", "in"),
  group("oifgroup", "out"),
  fieldOperand("mark", TYPES.mark, "mark", always),
  fieldOperand("skuid", TYPES.uid, "uid", sent),
  fieldOperand("skgid", TYPES.gid, "gid", sent),
  enumerated("pkttype", TYPES.pkt_type, packetTypes),
];

const why = {
  time: "the time is not known",
  random: "the kernel chooses the number",
  bridge: "the bridge of a packet is not modelled",
};

const QUALIFIED: readonly Operand[] = [
  fieldOperand("meta l4proto", TYPES.inet_proto, "proto", always),
  fieldOperand("meta length", integer, "length", always),
  family("meta nfproto", TYPES.nf_proto, NF_PROTO.get("ipv4")!, NF_PROTO.get("ipv6")!),
  family("meta protocol", TYPES.ether_type, ETHER_TYPE.get("ip")!, ETHER_TYPE.get("ip6")!),
  unknownOperand("meta time", TYPES.time, why.time),
  unknownOperand("meta hour", TYPES.hour, why.time),
  unknownOperand("meta day", TYPES.day, why.time),
  ...unknown("cpu", "the processor that handles a packet is not known"),
  ...unknown("cgroup", "the control group of a socket is not known"),
  unknownOperand("meta random", integer, why.random, always, { changes: true }),
  unknownOperand("meta priority", TYPES.classid, "the class of traffic shaping is not modelled", always, {
    changes: true,
  }),
  unknownOperand("meta rtclassid", TYPES.realm, "routing realms are not known"),
  ...["secpath", "ipsec"].map((name) =>
    unknownOperand(`meta ${name}`, TYPES.boolean, "the IPsec policies of the host are not known"),
  ),
  ...["ibrname", "obrname", "ibridgename", "obridgename"].map((name) =>
    unknownOperand(`meta ${name}`, TYPES.ifname, why.bridge),
  ),
  ...["ibrvproto", "ibrpvid", "ibrhwaddr"].map((name) => unknownOperand(`meta ${name}`, integer, why.bridge)),
  ...["sdif", "sdifname"].map((name) =>
    unknownOperand(`meta ${name}`, TYPES.ifname, "the VRF of an interface is not modelled"),
  ),
  unknownOperand("meta iifkind", TYPES.string, "the kinds of interfaces are not read"),
  unknownOperand("meta oifkind", TYPES.string, "the kinds of interfaces are not read"),
];

/** Keys of `QUALIFIED` that nft accepts without `meta`, too; some versions print them so. */
const BARE: ReadonlySet<string> = new Set(
  ["cpu", "cgroup", "rtclassid", "ibrname", "obrname", "time", "hour", "day"].map((key) => `meta ${key}`),
);

export const META: readonly Operand[] = [
  // nft accepts these without `meta`, and prints them so.
  ...UNQUALIFIED.flatMap((each) => [each, { ...each, name: `meta ${each.name}` }]),
  ...QUALIFIED.flatMap((each) =>
    BARE.has(each.name) ? [each, { ...each, name: each.name.slice("meta ".length) }] : [each],
  ),
];

const frame = "this field of the link-layer header is not modelled";

export const LINK: readonly Operand[] = [
  fieldOperand("ether saddr", TYPES.ether_addr, "mac", framed),
  unknownOperand("ether daddr", TYPES.ether_addr, frame, framed),
  family("ether type", TYPES.ether_type, ETHER_TYPE.get("ip")!, ETHER_TYPE.get("ip6")!),
  ...["id", "cfi", "dei", "pcp", "type"].map((name) => unknownOperand(`vlan ${name}`, integer, frame)),
];
