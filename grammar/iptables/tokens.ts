/**
 * The words of the language, as chevrotain tokens.
 *
 * A line is split as iptables-restore splits it (`add_param_to_argv` in iptables' xshared.c): blanks separate; a
 * double quote opens a quoted part, anywhere in a word; the closing quote *ends* the word; inside quotes `\x` is `x`,
 * outside a backslash is itself, and a single quote is nothing special. Unlike iptables-restore a quoted word is
 * never an option, so that every value has a spelling.
 *
 * Lines are tokenized one at a time. A line starts in the mode `start`, the only place where `*`, `:`, `#`, `COMMIT`,
 * counters and commands mean anything; the first token of the line chooses the mode of the rest.
 */

import { createToken, type IMultiModeLexerDefinition, Lexer, type TokenType } from "chevrotain";
import { withoutEscapes } from "./words.ts";

/** Blank characters; `\r` is one, so that CRLF needs no care. */
const BLANK = " \\t\\r";
/** The word ends here: `$` is not allowed in a token, so "nothing but a blank follows". */
const END = `(?![^${BLANK}])`;
/** A bare part, and a quoted part (written so that no input makes it backtrack twice). */
const BARE = `[^${BLANK}"]`;
const QUOTED = `"[^"\\\\]*(?:\\\\[^\\n][^"\\\\]*)*"`;

/**
 * The characters a word may start with, where chevrotain cannot tell from the pattern: each of the first 256 but some,
 * and beyond them one of each 255, which is how it groups them. A character left out would be lost.
 */
const startsBut = (excluded: string): { start_chars_hint: number[] } => ({
  start_chars_hint: [
    ...Array.from({ length: 256 }, (_, code) => code).filter(
      (c) => !excluded.includes(String.fromCharCode(c)),
    ),
    ...Array.from({ length: 257 }, (_, group) => Math.max(256, (group + 1) * 255)),
  ],
});

/**
 * The same where a few characters begin a token. Chevrotain could tell them from the pattern, but it takes half of the
 * time of building the lexer to do so.
 */
const starts = (chars: string): { start_chars_hint: string[] } => ({ start_chars_hint: [...chars] });
const DIGIT = "0123456789";
const LETTER = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

const pattern = (source: string): RegExp => new RegExp(source);
const words = (names: Iterable<string>): string => `(?:${[...names].join("|")})`;

/**
 * Options whose one value is free text. It is taken whatever it looks like, because iptables-save writes
 * `--comment -foo` without quotes. From iptables-extensions(8), 1.8.9 to 1.8.11.
 */
export const freeOptions: ReadonlySet<string> = new Set([
  "--bytecode",
  "--comment",
  "--genre",
  "--hashlimit-name",
  "--helper",
  "--hex-string",
  "--label",
  "--led-trigger-id",
  "--log-prefix",
  "--name",
  "--nfacct-name",
  "--nflog-prefix",
  "--object-pinned",
  "--path",
  "--rateest",
  "--rateest-name",
  "--rateest1",
  "--rateest2",
  "--rname",
  "--selctx",
  "--string",
  "--timeout",
  "--u32",
  "--ulog-prefix",
]);

/** Targets of iptables-extensions(8): what follows them on a line is theirs, so a rule's shape holds their name. */
const extensionTargets: ReadonlySet<string> = new Set(
  (
    "AUDIT CHECKSUM CLASSIFY CLUSTERIP CONNMARK CONNSECMARK CT DNAT DNPT DSCP ECN HL HMARK IDLETIMER LED LOG MARK " +
    "MASQUERADE MIRROR NETMAP NFLOG NFQUEUE NOTRACK RATEEST REDIRECT REJECT SAME SECMARK SET SNAT SNPT SYNPROXY " +
    "TARPIT TCPMSS TCPOPTSTRIP TEE TOS TPROXY TRACE TTL ULOG"
  ).split(" "),
);

/** Length of the longest of them: the name of a chain is most often longer. */
export const LONGEST_EXTENSION = 11;

/** `true` for a target of iptables-extensions(8). */
export function isExtensionTarget(name: string): boolean {
  return name.length <= LONGEST_EXTENSION && extensionTargets.has(name);
}

/** Commands of iptables(8) that are neither rule nor chain, with the short form they are kept in. */
export const otherCommands: ReadonlyMap<string, string> = new Map([
  ["--check", "-C"],
  ["--delete", "-D"],
  ["--delete-chain", "-X"],
  ["--flush", "-F"],
  ["--list", "-L"],
  ["--list-rules", "-S"],
  ["--rename-chain", "-E"],
  ["--replace", "-R"],
  ["--zero", "-Z"],
]);

// Abstract: what the grammar asks for.

/** Any word at all. */
export const Any = createToken({ name: "Any", pattern: Lexer.NA, label: "a word" });
/** A word that can be a value. */
export const Value = createToken({ name: "Value", pattern: Lexer.NA, label: "a value", categories: [Any] });

// The start of a line.

const StartBlank = createToken({
  name: "StartBlank",
  pattern: /[ \t\r\uFEFF]+/,
  group: Lexer.SKIPPED,
  ...starts(" \t\r\uFEFF"),
});
export const Hash = createToken({ name: "Hash", pattern: /#[^\n]*/, ...starts("#") });
export const Star = createToken({ name: "Star", pattern: /\*/, push_mode: "table", ...starts("*") });
export const Colon = createToken({ name: "Colon", pattern: /:/, push_mode: "chain", ...starts(":") });
export const Commit = createToken({
  name: "Commit",
  pattern: pattern(`COMMIT${END}`),
  push_mode: "words",
  ...starts("C"),
});
export const StartCounters = createToken({
  name: "StartCounters",
  pattern: /\[\d+:\d+\]/,
  label: "counters",
  ...starts("["),
});

const command = (name: string, spellings: readonly string[]): TokenType =>
  createToken({
    name,
    pattern: pattern(words(spellings) + END),
    label: spellings[0]!,
    push_mode: "words",
    ...starts("-"),
  });
export const Append = command("Append", ["-A", "--append"]);
export const Insert = command("Insert", ["-I", "--insert"]);
export const New = command("New", ["-N", "--new-chain", "--new"]);
export const Policy = command("Policy", ["-P", "--policy"]);
export const Command = command("Command", [...otherCommands.values(), ...otherCommands.keys()]);
/** A line that is nothing of the language. */
export const Text = createToken({ name: "Text", pattern: /[^\n]+/, ...startsBut("\n") });

// After `*` and `:`.

const Blank = createToken({ name: "Blank", pattern: /[ \t\r]+/, group: Lexer.SKIPPED, ...starts(" \t\r") });
export const TableName = createToken({
  name: "TableName",
  pattern: pattern(`[A-Za-z_][\\w.-]*${END}`),
  label: "a table name",
  ...starts(`${LETTER}_`),
});
export const Counters = createToken({
  name: "Counters",
  pattern: pattern(`\\[\\d+:\\d+\\]${END}`),
  label: "counters",
  ...starts("["),
});
/** `strtok` reads these lines: quotes mean nothing here. */
export const Name = createToken({
  name: "Name",
  pattern: /[^ \t\r\n]+/,
  label: "a name",
  ...startsBut(" \t\r\n"),
});

// The words of a rule or a command.

export const Unterminated = createToken({
  name: "Unterminated",
  pattern: pattern(`${BARE}*"[^\\n]*`),
  ...startsBut(" \t\r\n"),
});
export const Bang = createToken({
  name: "Bang",
  pattern: pattern(`!${END}`),
  label: "!",
  categories: [Any],
  ...starts("!"),
});
const option = (name: string, source: string): TokenType =>
  createToken({ name, pattern: pattern(source), label: "an option", categories: [Any], ...starts("-") });
export const SetCounters = option("SetCounters", `(?:-c|--set-counters)${END}`);
export const Match = option("Match", `(?:-m|--match)${END}`);
export const Jump = option("Jump", `(?:-j|--jump|-g|--goto)${END}`);
export const Free = option("Free", words(freeOptions) + END);
/** `--option=value`, all in one word. */
export const Assign = option(
  "Assign",
  `--(?!set-counters=)[A-Za-z][^${BLANK}"=]*=(?:${BARE}*${QUOTED}|${BARE}*${END})`,
);
/** `-p`, `--dport`; `-4` and `-6` are options of iptables(8), any other digit makes a value. */
export const Option = option("Option", `-(?:[46]|[A-Za-z]${BARE}*|-[A-Za-z][^${BLANK}"=]*)${END}`);
export const Digits = createToken({
  name: "Digits",
  pattern: pattern(`\\d+${END}`),
  categories: [Value],
  ...starts(DIGIT),
});
export const Pair = createToken({
  name: "Pair",
  pattern: pattern(`\\d+,\\d+${END}`),
  categories: [Value],
  ...starts(DIGIT),
});
export const Quoted = createToken({
  name: "Quoted",
  pattern: pattern(`${BARE}*${QUOTED}`),
  ...startsBut(" \t\r\n"),
  categories: [Value],
});
export const Word = createToken({
  name: "Word",
  pattern: pattern(`${BARE}+${END}`),
  ...startsBut(' \t\r\n"'),
  categories: [Value],
});

/** Tokens by mode, in the order in which they are tried. */
export const vocabulary: IMultiModeLexerDefinition = {
  defaultMode: "start",
  modes: {
    start: [StartBlank, Hash, Star, Colon, Commit, StartCounters, Append, Insert, New, Policy, Command, Text],
    table: [Blank, TableName, Name],
    chain: [Blank, Counters, Name],
    words: [
      ...[Blank, Bang, SetCounters, Match, Jump, Free, Assign, Option, Digits, Pair, Quoted, Word],
      ...[Unterminated, Any, Value],
    ],
  },
};

/** The word that an image with quotes stands for. */
export function unquote(image: string): string {
  const open = image.indexOf('"');
  return open < 0 ? image : image.slice(0, open) + withoutEscapes(image.slice(open + 1, -1));
}

const BARE_WORD = /^(?!!$|-[46]$|--?[A-Za-z])[^ \t\r\n"]+$/;

/** `true` if the word, unquoted, is a value and is itself. */
export function bare(word: string): boolean {
  return BARE_WORD.test(word);
}
