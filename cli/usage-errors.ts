/** What yargs finds wrong with a command line, told so that it can be put right. Loaded only when something is. */
import { guess } from "./suggest.ts";

/** What is to be known of the command that was called. */
export interface Called {
  /** Its name; `null` where the first word names none. */
  readonly name: string | null;
  /** The words of the command line. */
  readonly words: readonly string[];
  /** All commands. */
  readonly commands: readonly string[];
  /** The help of the command, or of fwcheck: which flags there are. */
  readonly help: string;
}

const RULES =
  "a snapshot of fwcheck collect, what iptables-save printed, a folder of such files, or - for standard input";

/** A sentence or two for what yargs said. */
export function complaint(said: string, { name, words, commands, help }: Called): string {
  const more = name === null ? "fwcheck --help lists them." : `fwcheck ${name} --help lists its flags.`;
  const flags = [...new Set([...help.matchAll(/(?<![\w-])--[a-z][a-z-]*/g)].map(([flag]) => flag))];
  const unknown = /^Unknown (?:arguments?|commands?): (.+)$/s.exec(said)?.[1]?.split(", ");
  if (unknown !== undefined) {
    if (name === null) {
      const word = words.find((w) => !w.startsWith("-")) ?? words[0] ?? "";
      if (!word.startsWith("-"))
        return `there is no command ${JSON.stringify(word)}.${guess(word, commands)} ${more}`;
    }
    const short = words.find((word) => /^-[a-z][a-z-]+/i.test(word));
    const wrong = words.find((word) => unknown.some((u) => word === `--${u}` || word.startsWith(`--${u}=`)));
    const flag = short ?? wrong?.replace(/=.*$/s, "") ?? unknown[0]!;
    if (short !== undefined)
      return `flags are spelled with two dashes: -${short}, not ${short}.${flags.includes(`-${short}`) ? "" : guess(`-${short}`, flags)} ${more}`;
    if (!flag.startsWith("-"))
      return `${name ?? "fwcheck"} has no use for the word ${JSON.stringify(flag)}. ${more}`;
    return `${name ?? "fwcheck"} has no flag ${flag}.${guess(flag, flags)} ${more}`;
  }
  if (/^Not enough non-option arguments/.test(said)) {
    if (name === "parse") return "parse needs a file: what iptables-save printed, or - for standard input.";
    if (name === "completion") return "completion needs the name of a shell: bash, zsh or fish.";
    return `${name} needs rules to work on: ${RULES}. On the host itself: fwcheck collect --live | fwcheck ${name} -`;
  }
  const value = /^Not enough arguments following: (\S+)/.exec(said)?.[1];
  if (value !== undefined) {
    const dashes = value.length === 1 ? "-" : "--";
    const about = new RegExp(`^ +(?:-\\w, +)?--${value} +(.+)$`, "m").exec(help)?.[1]?.trim();
    return `${dashes}${value} needs a value behind it${about === undefined ? "" : ` (${about.replace(/ +\[.*$/, "")})`}. ${more}`;
  }
  const invalid = /Argument: (\S+), Given: (.*), Choices: (.+)$/s.exec(said);
  if (invalid !== null) {
    const [, argument, given, choices] = invalid as unknown as [string, string, string, string];
    const texts = choices.split(", ").map((choice) => choice.replaceAll('"', ""));
    const word = given.replaceAll('"', "");
    const flag = argument === "shell" ? "completion" : `--${argument}`;
    const either = texts.length === 1 ? texts[0] : `${texts.slice(0, -1).join(", ")} or ${texts.at(-1)}`;
    return `${flag} takes ${either}, not ${JSON.stringify(word)}.${guess(word, texts)}`;
  }
  if (said.startsWith("name a command")) return `${said}. fwcheck --help says what each is for.`;
  return said;
}
