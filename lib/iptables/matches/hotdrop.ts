/** Packets that matches drop since they cannot parse them (`par->hotdrop`). Modelled packets have complete headers. */
import { PROTO, type Range } from "../../packet/field.ts";
import { and, between, is, opaque, or, within } from "../../packet/predicate.ts";
import type { Hotdrop } from "../extension.ts";

/** IPv6's "no next header" (ipv6_skip_exthdr). */
export const HEADLESS: Hotdrop = { when: is("proto", 59), packet: "a packet without a next header" };

const only = (...list: readonly number[]): ReturnType<typeof within> =>
  within(
    "proto",
    list.map((proto): Range => [proto, proto]),
  );

/** An IPv4 fragment shorter than the position of the ports (proto_ports_offset). */
export const SHORT: Hotdrop = {
  when: and(
    is("fragment", 1),
    or(
      and(
        only(PROTO.tcp, PROTO.udp, PROTO.dccp, PROTO.esp, PROTO.sctp, PROTO.udplite),
        between("length", 0, 23),
      ),
      and(only(PROTO.ah), between("length", 0, 27)),
    ),
  ),
  packet: "a fragment that is too short for ports",
};

/** A TCP fragment whose payload is parsed as a header. */
export const GARBLED: Hotdrop = {
  when: and(is("fragment", 1), opaque("tcpmss-fragment", "the first bytes of a fragment are not known")),
  packet: "a fragment that does not look like a header",
};

/** A mobility header with a next header, which RFC 6275 forbids. */
export const MISHEADED: Hotdrop = {
  when: and(
    is("proto", 135),
    is("fragment", 0),
    opaque("mh-payload", "the next header of a mobility header is not known"),
  ),
  packet: "a mobility header with a next header",
};
