/**
 * Tokens of expressions, for chevrotain. Each keyword has the category `Name`, because names of containers, interfaces and
 * chains can be keywords.
 */
import { createToken, Lexer, type TokenType } from "chevrotain";
import { PROTO } from "../packet/field.ts";

/** Where a name is needed: any word, and texts in quotation marks. */
export const Name = createToken({ name: "Name", pattern: Lexer.NA });
/** A word that is no keyword: an address, a port or a name. */
export const Word = createToken({ name: "Word", pattern: /[^\s(){},"'!&|]+/, categories: [Name] });
/** Quotation marks of either kind, since shells take one kind. */
export const Quoted = createToken({
  name: "Quoted",
  pattern: /"[^"]*"|'[^']*'/,
  line_breaks: true,
  categories: [Name],
});
export const Unterminated = createToken({ name: "Unterminated", pattern: /["'][\s\S]*/, line_breaks: true });
/** A character that no other token begins with. */
const Other = createToken({ name: "Other", pattern: /[^\s]/ });

const escaped = (word: string): string => word.replace(/[-]/g, "\\-");
const keyword = (name: string, ...words: string[]): TokenType =>
  createToken({
    name,
    pattern: new RegExp(words.map(escaped).join("|")),
    longer_alt: Word,
    categories: [Name],
  });
const sign = (name: string, pattern: RegExp, ...categories: TokenType[]): TokenType =>
  createToken({ name, pattern, categories });

export const Or = createToken({ name: "Or", pattern: Lexer.NA });
export const And = createToken({ name: "And", pattern: Lexer.NA });
export const Not = createToken({ name: "Not", pattern: Lexer.NA });
const operator = (name: string, word: string, category: TokenType): TokenType =>
  createToken({ name, pattern: new RegExp(word), longer_alt: Word, categories: [Name, category] });
const OrWord = operator("OrWord", "or", Or);
const AndWord = operator("AndWord", "and", And);
const NotWord = operator("NotWord", "not", Not);
const OrSign = sign("OrSign", /\|\|/, Or);
const AndSign = sign("AndSign", /&&/, And);
/** `!=` is a token of its own, which the grammar refuses. */
export const Unequal = sign("Unequal", /!=/);
const NotSign = sign("NotSign", /!/, Not);
export const Open = sign("Open", /\(/);
export const Close = sign("Close", /\)/);
export const OpenSet = sign("OpenSet", /\{/);
export const CloseSet = sign("CloseSet", /\}/);
export const Comma = sign("Comma", /,/);

export const From = keyword("From", "from");
export const To = keyword("To", "to");
export const Container = keyword("Container", "container");
export const Network = keyword("Network", "network");
export const In = keyword("In", "in");
export const Out = keyword("Out", "out");
export const Proto = keyword("Proto", "proto");
export const Sport = keyword("Sport", "sport");
export const Dport = keyword("Dport", "dport");
export const ContainerPort = keyword("ContainerPort", "containerport");
export const Verdict = keyword("Verdict", "verdict");
export const By = keyword("By", "by");
export const Ct = keyword("Ct", "ct");
export const State = keyword("State", "state");
/** Longest first: the first alternative that matches counts. */
const PROTOCOLS = [...Object.keys(PROTO), "ipv6-icmp"].sort((a, b) => b.length - a.length);
/** Name of a protocol. */
export const Protocol = keyword("Protocol", ...PROTOCOLS);
/** A test without a value. */
export const Property = keyword("Property", "forwarded", "local", "sent", "new", "ipv4", "ipv6");
/** States of packets that are not the first of a connection. */
export const NOT_FIRST = ["established", "related", "invalid", "untracked"] as const;
export const NotFirst = keyword("NotFirst", ...NOT_FIRST);

/** All tokens. An earlier one has precedence. */
export const vocabulary: TokenType[] = [
  createToken({ name: "Blank", pattern: /\s+/, group: Lexer.SKIPPED, line_breaks: true }),
  Name,
  Or,
  And,
  Not,
  OrWord,
  AndWord,
  NotWord,
  From,
  To,
  ContainerPort,
  Container,
  Network,
  Protocol,
  Property,
  NotFirst,
  In,
  Out,
  Proto,
  Sport,
  Dport,
  Verdict,
  By,
  Ct,
  State,
  OrSign,
  AndSign,
  Unequal,
  NotSign,
  Open,
  Close,
  OpenSet,
  CloseSet,
  Comma,
  Quoted,
  Unterminated,
  Word,
  Other,
];

/** Words that begin a test, for suggestions. */
export const TEST_WORDS: readonly string[] = [
  "from",
  "to",
  "in",
  "out",
  "proto",
  "sport",
  "dport",
  "containerport",
  "verdict",
  "by",
  "forwarded",
  "local",
  "sent",
  "new",
  "ipv4",
  "ipv6",
  ...PROTOCOLS,
  "not",
  "and",
  "or",
];
