/** Rules of iptables and their translations to nft, for the tests of lib/iptables/nft-text.ts. */
import { readRuleset } from "../../lib/iptables/load.ts";
import { type NftRefusal, type NftTextOptions, nftRules } from "../../lib/iptables/nft-text.ts";
import type { Family } from "../../lib/packet/field.ts";
import type { Rule } from "../../lib/rules/ruleset.ts";
import { drawTables } from "../kernel/generate.ts";
import { random } from "../random.ts";
import { GROUPS } from "./cases.ts";

/** A rule with its translation. */
export interface Translated {
  readonly family: Family;
  readonly rule: Rule;
  /** As iptables prints it. */
  readonly line: string;
  readonly result: readonly string[] | NftRefusal;
}

/** Chains of nft for the chains that cases jump to. */
const CHAINS: Readonly<Record<string, string>> = {
  other: "other",
  "dotted.chain-name_x": "dotted",
  dotted: "dotted",
};
/** Text of those chains. */
const DECLARED = ["other", "dotted"].map((name) => `\tchain ${name} {\n\t}\n`).join("\n");

export const OPTIONS: NftTextOptions = {
  chain: (name) => CHAINS[name] ?? "other",
  returns: "return",
  defragmented: true,
};

/** Returns the rules of a text of one table, with chain `c`. */
function rulesIn(text: string, family: Family): Rule[] {
  const { rulesets } = readRuleset([{ name: "t", text, family }]);
  return rulesets.flatMap(({ tables }) =>
    [...tables.values()].flatMap(({ chains }) => [...chains.values()].flatMap(({ rules }) => rules)),
  );
}

const tableText = (table: string, line: string): string =>
  `*${table}\n:c - [0:0]\n:other - [0:0]\n:dotted.chain-name_x - [0:0]\n-A c ${line}\nCOMMIT\n`;

/** Returns the rule of a line. */
export const ruleOf = (line: string, family: Family, table = "filter"): Rule =>
  rulesIn(tableText(table, line), family)[0]!;

const translate = (rule: Rule, family: Family, options: NftTextOptions): Translated => ({
  family,
  rule,
  line: rule.text({ family }),
  result: nftRules(rule, family, options),
});

/** Leaves out rules with the same text. */
const distinct = (list: readonly Translated[]): Translated[] => [
  ...new Map(list.map((each) => [`${each.family} ${each.line}`, each])).values(),
];

/** Returns the translations of all valid lines of cases.ts in tables with rules about forwarded packets. */
export function translatedCases(options = OPTIONS): Translated[] {
  const all = GROUPS.filter(({ table }) => table === "filter" || table === "mangle").flatMap(
    ({ families, lines, table }) =>
      families.flatMap((family) =>
        lines.flatMap((line) => {
          const { diagnostics } = readRuleset([{ name: "t", text: tableText(table, line), family }]);
          return diagnostics.length > 0
            ? []
            : rulesIn(tableText(table, line), family).map((rule) => translate(rule, family, options));
        }),
      ),
  );
  return distinct(all);
}

/** Returns the translations of the rules of random tables. */
export function translatedRandom(seed: number, tables: number, options = OPTIONS): Translated[] {
  const next = random(seed);
  const all = ([4, 6] as const).flatMap((family) =>
    Array.from({ length: tables }, () => rulesIn(drawTables(next, family), family))
      .flat()
      .filter(({ table }) => table === "filter" || table === "mangle")
      .map((rule) => translate(rule, family, options)),
  );
  return distinct(all);
}

/** Returns true for a translation that is no refusal. */
export const isText = (each: Translated): each is Translated & { readonly result: readonly string[] } =>
  Array.isArray(each.result);

/** Returns a table with a base chain `c` of these rules. */
export const nftTable = (family: Family, rules: readonly string[]): string =>
  `table ${family === 4 ? "ip" : "ip6"} x {\n${DECLARED}\n\tchain c {\n\t\ttype filter hook forward priority 0; policy accept;\n${rules.map((rule) => `\t\t${rule}\n`).join("")}\t}\n}\n`;
