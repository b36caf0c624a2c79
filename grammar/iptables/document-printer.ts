/** Prints a document in the format of iptables-save. */

import type { ChainLine, CommandLine, Comment, Counters, Document, Rule, Table } from "./ast.ts";
import { isJump, isMatch } from "./shape-trie.ts";
import { freeOptions, isBareValue, otherCommands } from "./tokens.ts";

/** Options whose value iptables-save always quotes. It escapes `"` and `\`. */
const quotedOptions: ReadonlySet<string> = new Set([
  "--bytecode",
  "--hex-string",
  "--led-trigger-id",
  "--string",
  "--u32",
]);

/**
 * Options whose value iptables-save prints with `xtables_save_string`. It quotes values with other characters than
 * `[A-Za-z0-9_-]`, and escapes `"`, `\` and `'`.
 */
const savedOptions: ReadonlySet<string> = new Set([
  "--comment",
  "--helper",
  "--log-prefix",
  "--nfacct-name",
  "--nflog-prefix",
  "--path",
  "--ulog-prefix",
]);

/** Values of free-text options that need no quotes. */
const FREE = /^(?!!$)[^ \t\r\n"]+$/;
const SAVED = /^[\w-]+$/;

// Syntax of the parts of a line. A document that was not parsed may contain strings that have no syntax.
const TABLE = /^[A-Za-z_][\w.-]*$/;
const NAME = /^(?!\[\d+:\d+\]$)[^ \t\r\n]+$/;
const COMMENT = /^[^\n]*$(?<!\r)/;
const OPTION = /^-(?!c$|-set-counters$)(?:[46]|[A-Za-z][^ \t\r\n"]*|-[A-Za-z][^ \t\r\n"=]*)$/;
const OTHER_COMMAND = new RegExp(`^(?:${[...otherCommands.values()].join("|")})$`);
const WORD = /^[^ \t\r\n"]+$/;

/** Returns the text if it matches the pattern, which is true of all documents that `parse` returns. */
function checked(text: string, pattern: RegExp, what: string): string {
  if (pattern.test(text)) return text;
  throw new RangeError(`not ${what}: ${JSON.stringify(text)}`);
}

/**
 * Prints a document as iptables-save does. Every table ends with COMMIT, also if it was cut off in the text.
 * @returns text that ends with a line feed; `""` for an empty document
 * @throws RangeError if a document that was not parsed contains a string without a syntax, such as a value with a line feed
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
  lines.push(`*${checked(table.name, TABLE, "a table name")}`);
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
  return `#${checked(text, COMMENT, "a comment of one line")}`;
}

function printChain({ command, name, policy, counters }: ChainLine): string {
  switch (command) {
    case ":": {
      const words = [checked(name, NAME, "a chain name"), checked(policy ?? "-", NAME, "a policy")];
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
    checked(command, OTHER_COMMAND, "a command"),
    ...words.map((w) => (WORD.test(w) ? w : inQuotes(w))),
  ].join(" ");
}

/** Prints one rule as iptables-save does. */
export function printRule({ command, chain, position, counters, shape, values }: Rule): string {
  let text = `${counters ? `${bracket(counters)} ` : ""}${command} ${quote(chain)}`;
  if (position !== null && position !== 1) text += ` ${position}`;
  let owner = "";
  for (const { name, negated, at, count } of shape.options) {
    text += `${negated ? " !" : ""} ${checked(name, OPTION, "an option")}`;
    if (isMatch(name) || isJump(name)) owner = values[at] ?? "";
    for (let i = at; i < at + count; i++) {
      // Old scripts write `--dport ! 80`.
      const negatedValue = values[i] === "!" && i === at && count > 1;
      text += ` ${negatedValue ? "!" : quote(values[i]!, i === at ? name : "", owner)}`;
    }
  }
  return text;
}

/**
 * Prints one value, with quotes if iptables-save prints quotes.
 * @param option option of the value; `""` for the name of a chain
 * @param owner match or target of the option: connlabel quotes its `--label`, IDLETIMER does not
 * @throws RangeError if the value contains a line feed, which iptables cannot represent
 */
export function quote(value: string, option = "", owner = ""): string {
  if (isSavedOption(option, owner)) return SAVED.test(value) ? value : inQuotes(value, /["\\']/g);
  if (isQuotedOption(option, owner)) return inQuotes(value);
  const plain = freeOptions.has(option) ? FREE.test(value) : isBareValue(value);
  return plain ? value : inQuotes(value);
}

const isSavedOption = (option: string, owner: string): boolean =>
  savedOptions.has(option) && !(option === "--helper" && owner === "CT");

const isQuotedOption = (option: string, owner: string): boolean =>
  quotedOptions.has(option) || (option === "--label" && owner === "connlabel");

function inQuotes(value: string, escaped = /["\\]/g): string {
  if (value.includes("\n")) throw new RangeError("a value cannot contain a line feed");
  return `"${value.replace(escaped, "\\$&")}"`;
}

function bracket([packets, bytes]: Counters): string {
  return `[${packets}:${bytes}]`;
}
