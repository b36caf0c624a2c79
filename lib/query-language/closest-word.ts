/** Finds the known word that a misspelt one is closest to. */

/** Damerau-Levenshtein distance with adjacent transpositions (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let [beforeLast, last]: number[][] = [[], []];
  for (let i = 0; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      if (i === 0) {
        row.push(j);
        continue;
      }
      const substitution = last![j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(last![j]! + 1, row[j - 1]! + 1, substitution);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, beforeLast![j - 2]! + 1);
      row.push(least);
    }
    [beforeLast, last] = [last, row];
  }
  return last!.at(-1)!;
}

/** Returns the closest word, `undefined` if none is close; one edit is allowed per three letters. */
export function closestWord(word: string, words: readonly string[]): string | undefined {
  const folded = word.toLowerCase();
  return words
    .map((each) => ({
      each,
      edits: each.toLowerCase() === folded ? 0 : editDistance(folded, each.toLowerCase()),
    }))
    .filter(({ edits }) => edits === 0 || word.length > 2)
    .filter(({ each, edits }) => edits <= Math.max(1, Math.floor(Math.min(word.length, each.length) / 3)))
    .sort((a, b) => a.edits - b.edits)[0]?.each;
}
