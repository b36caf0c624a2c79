/** Grammar of the lines of base chains and of the types of sets. */

import type { BaseChainLine, Expression } from "./ast.ts";
import { Mode, spread } from "./selector-parser.ts";
import { StatementParser } from "./statement-parser.ts";
import * as t from "./tokens.ts";

/** Key and data of a named set. */
export interface SetType {
  readonly key: { readonly type: readonly string[] } | { readonly typeof: Expression };
  readonly data: { readonly type: readonly string[] } | { readonly typeof: Expression } | null;
  readonly dataWord?: string;
}

/** A base chain without its policy and its place. */
export type Base = Omit<BaseChainLine, "policy" | "line" | "column">;

/** The part of the parser that reads these. */
export class DeclarationParser extends StatementParser {
  protected base = this.RULE("base", (): Base => {
    this.SUBRULE(this.known, { ARGS: [TYPE, "type"] });
    const type = this.SUBRULE(this.word);
    this.SUBRULE1(this.known, { ARGS: [HOOK, "hook"] });
    const hook = this.SUBRULE2(this.known, { ARGS: [HOOKS, "a hook"] });
    const devices: string[] = [];
    this.OPTION({
      GATE: () => this.next("device"),
      DEF: () => {
        this.SUBRULE1(this.word);
        devices.push(this.SUBRULE(this.device));
      },
    });
    this.OPTION1({
      GATE: () => this.next("devices"),
      DEF: () => {
        this.SUBRULE2(this.word);
        this.CONSUME(t.Equals);
        devices.push(...spread(this.SUBRULE(this.deviceList)));
      },
    });
    this.SUBRULE3(this.known, { ARGS: [PRIORITY, "priority"] });
    const priority = this.SUBRULE(this.priority);
    const bare = this.ACTION(() => devices.some((name) => !name.startsWith('"')));
    const names = this.ACTION(() => devices.map(t.unquote));
    return { type, hook, devices: names, ...(bare ? { bareDevices: true as const } : {}), priority };
  });

  private deviceList = this.RULE("deviceList", (): string[] => {
    const devices: string[] = [];
    this.OR([
      {
        ALT: () => {
          this.CONSUME(t.Open);
          this.MANY_SEP({ SEP: t.Comma, DEF: () => devices.push(this.SUBRULE(this.device)) });
          this.CONSUME(t.Close);
        },
      },
      { ALT: () => devices.push(this.CONSUME(t.Variable).image) },
    ]);
    return devices;
  });

  /** Name of a device as written: in quotes or not, or a variable. */
  private device = this.RULE("device", (): string =>
    this.OR([
      { ALT: () => this.CONSUME(t.Quoted).image },
      { ALT: () => this.CONSUME(t.Word).image },
      { ALT: () => this.CONSUME(t.Variable).image },
    ]),
  );

  /** `0`, `-100`, `filter`, `filter + 10`. */
  private priority = this.RULE("priority", (): string =>
    this.OR([
      { ALT: () => this.SUBRULE(this.number) },
      {
        ALT: () => {
          this.CONSUME(t.Dash);
          return `-${this.SUBRULE1(this.number)}`;
        },
      },
      {
        ALT: () => {
          let text = this.SUBRULE(this.word);
          this.OPTION(() => {
            const sign = this.OR1([
              { ALT: () => this.CONSUME(t.Plus).image },
              { ALT: () => this.CONSUME1(t.Dash).image },
            ]);
            text += ` ${sign} ${this.SUBRULE2(this.number)}`;
          });
          return text;
        },
      },
    ]),
  );

  protected type = this.RULE("type", (): SetType => {
    const word = this.SUBRULE(this.known, { ARGS: [TYPES, "type or typeof"] });
    let key: SetType["key"] = { type: [] };
    let data: SetType["data"] = null;
    let dataWord = "";
    this.OR([
      { GATE: () => word === "typeof", ALT: () => (key = this.SUBRULE(this.typeofExpression)) },
      { ALT: () => (key = this.SUBRULE(this.typeNames)) },
    ]);
    this.OPTION(() => {
      this.CONSUME(t.Colon);
      this.OPTION1({
        GATE: () => this.next("interval"),
        DEF: () => {
          dataWord = this.SUBRULE(this.word);
        },
      });
      this.OR1({
        DEF: [
          {
            GATE: () => word === "typeof" && !OBJECTS.has(this.LA(1).image),
            ALT: () => (data = this.SUBRULE1(this.typeofExpression)),
          },
          { ALT: () => (data = this.SUBRULE1(this.typeNames)) },
        ],
        IGNORE_AMBIGUITIES: true,
      });
    });
    return { key, data, ...(dataWord === "" ? {} : { dataWord }) };
  });

  private typeofExpression = this.RULE("typeofExpression", (): { typeof: Expression } => ({
    typeof: this.SUBRULE(this.concatenation, { ARGS: [Mode.selector, false] }),
  }));

  private typeNames = this.RULE("typeNames", (): { type: string[] } => {
    const type = [this.SUBRULE(this.word)];
    // `ct helper`, `ct timeout` and `ct expectation` are one type.
    this.OPTION({
      GATE: () => type[0] === "ct",
      DEF: () => {
        type[0] += ` ${this.SUBRULE2(this.word)}`;
      },
    });
    this.MANY(() => {
      this.CONSUME(t.Dot);
      type.push(this.SUBRULE1(this.word));
    });
    return { type };
  });
}

const TYPE: ReadonlySet<string> = new Set(["type"]);
const HOOK: ReadonlySet<string> = new Set(["hook"]);
const PRIORITY: ReadonlySet<string> = new Set(["priority"]);
const TYPES: ReadonlySet<string> = new Set(["type", "typeof"]);
const HOOKS: ReadonlySet<string> = new Set([
  "prerouting",
  "input",
  "forward",
  "output",
  "postrouting",
  "ingress",
  "egress",
]);
/** Data of a map that are no values. */
const OBJECTS: ReadonlySet<string> = new Set([
  "verdict",
  "counter",
  "quota",
  "limit",
  "ct",
  "secmark",
  "synproxy",
]);
