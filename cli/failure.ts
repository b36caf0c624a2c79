/** How a call ends that does not end well: one sentence on stderr and exit code 2, whatever happened. */
import { safe } from "../lib/index.ts";
import { tell } from "./output.ts";

/** What a command threw. */
export class Failed extends Error {
  override readonly name = "Failed";

  constructor(override readonly cause: unknown) {
    super();
  }
}

/** The command line is wrong. */
export class Misused extends Error {
  override readonly name = "Misused";
}

/** Errors whose message is for the user as it is. */
const TOLD: readonly unknown[] = ["Misused", "Refused", "BudgetExceeded"];

/** Ends the call with the sentence for an error. */
export function end(error: unknown): void {
  process.exitCode = 2;
  tell(`fwcheck: ${sentence(error instanceof Failed ? error.cause : error)}\n`);
}

function sentence(error: unknown): string {
  if (!(error instanceof Error)) return unexpected(String(error));
  if (TOLD.includes(error.name)) return safe(error.message);
  // V8 has no class of its own for what outgrows its stack, its strings and its arrays.
  if (error instanceof RangeError)
    return `the input is too large for this machine (${safe(error.message)}): there is no answer. Give a part of it, such as one table or one family, or more memory: NODE_OPTIONS=--max-old-space-size=8192. If the host is an ordinary one, please report it`;
  return unexpected(error.message);
}

const unexpected = (message: string): string =>
  `internal error: ${safe(message)}; there is no answer. Please report it with the input`;
