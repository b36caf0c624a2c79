/** Escaping of untrusted text for Markdown. */
import { safe } from "./terminal.ts";

/** Escapes text for a cell of a Markdown table (CommonMark 2.4, GFM 4.10 and 6.9): no markup, HTML, link or new cell. */
export const markdown = (text: string): string =>
  safe(text)
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replace(/[\\`*_{}[\]()#+!|~@]|:(?=\/\/)|(?<=www)\./gi, "\\$&");
