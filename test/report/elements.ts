/** Reads HTML and SVG as a browser does, and lists what stands in it. */
import { type DefaultTreeAdapterMap, parse, parseFragment } from "parse5";

type Node = DefaultTreeAdapterMap["node"];

export interface Element {
  readonly tag: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** Of the element itself and all below it. */
  readonly text: string;
}

/** All elements of a document, or of a piece of one, in their order. */
export function elements(html: string): Element[] {
  const out: Element[] = [];
  const visit = (node: Node): string => {
    if (node.nodeName === "#text" && "value" in node) return node.value;
    const children: readonly Node[] =
      "content" in node ? node.content.childNodes : "childNodes" in node ? node.childNodes : [];
    if (!("tagName" in node)) return children.map(visit).join("");
    const at = out.length;
    const attributes = Object.fromEntries(node.attrs.map(({ name, value }) => [name, value]));
    out.push({ tag: node.tagName, attributes, text: "" });
    const text = children.map(visit).join("");
    out[at] = { ...out[at]!, text };
    return text;
  };
  visit(html.startsWith("<!") ? parse(html) : parseFragment(html));
  return out;
}
