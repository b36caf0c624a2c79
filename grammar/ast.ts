/**
 * What iptables-parser-ts reads: a document that keeps everything that was written, in its order, and no meaning.
 *
 * A rule is a *shape* (the sequence of its option words, shared by all rules written alike) and the values that fill
 * it. Real files have a few dozen shapes however many rules they hold, so whatever can be worked out from the shape
 * is worked out once.
 */

/** What a diagnostic weighs: an `error` lost something that was written, a `warning` lost nothing that counts. */
export type Severity = "error" | "warning";

/** One thing that is wrong with the text, and where. */
export interface Diagnostic {
  readonly severity: Severity;
  /** A sentence in the field's words, without position: `expected a chain name after -A`. */
  readonly message: string;
  /** 1-based line, and 1-based column in UTF-16 units. */
  readonly line: number;
  readonly column: number;
  /** The offending text as it stands there, at most 80 characters; `""` at the end of a line. */
  readonly found: string;
}

/** Packets and bytes; `bigint` only beyond 2^53. */
export type Counters = readonly [packets: number | bigint, bytes: number | bigint];

/** `# ...`, without the `#`. */
export interface Comment {
  readonly kind: "comment";
  readonly line: number;
  readonly text: string;
}

/** `:NAME POLICY [0:0]`, or `-N NAME` and `-P NAME POLICY` as scripts and `iptables -S` spell it. */
export interface ChainLine {
  readonly kind: "chain";
  readonly line: number;
  readonly command: ":" | "-N" | "-P";
  readonly name: string;
  /** `null` for a user chain (`-` in the text). */
  readonly policy: string | null;
  readonly counters: Counters | null;
}

/** A command that is not a rule: `-F INPUT`, `-X`, `-Z`, `-D ...`, `-R ...`, `-E ...`. */
export interface CommandLine {
  readonly kind: "command";
  readonly line: number;
  readonly command: string;
  readonly words: readonly string[];
}

/** One option of a shape: its word, whether `!` stands before it, and where its values lie in a rule's values. */
export interface ShapeOption {
  /** As written: `-p`, `--dport`, `-m`, `-j`. */
  readonly name: string;
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
  readonly options: readonly ShapeOption[];
}

/** An option of one rule, with its values unquoted. */
export interface Option {
  readonly negated: boolean;
  readonly name: string;
  readonly values: readonly string[];
}

/** `[12:345] -A CHAIN options`. */
export class Rule {
  readonly kind = "rule";

  constructor(
    readonly line: number,
    readonly command: "-A" | "-I",
    readonly chain: string,
    readonly shape: Shape,
    /** Values of all options, in the order of the text, quotes removed. */
    readonly values: readonly string[],
    readonly counters: Counters | null,
    /** `-I CHAIN 3`: the place to insert at, from 1; `null` for `-A`. */
    readonly position: number | null,
  ) {}

  /** The options spelled out, made anew at each call. */
  get options(): Option[] {
    return this.shape.options.map((o) => ({
      negated: o.negated,
      name: o.name,
      values: this.values.slice(o.at, o.at + o.count),
    }));
  }

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
  readonly kind: "table";
  readonly line: number;
  readonly name: string;
  readonly entries: readonly (ChainLine | Rule | CommandLine | Comment)[];
  /** Line of its COMMIT; `null` when the text ends or another table starts without one. */
  readonly commit: number | null;
}

/** A whole file: comments and tables in their order; what is neither is in the diagnostics. */
export interface Document {
  readonly entries: readonly (Table | Comment)[];
}
