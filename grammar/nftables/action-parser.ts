/** Grammar of the statements that contain no other statement. */

import type { Expression, OtherStatement, Statement } from "./ast.ts";
import { ExpressionParser } from "./expression-parser.ts";
import { Mode, spread } from "./selector-parser.ts";
import * as t from "./tokens.ts";
import { logOptions, natFlags } from "./vocabulary.ts";

/** The part of the parser that reads these statements. */
export class ActionParser extends ExpressionParser {
  /** `name "x"`, or `name` with a map: a named object. */
  protected objectName = this.RULE("objectName", (): { words: string[]; inputs?: Expression[] } => {
    const words: string[] = [];
    const inputs: Expression[] = [];
    this.OPTION({ GATE: () => this.next("name"), DEF: () => words.push(this.SUBRULE(this.word)) });
    this.OR({
      DEF: [
        { ALT: () => words.push(this.wordOf(this.CONSUME(t.Quoted))) },
        { ALT: () => words.push(this.CONSUME(t.Variable).image) },
        { GATE: () => !this.maySelect(), ALT: () => words.push(this.SUBRULE1(this.word)) },
        { ALT: () => inputs.push(this.SUBRULE(this.expression, { ARGS: [Mode.selector] })) },
      ],
      IGNORE_AMBIGUITIES: true,
    });
    return inputs.length === 0 ? { words } : { words, inputs };
  });

  protected counter = this.RULE("counter", (): OtherStatement => {
    const words = [this.CONSUME(t.CounterWord).image];
    let rest: { words: string[]; inputs?: Expression[] } = { words: [] };
    this.OR([
      { GATE: () => this.isObjectName(), ALT: () => (rest = this.SUBRULE(this.objectName)) },
      {
        ALT: () =>
          this.MANY({
            GATE: () => this.next("packets") || this.next("bytes"),
            DEF: () => words.push(this.SUBRULE(this.word), this.SUBRULE(this.number)),
          }),
      },
    ]);
    return { kind: "other", ...rest, words: [...words, ...spread(rest.words)] };
  });

  protected isObjectName(): boolean {
    return this.next("name") || this.nextIs(t.Quoted);
  }

  protected log = this.RULE("log", (): OtherStatement => {
    const words = [this.CONSUME(t.LogWord).image];
    this.MANY({
      GATE: () => logOptions.has(this.LA(1).image),
      DEF: () => {
        words.push(this.SUBRULE(this.word));
        this.OR([
          { ALT: () => words.push(this.wordOf(this.CONSUME(t.Quoted))) },
          { ALT: () => words.push(this.SUBRULE(this.number)) },
          { ALT: () => words.push(...spread(this.SUBRULE(this.logFlags))) },
        ]);
      },
    });
    return { kind: "other", words };
  });

  /** `all`, `skuid`, `ip options`, `tcp sequence,options`; a level. */
  protected logFlags = this.RULE("logFlags", (): string[] => {
    const words = [this.SUBRULE(this.word)];
    this.OPTION({
      GATE: () => words[0] === "tcp" || words[0] === "ip",
      DEF: () => words.push(this.SUBRULE(this.wordList)),
    });
    return words;
  });

  /** `random,persistent`, in one word. */
  protected wordList = this.RULE("wordList", (): string => {
    let words = this.SUBRULE(this.word);
    this.MANY(() => {
      this.CONSUME(t.Comma);
      words += `,${this.SUBRULE1(this.word)}`;
    });
    return words;
  });

  protected limit = this.RULE("limit", (): Statement => {
    const words = [this.CONSUME(t.LimitWord).image];
    return this.OR<Statement>([
      {
        GATE: () => !this.next("rate"),
        ALT: () => {
          const name = this.SUBRULE(this.objectName);
          return { kind: "limit", ...name, words: [...words, ...spread(name.words)] };
        },
      },
      { ALT: () => ({ kind: "limit", words: [...words, ...spread(this.SUBRULE(this.rate))] }) },
    ]);
  });

  /** `rate over 10/second burst 5 packets`. */
  protected rate = this.RULE("rate", (): string[] => {
    const words = [this.SUBRULE(this.known, { ARGS: [RATE, "rate"] })];
    this.OPTION({
      GATE: () => this.next("over") || this.next("until"),
      DEF: () => words.push(this.SUBRULE(this.word)),
    });
    this.OR([
      { ALT: () => words.push(this.textOf(this.CONSUME(t.Prefix))) },
      {
        ALT: () => {
          let amount = this.SUBRULE(this.number);
          this.OR1([
            {
              ALT: () => {
                this.CONSUME(t.Slash);
                amount += `/${this.SUBRULE1(this.word)}`;
                words.push(amount);
              },
            },
            { ALT: () => words.push(amount, this.SUBRULE2(this.word)) },
          ]);
        },
      },
    ]);
    this.OPTION1({
      GATE: () => this.next("burst"),
      DEF: () => words.push(this.SUBRULE3(this.word), this.SUBRULE1(this.number), this.SUBRULE4(this.word)),
    });
    return words;
  });

  protected quota = this.RULE("quota", (): Statement => {
    const words = [this.CONSUME(t.QuotaWord).image];
    return this.OR<Statement>([
      {
        GATE: () => this.isObjectName(),
        ALT: () => {
          const name = this.SUBRULE(this.objectName);
          return { kind: "limit", ...name, words: [...words, ...spread(name.words)] };
        },
      },
      { ALT: () => ({ kind: "limit", words: [...words, ...spread(this.SUBRULE(this.amount))] }) },
    ]);
  });

  /** `over 25 mbytes used 10 bytes`. */
  protected amount = this.RULE("amount", (): string[] => {
    const words: string[] = [];
    this.OPTION({
      GATE: () => this.next("over") || this.next("until"),
      DEF: () => words.push(this.SUBRULE(this.word)),
    });
    words.push(this.SUBRULE(this.number), this.SUBRULE1(this.word));
    this.OPTION1({
      GATE: () => this.next("used"),
      DEF: () => words.push(this.SUBRULE2(this.word), this.SUBRULE1(this.number), this.SUBRULE3(this.word)),
    });
    return words;
  });

  protected ctCount = this.RULE("ctCount", (): Statement => {
    const words = [this.CONSUME(t.CtWord).image, this.SUBRULE(this.word)];
    this.OPTION({
      GATE: () => this.next("over"),
      DEF: () => words.push(this.SUBRULE1(this.word)),
    });
    words.push(this.SUBRULE(this.number));
    return { kind: "limit", words };
  });

  protected reject = this.RULE("reject", (): Statement => {
    this.CONSUME(t.RejectWord);
    const words: string[] = [];
    this.OPTION({
      GATE: () => this.next("with"),
      DEF: () => {
        this.SUBRULE(this.word);
        words.push(this.SUBRULE(this.known, { ARGS: [REJECT, "icmp, icmpv6, icmpx or tcp"] }));
        this.OPTION1({ GATE: () => this.next("type"), DEF: () => words.push(this.SUBRULE1(this.word)) });
        this.OR([
          { ALT: () => words.push(this.SUBRULE2(this.word)) },
          { ALT: () => words.push(this.SUBRULE(this.number)) },
        ]);
      },
    });
    return { kind: "reject", words };
  });

  /** `:80` */
  private portOf = this.RULE("portOf", (): Expression => {
    this.CONSUME(t.Colon);
    return this.SUBRULE(this.expression, { ARGS: [Mode.value] });
  });

  protected nat = this.RULE("nat", (): Statement => {
    const { image: type } = this.CONSUME(t.NatWord);
    let family = "";
    const words: string[] = [];
    let address: Expression | null = null;
    let port: Expression | null = null;
    let flags: string[] = [];
    this.OPTION({
      GATE: () => (this.next("ip") || this.next("ip6")) && !this.startsSelector(),
      DEF: () => (family = this.SUBRULE(this.word)),
    });
    this.MANY({
      GATE: () => NAT_WORDS.has(this.LA(1).image) || (this.nextIs(t.Dot) && words.length > 0),
      DEF: () => {
        this.OR([
          { ALT: () => words.push(this.SUBRULE1(this.word)) },
          { ALT: () => words.push(this.CONSUME(t.Dot).image) },
        ]);
      },
    });
    this.OPTION1({
      // An old form has no `to`.
      GATE: () => this.next("to") || ((type === "snat" || type === "dnat") && this.startsDestination()),
      DEF: () => {
        this.OPTION4({ GATE: () => this.next("to"), DEF: () => this.SUBRULE2(this.word) });
        ({ address, port } = this.SUBRULE(this.destination));
      },
    });
    // An old form: `redirect :80`.
    this.OPTION2({
      GATE: () => address === null && port === null,
      DEF: () => (port = this.SUBRULE(this.portOf)),
    });
    this.OPTION3({
      GATE: () => natFlags.has(this.LA(1).image),
      DEF: () => {
        const list = this.SUBRULE(this.wordList);
        flags = this.ACTION(() => list.split(","));
      },
    });
    return {
      kind: "nat",
      type: type as "snat",
      family: family as "",
      words,
      address,
      port,
      flags,
    };
  });

  private startsDestination(): boolean {
    const { tokenType } = this.LA(1);
    return this.startsSelector() || (tokenType.CATEGORIES?.includes(t.Literal) ?? false);
  }

  /** `10.0.0.1:80`, `10.0.0.1`, `:80`. */
  protected destination = this.RULE(
    "destination",
    (): { address: Expression | null; port: Expression | null } => {
      let address: Expression | null = null;
      let port: Expression | null = null;
      this.OR([
        {
          // `1:2` is no address.
          GATE: () => !this.nextIs(t.ClassId),
          ALT: () => {
            address = this.SUBRULE(this.expression, { ARGS: [Mode.value] });
            this.OPTION(() => (port = this.SUBRULE(this.portOf)));
          },
        },
        { ALT: () => (port = this.SUBRULE1(this.portOf)) },
      ]);
      return { address, port };
    },
  );

  protected tproxy = this.RULE("tproxy", (): Statement => {
    this.CONSUME(t.TproxyWord);
    let family = "";
    this.OPTION({
      GATE: () => this.next("ip") || this.next("ip6"),
      DEF: () => {
        family = this.SUBRULE(this.word);
      },
    });
    this.SUBRULE(this.known, { ARGS: [TO, "to"] });
    const destination = this.SUBRULE(this.destination);
    return { kind: "tproxy", family: family as "", ...destination };
  });

  protected queue = this.RULE("queue", (): Statement => {
    this.CONSUME(t.QueueWord);
    const flags: string[] = [];
    const inputs: Expression[] = [];
    this.OPTION({
      GATE: () => this.next("flags"),
      DEF: () => {
        this.SUBRULE(this.word);
        flags.push(this.SUBRULE(this.wordList));
      },
    });
    this.OPTION1({
      GATE: () => this.next("to") || this.next("num"),
      DEF: () => {
        this.SUBRULE1(this.word);
        inputs.push(this.SUBRULE(this.expression, { ARGS: [Mode.value] }));
      },
    });
    this.OPTION2({
      GATE: () => QUEUE_FLAGS.has(this.LA(1).image),
      DEF: () => flags.push(this.SUBRULE1(this.wordList)),
    });
    const words = ["queue", ...(flags.length === 0 ? [] : ["flags", flags.join(",")])];
    return inputs.length === 0
      ? { kind: "other", words }
      : { kind: "other", words: [...words, "to"], inputs };
  });

  protected dup = this.RULE("dup", (): Statement => {
    const words = [this.CONSUME(t.DupWord).image];
    this.OPTION({
      GATE: () => this.next("ip") || this.next("ip6"),
      DEF: () => words.push(this.SUBRULE(this.word)),
    });
    words.push(this.SUBRULE(this.known, { ARGS: [TO, "to"] }));
    const inputs = [this.SUBRULE(this.expression, { ARGS: [Mode.value] })];
    this.OPTION1({
      GATE: () => this.next("device"),
      DEF: () => {
        this.SUBRULE1(this.word);
        inputs.push(this.SUBRULE1(this.expression, { ARGS: [Mode.value] }));
      },
    });
    return { kind: "other", words, inputs };
  });

  protected flow = this.RULE("flow", (): Statement => {
    const words = [this.CONSUME(t.FlowWord).image, this.SUBRULE(this.known, { ARGS: [FLOW, "add"] })];
    words.push(`@${this.ACTION(() => this.nameOf(this.LA(1)))}`);
    this.CONSUME(t.Reference);
    return { kind: "other", words };
  });

  protected synproxy = this.RULE("synproxy", (): OtherStatement => {
    const words = [this.CONSUME(t.SynproxyWord).image];
    let rest: { words: string[]; inputs?: Expression[] } = { words: [] };
    this.OR([
      { GATE: () => this.isObjectName(), ALT: () => (rest = this.SUBRULE(this.objectName)) },
      { ALT: () => words.push(...spread(this.SUBRULE(this.synproxyOptions))) },
    ]);
    return { kind: "other", ...rest, words: [...words, ...spread(rest.words)] };
  });

  /** `mss 1460 wscale 7 timestamp sack-perm`. */
  protected synproxyOptions = this.RULE("synproxyOptions", (): string[] => {
    const words: string[] = [];
    this.MANY({
      GATE: () => SYNPROXY.has(this.LA(1).image),
      DEF: () => {
        words.push(this.SUBRULE(this.word));
        this.OPTION(() => words.push(this.SUBRULE(this.number)));
      },
    });
    return words;
  });

  protected last = this.RULE("last", (): Statement => {
    const words = [this.CONSUME(t.LastWord).image];
    this.OPTION({
      GATE: () => this.next("used"),
      DEF: () => {
        words.push(this.SUBRULE(this.word));
        this.OR([
          { ALT: () => words.push(this.SUBRULE(this.number)) },
          { ALT: () => words.push(this.SUBRULE1(this.word)) },
        ]);
      },
    });
    return { kind: "other", words };
  });

  protected xt = this.RULE("xt", (): Statement => {
    this.CONSUME(t.XtWord);
    const type = this.SUBRULE(this.word);
    return this.OR<Statement>([
      { ALT: () => ({ kind: "xt", type, name: this.textOf(this.CONSUME(t.Quoted)) }) },
      { ALT: () => ({ kind: "xt", type, name: this.SUBRULE1(this.word), bare: true }) },
    ]);
  });

  protected resetOption = this.RULE("resetOption", (): Statement => {
    this.CONSUME(t.ResetWord);
    return { kind: "other", words: ["reset", ...spread(this.SUBRULE(this.selector))] };
  });
}

const RATE: ReadonlySet<string> = new Set(["rate"]);
const REJECT: ReadonlySet<string> = new Set(["icmp", "icmpv6", "icmpx", "tcp"]);
const NAT_WORDS: ReadonlySet<string> = new Set(["prefix", "interval", "addr", "port"]);
const TO: ReadonlySet<string> = new Set(["to"]);
const FLOW: ReadonlySet<string> = new Set(["add", "offload"]);
const QUEUE_FLAGS: ReadonlySet<string> = new Set(["bypass", "fanout"]);
const SYNPROXY: ReadonlySet<string> = new Set(["mss", "wscale", "timestamp", "sack-perm"]);
