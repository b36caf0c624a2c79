/** Expressions whose value the inputs do not determine: bytes, options, sockets, hashes and other state of the kernel. */
import { PROTO, type Range } from "../../packet/field.ts";
import { and, is, not, opaque, type Predicate } from "../../packet/predicate.ts";
import { type Datatype, integer, TYPES } from "../datatype.ts";
import {
  always,
  type CompileContext,
  enumerated,
  type Guard,
  type Operand,
  ofFamily,
  unknownOperand,
} from "../operand.ts";

/** A family of expressions with a first word in common. */
export interface UnknownExpressions {
  /** First words: `tcp option`. */
  readonly prefix: string;
  /** Reason for docs/nftables.md and for results. */
  readonly why: string;
  readonly guard?: Guard;
  /** Its value may be another one at each evaluation. */
  readonly changes?: true;
  type?(words: readonly string[]): Datatype;
}

const tcp: Guard = () => is("proto", PROTO.tcp);
const v6 = ofFamily(6);
const device = (words: readonly string[]): Datatype =>
  /saddr|nexthop|daddr/.test(words.join(" ")) ? address(words) : TYPES.integer;
const address = (words: readonly string[]): Datatype =>
  words.includes("ip6") ? TYPES.ipv6_addr : TYPES.ipv4_addr;

/** IPv6 extension headers by their names in nft. */
const HEADERS = ["hbh", "frag", "rt", "dst", "srh", "mh"] as const;
const WHY_HEADER = "IPv6 extension headers are not modelled";

/** Packets with an extension header. Ordinary packets have none. */
const hasHeader = (name: (typeof HEADERS)[number]): Predicate => opaque(`exthdr(${name})`, WHY_HEADER, true);

/** `exthdr NAME`: tests if the packet has the header; no version of nft takes `exthdr srh`. */
export const EXTENSION_HEADERS: readonly Operand[] = HEADERS.filter((name) => name !== "srh").map((name) =>
  enumerated(
    `exthdr ${name}`,
    TYPES.boolean,
    () => [
      [1, hasHeader(name)],
      [0, not(hasHeader(name))],
    ],
    v6,
    { except: "packets with extension headers" },
  ),
);

export const UNKNOWN: readonly UnknownExpressions[] = [
  { prefix: "@", why: "the bytes of a packet are not modelled", changes: true },
  { prefix: "tcp option", why: "TCP options are not modelled", guard: tcp, changes: true },
  { prefix: "ip option", why: "IP options are not modelled", guard: ofFamily(4) },
  { prefix: "sctp chunk", why: "the chunks of SCTP are not modelled", guard: () => is("proto", PROTO.sctp) },
  { prefix: "dccp option", why: "DCCP options are not modelled", guard: () => is("proto", PROTO.dccp) },
  ...HEADERS.map((prefix) => ({
    prefix,
    why: WHY_HEADER,
    guard: (at: CompileContext) => and(v6(at), hasHeader(prefix)),
  })),
  { prefix: "rt classid", why: "routing realms are not known", type: () => TYPES.realm },
  { prefix: "rt nexthop", why: "the next hop of a route is not computed", changes: true, type: address },
  { prefix: "rt ip nexthop", why: "the next hop of a route is not computed", changes: true, type: address },
  { prefix: "rt ip6 nexthop", why: "the next hop of a route is not computed", changes: true, type: address },
  { prefix: "rt mtu", why: "the MTU of a route is not computed", changes: true },
  { prefix: "rt ipsec", why: "the IPsec policies of the host are not known" },
  { prefix: "socket", why: "the open sockets are not known", changes: true },
  {
    prefix: "osf",
    why: "the fingerprints of operating systems are not known",
    guard: tcp,
    type: () => TYPES.string,
  },
  { prefix: "numgen", why: "the number is a counter or chosen at random", changes: true },
  { prefix: "jhash", why: "the hash is not computed", changes: true },
  { prefix: "symhash", why: "the hash is not computed", changes: true },
  { prefix: "ipsec", why: "the IPsec policies of the host are not known", type: device },
  { prefix: "arp", why: "ARP is not IP" },
  {
    prefix: "gre",
    why: "the header of GRE is not modelled",
    guard: () => is("proto", PROTO.gre),
    type: device,
  },
  { prefix: "vxlan", why: "packets in tunnels are not modelled", type: device },
  { prefix: "geneve", why: "packets in tunnels are not modelled", type: device },
  { prefix: "gretap", why: "packets in tunnels are not modelled", type: device },
  { prefix: "tunnel", why: "packets in tunnels are not modelled" },
  { prefix: "xfrm", why: "the IPsec policies of the host are not known" },
];

/** Returns the expression with these words if its value is unknown; `undefined` for other words. */
export function unknownExpression(words: readonly string[]): Operand | undefined {
  const name = words[0] === "@" ? `@${words.slice(1).join(",")}` : words.join(" ");
  // The longest prefix decides: `rt nexthop` is a route, `rt type` a header.
  const found = UNKNOWN.filter(
    ({ prefix }) => name === prefix || name.startsWith(prefix === "@" ? prefix : `${prefix} `),
  ).sort((a, b) => b.prefix.length - a.prefix.length)[0];
  if (found === undefined) return undefined;
  const span = spanOf(words);
  return unknownOperand(name, found.type?.(words) ?? TYPES.integer, found.why, found.guard ?? always, {
    ...(found.changes === true ? { changes: true } : {}),
    ...(span === undefined ? {} : { span }),
  });
}

/** Values of `mod 4 offset 10`. */
function spanOf(words: readonly string[]): Range | undefined {
  const mod = numberAfter("mod", words);
  const offset = numberAfter("offset", words) ?? 0;
  return mod === undefined || mod === 0 ? undefined : [offset, offset + mod - 1];
}

const numberAfter = (word: string, words: readonly string[]): number | undefined => {
  const at = words.indexOf(word);
  return at < 0 ? undefined : integer(words[at + 1] ?? "");
};
