/** Assembles units into chains, and reports their errors. */

import type { Chain, Command, Position, Rule } from "./ast.ts";
import { DEFINITION, DefinitionReader, parser } from "./definition-reader.ts";
import { truncate } from "./line-error.ts";
import { ParsedRule, ScannedRule } from "./parsed-rule.ts";
import { isComment } from "./property-lines.ts";
import { ShapeScanner } from "./shape-scanner.ts";
import { type RuleShape, ShapeTable } from "./shapes.ts";
import type { Unit } from "./text-cursor.ts";
import { unquote } from "./tokens.ts";
import type { UnitError } from "./unit-parser.ts";

/** A node while it is read. */
export type Open<T> = { -readonly [K in keyof T]: T[K] };

const LF = 10;
const CR = 13;
const BLANK = 32;
const HASH = 35;
const CLOSE = 125;
export const NAME = '[^\\s{};"#]+';
export const FAMILIES = "ip6?|inet|arp|bridge|netdev";
export const TABLE = new RegExp(`table[ \\t]+(?:(${FAMILIES})[ \\t]+)?(${NAME})[ \\t]*\\{`, "y");
/** Objects of a table that are no chain, set or map. */
export const OBJECTS =
  "flowtable|counter|quota|limit|secmark|synproxy|tunnel|ct[ \\t]+(?:helper|timeout|expectation)";
/** Header of an object. `counter jump {` is a rule with an anonymous chain: no object can have these names. */
export const OBJECT = new RegExp(
  `(chain|set|map|${OBJECTS})[ \\t]+(?!(?:jump|goto)[ \\t]*\\{)(${NAME})[ \\t]*\\{`,
  "y",
);
const HANDLE = /[ \t]*# handle (\d+)[ \t\r]*(?=\n|$)/y;
const HANDLE_COMMENT = /^ handle (\d+)[ \t]*$/;
/** Line of a rule without a text, from the line feed before it. */
const EMPTY_RULE = /\n\t\t(?: # handle (\d+))?(?=\n)/y;

export const HAS_COMMENT = "the block has a comment";

const NO_RULES: readonly Rule[] = [];

/** Reads the chains of one text. An instance is used once. */
export class ChainReader extends DefinitionReader {
  private readonly shapes = new ShapeTable();
  private readonly strict: boolean;
  /** Rules of the chain that is read. */
  private readonly rules: Rule[] = [];
  /** Policy of the chain that is read; its line may precede the type. */
  private policy: { readonly word: string; readonly unit: Unit } | null = null;
  private cutOff = false;
  private readonly ruleScanner: ShapeScanner<RuleShape> | null;

  /** @param strict parse every rule with the grammar, without the scanner */
  constructor(text: string, strict: boolean) {
    super(text);
    this.ruleScanner = strict ? null : new ShapeScanner(text);
    this.strict = strict;
  }

  protected chain(place: Position, name: string, handle: number | null): Chain {
    const rules = this.rules;
    rules.length = 0;
    this.policy = null;
    const chain: Open<Chain> = {
      kind: "chain",
      ...place,
      name,
      base: null,
      comment: null,
      flags: [],
      rules: NO_RULES,
      handle,
    };
    const item = (): void => {
      // A blank after the indentation belongs to the rule: it follows an empty text.
      const before = this.cursor.follows("\t\t ") ? 1 : 0;
      const scanned = before === 0 && this.ruleScanner?.rule(this.cursor.at) === true;
      const rule = scanned ? this.scannedRule() : null;
      if (rule !== null) {
        rules.push(rule);
        return;
      }
      const unit = this.cursor.unit(before);
      if (this.chainProperty(chain, unit)) return;
      rules.push(scanned ? this.learnedRule(unit) : this.rule(unit));
    };
    this.block(`chain ${name}`, chain, item, { lineFeed: () => this.listedRules(rules) });
    this.setPolicy(chain);
    if (rules.length > 0) chain.rules = rules.slice();
    return chain;
  }

  /** Reads rules as nft prints these, as long as their outlines are known. */
  private listedRules(rules: Rule[]): void {
    const { cursor, ruleScanner: scanner } = this;
    while (cursor.text.startsWith("\n\t\t", cursor.at)) {
      const c = cursor.text.charCodeAt(cursor.at + 3);
      if (c === LF || c === BLANK) {
        const empty = this.emptyRules();
        if (empty.length === 0) return;
        rules.push(...empty);
        continue;
      }
      const start = cursor.at;
      cursor.at += 3;
      const rule = scanner?.rule(cursor.at) === true ? this.scannedRule() : null;
      if (rule === null) {
        cursor.at = start;
        return;
      }
      rules.push(rule);
    }
  }

  /** Returns the rule that was scanned; `null` if its outline is new. */
  private scannedRule(): Rule | null {
    const { cursor } = this;
    const scanner = this.ruleScanner!;
    const shape = scanner.find();
    if (shape === undefined) return null;
    cursor.moveLine(cursor.at);
    const at = scanner.store(cursor.columnOf(cursor.at));
    cursor.at = scanner.next;
    return new ScannedRule(cursor.line, shape, scanner.spans, at);
  }

  /** Reads a rule with the grammar, and lets the scanner know its outline. */
  private learnedRule(unit: Unit): Rule {
    const scanner = this.ruleScanner!;
    const rule = this.rule(unit);
    const shape = rule.shape as RuleShape;
    if (shape.template !== null && scanner.values().join("\n") === rule.values.join("\n"))
      scanner.learn(shape);
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
      const shape = this.shapes.add("unknown", 0, null);
      rules.push(new ParsedRule(line, column, shape, handle, { text: "", values: [], content }));
    }
  }

  /** Reads a line of a chain that is no rule. */
  private chainProperty(chain: Open<Chain>, unit: Unit): boolean {
    const text = unit.text.replace(/^[ \t]+/, "");
    const [, word = "", rest = ""] = /^(type|policy|comment|flags)(?:[ \t]+|(?="))(.*)$/.exec(text) ?? [];
    switch (word) {
      case "type": {
        const place = this.cursor.locate(unit.start);
        const { node, error } = parser().baseChain(text);
        if (error !== null) this.fault(unit, error);
        else chain.base = { ...place, ...node, policy: null };
        return true;
      }
      case "policy":
        if (!/^(accept|drop|\$\w+)$/.test(rest)) return false;
        if (this.policy === null) this.policy = { word: rest, unit };
        else this.unitFault(unit, "the chain has a policy");
        return true;
      case "comment":
        if (!isComment(["comment", rest])) return false;
        if (chain.comment === null) chain.comment = unquote(rest);
        else this.unitFault(unit, HAS_COMMENT);
        return true;
      case "flags": {
        const flags = rest.split(/[ \t]*,[ \t]*/);
        if (!flags.every((flag) => /^[a-z]+$/.test(flag))) return false;
        chain.flags = [...chain.flags, ...flags];
        return true;
      }
      default:
        return false;
    }
  }

  private setPolicy(chain: Open<Chain>): void {
    if (this.policy === null) return;
    const { word, unit } = this.policy;
    if (chain.base === null) this.unitFault(unit, "expected a type and a hook of the chain with a policy");
    else chain.base = { ...chain.base, policy: word };
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

  /**
   * Reads the items of a block and its definitions up to its closing brace.
   * @param lineFeed is called before the blanks between two items
   * @param inner the block cannot contain another block, whose header then shows that the brace is missing
   */
  protected block(
    title: string,
    node: Position & { definitions?: readonly Command[] },
    item: () => void,
    { lineFeed = (): unknown => null, inner = true } = {},
  ): void {
    const { cursor } = this;
    for (;;) {
      lineFeed();
      const c = cursor.skipBlanks();
      if (cursor.done) {
        if (!this.cutOff) {
          const message = `the text ends inside ${truncate(title)} of line ${node.line}: expected }`;
          this.report("error", message, cursor.locate(cursor.text.length), "");
        }
        this.cutOff = true;
        return;
      }
      if (c === CR) this.skipReturn();
      else if (c === HASH) cursor.comment();
      else if (c === CLOSE) {
        cursor.at++;
        return;
      } else if (cursor.starts(DEFINITION)) {
        const command = this.definition();
        if (command !== null) node.definitions = [...(node.definitions ?? []), command];
      } else if (cursor.starts(TABLE) || (inner && cursor.starts(OBJECT))) {
        const message = `expected } of ${truncate(title)} of line ${node.line}`;
        this.report("error", message, cursor.locate(cursor.at), cursor.excerpt());
        return;
      } else item();
    }
  }

  /** Reads `# handle 5` after an opening brace. */
  protected handleHere(): number | null {
    const found = this.cursor.match(HANDLE);
    return found === null ? null : Number(found[1]);
  }
}
