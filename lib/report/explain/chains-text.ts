/** Explanations as text for a terminal: chains with their rules, and a list of all chains. */

import { knownChain } from "../../host/known/chains.ts";
import { purposeText as chainPurposeText } from "../text/chain-purpose.ts";
import { counted, plural, shortList } from "../text/list.ts";
import { PLAIN, type Style, safe } from "../text/terminal.ts";
import { wrap } from "../text/wrap.ts";
import type { ChainExplained, Explanation, RuleExplained } from "./explain.ts";
import { hookText } from "./explain-text.ts";

/** Format of an explanation as text. */
export interface ExplainTextOptions {
  /** Colours; none by default. */
  readonly style?: Style;
  /** Columns to wrap at; 80 by default. */
  readonly width?: number;
}

/** Longer lists of rules are counted. */
const MOST_LISTED = 6;

interface TextFormat {
  readonly style: Style;
  readonly width: number;
}

const formatOf = ({ style = PLAIN, width = 80 }: ExplainTextOptions): TextFormat => ({ style, width });

/** Prints each chain with its rules. */
export function explainText(explanation: Explanation, options: ExplainTextOptions = {}): string {
  const format = formatOf(options);
  const { chains } = explanation;
  const out: string[] = [];
  if (chains.length > 1) {
    const names = chains.map((c) => `${named(c)}${sameFamily(chains) ? "" : ` (IPv${c.family})`}`);
    out.push(
      ...lines(`${chains.length} chains have this name: ${names.join(", ")}`, format, {
        paint: format.style.dim,
      }),
      "",
    );
  }
  for (const chain of chains) {
    for (const line of chainLines(chain, format)) out.push(line);
    out.push("");
  }
  for (const sentence of explanation.inferred)
    out.push(...labelled("inferred:", sentence, format, format.style.dim));
  return `${out.join("\n").trimEnd()}\n`;
}

const sameFamily = (chains: readonly ChainExplained[]): boolean =>
  chains.every((c) => c.family === chains[0]!.family);

const named = ({ table, chain }: ChainExplained): string => `${table} ${chain}`;

function chainLines(chain: ChainExplained, format: TextFormat): string[] {
  const { style } = format;
  const title = `${safe(named(chain))}, IPv${chain.family}`;
  const by =
    chain.by === null || chain.by === "you"
      ? ""
      : ` (${chain.by}${chain.docker === undefined ? "" : ` ${chain.docker}`})`;
  const out = [`${style.bold(title)}${style.dim(safe(by))}`];
  if (chain.source !== "") out.push(style.dim(`line numbers of ${safe(chain.source)}`));
  out.push("");
  const about = [chain.what, ...chain.place].filter((s) => s !== null);
  out.push(...about.flatMap((sentence) => lines(sentence, format)));
  for (const note of chain.notes) out.push(...labelled("note:", note, format, style.yellow));
  const margin = Math.max(2, ...chain.rules.map((r) => String(r.line || "").length));
  if (chain.rules.length > 0) out.push("");
  for (const rule of chain.rules) out.push(...ruleLines(rule, chain, margin, format));
  if (chain.rules.length < chain.length) return out;
  out.push(...(chain.rules.length > 0 ? [""] : []), ...lines(chain.end, format, { paint: style.cyan }));
  return out;
}

function ruleLines(rule: RuleExplained, chain: ChainExplained, margin: number, format: TextFormat): string[] {
  const { style } = format;
  const number = String(rule.rule);
  const lead = " ".repeat(margin + 1);
  const inner = `${lead}${" ".repeat(number.length + 2)}`;
  const text = rule.text === "" ? "(no match, no target)" : safe(rule.text);
  const printed = wrap(`${number}: ${text}`, format.width - lead.length, number.length + 2);
  const out = printed.map((line, i) =>
    i === 0
      ? `${style.dim((rule.line === 0 ? "" : String(rule.line)).padStart(margin))} ${style.cyan(line)}`
      : `${lead}${style.cyan(line)}`,
  );
  const who =
    rule.ufw !== undefined
      ? `ufw ${rule.ufw}: `
      : rule.by !== null && rule.by !== chain.by
        ? `${rule.by}: `
        : "";
  out.push(...lines(`${who}${rule.says}${counterText(rule)}`, format, { indent: inner }));
  for (const note of rule.notes) out.push(...labelled("note:", note, format, style.yellow, inner));
  return out;
}

function counterText({ counters }: RuleExplained): string {
  if (counters === null || counters.packets === 0) return "";
  return ` (${counters.packets.toLocaleString("en")} ${plural(counters.packets, "packet")} so far)`;
}

/** Deeper levels are not indented further. */
const MOST_INDENTED = 16;

/** Prints a line or two per chain, below the first chain that calls it. */
export function chainsText(explanation: Explanation, options: ExplainTextOptions = {}): string {
  const format = formatOf(options);
  const out: string[] = [];
  for (const family of [...new Set(explanation.chains.map((c) => c.family))]) {
    const ofFamily = explanation.chains.filter((c) => c.family === family);
    for (const table of [...new Set(ofFamily.map((c) => c.table))]) {
      out.push(format.style.bold(`${table}, IPv${family}`));
      const chains = ofFamily.filter((c) => c.table === table);
      out.push(...tableLines(chains, format), "");
    }
  }
  return `${out.join("\n").trimEnd()}\n`;
}

/** Lines about the chains of one table: base chains with the chains below them, then chains that no base chain calls. */
function tableLines(chains: readonly ChainExplained[], format: TextFormat): string[] {
  const out: string[] = [];
  const byName = new Map(chains.map((chain) => [chain.chain, chain]));
  const shown = new Set<ChainExplained>();
  const show = (root: ChainExplained, level: number): void => {
    // An explicit stack: chains may be nested deeper than JavaScript's own.
    const open = [{ chain: root, depth: level }];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      const { chain, depth } = next;
      if (shown.has(chain)) continue;
      shown.add(chain);
      out.push(...listedChainLines(chain, Math.min(depth, MOST_INDENTED), format));
      for (const call of chain.calls.toReversed()) {
        const called = byName.get(call);
        if (called !== undefined) open.push({ chain: called, depth: depth + 1 });
      }
    }
  };
  for (const chain of chains) if (chain.policy !== null) show(chain, 1);
  const uncalled = chains.filter((c) => !shown.has(c));
  if (uncalled.length > 0) out.push(`  ${format.style.yellow("not called by any rule:")}`);
  for (const chain of uncalled) show(chain, 2);
  return out;
}

function listedChainLines(chain: ChainExplained, depth: number, format: TextFormat): string[] {
  const count = chain.length === 0 ? "empty" : counted(chain.length, "rule");
  const policy = chain.policy === null ? "" : `, policy ${chain.policy}`;
  const by = chain.by === null || chain.by === "you" ? "" : ` (${chain.by})`;
  const name = safe(chain.chain);
  const indent = "  ".repeat(depth);
  const [first, ...rest] = lines(`${name}${by}, ${count}${policy}${purposeText(chain)}`, format, {
    indent,
    hang: 4,
  });
  const out = [first!.replace(name, () => format.style.cyan(name)), ...rest];
  if (chain.dead.length > 0) {
    const rules = shortList(chain.dead.map(String), MOST_LISTED);
    const note = `no packet matches ${plural(chain.dead.length, "rule")} ${rules}`;
    out.push(...labelled("note:", note, format, format.style.yellow, `${indent}    `));
  }
  return out;
}

/** `: ` and the purpose of a chain; of an empty chain only if the owner may add rules to it. */
function purposeText({ table, chain, location, length, by }: ChainExplained): string {
  if (length === 0 && by !== "you") return "";
  if (location.code === "base-chain") return `: ${hookText(location.hook)}`;
  const purpose = knownChain(table, chain);
  return purpose === null ? "" : `: ${chainPurposeText(purpose)}`;
}

interface LineFormat {
  /** Prefix of each line. */
  readonly indent?: string;
  /** Further columns by which lines after the first are indented. */
  readonly hang?: number;
  readonly paint?: (text: string) => string;
}

function lines(
  text: string,
  format: TextFormat,
  { indent = "", hang = 0, paint = (t) => t }: LineFormat = {},
): string[] {
  return wrap(safe(text), Math.max(24, format.width - indent.length), hang).map(
    (line) => `${indent}${paint(line)}`,
  );
}

function labelled(
  label: string,
  text: string,
  format: TextFormat,
  paint: (text: string) => string,
  indent = "",
): string[] {
  const [first, ...rest] = wrap(`${label} ${safe(text)}`, Math.max(24, format.width - indent.length), 2);
  return [`${indent}${paint(label)}${first!.slice(label.length)}`, ...rest.map((line) => `${indent}${line}`)];
}
