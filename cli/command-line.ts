/** Parses the command line with yargs and runs the command that it names. */
import yargs, { type Argv, type FallbackCompletionFunction } from "yargs";
import manifest from "../package.json" with { type: "json" };
import { type Command, epilogue } from "./command.ts";
import { COMMAND_NAMES, COMMANDS } from "./command-list.ts";
import { reportError, UsageError } from "./errors.ts";
import { hostFlags } from "./flags.ts";
import { STDIN } from "./stdin.ts";
import { YARGS_CODES } from "./yargs-codes.ts";

/** Command and arguments of a call. */
interface Call {
  readonly command: Command;
  readonly args: unknown;
}

type Commands = ReadonlyMap<string, Command>;

/** Runs the command line; errors are printed. Sets `process.exitCode`. */
export async function runCommandLine(argv: readonly string[]): Promise<void> {
  try {
    const { command, args } = await parse(argv.map((word) => (word === "-" ? STDIN : word)));
    process.exitCode = await command.run(args as never);
  } catch (error) {
    reportError(error);
  }
}

/**
 * Parses the words of the command line. Prints help, the version and completions, and exits then.
 * @throws UsageError
 */
async function parse(words: readonly string[]): Promise<Call> {
  const name = COMMANDS.has(words[0] ?? "") ? words[0]! : null;
  await requireCommand(words, name);
  const commands = await load(namesToLoad(words, name));
  const calls: Call[] = [];
  const onCall = (command: Command, args: unknown): void => void calls.push({ command, args });
  const withHelp = words.includes("--help") || words.includes("-h");
  const parser =
    name !== null && !withHelp
      ? parserOfOne(words.slice(1), name, commands.get(name)!, onCall)
      : parserOfAll(words, commands, onCall);
  try {
    await parser.parseAsync();
  } catch (error) {
    if (!(error instanceof Error) || !["YError", "Error"].includes(error.name)) throw error;
    const { usageError } = await import("./usage-errors.js");
    const command = name === null ? null : commands.get(name)!;
    const given = parser.parsed === false ? {} : parser.parsed.argv;
    throw new UsageError(usageError(error.message, { name, command, words, given }));
  }
  const [call] = calls;
  return call ?? refuseCommand(undefined);
}

/** Words for which yargs prints a text and exits, even without a command. */
const PRINTING = ["help", "--help", "-h", "--version"];

/** @throws UsageError if the first word should be a command, and is none */
async function requireCommand(words: readonly string[], name: string | null): Promise<void> {
  if (name !== null || words[0]?.startsWith("-") === true) return;
  if (!words.some((word) => PRINTING.includes(word))) await refuseCommand(words[0]);
}

/** @throws UsageError for a word that is no command, or for a call without one */
async function refuseCommand(word: string | undefined): Promise<never> {
  const { missingCommand, unknownCommand } = await import("./usage-errors.js");
  throw new UsageError(
    word === undefined ? missingCommand(COMMAND_NAMES) : unknownCommand(word, COMMAND_NAMES),
  );
}

/** Flag by which a completion script calls fwcheck: `--get-yargs-completions fwcheck WORD...`. */
const COMPLETIONS = "--get-yargs-completions";

/** Returns the commands whose flags the parser needs. */
function namesToLoad(words: readonly string[], name: string | null): readonly string[] {
  const named = words[0] === COMPLETIONS ? words[2] : (name ?? words.find((word) => COMMANDS.has(word)));
  return named !== undefined && COMMANDS.has(named) ? [named] : [];
}

async function load(names: readonly string[]): Promise<Commands> {
  const modules = names.map(async (name) => [name, (await COMMANDS.get(name)!.load()).command] as const);
  return new Map(await Promise.all(modules));
}

type OnCall = (command: Command, args: unknown) => void;

/** Returns a parser for the words after the command's name: yargs would spend more time on all commands. */
const parserOfOne = (words: readonly string[], name: string, command: Command, onCall: OnCall): Argv =>
  addCommand(parserOf(words), "$0", name, command, onCall);

/** Returns a parser that knows all commands; commands that are not loaded have no flags in it. */
function parserOfAll(words: readonly string[], commands: Commands, onCall: OnCall): Argv {
  const parser = parserOf(words)
    .usage(
      "$0 COMMAND\n\nFinds the firewall rules that Docker containers bypass, and generates rules that close the hole.",
    )
    .epilogue(
      epilogue([
        ["Read the state of a host's firewall", "fwcheck collect | ssh root@host sh -s > host.snap"],
        ["Find what is open although the firewall blocks it", "fwcheck audit host.snap"],
        ["Close it", "fwcheck fix host.snap > fix.sh"],
      ]),
    );
  for (const name of COMMAND_NAMES) addCommand(parser, name, name, commands.get(name), onCall);
  const complete: FallbackCompletionFunction = (current, _args, yargsDefault, done) =>
    yargsDefault((_error, found) => done((found ?? []).filter((word) => isUseful(word, current))));
  // yargs needs a name for its own completion command. No word can be NUL, and `fwcheck completion` prints the script.
  return parser.completion("\0", false, complete);
}

/** Offers flags only after a dash: otherwise a file is more likely, and the shell completes files itself. */
const isUseful = (word: string, current: string): boolean => current.startsWith("-") || !word.startsWith("-");

function parserOf(words: readonly string[]): Argv {
  const parser = yargs(words)
    .scriptName("fwcheck")
    .locale("en")
    .updateStrings({ ...YARGS_CODES })
    .parserConfiguration({
      "parse-numbers": true,
      "greedy-arrays": false,
      "dot-notation": false,
      "camel-case-expansion": true,
    })
    .strict()
    .version(manifest.version)
    .alias("h", "help")
    .wrap(Math.min(100, process.stdout.columns ?? 100))
    .fail(false);
  return parser.check(requireOnce) as Argv;
}

/** Adds a command under a name, or as the default command (`$0`). */
function addCommand(
  parser: Argv,
  as: string,
  name: string,
  command: Command | undefined,
  onCall: OnCall,
): Argv {
  const { positionals, summary } = COMMANDS.get(name)!;
  return parser.command(
    `${as} ${positionals}`.trimEnd(),
    summary,
    (y) => (command === undefined ? y : declare(y, command)),
    (args) => {
      if (command !== undefined) onCall(command, args);
    },
  );
}

function declare(parser: Argv, { positionals, flags, examples, notes }: Command): Argv {
  for (const [key, options] of Object.entries(positionals)) parser.positional(key, options);
  return parser.options(flags).epilogue(epilogue(examples, notes));
}

/** Arguments that may be given more than once. */
const REPEATABLE = ["_", "rules", "assume", "engine-table", "engineTable", ...Object.keys(hostFlags)];

/** @throws UsageError if a flag that takes one value is given twice */
function requireOnce(args: Readonly<Record<string, unknown>>): true {
  const twice = Object.keys(args).find((key) => Array.isArray(args[key]) && !REPEATABLE.includes(key));
  if (twice === undefined) return true;
  throw new UsageError(
    `--${twice} is given ${(args[twice] as unknown[]).length} times, and takes one value. Remove all but one.`,
  );
}
