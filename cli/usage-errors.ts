/** Messages for a wrong command line. Loaded only if there is one. */
import type { Command } from "./command.ts";
import { didYouMean } from "./suggestion.ts";

/** The call that yargs rejected. */
export interface RejectedCall {
  /** Name of the command, `null` if the first word is a flag. */
  readonly name: string | null;
  readonly command: Command | null;
  readonly words: readonly string[];
  /** Values that yargs parsed before it rejected the call. */
  readonly given: Readonly<Record<string, unknown>>;
}

const INPUTS =
  "a snapshot of fwcheck collect, a file of iptables-save, a folder of such files, or - for standard input";

/** Positional arguments that a command cannot do without, as a sentence about the command. */
const NEEDED: Readonly<Record<string, string>> = {
  parse: "parse needs a file: the output of iptables-save, or - for standard input.",
  completion: "completion needs the name of a shell: bash, zsh or fish.",
};

export const missingCommand = (names: readonly string[]): string =>
  `a command is missing: ${names.join(", ")}. fwcheck --help describes each command.`;

export const unknownCommand = (word: string, names: readonly string[]): string =>
  `there is no command ${JSON.stringify(word)}.${didYouMean(word, names)} fwcheck --help lists them.`;

/** Returns the message for an error of yargs, given as a code (yargs-codes.ts). */
export function usageError(error: string, call: RejectedCall): string {
  const [, code, value = ""] = error.split("\0");
  switch (code) {
    case "unknown":
      return unknownArgument(value, call);
    case "positional-missing":
      return positionalMissing(call);
    case "value-missing":
      return valueMissing(value, call);
    case "invalid-choice":
      return invalidChoice(error.split("\0")[3] ?? "", call);
    default:
      return error;
  }
}

const program = ({ name }: RejectedCall): string => name ?? "fwcheck";

const seeHelp = ({ name }: RejectedCall): string =>
  name === null ? "fwcheck --help lists commands and flags." : `fwcheck ${name} --help lists its flags.`;

const flagsOf = ({ command }: RejectedCall): readonly string[] =>
  [...Object.keys(command?.flags ?? {}), "help", "version"].map((name) => `--${name}`);

/** @param unknown the unknown arguments without their dashes, separated by commas */
function unknownArgument(unknown: string, call: RejectedCall): string {
  const { words } = call;
  const known = flagsOf(call);
  const oneDash = words.find((word) => /^-[a-z][a-z-]+/i.test(word));
  if (oneDash !== undefined) {
    const hint = known.includes(`-${oneDash}`) ? "" : didYouMean(`-${oneDash}`, known);
    return `flags begin with two dashes: -${oneDash}, not ${oneDash}.${hint} ${seeHelp(call)}`;
  }
  const names = unknown.split(", ");
  const flag = words.find((word) => word.startsWith("--") && names.includes(word.slice(2).split("=", 1)[0]!));
  if (flag !== undefined) {
    const name = flag.split("=", 1)[0]!;
    return `${program(call)} has no flag ${name}.${didYouMean(name, known)} ${seeHelp(call)}`;
  }
  return `${program(call)} takes no argument ${JSON.stringify(names[0])} here. ${seeHelp(call)}`;
}

const positionalMissing = ({ name }: RejectedCall): string =>
  NEEDED[name ?? ""] ??
  `${name} needs rules to work on: ${INPUTS}. On the host itself: fwcheck collect --live | fwcheck ${name} -`;

/** @param key the flag without its dashes, possibly its short form */
function valueMissing(key: string, call: RejectedCall): string {
  const flags = Object.entries(call.command?.flags ?? {});
  const options = flags.find(([name, { alias }]) => name === key || alias === key)?.[1];
  const describe = options?.describe === undefined ? "" : ` (${options.describe})`;
  return `${key.length === 1 ? "-" : "--"}${key} needs a value${describe}. ${seeHelp(call)}`;
}

function invalidChoice(key: string, { name, command, given }: RejectedCall): string {
  const options = command?.flags[key] ?? command?.positionals[key];
  const choices = (options?.choices ?? []).map(String);
  const values = [given[key]].flat().map(String);
  const invalid = values.find((value) => !choices.includes(value)) ?? "";
  const list =
    choices.length < 2 ? choices.join() : `${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}`;
  const argument = command?.flags[key] === undefined ? name : `--${key}`;
  return `${argument} takes ${list}, not ${JSON.stringify(invalid)}.${didYouMean(invalid, choices)}`;
}
