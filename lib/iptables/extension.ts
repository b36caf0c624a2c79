/**
 * How an extension is written down: its options, how each is spelled, and what the whole asks or does. One object
 * serves the loader (spelling in), the printer (spelling out) and both engines (meaning).
 */
import type { Family } from "../packet/field.ts";
import type { Predicate } from "../packet/predicate.ts";
import type { Effect } from "../rules/effect.ts";
import type { Facts, Site } from "../rules/facts.ts";
import type { Action, CopyMode, KnownConditions, Needed, Negatable, Traits } from "../rules/reading.ts";
import type { Release } from "../rules/ruleset.ts";

/** What a codec may ask while it reads or writes a value. */
export interface Spelling {
  readonly family: Family;
  /** Protocol of the rule (`-p`), where it gives one that is not negated. */
  readonly proto: number | undefined;
  /** The protocol behind `! -p`. */
  readonly unlike?: number | undefined;
  /** Of the iptables whose spelling it is; that of 1.8.9 where nobody says. */
  readonly release?: Release | undefined;
}

/**
 * Whether names out of the system's files (protocols but for a few, groups, realms) are printed as numbers: iptables-save
 * did so in 1.8.11, and did not in 1.8.9.
 */
export const inDigits = ({ release: [major, minor, patch] = [1, 8, 9] }: Spelling): boolean =>
  major > 1 || (major === 1 && (minor > 8 || (minor === 8 && patch >= 10)));

/** A value that cannot be read: what should have stood there, in the field's words. */
export class Unreadable {
  constructor(
    readonly expected: string,
    /** Which of the option's words is at fault, from 0. */
    readonly word: number = 0,
  ) {}
}

/** Reads and writes the value of one option. */
export interface Codec<T> {
  /** How many words it takes: 0 for a flag. */
  readonly words: number;
  /** Whether the words may be left out altogether. */
  readonly optional?: boolean;
  /** What a person should write there: `a port, or two as first:last`. */
  readonly expects: string;
  /** @returns the value, or `Unreadable`. The number of words is checked before. */
  read(words: readonly string[], spelling: Spelling): T | Unreadable;
  /**
   * Whether the word from `start` to before `end` can be read, where that is told in its place, faster than by reading
   * it; `false` says nothing. Only the loader asks, which need not know the value to know that the rule is fine. Of a
   * word that was quoted the escapes are not yet undone: it may be longer than it reads, and hold backslashes.
   */
  sure?(text: string, start: number, end: number, spelling: Spelling): boolean;
  /** The canonical words, exactly as iptables-save prints them, without quotes. */
  write(value: T, spelling: Spelling): readonly string[];
}

/** One option of an extension. */
export interface OptionSpec<T> {
  /** Canonical name, `--dport`. */
  readonly name: string;
  /** Other names: `--destination-port`. iptables accepts unambiguous abbreviations too; those that occur are listed. */
  readonly aliases: readonly string[];
  readonly codec: Codec<T>;
  /** Whether `!` may stand before it. */
  readonly negatable: boolean;
  /** A value that iptables-save does not print, since it is what goes without saying; compared after writing. */
  readonly silent?: T;
}

// biome-ignore lint/suspicious/noExplicitAny: the type of an option's value is recovered by Given<>.
export type Options = Record<string, OptionSpec<any>>;

/** An option as given in a rule. */
export type Given<T> = Negatable<T>;

/** The options a rule gave, by the extension's own names for them. */
export type Values<O extends Options> = {
  readonly [K in keyof O]?: O[K] extends OptionSpec<infer T> ? Given<T> : never;
};

/** An option as a rule gives it, by the extension's own name for it. */
export interface GivenOption extends Given<unknown> {
  readonly key: string;
}

/** An option as iptables-save prints it, its words not yet quoted. */
export interface Written {
  readonly not: boolean;
  readonly name: string;
  readonly words: readonly string[];
}

/** Spells an option out for `Extension.print`. */
export const written = (name: string, ...words: readonly string[]): Written => ({ not: false, name, words });

/** What matches and targets have in common. */
export interface Extension<O extends Options> {
  readonly name: string;
  /** Other names that `-m` and `-j` know it by; iptables-save prints `name`. */
  readonly aliases?: readonly string[];
  /** Families that have it; both unless said. */
  readonly family?: Family;
  readonly options: O;
  /** Why it is opaque, for the documentation's table; absent where the meaning is exact. */
  readonly opaque?: string;
  /** What of it is opaque, and why, where the rest is exact: `--ctexpire: ...`. */
  readonly except?: string;
  /** Protocols of which the rule must name one with `-p`, else the kernel refuses it. */
  readonly needs?: readonly number[];
  /**
   * Takes the options in their order, for an extension that may repeat them; else each may be given once, and stands
   * in the values under its key.
   */
  gather?(given: readonly GivenOption[], spelling: Spelling): Values<O> | Unreadable;
  /**
   * Rewrites what was given into what the kernel keeps (`--syn` into `--tcp-flags`), or says what is wrong with the
   * options taken together (`one of --a and --b is needed`).
   */
  normalize?(values: Values<O>, spelling: Spelling): Values<O> | Unreadable;
  /** What a rule with these options names that has to be there when the rule is loaded; nothing unless said. */
  names?(values: Values<O>): readonly Needed[];
  /** Properties that its predicate or effect does not show. */
  readonly traits?: Traits;
  /** `normalize` refuses by which options are given, by `!` and `-p` alone, never by another option's value. */
  readonly steady?: boolean;
  /** Prints the options where their order or spelling is not that of `options`. */
  print?(values: Values<O>, spelling: Spelling): readonly Written[];
}

/** A match: `-m NAME` and its options. */
export interface MatchExtension<O extends Options = Options> extends Extension<O> {
  /** Loaded without `-m` when the rule says `-p` of this protocol and uses one of its options. */
  readonly protocol?: number;
  /** KnownConditions for the reading of a rule, one for each option; a match without this method is none of them. */
  conditions?(values: Values<O>): KnownConditions;
  /** Its options are independent conditions, each of which can be copied alone. */
  readonly independentOptions?: true;
  /** How it can be copied into another chain; `never` unless given. With independent options: of one option. */
  copy?(values: Values<O>): CopyMode;
  /** Option of `-m conntrack` that matches the same field before DNAT, with the same value. */
  originalOption?(values: Values<O>): "--ctorigdst" | "--ctorigdstport" | undefined;
  /** What it asks. */
  ask(values: Values<O>, facts: Facts, site: Site): Predicate;
  /** Which packets it throws away instead when it is asked about them (`par->hotdrop`); none unless said. */
  hotdrop?(values: Values<O>, facts: Facts): Hotdrop | undefined;
}

/** Packets that a match cannot read, and what of them. */
export interface Hotdrop {
  readonly when: Predicate;
  readonly why: string;
}

/** A target: `-j NAME` and its options. */
export interface TargetExtension<O extends Options = Options> extends Extension<O> {
  /** What it does beside the packet, where it decides nothing: `writes a line to the kernel's log`. */
  readonly does?: string;
  /** `other` unless given. */
  readonly action?: Action;
  /** Traits that depend on the options. */
  traitsOf?(values: Values<O>): Traits;
  /** Answers with a TCP reset. */
  resets?(values: Values<O>): boolean;
  /** Tables it may stand in; all unless said. */
  readonly tables?: readonly string[];
  /** What it does. */
  act(values: Values<O>, facts: Facts, site: Site): Effect;
}

/** Declares a match; the identity, for its types. */
export const match = <O extends Options>(extension: MatchExtension<O>): MatchExtension =>
  extension as unknown as MatchExtension;

/** Declares a target; the identity, for its types. */
export const target = <O extends Options>(extension: TargetExtension<O>): TargetExtension =>
  extension as unknown as TargetExtension;

/** Declares an option that may be negated. */
export const negatable = <T>(name: string, codec: Codec<T>, ...aliases: string[]): OptionSpec<T> => ({
  name,
  aliases,
  codec,
  negatable: true,
});

/** Declares an option without negation. */
export const option = <T>(name: string, codec: Codec<T>, ...aliases: string[]): OptionSpec<T> => ({
  name,
  aliases,
  codec,
  negatable: false,
});
