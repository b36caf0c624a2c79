/** Grammar of statements and rules. */

import type { IToken } from "chevrotain";
import { ActionParser } from "./action-parser.ts";
import type { Assignment, Expression, Match, Rule, Selector, Statement, Verdict } from "./ast.ts";
import { verdict } from "./expression-parser.ts";
import { Mode, spread } from "./selector-parser.ts";
import * as t from "./tokens.ts";

/** Statements of a rule, with its comment. */
export interface RuleContent {
  readonly statements: readonly Statement[];
  readonly comment: string | null;
}

/** Content of a rule while it is read. */
interface OpenRule {
  readonly statements: Statement[];
  comment: string | null;
}

/** Returns the options of a meter's element as statements: `timeout 1h`. */
function optionStatements(options: readonly string[]): Statement[] {
  return options.flatMap((word, i) =>
    i % 2 === 0 ? [{ kind: "other", words: [word, options[i + 1]!] }] : [],
  );
}

/** Makes a comment that is not at the end of the rule a statement: iptables-nft prints its matches in their order. */
function keepComment(content: OpenRule): void {
  if (content.comment !== null)
    content.statements.push({ kind: "other", words: ["comment", `"${content.comment}"`] });
  content.comment = null;
}

/** The part of the parser that reads statements. */
export class StatementParser extends ActionParser {
  /** What was read of the outermost rule before a syntax error, and the first token after it. */
  protected partial: OpenRule = { statements: [], comment: null };
  protected unread: IToken | undefined;
  /** Anonymous chains around the rule that is being read. */
  private depth = 0;
  /** Creates a rule of an anonymous chain from its first and last token. */
  protected nested: (content: RuleContent, first: IToken, last: IToken) => Rule = () => {
    throw new Error("no rule is being read");
  };

  protected resetRule(): void {
    this.partial = { statements: [], comment: null };
    this.unread = undefined;
    this.depth = 0;
  }

  ruleContent = this.RULE("ruleContent", (): RuleContent => {
    const content: OpenRule = this.depth === 0 ? this.partial : { statements: [], comment: null };
    this.AT_LEAST_ONE(() => {
      this.OR({
        DEF: [
          {
            ALT: () => {
              const { comment } = this.SUBRULE(this.comment);
              keepComment(content);
              content.comment = comment;
            },
          },
          {
            ALT: () => {
              const statement = this.SUBRULE(this.statement);
              keepComment(content);
              content.statements.push(statement);
            },
          },
        ],
        IGNORE_AMBIGUITIES: true,
      });
      this.ACTION(() => {
        if (this.depth === 0) this.unread = this.LA(1);
      });
    });
    return content;
  });

  protected comment = this.RULE("comment", (): { readonly comment: string } => {
    this.CONSUME(t.CommentWord);
    return { comment: this.textOf(this.CONSUME(t.Quoted)) };
  });

  statement = this.RULE(
    "statement",
    (): Statement =>
      this.OR<Statement>({
        DEF: [
          { ALT: () => verdict(this.CONSUME(t.VerdictWord).image) },
          {
            ALT: () => {
              this.CONSUME(t.Empty);
              return { kind: "unknown", text: "" };
            },
          },
          { ALT: () => this.SUBRULE(this.jump) },
          { ALT: () => this.SUBRULE(this.counter) },
          { ALT: () => this.SUBRULE(this.log) },
          { ALT: () => this.SUBRULE(this.limit) },
          { ALT: () => this.SUBRULE(this.quota) },
          { GATE: () => this.LA(2).image === "count", ALT: () => this.SUBRULE(this.ctCount) },
          { ALT: () => this.SUBRULE(this.reject) },
          { ALT: () => this.SUBRULE(this.nat) },
          { ALT: () => this.SUBRULE(this.tproxy) },
          { ALT: () => ({ kind: "other", words: [this.CONSUME(t.NotrackWord).image] }) },
          { ALT: () => this.SUBRULE(this.queue) },
          { ALT: () => this.SUBRULE(this.dup) },
          { ALT: () => this.SUBRULE(this.flow) },
          { ALT: () => this.SUBRULE(this.synproxy) },
          { ALT: () => this.SUBRULE(this.last) },
          { ALT: () => this.SUBRULE(this.meter) },
          { ALT: () => this.SUBRULE(this.setStatement) },
          { ALT: () => this.SUBRULE(this.oldSetStatement) },
          { ALT: () => this.SUBRULE(this.xt) },
          { ALT: () => this.SUBRULE(this.resetOption) },
          { GATE: () => this.maySelect(), ALT: () => this.SUBRULE(this.selecting) },
        ],
        IGNORE_AMBIGUITIES: true,
      }),
  );

  /** A statement that starts with a selector: a match, a verdict map, or an assignment. */
  private selecting = this.RULE("selecting", (): Statement => {
    const left = this.SUBRULE(this.expression, { ARGS: [Mode.selector] });
    return this.OR<Statement>({
      DEF: [
        {
          ALT: () => {
            this.CONSUME(t.VmapWord);
            return { kind: "vmap", key: left, map: this.SUBRULE(this.mapTarget) };
          },
        },
        {
          GATE: () => left.kind === "selector",
          ALT: (): Assignment => {
            this.CONSUME(t.SetWord);
            return {
              kind: "assignment",
              target: left as Selector,
              value: this.SUBRULE1(this.assigned),
            };
          },
        },
        { GATE: () => !this.nextIs(t.SetWord), ALT: () => this.SUBRULE(this.comparison, { ARGS: [left] }) },
      ],
      IGNORE_AMBIGUITIES: true,
    });
  });

  /** Value of an assignment: an expression or a list, `ct event set new,destroy`. */
  private assigned = this.RULE(
    "assigned",
    (): Expression => this.SUBRULE(this.expression, { ARGS: [Mode.value] }),
  );

  private comparison = this.RULE("comparison", (left: Expression): Match => {
    let operator = "";
    this.OPTION(() => {
      operator = t.operatorSymbol(this.CONSUME(t.Compare).image);
    });
    const right = this.SUBRULE(this.concatenation, { ARGS: [Mode.constant, true] });
    return { kind: "match", left, operator: operator as Match["operator"], right };
  });

  private jump = this.RULE("jump", (): Verdict => {
    const { image } = this.CONSUME(t.Jump);
    return this.OR<Verdict>([
      { ALT: () => ({ ...verdict(image), chain: this.textOf(this.CONSUME(t.Target)) }) },
      { ALT: () => ({ ...verdict(image), rules: this.SUBRULE(this.anonymousChain) }) },
    ]);
  });

  private anonymousChain = this.RULE("anonymousChain", (): Rule[] => {
    const rules: Rule[] = [];
    this.CONSUME(t.OpenChain);
    this.ACTION(() => this.depth++);
    this.MANY({
      GATE: () => !this.nextIs(t.Close),
      DEF: () => {
        this.OR([
          { ALT: () => this.CONSUME(t.Separator) },
          {
            ALT: () => {
              const first = this.LA(1);
              const content = this.SUBRULE(this.ruleContent);
              this.ACTION(() => rules.push(this.nested(content, first, this.LA(0))));
            },
          },
        ]);
      },
    });
    this.CONSUME(t.Close);
    this.ACTION(() => this.depth--);
    return rules;
  });

  /** `meter m size 65535 { ip saddr limit rate 10/second }`. */
  private meter = this.RULE("meter", (): Statement => {
    const words = [this.CONSUME(t.MeterWord).image, this.SUBRULE(this.word)];
    this.OPTION({
      GATE: () => this.next("size"),
      DEF: () => words.push(this.SUBRULE1(this.word), this.SUBRULE(this.number)),
    });
    this.CONSUME(t.Open);
    const key = this.SUBRULE(this.concatenation, { ARGS: [Mode.selector, false] });
    const timeouts = this.SUBRULE(this.timeouts);
    const rest = this.SUBRULE(this.elementStatements);
    this.CONSUME(t.Close);
    const statements = [...optionStatements(spread(timeouts)), ...spread(rest)];
    return { kind: "other", words, inputs: [key], statements };
  });

  /** Statements of an element that a rule adds. */
  private elementStatements = this.RULE("elementStatements", (): Statement[] => {
    const statements: Statement[] = [];
    this.MANY({
      GATE: () => !this.nextIs(t.Close) && !this.nextIs(t.Colon),
      DEF: () => {
        statements.push(this.SUBRULE(this.statement));
      },
    });
    return statements;
  });

  /** `timeout 1h`, `expires 59m`. */
  private timeouts = this.RULE("timeouts", (): string[] => {
    const words: string[] = [];
    this.MANY({
      GATE: () => this.next("timeout") || this.next("expires"),
      DEF: () => words.push(this.SUBRULE(this.word), this.SUBRULE(this.number)),
    });
    return words;
  });

  private setStatement = this.RULE("setStatement", (): Statement => {
    const operation = this.CONSUME(t.SetOperation).image as "add";
    const set = this.ACTION(() => this.nameOf(this.LA(1)));
    this.CONSUME(t.Reference);
    this.CONSUME(t.Open);
    const key = this.SUBRULE(this.concatenation, { ARGS: [Mode.value, false] });
    const options = this.SUBRULE(this.timeouts);
    const statements = this.SUBRULE(this.elementStatements);
    let data: Expression | Verdict | null = null;
    this.OPTION(() => {
      this.CONSUME(t.Colon);
      data = this.SUBRULE(this.assignedData);
    });
    this.CONSUME(t.Close);
    return { kind: "set", operation, set, key, data, options, statements };
  });

  /** `set add ip saddr @name`, an old form of `add @name { ip saddr }`. */
  private oldSetStatement = this.RULE("oldSetStatement", (): Statement => {
    this.CONSUME(t.SetWord);
    const operation = this.CONSUME(t.SetOperation).image as "add";
    const key = this.SUBRULE(this.concatenation, { ARGS: [Mode.value, false] });
    const options = this.SUBRULE(this.timeouts);
    const set = this.ACTION(() => this.nameOf(this.LA(1)));
    this.CONSUME(t.Reference);
    return { kind: "set", operation, set, key, data: null, options, statements: [] };
  });

  private assignedData = this.RULE("assignedData", (): Expression | Verdict =>
    this.OR<Expression | Verdict>({
      DEF: [
        { GATE: () => this.nextIs(t.VerdictWord) || this.nextIs(t.Jump), ALT: () => this.SUBRULE(this.data) },
        { ALT: () => this.SUBRULE(this.concatenation, { ARGS: [Mode.value, false] }) },
      ],
      IGNORE_AMBIGUITIES: true,
    }),
  );
}
