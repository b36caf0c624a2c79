/** Colours for a terminal, and text of strangers made safe to print there. */

/** Wraps text in colours, or leaves it as it is. */
export interface Style {
  /** For headings. */
  readonly bold: (text: string) => string;
  /** For what matters less. */
  readonly dim: (text: string) => string;
  /** For what gets through and should not. */
  readonly red: (text: string) => string;
  /** For what is as it should be. */
  readonly green: (text: string) => string;
  /** For what is not certain. */
  readonly yellow: (text: string) => string;
  /** For names. */
  readonly cyan: (text: string) => string;
}

const same = (text: string): string => text;
/** No colours: for files and pipes. */
export const PLAIN: Style = { bold: same, dim: same, red: same, green: same, yellow: same, cyan: same };

const sgr =
  (code: number) =>
  (text: string): string =>
    `\u001b[${code}m${text}\u001b[0m`;
/** Colours of a terminal (ECMA-48, SGR). */
export const COLOUR: Style = {
  bold: sgr(1),
  dim: sgr(2),
  red: sgr(31),
  green: sgr(32),
  yellow: sgr(33),
  cyan: sgr(36),
};

/**
 * Text from rulesets, Docker and users as it may stand on a terminal: control characters, those that turn the
 * direction of writing and those that nobody sees become visible escapes.
 */
export const safe = (text: string): string =>
  text.replace(
    /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );

/** Columns padded to their widest cell; the last one is left as it is. */
export function columns(rows: readonly (readonly string[])[], gap = 2): string[] {
  const widths: number[] = [];
  for (const row of rows)
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  return rows.map((row) =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]! + gap)))
      .join("")
      .trimEnd(),
  );
}
