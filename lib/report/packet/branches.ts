/** Branches of a trace by their outcome, and the unknowns that decide between them. */
import type { Outcome, TracedBranch } from "../../simulate/answer.ts";
import type { Supposition } from "../../simulate/assumption.ts";

/** More outcomes of one packet are counted, not shown. */
const MOST_OUTCOMES = 4;

const outcomeKey = ({ verdict, delivery, out, sent }: Outcome): string =>
  JSON.stringify([verdict, delivery, out, sent]);

/** Returns one branch per outcome, the one with the fewest suppositions; the first outcomes if there are many. */
export function shownBranches(branches: readonly TracedBranch[]): TracedBranch[] {
  const found = new Map<string, TracedBranch>();
  for (const branch of branches) {
    const key = outcomeKey(branch);
    const known = found.get(key);
    if (known === undefined || branch.suppositions.length < known.suppositions.length) found.set(key, branch);
  }
  return [...found.values()].slice(0, MOST_OUTCOMES);
}

/** Returns the number of different outcomes. */
export const countOutcomes = (branches: readonly TracedBranch[]): number =>
  new Set(branches.map(outcomeKey)).size;

/** Returns the number of other branches with the same outcome. */
export const countSimilar = (branch: TracedBranch, branches: readonly TracedBranch[]): number =>
  branches.filter((each) => outcomeKey(each) === outcomeKey(branch)).length - 1;

/** Returns the suppositions of a branch that another branch contradicts: those that decide. */
export const decidingSuppositions = (
  branch: TracedBranch,
  branches: readonly TracedBranch[],
): Supposition[] =>
  branch.suppositions.filter(({ key, truth }) =>
    branches.some((other) => other.suppositions.some((s) => s.key === key && s.truth !== truth)),
  );

/** Letter of a shown branch. */
export const branchLetter = (index: number): string => String.fromCharCode(65 + index);
