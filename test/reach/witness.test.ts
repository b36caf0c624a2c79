/** The witness of a set is a packet that `readPacket` accepts, if the set contains one. */
import { readPacket } from "fwcheck";
import { expect, test } from "vitest";
import { packetJson } from "../../lib/packet/packet-json.ts";
import { and, between, is, not, or, type Predicate } from "../../lib/packet/predicate.ts";
import { Domain } from "../../lib/reach/domain.ts";
import { witness } from "../../lib/reach/witness.ts";

const PORTS = or(is("proto", 6), is("proto", 17));

// Each case: a predicate, and fields of its witness.
test.each<[string, 4 | 6, Predicate, Record<string, unknown>]>([
  ["no extension header of IPv6 as protocol", 6, not(or(PORTS, is("proto", 1))), { proto: "igmp" }],
  [
    "the same where the header is an interval of its own",
    6,
    or(is("proto", 0), is("proto", 44), is("proto", 89)),
    { proto: "89" },
  ],
  ["protocol 0 of IPv4 is one", 4, is("proto", 0), { proto: "0" }],
  [
    "no length below that of the headers",
    6,
    and(is("proto", 6), or(between("length", 0, 39), is("length", 70))),
    { length: 70 },
  ],
  [
    "no interface name with control characters",
    4,
    and(not(is("in", "eth0")), between("in", "eth0", "eth1")),
    { in: "eth00" },
  ],
])("%s", (_, family, predicate, has) => {
  const domain = Domain.of(family, [{ predicates: [predicate], markValues: new Map() }]);
  const { packet } = witness(domain, domain.set(predicate), { in: ["eth0"], proto: [6, 17] });
  const json = packetJson(packet);
  expect(json).toMatchObject(has);
  expect(readPacket(json)).toBeTypeOf("object");
});
