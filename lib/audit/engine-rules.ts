/**
 * Rules that container engines write: Docker with either backend, Podman's netavark, CNI's portmap. All other rules are the
 * owner's, those of other programs included.
 */
import type { Host } from "../host/host.ts";
import { engineOfChain } from "../host/known/chains.ts";
import type { Address } from "../packet/field.ts";
import type { Predicate } from "../packet/predicate.ts";
import { requiredRanges, singleValues } from "../packet/required-ranges.ts";
import type { Program } from "../path/program.ts";
import { conditionalEnds, type Nat } from "../rules/effect.ts";
import { calledChain, type Rule, type Ruleset, type TableId } from "../rules/ruleset.ts";
import { isDockerRule, withoutRules } from "./docker-rules.ts";

/** Returns the name of an engine of which only the table is known. */
export const engineOfTable = (table: TableId): string => `the engine of table ${table}`;

/** Returns the engine that wrote a rule; `null` for any other rule. */
export function engineOf(rule: Rule, host: Host): string | null {
  const byChain = engineOfChain(rule.table, rule.chain);
  if (byChain !== null) return byChain;
  if (host.engineTables?.includes(rule.table) === true) return engineOfTable(rule.table);
  if (isDockerRule(rule, host)) return "Docker";
  const called = calledChain(rule);
  return called === null ? null : engineOfChain(rule.table, called);
}

/** Returns true if a container engine wrote a rule. */
export const isEngineRule = (rule: Rule, host: Host): boolean => engineOf(rule, host) !== null;

/** Returns the ruleset without the rules of engines. */
export const withoutEngines = (ruleset: Ruleset, host: Host): Ruleset =>
  withoutRules(ruleset, (rule) => isEngineRule(rule, host));

/** Destination that a rule gives to packets: one of several where a map selects it. */
export interface Publication {
  readonly rule: Rule;
  /** Packets that get this destination. */
  readonly when: Predicate;
  /** Range of addresses, with the first and last port. */
  readonly nat: Nat & { readonly to: Extract<Nat["to"], { kind: "range" }> };
}

const publicationsByProgram = new WeakMap<Program, readonly Publication[]>();

/** Returns the destinations of all rules of engines that publish ports: of containers, and of a swarm's services. */
export function publications(program: Program): readonly Publication[] {
  let found = publicationsByProgram.get(program);
  if (found === undefined) publicationsByProgram.set(program, (found = findPublications(program)));
  return found;
}

function findPublications(program: Program): Publication[] {
  const { host, ruleset } = program;
  const isPublishing = (rule: Rule): boolean => rule.action === "dnat" && isEngineRule(rule, host);
  return [...ruleset.tables].flatMap(([table, { chains }]) =>
    [...chains].flatMap(([name, { rules }]) => {
      if (!rules.some(isPublishing)) return [];
      return program
        .chain(table, name)!
        .rules.filter(({ rule }) => isPublishing(rule))
        .flatMap(({ rule, when, effect }) =>
          [...conditionalEnds(when, effect)].flatMap((end): Publication[] =>
            end.effect.kind === "nat" && end.effect.to.kind === "range"
              ? [{ rule, when: end.when, nat: end.effect as Publication["nat"] }]
              : [],
          ),
        );
    }),
  );
}

/** Most protocols and ports of one rule that are named one by one. */
const MOST_PORTS = 4096;

/** Returns the protocols that a publication matches; none where its rule names no protocol. */
export const protocolsOf = ({ when }: Publication): readonly number[] =>
  singleValues<number>(requiredRanges(when, "proto"), MOST_PORTS);

/** Returns the address of the host that a publication matches; `null` if it matches several. */
export const addressOf = ({ when }: Publication): Address | null =>
  singleValues<Address>(requiredRanges(when, "dst"), 1)[0] ?? null;

/** Returns the host ports that rules of engines publish, as `PROTOCOL PORT` (`17 53`); a rule can match a range. */
export function servedPorts(program: Program): ReadonlySet<string> {
  const served = new Set<string>();
  for (const publication of publications(program))
    for (const proto of protocolsOf(publication))
      for (const [first, last] of requiredRanges(publication.when, "dport") ?? [])
        for (let port = Number(first); port <= Number(last); port++) served.add(`${proto} ${port}`);
  return served;
}
