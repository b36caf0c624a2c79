/** What matches throw away since they cannot read it. A packet that is described has its headers whole. */
import { PROTO, type Range } from "../../packet/field.ts";
import { and, between, is, opaque, or, within } from "../../packet/predicate.ts";
import type { Hotdrop } from "../extension.ts";

/** IPv6's "no next header" (ipv6_skip_exthdr). */
export const HEADLESS: Hotdrop = { when: is("proto", 59), why: "a packet without a next header" };

const only = (...list: readonly number[]): ReturnType<typeof within> =>
  within(
    "proto",
    list.map((proto): Range => [proto, proto]),
  );

/** An IPv4 fragment that ends before the four bytes where ports would be (proto_ports_offset). */
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
  why: "a fragment that is too short for ports",
};

/** A fragment of TCP that is read as if it began with a header. */
export const GARBLED: Hotdrop = {
  when: and(is("fragment", 1), opaque("tcpmss-fragment", "what a fragment begins with is not known")),
  why: "a fragment that does not look like a header",
};

/** A mobility header that says something follows it, which nothing may. */
export const MISHEADED: Hotdrop = {
  when: and(
    is("proto", 135),
    is("fragment", 0),
    opaque("mh-payload", "whether a mobility header says that another follows is not known"),
  ),
  why: "a mobility header that another follows",
};
