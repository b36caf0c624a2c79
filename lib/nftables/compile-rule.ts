/**
 * Compiles a rule of nftables: the conjunction of the conditions before any change, and the effect of the rest. Conditions
 * after a change are choices, since they see the changed packet.
 */
import { ANY, and, isNever, type Predicate } from "../packet/predicate.ts";
import { BREAK, type Effect, NOTE } from "../rules/effect.ts";
import type { CompiledRule } from "../rules/ruleset.ts";
import type { CompileContext } from "./operand.ts";
import type { Step } from "./step.ts";

/** Returns the packets that a step lets go on. */
const goesOn = (step: Step, at: CompileContext): Predicate =>
  step.kind === "condition" ? step.condition.predicate(at) : (step.goesOn?.(at) ?? ANY);

/** A statement without an effect on the packet may precede conditions. */
const changesNothing = (step: Step): boolean =>
  step.kind === "condition" ||
  (step.action === "none" && step.verdict === "" && step.traits.assignsSocket !== true);

/** Compiles the steps of a rule. */
export function compileSteps(steps: readonly Step[], at: CompileContext): CompiledRule {
  const leading: Predicate[] = [];
  let next = 0;
  for (; next < steps.length; next++) {
    const step = steps[next]!;
    const p = goesOn(step, at);
    if (isNever(p)) return { when: p, effect: NOTE };
    if (p !== ANY) leading.push(p);
    if (!changesNothing(step)) break;
  }
  const step = steps[next];
  const effect =
    step === undefined || step.kind === "condition"
      ? NOTE
      : step.run(at, () => effectFrom(steps, next + 1, at));
  return { when: conjunction(leading), effect };
}

/** Rules repeat guards: `tcp sport 1 tcp dport 2` needs TCP once. */
function conjunction(parts: readonly Predicate[]): Predicate {
  const all = parts.flatMap((part) => (part.kind === "and" ? part.all : [part]));
  return all.length < 2 ? (all[0] ?? ANY) : and(...new Set(all));
}

/** Returns the effect of the steps from a position. */
function effectFrom(steps: readonly Step[], from: number, at: CompileContext): Effect {
  const step = steps[from];
  if (step === undefined) return NOTE;
  const rest = (): Effect => effectFrom(steps, from + 1, at);
  const when = goesOn(step, at);
  if (isNever(when)) return BREAK;
  const effect = step.kind === "condition" ? rest() : step.run(at, rest);
  if (when.kind === "any") return effect;
  return { kind: "choice", cases: [{ when, effect }] };
}
