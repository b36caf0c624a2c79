/**
 * Replaces yargs' messages by codes: `yargs.updateStrings` maps each message key of yargs to NUL, a code, and the values,
 * separated by NUL, which no argument can contain. usage-errors.ts turns codes into sentences.
 */

/** yargs takes objects for keys with a plural; its types do not. */
const both = (text: string) => ({ one: text, other: text }) as unknown as string;

export const YARGS_CODES: Readonly<Record<string, string>> = {
  "Unknown argument: %s": both("\0unknown\0%s\0"),
  "Unknown command: %s": both("\0unknown\0%s\0"),
  "Not enough non-option arguments: got %s, need at least %s": both("\0positional-missing\0%s\0%s\0"),
  "Not enough arguments following: %s": "\0value-missing\0%s\0",
  "Invalid values:": "\0invalid-choice\0",
  // Follows the key above, after a line break.
  "Argument: %s, Given: %s, Choices: %s": "\0%s\0%s\0%s\0",
};
