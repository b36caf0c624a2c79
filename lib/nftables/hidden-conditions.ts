/**
 * Conditions of a rule that its listing does not show, since nft 1.0.6 loads or prints them otherwise: comparisons that it merges,
 * and protocols that it leaves out before `th`. Each is an unknown of the rule.
 */
import type { Expression, Statement } from "nftables-parser-ts";
import { ANY, and, not, or, type Predicate } from "../packet/predicate.ts";
import type { RuleCondition } from "./condition.ts";
import { type CompileContext, unknownOf } from "./operand.ts";
import { resolved, type Scope } from "./scope.ts";
import type { Step } from "./step.ts";
import type { StatementOf } from "./syntax.ts";

type Match = StatementOf<"match">;

/** Bytes of a packet that a field consists of. */
interface Place {
  readonly base: string;
  readonly offset: number;
  readonly bytes: number;
}

/** Fields of whole bytes: name, offset, bytes. Fields of 4 and 16 bytes are never merged. */
const FIELDS = {
  link: { ether: "daddr 0 6, saddr 6 6, type 12 2" },
  network: {
    ip: "length 2 2, id 4 2, frag-off 6 2, ttl 8 1, protocol 9 1, checksum 10 2",
    ip6: "length 4 2, nexthdr 6 1, hoplimit 7 1",
  },
  transport: {
    tcp: "sport 0 2, dport 2 2, flags 13 1, window 14 2, checksum 16 2, urgptr 18 2",
    udp: "sport 0 2, dport 2 2, length 4 2, checksum 6 2",
    udplite: "sport 0 2, dport 2 2, csumcov 4 2, checksum 6 2",
    sctp: "sport 0 2, dport 2 2",
    dccp: "sport 0 2, dport 2 2",
    th: "sport 0 2, dport 2 2",
    icmp: "type 0 1, code 1 1, checksum 2 2, id 4 2, sequence 6 2",
    icmpv6: "type 0 1, code 1 1, checksum 2 2, id 4 2, sequence 6 2",
    igmp: "type 0 1, mrt 1 1, checksum 2 2",
    ah: "nexthdr 0 1, hdrlength 1 1, reserved 2 2",
    comp: "nexthdr 0 1, flags 1 1, cpi 2 2",
  },
};

const PLACES: ReadonlyMap<string, Place> = new Map(
  Object.entries(FIELDS).flatMap(([base, headers]) =>
    Object.entries(headers).flatMap(([header, fields]) =>
      fields.split(", ").map((field): [string, Place] => {
        const [name, offset, bytes] = field.split(" ");
        return [`${header} ${name}`, { base, offset: Number(offset), bytes: Number(bytes) }];
      }),
    ),
  ),
);

const RAW_BASES: Readonly<Record<string, string>> = { ll: "link", nh: "network", th: "transport" };

/** Returns the bytes that an expression reads; `undefined` for any other than a field of whole bytes. */
function placeOf(left: Expression): Place | undefined {
  if (left.kind !== "selector") return undefined;
  const { words } = left;
  if (words[0] !== "@") return PLACES.get(words.join(" "));
  const [base, offset, bits] = [RAW_BASES[words[1]!], Number(words[2]), Number(words[3])];
  return base === undefined || offset % 8 !== 0 || bits % 8 !== 0
    ? undefined
    : { base, offset: offset / 8, bytes: bits / 8 };
}

/** Returns true for one value; nft replaces a set of one element by the element. */
function isSingle(given: Expression, scope: Scope): boolean {
  const right = resolved(given, scope);
  if (right?.kind === "set") return right.elements.length === 1 && isSingle(right.elements[0]!.key, scope);
  return right?.kind === "value" || right?.kind === "list" || right?.kind === "binary";
}

/** A `!=` that may be merged with others. */
interface Candidate {
  readonly index: number;
  readonly place: Place;
}

/** Returns the comparisons of a rule that nft 1.0.6 merges, as indexes of statements (payload_try_merge in src/rule.c). */
function mergedGroups(statements: readonly Statement[], scope: Scope): readonly (readonly number[])[] {
  const negated = statements.flatMap((each, index) =>
    each.kind === "match" && each.operator === "!=" ? [{ index, match: each as Match }] : [],
  );
  if (negated.length < 2) return [];
  const candidates = negated.flatMap(({ index, match }): Candidate[] => {
    const place = placeOf(match.left);
    return place === undefined || !isSingle(match.right, scope) ? [] : [{ index, place }];
  });
  candidates.sort(({ place: a }, { place: b }) =>
    a.base < b.base ? -1 : a.base > b.base ? 1 : a.offset - b.offset,
  );
  const groups: Group[] = [];
  for (const candidate of candidates) {
    const last = groups.at(-1);
    if (last === undefined || !joins(last, candidate.place))
      groups.push({ members: [candidate], repeats: false });
    else {
      last.repeats ||= last.members.at(-1)!.place.offset === candidate.place.offset;
      last.members.push(candidate);
    }
  }
  return groups
    .filter(({ members: [first, ...rest] }) => rest.some(({ place }) => place.offset !== first!.place.offset))
    .map(({ members }) => members.map(({ index }) => index).sort((a, b) => a - b));
}

/** Tests of adjacent fields, in the order of the header. */
interface Group {
  readonly members: Candidate[];
  /** A field is tested twice: it is not known with which of these tests nft merges the next one. */
  repeats: boolean;
}

/** Returns true if nft may merge a test of a field with the last ones of a group: up to four bytes, unless both are longer. */
function joins({ members, repeats }: Group, next: Place): boolean {
  const last = members.at(-1)!.place;
  if (last.base !== next.base) return false;
  if (last.offset === next.offset) return true;
  const bytes = repeats ? last.bytes : members.reduce((sum, { place }) => sum + place.bytes, 0);
  return last.offset + last.bytes === next.offset && bytes % 4 !== 0 && next.bytes % 4 !== 0;
}

const WHY_MERGED =
  "nft 1.0.6 merges `!=` tests of adjacent fields into one, which matches unless all are equal; a listing does not show this";

/** The rule was loaded by a version that merges. */
const merges = (at: CompileContext): Predicate => unknownOf("merged-tests", WHY_MERGED, at);

/** A condition whose result another one may change. */
abstract class UncertainCondition implements RuleCondition {
  constructor(protected readonly own: RuleCondition) {}

  get names(): readonly string[] {
    return this.own.names;
  }

  get opaque(): true {
    return true;
  }

  get needsConntrack(): boolean {
    return this.own.needsConntrack;
  }

  get reading(): null {
    return null;
  }

  text(): string {
    return this.own.text();
  }

  guard(at: CompileContext): Predicate {
    return this.own.guard(at);
  }

  abstract predicate(at: CompileContext): Predicate;
}

/** The first comparison of a group: the kernel evaluates the merged one in its place. */
class FirstOfGroup extends UncertainCondition {
  constructor(
    own: RuleCondition,
    private readonly group: readonly RuleCondition[],
  ) {
    super(own);
  }

  predicate(at: CompileContext): Predicate {
    const tests = this.group.map((each) => each.predicate(at));
    const [first] = tests;
    const merged = merges(at);
    return and(
      ...this.group.map((each) => each.guard(at)),
      // If all differ, both forms match; the other cases depend on the version.
      or(and(...tests), and(merged, or(...tests)), and(not(merged), first!)),
    );
  }
}

/** The other comparisons of a group hold with it. */
class LaterOfGroup extends UncertainCondition {
  predicate(at: CompileContext): Predicate {
    return or(merges(at), this.own.predicate(at));
  }
}

/** Expressions of a statement that may read a packet. */
function expressionsOf(given: Statement): readonly (Expression | null)[] {
  switch (given.kind) {
    case "match":
      return [given.left, given.right];
    case "vmap":
      return [given.key];
    case "assignment":
      return [{ kind: "selector", words: given.target.words }, given.value];
    case "nat":
    case "tproxy":
      return [given.address, given.port];
    case "set":
      return [given.key];
    case "limit":
    case "other":
      return given.inputs ?? [];
    default:
      return [];
  }
}

/** Returns true for an expression that reads ports of any protocol. */
function readsAnyPort(given: Expression | null): boolean {
  switch (given?.kind) {
    case "selector":
      return given.words[0] === "th" || (given.inputs ?? []).some(readsAnyPort);
    case "concatenation":
      return given.parts.some(readsAnyPort);
    case "binary":
      return readsAnyPort(given.left);
    case "map":
      return readsAnyPort(given.key);
    default:
      return false;
  }
}

/** Names of expressions that say which protocol a packet has. */
const PROTOCOL =
  /^(?:meta l4proto|ip protocol|ip6 nexthdr|ct (?:original |reply )?protocol|(?:tcp|udp|udplite|sctp|dccp|icmp|icmpv6|igmp|esp|ah|comp|gre) .*)$/;

const WHY_PROTOCOL =
  "nft 1.0.6 does not print `ct protocol` before `th`, nor `meta l4proto` of protocols without ports; the listing does not show whether there is one";

/**
 * The packet has the protocol of a condition that may precede `th` although the listing does not show it.
 * @param statements number of statements before it: nft prints conditions before these
 */
const hasProtocol =
  (statements: number) =>
  (at: CompileContext): Predicate =>
    unknownOf(statements === 0 ? "th-protocol" : `th-protocol:${statements}`, WHY_PROTOCOL, at);

/** A comparison with `th`. */
class BareComparison extends UncertainCondition {
  constructor(
    own: RuleCondition,
    private readonly hidden: (at: CompileContext) => Predicate,
  ) {
    super(own);
  }

  predicate(at: CompileContext): Predicate {
    return and(this.own.predicate(at), this.hidden(at));
  }
}

/** Returns a step with `th` that may depend on a condition that the listing does not show. */
function withProtocol(step: Step, statements: number): Step {
  const hidden = hasProtocol(statements);
  if (step.kind === "condition")
    return { kind: "condition", condition: new BareComparison(step.condition, hidden) };
  return { ...step, goesOn: (at) => and(hidden(at), step.goesOn?.(at) ?? ANY) };
}

/** Adds the conditions that the listing does not show to the steps of statements. */
export function withHiddenConditions(
  statements: readonly Statement[],
  given: readonly Step[],
  scope: Scope,
): Step[] {
  const steps = [...given];
  for (const group of mergedGroups(statements, scope)) {
    const conditions = group.flatMap((index) => {
      const step = given[index]!;
      return step.kind === "condition" ? [step.condition] : [];
    });
    for (const [i, index] of group.entries()) {
      const own = conditions[i]!;
      const condition = i === 0 ? new FirstOfGroup(own, conditions) : new LaterOfGroup(own);
      steps[index] = { kind: "condition", condition };
    }
  }
  let before = 0;
  for (const [index, statement] of statements.entries()) {
    const step = steps[index]!;
    if (step.kind === "condition" && step.condition.names.some((name) => PROTOCOL.test(name))) break;
    if (expressionsOf(statement).some(readsAnyPort)) steps[index] = withProtocol(step, before);
    if (step.kind !== "condition") before++;
  }
  return steps;
}
