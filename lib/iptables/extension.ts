/**
 * Declaration of an extension: the syntax of its options and its meaning. One object serves the loader, the printer and
 * both engines.
 */
import type { Family } from "../packet/field.ts";
import type { Predicate } from "../packet/predicate.ts";
import type { Effect } from "../rules/effect.ts";
import type { Facts, Site } from "../rules/facts.ts";
import type { Action, CopyMode, KnownConditions, Needed, Negatable, Traits } from "../rules/reading.ts";
import type { Release } from "../rules/ruleset.ts";
import type { NftContext, NftForm } from "./nft-form.ts";

/** Properties of a rule and its program that the syntax of a value depends on. */
export interface Spelling {
  readonly family: Family;
  /** Protocol of `-p`. */
  readonly proto: number | undefined;
  /** Protocol of `! -p`. */
  readonly unlike?: number | undefined;
  /** Release of the iptables that prints; 1.8.9 if absent. */
  readonly release?: Release | undefined;
}

/**
 * Returns true if iptables-save prints names from system files (most protocols, groups, realms) as numbers. 1.8.11 does,
 * 1.8.9 does not.
 */
export const inDigits = ({ release: [major, minor, patch] = [1, 8, 9] }: Spelling): boolean =>
  major > 1 || (major === 1 && (minor > 8 || (minor === 8 && patch >= 10)));

/** Result of reading an invalid value. */
export class Unreadable {
  constructor(
    /** Description of a valid value: `a port`. */
    readonly expected: string,
    /** Index of the invalid word of the option. */
    readonly word: number = 0,
  ) {}
}

/** Reads and writes the value of one option. */
export interface Codec<T> {
  /** Number of words; 0 for a flag. */
  readonly words: number;
  /** All words may be omitted. */
  readonly optional?: boolean;
  /** Description of a valid value for messages: `a port, or two as first:last`. */
  readonly expects: string;
  /** Parses a value. The caller checks the number of words. */
  read(words: readonly string[], spelling: Spelling): T | Unreadable;
  /**
   * Optional fast path of the loader: returns true if text[start, end) is certainly valid. False means unknown: fall back to
   * `read`. The text of a quoted word still contains its escapes.
   */
  isValid?(text: string, start: number, end: number, spelling: Spelling): boolean;
  /** Prints the words exactly as iptables-save does, without quotes. */
  write(value: T, spelling: Spelling): readonly string[];
}

/** One option of an extension. */
export interface OptionSpec<T> {
  /** Canonical name, `--dport`. */
  readonly name: string;
  /** Other names: `--destination-port`. */
  readonly aliases: readonly string[];
  readonly codec: Codec<T>;
  /** `!` may precede it. */
  readonly negatable: boolean;
  /** Default value, which iptables-save omits; compared in printed form. */
  readonly silent?: T;
}

// biome-ignore lint/suspicious/noExplicitAny: the type of an option's value is recovered by Given<>.
export type Options = Record<string, OptionSpec<any>>;

/** An option as given in a rule. */
export type Given<T> = Negatable<T>;

/** Values of the options in a rule, by the keys of the extension. */
export type Values<O extends Options> = {
  readonly [K in keyof O]?: O[K] extends OptionSpec<infer T> ? Given<T> : never;
};

/** An option in a rule, with its key. */
export interface GivenOption extends Given<unknown> {
  readonly key: string;
}

/** An option as iptables-save prints it, before quoting. */
export interface Written {
  readonly not: boolean;
  readonly name: string;
  readonly words: readonly string[];
}

/** Returns an option for `Extension.print`. */
export const written = (name: string, ...words: readonly string[]): Written => ({ not: false, name, words });

/** Common part of matches and targets. */
export interface Extension<O extends Options> {
  readonly name: string;
  /** Other names for `-m` and `-j`; iptables-save prints `name`. */
  readonly aliases?: readonly string[];
  /** The only family that has it; both if absent. */
  readonly family?: Family;
  readonly options: O;
  /** Reason why its result is unknown, for docs/extensions.md; absent if its meaning is exact. */
  readonly opaque?: string;
  /** Options with an unknown result and the reason, if the rest is exact: `--ctexpire: ...`. */
  readonly except?: string;
  /** Protocols; the kernel rejects a rule without a `-p` that names one. */
  readonly protocols?: readonly number[];
  /**
   * Combines the options in their order, for an extension with options that may repeat. Without this method each option may
   * be given once.
   */
  gather?(given: readonly GivenOption[], spelling: Spelling): Values<O> | Unreadable;
  /**
   * Rewrites the options into those that the kernel keeps (`--syn` into `--tcp-flags`), or rejects the combination
   * (`one of --a and --b is needed`).
   */
  normalize?(values: Values<O>, spelling: Spelling): Values<O> | Unreadable;
  /** Returns objects outside the ruleset that must exist before the kernel accepts the rule; none if absent. */
  requires?(values: Values<O>): readonly Needed[];
  /** Properties that its predicate or effect does not show. */
  readonly traits?: Traits;
  /** `normalize` rejects only by the presence of options, `!` and `-p`, never by a value. */
  readonly checksPresence?: boolean;
  /** Prints the options if their order or syntax differs from `options`. */
  print?(values: Values<O>, spelling: Spelling): readonly Written[];
  /** Options without an exact text in nft(8), for docs/extensions.md, if the others have one. */
  readonly nftExcept?: string;
}

/** A match: `-m NAME` and its options. */
export interface MatchExtension<O extends Options = Options> extends Extension<O> {
  /** Loaded without `-m` if `-p` names this protocol and the rule has one of its options. */
  readonly protocol?: number;
  /** Returns conditions for the reading of a rule, one for each option; absent if analyses do not know the match. */
  conditions?(values: Values<O>): KnownConditions;
  /** Its options are independent conditions, each of which can be copied alone. */
  readonly independentOptions?: true;
  /** Returns the way to copy it into another chain, of one option if options are independent; `never` if absent. */
  copy?(values: Values<O>): CopyMode;
  /** Option of `-m conntrack` that matches the same field before DNAT, with the same value. */
  originalOption?(values: Values<O>): "--ctorigdst" | "--ctorigdstport" | undefined;
  /** Returns the predicate of the match. */
  predicate(values: Values<O>, facts: Facts, site: Site): Predicate;
  /**
   * Prints it in nft(8) with exactly the same packets, for a chain at hook forward of a table of its family; `null` if nft has
   * no such expression. Without this method it never has one.
   */
  nft?(values: Values<O>, context: NftContext): NftForm | null;
  /** Returns the packets that it drops instead of comparing them (`par->hotdrop`); none if absent. */
  hotdrop?(values: Values<O>, facts: Facts): Hotdrop | undefined;
}

/** Packets that a match cannot parse. */
export interface Hotdrop {
  readonly when: Predicate;
  /** Description of such a packet: `a packet without a next header`. */
  readonly packet: string;
}

/** A target: `-j NAME` and its options. */
export interface TargetExtension<O extends Options = Options> extends Extension<O> {
  /** Its effect on anything but the packet: `writes a line to the kernel's log`. */
  readonly sideEffect?: string;
  /** `other` if absent. */
  readonly action?: Action;
  /** Traits that depend on the options. */
  traitsOf?(values: Values<O>): Traits;
  /** Returns true if it answers with a TCP reset. */
  resets?(values: Values<O>): boolean;
  /** Tables that accept it; all if absent. */
  readonly tables?: readonly string[];
  /** Prints it as statements of nft(8); `null` if nft has none with the same effect. Without this method it never has any. */
  nft?(values: Values<O>, context: NftContext): string | null;
  /** Returns the effect of the target. */
  effect(values: Values<O>, facts: Facts, site: Site): Effect;
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
