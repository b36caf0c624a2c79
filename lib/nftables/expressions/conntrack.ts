/** Connection of a packet: `ct` (net/netfilter/nft_ct.c). */
import { tracked } from "../../packet/connection.ts";
import { CT, CT_TEMPLATE, type Family } from "../../packet/field.ts";
import { ANY, NEVER } from "../../packet/predicate.ts";
import { type Datatype, TYPES } from "../datatype.ts";
import {
  type CompileContext,
  enumerated,
  fieldOperand,
  type Guard,
  mapped,
  type Operand,
  unknownOperand,
} from "../operand.ts";
import { CT_STATE_BITS, NF_PROTO } from "../symbols.ts";

const own = { needsConntrack: true } as const;

/** Without a connection every key but `state` ends the rule (nft_ct_get_eval). */
const connected: Guard = () => tracked;

const of =
  (family: Family): Guard =>
  ({ facts }) =>
    facts.family === family ? tracked : NEVER;

/** A packet without a connection is invalid, also before connection tracking. A template counts as a new connection. */
const STATES: readonly (readonly [number, number])[] = [
  [CT_STATE_BITS.get("invalid")!, CT.INVALID],
  [CT_STATE_BITS.get("new")!, CT.NEW],
  [CT_STATE_BITS.get("established")!, CT.ESTABLISHED],
  [CT_STATE_BITS.get("related")!, CT.RELATED],
  [CT_STATE_BITS.get("untracked")!, CT.UNTRACKED],
  [CT_STATE_BITS.get("new")!, CT_TEMPLATE],
];

/** Addresses, ports and protocol of a tuple of the connection. */
function tuple(direction: "original" | "reply"): Operand[] {
  const prefix = direction === "original" ? "ctorig" : "ctrepl";
  const addresses = (["src", "dst"] as const).flatMap((side): Operand[] => {
    const word = side === "src" ? "saddr" : "daddr";
    const field = `${prefix}${side}` as const;
    return [
      fieldOperand(`ct ${direction} ip ${word}`, TYPES.ipv4_addr, field, of(4), own),
      fieldOperand(`ct ${direction} ip6 ${word}`, TYPES.ipv6_addr, field, of(6), own),
    ];
  });
  return [
    ...addresses,
    fieldOperand(`ct ${direction} proto-src`, TYPES.inet_service, `${prefix}srcport`, connected, own),
    fieldOperand(`ct ${direction} proto-dst`, TYPES.inet_service, `${prefix}dstport`, connected, own),
    fieldOperand(`ct ${direction} protocol`, TYPES.inet_proto, "ctproto", connected, own),
    l3proto(`ct ${direction} l3proto`),
    ...counted(`ct ${direction} `),
    zone(`ct ${direction} zone`),
  ];
}

const l3proto = (name: string): Operand =>
  enumerated(
    name,
    TYPES.nf_proto,
    ({ facts }: CompileContext) => [[NF_PROTO.get(facts.family === 4 ? "ipv4" : "ipv6")!, ANY]],
    connected,
    own,
  );

const unknown = (name: string, type: Datatype, why: string): Operand =>
  unknownOperand(name, type, why, connected, { ...own, changes: true });

const counted = (prefix: string): Operand[] =>
  ["bytes", "packets", "avgpkt"].map((name) =>
    unknown(`${prefix}${name}`, TYPES.integer, "the traffic of a connection so far is not known"),
  );

const zone = (name: string): Operand => unknown(name, TYPES.integer, "connections in zones are not followed");

export const CONNTRACK: readonly Operand[] = [
  mapped("ct state", TYPES.ct_state, "ctstate", STATES, own),
  fieldOperand("ct status", TYPES.ct_status, "ctstatus", connected, {
    ...own,
    except: "exact comparisons of connections with a helper, an offload or shifted sequence numbers",
  }),
  fieldOperand("ct mark", TYPES.mark, "ctmark", connected, own),
  fieldOperand("ct direction", TYPES.ct_dir, "ctdir", connected, own),
  fieldOperand("ct protocol", TYPES.inet_proto, "ctproto", connected, own),
  l3proto("ct l3proto"),
  ...tuple("original"),
  ...tuple("reply"),
  ...counted("ct "),
  zone("ct zone"),
  unknown("ct expiration", TYPES.time, "the remaining lifetime of a connection is not known"),
  unknown("ct helper", TYPES.string, "the conntrack helper of a connection is not known"),
  unknown("ct label", TYPES.ct_label, "the labels of connections are not known"),
  unknown("ct event", TYPES.ct_event, "the events of connections are not modelled"),
  unknown("ct id", TYPES.ct_id, "the number of a connection is not known"),
  unknown("ct secmark", TYPES.integer, "security labels are not modelled"),
  unknown("ct count", TYPES.integer, "the number of connections is not known"),
];
