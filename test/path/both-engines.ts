/** Evaluates packets on small rulesets of nftables with both engines, which must agree. */
import {
  type Answer,
  type Host,
  type PacketJson,
  type Ruleset,
  readHost,
  readNftables,
  simulate,
  withNftables,
} from "fwcheck";
import { expect } from "vitest";
import type { Field, Scalar } from "../../lib/packet/field.ts";
import { ANY, applyMask } from "../../lib/packet/predicate.ts";
import { Program } from "../../lib/path/program.ts";
import type { Ending } from "../../lib/path/walk.ts";
import { Domain } from "../../lib/reach/domain.ts";
import { SetEngine } from "../../lib/reach/set-engine.ts";
import type { SetState } from "../../lib/reach/set-state.ts";
import type { BitTest, Variable } from "../../lib/reach/variables.ts";
import { vocabularyOf } from "../../lib/reach/vocabulary.ts";
import type { Hook } from "../../lib/rules/base-chain.ts";
import { packetOf, rulesetsOf } from "../builders.ts";
import { ADDR } from "../two-interfaces.ts";

interface Given {
  /** Output of iptables-save. */
  readonly save?: string;
  readonly hookOrder?: ReadonlyMap<Hook, readonly string[]>;
  /** Output of `ip -j route` and `ip -j rule`. */
  readonly route?: readonly object[];
  readonly rule?: readonly object[];
}

/** Returns the text of a base chain. */
export const base = (name: string, hook: string, priority: number, ...rules: readonly string[]): string =>
  typed("filter", name, hook, priority, ...rules);

/** Returns the text of a base chain of a type. */
export const typed = (
  type: "filter" | "nat" | "route",
  name: string,
  hook: string,
  priority: number,
  ...rules: readonly string[]
): string => called(name, `type ${type} hook ${hook} priority ${priority}; policy accept;`, ...rules);

/** Returns the text of a chain that others call. */
export const called = (name: string, ...rules: readonly string[]): string =>
  [`\tchain ${name} {`, ...rules.map((rule) => `\t\t${rule}`), "\t}"].join("\n");

/** Returns the text of a table. */
export const table = (name: string, ...parts: readonly string[]): string =>
  `table ${name} {\n${parts.join("\n")}\n}\n`;

/** Returns the IPv4 ruleset of a text. */
export function nftRuleset(text: string, { save, hookOrder }: Given = {}): Ruleset {
  const loaded = readNftables([{ name: "nft", text, complete: true }]);
  expect(loaded.diagnostics).toEqual([]);
  const own = save === undefined ? [] : rulesetsOf(save, { family: 4 });
  const ruleset = withNftables(own, loaded).rulesets.find(({ family }) => family === 4)!;
  return hookOrder === undefined ? ruleset : { ...ruleset, hookOrder };
}

/** Returns the host of small rulesets. */
function smallHost(ruleset: Ruleset, { route, rule }: Given): Host {
  const source = (listing: readonly object[]) => [{ name: "listing", text: JSON.stringify(listing) }];
  return readHost(
    {
      addr: [{ name: "addr", text: ADDR }],
      ...(route === undefined ? {} : { route: source(route) }),
      ...(rule === undefined ? {} : { rule: source(rule) }),
    },
    [ruleset],
  );
}

/**
 * Returns a function that finds the endings of the packet sets that contain a packet, for all values of the unknowns.
 * @param sent false for an engine whose caller does not read the source that packets leave with
 */
export function setEndings(
  ruleset: Ruleset,
  host: Host = smallHost(ruleset, {}),
  sent = true,
): (packet: PacketJson) => Ending<SetState>[] {
  const program = Program.of(ruleset, host);
  const domain = Domain.of(4, [vocabularyOf(program)]);
  const sets = new SetEngine(program, domain, sent);
  const unknown = new Set(
    [...domain.unknownLevels].filter((level) => bitsOf(domain.variables[level]!) === null),
  );
  return (json) => {
    const packet = packetOf(json);
    const values: Partial<Record<Field, Scalar>> = { ttl: 64, ...packet, in: packet.in ?? "" } as object;
    const ordinal = (level: number): number => {
      const variable = domain.variables[level]!;
      const bits = bitsOf(variable);
      const value = values[(variable.kind === "field" ? variable.field : bits?.field) ?? "in"];
      if (value === undefined) return 0;
      return bits === null
        ? domain.ordinal(level, value)
        : Number(applyMask(value, bits.mask) === bits.value);
    };
    const start = sets.start(ANY);
    const endings = sets.splitEndings(packet.in === null ? sets.send(start) : sets.arrive(start));
    return endings.filter(({ state }) => {
      const known = domain.diagrams.project(state.set, unknown);
      return domain.diagrams.evaluate(known, ordinal) === 1;
    });
  };
}

const bitsOf = (variable: Variable): BitTest | null => (variable.kind === "unknown" ? variable.bits : null);

/** Returns a function that simulates one packet, and compares its outcomes with those of the sets that contain the packet. */
export function engines(text: string, given: Given = {}): (packet: PacketJson) => Answer {
  const ruleset = nftRuleset(text, given);
  const host = smallHost(ruleset, given);
  const sets = setEndings(ruleset, host);
  const outcome = (verdict: string, delivery: string, out: string | null): string =>
    verdict === "accept" ? `accept ${delivery} ${out}` : verdict;
  return (json) => {
    const answer = simulate([ruleset], host, packetOf(json));
    const expected = (answer.branches ?? [answer]).map((b) => outcome(b.verdict, b.delivery, b.out));
    expect(new Set(sets(json).map((h) => outcome(h.verdict, h.delivery, h.out)))).toEqual(new Set(expected));
    return answer;
  };
}
