/** Tests the counter of forbidden words on planted text, and holds this repository to its limit. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";

/** Forbidden words per 1,000 words of comments, of documentation and of messages. */
const LIMIT = 2;

const counter: string = new URL("../.ci/language.mjs", import.meta.url).href;
const { main } = (await import(counter)) as {
  main(args: readonly string[], print: (line: string) => void): number;
};

function run(...args: string[]): { status: number; stdout: string } {
  const lines: string[] = [];
  const status = main(args, (line) => lines.push(line));
  return { status, stdout: lines.join("\n") };
}

/** Writes the files into a new repository. */
function plant(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), "fwcheck-language-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  spawnSync("git", ["init", "--quiet"], { cwd: root });
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

/** Hits in planted files, as `file:line: kind: "word"`. */
function hits(files: Record<string, string>): string[] {
  const { stdout } = run("--root", plant(files), ...Object.keys(files));
  return stdout.match(/^\S+:\d+: \w+: ".*?"/gm) ?? [];
}

describe("the counter", () => {
  test("reads comments of every form, and phrases across line breaks", () => {
    const text = `/** Whether it matches. */
// The rule is asked.
/* so
 * many */ const a = 1; // lest it fails
const b = "// nobody"; const c = /\\/\\/ whom/;
const d = \`\${a /* behind */} // nobody \${b}\`;
/** Rules, and the names
 * of
 * them. What a rule does is not the start. */
`;
    expect(hits({ "lib/a.ts": text })).toEqual([
      'lib/a.ts:1: comments: "Whether"',
      'lib/a.ts:2: comments: "asked"',
      'lib/a.ts:3: comments: "so many"',
      'lib/a.ts:4: comments: "lest"',
      'lib/a.ts:6: comments: "behind"',
      'lib/a.ts:8: comments: "of them"',
    ]);
    expect(hits({ "cli/a.sh": "#!/bin/sh\n# This\n# is told.\necho '# nobody'\n" })).toEqual([
      'cli/a.sh:3: comments: "told"',
    ]);
  });

  test("reads messages, but no other strings and no code between backticks", () => {
    const text = `const a = "the rule tells nothing more";
const b = \`\${a} is asked by \${a}, the rule spells it\`;
const c = "tell";
const d = "the option \`tell\` has no value";
`;
    expect(hits({ "lib/a.ts": text })).toEqual([
      'lib/a.ts:1: messages: "tells"',
      'lib/a.ts:2: messages: "asked"',
      'lib/a.ts:2: messages: "spells"',
    ]);
    const titles = 'test.each([1])("a chain heeds the rule", () => say("this is not told here"));\n';
    expect(hits({ "test/a.test.ts": titles })).toEqual(['test/a.test.ts:1: messages: "heeds"']);
  });

  test("reads Markdown without code, and only the newest section of the change log", () => {
    const text = "A [rule](whom.md) stands\nhere, `whom`.\n\n```sh\nwhom\n```\n\nIt stands for nobody.\n";
    expect(hits({ "docs/a.md": text })).toEqual([
      'docs/a.md:1: docs: "stands"',
      'docs/a.md:8: docs: "nobody"',
    ]);
    expect(hits({ "CHANGELOG.md": "# Log\n\n## 2\n\ntold\n\n## 1\n\ntold\n" })).toEqual([
      'CHANGELOG.md:5: docs: "told"',
    ]);
  });

  test("fails above the limit of any kind", () => {
    const plain = "The chain contains a rule. ".repeat(100);
    const at = (text: string) => run("--root", plant({ "README.md": text }), "--max", "2");
    expect(at(`${plain}It tells.`).status).toBe(0);
    const { status, stdout } = at(`${plain}It tells the host of it.`);
    expect(stdout).toContain("docs: 4.0 forbidden words per 1,000 words; at most 2 are allowed");
    expect(status).toBe(1);
  });
});

test("this repository is below the limit", () => {
  const { status, stdout } = run("--root", new URL("..", import.meta.url).pathname, "--max", `${LIMIT}`);
  expect(status, stdout).toBe(0);
});
