/** The rules of a fix in a ruleset, for both rule languages. */
import { drop } from "../iptables/targets/verdicts.ts";
import { withParts } from "../iptables/typed-rule.ts";
import { readNftables } from "../nftables/load.ts";
import { withNftables } from "../nftables/with-nftables.ts";
import type { Family } from "../packet/field.ts";
import { type Chain, chainOf, type Rule, type Ruleset } from "../rules/ruleset.ts";
import { restored, withoutFix } from "./apply-restore.ts";
import {
  CHAIN,
  type ChainPlace,
  type FixLanguage,
  FORWARD_CHAIN,
  nftFamily,
  nftTableId,
} from "./chain-names.ts";
import type { FamilyRules } from "./write/family.ts";
import { nftTable } from "./write/nft.ts";
import { restore } from "./write/restore.ts";

/** How a ruleset contains the rules of a fix. */
export interface FixPlace {
  /** Returns the ruleset without an earlier fix in this language. Rules keep their numbers. */
  without(ruleset: Ruleset): Ruleset;
  /**
   * Returns the ruleset with the rules, exactly as they are printed, in place of an earlier fix.
   * @throws Error if fwcheck cannot read its own rules
   */
  with(ruleset: Ruleset, rules: FamilyRules): Ruleset;
  /** Base chain whose verdict the rules may change. */
  base(family: Family): ChainPlace;
  /** Returns the ruleset with rules of the fix that drop all packets: a packet that passes does not reach them. */
  sealed(ruleset: Ruleset): Ruleset;
}

/** Chain FWCHECK of table filter, which DOCKER-USER calls. */
const inDockerUser: FixPlace = {
  without: withoutFix,
  with: (ruleset, rules) => restored(ruleset, restore(rules)),
  base: () => ({ table: "filter", chain: "FORWARD" }),
  sealed: (ruleset) =>
    withChain(ruleset, { table: "filter", chain: CHAIN }, ({ rules }) => [
      withParts(rules[0]!, {
        matches: [],
        unknown: [],
        target: { kind: "extension", extension: drop, values: {} },
      }),
    ]),
};

/** A table of nftables for each family, whose base chain runs before those of the other tables. */
const inOwnTable: FixPlace = {
  without(ruleset) {
    const id = nftTableId(ruleset.family);
    if (!ruleset.tables.has(id)) return ruleset;
    return { ...ruleset, tables: new Map([...ruleset.tables].filter(([table]) => table !== id)) };
  },
  with(ruleset, rules) {
    const without = inOwnTable.without(ruleset);
    return rules.chains.size === 0 ? without : withNftTable(without, nftTable(rules));
  },
  base: (family) => ({ table: nftTableId(family), chain: FORWARD_CHAIN }),
  sealed: (ruleset) => {
    const place = inOwnTable.base(ruleset.family);
    const name = nftFamily(ruleset.family);
    const text = `table ${name} sealed { chain all { drop; } }`;
    const [rule] = withNftTable({ ...ruleset, tables: new Map() }, text)
      .tables.get(`${name} sealed`)!
      .chains.get("all")!.rules;
    return withChain(ruleset, place, () => [rule!]);
  },
};

/** Both places. */
export const PLACES: Readonly<Record<FixLanguage, FixPlace>> = {
  iptables: inDockerUser,
  nftables: inOwnTable,
};

/**
 * Adds the tables of a text for `nft -f`.
 * @throws Error if fwcheck cannot read its own rules
 */
export function withNftTable(ruleset: Ruleset, text: string): Ruleset {
  const read = readNftables([{ name: "fix", text, complete: true }]);
  const [wrong] = read.diagnostics;
  if (wrong !== undefined)
    throw new Error(`fwcheck cannot read its own rules: ${wrong.message}: ${wrong.found}`);
  const { rulesets } = withNftables([ruleset], read);
  return rulesets.find(({ family }) => family === ruleset.family)!;
}

/** Returns the ruleset with other rules in a chain; unchanged if it has no such chain. */
function withChain(
  ruleset: Ruleset,
  { table, chain }: ChainPlace,
  rulesOf: (chain: Chain) => readonly Rule[],
): Ruleset {
  const found = chainOf(ruleset, table, chain);
  if (found === undefined) return ruleset;
  const own = ruleset.tables.get(table)!;
  const chains = new Map([...own.chains, [chain, { ...found, rules: rulesOf(found) }]]);
  return { ...ruleset, tables: new Map([...ruleset.tables, [table, { ...own, chains }]]) };
}
