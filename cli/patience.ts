import { setFlagsFromString } from "node:v8";

/**
 * Lets V8 wait longer before it optimises a function: a command is over in a second or two, and compiling what hardly
 * runs afterwards was a quarter of the audit's CPU time (`npm run bench audit`). Versions that nobody tried are left alone.
 */
export function bePatient(): void {
  if (Number.parseInt(process.versions.v8, 10) <= 13) setFlagsFromString("--interrupt-budget=500000");
}
