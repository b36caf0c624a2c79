/** Comparisons of nft(8), EXPRESSIONS: a value of the packet and a constant, a range or a set. */
import { type Expression, printExpression, printStatement } from "nftables-parser-ts";
import { type Range, type Scalar, successor } from "../packet/field.ts";
import { and, isNever, NEVER, negate, not, type Predicate } from "../packet/predicate.ts";
import type { KnownConditions } from "../rules/reading.ts";
import { TYPES } from "./datatype.ts";
import { ElementSet } from "./element-set.ts";
import { knownCondition } from "./known-condition.ts";
import { type CompileContext, type Operand, unknownOf } from "./operand.ts";
import {
  guardOf,
  type ReadValue,
  readKey,
  readsConnection,
  readsPacket,
  readValue,
  valueIn,
} from "./read-value.ts";
import type { RuleScope } from "./rule-scope.ts";
import { resolved } from "./scope.ts";
import type { StatementOf } from "./syntax.ts";
import { readConstant, readRanges } from "./values.ts";

type Match = StatementOf<"match">;

/** A condition of a rule. */
export interface RuleCondition {
  /** Names of the expressions that it reads. */
  readonly names: readonly string[];
  /** Its result may depend on more than the packet and the host. */
  readonly opaque: boolean;
  readonly needsConntrack: boolean;
  /** Its restrictions in the form that analyses read; `null` if there is none. */
  readonly reading: KnownConditions | null;
  text(): string;
  /** Packets that have the values; all others leave the rule. */
  guard(at: CompileContext): Predicate;
  predicate(at: CompileContext): Predicate;
}

/** Test of the value of a key, without the guard of the key. */
type Test = (at: CompileContext) => Predicate;

/** Reads a comparison. What cannot be read is reported, and its result is unknown. */
export function readMatch(match: Match, scope: RuleScope): RuleCondition {
  const key = readKey(match.left, scope);
  if (key === null) return new Comparison(match, NO_KEY, null, null, readsConnection(match.left, scope));
  const hidden = key.find(({ operand }) => operand.unknown !== undefined)?.operand;
  if (hidden === undefined) {
    const test = readTest(key, match, scope);
    return new Comparison(match, key, test, null, test === null && readsConnection(match.right, scope));
  }
  const set = match.right.kind === "reference" ? referredSet(match.right, scope, key) : null;
  return new Comparison(match, key, hiddenTest(match, hidden, set), hidden);
}

const NO_KEY: readonly ReadValue[] = [];
const NOT_EVALUATED = "fwcheck does not evaluate this comparison";

/** A comparison of a key with a test; without a test its result is unknown. Most rules are loaded and never compiled. */
class Comparison implements RuleCondition {
  constructor(
    private readonly match: Match,
    private readonly key: readonly ReadValue[],
    private readonly test: ReadTest | null,
    private readonly hidden: Operand | null,
    /** An expression that fwcheck does not evaluate reads the connection. */
    private readonly tracked = false,
  ) {}

  get names(): readonly string[] {
    return this.key.map(({ operand }) => operand.name);
  }

  get opaque(): boolean {
    return (
      this.test === null ||
      this.hidden !== null ||
      this.key.some(({ operand }) => operand.except !== undefined)
    );
  }

  get needsConntrack(): boolean {
    for (const { operand } of this.key) if (operand.needsConntrack === true) return true;
    return this.tracked;
  }

  get reading(): KnownConditions | null {
    return this.test === null || this.hidden !== null
      ? null
      : knownCondition(this.key, this.match, this.test);
  }

  text(): string {
    return printStatement(this.match);
  }

  guard(at: CompileContext): Predicate {
    return guardOf(this.key, at);
  }

  predicate(at: CompileContext): Predicate {
    const guard = this.guard(at);
    // A guard of another family: the value is of the wrong kind for the fields of this one.
    if (isNever(guard)) return guard;
    const { test } = this;
    if (test === null) return and(guard, unknownOf(this.text(), NOT_EVALUATED, at));
    return and(guard, negate(test.negated, test.holds(at)));
  }
}

/** A comparison with an unknown value: a comparison and its negation share the unknown. */
function hiddenTest(match: Match, { unknown }: Operand, set: ElementSet | null): ReadTest {
  const negated = match.operator === "!=" || match.operator === "!";
  return {
    negated,
    holds(at) {
      // No value is in an empty set.
      if (set?.isEmpty === true && set.unknownAt(at) === null) return NEVER;
      const text = `${negated ? "" : match.operator}${printExpression(match.left)} ${printExpression(match.right)}`;
      return unknown!(text, at);
    },
  };
}

interface ReadTest {
  readonly holds: Test;
  readonly negated: boolean;
  /** Ranges of a comparison with plain values. */
  readonly ranges?: readonly Range[] | undefined;
  /** Bits of which one must be set, or none under `!`. */
  readonly bits?: number;
}

/** Reads the right side; `null` if fwcheck does not evaluate it. */
function readTest(key: readonly ReadValue[], match: Match, scope: RuleScope): ReadTest | null {
  const right = resolved(match.right, scope);
  if (right === null) return null;
  const { operator } = match;
  const negated = operator === "!=";
  if (right.kind === "reference") {
    const set = referredSet(right, scope, key);
    return set === null ? null : { holds: (at) => set.contains(key, at), negated };
  }
  if (right.kind === "set") {
    const single = onlyElement(right, scope);
    // nft replaces a set of one element by the element, so that a plain comparison of flags tests bits.
    if (single !== null) return readTest(key, { ...match, right: single }, scope);
    const set = anonymousSet(right, key, scope);
    return { holds: (at) => set.contains(key, at), negated, ranges: set.values };
  }
  if (key.length > 1) {
    const set = anonymousSet(
      { kind: "set", elements: [{ key: right, data: null, options: [] }] },
      key,
      scope,
    );
    return { holds: (at) => set.contains(key, at), negated };
  }
  if (readsPacket(right)) {
    // Only an unknown expression is a fault; a comparison of two values is not evaluated.
    readValue(right, scope);
    return null;
  }
  return readScalarTest(key[0]!, match, right, scope);
}

function readScalarTest(
  value: ReadValue,
  match: Match,
  right: Expression,
  scope: RuleScope,
): ReadTest | null {
  const { operand } = value;
  const { type } = operand;
  const { operator } = match;
  const negated = operator === "!=";
  // `syn / syn,ack`
  if (right.kind === "mask") {
    const mask = readConstant(right.mask, type, scope);
    const bits = readConstant(right.value, type, scope);
    return mask === null || bits === null ? null : { holds: (at) => operand.masked(mask, bits, at), negated };
  }
  const oneBit = type.bitmask === true && (operator === "" || operator === "!") && value.mask === null;
  if (oneBit && right.kind !== "range" && right.kind !== "prefix") {
    const bits = readConstant(right, type, scope);
    if (bits === null || typeof bits === "string") return null;
    return {
      holds: (at) => hasBit(operand, bits, at),
      negated: operator === "!",
      ...(typeof bits === "number" ? { bits } : {}),
    };
  }
  if (operator === "!") {
    scope.report("! needs flags", printExpression(match.left), match.left.at);
    return null;
  }
  if (operator === "" || operator === "==" || operator === "!=") {
    const ranges =
      type.bitmask === true && right.kind !== "range"
        ? exact(right, value, scope)
        : readRanges(right, type, scope);
    return ranges === null ? null : { holds: (at) => valueIn(value, ranges, at), negated, ranges };
  }
  const bound = readConstant(right, type, scope);
  if (bound === null || typeof bound === "string") return null;
  const ranges = compared(operator, bound, type.bits ?? 32);
  return { holds: (at) => valueIn(value, ranges, at), negated: false, ranges };
}

/** Returns the packets whose value has one of these bits. */
function hasBit(operand: Operand, bits: number | bigint, at: CompileContext): Predicate {
  if (typeof bits === "bigint") return not(operand.masked(bits, 0n, at));
  if (operand.someBit !== undefined) return operand.someBit(bits);
  const single = (bits & (bits - 1)) === 0 && bits !== 0;
  return single ? operand.masked(bits, bits, at) : not(operand.masked(bits, 0, at));
}

function exact(right: Expression, { operand }: ReadValue, scope: RuleScope): Range[] | null {
  const bits = readConstant(right, operand.type, scope);
  return bits === null ? null : [[bits, bits]];
}

const zero = (like: Scalar): Scalar => (typeof like === "bigint" ? 0n : 0);

/** Returns the values that are less or greater than a bound. */
function compared(operator: "<" | "<=" | ">" | ">=", bound: number | bigint, bits: number): Range[] {
  const last = typeof bound === "bigint" ? (1n << 128n) - 1n : 2 ** Math.min(bits, 48) - 1;
  const below = typeof bound === "bigint" ? bound - 1n : bound - 1;
  const range: Range =
    operator === "<"
      ? [zero(bound), below]
      : operator === "<="
        ? [zero(bound), bound]
        : operator === ">"
          ? [successor(bound), last]
          : [bound, last];
  return range[0] <= range[1] ? [range] : [];
}

/** Returns the set of a reference; `null` and a report if the table does not have it. */
export function referredSet(
  reference: Extract<Expression, { kind: "reference" }>,
  scope: RuleScope,
  key: readonly ReadValue[] = [],
): ElementSet | null {
  const set = scope.set(reference.name);
  if (set !== undefined) return set.types === null ? null : trusted(set, isMisread(key), isMisprinted(key));
  scope.report(`set @${reference.name} does not exist in this table`, `@${reference.name}`, reference.at);
  return null;
}

/** Returns the element of a set of one; `null` for any other. */
function onlyElement(set: Extract<Expression, { kind: "set" }>, scope: RuleScope): Expression | null {
  const [first] = set.elements;
  if (set.elements.length !== 1 || first!.expires === true) return null;
  const key = resolved(first!.key, scope);
  if (key === null || key.kind === "catch-all") return null;
  return key.kind === "set" ? onlyElement(key, scope) : key;
}

/** Returns an anonymous set, whose elements have the types of a key. */
export function anonymousSet(
  { elements }: Extract<Expression, { kind: "set" }>,
  key: readonly ReadValue[],
  scope: RuleScope,
): ElementSet {
  const set = new ElementSet(
    "",
    key.map(({ operand }) => operand.type),
  );
  set.add(elements, scope);
  const misprinted = key.length > 1 && key.some(isInteger);
  return trusted(set, key.length > 1 && isMisread(key), misprinted);
}

/** Returns a set without certain elements where the kernel compares others than those that nft prints. */
const trusted = (set: ElementSet, isMisread: boolean, isMisprinted: boolean): ElementSet =>
  isMisread
    ? set.distrusted("misread")
    : isMisprinted && (set.hasIntervals || set.hasData)
      ? set.distrusted("misprinted")
      : set;

const isInteger = ({ operand }: ReadValue): boolean => operand.type === TYPES.integer;

/**
 * nft decodes the parts from a number of one byte (`ip ttl`) on from other bytes in maps, and where elements are intervals: in
 * named sets the parts after it, in anonymous ones the number itself, too.
 */
const isMisprinted = (key: readonly ReadValue[]): boolean =>
  key.length > 2 && key.slice(0, -1).some(isInteger);

/** nft 1.0.6 shifts the two bytes of ip6 dscp without changing their order first; 1.1 does so. The listing does not tell. */
const isMisread = (key: readonly ReadValue[]): boolean =>
  key.some(({ operand }) => operand.name === "ip6 dscp");
