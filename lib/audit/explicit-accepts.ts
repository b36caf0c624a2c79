/**
 * Accepts of the owner about exactly some forwarded traffic: those in base chains of nftables at the forward hook that name a
 * host or a port of the destination. They override what the input hook says about the packet before translation.
 */

import type { Host } from "../host/host.ts";
import type { Field } from "../packet/field.ts";
import { and, type Predicate } from "../packet/predicate.ts";
import { requiredRanges } from "../packet/required-ranges.ts";
import { Program } from "../path/program.ts";
import type { Domain } from "../reach/domain.ts";
import { SetEngine } from "../reach/set-engine.ts";
import type { Hook } from "../rules/base-chain.ts";
import { conditionalEnds, DROP, type Effect } from "../rules/effect.ts";
import { type Chain, isTableName, type Rule, type Ruleset, type Table } from "../rules/ruleset.ts";

/** Fields that name a destination, and the number of values up to which a condition names some of them. */
const DESTINATIONS: readonly (readonly [field: Field, most: number])[] = [
  ["dst", 1],
  ["ctorigdst", 1],
  // More ports, such as all from 1024, are ports in general.
  ["dport", 1000],
  ["ctorigdstport", 1000],
];

/** Returns true if each packet that satisfies a predicate has a destination that its conditions name. */
export const namesDestination = (when: Predicate): boolean =>
  DESTINATIONS.some(([field, most]) => {
    const ranges = requiredRanges(when, field);
    if (ranges === null) return false;
    // Any number of hosts is a list of names; a range of addresses is a network.
    if (most === 1) return ranges.every(([first, last]) => first === last);
    return ranges.reduce((sum, [first, last]) => sum + Number(last) - Number(first) + 1, 0) <= most;
  });

/**
 * Returns an engine for the owner's base chains of nftables at a hook, in which accepts that name no destination drop; `null` if
 * no accept names one.
 */
export function explicitAt(hook: Hook, owner: Ruleset, host: Host, domain: Domain): SetEngine | null {
  const marker = new AcceptMarker(Program.of(owner, host));
  const tables = [...owner.tables].flatMap(([id, table]): [string, Table][] => {
    const isAtHook = ({ base, rules }: Chain): boolean => base?.hook === hook && rules.length > 0;
    return isTableName(id) || ![...table.chains.values()].some(isAtHook) ? [] : [[id, marker.table(table)]];
  });
  return marker.found ? new SetEngine(Program.of({ ...owner, tables: new Map(tables) }, host), domain) : null;
}

/** Replaces accepts that name no destination by drops. */
class AcceptMarker {
  /** An accept names a destination. */
  found = false;
  private readonly named = new Map<Chain, boolean>();

  constructor(private readonly program: Program) {}

  table(table: Table): Table {
    const chains = new Map(
      [...table.chains].map(([name, chain]): [string, Chain] => {
        const isNamed = this.isNamed(chain);
        return [name, { ...chain, rules: chain.rules.map((rule) => this.rule(rule, isNamed)) }];
      }),
    );
    return { ...table, chains };
  }

  private rule(rule: Rule, isNamed: boolean): Rule {
    if (rule.action === "drop" || rule.action === "reject") return rule;
    const compile: Rule["compile"] = (facts) => {
      const { when, effect } = rule.compile(facts);
      return { when, effect: this.effect(effect, when, isNamed) };
    };
    if (!this.found) this.found = this.hasNamedAccept(rule, isNamed);
    // The copy has all members of the rule, those of its class included.
    return Object.create(rule, { compile: { value: compile } }) as Rule;
  }

  private hasNamedAccept(rule: Rule, isNamed: boolean): boolean {
    const { when, effect } = rule.compile(this.program.facts);
    return [...conditionalEnds(when, effect)].some(
      (end) =>
        end.effect.kind === "verdict" &&
        end.effect.verdict === "accept" &&
        (isNamed || namesDestination(end.when)),
    );
  }

  /** Replaces the accepts of an effect by drops, except those of packets whose conditions name a destination. */
  private effect(effect: Effect, when: Predicate, isNamed: boolean): Effect {
    switch (effect.kind) {
      case "verdict":
        return effect.verdict !== "accept" || isNamed || namesDestination(when) ? effect : DROP;
      case "choice":
        return {
          ...effect,
          cases: effect.cases.map((each) => ({
            ...each,
            effect: this.effect(each.effect, and(when, each.when), isNamed),
          })),
        };
      case "fork":
        return {
          ...effect,
          yes: this.effect(effect.yes, and(when, effect.when), isNamed),
          no: this.effect(effect.no, when, isNamed),
        };
      case "assign":
        return effect.next === undefined
          ? effect
          : { ...effect, next: this.effect(effect.next, when, isNamed) };
      default:
        return effect;
    }
  }

  /** Returns true if each call of a chain names a destination, or is in such a chain. */
  private isNamed(chain: Chain): boolean {
    if (chain.base !== null) return false;
    const known = this.named.get(chain);
    if (known !== undefined) return known;
    // A loop of chains names nothing.
    this.named.set(chain, false);
    const { calls, ruleset } = this.program;
    const callers = calls.callers(chain.table, chain.name);
    const isNamed =
      callers.length > 0 &&
      callers.every((rule) => {
        const caller = ruleset.tables.get(rule.table)!.chains.get(rule.chain)!;
        return this.isNamed(caller) || this.callsNamed(rule, chain.name);
      });
    this.named.set(chain, isNamed);
    return isNamed;
  }

  /** Returns true if a rule calls a chain only with packets whose destination its conditions name. */
  private callsNamed(rule: Rule, name: string): boolean {
    const { when, effect } = rule.compile(this.program.facts);
    return [...conditionalEnds(when, effect)].every(
      (end) => !("chain" in end.effect) || end.effect.chain !== name || namesDestination(end.when),
    );
  }
}
