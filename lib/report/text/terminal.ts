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
 * What may stand on no terminal: control characters (the C1 ones, too: U+009B begins a sequence as ESC [ does), and what
 * nobody sees or what turns the direction of writing (UAX #44: Cf, Zl, Zp, Default_Ignorable_Code_Point).
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{DI}]/gu;

/** What is safe to begin with, and most text is. */
const PLAIN_LINES = /^[\n\x20-\x7e]*$/;

/** A character as JSON and JavaScript escape it, in UTF-16. */
const escaped = (character: string): string =>
  character
    .split("")
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");

/**
 * Text from rulesets, Docker and users as it may stand on a terminal, in one line: control characters, those that turn
 * the direction of writing and those that nobody sees become visible escapes, `\u001b` for ESC.
 */
export const safe = (text: string): string => text.replace(UNSAFE, escaped);

/** The same of a text of several lines, whose line feeds stay. Of JSON, it makes JSON that says the same. */
export const safeLines = (text: string): string =>
  PLAIN_LINES.test(text) ? text : text.replace(UNSAFE, (c) => (c === "\n" ? c : escaped(c)));

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

/** The width that text for people keeps to. */
export const WIDTH = 80;

/** Words in lines of at most so many columns; a word that is longer stands by itself. */
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
 * A label and a text behind it, what does not fit indented below.
 * @param indent columns of the lines below
 * @param end what a line ends in that goes on
 */
export function indented(label: string, text: string, indent = 4, end = ""): string[] {
  const first = plain(label) + 1;
  const [head, ...rest] = wrapped(
    `${"\u0000".repeat(Math.max(0, first - indent))}${text}`,
    WIDTH - indent - end.length,
  );
  const lines = [
    `${label} ${head!.replaceAll("\u0000", "")}`,
    ...rest.map((line) => `${" ".repeat(indent)}${line}`),
  ];
  return lines.map((line, i) => (i < lines.length - 1 ? `${line}${end}` : line));
}

/** Rows as lines in columns, in `WIDTH` where that can be: the widest columns are wrapped, the last ones first. */
export function table(rows: readonly (readonly string[])[], gap = 2): string[][] {
  const widths: number[] = [];
  for (const row of rows)
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  const least = widths.map((w) => Math.min(w, 16));
  const over = (): number => widths.reduce((sum, w) => sum + w + gap, -gap) - WIDTH;
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
