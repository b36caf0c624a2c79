/** Errors that end a call: one sentence on stderr and exit code 2. */
import { safe } from "../lib/index.ts";
import { writeStderr } from "./output.ts";

/** The command line is wrong. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** An input, or a combination of flags, is wrong. */
export class InputError extends Error {
  override readonly name = "InputError";
}

/** Errors whose message is printed as it is; compared by name, since each command is bundled with its own classes. */
const FOR_USERS: readonly unknown[] = ["UsageError", "InputError", "BudgetExceeded"];

/** Prints the sentence for an error and sets exit code 2. */
export function reportError(error: unknown): void {
  process.exitCode = 2;
  writeStderr(`fwcheck: ${sentence(error)}\n`);
}

function sentence(error: unknown): string {
  if (!(error instanceof Error)) return internal(String(error));
  if (FOR_USERS.includes(error.name)) return safe(error.message);
  // V8 throws a plain RangeError where its stack, a string or an array gets too large.
  if (error instanceof RangeError)
    return `the input is too large for this machine (${safe(error.message)}), so there is no answer. Pass a part, such as one table or one family, or allow more memory: NODE_OPTIONS=--max-old-space-size=8192. If the host is an ordinary one, please report it`;
  return internal(error.message);
}

const internal = (message: string): string =>
  `internal error: ${safe(message)}; there is no answer. Please report it with the input`;
