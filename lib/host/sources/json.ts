/** Reads JSON that other programs printed: nothing of its shape is trusted. */

/** A JSON object as far as anybody knows. */
export type Json = { readonly [key: string]: unknown };

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** An own property of a JSON object; never one of its prototype. */
export const property = (value: unknown, key: string): unknown =>
  isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;

export const stringOf = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;
export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
export const entries = (value: unknown): [string, unknown][] =>
  isObject(value) ? Object.entries(value) : [];

/**
 * Parses one JSON array, or several arrays or objects in sequence (`ip -j` prints one a call,
 * `docker inspect --format` one a thing).
 * @throws SyntaxError with a sentence when the text is no JSON array
 */
export function arrays(source: string): unknown[] {
  const trimmed = source.trim();
  if (trimmed === "") return [];
  const parse = (part: string): unknown[] => {
    const value: unknown = JSON.parse(part);
    return Array.isArray(value) ? value : [value];
  };
  try {
    return parse(trimmed);
  } catch (error) {
    const parts = trimmed.split(/\n(?=[[{])/);
    if (parts.length > 1) return parts.flatMap(parse);
    throw error;
  }
}
