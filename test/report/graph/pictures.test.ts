/** Hostile names and comments: no markup, syntax or escape sequence leaves the text of a picture. */
import { Graphviz } from "@hpcc-js/wasm-graphviz";
import { parseXml, type XmlElement, XmlText } from "@rgrove/parse-xml";
import fc from "fast-check";
import { type ChainGraph, chainGraph, graphDot, graphMermaid, graphSvg, readHost } from "fwcheck";
import { beforeAll, describe, expect, test } from "vitest";
import { rulesetsOf } from "../../builders.ts";

/** Strings that are syntax in SVG, DOT or Mermaid. */
const PAYLOADS = [
  '"><script>alert(1)</script>',
  "</text></svg><img src=x onerror=alert(1)>",
  "]]><!-- --><![CDATA[",
  "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>&x;",
  "&lt;&#x0;&#38;",
  'a" ; } evil [label="b',
  "a\\",
  "\\N\\G\\n",
  "]; a -> b; [",
  "<B>b</B>",
  "x --> y",
  'c0["`**md**`"]',
  "end\nsubgraph evil",
  "%%{init: {}}%%",
  "click c0 call alert()",
  "#quot;#lt;script#gt;",
  "\u001b[31mred\u001b]0;title\u0007",
  "\u202eterces\u2066",
  "\ud800half\udc00",
  "\ufffe\uffff\u0000",
  "\u2028line\u2029",
  "__proto__",
  "constructor",
  "javascript:alert(1)",
  "a".repeat(5000),
  "漢字かな\u{1f600}",
  "a\u0300\u0301\u0302",
  "  ",
  "",
];

const hostile = fc.oneof(
  fc.constantFrom(...PAYLOADS),
  fc.tuple(fc.constantFrom(...PAYLOADS), fc.string({ unit: "binary" })).map((parts) => parts.join("")),
  fc.string({ unit: "binary" }),
  fc
    .array(
      fc.constantFrom("<", ">", "&", '"', "'", "\\", "`", "#", ";", "[", "]", "{", "}", "|", "\n", "\r", "-"),
    )
    .map((c) => c.join("")),
);

const RULES = `*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT -j DOCKER
-A DOCKER -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER-USER - [0:0]
:web - [0:0]
-A INPUT -i eth0 -j ACCEPT
-A FORWARD -j DOCKER-USER
-A DOCKER-USER -i eth0 -g web
-A web -j LOG
-A web -j REJECT
COMMIT
`;
const rulesets = rulesetsOf(RULES);
const PLAIN = chainGraph(rulesets[0]!, readHost({ complete: true }, rulesets));

/** A graph with hostile text everywhere: the worst that a reader of rules could let through. */
function poisoned(next: () => string): ChainGraph {
  return {
    ...PLAIN,
    source: next(),
    traced: next(),
    notes: [next(), next()],
    hooks: PLAIN.hooks.map((hook) => ({
      ...hook,
      stops: hook.stops.map((stop) => ({
        ...stop,
        chains: stop.chains.map((chain) => ({
          ...chain,
          name: next(),
          rows: chain.rows.map((row) => ({
            ...row,
            condition: next(),
            target: next(),
            rules: [next(), next()],
          })),
        })),
      })),
    })),
  };
}

const graphs = fc.array(hostile, { minLength: 1, maxLength: 40 }).map((texts) => {
  let i = 0;
  return poisoned(() => texts[i++ % texts.length]!);
});

const RUNS = { numRuns: 100 };
/** Control characters except line feeds, bidirectional controls, invisible characters, lone surrogates. */
const UNSEEN =
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

describe("SVG", () => {
  const ELEMENTS = ["svg", "title", "desc", "style", "rect", "g", "path", "text"];
  const ATTRIBUTES =
    /^(xmlns|class|viewBox|width|height|role|aria-label|aria-hidden|transform|x|y|rx|d|data-[a-z]+)$/;

  /** Elements and attributes, without text and values from the ruleset. */
  function shape(svg: string): string[] {
    const out: string[] = [];
    const walk = (element: XmlElement): void => {
      expect(ELEMENTS).toContain(element.name);
      for (const name of Object.keys(element.attributes)) expect(name).toMatch(ATTRIBUTES);
      out.push(`${element.name} ${element.attributes.class ?? ""} ${Object.keys(element.attributes).join()}`);
      for (const child of element.children) {
        if (child instanceof XmlText) {
          // Only these elements contain text.
          if (child.text.trim() !== "") expect(["title", "desc", "style", "text"]).toContain(element.name);
        } else walk(child as XmlElement);
      }
    };
    const { root, children } = parseXml(svg);
    expect(children.length).toBe(1);
    walk(root!);
    return out;
  }

  test("is well-formed XML with the same elements and attributes for all names", () => {
    const style = /<style>[^<]*<\/style>/;
    const usual = shape(graphSvg(poisoned(() => "name")));
    fc.assert(
      fc.property(graphs, (graph) => {
        const svg = graphSvg(graph);
        expect(svg).not.toMatch(UNSEEN);
        expect(svg.match(style)![0]).toBe(graphSvg(PLAIN).match(style)![0]);
        // Empty texts are left out, and long notes have several lines.
        const texts = (shapes: string[]): string[] => shapes.filter((each) => !each.startsWith("text"));
        expect(texts(shape(svg))).toEqual(texts(usual));
      }),
      RUNS,
    );
  });

  test("has no links, scripts or ids", () => {
    expect(graphSvg(PLAIN)).not.toMatch(/\s(href|id|src|on[a-z]+)=/);
    expect(graphSvg(PLAIN)).not.toMatch(/url\(|@import|https?:(?!\/\/www\.w3\.org\/2000\/svg")/);
  });

  test("data-chain is the name of the chain", () => {
    fc.assert(
      fc.property(hostile, (name) => {
        const found: string[] = [];
        const walk = (element: XmlElement): void => {
          if (element.attributes["data-chain"] !== undefined) found.push(element.attributes["data-chain"]);
          for (const child of element.children) if (!(child instanceof XmlText)) walk(child as XmlElement);
        };
        walk(parseXml(graphSvg(poisoned(() => name))).root!);
        expect(new Set(found).size).toBe(1);
        if (/^[\x20-\x7e]*$/.test(name)) expect(found[0]).toBe(name);
      }),
      RUNS,
    );
  });

  test("a long name does not make the picture wide", () => {
    const width = Number(/width="(\d+)"/.exec(graphSvg(poisoned(() => "W".repeat(100_000))))![1]);
    expect(width).toBeLessThan(6000);
  });
});

describe("DOT", () => {
  let graphviz: Graphviz;
  beforeAll(async () => {
    graphviz = await Graphviz.load();
  });

  /** Names of nodes and clusters, and ends of edges, as Graphviz reads them. */
  function shape(dot: string): { nodes: string[]; edges: number } {
    const read = JSON.parse(graphviz.layout(dot, "dot_json", "nop2")) as {
      objects: { name: string }[];
      edges: unknown[];
    };
    return { nodes: read.objects.map(({ name }) => name).sort(), edges: read.edges.length };
  }

  test("Graphviz reads the same nodes and edges for all names", () => {
    const usual = shape(graphDot(poisoned(() => "name")));
    fc.assert(
      fc.property(graphs, (graph) => {
        const dot = graphDot(graph);
        expect(dot).not.toMatch(UNSEEN);
        expect(shape(dot)).toEqual(usual);
      }),
      RUNS,
    );
  });

  test("Graphviz renders it", () => {
    for (const payload of PAYLOADS) {
      const svg = graphviz.layout(graphDot(poisoned(() => payload)), "svg", "dot");
      expect(svg).toContain("</svg>");
      expect(svg).not.toMatch(/<script|<img|onerror=(?!a)/);
    }
  });
});

describe("Mermaid", () => {
  // A label contains letters, digits, harmless marks and `#code;` only.
  const LABEL = String.raw`"(?:[A-Za-z0-9 .,:/!=+-]|#\d+;|<b>|</b>|<br/>)*"`;
  const LINES = [
    String.raw`%%\{init: \{"flowchart": \{"wrappingWidth": \d+\}\}\}%%`,
    "flowchart LR",
    String.raw`  (?:network|routing|programs|out)\(\[${LABEL}\]\):::place`,
    String.raw`  subgraph h\d+\["[A-Za-z ]+"\]`,
    String.raw`    [A-Z]+\[/${LABEL}/\]:::hook`,
    String.raw`    c\d+\[${LABEL}\]:::(?:base|docker|podman|ufw|owner|fwcheck)`,
    String.raw`    [A-Z]+ -->\|"\d [a-z]+"\| c\d+`,
    String.raw`    [A-Z]+ --- t\d+\(\["\d conntrack"\]\)`,
    "  end",
    String.raw`  c\d+ (?:-->|-\.->)\|${LABEL}\| c\d+`,
    "  [A-Za-z]+ ==> [A-Za-z]+",
    "  classDef [a-z]+ [a-z0-9#:,-]+",
    "  %% .*",
  ].map((line) => new RegExp(`^${line}$`));

  test("has the same lines of known form for all names", () => {
    const usual = graphMermaid(poisoned(() => "name"))
      .slice(0, -1)
      .split("\n").length;
    fc.assert(
      fc.property(graphs, (graph) => {
        const text = graphMermaid(graph);
        expect(text).not.toMatch(UNSEEN);
        const lines = text.slice(0, -1).split("\n");
        for (const line of lines) expect(LINES.some((kind) => kind.test(line))).toBe(true);
        expect(lines.length).toBe(usual);
      }),
      RUNS,
    );
  });

  test("a name is encoded and can be decoded", () => {
    const name = 'a"<b>#';
    const [line] = graphMermaid(poisoned(() => name)).match(/^ {4}c0\[.*$/m)!;
    expect(line.replace(/#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)))).toContain(name);
  });
});

test("hostile names of a parsed ruleset", () => {
  fc.assert(
    fc.property(fc.array(hostile, { minLength: 3, maxLength: 3 }), (texts) => {
      const [chain, input, comment] = texts.map((text) => JSON.stringify(text.replace(/[\n\r\u0000]/g, "")));
      const text = `*filter\n:FORWARD DROP [0:0]\n:${chain} - [0:0]\n-A FORWARD -i ${input} -m comment --comment ${comment} -j ${chain}\n-A ${chain} -j DROP\nCOMMIT\n`;
      const rulesets = rulesetsOf(text);
      for (const ruleset of rulesets)
        for (const all of [false, true]) {
          const graph = chainGraph(ruleset, readHost({ complete: true }, rulesets), { all });
          const svg = graphSvg(graph);
          parseXml(svg);
          for (const out of [svg, graphDot(graph), graphMermaid(graph)]) expect(out).not.toMatch(UNSEEN);
        }
    }),
    RUNS,
  );
});
