/**
 * Tokens of the language, for chevrotain.
 *
 * A line is split as in iptables-restore (`add_param_to_argv` in iptables' xshared.c). Blanks separate words. A double
 * quote starts a quoted part anywhere in words, and the closing quote *ends* the word. Inside quotes `\x` is `x`;
 * outside, a backslash is an ordinary character. A single quote is always an ordinary character. In contrast to
 * iptables-restore a quoted word is never an option, so that every value can be printed.
 *
 * Lines are tokenized one at a time. A line starts in the mode `start`, the only mode in which `*`, `:`, `#`, `COMMIT`,
 * counters and commands have a meaning. The first token of the line selects the mode of the rest.
 */

import { createToken, type IMultiModeLexerDefinition, Lexer, type TokenType } from "chevrotain";
import { removeBackslashes } from "./word-spans.ts";

/** Blank characters. `\r` is one of these, so that lines may end with CRLF. */
const BLANK = " \\t\\r";
/** End of the word. Chevrotain does not allow `$` in a token. */
const END = `(?![^${BLANK}])`;
/** Patterns of a bare character and of a quoted part. `QUOTED` needs linear time on any input. */
const BARE = `[^${BLANK}"]`;
const QUOTED = `"[^"\\\\]*(?:\\\\[^\\n][^"\\\\]*)*"`;

const pattern = (source: string): RegExp => new RegExp(source);
const alternatives = (names: Iterable<string>): string => `(?:${[...names].join("|")})`;

/**
 * Options with one value of free text. The next word is their value even if it looks like an option, because
 * iptables-save prints `--comment -foo` without quotes. From iptables-extensions(8), 1.8.9 to 1.8.11.
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

/** Targets of iptables-extensions(8). Their names belong to the shape, because the options after them are theirs. */
const extensionTargets: ReadonlySet<string> = new Set(
  (
    "AUDIT CHECKSUM CLASSIFY CLUSTERIP CONNMARK CONNSECMARK CT DNAT DNPT DSCP ECN HL HMARK IDLETIMER LED LOG MARK " +
    "MASQUERADE MIRROR NETMAP NFLOG NFQUEUE NOTRACK RATEEST REDIRECT REJECT SAME SECMARK SET SNAT SNPT SYNPROXY " +
    "TARPIT TCPMSS TCPOPTSTRIP TEE TOS TPROXY TRACE TTL ULOG"
  ).split(" "),
);

/** Length of the longest target. Most names of chains are longer. */
export const LONGEST_EXTENSION = 11;

/** Returns true for a target of iptables-extensions(8). */
export function isExtensionTarget(name: string): boolean {
  return name.length <= LONGEST_EXTENSION && extensionTargets.has(name);
}

/** Commands of iptables(8) that declare neither a rule nor a chain, with their short form. */
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

// Abstract tokens of the grammar.

/** Any word. */
export const Any = createToken({ name: "Any", pattern: Lexer.NA, label: "a word" });
/** Any word that can be a value. */
export const Value = createToken({ name: "Value", pattern: Lexer.NA, label: "a value", categories: [Any] });

// The start of a line.

const StartBlank = createToken({
  name: "StartBlank",
  pattern: /[ \t\r\uFEFF]+/,
  group: Lexer.SKIPPED,
});
export const Hash = createToken({ name: "Hash", pattern: /#[^\n]*/ });
export const Star = createToken({ name: "Star", pattern: /\*/, push_mode: "table" });
export const Colon = createToken({ name: "Colon", pattern: /:/, push_mode: "chain" });
export const Commit = createToken({
  name: "Commit",
  pattern: pattern(`COMMIT${END}`),
  push_mode: "words",
});
export const StartCounters = createToken({
  name: "StartCounters",
  pattern: /\[\d+:\d+\]/,
  label: "counters",
});

const command = (name: string, spellings: readonly string[]): TokenType =>
  createToken({
    name,
    pattern: pattern(alternatives(spellings) + END),
    label: spellings[0]!,
    push_mode: "words",
  });
export const Append = command("Append", ["-A", "--append"]);
export const Insert = command("Insert", ["-I", "--insert"]);
export const New = command("New", ["-N", "--new-chain", "--new"]);
export const Policy = command("Policy", ["-P", "--policy"]);
export const Command = command("Command", [...otherCommands.values(), ...otherCommands.keys()]);
/** A line that is not iptables syntax. */
export const Text = createToken({ name: "Text", pattern: /[^\n]+/ });

// After `*` and `:`.

const Blank = createToken({
  name: "Blank",
  pattern: /[ \t\r]+/,
  group: Lexer.SKIPPED,
});
export const TableName = createToken({
  name: "TableName",
  pattern: pattern(`[A-Za-z_][\\w.-]*${END}`),
  label: "a table name",
});
export const Counters = createToken({
  name: "Counters",
  pattern: pattern(`\\[\\d+:\\d+\\]${END}`),
  label: "counters",
});
/** iptables-restore splits these lines with strtok(3): quotes are ordinary characters. */
export const Name = createToken({
  name: "Name",
  pattern: /[^ \t\r\n]+/,
  label: "a name",
});

// The words of a rule or a command.

export const Unterminated = createToken({
  name: "Unterminated",
  pattern: pattern(`${BARE}*"[^\\n]*`),
});
export const Bang = createToken({
  name: "Bang",
  pattern: pattern(`!${END}`),
  label: "!",
  categories: [Any],
});
const option = (name: string, source: string): TokenType =>
  createToken({ name, pattern: pattern(source), label: "an option", categories: [Any] });
export const SetCounters = option("SetCounters", `(?:-c|--set-counters)${END}`);
export const Match = option("Match", `(?:-m|--match)${END}`);
export const Jump = option("Jump", `(?:-j|--jump|-g|--goto)${END}`);
export const Free = option("Free", alternatives(freeOptions) + END);
/** `--option=value`, in one word. */
export const Assign = option(
  "Assign",
  `--(?!set-counters=)[A-Za-z][^${BLANK}"=]*=(?:${BARE}*${QUOTED}|${BARE}*${END})`,
);
/** `-p`, `--dport`. `-4` and `-6` are options of iptables(8); a dash before another digit starts a value. */
export const Option = option("Option", `-(?:[46]|[A-Za-z]${BARE}*|-[A-Za-z][^${BLANK}"=]*)${END}`);
export const Digits = createToken({
  name: "Digits",
  pattern: pattern(`\\d+${END}`),
  categories: [Value],
});
export const Pair = createToken({
  name: "Pair",
  pattern: pattern(`\\d+,\\d+${END}`),
  categories: [Value],
});
export const Quoted = createToken({
  name: "Quoted",
  pattern: pattern(`${BARE}*${QUOTED}`),

  categories: [Value],
});
export const Word = createToken({
  name: "Word",
  pattern: pattern(`${BARE}+${END}`),

  categories: [Value],
});

/** Tokens of each mode, in the order in which they are tried. */
export const vocabulary: IMultiModeLexerDefinition = {
  defaultMode: "start",
  modes: {
    start: [StartBlank, Hash, Star, Colon, Commit, StartCounters, Append, Insert, New, Policy, Command, Text],
    table: [Blank, TableName, Name],
    chain: [Blank, Counters, Name],
    words: [
      Blank,
      Bang,
      SetCounters,
      Match,
      Jump,
      Free,
      Assign,
      Option,
      Digits,
      Pair,
      Quoted,
      Word,
      Unterminated,
      Any,
      Value,
    ],
  },
};

/** Removes quotes and backslashes from a token. */
export function unquote(image: string): string {
  const open = image.indexOf('"');
  return open < 0 ? image : image.slice(0, open) + removeBackslashes(image.slice(open + 1, -1));
}

const BARE_WORD = /^(?!!$|-[46]$|--?[A-Za-z])[^ \t\r\n"]+$/;

/** Returns true if a value needs no quotes. */
export function isBareValue(word: string): boolean {
  return BARE_WORD.test(word);
}
