/** HTML and SVG made of templates: what stands in the template is markup, whatever is put into it is text. */
import { xml } from "./xml.ts";

/** A piece of HTML or SVG that is whole by itself. */
export class Markup {
  constructor(readonly text: string) {}
}

/** What may be put into a template; `null` and `false` are nothing. */
export type Part = string | number | Markup | null | false | readonly Part[];

/** Text as it may stand between tags and in a quoted attribute; line ends stay. */
export const escaped = (text: string): string => text.split("\n").map(xml).join("\n");

function spelled(part: Part): string {
  if (part === null || part === false) return "";
  if (part instanceof Markup) return part.text;
  if (typeof part === "number") return String(part);
  return typeof part === "string" ? escaped(part) : part.map(spelled).join("");
}

/**
 * Markup from a template. Attributes that are put in stand in quotes: `<p title="${text}">`.
 * Blanks at the beginning of lines are left out.
 */
export function markup(template: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  const trimmed = template.map((text) => text.replace(/\n\s*/g, ""));
  return new Markup(trimmed.map((text, i) => (i === 0 ? text : spelled(parts[i - 1]!) + text)).join(""));
}

/**
 * A value as JSON for a `<script>` that is data: nothing in it can end the element. What this gives is markup; it is for
 * that one place.
 */
export const embedded = (value: unknown): Markup =>
  new Markup(
    JSON.stringify(value)
      .replace(/</g, "\\u003c")
      .replace(/[\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16)}`),
  );
