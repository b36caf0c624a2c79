/** Suggests the known word that a misspelt one is closest to. */
import { closestWord, safe } from "../lib/index.ts";

/** Returns ` Did you mean X?`, or an empty string. */
export function didYouMean(word: string, words: readonly string[]): string {
  const closest = closestWord(word, words);
  return closest === undefined ? "" : ` Did you mean ${safe(closest)}?`;
}
