/** Breaks lines of text that contains rules. */

/** Breaks text at blanks. Keeps an option of a rule and its values on one line if they fit. */
export function wrap(text: string, width: number, hang = 0): string[] {
  const out: string[] = [];
  let current = "";
  const room = (): number => (out.length === 0 ? width : Math.max(16, width - hang));
  const add = (piece: string, splittable: boolean): void => {
    const joined = current === "" ? piece : `${current} ${piece}`;
    if (joined.length <= room()) {
      current = joined;
      return;
    }
    if (splittable && piece.length > room() && piece.includes(" ")) {
      for (const word of piece.split(" ")) add(word, false);
      return;
    }
    if (current !== "") out.push(current);
    current = piece;
  };
  for (const unit of units(text)) add(unit, true);
  out.push(current);
  return out.map((l, i) => (i === 0 ? l : " ".repeat(hang) + l));
}

/** Splits text into words, and options with their values. */
function units(text: string): string[] {
  const out: string[] = [];
  let option = false;
  let negated = false;
  for (const word of text.split(" ")) {
    const starts = /^--?[A-Za-z]/.test(word);
    if (word === "!") {
      out.push(word);
      negated = true;
      option = true;
    } else if (starts && !negated) {
      out.push(word);
      option = true;
    } else if (option) {
      out[out.length - 1] += ` ${word}`;
      if (!starts) option = false;
      negated = false;
    } else {
      out.push(word);
      // Keeps `line 12` and `rule 3` together.
      option = /^\(?(line|rule)$/.test(word);
    }
  }
  return out;
}
