/** Prints a document in the format of `nft list ruleset`. */

import type {
  BaseChainLine,
  Chain,
  Command,
  Document,
  Expression,
  NamedObject,
  NamedSet,
  Position,
  Table,
} from "./ast.ts";
import { printElement, printExpression, printRule } from "./statement-printer.ts";

export { printElement, printExpression, printRule, printStatement } from "./statement-printer.ts";

/** Prints a document as nft does. */
export function print(document: Document): string {
  const lines: string[] = [];
  for (const entry of document.entries) {
    if (entry.kind === "comment") lines.push(`#${entry.text}`);
    else if (entry.kind === "table") printTable(entry, lines);
    else lines.push(printCommand(entry));
  }
  lines.push("");
  return lines.join("\n");
}

/** `# handle 3 progname firewalld` after the brace of a table. */
function tableNote({ handle, program }: Table): string {
  if (program === null) return handleOf(handle);
  return `${handle === null ? " #" : handleOf(handle)} progname ${program}`;
}

const handleOf = (handle: number | null): string => (handle === null ? "" : ` # handle ${handle}`);

function printTable(table: Table, lines: string[]): void {
  const { family, name, flags, comment, entries } = table;
  lines.push(`table ${family} ${name} {${tableNote(table)}`);
  if (flags.length > 0) lines.push(`\tflags ${flags.join(",")}`);
  if (comment !== null) lines.push(`\tcomment "${comment}"`);
  inOrder(entries, table.definitions).forEach((entry, i) => {
    if (i > 0 || flags.length > 0 || comment !== null) lines.push("");
    if (entry.kind === "command") lines.push(`\t${printCommand(entry)}`);
    else printEntry(entry, lines);
  });
  lines.push("}");
}

/** Returns the nodes of a block and its definitions in the order of the text. */
function inOrder<T extends Position>(
  nodes: readonly T[],
  definitions?: readonly Command[],
): readonly (T | Command)[] {
  if (definitions === undefined) return nodes;
  return [...nodes, ...definitions].sort((a, b) => a.line - b.line || a.column - b.column);
}

function printEntry(entry: Chain | NamedSet | NamedObject, lines: string[]): void {
  const title = entry.kind === "object" ? entry.type : entry.kind;
  lines.push(`\t${title} ${entry.name} {${handleOf(entry.handle)}`);
  if (entry.kind === "chain") printChain(entry, lines);
  else if (entry.kind === "object") printObject(entry, lines);
  else printNamedSet(entry, lines);
  lines.push("\t}");
}

function printDefinitions(definitions: readonly Command[] | undefined, lines: string[]): void {
  for (const command of definitions ?? []) lines.push(`\t\t${printCommand(command)}`);
}

function printChain({ base, comment, flags, rules, definitions }: Chain, lines: string[]): void {
  if (comment !== null) lines.push(`\t\tcomment "${comment}"`);
  if (base !== null) lines.push(`\t\t${printBase(base, flags)}`);
  for (const each of inOrder(rules, definitions))
    if (each.kind === "command") lines.push(`\t\t${printCommand(each)}`);
    else lines.push(`\t\t${printRule(each, "\t\t")}${handleOf(each.handle)}`);
}

function printBase(base: BaseChainLine, flags: readonly string[]): string {
  const { type, hook, priority, policy } = base;
  return [
    `type ${type} hook ${hook}${printDevices(base)} priority ${priority};`,
    ...(policy === null ? [] : [`policy ${policy};`]),
    ...(flags.length === 0 ? [] : [`flags ${flags.join(",")};`]),
  ].join(" ");
}

function printDevices({ devices, bareDevices }: BaseChainLine): string {
  const names = devices.map((name) => (bareDevices ? name : `"${name}"`));
  if (names.length === 0) return "";
  return names.length === 1 ? ` device ${names[0]}` : ` devices = { ${names.join(", ")} }`;
}

function printObject({ body, comment, definitions }: NamedObject, lines: string[]): void {
  printDefinitions(definitions, lines);
  if (comment !== null) lines.push(`\t\tcomment "${comment}"`);
  for (const words of body) lines.push(`\t\t${joinWords(words)}`);
}

/** Joins the words of a line of an object. A sign after `priority` belongs to the number. */
const joinWords = (words: readonly string[]): string =>
  words.join(" ").replaceAll(" ,", ",").replace("priority - ", "priority -");

function printNamedSet(set: NamedSet, lines: string[]): void {
  printDefinitions(set.definitions, lines);
  if (set.key !== null) lines.push(`\t\t${printType(set)}`);
  const first = set.properties.filter(([word]) => BEFORE_FLAGS.has(word!));
  const rest = set.properties.filter(([word]) => !BEFORE_FLAGS.has(word!));
  for (const words of first) printProperty(words, lines);
  if (set.flags.length > 0) lines.push(`\t\tflags ${set.flags.join(",")}`);
  for (const words of rest) printProperty(words, lines);
  if (set.comment !== null) lines.push(`\t\tcomment "${set.comment}"`);
  if (set.elements !== null && set.elements.length > 0)
    lines.push(`\t\telements = { ${printElements(set)} }`);
}

/** Properties that nft prints before the flags. */
const BEFORE_FLAGS: ReadonlySet<string> = new Set(["policy", "size", "#"]);

function printProperty(words: readonly string[], lines: string[]): void {
  // `# count 3` follows the size.
  if (words[0] === "#") lines.push(`${lines.pop()}\t${words.join(" ")}`);
  else lines.push(`\t\t${words.join(" ")}`);
}

function printType({ key, data, dataWord }: NamedSet): string {
  const half = (part: NonNullable<NamedSet["key"]>): string =>
    "type" in part ? part.type.join(" . ") : printExpression(part.typeof);
  const word = key !== null && "type" in key ? "type" : "typeof";
  const right = data === null ? "" : ` : ${dataWord === undefined ? "" : `${dataWord} `}${half(data)}`;
  return `${word} ${half(key!)}${right}`;
}

/** Prints the elements, with as many in a line as in the text. */
function printElements({ elements, elementsPerLine }: NamedSet): string {
  return (elements ?? [])
    .map((element, i) => {
      const separator = i % elementsPerLine === 0 ? ",\n\t\t\t     " : ", ";
      return (i === 0 ? "" : separator) + printElement(element);
    })
    .join("");
}

function printCommand(command: Command): string {
  const { verb, object, family, table, name, newName, place, body } = command;
  if (object === "variable") return [verb, name, ...(body === null ? [] : ["=", printBody(body)])].join(" ");
  const words = object === "ruleset" ? [name] : [family, table, name];
  const at = place === null ? [] : [place.word, String(place.number)];
  const text = [verb, object, ...words.filter((word) => word !== ""), ...at, newName ?? "", printBody(body)];
  return text.filter((word) => word !== "").join(" ");
}

/** Prints the end of a command: a rule, a block, elements. */
function printBody(body: Command["body"]): string {
  if (body === null) return "";
  if (body.kind === "rule") return printRule(body);
  const lines: string[] = [];
  if (body.kind === "table") printTable(body, lines);
  else if (body.kind === "chain" || body.kind === "object" || (body.kind !== "selector" && "flags" in body))
    printEntry(body, lines);
  else return printExpression(body as Expression);
  // An empty block is as good as none, but for `add set`.
  if (lines.length === 2 && body.kind !== "table") return "";
  const indent = body.kind === "table" ? "" : "\t";
  return ["{", ...lines.slice(1).map((line) => line.replace(indent, ""))].join("\n");
}
