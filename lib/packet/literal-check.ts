/** Checks of literals at a position of a text. Loaders of large files run these instead of parsing each literal. */

/**
 * Returns true if text[start, end) is a dotted quad, with a prefix length if `length` allows one. It reads digit by digit,
 * since every rule of a large file has one or two addresses.
 */
export function isQuad(text: string, start: number, end: number, length: boolean): boolean {
  let parts = 0;
  let value = -1;
  let slash = false;
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i);
    if (code >= 48 && code <= 57) {
      // Leading zeros are left to the parser.
      if (value === 0) return false;
      value = (value < 0 ? 0 : value * 10) + code - 48;
      if (value > (slash ? 32 : 255)) return false;
    } else if (value < 0 || slash) return false;
    else {
      if (code === 47 && length) slash = true;
      else if (code !== 46) return false;
      parts++;
      value = -1;
      if (parts > 4 || slash !== (parts === 4)) return false;
    }
  }
  return value >= 0 && (slash || parts === 3);
}

/** Returns true if text[start, end) is a port in decimal digits. */
export const isPort = (text: string, start: number, end: number): boolean =>
  isDecimal(text, start, end, 0xffff);

/** Returns true if text[start, end) is a decimal number up to a limit; a leading zero would make it octal. */
export function isDecimal(text: string, start: number, end: number, most: number): boolean {
  if (end === start || end - start > 10 || (text.charCodeAt(start) === 48 && end - start > 1)) return false;
  let value = 0;
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i);
    if (code < 48 || code > 57) return false;
    value = value * 10 + code - 48;
  }
  return value <= most;
}
