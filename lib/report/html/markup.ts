/** HTML and SVG from templates: the template is markup, inserted values are escaped text. */
import { xml } from "./xml.ts";

/** A complete piece of HTML or SVG. */
export class Markup {
  constructor(readonly text: string) {}
}

/** A value that can be inserted into a template; `null` and `false` are empty. */
export type MarkupContent = string | number | Markup | null | false | readonly MarkupContent[];

/** Escapes text for use between tags and in a quoted attribute; line feeds are kept. */
export const escaped = (text: string): string => text.split("\n").map(xml).join("\n");

function textOf(content: MarkupContent): string {
  if (content === null || content === false) return "";
  if (content instanceof Markup) return content.text;
  if (typeof content === "number") return String(content);
  return typeof content === "string" ? escaped(content) : content.map(textOf).join("");
}

/**
 * Returns markup from a template. Inserted attributes must be quoted: `<p title="${text}">`.
 * Indentation of the template is removed.
 */
export function markup(template: TemplateStringsArray, ...contents: readonly MarkupContent[]): Markup {
  const trimmed = template.map((text) => text.replace(/\n\s*/g, ""));
  return new Markup(trimmed.map((text, i) => (i === 0 ? text : textOf(contents[i - 1]!) + text)).join(""));
}

/** Returns a value as JSON for a data `<script>`: nothing in it can end the element. Not for any other place. */
export const embedded = (value: unknown): Markup =>
  new Markup(
    JSON.stringify(value)
      .replace(/</g, "\\u003c")
      .replace(/[\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16)}`),
  );
