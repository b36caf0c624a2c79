/** Tests of expressions as predicates of the packet as it is sent, or as conditions on its outcome. */
import { proxyPorts } from "../audit/exposure.ts";
import type { Host } from "../host/host.ts";
import { ownAddresses } from "../host/own-addresses.ts";
import { comesIn } from "../host/packet-origin.ts";
import { MULTICAST } from "../packet/address.ts";
import { type Address, type Family, hasPorts, PROTO, type Range } from "../packet/field.ts";
import { ANY, and, is, NEVER, not, or, type Predicate, within } from "../packet/predicate.ts";
import type { Expression, QueryTest } from "../query-language/expression.ts";
import { firstOfConnections, type Origin } from "./packet-paths.ts";
import { containerZones, networkZones, testedInterfaces, testsOf } from "./query-names.ts";
import { packetsFrom, passedOn, type Zone } from "./zones.ts";

/** Packets of one family and origin. */
export interface Asked {
  readonly host: Host;
  readonly family: Family;
  readonly origin: Origin;
  readonly expression: Expression;
}

/** Addresses of groups: multicast, broadcast, and the zero address, which the kernel treats as broadcast. */
function groupsOf(host: Host, family: Family): readonly Range[] {
  const { broadcast } = ownAddresses(host, family);
  return [...MULTICAST[family], ...broadcast, family === 4 ? [0, 0] : [0n, 0n]];
}

/** Returns true if an expression names addresses of groups only, as in `to 224.0.0.251`. */
const namesGroups = (expression: Expression, groups: readonly Range[]): boolean =>
  testsOf(expression).some(
    (test) =>
      test.code === "addresses" &&
      test.side === "dst" &&
      test.ranges.some(({ range: [low, high] }) =>
        groups.some(([first, last]) => typeof first === typeof low && first <= low && high <= last),
      ),
  );

/**
 * First packets of connections to one receiver, unless the expression names a group. Packets of the host have one of its
 * addresses as source.
 */
export function firstPacketsOf({ host, family, origin, expression }: Asked): Predicate {
  const groups = groupsOf(host, family);
  return and(
    firstOfConnections(host, family),
    not(within("src", groups)),
    ...(namesGroups(expression, groups) ? [] : [not(within("dst", groups))]),
    origin === "arriving" ? comesIn(host) : within("src", ownAddresses(host, family).local),
  );
}

const singles = (values: readonly (string | Address)[]): Range[] => values.map((each) => [each, each]);

export const WITH_PORTS: Predicate = or(
  ...Object.values(PROTO)
    .filter(hasPorts)
    .map((proto) => is("proto", proto)),
);

/** Returns the packets of protocols with ports that have one of some ports. */
export const atPorts = (field: "sport" | "dport", ranges: readonly Range[]): Predicate =>
  and(WITH_PORTS, within(field, ranges));

/** Returns a test as a predicate; `null` if it tests the outcome. */
export function testPredicate(test: QueryTest, { host, family, origin }: Asked): Predicate | null {
  switch (test.code) {
    case "addresses": {
      const ranges = test.ranges.flatMap((each) => (each.family === family ? [each.range] : []));
      return ranges.length === 0 ? NEVER : within(test.side, ranges);
    }
    case "container":
    case "network": {
      if (test.side === "dst") return null;
      return origin === "sent"
        ? NEVER
        : or(...namedZones(test, host, family).map((zone) => packetsFrom(host, family, zone, "own")));
    }
    case "interface":
      if (test.field === "out") return null;
      return origin === "sent" ? NEVER : within("in", singles(testedInterfaces(test, host)));
    case "protocol":
      return is("proto", test.number);
    case "ports":
      return atPorts(test.field, test.ranges);
    case "family":
      return test.family === family ? ANY : NEVER;
    case "sent":
      return origin === "sent" ? ANY : NEVER;
    case "new":
      return ANY;
    default:
      return null;
  }
}

/** Returns the zones of the container or the network that a test names. */
export const namedZones = (
  { code, name: { name } }: Extract<QueryTest, { code: "container" | "network" }>,
  host: Host,
  family: Family,
): readonly Zone[] =>
  code === "container" ? containerZones(host, family, name) : networkZones(host, family, name);

/** Returns the addresses of the containers that a test names. */
export const namedAddresses = (host: Host, family: Family, name: string): readonly Address[] =>
  containerZones(host, family, name).flatMap(({ addresses }) =>
    (addresses ?? []).map(([address]) => address as Address),
  );

/** Returns all predicates that the answer to an expression needs. */
export function questionPredicates(expression: Expression, host: Host, family: Family): Predicate[] {
  const found: Predicate[] = [];
  for (const origin of ["arriving", "sent"] as const) {
    const asked: Asked = { host, family, origin, expression };
    found.push(firstPacketsOf(asked));
    for (const test of testsOf(expression)) {
      found.push(testPredicate(test, asked) ?? ANY);
      if (test.code === "container" || test.code === "network")
        found.push(...namedZones(test, host, family).map((zone) => passedOn(zone.proxied)));
      if (test.code === "container-ports")
        found.push(atPorts("dport", test.ranges), passedOn(proxyPorts({ family, host })));
      if (test.code === "container")
        found.push(within("dst", singles(namedAddresses(host, family, test.name.name))));
    }
  }
  return found.filter((predicate) => predicate.kind !== "any");
}

/**
 * Returns packets among which all are that satisfy an expression: tests of the outcome count as true.
 * @param lower all tests of the outcome count as false: all these packets satisfy the expression
 */
export function packetBound(expression: Expression, asked: Asked, lower = false): Predicate {
  switch (expression.kind) {
    case "test":
      return testPredicate(expression.test, asked) ?? (lower ? NEVER : ANY);
    case "not":
      return not(packetBound(expression.not, asked, !lower));
    case "and":
      return and(...expression.all.map((part) => packetBound(part, asked, lower)));
    case "or":
      return or(...expression.some.map((part) => packetBound(part, asked, lower)));
  }
}
