/** Width of text in a font of fixed width, in columns. */
import { safe } from "../text/terminal.ts";

/** Returns the number of columns of a text; an estimate for characters from U+1100 on, most of which are wide. */
export function textColumns(text: string): number {
  let out = 0;
  for (const c of text) out += c.codePointAt(0)! >= 0x1100 ? 2 : 1;
  return out;
}

/** Returns text without control characters, cut to a number of columns. */
export function cut(text: string, columns: number): string {
  const shown = safe(text);
  if (textColumns(shown) <= columns) return shown;
  let out = "";
  let width = 1;
  for (const c of shown) {
    width += textColumns(c);
    if (width > columns) break;
    out += c;
  }
  return `${out}…`;
}
