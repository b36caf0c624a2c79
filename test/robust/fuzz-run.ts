/** Runs the checks of `npm run fuzz`. */
import fc from "fast-check";

/**
 * Checks generated texts. After a failure the process ends with the error, the seed and the shortest text that fails as its
 * last lines: logs are often cut at the start.
 */
export function fuzz(
  texts: fc.Arbitrary<string>,
  check: (text: string) => void,
  runs: number,
  seed: number,
): void {
  const property = fc.property(texts, check);
  const { failed, counterexample, errorInstance, numShrinks } = fc.check(property, { numRuns: runs, seed });
  if (!failed) return;
  console.error(errorInstance instanceof Error ? errorInstance.stack : String(errorInstance));
  console.error(`=== fuzz failed with seed ${seed}; the text after ${numShrinks} reductions:`);
  console.error(JSON.stringify(counterexample?.[0] ?? null));
  process.exit(1);
}
