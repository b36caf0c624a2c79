/** Assembles units into chains, sets, objects and tables. */

import type {
  Chain,
  Diagnostic,
  Element,
  NamedObject,
  NamedSet,
  Position,
  Rule,
  Severity,
  Table,
} from "./ast.ts";
import { truncate } from "./line-error.ts";
import { ParsedRule } from "./parsed-rule.ts";
import { Kind, ShapeScanner } from "./shape-scanner.ts";
import { type RuleShape, ShapeTable, type Template } from "./shapes.ts";
import { TextCursor, type Unit } from "./text-cursor.ts";
import { unquote } from "./tokens.ts";
import { type UnitError, UnitParser } from "./unit-parser.ts";

type Open<T> = { -readonly [K in keyof T]: T[K] };
type Entry = Chain | NamedSet | NamedObject;

const HASH = 35;
const CLOSE = 125;
export const NAME = '[^\\s{};"#]+';
export const FAMILIES = "ip6?|inet|arp|bridge|netdev";
export const TABLE = new RegExp(`table[ \\t]+(?:(${FAMILIES})[ \\t]+)?(${NAME})[ \\t]*\\{`, "y");
/** Objects of a table that are no chain, set or map. */
export const OBJECTS =
  "flowtable|counter|quota|limit|secmark|synproxy|tunnel|ct[ \\t]+(?:helper|timeout|expectation)";
const OBJECT = new RegExp(`(chain|set|map|${OBJECTS})[ \\t]+(${NAME})[ \\t]*\\{`, "y");
const HANDLE = /[ \t]*# handle (\d+)[ \t\r]*(?=\n|$)/y;
/** Handle and owner after the brace of a table. */
const TABLE_NOTE = /[ \t]*#(?: handle (\d+))?(?: progname ([^\n]*?))?[ \t\r]*(?=\n|$)/y;
const HANDLE_COMMENT = /^ handle (\d+)[ \t]*$/;
/** Line of a rule without a text, from the line feed before it. */
const EMPTY_RULE = /\n\t\t(?: # handle (\d+))?(?=\n)/y;
const ELEMENTS = /elements[ \t]*=[ \t\n]*\{/y;

const NO_OPTIONS: readonly string[] = [];

let sharedParser: UnitParser | undefined;

/** Returns the parser. It is created when it is first needed, because creation is slow. */
export function parser(): UnitParser {
  sharedParser ??= new UnitParser();
  return sharedParser;
}

/** Reads the blocks of one text. An instance is used once. */
export class BlockReader {
  protected readonly cursor: TextCursor;
  private readonly shapes = new ShapeTable();
  protected readonly diagnostics: Diagnostic[] = [];
  private readonly strict: boolean;
  private cutOff = false;
  private readonly ruleScanner: ShapeScanner<RuleShape> | null;
  private readonly elementScanner: ShapeScanner<Template<Element>> | null;

  /** @param strict parse every rule with the grammar, without the scanner */
  constructor(text: string, strict: boolean) {
    this.cursor = new TextCursor(text);
    this.ruleScanner = strict ? null : new ShapeScanner(text);
    this.elementScanner = strict ? null : new ShapeScanner(text);
    this.strict = strict;
  }

  /** Reads a table after its opening brace. */
  protected table(start: number, family: string, name: string, managed = false): Table {
    const place = this.cursor.locate(start);
    const note = this.cursor.match(TABLE_NOTE);
    const table: Open<Table> & { flags: readonly string[] } = {
      kind: "table",
      ...place,
      family: family as Table["family"],
      name,
      flags: [],
      comment: null,
      entries: [],
      ...(managed ? { managed: true as const } : {}),
      program: note?.[2] ?? null,
      handle: note?.[1] === undefined ? null : Number(note[1]),
    };
    const entries: Entry[] = [];
    table.entries = entries;
    this.block(
      `table ${family} ${name}`,
      place,
      () => {
        const at = this.cursor.at;
        const header = this.cursor.match(OBJECT);
        if (header !== null) entries.push(this.object(at, header[1]!.replace(/[ \t]+/g, " "), header[2]!));
        else this.tableProperty(table);
      },
      { inner: false },
    );
    return table;
  }

  /** `comment "x"`, `flags dormant`. */
  private tableProperty(table: Open<Table>): void {
    const unit = this.cursor.unit();
    const [word, ...rest] = parser().words(unit.text);
    if (word === "comment" && rest.length === 1) table.comment = unquote(rest[0]!);
    else if (word === "flags" && rest.length > 0)
      table.flags = [...table.flags, ...rest.filter((each) => each !== ",")];
    else this.unitFault(unit, "expected a chain, a set, a map or an object");
  }

  protected object(start: number, type: string, name: string): Entry {
    const place = this.cursor.locate(start);
    const handle = this.handleHere();
    if (type === "chain") return this.chain(place, name, handle);
    if (type === "set" || type === "map") return this.set(place, type, name, handle);
    const object: Open<NamedObject> = {
      kind: "object",
      ...place,
      type,
      name,
      body: [],
      comment: null,
      handle,
    };
    const body: (readonly string[])[] = [];
    object.body = body;
    this.block(`${type} ${name}`, place, () => {
      const words = parser().words(this.cursor.unit().text);
      if (words[0] === "comment" && words.length === 2) object.comment = unquote(words[1]!);
      else body.push(words);
    });
    return object;
  }

  private chain(place: Position, name: string, handle: number | null): Chain {
    const rules: Rule[] = [];
    const chain: Open<Chain> = {
      kind: "chain",
      ...place,
      name,
      base: null,
      comment: null,
      flags: [],
      rules,
      handle,
    };
    const item = (): void => {
      // A blank after the indentation belongs to the rule: it follows an empty text.
      const before = this.cursor.follows("\t\t ") ? 1 : 0;
      const scanned = before === 0 && this.ruleScanner?.scan(this.cursor.at, false) === true;
      const rule = scanned ? this.scannedRule() : null;
      if (rule !== null) {
        rules.push(rule);
        return;
      }
      const unit = this.cursor.unit(before);
      if (this.chainProperty(chain, unit)) return;
      rules.push(scanned ? this.learnedRule(unit) : this.rule(unit));
    };
    this.block(`chain ${name}`, place, item, { lineFeed: () => rules.push(...this.emptyRules()) });
    return chain;
  }

  /** Returns the rule that was scanned; `null` if its outline is new. */
  private scannedRule(): Rule | null {
    const { cursor } = this;
    const { outline, values, end, next, handle } = this.ruleScanner!;
    const shape = this.ruleScanner!.find(outline);
    if (shape === undefined) return null;
    const { line, column } = cursor.locate(cursor.at);
    const text = cursor.text.slice(cursor.at, end);
    cursor.at = next;
    return new ParsedRule(line, column, shape, values, null, text, handle);
  }

  /** Reads a rule with the grammar, and lets the scanner know its outline. */
  private learnedRule(unit: Unit): Rule {
    const { outline, values } = this.ruleScanner!;
    const rule = this.rule(unit);
    const shape = rule.shape as RuleShape;
    if (shape.template !== null && values.join("\n") === rule.values.join("\n"))
      this.ruleScanner!.learn(outline, shape);
    return rule;
  }

  /** Reads rules that nft printed without a text: it could not print a statement. */
  private emptyRules(): Rule[] {
    const rules: Rule[] = [];
    for (;;) {
      const found = this.cursor.match(EMPTY_RULE);
      if (found === null) return rules;
      const { line, column } = this.cursor.locate(found.index + 3);
      this.report("warning", "a rule without text: nft cannot print it", { line, column }, "");
      const content = { statements: [{ kind: "unknown", text: "" }], comment: null } as const;
      const handle = found[1] === undefined ? null : Number(found[1]);
      rules.push(new ParsedRule(line, column, this.shapes.add("unknown", 0, null), [], content, "", handle));
    }
  }

  /** Reads a line of a chain that is no rule. */
  private chainProperty(chain: Open<Chain>, unit: Unit): boolean {
    const [, word = "", rest = ""] = /^(type|policy|comment|flags)[ \t]+(.*)$/.exec(unit.text) ?? [];
    switch (word) {
      case "type": {
        const place = this.cursor.locate(unit.start);
        const { node, error } = parser().baseChain(unit.text);
        if (error !== null) this.fault(unit, error);
        else chain.base = { ...place, ...node, policy: null };
        return true;
      }
      case "policy":
        if (!/^(accept|drop|\$\w+)$/.test(rest)) return false;
        if (chain.base === null) this.unitFault(unit, "expected a type and a hook before the policy");
        else chain.base = { ...chain.base, policy: rest };
        return true;
      case "comment":
        if (!/^"[^"\n]*"$/.test(rest)) return false;
        chain.comment = unquote(rest);
        return true;
      case "flags":
        chain.flags = [...chain.flags, ...rest.split(/[ \t]*,[ \t]*/)];
        return true;
      default:
        return false;
    }
  }

  protected rule(unit: Unit): Rule {
    const { rule, error } = this.parseRule(unit);
    if (error === null) return rule;
    const first = this.cursor.firstLine(unit);
    if (first !== null) return this.rule(first);
    this.fault(unit, error);
    return rule;
  }

  private parseRule(unit: Unit): { readonly rule: Rule; readonly error: UnitError | null } {
    const place = this.cursor.locate(unit.start);
    const handle = HANDLE_COMMENT.exec(unit.comment)?.[1];
    return parser().rule(
      unit.text,
      this.shapes,
      handle === undefined ? null : Number(handle),
      this.strict,
      (at) => this.cursor.locateWithin(place, unit.text, at),
    );
  }

  private set(place: Position, kind: "set" | "map", name: string, handle: number | null): NamedSet {
    const set: Open<NamedSet> & { properties: (readonly string[])[] } = {
      kind,
      ...place,
      name,
      key: null,
      data: null,
      flags: [],
      properties: [],
      comment: null,
      elements: null,
      elementsPerLine: 0,
      handle,
    };
    this.block(`${kind} ${name}`, place, () => {
      if (this.cursor.match(ELEMENTS) !== null) this.elements(set);
      else this.setProperty(set, this.cursor.unit());
    });
    if (set.key === null) this.report("error", `missing type of ${kind} ${truncate(name)}`, place, "");
    return set;
  }

  private setProperty(set: Open<NamedSet> & { properties: (readonly string[])[] }, unit: Unit): void {
    const words = parser().words(unit.text);
    switch (words[0]) {
      case "type":
      case "typeof": {
        const { node, error } = parser().setType(unit.text);
        if (error !== null) this.fault(unit, error);
        else Object.assign(set, node);
        return;
      }
      case "flags":
        set.flags = [...set.flags, ...words.slice(1).filter((word) => word !== ",")];
        return;
      case "comment":
        if (words.length === 2) set.comment = unquote(words[1]!);
        else this.unitFault(unit, "expected a string after comment");
        return;
      default:
        if (!SET_PROPERTIES.has(words[0] ?? "")) this.unitFault(unit, "expected a property of a set");
        set.properties.push(words);
        if (unit.comment.startsWith(" count ")) set.properties.push(["#", ...unit.comment.trim().split(" ")]);
    }
  }

  /** Reads the elements after `elements = {`. */
  private elements(set: Open<NamedSet>): void {
    const { elements, perLine } = this.elementList();
    set.elements = set.elements === null ? elements : [...set.elements, ...elements];
    if (set.elementsPerLine === 0) set.elementsPerLine = perLine;
  }

  /** Reads elements up to the closing brace. `perLine`: number of those in the first line; 0 if all are in one. */
  protected elementList(): { readonly elements: Element[]; readonly perLine: number } {
    const { cursor } = this;
    const elements: Element[] = [];
    let perLine = 0;
    for (;;) {
      const found = cursor.nextElement();
      if (found === 0) return { elements, perLine };
      if (found === 2 && perLine === 0) perLine = elements.length;
      const element = this.scannedElement();
      if (element !== null) {
        elements.push(element);
        continue;
      }
      const unit = cursor.element();
      const { node, error } = parser().elementOf(unit.text);
      if (error !== null) this.fault(unit, error);
      else elements.push(node);
    }
  }

  /** Reads an element as nft prints it; `null` if the grammar must read it. */
  private scannedElement(): Element | null {
    const { cursor, elementScanner: scanner } = this;
    if (scanner === null || !scanner.scan(cursor.at, true)) return null;
    const { outline, values, end, next } = scanner;
    if (outline === Kind.literal) {
      cursor.at = next;
      return { key: { kind: "value", text: values[0]!, quoted: false }, data: null, options: NO_OPTIONS };
    }
    let template = scanner.find(outline) ?? null;
    if (template === null) {
      template = parser().elementTemplate(cursor.text.slice(cursor.at, end));
      if (template === null) return null;
      scanner.learn(outline, template);
    }
    cursor.at = next;
    return template.build(values);
  }

  /**
   * Reads the items of a block up to its closing brace.
   * @param lineFeed is called before the blanks between two items
   * @param inner the block cannot contain another block, whose header then shows that the brace is missing
   */
  private block(
    title: string,
    start: Position,
    item: () => void,
    { lineFeed = (): unknown => null, inner = true } = {},
  ): void {
    const { cursor } = this;
    for (;;) {
      lineFeed();
      const c = cursor.skipBlanks();
      if (cursor.done) {
        if (!this.cutOff) {
          const message = `the text ends inside ${truncate(title)} of line ${start.line}: expected }`;
          this.report("error", message, cursor.locate(cursor.text.length), "");
        }
        this.cutOff = true;
        return;
      }
      if (c === HASH) cursor.comment();
      else if (c === CLOSE) {
        cursor.at++;
        return;
      } else if (cursor.starts(TABLE) || (inner && cursor.starts(OBJECT))) {
        const message = `expected } of ${truncate(title)} of line ${start.line}`;
        this.report("error", message, cursor.locate(cursor.at), cursor.excerpt());
        return;
      } else item();
    }
  }

  /** Reads `# handle 5` after an opening brace. */
  private handleHere(): number | null {
    const found = this.cursor.match(HANDLE);
    return found === null ? null : Number(found[1]);
  }

  protected unitFault(unit: Unit, message: string): void {
    this.fault(unit, { message, found: truncate(unit.text).replace(/\n.*/s, ""), at: 0 });
  }

  protected fault(unit: Unit, { message, found, at }: UnitError): void {
    const start = this.cursor.locate(unit.start);
    this.report("error", message, this.cursor.locateWithin(start, unit.text, at), found);
  }

  protected report(severity: Severity, message: string, { line, column }: Position, found: string): void {
    this.diagnostics.push({ severity, message, line, column, found });
  }
}

const SET_PROPERTIES: ReadonlySet<string> = new Set([
  "size",
  "timeout",
  "gc-interval",
  "policy",
  "auto-merge",
  "counter",
  "limit",
  "quota",
  "ct",
  "last",
]);
