/**
 * Translates the owner's rules of DOCKER-USER to nftables, for a switch to an engine that has no such chain, with a proof that
 * both stop the same packets.
 */
import type { Host } from "../host/host.ts";
import { DOCKER_USER } from "../host/known/docker.ts";
import { baseChainOf, plainTable } from "../iptables/base-chains.ts";
import { type NftRefusal, nftRules } from "../iptables/nft-text.ts";
import { printRule } from "../iptables/print.ts";
import { withParts } from "../iptables/typed-rule.ts";
import { CT, type Family } from "../packet/field.ts";
import { type PacketJson, packetJson } from "../packet/packet-json.ts";
import { type Predicate, visitLeaves } from "../packet/predicate.ts";
import { Program } from "../path/program.ts";
import { Domain } from "../reach/domain.ts";
import { EMPTY } from "../reach/node-store.ts";
import { SetEngine } from "../reach/set-engine.ts";
import { vocabularyOf } from "../reach/vocabulary.ts";
import { witness } from "../reach/witness.ts";
import { CallGraph } from "../rules/call-graph.ts";
import { type Chain, chainOf, type Rule, type Ruleset, type TableId } from "../rules/ruleset.ts";
import { withoutFix } from "./apply-restore.ts";
import { FORWARD_CHAIN, nftFamily } from "./chain-names.ts";
import { chainOutcomes } from "./outcomes.ts";
import { withNftTable } from "./place.ts";
import { tableText } from "./write/nft.ts";

/** Name of the tables, one for each family. */
const TABLE = "docker-user";

/** A rule that cannot be translated exactly. */
export interface UntranslatedRule extends Omit<NftRefusal, "code"> {
  /** As iptables-save prints it. */
  readonly rule: string;
  /** Its line in the input; 0 where unknown. */
  readonly line: number;
}

/** The rules of DOCKER-USER of one family, and of the chains that they call, as a table of nftables. */
export interface Migration {
  /** 4 or 6. */
  readonly family: Family;
  /** Table for `nft -f`, replaced as a whole each time; `""` if a rule cannot be translated. */
  readonly text: string;
  /** Rules without an exact form in nft. While there is one, no rules are printed. */
  readonly untranslated: readonly UntranslatedRule[];
  /** Rules that accept: in DOCKER-USER an accept overrides Docker's drops, in nftables it does not. */
  readonly accepts: readonly string[];
  /** A packet that only one of both stops; `null` if the proof holds. */
  readonly difference: PacketJson | null;
}

/** Translates DOCKER-USER of each ruleset that has rules of the owner in it. */
export const migrate = (rulesets: readonly Ruleset[], host: Host): Migration[] =>
  rulesets.flatMap((ruleset) => migrateFamily(withoutFix(ruleset), host) ?? []);

function migrateFamily(ruleset: Ruleset, host: Host): Migration | null {
  const names = new CallGraph(ruleset).below("filter", DOCKER_USER);
  const chains = [...names].map((name) => chainOf(ruleset, "filter", name)!);
  const rules = chains.flatMap((chain) => chain.rules);
  // Docker itself adds a RETURN at the end of the chain.
  if (rules.every(({ action }) => action === "return")) return null;
  const { family } = ruleset;
  const untranslated: UntranslatedRule[] = [];
  const nameOf = nftNames(new Set([DOCKER_USER, ...names]));
  const options = {
    chain: (name: string) => nameOf.get(name)!,
    returns: "return",
    defragmented: true,
  } as const;
  const translated = chains.map(
    (chain): TranslatedChain => ({
      chain,
      name: nameOf.get(chain.name)!,
      rules: chain.rules.map((rule): readonly string[] => {
        const result = nftRules(rule, family, options);
        if (!("code" in result)) return result;
        untranslated.push({ part: result.part, rule: printRule(rule, ruleset), line: rule.line });
        return [];
      }),
    }),
  );
  const accepts = rules.filter(({ action }) => action === "accept").map((rule) => printRule(rule, ruleset));
  if (untranslated.length > 0) return { family, text: "", untranslated, accepts, difference: null };
  const text = migratedTable(family, translated);
  return { family, text, untranslated, accepts, difference: differenceOf(ruleset, translated, text, host) };
}

/** A chain, and the rules of nft that each of its rules becomes. */
export interface TranslatedChain {
  readonly chain: Chain;
  /** Its name in nftables. */
  readonly name: string;
  readonly rules: readonly (readonly string[])[];
}

/**
 * Returns a name in nftables for each chain. A name of iptables may have characters that nft does not take, or be a word of
 * nft; those are all of lower case letters.
 */
function nftNames(chains: ReadonlySet<string>): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  const taken = new Set<string>([FORWARD_CHAIN]);
  for (const chain of chains) {
    const isPlain = /^[A-Za-z][A-Za-z0-9_-]*$/.test(chain) && /[A-Z]/.test(chain);
    const name = isPlain ? chain : `user-${chain.replace(/[^A-Za-z0-9_-]/g, "_")}`;
    let free = name;
    for (let i = 2; taken.has(free); i++) free = `${name}-${i}`;
    taken.add(free);
    names.set(chain, free);
  }
  return names;
}

const tableId = (family: Family): string => `${nftFamily(family)} ${TABLE}`;

/** The base chain comes first: `tableText` prints chains that are called before those that call them. */
const migratedTable = (family: Family, chains: readonly TranslatedChain[]): string =>
  tableText(
    tableId(family),
    new Map([
      [FORWARD_CHAIN, [`jump ${DOCKER_USER}`]],
      ...chains.map(({ name, rules }): [string, string[]] => [name, rules.flat()]),
    ]),
  );

/** Returns a packet at the forward hook that only one of both languages stops; `null` if there is none. */
export function differenceOf(
  ruleset: Ruleset,
  translated: readonly TranslatedChain[],
  text: string,
  host: Host,
): PacketJson | null {
  const { family } = ruleset;
  const [old, now] = [
    {
      rules: forwardOnly(
        ruleset,
        translated.map(({ chain }) => chain),
      ),
      place: { table: "filter", chain: "FORWARD" },
    },
    {
      rules: withNftTable({ ...ruleset, tables: new Map() }, text),
      place: { table: tableId(family), chain: FORWARD_CHAIN },
    },
  ].map(({ rules, place }) => ({ program: Program.of(rules, host), place })) as [Side, Side];
  const domain = Domain.of(family, [
    vocabularyOf(old.program),
    vocabularyOf(now.program),
    { predicates: [], markValues: new Map(), shared: sameUnknowns(translated, old.program, now.program) },
  ]);
  const { diagrams } = domain;
  for (const state of Object.values(CT)) {
    const [before, after] = [old, now].map(({ program, place }) =>
      chainOutcomes(new SetEngine(program, domain, false), place, {
        ctstate: { value: state },
        // Connection tracking, which Docker's rules need, reassembles fragments before the forward hook.
        fragment: { value: 0 },
      }),
    );
    for (const [outcome, set] of before!) {
      const differs = diagrams.subtract(set, after!.get(outcome) ?? EMPTY);
      if (differs !== EMPTY) return packetJson(witness(domain, differs, {}).packet);
    }
  }
  return null;
}

/**
 * Returns the unknowns of rules and of their translations in pairs. A limit starts to count when its rule is loaded, so the
 * rule and its translation give the same result for the same packets.
 */
function sameUnknowns(
  translated: readonly TranslatedChain[],
  old: Program,
  now: Program,
): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const { chain, name, rules } of translated) {
    const before = old.chain("filter", chain.name)!.rules;
    const after = now.chain(tableId(now.ruleset.family), name)!.rules;
    let next = 0;
    for (const [i, texts] of rules.entries()) {
      const keys = unknownsIn(before[i]!.when);
      // A rule with an unknown becomes one rule.
      if (keys.length > 0 && texts.length === 1)
        for (const [k, key] of unknownsIn(after[next]!.when).entries())
          for (const each of [key, keys[k]])
            if (each !== undefined) names.set(each, `${chain.name} ${i} ${k}`);
      next += texts.length;
    }
  }
  return names;
}

function unknownsIn(predicate: Predicate): string[] {
  const keys = new Set<string>();
  visitLeaves(predicate, (leaf) => {
    if (leaf.kind === "opaque") keys.add(leaf.key);
  });
  return [...keys];
}

interface Side {
  readonly program: Program;
  readonly place: { readonly table: TableId; readonly chain: string };
}

/** Returns table filter with a chain FORWARD that only calls DOCKER-USER. */
function forwardOnly(ruleset: Ruleset, chains: readonly Chain[]): Ruleset {
  const [first] = chains.flatMap((chain) => chain.rules);
  const call: Rule = withParts(first!, {
    matches: [],
    unknown: [],
    target: { kind: "jump", chain: DOCKER_USER },
  });
  const forward: Chain = {
    table: "filter",
    name: "FORWARD",
    base: baseChainOf(plainTable("filter"), "FORWARD"),
    policy: "ACCEPT",
    counters: null,
    rules: [call],
    line: 0,
  };
  const own = new Map([["FORWARD", forward], ...chains.map((chain): [string, Chain] => [chain.name, chain])]);
  return { ...ruleset, tables: new Map([["filter", { name: "filter", chains: own }]]) };
}
