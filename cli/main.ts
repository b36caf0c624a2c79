#!/usr/bin/env node
import { hideBin } from "yargs/helpers";
import { runCommandLine } from "./command-line.ts";
import { reportError } from "./errors.ts";
import { writeStderr } from "./output.ts";
import { delayOptimization } from "./v8-flags.ts";

delayOptimization();

process.on("uncaughtException", (error) => {
  reportError(error);
  process.exit();
});

/** Ends the call if standard output cannot be written. */
function onOutputError({ code }: NodeJS.ErrnoException): void {
  // A reader that stops early (`fwcheck ... | head`) is not an error.
  if (code === "EPIPE") process.exit(process.exitCode ?? 2);
  writeStderr(`fwcheck: standard output cannot be written (${code}); what was printed is incomplete\n`);
  process.exit(2);
}
process.stdout.on("error", onOutputError);
// After --help and --version yargs exits before the error event.
process.on("exit", (code) => {
  if (code === 0 && process.stdout.errored) onOutputError(process.stdout.errored);
});

process.stderr.on("error", (error: NodeJS.ErrnoException) => {
  // A lost warning could change what the answer means.
  if (error.code !== "EPIPE") process.exit(2);
});

await runCommandLine(hideBin(process.argv));
