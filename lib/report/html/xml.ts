/** Escapes untrusted text for XML and HTML. */
import { safe } from "../text/terminal.ts";

/** Escapes markup and control characters, for text and for quoted attributes. */
export const xml = (text: string): string =>
  safe(text)
    // Lone surrogates, U+FFFE and U+FFFF are not characters of XML (XML 1.0, 2.2).
    .replace(
      /[\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g,
      "\ufffd",
    )
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");

/** Returns an element. Attributes are escaped; the content is markup. */
export function tag(
  name: string,
  attributes: Readonly<Record<string, string | number>>,
  inside = "",
): string {
  const printed = Object.entries(attributes).map(
    ([key, value]) => ` ${key}="${typeof value === "number" ? Math.round(value * 10) / 10 : xml(value)}"`,
  );
  const start = `<${name}${printed.join("")}`;
  return inside === "" ? `${start}/>` : `${start}>${inside}</${name}>`;
}
