/** Prints a rule's condition as the packets that match it: `TCP packets to port 80 that arrive on eth0`. */
import { icmpName } from "../../iptables/matches/icmp.ts";
import { type Field, PROTO } from "../../packet/field.ts";
import type { UnknownReason } from "../../packet/unknown-reason.ts";
import { listText } from "../text/list.ts";
import {
  bitsClause,
  endpointValues,
  isEquality,
  isTracked,
  type Naming,
  protocolAcronym,
  rangeClause,
} from "./field-text.ts";
import {
  alwaysHolds,
  type FieldTest,
  neverHolds,
  partsOf,
  type RangeTest,
  type ReadableCondition,
} from "./readable-condition.ts";

type TextTest = Extract<FieldTest, { kind: "text" }>;

/** The packets that match a rule. */
export interface MatchedPackets {
  /** A plural noun phrase: `TCP packets to port 80 that arrive on eth0`. */
  readonly noun: string;
  /** Matches that are printed as written, after the verb; `unknown` is the reason that the result is unknown. */
  readonly conditions: readonly { readonly text: string; readonly unknown: UnknownReason | null }[];
}

/** Prints part of a condition as a clause: `arrive on eth0`, `either A or B`. */
function clause(condition: ReadableCondition, naming: Naming): string {
  switch (condition.kind) {
    case "in":
      return rangeClause(condition, naming);
    case "bits":
      return bitsClause(condition, naming);
    case "text":
      return `${condition.not ? "do not match" : "match"} ${condition.text}`;
    case "all":
      return condition.parts.map((part) => clause(part, naming)).join(" and ");
    case "some": {
      const clauses = condition.parts.map((part) => clause(part, naming));
      return clauses.length === 2
        ? `either ${clauses[0]} or ${clauses[1]}`
        : `satisfy one of these: ${clauses.join("; ")}`;
    }
  }
}

const isTestOf = (
  condition: ReadableCondition,
  ...fields: readonly Field[]
): condition is Extract<FieldTest, { kind: "in" | "bits" }> =>
  (condition.kind === "in" || condition.kind === "bits") && fields.includes(condition.field);

/** Clauses about these fields come first, in this order. */
const FIRST_FIELDS: readonly Field[] = ["in", "physin", "out", "physout", "ctstate", "ctstatus"];

/** Parts of a conjunction that are not printed yet. */
class RemainingTests {
  private parts: readonly ReadableCondition[];

  constructor(condition: ReadableCondition) {
    this.parts = partsOf(condition);
  }

  /** Removes and returns the first range test of a field that satisfies `matches`. */
  take(field: Field, matches: (test: RangeTest) => boolean = () => true): RangeTest | undefined {
    const found = this.parts.find(
      (part): part is RangeTest => part.kind === "in" && part.field === field && matches(part),
    );
    this.parts = this.parts.filter((part) => part !== found);
    return found;
  }

  /** Removes and returns all tests of a field. */
  takeAll(field: Field): Extract<FieldTest, { kind: "in" | "bits" }>[] {
    const found = this.parts.filter((part) => isTestOf(part, field));
    this.parts = this.parts.filter((part) => !isTestOf(part, field));
    return found;
  }

  some(matches: (part: ReadableCondition) => boolean): boolean {
    return this.parts.some(matches);
  }

  /** The remaining parts that have clauses of their own, in the order of the sentence. */
  clauses(): ReadableCondition[] {
    const order = (part: ReadableCondition): number => {
      const i = part.kind === "in" || part.kind === "bits" ? FIRST_FIELDS.indexOf(part.field) : -1;
      return i < 0 ? FIRST_FIELDS.length : i;
    };
    return this.parts.filter((part) => part.kind !== "text").sort((a, b) => order(a) - order(b));
  }

  texts(): TextTest[] {
    return this.parts.filter((part) => part.kind === "text");
  }
}

const EVERY_PACKET = "All packets that reach this rule";

/** Returns the packets that match a rule with this condition. */
export function matchedPackets(condition: ReadableCondition, naming: Naming): MatchedPackets {
  if (alwaysHolds(condition)) return { noun: EVERY_PACKET, conditions: [] };
  if (neverHolds(condition)) return { noun: "No packets at all", conditions: [] };
  const rest = new RemainingTests(condition);
  removeImplied(rest);
  const kind = packetKind(rest, naming);
  const from = endpointPhrase("from", "src", "sport", rest, naming);
  const to = endpointPhrase("to", "dst", "dport", rest, naming);
  const clauses = rest.clauses().map((part) => clause(part, naming));
  const noun =
    kind === "Packets" && from === "" && to === "" && clauses.length === 0
      ? EVERY_PACKET
      : `${kind}${from}${to}${clauses.length === 0 ? "" : ` that ${listText(clauses, "and")}`}`;
  return { noun, conditions: rest.texts() };
}

/** Removes tests that the reader can infer from the others. */
function removeImplied(rest: RemainingTests): void {
  // Only a packet with a transport header has ports, so it is not a later fragment.
  rest.take("fragment", (test) => isEquality(test) && test.ranges[0]![0] === 0);
  if (rest.some((part) => isTestOf(part, "uid", "gid"))) rest.take("socket", ({ not }) => !not);
  const testsConnection = rest.some(
    (part) => (part.kind === "in" || part.kind === "bits") && /^ct(?!state)/.test(part.field),
  );
  if (testsConnection) rest.take("ctstate", (test) => !test.not && isTracked(test));
}

/** `TCP packets`, `ICMP echo-request packets`, `Packets of protocol 41`. */
function packetKind(rest: RemainingTests, { facts }: Naming): string {
  const test = rest.take("proto", isEquality);
  if (test === undefined) return "Packets";
  const proto = test.ranges[0]![0] as number;
  const name = protocolAcronym(proto);
  if (name === undefined) return `Packets of protocol ${proto}`;
  if (proto !== PROTO.icmp && proto !== PROTO.icmpv6) return `${name} packets`;
  const typeName = (each: RangeTest | undefined): string | undefined =>
    each === undefined || !isEquality(each)
      ? undefined
      : icmpName(each.ranges[0]![0] as number, facts.family);
  const type = typeName(rest.take("type", (each) => typeName(each) !== undefined));
  return type === undefined ? `${name} packets` : `${name} ${type} packets`;
}

/** ` to port 80 of 10.0.0.1`; empty if neither address nor port is tested. */
function endpointPhrase(
  preposition: string,
  address: Field,
  port: Field,
  rest: RemainingTests,
  naming: Naming,
): string {
  const hosts = listText(
    rest.takeAll(address).map((test) => endpointValues(test, naming)),
    "and",
  );
  const ports = rest.take(port);
  if (ports === undefined) return hosts === "" ? "" : ` ${preposition} ${hosts}`;
  return ` ${preposition} ${endpointValues(ports, naming)}${hosts === "" ? "" : ` of ${hosts}`}`;
}
