/** JSON documents in pieces, so that a large document is never one text. */

/** Converts values that JSON does not have. */
export const toJson = (_key: string, value: unknown): unknown =>
  typeof value === "bigint" ? value.toString() : value instanceof Map ? [...value] : value;

/** Levels of a document whose members are pieces of their own: the document, its tables, a table, its rules. */
const LEVELS = 4;

/** Calls `write` with the parts of `JSON.stringify(value, toJson, 2)`. */
export function writeJson(
  value: unknown,
  write: (piece: string) => void,
  levels = LEVELS,
  indent = "",
): void {
  const converted = toJson("", value);
  if (levels === 0 || !isContainer(converted)) {
    // Line feeds within strings are escaped, so each one starts a line of the document.
    const text = JSON.stringify(converted, toJson, 2) ?? "null";
    write(indent === "" ? text : text.replaceAll("\n", `\n${indent}`));
    return;
  }
  const list = Array.isArray(converted);
  const inner = `${indent}  `;
  let separator = list ? "[" : "{";
  for (const [key, member] of list ? converted.entries() : Object.entries(converted)) {
    if (!list && isOmitted(member)) continue;
    write(`${separator}\n${inner}${list ? "" : `${JSON.stringify(key)}: `}`);
    writeJson(member, write, levels - 1, inner);
    separator = ",";
  }
  write(separator === "," ? `\n${indent}${list ? "]" : "}"}` : list ? "[]" : "{}");
}

const isContainer = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !("toJSON" in value);

/** Members that JSON.stringify leaves out. */
const isOmitted = (member: unknown): boolean =>
  member === undefined || typeof member === "function" || typeof member === "symbol";
