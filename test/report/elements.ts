/** Parses HTML and SVG as a browser does, and lists the elements. */
import { type DefaultTreeAdapterMap, parse, parseFragment } from "parse5";

type Node = DefaultTreeAdapterMap["node"];

export interface Element {
  readonly tag: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** Text of the element and its descendants. */
  readonly text: string;
}

/** Returns all elements of a document or fragment, in order. */
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
