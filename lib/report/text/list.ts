/** Lists in sentences. */

/** Joins items: `a`, `a or b`, `a, b or c`. */
export const list = (items: readonly string[], word: "and" | "or" = "or"): string =>
  items.length < 2 ? (items[0] ?? "") : `${items.slice(0, -1).join(", ")} ${word} ${items.at(-1)}`;

/** Joins the first `most` items and counts the rest: `a, b and 3 more`. */
export function shortList(items: readonly string[], most: number): string {
  const more = items.length - most;
  return list([...items.slice(0, most), ...(more > 0 ? [`${more} more`] : [])], "and");
}

/** First letter in upper case, and a full stop unless the text ends in one. */
export const sentence = (text: string): string =>
  `${text[0]!.toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
