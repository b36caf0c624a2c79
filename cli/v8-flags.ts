import { setFlagsFromString } from "node:v8";

/**
 * Returns the flag that delays V8's optimizing compiler; `null` for versions that may not know it. A call takes a second
 * or two, and V8 spends a third of its CPU time on optimizing code that hardly runs afterwards. Node 20 (V8 11.3) knows
 * the flag; Node 22 and 24 print an error for it.
 */
export const optimizationFlag = (v8: string): string | null =>
  v8.startsWith("11.3.") ? "--interrupt-budget=500000" : null;

/** Sets the flag for this process. */
export function delayOptimization(): void {
  const flag = optimizationFlag(process.versions.v8);
  if (flag !== null) setFlagsFromString(flag);
}
