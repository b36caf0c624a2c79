/** Lookups in maps: the effect depends on the element for a key of the packet. */
import type { Expression, MapLookup } from "nftables-parser-ts";
import { ANY, and, isNever, or, type Predicate } from "../packet/predicate.ts";
import { type ChoiceCase, type Effect, unknownEffect } from "../rules/effect.ts";
import { siteKey } from "../rules/facts.ts";
import { anonymousSet, referredSet } from "./condition.ts";
import { type Data, type ElementSet, SET_REASONS } from "./element-set.ts";
import type { CompileContext } from "./operand.ts";
import { guardOf, type ReadValue, readKey } from "./read-value.ts";
import type { RuleScope } from "./rule-scope.ts";
import { resolved } from "./scope.ts";

/** A lookup in a map. */
export class Lookup {
  constructor(
    private readonly key: readonly ReadValue[],
    private readonly map: ElementSet,
  ) {}

  get needsConntrack(): boolean {
    return this.key.some(({ operand }) => operand.needsConntrack === true);
  }

  data(): Iterable<Data> {
    return this.map.data();
  }

  /** Packets with an element for their key; for all others the rule ends. */
  found(at: CompileContext): Predicate {
    const guard = guardOf(this.key, at);
    // Of another family: the elements are of the wrong kind for the fields of this one.
    if (this.map.unknownAt(at) !== null || isNever(guard)) return guard;
    const cases = this.cases(at);
    return and(guard, cases.at(-1)?.when.kind === "any" ? ANY : or(...cases.map(({ when }) => when)));
  }

  /** Returns the effect of the element for the key of the packet. */
  choose(at: CompileContext, effect: (data: Data) => Effect): Effect {
    const { map } = this;
    const effects = new Map<Data, Effect>();
    const memoized = (data: Data): Effect => {
      let known = effects.get(data);
      if (known === undefined) effects.set(data, (known = effect(data)));
      return known;
    };
    const cases: ChoiceCase[] = this.cases(at).map(({ when, data }) => ({ when, effect: memoized(data) }));
    const unknown = map.unknownAt(at);
    if (unknown !== null)
      cases.push({
        when: guardOf(this.key, at),
        effect: unknownEffect(siteKey(`map ${map.name}`, at.site), SET_REASONS[unknown.why]),
      });
    return { kind: "choice", cases };
  }

  private cases(at: CompileContext): readonly { readonly when: Predicate; readonly data: Data }[] {
    const cases = this.map.cases(this.key, at);
    const [only] = this.key;
    const span = this.key.length === 1 && only!.mask === null ? only!.operand.span : undefined;
    // All values have an element: the last one holds if no other does.
    if (span === undefined || cases.length === 0 || this.map.unknownAt(at) !== null || !this.map.covers(span))
      return cases;
    return [...cases.slice(0, -1), { ...cases.at(-1)!, when: ANY }];
  }
}

/** Reads a lookup; `null` if fwcheck does not evaluate it. */
export function readLookup(given: Expression, map: MapLookup["map"], scope: RuleScope): Lookup | null {
  const key = readKey(given, scope);
  const found = resolved(map, scope);
  if (key === null || found === null) return null;
  const set =
    found.kind === "reference"
      ? referredSet(found, scope, key)
      : found.kind === "set"
        ? anonymousSet(found, key, scope)
        : null;
  return set === null ? null : new Lookup(key, set);
}
