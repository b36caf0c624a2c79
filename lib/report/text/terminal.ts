/** Colours for terminals, and escaping of untrusted text. */

/** Functions that colour text, or return it unchanged. */
export interface Style {
  /** For headings. */
  readonly bold: (text: string) => string;
  /** For details. */
  readonly dim: (text: string) => string;
  /** For packets that pass and should not. */
  readonly red: (text: string) => string;
  /** For results as intended. */
  readonly green: (text: string) => string;
  /** For uncertain results. */
  readonly yellow: (text: string) => string;
  /** For names. */
  readonly cyan: (text: string) => string;
}

const unchanged = (text: string): string => text;
/** No colours: for files and pipes. */
export const PLAIN: Style = {
  bold: unchanged,
  dim: unchanged,
  red: unchanged,
  green: unchanged,
  yellow: unchanged,
  cyan: unchanged,
};

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
 * Characters that are escaped: control characters, C1 included since U+009B starts a sequence like ESC [, invisible ones,
 * and those that change the writing direction (UAX #44: Cf, Zl, Zp, Default_Ignorable_Code_Point).
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{DI}]/gu;

/** Fast path: text that contains none of these. */
const PLAIN_LINES = /^[\n\x20-\x7e]*$/;

/** Returns a character as JSON and JavaScript escape it, in UTF-16. */
const escaped = (character: string): string =>
  character
    .split("")
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");

/**
 * Escapes untrusted text (rulesets, Docker, users) for one line of a terminal: control characters, invisible ones and
 * those that change the writing direction become visible, `\u001b` for ESC.
 */
export const safe = (text: string): string => text.replace(UNSAFE, escaped);

/** Escapes text of several lines and keeps its line feeds. JSON stays equal JSON. */
export const safeLines = (text: string): string =>
  PLAIN_LINES.test(text) ? text : text.replace(UNSAFE, (c) => (c === "\n" ? c : escaped(c)));

/** Returns rows as lines with columns padded to their widest cell; the last column is not padded. */
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

/** Maximal width of text output. */
export const LINE_WIDTH = 80;

/** Breaks text at blanks into lines of at most `width` columns; a longer word gets a line of its own. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

const plain = (text: string): number => text.replace(/\u001b\[\d+m/g, "").length;

/**
 * Returns a label and a text as lines; lines after the first are indented.
 * @param indent columns of these lines
 * @param end suffix of every line but the last
 */
export function indented(label: string, text: string, indent = 4, end = ""): string[] {
  const first = plain(label) + 1;
  const [head, ...rest] = wrapped(
    `${"\u0000".repeat(Math.max(0, first - indent))}${text}`,
    LINE_WIDTH - indent - end.length,
  );
  const lines = [
    `${label} ${head!.replaceAll("\u0000", "")}`,
    ...rest.map((line) => `${" ".repeat(indent)}${line}`),
  ];
  return lines.map((line, i) => (i < lines.length - 1 ? `${line}${end}` : line));
}

/** Returns rows as lines of columns. Wraps columns, the last one first, so that lines fit into `WIDTH` if possible. */
export function table(rows: readonly (readonly string[])[], gap = 2): string[][] {
  const widths: number[] = [];
  for (const row of rows)
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  const least = widths.map((w) => Math.min(w, 16));
  const over = (): number => widths.reduce((sum, w) => sum + w + gap, -gap) - LINE_WIDTH;
  for (let i = widths.length - 1; i > 1 && over() > 0; i--)
    widths[i] = Math.max(least[i]!, widths[i]! - over());
  return rows.map((row) => {
    const cells = row.map((cell, i) => wrapped(cell, widths[i]!));
    const height = Math.max(...cells.map((c) => c.length));
    return Array.from({ length: height }, (_, y) =>
      cells
        .map((c, i) => (c[y] ?? "").padEnd(widths[i]! + (i === cells.length - 1 ? 0 : gap)))
        .join("")
        .trimEnd(),
    );
  });
}
