/** Headers of IPv4 and IPv6: `ip`, `ip6`. */
import { PROTO } from "../../packet/field.ts";
import { ANY, and, bits, is, NEVER, not, opaque, or, type Predicate } from "../../packet/predicate.ts";
import { sharedKey } from "../../rules/facts.ts";
import { TYPES } from "../datatype.ts";
import {
  type CompileContext,
  enumerated,
  fieldOperand,
  type Operand,
  ofFamily,
  unknownOf,
  unknownOperand,
} from "../operand.ts";

const v4 = ofFamily(4);
const v6 = ofFamily(6);
const { integer, inet_proto, dscp, ecn, ipv4_addr, ipv6_addr } = TYPES;
const unmodelled = (header: string): string => `this field of the ${header} header is not modelled`;

/** Bytes of a header that the length of the payload leaves out. */
const IPV6_HEADER = 40;

/** The offset of a fragment, in units of 8 bytes, and its flags. */
const FRAGMENT_OFFSET = 0x1fff;

/** Fragments: only a test for an offset of 0 has a result, since the model knows first and later fragments alone. */
const whyFragment = "the offset of a fragment and its flags are not modelled";
const fragment: Operand = {
  name: "ip frag-off",
  type: integer,
  except: "tests other than for an offset of 0",
  guard: v4,
  within: (ranges, at) => unknownOf("ip frag-off", whyFragment, at, JSON.stringify(ranges)),
  masked: (mask, value, at) =>
    mask === FRAGMENT_OFFSET && value === 0
      ? is("fragment", 0)
      : unknownOf("ip frag-off", whyFragment, at, `${mask} ${value}`),
};

/** Extension headers precede the header of the protocol. Ordinary packets have none. */
const extended = opaque("exthdr(any)", "IPv6 extension headers are not modelled", true);

/** The first next header is the protocol of the packet if it has no extension headers. */
const nextHeader: Operand = {
  ...fieldOperand("ip6 nexthdr", inet_proto, "proto", v6),
  except: "packets with extension headers",
  within: (ranges, at) =>
    firstHeader(
      fieldOperand("ip6 nexthdr", inet_proto, "proto", v6).within(ranges, at),
      JSON.stringify(ranges),
    ),
  masked: (mask, value) => firstHeader(bits("proto", mask, value), `${mask} ${value}`),
};

const firstHeader = (plain: Predicate, text: string): Predicate =>
  or(
    and(not(extended), plain),
    and(extended, opaque(sharedKey("exthdr", text), "IPv6 extension headers are not modelled", true)),
  );

/** Version of the header: a constant of the family. */
const version = (name: string, family: 4 | 6): Operand =>
  enumerated(name, integer, () => [[family, ANY]], ofFamily(family));

export const NETWORK: readonly Operand[] = [
  fieldOperand("ip saddr", ipv4_addr, "src", v4),
  fieldOperand("ip daddr", ipv4_addr, "dst", v4),
  fieldOperand("ip protocol", inet_proto, "proto", v4),
  fieldOperand("ip ttl", integer, "ttl", v4),
  fieldOperand("ip dscp", dscp, "tos", v4, { shift: 2 }),
  fieldOperand("ip ecn", ecn, "tos", v4),
  fieldOperand("ip length", integer, "length", v4),
  version("ip version", 4),
  fragment,
  unknownOperand("ip hdrlength", integer, unmodelled("IPv4"), v4),
  unknownOperand("ip id", integer, unmodelled("IPv4"), v4),
  unknownOperand("ip checksum", integer, unmodelled("IPv4"), v4, { changes: true }),
  fieldOperand("ip6 saddr", ipv6_addr, "src", v6),
  fieldOperand("ip6 daddr", ipv6_addr, "dst", v6),
  nextHeader,
  fieldOperand("ip6 hoplimit", integer, "ttl", v6),
  fieldOperand("ip6 dscp", dscp, "tos", v6, { shift: 2 }),
  fieldOperand("ip6 ecn", ecn, "tos", v6),
  fieldOperand("ip6 length", integer, "length", v6, { offset: IPV6_HEADER }),
  version("ip6 version", 6),
  unknownOperand("ip6 flowlabel", integer, unmodelled("IPv6"), v6),
];

/** Type and code of an ICMP header; in a table of family `inet` they imply the family as well. */
const icmpGuard =
  (proto: number, family: 4 | 6) =>
  ({ tableFamily, facts }: CompileContext): Predicate =>
    tableFamily !== "ip" && tableFamily !== "ip6" && facts.family !== family ? NEVER : is("proto", proto);

const v4Guard = icmpGuard(PROTO.icmp, 4);
const v6Guard = icmpGuard(PROTO.icmpv6, 6);
const igmpGuard = icmpGuard(PROTO.igmp, 4);

const other = (prefix: string, names: string, guard: typeof v4Guard, header: string): Operand[] =>
  names.split(" ").map((name) => unknownOperand(`${prefix} ${name}`, integer, unmodelled(header), guard));

export const ICMP: readonly Operand[] = [
  fieldOperand("icmp type", TYPES.icmp_type, "type", v4Guard),
  fieldOperand("icmp code", TYPES.icmp_code, "code", v4Guard),
  ...other("icmp", "id sequence mtu gateway checksum", v4Guard, "ICMP"),
  fieldOperand("icmpv6 type", TYPES.icmpv6_type, "type", v6Guard),
  fieldOperand("icmpv6 code", TYPES.icmpv6_code, "code", v6Guard),
  ...other(
    "icmpv6",
    "id sequence mtu parameter-problem packet-too-big max-delay checksum",
    v6Guard,
    "ICMPv6",
  ),
  ...other("icmpv6", "taddr daddr", v6Guard, "ICMPv6").map((each) => ({ ...each, type: ipv6_addr })),
  { ...unknownOperand("igmp type", TYPES.igmp_type, unmodelled("IGMP"), igmpGuard) },
  ...other("igmp", "mrt checksum", igmpGuard, "IGMP"),
  { ...unknownOperand("igmp group", ipv4_addr, unmodelled("IGMP"), igmpGuard) },
];
