/** Text of strangers in XML, HTML and what else is written with tags. */
import { safe } from "../text/terminal.ts";

/** What cannot be shown is spelt out, what means something to XML is escaped; for text and for attributes alike. */
export const xml = (text: string): string =>
  safe(text)
    // Halves of surrogate pairs and the last two of the plane are no characters of XML.
    .replace(
      /[\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g,
      "\ufffd",
    )
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");

/** An element; attributes are escaped, what is inside is markup already. */
export function tag(
  name: string,
  attributes: Readonly<Record<string, string | number>>,
  inside = "",
): string {
  const words = Object.entries(attributes).map(
    ([key, value]) => ` ${key}="${typeof value === "number" ? Math.round(value * 10) / 10 : xml(value)}"`,
  );
  return inside === "" ? `<${name}${words.join("")}/>` : `<${name}${words.join("")}>${inside}</${name}>`;
}
