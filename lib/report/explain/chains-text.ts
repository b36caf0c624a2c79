/** Chains in plain words, as a person reads them: what a chain is, its rules one by one, and a map of all chains. */

import { PLAIN, type Style, safe } from "../text/terminal.ts";
import { wrap } from "../text/wrap.ts";
import type { ChainExplained, Explanation, RuleExplained } from "./explain.ts";
import { list } from "./phrase.ts";

/** What a text about chains is made with. */
export interface ExplainTextOptions {
  /** Colours; none by default. */
  readonly style?: Style;
  /** Columns to wrap at; 80 by default. */
  readonly width?: number;
}

/** More rules than these are counted, not listed. */
const MOST = 6;

interface Page {
  readonly style: Style;
  readonly width: number;
}

const page = ({ style = PLAIN, width = 80 }: ExplainTextOptions): Page => ({ style, width });

/** Each chain with its rules. */
export function explainText(explanation: Explanation, options: ExplainTextOptions = {}): string {
  const on = page(options);
  const { chains } = explanation;
  const out: string[] = [];
  if (chains.length > 1) {
    const names = chains.map((c) => `${named(c)}${sameFamily(chains) ? "" : ` (IPv${c.family})`}`);
    out.push(
      ...lines(`${chains.length} chains have this name: ${names.join(", ")}`, on, { paint: on.style.dim }),
      "",
    );
  }
  for (const chain of chains) {
    for (const line of chainLines(chain, on)) out.push(line);
    out.push("");
  }
  for (const sentence of explanation.inferred) out.push(...labelled("inferred:", sentence, on, on.style.dim));
  return `${out.join("\n").trimEnd()}\n`;
}

const sameFamily = (chains: readonly ChainExplained[]): boolean =>
  chains.every((c) => c.family === chains[0]!.family);

const named = ({ table, chain }: ChainExplained): string => `${table} ${chain}`;

function chainLines(chain: ChainExplained, on: Page): string[] {
  const { style } = on;
  const title = `${safe(named(chain))}, IPv${chain.family}`;
  const by =
    chain.by === null || chain.by === "you"
      ? ""
      : ` (${chain.by}${chain.docker === undefined ? "" : ` ${chain.docker}`})`;
  const out = [`${style.bold(title)}${style.dim(safe(by))}`];
  if (chain.source !== "") out.push(style.dim(`line numbers of ${safe(chain.source)}`));
  out.push("");
  const about = [chain.what, ...chain.place].filter((s) => s !== null);
  out.push(...about.flatMap((sentence) => lines(sentence, on)));
  for (const note of chain.notes) out.push(...labelled("note:", note, on, style.yellow));
  const margin = Math.max(2, ...chain.rules.map((r) => String(r.line || "").length));
  if (chain.rules.length > 0) out.push("");
  for (const rule of chain.rules) out.push(...ruleLines(rule, chain, margin, on));
  if (chain.rules.length < chain.length) return out;
  out.push(...(chain.rules.length > 0 ? [""] : []), ...lines(chain.end, on, { paint: style.cyan }));
  return out;
}

function ruleLines(rule: RuleExplained, chain: ChainExplained, margin: number, on: Page): string[] {
  const { style } = on;
  const number = String(rule.rule);
  const lead = " ".repeat(margin + 1);
  const inner = `${lead}${" ".repeat(number.length + 2)}`;
  const text = rule.text === "" ? "(no match, no target)" : safe(rule.text);
  const spelled = wrap(`${number}: ${text}`, on.width - lead.length, number.length + 2);
  const out = spelled.map((line, i) =>
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
  out.push(...lines(`${who}${rule.says}${counted(rule)}`, on, { lead: inner }));
  for (const note of rule.notes) out.push(...labelled("note:", note, on, style.yellow, inner));
  return out;
}

function counted({ counters }: RuleExplained): string {
  if (counters === null || counters.packets === 0) return "";
  return ` (${counters.packets.toLocaleString("en")} packet${counters.packets === 1 ? "" : "s"} so far)`;
}

/** Chains that are nested deeper than this stand below each other. */
const MOST_INDENTED = 16;

/** Every chain with a line about it, under the chain that calls it first. */
export function chainsText(explanation: Explanation, options: ExplainTextOptions = {}): string {
  const on = page(options);
  const { style } = on;
  const out: string[] = [];
  for (const family of [...new Set(explanation.chains.map((c) => c.family))]) {
    const mine = explanation.chains.filter((c) => c.family === family);
    for (const table of [...new Set(mine.map((c) => c.table))]) {
      const chains = mine.filter((c) => c.table === table);
      out.push(style.bold(`${table}, IPv${family}`));
      const byName = new Map(chains.map((chain) => [chain.chain, chain]));
      const shown = new Set<ChainExplained>();
      const show = (first: ChainExplained, level: number): void => {
        // An explicit stack: chains may be nested deeper than JavaScript's own.
        const open = [{ chain: first, depth: level }];
        for (let next = open.pop(); next !== undefined; next = open.pop()) {
          const { chain, depth } = next;
          if (shown.has(chain)) continue;
          shown.add(chain);
          out.push(...mapLines(chain, Math.min(depth, MOST_INDENTED), on));
          for (const call of chain.calls.toReversed()) {
            const called = byName.get(call);
            if (called !== undefined) open.push({ chain: called, depth: depth + 1 });
          }
        }
      };
      for (const chain of chains) if (chain.policy !== null) show(chain, 1);
      const lost = chains.filter((c) => !shown.has(c));
      if (lost.length > 0) out.push(`  ${style.yellow("called by nothing, so never asked:")}`);
      for (const chain of lost) show(chain, 2);
      out.push("");
    }
  }
  return `${out.join("\n").trimEnd()}\n`;
}

function mapLines(chain: ChainExplained, depth: number, on: Page): string[] {
  const count = chain.length === 0 ? "empty" : `${chain.length} rule${chain.length === 1 ? "" : "s"}`;
  const policy = chain.policy === null ? "" : `, policy ${chain.policy}`;
  const by = chain.by === null || chain.by === "you" ? "" : ` (${chain.by})`;
  const name = safe(chain.chain);
  const [first, ...rest] = lines(`${name}${by}, ${count}${policy}${purpose(chain)}`, on, {
    lead: "  ".repeat(depth),
    hang: 4,
  });
  const dead = chain.dead.slice(0, MOST).map(String);
  const more = chain.dead.length - dead.length;
  const which = list([...dead, ...(more > 0 ? [`${more} more`] : [])], "and");
  const note = `no packet ever matches rule${chain.dead.length === 1 ? "" : "s"} ${which}`;
  return [
    first!.replace(name, () => on.style.cyan(name)),
    ...rest,
    ...(dead.length === 0 ? [] : labelled("note:", note, on, on.style.yellow, `${"  ".repeat(depth)}    `)),
  ];
}

/** What a chain is for, behind a colon; of an empty one only where it waits for its owner's rules. */
function purpose({ what, policy, place, length, by }: ChainExplained): string {
  if (length === 0 && by !== "you") return "";
  if (policy !== null) return `: ${place[0]![0]!.toLowerCase()}${place[0]!.slice(1, -1)}`;
  return what === null ? "" : `: ${what.replace(/^This chain /, "").replace(/\.$/, "")}`;
}

/** How lines of text stand: what is in front of each, how much further in the later ones begin, and their colour. */
interface Shape {
  readonly lead?: string;
  readonly hang?: number;
  readonly paint?: (text: string) => string;
}

function lines(text: string, on: Page, { lead = "", hang = 0, paint = (t) => t }: Shape = {}): string[] {
  return wrap(safe(text), Math.max(24, on.width - lead.length), hang).map((line) => `${lead}${paint(line)}`);
}

function labelled(
  label: string,
  text: string,
  on: Page,
  paint: (text: string) => string,
  lead = "",
): string[] {
  const [first, ...rest] = wrap(`${label} ${safe(text)}`, Math.max(24, on.width - lead.length), 2);
  return [`${lead}${paint(label)}${first!.slice(label.length)}`, ...rest.map((line) => `${lead}${line}`)];
}
