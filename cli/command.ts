/** Declares a command of the command line: arguments and flags as data for yargs, examples, and the handler. */
import type { ArgumentsCamelCase, InferredOptionTypes, Options, PositionalOptions } from "yargs";

type Positionals = Readonly<Record<string, PositionalOptions>>;
type FlagSpecs = Readonly<Record<string, Options>>;

/** Purpose of an example, and its command line. A test runs every example. */
type Example = readonly [purpose: string, commandLine: string];

export interface Command {
  readonly positionals: Positionals;
  readonly flags: FlagSpecs;
  readonly examples: readonly Example[];
  /** Text at the end of `--help`, such as the exit codes. */
  readonly notes?: string;
  /** Runs the command with parsed arguments. @returns the exit code */
  readonly run: (args: never) => number | Promise<number>;
}

/** Returns the command; infers the type of the handler's arguments from positionals and flags. */
export const defineCommand = <const P extends Positionals, const F extends FlagSpecs>(
  command: Omit<Command, "run"> & {
    readonly positionals: P;
    readonly flags: F;
    readonly run: (args: ArgumentsCamelCase<InferredOptionTypes<P & F>>) => number | Promise<number>;
  },
): Command => command;

/** Formats examples and notes for the end of `--help`. */
export const epilogue = (examples: readonly Example[], notes?: string): string =>
  `Examples:\n\n${examples.map(([purpose, line]) => `${purpose}:\n  ${line}`).join("\n")}${notes === undefined ? "" : `\n\n${notes}`}`;
