/** Grammar of expressions. It only reads the text: the host decides which names exist. */
import { EmbeddedActionsParser, type IToken, type TokenType } from "chevrotain";
import { protoNumber } from "../packet/field.ts";
import type {
  Expected,
  Expression,
  QueryError,
  QueryFault,
  QueryName,
  QueryTest,
  QueryVerdict,
  Span,
} from "./expression.ts";
import { QUERY_VERDICTS } from "./expression.ts";
import { suggestionFor } from "./suggestion.ts";
import * as t from "./tokens.ts";
import { type Read, readAddresses, readPorts } from "./values.ts";

export const spanOf = ({ startOffset, image }: IToken): Span => ({
  start: startOffset,
  end: startOffset + image.length,
});

const nameOf = (token: IToken): QueryName => ({
  ...spanOf(token),
  name: token.tokenType === t.Quoted ? token.image.slice(1, -1) : token.image,
});

const PROPERTIES: ReadonlyMap<string, QueryTest> = new Map([
  ["forwarded", { code: "delivery", delivery: "forward" }],
  ["local", { code: "delivery", delivery: "local" }],
  ["sent", { code: "sent" }],
  ["new", { code: "new" }],
  ["ipv4", { code: "family", family: 4 }],
  ["ipv6", { code: "family", family: 6 }],
]);

const NO_TEST: QueryTest = { code: "new" };

/** Parser of expressions. Create it once and lazily. */
export class ExpressionParser extends EmbeddedActionsParser {
  /** First value that is not what its test needs. */
  fault: QueryError | null = null;

  constructor({ validate = false } = {}) {
    super(t.vocabulary, { maxLookahead: 1, recoveryEnabled: false, skipValidations: !validate });
    this.performSelfAnalysis();
  }

  override reset(): void {
    super.reset();
    this.fault = null;
  }

  /** Parts joined by `or`. */
  readonly expression = this.RULE("expression", (): Expression => {
    const some: Expression[] = [this.SUBRULE1(this.conjunction)];
    this.MANY(() => {
      this.CONSUME(t.Or);
      some.push(this.SUBRULE2(this.conjunction));
    });
    return some.length === 1 ? some[0]! : { kind: "or", some };
  });

  /** Parts joined by `and`, or without a word between the parts. */
  private readonly conjunction = this.RULE("conjunction", (): Expression => {
    const all: Expression[] = [this.SUBRULE1(this.negation)];
    this.MANY(() => {
      this.OPTION(() => this.CONSUME(t.And));
      all.push(this.SUBRULE2(this.negation));
    });
    return all.length === 1 ? all[0]! : { kind: "and", all };
  });

  private readonly negation = this.RULE("negation", (): Expression => {
    let isNegated = false;
    this.MANY(() => {
      this.CONSUME(t.Not);
      isNegated = !isNegated;
    });
    const part = this.OR<Expression>([
      {
        ALT: () => {
          this.CONSUME(t.Open);
          const inner = this.SUBRULE(this.expression);
          this.CONSUME(t.Close);
          return inner;
        },
      },
      { ALT: (): Expression => ({ kind: "test", test: this.SUBRULE(this.test) }) },
    ]);
    return isNegated ? { kind: "not", not: part } : part;
  });

  private readonly test = this.RULE(
    "test",
    (): QueryTest =>
      this.OR<QueryTest>([
        { ALT: () => this.SUBRULE(this.endpoint) },
        { ALT: () => this.SUBRULE(this.interface) },
        { ALT: () => this.SUBRULE(this.protocol) },
        { ALT: () => this.SUBRULE(this.ports) },
        { ALT: () => this.SUBRULE(this.verdict) },
        { ALT: () => this.SUBRULE(this.decider) },
        { ALT: () => this.SUBRULE(this.state) },
      ]),
  );

  private readonly endpoint = this.RULE("endpoint", (): QueryTest => {
    const word = this.OR1([{ ALT: () => this.CONSUME(t.From) }, { ALT: () => this.CONSUME(t.To) }]);
    const side = word.tokenType === t.From ? "src" : "dst";
    return this.OR2<QueryTest>([
      {
        ALT: () => {
          this.CONSUME(t.Container);
          return { code: "container", side, name: nameOf(this.CONSUME1(t.Name)) };
        },
      },
      {
        ALT: () => {
          this.CONSUME(t.Network);
          return { code: "network", side, name: nameOf(this.CONSUME2(t.Name)) };
        },
      },
      {
        ALT: () => ({
          code: "addresses",
          side,
          ranges: this.readAll(this.SUBRULE(this.words), readAddresses, "addresses"),
        }),
      },
    ]);
  });

  private readonly interface = this.RULE("interface", (): QueryTest => {
    const word = this.OR([{ ALT: () => this.CONSUME(t.In) }, { ALT: () => this.CONSUME(t.Out) }]);
    const field = word.tokenType === t.In ? "in" : "out";
    return { code: "interface", field, names: this.SUBRULE(this.names) };
  });

  private readonly protocol = this.RULE("protocol", (): QueryTest => {
    const name = this.OR([
      { ALT: () => this.CONSUME1(t.Protocol) },
      {
        ALT: () => {
          this.CONSUME(t.Proto);
          return this.CONSUME2(t.Name);
        },
      },
    ]);
    return this.ACTION(() => {
      const number = protoNumber(name.image);
      if (number === undefined) this.unexpected(name, "protocol");
      return { code: "protocol", number: number ?? 0 };
    });
  });

  private readonly ports = this.RULE("ports", (): QueryTest => {
    const word = this.OR([
      { ALT: () => this.CONSUME(t.Sport) },
      { ALT: () => this.CONSUME(t.Dport) },
      { ALT: () => this.CONSUME(t.ContainerPort) },
    ]);
    const ranges = this.readAll(this.SUBRULE(this.words), readPorts, "ports");
    return word.tokenType === t.ContainerPort
      ? { code: "container-ports", ranges }
      : { code: "ports", field: word.tokenType === t.Sport ? "sport" : "dport", ranges };
  });

  private readonly verdict = this.RULE("verdict", (): QueryTest => {
    this.CONSUME(t.Verdict);
    const word = this.CONSUME(t.Name);
    return this.ACTION(() => {
      const verdict = QUERY_VERDICTS.find((each) => each === word.image);
      if (verdict === undefined) this.unexpected(word, "verdict");
      return { code: "verdict", verdict: verdict ?? ("accept" satisfies QueryVerdict) };
    });
  });

  /** `by INPUT 3`, `by FORWARD policy`. */
  private readonly decider = this.RULE("decider", (): QueryTest => {
    this.CONSUME(t.By);
    const chain = nameOf(this.CONSUME1(t.Name));
    const number = this.CONSUME2(t.Name);
    return this.ACTION(() => {
      const { image } = number;
      if (image === "policy") return { code: "decided", chain, rule: image };
      if (!/^[1-9]\d{0,8}$/.test(image)) this.unexpected(number, "rule");
      return { code: "decided", chain, rule: Number(image) };
    });
  });

  /** A word without a value, or `ct state new` as in nft. */
  private readonly state = this.RULE("state", (): QueryTest => {
    const word = this.OR([
      { ALT: () => this.CONSUME(t.Property) },
      { ALT: () => this.CONSUME(t.NotFirst) },
      {
        ALT: () => {
          this.CONSUME(t.Ct);
          this.CONSUME(t.State);
          const state = this.CONSUME(t.Name);
          this.ACTION(() => {
            if (state.image !== "new" && state.tokenType !== t.NotFirst) this.unexpected(state, "state");
          });
          return state;
        },
      },
    ]);
    return this.ACTION(() => {
      if (word.tokenType === t.NotFirst) this.report(word, { code: "not-first", state: word.image });
      return PROPERTIES.get(word.image) ?? NO_TEST;
    });
  });

  /** Values with commas between, in braces or without. */
  private readonly words = this.RULE("words", (): IToken[] => this.list(t.Word));
  private readonly names = this.RULE("names", (): QueryName[] => {
    const tokens = this.list(t.Name);
    return this.ACTION(() => tokens.map(nameOf));
  });

  private list(type: TokenType): IToken[] {
    const found: IToken[] = [];
    this.OR([
      {
        ALT: () => {
          this.CONSUME(t.OpenSet);
          this.AT_LEAST_ONE_SEP1({ SEP: t.Comma, DEF: () => found.push(this.CONSUME1(type)) });
          this.CONSUME(t.CloseSet);
        },
      },
      { ALT: () => this.AT_LEAST_ONE_SEP2({ SEP: t.Comma, DEF: () => found.push(this.CONSUME2(type)) }) },
    ]);
    return found;
  }

  private readAll<T>(tokens: readonly IToken[], read: (text: string) => Read<T>, expected: Expected): T[] {
    return this.ACTION(() =>
      tokens.flatMap((token): T[] => {
        const value = read(token.image);
        if (value === null) this.unexpected(token, expected);
        else if (value === "empty") this.report(token, { code: "empty-range", found: token.image });
        else return [value];
        return [];
      }),
    );
  }

  private unexpected(token: IToken, expected: Expected): void {
    const { image: found } = token;
    this.report(token, { code: "unexpected", expected, found, suggestion: suggestionFor(found, expected) });
  }

  private report(token: IToken, fault: QueryFault): void {
    this.fault ??= { ...spanOf(token), ...fault };
  }
}
