/**
 * The syntax tree: all that the text contains, in its order, without meaning.
 *
 * A rule consists of a *shape* (its options, shared by all rules with the same options) and of values. Real files have a
 * few dozen shapes. A program that computes something per shape computes it a few dozen times.
 */

import { type Counters, parseCounters } from "./counters.ts";
import type { WordSpans } from "./word-spans.ts";

export type { Counters };

/** `error`: a part of the text is missing in the document. `warning`: the document is complete. */
export type Severity = "error" | "warning";

/** One error or warning, with its position. */
export interface Diagnostic {
  /** Error or warning. */
  readonly severity: Severity;
  /** Message without position: `expected a chain name after -A`. */
  readonly message: string;
  /** 1-based line of the text. */
  readonly line: number;
  /** 1-based column in UTF-16 units. */
  readonly column: number;
  /** The offending text, at most 80 characters; `""` at the end of a line. */
  readonly found: string;
}

/** `# ...`, without the `#`. */
export interface Comment {
  /** Node type. */
  readonly kind: "comment";
  /** 1-based line of the text. */
  readonly line: number;
  /** Text after the `#`, leading blank included. */
  readonly text: string;
}

/** `:NAME POLICY [0:0]`, or `-N NAME` and `-P NAME POLICY` as in scripts and in the output of `iptables -S`. */
export interface ChainLine {
  /** Node type. */
  readonly kind: "chain";
  /** 1-based line of the text. */
  readonly line: number;
  /** `:` in saved files, the others in scripts. */
  readonly command: ":" | "-N" | "-P";
  /** Name of the chain, unquoted. */
  readonly name: string;
  /** `null` for a user chain (`-` in the text). */
  readonly policy: string | null;
  /** `[packets:bytes]` of a policy; `null` if the text has none. */
  readonly counters: Counters | null;
}

/** A command other than a rule or a chain: `-F INPUT`, `-X`, `-Z`, `-D ...`, `-R ...`, `-E ...`. */
export interface CommandLine {
  /** Node type. */
  readonly kind: "command";
  /** 1-based line of the text. */
  readonly line: number;
  /** The command in its short form: `-F` for `--flush`. */
  readonly command: string;
  /** The words after the command, unquoted. */
  readonly words: readonly string[];
}

/** One option of a shape. */
export interface ShapeOption {
  /** As written: `-p`, `--dport`, `-m`, `-j`. */
  readonly name: string;
  /** True if a `!` precedes it. */
  readonly negated: boolean;
  /** Index of its first value in `Rule.values`. */
  readonly at: number;
  /** Number of values. */
  readonly count: number;
}

/**
 * Sequence of options. Within one parse, equal shapes are one object.
 *
 * Rules of one shape have the same matches. They also have the same target if it is an extension, such as DNAT. The names
 * of chains and of standard targets, such as ACCEPT, are values.
 */
export interface Shape {
  /** In the order of the text. */
  readonly options: readonly ShapeOption[];
}

/** An option of one rule, with its values unquoted. */
export interface Option {
  /** True if a `!` precedes it. */
  readonly negated: boolean;
  /** As written: `-p`, `--dport`. */
  readonly name: string;
  /** Its values without quotes; empty for an option without a value, such as `--syn`. */
  readonly values: readonly string[];
}

/** The part of a rule that its shape does not contain, where the rule has it as strings. */
interface RuleContent {
  readonly chain: string;
  readonly values: readonly string[];
  readonly counters: Counters | null;
}

/** Index of the span of the counters, relative to `Rule.at`. */
const COUNTERS_SPAN = 0;
/** Index of the span of the chain name in `Rule.spans`, relative to `Rule.at`. */
export const CHAIN_SPAN = 2;
/** Index of the span of the first value in `Rule.spans`, relative to `Rule.at`; each span takes two offsets. */
export const VALUE_SPANS = 4;

/** `[12:345] -A CHAIN options`. */
export class Rule {
  /** Node type. */
  readonly kind = "rule";
  /** `null` for a rule that the scanner read: its strings are cut from the text at each read, and take no memory. */
  private readonly content: RuleContent | null;

  constructor(
    /** 1-based line of the text. */
    readonly line: number,
    /** Append or insert. */
    readonly command: "-A" | "-I",
    chain: string,
    /** Its options, shared with all rules that have the same options. */
    readonly shape: Shape,
    values: readonly string[],
    counters: Counters | null,
    /** Rule number of `-I CHAIN 3`, from 1; `null` for `-A`. */
    readonly position: number | null,
    /** Positions of the values if the scanner read the rule. */
    readonly spans: WordSpans | null = null,
    /** Index of the first span of this rule in `spans`. */
    readonly at = 0,
  ) {
    this.content = spans === null ? { chain, values, counters } : null;
  }

  /** Name of its chain, unquoted. */
  get chain(): string {
    return this.content === null ? this.spans!.wordAt(this.at + CHAIN_SPAN) : this.content.chain;
  }

  /** Values of all options, in the order of the text, quotes removed. */
  get values(): readonly string[] {
    if (this.content !== null) return this.content.values;
    const last = this.shape.options.at(-1);
    return Array.from({ length: last === undefined ? 0 : last.at + last.count }, (_, i) => this.value(i));
  }

  /** `[packets:bytes]` before the rule; `null` if the text has none. */
  get counters(): Counters | null {
    if (this.content !== null) return this.content.counters;
    const counters = this.spans!.wordAt(this.at + COUNTERS_SPAN);
    return counters === "" ? null : parseCounters(counters);
  }

  /** Returns one value without cutting the others from the text. */
  value(i: number): string {
    return this.content === null
      ? this.spans!.wordAt(this.at + VALUE_SPANS + 2 * i)
      : this.content.values[i]!;
  }

  /** The options with their values, created anew by each read. */
  get options(): Option[] {
    const { values } = this;
    return this.shape.options.map((o) => ({
      negated: o.negated,
      name: o.name,
      values: values.slice(o.at, o.at + o.count),
    }));
  }

  /** Returns the rule for `JSON.stringify`: options with their values; a counter above 2^53 as text. */
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
  /** Node type. */
  readonly kind: "table";
  /** 1-based line of its `*name`. */
  readonly line: number;
  /** As written after the `*`. It may be a table that iptables(8) does not have. */
  readonly name: string;
  /** Present if the text has no `*name` line. Rules outside a table belong to table filter, as in iptables(8). */
  readonly implied?: true;
  /** Lines of the table in the order of the text. */
  readonly entries: readonly (ChainLine | Rule | CommandLine | Comment)[];
  /** Line of its COMMIT; `null` if the table has none. */
  readonly commit: number | null;
}

/** A whole file. Lines that are in no table and are not comments are reported as diagnostics. */
export interface Document {
  /** In the order of the text. */
  readonly entries: readonly (Table | Comment)[];
}
