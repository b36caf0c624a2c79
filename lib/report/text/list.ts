/** Lists and counts in sentences. */

/** Joins items: `a`, `a or b`, `a, b or c`. */
export const listText = (items: readonly string[], word: "and" | "or" = "or"): string =>
  items.length < 2 ? (items[0] ?? "") : `${items.slice(0, -1).join(", ")} ${word} ${items.at(-1)}`;

/** Joins the first `most` items and counts the rest: `a, b and 3 more`. */
export function shortList(items: readonly string[], most: number): string {
  const more = items.length - most;
  return listText([...items.slice(0, most), ...(more > 0 ? [`${more} more`] : [])], "and");
}

/** Joins items with commas and counts those that are left out: `a, b and 3 more`. */
export const commaList = (items: readonly string[], more: number): string =>
  `${items.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;

/** `rule` for one, `rules` for any other number. */
export const plural = (count: number, noun: string): string => `${noun}${count === 1 ? "" : "s"}`;

/** `1 rule`, `2 rules`. */
export const counted = (count: number, noun: string): string => `${count} ${plural(count, noun)}`;

/** First letter in upper case, and a full stop unless the text ends in one. */
export const sentence = (text: string): string =>
  `${text[0]!.toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
