/** Prints rules and rulesets in the canonical form of iptables-save. */
import { type Counters, quote } from "iptables-parser-ts";
import {
  BACKENDS,
  type Backend,
  type Chain,
  hasBothBackends,
  iptablesName,
  namedBackend,
  type PrintFormat,
  programOf,
  type Rule,
  type Ruleset,
} from "../rules/ruleset.ts";
import { BUILT_IN } from "./base-chains.ts";
import type { Extension, Options, Spelling, Values, Written } from "./extension.ts";
import type { IptablesRule, Match, Target } from "./rule.ts";

/** Returns the options of an extension in the form and order of iptables-save, before quoting. */
export function optionsOf(
  extension: Extension<Options>,
  values: Values<Options>,
  spelling: Spelling,
): readonly Written[] {
  if (extension.print !== undefined) return extension.print(values, spelling);
  const out: Written[] = [];
  for (const key of Object.keys(extension.options)) {
    const spec = extension.options[key]!;
    const given = values[key];
    if (given === undefined) continue;
    const words = spec.codec.write(given.value, spelling);
    if (spec.silent !== undefined && !given.not) {
      const silent = spec.codec.write(spec.silent, spelling);
      if (words.length === silent.length && words.every((word, i) => word === silent[i])) continue;
    }
    out.push({ not: given.not, name: spec.name, words });
  }
  return out;
}

function push(out: string[], options: readonly Written[], owner: string): void {
  for (const { not, name, words } of options) {
    if (not) out.push("!");
    out.push(name);
    for (const word of words) out.push(quote(word, name, owner));
  }
}

/** Appends the words of an unknown option in their original form. */
function pushUnknown(out: string[], words: readonly string[]): void {
  let option = "";
  let owner = "";
  for (const word of words) {
    if (word === "!" || /^--?[A-Za-z]/.test(word)) {
      if (word !== "!") option = word;
      out.push(word);
    } else {
      if (option === "-m" || option === "-j") owner = word;
      out.push(quote(word, option, owner));
    }
  }
}

/** Returns the protocol of `-p`; `undefined` if it is absent or negated. */
export function ruleProtocol(matches: readonly Match[]): number | undefined {
  const given = matches[0]?.extension.name === "" ? matches[0].values.proto : undefined;
  return given === undefined || given.not ? undefined : (given.value as number);
}

/** Returns the spelling in which a rule's options are printed. */
export const spellingOf = (
  { matches }: Pick<IptablesRule, "matches">,
  { family, release }: PrintFormat,
): Spelling => ({
  family,
  proto: ruleProtocol(matches),
  release,
});

/** Prints a rule without its counters: `-A CHAIN ...`. */
export function printRule(rule: Rule, ruleset: PrintFormat): string {
  return `-A ${quote(rule.chain)}${printBody(rule, ruleset)}`;
}

/** Prints a rule without its chain: a blank and the matches and target, or nothing. */
export function printBody(rule: Rule, format: PrintFormat): string {
  const text = rule.text(format);
  return text === "" ? "" : ` ${text}`;
}

/** Prints the matches, the unknown conditions and the target. */
export function printParts(
  { matches, unknown, target }: Pick<IptablesRule, "matches" | "unknown" | "target">,
  format: PrintFormat,
): string {
  const spelling = spellingOf({ matches }, format);
  const out: string[] = [];
  for (const match of matches) pushMatch(out, match, spelling);
  for (const each of unknown) pushUnknown(out, each.words);
  pushTarget(out, target, spelling);
  return out.join(" ");
}

function pushMatch(out: string[], { extension, values }: Match, spelling: Spelling): void {
  if (extension.name !== "") out.push("-m", extension.name);
  push(out, optionsOf(extension, values, spelling), extension.name);
}

function pushTarget(out: string[], target: Target, spelling: Spelling): void {
  if (target.kind === "jump") out.push("-j", quote(target.chain));
  else if (target.kind === "goto") out.push("-g", quote(target.chain));
  else if (target.kind === "unknown") pushUnknown(out, ["-j", target.name, ...target.words]);
  else if (target.kind === "extension") {
    out.push("-j", target.extension.name);
    push(out, optionsOf(target.extension, target.values, spelling), target.extension.name);
  }
}

/** Prints a match: `-m tcp --dport 80`. */
export function printMatch(match: Match, spelling: Spelling): string {
  const out: string[] = [];
  pushMatch(out, match, spelling);
  return out.join(" ");
}

/** Prints a target: `-j REJECT --reject-with tcp-reset`. */
export function printTarget(target: Target, spelling: Spelling): string {
  const out: string[] = [];
  pushTarget(out, target, spelling);
  return out.join(" ");
}

const counted = (counters: Counters | null): string =>
  counters === null ? "[0:0]" : `[${counters[0]}:${counters[1]}]`;

/** Prints the declaration of a chain: `:NAME POLICY [0:0]`. */
export const printChain = (chain: Chain): string =>
  `:${chain.name} ${chain.policy ?? "-"} ${counted(chain.counters)}`;

/** Options of `printRuleset`. */
interface RulesetPrintOptions {
  /** Prints the counters that the text has before each rule (`iptables-save -c`). */
  readonly counters?: boolean;
}

/**
 * Prints a ruleset as iptables-save does, without comment lines. Tables are in the order of the text; in each table the
 * built-in chains come first, then the others in the order of the text. Where both backends have tables, the output has the
 * dump of each one, below the comment of its save program.
 * @param options.counters prints the counters that the text has before each rule (`iptables-save -c`)
 */
export function printRuleset(ruleset: Ruleset, { counters = true }: RulesetPrintOptions = {}): string {
  const main = ruleset.backend;
  if (main === undefined || !hasBothBackends(ruleset)) return printTables(ruleset, { counters });
  return [main, ...BACKENDS.filter((backend) => backend !== main)]
    .map((backend) => `${saveComment(backend, ruleset)}\n${printTables(ruleset, { counters, backend })}`)
    .join("");
}

/** Returns the comment of the save program of a backend, which shows the family and the backend of the tables below it. */
const saveComment = (backend: Backend, { family, release }: Ruleset): string =>
  [
    `# Generated by ${programOf(backend, family)}-save`,
    ...(release === undefined ? [] : [` v${release.join(".")}`]),
    ...(release === undefined || backend === "iptables-legacy" ? [] : [" (nf_tables)"]),
  ].join("");

/** Prints the tables of one backend as iptables-save does; of the one whose tables have plain ids, if none is given. */
export function printTables(
  ruleset: Ruleset,
  { counters = true, backend }: RulesetPrintOptions & { readonly backend?: Backend } = {},
): string {
  const out: string[] = [];
  const other = backend === undefined || backend === ruleset.backend ? null : backend;
  for (const [id, table] of ruleset.tables) {
    const name = iptablesName(id);
    if (name === null || namedBackend(id) !== other) continue;
    out.push(`*${name}`);
    const order = BUILT_IN[name] as readonly string[];
    const place = (chain: Chain): number =>
      chain.policy === null ? order.length : order.indexOf(chain.name);
    const chains = [...table.chains.values()].sort((a, b) => place(a) - place(b));
    for (const chain of chains) out.push(printChain(chain));
    for (const chain of chains)
      for (const rule of chain.rules)
        out.push(
          `${counters && rule.counters !== null ? `${counted(rule.counters)} ` : ""}${printRule(rule, ruleset)}`,
        );
    out.push("COMMIT");
  }
  return out.length === 0 ? "" : `${out.join("\n")}\n`;
}
