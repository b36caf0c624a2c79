import { setFlagsFromString } from "node:v8";

/**
 * Returns the flag that lets V8 wait longer before it optimizes a function; `null` for a V8 that may not know it. A command
 * ends in a second or two, and V8 spends a third of its CPU time on code that hardly runs afterwards. The flag is known in
 * Node 20 (V8 11.3); Node 22 and 24 print an error for it.
 */
export const patience = (v8: string): string | null =>
  v8.startsWith("11.3.") ? "--interrupt-budget=500000" : null;

/** Sets the flag for this process. */
export function bePatient(): void {
  const flag = patience(process.versions.v8);
  if (flag !== null) setFlagsFromString(flag);
}
