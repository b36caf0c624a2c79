/** Applies the text of `iptables-restore --noflush` to a ruleset. */
import { parse } from "iptables-parser-ts";
import { isBuiltIn } from "../iptables/base-chains.ts";
import { readRuleset } from "../iptables/load.ts";
import { printBody, printChain } from "../iptables/print.ts";
import { isInserted } from "../iptables/rule.ts";
import {
  type Chain,
  chainOf,
  isTableName,
  type Rule,
  type Ruleset,
  type Table,
  type TableId,
} from "../rules/ruleset.ts";
import { callsOurs, isHook, isOurs } from "./chain-names.ts";

/**
 * Returns the ruleset after a restore without flush. A declared user chain is emptied or created; rules are appended,
 * inserted or deleted; empty chains may be deleted. Rules that stay keep their numbers, so that references to them stay
 * valid. Like the kernel, it refuses a whole text that creates an existing chain, deletes a called chain, or deletes a
 * rule that does not exist; the ruleset is then unchanged.
 * @throws Error if fwcheck cannot have printed the text
 */
export function restored(ruleset: Ruleset, text: string): Ruleset {
  if (text === "") return ruleset;
  const declared = new Set<string>();
  const deleted = new Set<string>();
  const gone = new Set<Rule>();
  for (const table of parse(text).document.entries) {
    if (table.kind !== "table" || !isTableName(table.name)) continue;
    const { name } = table;
    for (const entry of table.entries) {
      if (entry.kind === "chain") {
        const key = `${name} ${entry.name}`;
        const there = chainOf(ruleset, name, entry.name) !== undefined;
        if (entry.command === "-N" && there && !deleted.has(key)) return ruleset;
        declared.add(key);
        deleted.delete(key);
      } else if (entry.kind === "command" && entry.command === "-X") {
        const [chain] = entry.words;
        const left = [...(ruleset.tables.get(name)?.chains.values() ?? [])].filter(
          (other) => !declared.has(`${name} ${other.name}`),
        );
        if (
          left.some(({ rules }) =>
            rules.some((rule) => rule.calledChains.includes(chain!) && !gone.has(rule)),
          )
        )
          return ruleset;
        deleted.add(`${name} ${chain}`);
      } else if (entry.kind === "command" && entry.command === "-D") {
        const [chain, ...words] = entry.words;
        const rule = chainOf(ruleset, name, chain ?? "")?.rules.find(
          (each) => !gone.has(each) && printBody(each, ruleset).trim() === words.join(" "),
        );
        if (rule === undefined) return ruleset;
        gone.add(rule);
      }
    }
  }
  const added = upon(ruleset, text, declared).replace(/^-D .*\n/gm, "");
  const { rulesets, diagnostics } = readRuleset([{ name: "fix", text: added, family: ruleset.family }]);
  const wrong = diagnostics.find((d) => d.severity === "error");
  if (wrong !== undefined)
    throw new Error(`fwcheck cannot read its own rules: ${wrong.message}: ${wrong.found}`);
  const tables = new Map<TableId, Table>(ruleset.tables);
  for (const [name, changes] of rulesets[0]?.tables ?? []) {
    const chains = new Map<string, Chain>(tables.get(name)?.chains);
    for (const [chain, change] of changes.chains) {
      const builtIn = isTableName(name) && isBuiltIn(name, chain);
      const old = chains.get(chain);
      if (old === undefined || (declared.has(`${name} ${chain}`) && !builtIn)) chains.set(chain, change);
      else {
        const kept = old.rules.filter((rule) => !gone.has(rule));
        chains.set(chain, { ...old, rules: merged(kept, change.rules) });
      }
    }
    for (const chain of [...chains.keys()]) if (deleted.has(`${name} ${chain}`)) chains.delete(chain);
    tables.set(name, { name, chains });
  }
  return { ...ruleset, tables };
}

/** Returns the ruleset without a fix that is in force. Rules keep their numbers. */
export function withoutFix(ruleset: Ruleset): Ruleset {
  const filter = ruleset.tables.get("filter");
  if (filter === undefined || ![...filter.chains.keys()].some(isOurs)) return ruleset;
  const chains = new Map<string, Chain>();
  for (const [name, chain] of filter.chains)
    if (!isOurs(name))
      chains.set(name, {
        ...chain,
        rules: chain.rules.filter((rule) => !callsOurs(rule) && !isHook(rule)),
      });
  return { ...ruleset, tables: new Map([...ruleset.tables, ["filter", { ...filter, chains }]]) };
}

/** Returns the text with declarations of the ruleset's chains, so that the loader knows the chains that rules name. */
const upon = (ruleset: Ruleset, text: string, declared: ReadonlySet<string>): string =>
  text.replace(/^\*(\w+)\n/gm, (line, name: string) => {
    const there = isTableName(name) ? [...(ruleset.tables.get(name)?.chains.values() ?? [])] : [];
    const missing = there.filter((chain) => !declared.has(`${name} ${chain.name}`));
    return `${line}${missing.map((chain) => `${printChain(chain)}\n`).join("")}`;
  });

/** Inserts and appends rules in the order of the text. */
function merged(old: readonly Rule[], more: readonly Rule[]): Rule[] {
  const rules = [...old];
  // The loader has put inserted rules in front of appended ones.
  rules.unshift(...more.filter(isInserted));
  rules.push(...more.filter((rule) => !isInserted(rule)));
  return rules;
}
