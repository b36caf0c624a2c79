/**
 * Tokens of the language, for chevrotain.
 *
 * The lexer only distinguishes literals, words and punctuation. `classify` then gives words that are keywords their own token
 * type. Each of these types has the category `Word`, because every keyword can also be a symbol or a name.
 */

import { createToken, type IMultiModeLexerDefinition, type IToken, Lexer, type TokenType } from "chevrotain";
import { bareMetaKeys, binaryWords, comparisonWords, headerFields } from "./vocabulary.ts";

const DIGIT = "0123456789";
const HEX = `${DIGIT}abcdefABCDEF`;
const LETTER = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** Chevrotain needs hints for the first characters, because it cannot derive them from patterns with look-ahead. */
const firstChars = (chars: string): { start_chars_hint: string[] } => ({ start_chars_hint: [...chars] });
/** Hints for patterns that start with any character. Chevrotain groups the characters above 255 by 255. */
const everyChar = {
  start_chars_hint: [
    ...Array.from({ length: 256 }, (_, code) => code).filter((code) => code !== 10),
    ...Array.from({ length: 257 }, (_, group) => Math.max(256, (group + 1) * 255)),
  ],
};

/** Patterns of an IPv6 or hardware address, and of a number, an IPv4 address or a time. */
const COLON_ADDRESS = "(?!:[^:])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:\\.\\d{1,3}){0,3}(?![\\w:])";
/** nft 1.0.6 prints `{ 0x16 [invalid type] }` for values whose type it does not know, like those of `ct original proto-dst`. */
const ATOM = "\\d[A-Za-z0-9_.]*(?: \\[invalid type\\])?";
const LITERAL = `(?:${COLON_ADDRESS}|${ATOM})`;

interface Options {
  readonly label?: string;
  readonly categories?: TokenType[];
  readonly push_mode?: string;
  readonly pop_mode?: boolean;
}

const token = (name: string, source: string, first: string, options: Options = {}): TokenType =>
  createToken({ name, pattern: new RegExp(source), ...firstChars(first), ...options });
const abstract = (name: string, label: string, ...categories: TokenType[]): TokenType =>
  createToken({ name, pattern: Lexer.NA, label, categories });
/** Blanks, and line feeds after a backslash. */
const blank = (name: string, chars: string): TokenType =>
  createToken({
    name,
    pattern: new RegExp(`(?:[${chars}]|\\r(?=\\n)|\\\\\\r?\\n)+`),
    group: Lexer.SKIPPED,
    ...firstChars(" \t\r\n\\"),
  });

// Blanks and comments.

const Blank = blank("Blank", " \\t");
/** Inside the braces of a set a line feed is a blank. */
const SetBlank = blank("SetBlank", " \\t\\n");
const Hash = createToken({ name: "Hash", pattern: /#[^\n]*/, group: Lexer.SKIPPED, ...firstChars("#") });
export const Separator = token("Separator", "[\\n;]", "\n;", { label: "the end of the line" });
const SetSeparator = token("SetSeparator", ";", ";", { categories: [Separator] });

// Literals.

/** A literal that is one value. */
export const Literal = abstract("Literal", "a value");
export const Range = token("Range", `${LITERAL}-${LITERAL}`, `${HEX}:`, { label: "a range" });
export const Prefix = token("Prefix", `${LITERAL}/\\w+`, `${HEX}:`, { label: "a prefix" });
const Address = token("Address", COLON_ADDRESS, `${HEX}:`, { categories: [Literal] });
/** `1:10`, if it is not the start of a longer word: nft reads `{ 22:accept }` as three tokens. */
export const ClassId = token("ClassId", "[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}(?![^ \\t\\n:,}-])", HEX, {
  categories: [Literal],
});
const Atom = token("Atom", ATOM, DIGIT, { categories: [Literal] });
export const Quoted = token("Quoted", '"[^"\\n]*"', '"', { label: "a string" });
export const Unterminated = token("Unterminated", '"[^"\\n]*', '"');
export const Variable = token("Variable", "\\$[A-Za-z_][\\w./-]*", "$", { label: "a variable" });
export const Reference = token("Reference", "@[A-Za-z_][\\w./-]*", "@", { label: "the name of a set" });
export const Raw = token("Raw", "@(?:ll|nh|th|ih|\\d+)[ \\t]*,[ \\t]*\\w+[ \\t]*,[ \\t]*\\w+", "@", {
  label: "a raw payload",
});

// Punctuation.

const sign = (name: string, image: string, options: Options = {}): TokenType =>
  token(name, image.replace(/[{}()[\].*+|^]/, "\\$&"), image, { label: image, ...options });
/** The brace of an anonymous chain, after `jump` or `goto`. */
export const OpenChain = sign("OpenChain", "{", { pop_mode: true, push_mode: "line" });
export const Open = sign("Open", "{", { push_mode: "set" });
export const Close = sign("Close", "}", { pop_mode: true });
export const OpenParen = sign("OpenParen", "(");
export const CloseParen = sign("CloseParen", ")");
export const OpenBracket = sign("OpenBracket", "[");
export const CloseBracket = sign("CloseBracket", "]");
export const Comma = sign("Comma", ",");
export const Colon = sign("Colon", ":");
export const Dot = sign("Dot", ".");
export const Star = sign("Star", "*");
export const Slash = sign("Slash", "/");
export const Dash = sign("Dash", "-");
export const Plus = sign("Plus", "+");
export const Equals = sign("Equals", "=");
export const Compare = token("Compare", "==|!=|<=|>=|<|>|!", "=!<>", { label: "an operator" });
/** `|`, `^`, `&` and shifts, from the lowest to the highest precedence. */
export const Or = sign("Or", "|");
export const Xor = sign("Xor", "^");
export const And = sign("And", "&");
export const Shift = token("Shift", "<<|>>", "<>", { label: "a shift" });

// Words. All but `Plain` are keywords.

export const Word = abstract("Word", "a word");
const Plain = token("Plain", "(?:[A-Za-z_]|\\\\\\*)(?:[\\w./-]|\\\\?\\*)*", `${LETTER}_\\`, {
  categories: [Word],
});
/** Name of a chain after `jump` or `goto`: any characters, because iptables-nft allows these. */
export const Target = createToken({
  name: "Target",
  pattern: /[^\s{},;"#]+/,
  label: "a chain name",
  pop_mode: true,
  ...everyChar,
});
export const Jump = token("Jump", "(?:jump|goto)(?![\\w./-])", "jg", {
  categories: [Word],
  push_mode: "target",
});
/** A character that starts no token. */
const Junk = createToken({ name: "Junk", pattern: /[^\n]/, label: "a character", ...everyChar });

/** A statement that was printed as an empty text. */
export const Empty = abstract("Empty", "a statement");

const keyword = (name: string, label: string): TokenType => abstract(name, label, Word);
/** `accept`, `drop`, `continue`, `return`. */
export const VerdictWord = keyword("VerdictWord", "a verdict");
export const HeaderWord = keyword("HeaderWord", "a header");
export const MetaWord = keyword("MetaWord", "meta");
export const MetaKey = keyword("MetaKey", "a key of meta");
export const CtWord = keyword("CtWord", "ct");
export const FibWord = keyword("FibWord", "fib");
export const SocketWord = keyword("SocketWord", "socket");
export const OsfWord = keyword("OsfWord", "osf");
export const NumgenWord = keyword("NumgenWord", "numgen");
export const JhashWord = keyword("JhashWord", "jhash");
export const SymhashWord = keyword("SymhashWord", "symhash");
export const IpsecWord = keyword("IpsecWord", "ipsec");
export const ExthdrWord = keyword("ExthdrWord", "exthdr");
export const TunnelWord = keyword("TunnelWord", "tunnel");
export const CounterWord = keyword("CounterWord", "counter");
export const LogWord = keyword("LogWord", "log");
export const LimitWord = keyword("LimitWord", "limit");
export const QuotaWord = keyword("QuotaWord", "quota");
export const RejectWord = keyword("RejectWord", "reject");
/** `snat`, `dnat`, `masquerade`, `redirect`. */
export const NatWord = keyword("NatWord", "a translation");
export const TproxyWord = keyword("TproxyWord", "tproxy");
export const NotrackWord = keyword("NotrackWord", "notrack");
export const QueueWord = keyword("QueueWord", "queue");
/** `dup` and `fwd`. */
export const DupWord = keyword("DupWord", "dup or fwd");
export const FlowWord = keyword("FlowWord", "flow");
export const SynproxyWord = keyword("SynproxyWord", "synproxy");
export const LastWord = keyword("LastWord", "last");
export const MeterWord = keyword("MeterWord", "meter");
/** `add`, `update`, `delete`. */
export const SetOperation = keyword("SetOperation", "add, update or delete");
export const XtWord = keyword("XtWord", "xt");
export const ResetWord = keyword("ResetWord", "reset");
export const CommentWord = keyword("CommentWord", "comment");
export const MapWord = keyword("MapWord", "map");
export const VmapWord = keyword("VmapWord", "vmap");
export const SetWord = keyword("SetWord", "set");

/** Keywords by token type. Keywords that are operators have no category. */
const keywordLists: readonly (readonly [TokenType, Iterable<string>])[] = [
  [HeaderWord, headerFields.keys()],
  [MetaKey, bareMetaKeys],
  [Compare, comparisonWords.keys()],
  [And, ["and"]],
  [Or, ["or"]],
  [Xor, ["xor"]],
  [Shift, ["lshift", "rshift"]],
  [VerdictWord, ["accept", "drop", "continue", "return"]],
  [NatWord, ["snat", "dnat", "masquerade", "redirect"]],
  [DupWord, ["dup", "fwd"]],
  [SetOperation, ["add", "update", "delete"]],
  [MetaWord, ["meta"]],
  [CtWord, ["ct"]],
  [FibWord, ["fib"]],
  [SocketWord, ["socket"]],
  [OsfWord, ["osf"]],
  [NumgenWord, ["numgen"]],
  [JhashWord, ["jhash"]],
  [SymhashWord, ["symhash"]],
  [IpsecWord, ["ipsec"]],
  [ExthdrWord, ["exthdr"]],
  [TunnelWord, ["tunnel"]],
  [CounterWord, ["counter"]],
  [LogWord, ["log"]],
  [LimitWord, ["limit"]],
  [QuotaWord, ["quota"]],
  [RejectWord, ["reject"]],
  [TproxyWord, ["tproxy"]],
  [NotrackWord, ["notrack"]],
  [QueueWord, ["queue"]],
  [FlowWord, ["flow"]],
  [SynproxyWord, ["synproxy"]],
  [LastWord, ["last"]],
  [MeterWord, ["meter"]],
  [XtWord, ["xt"]],
  [ResetWord, ["reset"]],
  [CommentWord, ["comment"]],
  [MapWord, ["map"]],
  [VmapWord, ["vmap"]],
  [SetWord, ["set"]],
];
const keywords: ReadonlyMap<string, TokenType> = new Map(
  keywordLists.flatMap(([type, words]) => [...words].map((word) => [word, type] as const)),
);

const literals = [Range, Prefix, Address, ClassId, Atom, Quoted, Unterminated, Variable, Raw, Reference];
const braces = [Open, Close, OpenParen, CloseParen, OpenBracket, CloseBracket];
const signs = [Comma, Colon, Dot, Star, Slash, Dash, Plus];
const operators = [Shift, Compare, Equals, Or, Xor, And];
const types = [...literals, ...braces, ...signs, ...operators, Jump, Plain, Junk, Literal, Word, Empty];
const all = [...types, ...keywordLists.map(([type]) => type).filter((type) => !types.includes(type))];

/** Tokens of each mode, in the order in which they are tried. */
export const vocabulary: IMultiModeLexerDefinition = {
  defaultMode: "line",
  modes: {
    /** Statements; a line feed separates rules of an anonymous chain. */
    line: [Blank, Hash, Separator, ...all],
    /** Inside the braces of a set. */
    set: [SetBlank, Hash, SetSeparator, ...all],
    /** After `jump` and `goto`. */
    target: [Blank, Hash, Separator, OpenChain, Target, Junk],
  },
};

/** Gives a word that is a keyword its token type. */
export function classify(tokens: readonly IToken[]): void {
  for (const each of tokens) {
    if (each.tokenType !== Plain) continue;
    const type = keywords.get(each.image);
    if (type === undefined) continue;
    each.tokenType = type;
    each.tokenTypeIdx = type.tokenTypeIdx!;
  }
}

/** Every rule of iptables-nft has these counters. */
const COUNTERS = /\bcounter packets \d+ bytes \d+/;
const emptyBefore = ({ startOffset }: IToken): IToken => ({
  image: "",
  startOffset,
  tokenType: Empty,
  tokenTypeIdx: Empty.tokenTypeIdx!,
});

/** Returns the tokens of a rule with `Empty` for each empty text, which leaves one blank more. */
export function withEmpty(tokens: IToken[], text: string): IToken[] {
  if (!text.includes("  ") && !text.startsWith(" ")) return tokens;
  if (!COUNTERS.test(text)) return tokens;
  let end = 0;
  return tokens.flatMap((token) => {
    const blanks = text.slice(end, token.startOffset);
    const count = blanks.length - (end === 0 ? 0 : 1);
    end = token.startOffset + token.image.length;
    return /^ +$/.test(blanks)
      ? [...Array.from({ length: count }, () => emptyBefore(token)), token]
      : [token];
  });
}

/** Removes the quotes of a token. */
export function unquote(image: string): string {
  return image.startsWith('"') ? image.slice(1, -1) : image;
}

/** Returns the symbol of an operator that is written as a word. */
export function operatorSymbol(image: string): string {
  return comparisonWords.get(image) ?? binaryWords.get(image) ?? image;
}
