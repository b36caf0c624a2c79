/** Statements that change a field (nft(8), PAYLOAD STATEMENT, META STATEMENT, CONNTRACK STATEMENT). */
import { type Expression, printStatement } from "nftables-parser-ts";
import type { Field, Scalar } from "../../packet/field.ts";
import { ANY, and, isNever, type Predicate } from "../../packet/predicate.ts";
import { type Change, type Effect, NOTE, PREPARE, unknownEffect } from "../../rules/effect.ts";
import { siteKey } from "../../rules/facts.ts";
import type { Data } from "../element-set.ts";
import { type Lookup, readLookup } from "../lookup.ts";
import { always, type CompileContext, type Operand } from "../operand.ts";
import {
  guardOf,
  type ReadValue,
  readSelector,
  readsConnection,
  readsPacket,
  readValue,
} from "../read-value.ts";
import type { RuleScope } from "../rule-scope.ts";
import { resolved } from "../scope.ts";
import { readSmallValue, type SmallValue } from "../small-value.ts";
import { CONNTRACK_TRAITS, NO_TRAITS, note, type StatementStep, statement } from "../step.ts";
import type { StatementOf } from "../syntax.ts";
import { allBits, readConstant } from "../values.ts";

type Assignment = StatementOf<"assignment">;

/** Fields that a statement may copy from; marks have few values, which both engines follow. */
const COPIED: readonly Field[] = ["mark", "ctmark"];

/** New value of a field. */
type Written =
  | { readonly kind: "constant"; readonly value: Scalar }
  | { readonly kind: "value"; readonly value: ReadValue }
  /** One constant for each value of another expression. */
  | { readonly kind: "each"; readonly source: SmallValue }
  | { readonly kind: "map"; readonly lookup: Lookup; readonly values: ReadonlyMap<Data, Scalar | null> };

/** Statements that configure the connection or the packet, by target; the text is their side effect. */
const SIDE_EFFECTS: Readonly<Record<string, string>> = {
  "ct helper": "sets the conntrack helper of the connection",
  "ct expectation": "expects further connections",
  "ct label": "sets a label of the connection",
  "ct event": "selects the events of the connection",
  "ct secmark": "keeps the security label with the connection",
  "meta secmark": "sets a security label",
  "meta nftrace": "traces the packet",
  "meta priority": "selects the class of traffic shaping",
};

/** Reads `TARGET set VALUE`. */
export function readAssignment(given: Assignment, scope: RuleScope): StatementStep {
  const text = (): string => printStatement(given);
  const words = given.target.words;
  const name = words[0] === "meta" || words.length > 1 ? words.join(" ") : `meta ${words[0]}`;
  if (name === "ct timeout")
    return statement("other", text, (_at, rest) => followed(PREPARE, rest), {
      sideEffect: "sets the timeouts of the connection",
      traits: { preparesConnection: true },
    });
  if (name === "ct zone")
    return unknownStatement(text, "connections in zones are not followed", { preparesConnection: true });
  const sideEffect = Object.hasOwn(SIDE_EFFECTS, name)
    ? SIDE_EFFECTS[name]!
    : name.includes(" option ")
      ? ""
      : null;
  if (sideEffect !== null) return readSideEffect(given, name, sideEffect, text, scope);
  return readChange(given, text, scope);
}

/** A statement whose effect is unknown. */
export const unknownStatement = (
  text: () => string,
  why: string,
  traits: StatementStep["traits"] = NO_TRAITS,
): StatementStep =>
  statement("unknown", text, ({ site }) => unknownEffect(siteKey(text(), site), why), { traits });

/** A change of something that no rule can test, or whose tests are unknown anyway. Its value may come from a map. */
function readSideEffect(
  given: Assignment,
  name: string,
  sideEffect: string,
  text: () => string,
  scope: RuleScope,
): StatementStep {
  const option = name.includes(" option ");
  const traits = name.startsWith("ct ")
    ? CONNTRACK_TRAITS
    : option
      ? { rewritesTcpOptions: true, ...(name.includes("maxseg") ? { lengthens: true } : {}) }
      : NO_TRAITS;
  const value = resolved(given.value, scope);
  const lookup = value?.kind === "map" ? readLookup(value.key, value.map, scope) : null;
  const target = option ? readSelector(given.target, scope) : null;
  return note(text, option ? "changes an option of TCP" : sideEffect, {
    traits,
    ...(target === null && lookup === null
      ? {}
      : { goesOn: (at) => and(target?.guard(at) ?? ANY, lookup?.found(at) ?? ANY) }),
  });
}

/** `effect`, and what follows it. */
function followed(effect: Effect, rest: () => Effect): Effect {
  const next = rest();
  return effect.kind !== "assign" || next === NOTE ? effect : { ...effect, next };
}

function readChange(given: Assignment, text: () => string, scope: RuleScope): StatementStep {
  const target = readSelector(given.target, scope);
  // A value that is never used may have any type.
  const written = unwritable(target, null) === null ? readWritten(given.value, target, scope) : null;
  const tracked = target.needsConntrack === true || (written === null && readsConnection(given.value, scope));
  const traits = tracked ? CONNTRACK_TRAITS : NO_TRAITS;
  const why = unwritable(target, written);
  if (why !== null || written === null)
    return unknownStatement(text, why ?? "fwcheck does not evaluate the new value", traits);
  const goesOn = (at: CompileContext): Predicate => and(targetGuard(target, at), sourceGuard(written, at));
  const { field } = target.reads!;
  const assign = (change: Change, rest: () => Effect): Effect =>
    followed({ kind: "assign", field, change }, rest);
  const constant = (value: Scalar): Change => constantChange(target, value);
  return statement(
    "other",
    text,
    (at, rest) => {
      if (isNever(goesOn(at))) return NOTE;
      switch (written.kind) {
        case "constant":
          return assign(constant(written.value), rest);
        case "value":
          return copied(written.value, field, rest);
        case "each": {
          const cases = written.source.cases(at);
          return {
            kind: "choice",
            cases: cases.map(({ when, value }) => ({ when, effect: assign(constant(value), rest) })),
          };
        }
        case "map":
          return written.lookup.choose(at, (data) => {
            const value = written.values.get(data) ?? null;
            return value === null
              ? unknownEffect(siteKey(text(), at.site), "fwcheck does not evaluate the new value")
              : assign(constant(value), rest);
          });
      }
    },
    { traits: traitsOf(written, traits), ...(isUnrestricted(target, written) ? {} : { goesOn }) },
  );
}

/** Returns true if the statement ends the rule for no packet. */
function isUnrestricted(target: Operand, written: Written): boolean {
  if (target.needsConntrack !== true && target.guard !== always) return false;
  return written.kind === "constant" || (written.kind === "value" && written.value.operand.guard === always);
}

/** The change that writes a constant. */
function constantChange({ reads, type }: Operand, value: Scalar): Change {
  if (typeof value === "bigint") return { kind: "address", keep: 0n, xor: value };
  const { shift, offset } = reads!;
  const all = shift === 0 && (type.bits ?? 0) >= 8;
  const clear = all ? 0xffff_ffff : Number(allBits(type)) * 2 ** shift;
  return { kind: "bits", clear, xor: (value as number) * 2 ** shift + offset };
}

const traitsOf = (written: Written, traits: StatementStep["traits"]): StatementStep["traits"] =>
  (written.kind === "map" && written.lookup.needsConntrack) ||
  (written.kind === "value" && written.value.operand.needsConntrack === true) ||
  (written.kind === "each" && written.source.operand.needsConntrack === true)
    ? CONNTRACK_TRAITS
    : traits;

/** Without a connection `ct mark set` does nothing, and evaluation goes on (nft_ct_set_eval). */
const targetGuard = (target: Operand, at: CompileContext): Predicate =>
  target.needsConntrack === true ? ANY : target.guard(at);

function sourceGuard(written: Written, at: CompileContext): Predicate {
  switch (written.kind) {
    case "constant":
      return ANY;
    case "value":
      return guardOf([written.value], at);
    case "each":
      return written.source.operand.guard(at);
    case "map":
      return written.lookup.found(at);
  }
}

/** `((from & mask) << shift) ^ xor`: a copy of some bits, and then a change of others. */
function copied({ operand, mask, shift, xor }: ReadValue, field: Field, rest: () => Effect): Effect {
  const from = operand.reads!.field;
  if (typeof mask === "bigint")
    return followed(
      { kind: "assign", field, change: { kind: "address", keep: mask, xor: xor as bigint } },
      rest,
    );
  const kept = mask === null ? 0xffff_ffff : (mask as number);
  const flip: Effect = { kind: "assign", field, change: { kind: "bits", clear: 0, xor: xor as number } };
  const whole = xor === 0 ? rest : (): Effect => followed(flip, rest);
  if (from === field && shift === 0)
    // `(mark & mask) ^ xor` of the mark itself is one change.
    return followed(
      { kind: "assign", field, change: { kind: "bits", clear: ~kept >>> 0, xor: xor as number } },
      rest,
    );
  const copy: Change = { kind: "copy", from, mask: kept, clear: 0xffff_ffff };
  return followed({ kind: "assign", field, change: shift === 0 ? copy : { ...copy, shift } }, whole);
}

/** Reason why a change cannot be followed; `null` if it can. */
function unwritable(target: Operand, written: Written | null): string | null {
  const { reads, type } = target;
  if (reads === undefined || type.bits === null) return `a change of ${target.name} is not followed`;
  if (written?.kind !== "value") return null;
  const { operand, mask } = written.value;
  const from = operand.reads;
  const ofMarks = from !== undefined && COPIED.includes(from.field) && COPIED.includes(reads.field);
  // A whole field that the statement writes back under a mask: `ip daddr set ip daddr & 255.255.255.0`.
  const itself = operand === target && reads.shift === 0 && reads.offset === 0 && mask !== null;
  return ofMarks || itself ? null : "the new value depends on a field that is not copied";
}

/** Reads what a statement writes; `null` if fwcheck does not evaluate it. */
function readWritten(given: Expression, target: Operand, scope: RuleScope): Written | null {
  const found = resolved(given, scope);
  if (found === null) return null;
  const { type } = target;
  if (found.kind === "map") {
    const lookup = readLookup(found.key, found.map, scope);
    if (lookup === null) return null;
    const values = new Map<Data, Scalar | null>();
    for (const data of lookup.data())
      values.set(data, data.kind === "verdict" ? null : readConstant(data, type, scope));
    return { kind: "map", lookup, values };
  }
  if (readsPacket(found)) {
    const source = readSmallValue(found, target, scope);
    if (source !== null) return { kind: "each", source };
    const value = readValue(found, scope);
    return value === null ? null : { kind: "value", value };
  }
  const value = readConstant(found, type, scope);
  return value === null ? null : { kind: "constant", value };
}
