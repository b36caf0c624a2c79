/** What somebody may have meant who mistyped a word. */
import { safe } from "../lib/index.ts";

/** How many letters differ, are missing, too many or swapped with their neighbour (Damerau, optimal string alignment). */
export function distance(a: string, b: string): number {
  let [before, last]: number[][] = [[], []];
  for (let i = 0; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      if (i === 0) {
        row.push(j);
        continue;
      }
      const same = a[i - 1] === b[j - 1];
      let least = Math.min(last![j]! + 1, row[j - 1]! + 1, last![j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, before![j - 2]! + 1);
      row.push(least);
    }
    [before, last] = [last, row];
  }
  return last!.at(-1)!;
}

/** The word that was probably meant, `undefined` where none is near. */
export function nearest(word: string, words: readonly string[]): string | undefined {
  const folded = word.toLowerCase();
  const near = words
    .map((each) => ({ each, far: each.toLowerCase() === folded ? 0 : distance(folded, each.toLowerCase()) }))
    .filter(({ far }) => far === 0 || word.length > 2)
    .filter(({ each, far }) => far <= Math.max(1, Math.floor(Math.min(word.length, each.length) / 3)))
    .sort((a, b) => a.far - b.far);
  return near[0]?.each;
}

/** ` Did you mean X?`, or nothing. */
export function guess(word: string, words: readonly string[]): string {
  const meant = nearest(word, words);
  return meant === undefined ? "" : ` Did you mean ${safe(meant)}?`;
}
