import { parse, print } from "iptables-parser-ts";
import { describe, expect, test } from "vitest";
import { LineScanner } from "../line-scanner.ts";
import { ShapeTrie, type TrieNode } from "../shape-trie.ts";

const repeated = (n: number, line: (i: number) => string): string =>
  `*filter\n${Array.from({ length: n }, (_, i) => line(i)).join("\n")}\nCOMMIT\n`;

describe("hostile texts are parsed in linear time, with few diagnostics", () => {
  const long = "x".repeat(8 << 20);
  test.each<[what: string, text: string, diagnostics: number]>([
    ["one long line", long, 2],
    ["one long rule", `*filter\n-A INPUT ${long}\nCOMMIT`, 1],
    ["one rule of many words", `*filter\n-A INPUT --x${" x".repeat(4 << 20)}\nCOMMIT`, 1],
    ["one long comment", `*filter\n# ${long}\nCOMMIT`, 1],
    ["one long quote", `*filter\n-A INPUT --comment "${long}`, 2],
    ["one quote with many escapes", `*filter\n-A INPUT --comment "${'\\"'.repeat(4 << 20)}`, 2],
    ["many quotes in a line", `*filter\n-A INPUT --comment ${'"'.repeat(30_001)}\nCOMMIT`, 1],
    ["many escapes in a line", `*filter\n-A INPUT --comment "${"\\".repeat(60_001)}\nCOMMIT`, 1],
    ["many carriage returns", `*filter\n${"\r".repeat(60_000)}x\nCOMMIT`, 1],
    ["many exclamation marks", `*filter\n-A INPUT ${"! ".repeat(30_000)}\nCOMMIT`, 1],
    ["many dashes", `*filter\n-A INPUT ${"-".repeat(60_000)}"\nCOMMIT`, 1],
    ["many chains", repeated(100_000, (i) => `:c${i} - [0:0]`), 0],
    ["many tables", Array.from({ length: 20_000 }, (_, i) => `*t${i}\nCOMMIT\n`).join(""), 0],
    ["many line feeds", `*nat\n${"\n".repeat(1 << 20)}COMMIT`, 0],
    ["many syntax errors", repeated(20_000, () => "-A"), 20_000],
  ])("%s", (_, text, count) => {
    expect(parse(text).diagnostics).toHaveLength(count);
  });
});

describe("the size of the trie is limited", () => {
  const size = (node: TrieNode): number =>
    1 +
    [...node.children, ...(node.valueChild ? [node.valueChild] : [])].reduce((sum, n) => sum + size(n), 0);
  const learned = (n: number, rule: (i: number) => { name: string; values: string[] }[]): ShapeTrie => {
    const shapes = new ShapeTrie();
    for (let i = 0; i < n; i++) {
      const values: string[] = [];
      const options = rule(i).map((o) => {
        const at = values.length;
        values.push(...o.values);
        return { name: o.name, negated: false, at, count: o.values.length };
      });
      shapes.shapeOf(options, values);
    }
    return shapes;
  };

  test("for any number of shapes", () => {
    const shapes = learned(50_000, (i) => [...i.toString(7)].map((d) => ({ name: `--${d}`, values: ["x"] })));
    expect(size(shapes.root)).toBeLessThanOrEqual(16_384 + 1);
  });

  test("for any number of options after one prefix", () => {
    const shapes = learned(5000, (i) => [{ name: `--o${i}`, values: [] }]);
    expect(shapes.root.children.length).toBeLessThanOrEqual(64);
  });

  test("for a rule with more words than iptables-restore accepts", () => {
    const shapes = learned(1, () => [{ name: "--x", values: new Array(300).fill("x") }]);
    expect(size(shapes.root)).toBe(1);
  });

  test("rules outside the trie are parsed by the grammar, and equal shapes are one object", () => {
    const shape = (i: number): string =>
      `-A INPUT ${[...i.toString(7)].map((d) => `--o${d} x`).join(" ")} --p${i}`;
    const { document, diagnostics } = parse(repeated(6000, (i) => shape(i % 3000)));
    expect(diagnostics).toEqual([]);
    const [table] = document.entries;
    const shapes =
      table?.kind === "table" ? table.entries.map((e) => (e.kind === "rule" ? e.shape : null)) : [];
    expect(new Set(shapes).size).toBe(3000);
    expect(shapes[2999]).toBe(shapes[5999]);
  });
});

test("the grammar parses one rule per shape", () => {
  const text = repeated(3000, (i) =>
    i % 2 ? `[${i}:0] -A c${i} -p tcp -m tcp --dport ${i} -j c${i}` : "-A x -j LOG",
  );
  const shapes = new ShapeTrie();
  const scanner = new LineScanner(text, shapes);
  const { document } = parse(text);
  let asked = 0;
  let line = 1;
  for (let at = 0; at < text.length; line++) {
    if (scanner.line(at, line) === undefined) {
      asked++;
      const entry =
        document.entries[0]!.kind === "table" ? document.entries[0]!.entries[line - 2] : undefined;
      if (entry?.kind === "rule") shapes.shapeOf(entry.shape.options, entry.values);
      at = text.indexOf("\n", at) + 1;
    } else at = scanner.end + 1;
  }
  // `*filter`, `COMMIT` and the two shapes.
  expect(asked).toBe(4);
});

test("lines across the border of the scanner's window, at every offset", () => {
  for (const pad of [0, 1, 2, 3, 5, 8, 13, 21, 34]) {
    const text = repeated(
      9000,
      (i) => `-A INPUT -m comment --comment "${"é".repeat(i % 3)}${"x".repeat((i * 7 + pad) % 90)}" -j DROP`,
    );
    const { document, diagnostics } = parse(text);
    expect(diagnostics).toEqual([]);
    expect(parse(print(document)).document.entries[0]).toMatchObject({ entries: { length: 9000 } });
  }
});
