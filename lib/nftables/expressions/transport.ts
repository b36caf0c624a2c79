/**
 * Headers of transport protocols. The kernel reads their bytes from every fragment of a packet (nft_payload_fast_eval); the
 * fields of a later fragment are the bytes at the same place.
 */
import { PROTO } from "../../packet/field.ts";
import { is } from "../../packet/predicate.ts";
import { TYPES } from "../datatype.ts";
import { always, fieldOperand, type Guard, type Operand, unknownOperand } from "../operand.ts";

const { integer, inet_service, tcp_flag } = TYPES;

const proto = (number: number): Guard => {
  const guard = is("proto", number);
  return () => guard;
};

/** Ports of a protocol. */
const ports = (name: string, guard: Guard): Operand[] => [
  fieldOperand(`${name} sport`, inet_service, "sport", guard),
  fieldOperand(`${name} dport`, inet_service, "dport", guard),
];

const others = (name: string, guard: Guard, fields: string): Operand[] =>
  fields
    .split(" ")
    .map((field) =>
      unknownOperand(`${name} ${field}`, integer, `this field of the ${name} header is not modelled`, guard),
    );

const tcp = proto(PROTO.tcp);
const udp = proto(PROTO.udp);
const udplite = proto(PROTO.udplite);
const sctp = proto(PROTO.sctp);
const dccp = proto(PROTO.dccp);

export const TRANSPORT: readonly Operand[] = [
  ...ports("tcp", tcp),
  fieldOperand("tcp flags", tcp_flag, "flags", tcp),
  ...others("tcp", tcp, "sequence ackseq doff reserved window checksum urgptr"),
  ...ports("udp", udp),
  ...others("udp", udp, "length checksum"),
  ...ports("udplite", udplite),
  ...others("udplite", udplite, "checksum csumcov"),
  ...ports("sctp", sctp),
  ...others("sctp", sctp, "vtag checksum"),
  ...ports("dccp", dccp),
  unknownOperand("dccp type", TYPES.dccp_pkttype, "the types of DCCP packets are not modelled", dccp),
  // No protocol is implied: of a packet without ports the kernel reads the bytes at their place.
  ...ports("th", always),
  fieldOperand("esp spi", integer, "spi", proto(PROTO.esp)),
  ...others("esp", proto(PROTO.esp), "sequence"),
  fieldOperand("ah spi", integer, "spi", proto(PROTO.ah)),
  ...others("ah", proto(PROTO.ah), "sequence hdrlength reserved nexthdr"),
  fieldOperand("comp cpi", integer, "spi", proto(108)),
  ...others("comp", proto(108), "nexthdr flags"),
];
