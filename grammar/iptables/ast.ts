/**
 * What the grammar reads: a document that keeps everything that was written, in its order, and no meaning.
 *
 * A rule is a *shape* (the sequence of its option words, shared by all rules written alike) and the values that fill
 * it. Real files have a few dozen shapes however many rules they hold, so whatever can be worked out from the shape
 * is worked out once.
 */

import { type Counters, pair, type Words } from "./words.ts";

export type { Counters };

/** What a diagnostic weighs: an `error` lost something that was written, a `warning` lost nothing that counts. */
export type Severity = "error" | "warning";

/** One thing that is wrong with the text, and where. */
export interface Diagnostic {
  /** What it weighs. */
  readonly severity: Severity;
  /** A sentence in the field's words, without position: `expected a chain name after -A`. */
  readonly message: string;
  /** 1-based line of the text. */
  readonly line: number;
  /** 1-based column in UTF-16 units. */
  readonly column: number;
  /** The offending text as it stands there, at most 80 characters; `""` at the end of a line. */
  readonly found: string;
}

/** `# ...`, without the `#`. */
export interface Comment {
  /** Tells a comment from the other entries. */
  readonly kind: "comment";
  /** 1-based line of the text. */
  readonly line: number;
  /** What stands behind the `#`, leading blank included. */
  readonly text: string;
}

/** `:NAME POLICY [0:0]`, or `-N NAME` and `-P NAME POLICY` as scripts and `iptables -S` spell it. */
export interface ChainLine {
  /** Tells a chain from the other entries. */
  readonly kind: "chain";
  /** 1-based line of the text. */
  readonly line: number;
  /** How it is spelled: `:` in saved files, the others in scripts. */
  readonly command: ":" | "-N" | "-P";
  /** The chain, unquoted. */
  readonly name: string;
  /** `null` for a user chain (`-` in the text). */
  readonly policy: string | null;
  /** `[packets:bytes]` of a policy; `null` where the text has none. */
  readonly counters: Counters | null;
}

/** A command that is not a rule: `-F INPUT`, `-X`, `-Z`, `-D ...`, `-R ...`, `-E ...`. */
export interface CommandLine {
  /** Tells a command from the other entries. */
  readonly kind: "command";
  /** 1-based line of the text. */
  readonly line: number;
  /** The command as written: `-F`, `--flush`. */
  readonly command: string;
  /** The words behind it, unquoted. */
  readonly words: readonly string[];
}

/** One option of a shape: its word, whether `!` stands before it, and where its values lie in a rule's values. */
export interface ShapeOption {
  /** As written: `-p`, `--dport`, `-m`, `-j`. */
  readonly name: string;
  /** A `!` stands in front of it. */
  readonly negated: boolean;
  /** Index of its first value in `Rule.values`. */
  readonly at: number;
  /** Number of values. */
  readonly count: number;
}

/**
 * The sequence of options that rules written alike share; equal shapes are one object within a parse. Rules of one
 * shape also agree in the names of their matches, and of their target if it is an extension: whether a rule jumps to
 * ACCEPT or to a user chain is not in its shape.
 */
export interface Shape {
  /** In the order in which they are written. */
  readonly options: readonly ShapeOption[];
}

/** An option of one rule, with its values unquoted. */
export interface Option {
  /** A `!` stands in front of it. */
  readonly negated: boolean;
  /** As written: `-p`, `--dport`. */
  readonly name: string;
  /** Its values without quotes; empty for a switch such as `--syn`. */
  readonly values: readonly string[];
}

/** What fills a shape. */
interface Filling {
  readonly chain: string;
  readonly values: readonly string[];
  readonly counters: Counters | null;
}

/** Where the places of a rule's counters stand, counted from the rule's own. */
const COUNTERS = 0;
/** Where the name of a rule's chain stands among the places of its `words`, counted from its `at`. */
export const CHAIN = 2;
/** Where a rule's first value stands among the places of its `words`, counted from its `at`; each takes two places. */
export const VALUES = 4;

/** `[12:345] -A CHAIN options`. */
export class Rule {
  /** Tells a rule from the other entries. */
  readonly kind = "rule";
  private filling: Filling | null;

  constructor(
    /** 1-based line of the text. */
    readonly line: number,
    /** Appended or inserted. */
    readonly command: "-A" | "-I",
    chain: string,
    /** Its options, shared with all rules written alike. */
    readonly shape: Shape,
    values: readonly string[],
    counters: Counters | null,
    /** `-I CHAIN 3`: the place to insert at, from 1; `null` for `-A`. */
    readonly position: number | null,
    /** Where the scanner found all this: the strings are cut when somebody asks, since for most rules nobody does. */
    readonly words: Words | null = null,
    /** Where in the places of these words it starts. */
    readonly at = 0,
  ) {
    this.filling = words === null ? { chain, values, counters } : null;
  }

  /** The chain it stands in, unquoted. */
  get chain(): string {
    return this.filling === null ? this.words!.cut(this.at + CHAIN) : this.filling.chain;
  }

  /** Values of all options, in the order of the text, quotes removed. */
  get values(): readonly string[] {
    return this.filled.values;
  }

  /** `[packets:bytes]` in front of it; `null` where the text has none. */
  get counters(): Counters | null {
    return this.filled.counters;
  }

  private get filled(): Filling {
    this.filling ??= this.cut(this.words!);
    return this.filling;
  }

  private cut(words: Words): Filling {
    const last = this.shape.options.at(-1);
    const values = new Array<string>(last === undefined ? 0 : last.at + last.count);
    for (let i = 0; i < values.length; i++) values[i] = words.cut(this.at + VALUES + 2 * i);
    const counters = words.cut(this.at + COUNTERS);
    return { chain: words.cut(this.at + CHAIN), values, counters: counters === "" ? null : pair(counters) };
  }

  /** One of the values, for those who want no other. */
  value(i: number): string {
    return this.filling === null ? this.words!.cut(this.at + VALUES + 2 * i) : this.filling.values[i]!;
  }

  /** The options spelled out, made anew at each call. */
  get options(): Option[] {
    const { values } = this;
    return this.shape.options.map((o) => ({
      negated: o.negated,
      name: o.name,
      values: values.slice(o.at, o.at + o.count),
    }));
  }

  /** The rule for `JSON.stringify`: options with their values; a counter beyond 2^53 as text. */
  toJSON(): object {
    const { kind, line, command, chain, position, counters, options } = this;
    return {
      kind,
      line,
      command,
      chain,
      ...(position === null ? {} : { position }),
      counters: counters?.map((n) => (typeof n === "bigint" ? n.toString() : n)) ?? null,
      options,
    };
  }
}

/** `*filter` to `COMMIT`. */
export interface Table {
  /** Tells a table from a comment. */
  readonly kind: "table";
  /** 1-based line of its `*name`. */
  readonly line: number;
  /** As written behind the `*`; that it is one of iptables(8) is not checked here. */
  readonly name: string;
  /** The text has no line with its name: rules outside any table are read as table filter, as iptables(8) does. */
  readonly implied?: true;
  /** All that stands in it, in the order of the text. */
  readonly entries: readonly (ChainLine | Rule | CommandLine | Comment)[];
  /** Line of its COMMIT; `null` when the text ends or another table starts without one. */
  readonly commit: number | null;
}

/** A whole file: comments and tables in their order; what is neither is in the diagnostics. */
export interface Document {
  /** In the order of the text. */
  readonly entries: readonly (Table | Comment)[];
}
