/** A document in the spelling of iptables-save. */

import type { ChainLine, CommandLine, Comment, Counters, Document, Rule, Table } from "./ast.ts";
import { isJump, isMatch } from "./shapes.ts";
import { bare, freeOptions, otherCommands } from "./tokens.ts";

/** Options whose value iptables-save always writes in quotes, with `"` and `\` escaped. */
const quoted: ReadonlySet<string> = new Set([
  ...["--bytecode", "--hex-string", "--led-trigger-id", "--string", "--u32"],
]);

/**
 * Options whose value iptables-save writes through `xtables_save_string`: bare if it is made of `[A-Za-z0-9_-]`,
 * else in quotes with `"`, `\` and `'` escaped.
 */
const saved: ReadonlySet<string> = new Set([
  ...["--comment", "--helper", "--log-prefix", "--nfacct-name", "--nflog-prefix", "--path", "--ulog-prefix"],
]);

/** A word that may stand bare where any word is taken. */
const FREE = /^(?!!$)[^ \t\r\n"]+$/;
const SAVED = /^[\w-]+$/;

// What a document made by hand may not hold, since no line could say it.
const TABLE = /^[A-Za-z_][\w.-]*$/;
const NAME = /^(?!\[\d+:\d+\]$)[^ \t\r\n]+$/;
const COMMENT = /^[^\n]*$(?<!\r)/;
const OPTION = /^-(?!c$|-set-counters$)(?:[46]|[A-Za-z][^ \t\r\n"]*|-[A-Za-z][^ \t\r\n"=]*)$/;
const OTHER_COMMAND = new RegExp(`^(?:${[...otherCommands.values()].join("|")})$`);
const WORD = /^[^ \t\r\n"]+$/;

/** The text, if it can stand in its place; a document that `parse` made never fails here. */
function proper(text: string, pattern: RegExp, what: string): string {
  if (pattern.test(text)) return text;
  throw new RangeError(`not ${what}: ${JSON.stringify(text)}`);
}

/**
 * The text of a document: what iptables-save would write, ending in a line feed; `""` if there is nothing. Every table
 * ends in COMMIT, also one that was cut off.
 * @throws RangeError if something in a document made by hand has no spelling, such as a value with a line feed
 */
export function print(document: Document): string {
  const lines: string[] = [];
  for (const entry of document.entries) {
    if (entry.kind === "comment") lines.push(printComment(entry));
    else printTable(entry, lines);
  }
  lines.push("");
  return lines.join("\n");
}

function printTable(table: Table, lines: string[]): void {
  lines.push(`*${proper(table.name, TABLE, "a table name")}`);
  for (const entry of table.entries) lines.push(printEntry(entry));
  lines.push("COMMIT");
}

function printEntry(entry: Table["entries"][number]): string {
  switch (entry.kind) {
    case "comment":
      return printComment(entry);
    case "chain":
      return printChain(entry);
    case "command":
      return printCommand(entry);
    case "rule":
      return printRule(entry);
  }
}

function printComment({ text }: Comment): string {
  return `#${proper(text, COMMENT, "a comment of one line")}`;
}

function printChain({ command, name, policy, counters }: ChainLine): string {
  switch (command) {
    case ":": {
      const words = [proper(name, NAME, "a chain name"), proper(policy ?? "-", NAME, "a policy")];
      return `:${words.join(" ")}${counters ? ` ${bracket(counters)}` : ""}`;
    }
    case "-N":
      return `-N ${quote(name)}`;
    case "-P":
      return `-P ${quote(name)} ${quote(policy ?? "-")}${counters ? ` -c ${counters.join(" ")}` : ""}`;
  }
}

function printCommand({ command, words }: CommandLine): string {
  return [
    proper(command, OTHER_COMMAND, "a command"),
    ...words.map((w) => (WORD.test(w) ? w : inQuotes(w))),
  ].join(" ");
}

/** One rule, as it stands in a save. */
export function printRule({ command, chain, position, counters, shape, values }: Rule): string {
  let text = `${counters ? `${bracket(counters)} ` : ""}${command} ${quote(chain)}`;
  if (position !== null && position !== 1) text += ` ${position}`;
  let owner = "";
  for (const { name, negated, at, count } of shape.options) {
    text += `${negated ? " !" : ""} ${proper(name, OPTION, "an option")}`;
    if (isMatch(name) || isJump(name)) owner = values[at] ?? "";
    for (let i = at; i < at + count; i++) {
      const old = values[i] === "!" && i === at && count > 1;
      text += ` ${old ? "!" : quote(values[i]!, i === at ? name : "", owner)}`;
    }
  }
  return text;
}

/**
 * The spelling of one value, as iptables-save quotes it.
 * @param option the option it belongs to; none for a name
 * @param owner the match or target that the option belongs to: connlabel quotes its `--label`, IDLETIMER does not
 * @throws RangeError if the value holds a line feed, which no spelling has
 */
export function quote(value: string, option = "", owner = ""): string {
  if (isSaved(option, owner)) return SAVED.test(value) ? value : inQuotes(value, /["\\']/g);
  if (isQuoted(option, owner)) return inQuotes(value);
  const plain = freeOptions.has(option) ? FREE.test(value) : bare(value);
  return plain ? value : inQuotes(value);
}

const isSaved = (option: string, owner: string): boolean =>
  saved.has(option) && !(option === "--helper" && owner === "CT");

const isQuoted = (option: string, owner: string): boolean =>
  quoted.has(option) || (option === "--label" && owner === "connlabel");

function inQuotes(value: string, escaped = /["\\]/g): string {
  if (value.includes("\n")) throw new RangeError("a value cannot hold a line feed");
  return `"${value.replace(escaped, "\\$&")}"`;
}

function bracket([packets, bytes]: Counters): string {
  return `[${packets}:${bytes}]`;
}
