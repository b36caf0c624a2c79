/**
 * Whatever the manual and --help show is run here, as it stands there. A block of the manual whose kind this file does
 * not know fails; what cannot be run says so, with the reason, in a comment in front: `<!-- not run: needs root -->`.
 * `UPDATE=1` writes what commands print into the manual.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse as parseYaml } from "yaml";
import { readExpectations } from "../../lib/index.ts";
import { Shell } from "./shell.ts";

const root = new URL("../..", import.meta.url).pathname;
const shell = new Shell();
beforeAll(() => shell.build(), 60_000);
afterAll(() => shell.remove());

const pages = [
  "README.md",
  "CONTRIBUTING.md",
  ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`),
].filter((page) => page.endsWith(".md"));

interface Block {
  readonly page: string;
  readonly line: number;
  readonly kind: string;
  readonly text: string;
  /** Why it is not run, where it says so. */
  readonly not: string | null;
}

const FENCE = /(?:^<!-- not run: ([^\n]+?) -->\n+)?^( *)```([^\n]*)\n([\s\S]*?)^ *```$/gm;

const blocksOf = (page: string): Block[] => {
  const text = readFileSync(join(root, page), "utf8");
  return [...text.matchAll(FENCE)].map((m) => ({
    page,
    line: text.slice(0, m.index).split("\n").length,
    kind: m[3]!.trim(),
    text: m[4]!.replaceAll(new RegExp(`^${m[2]}`, "gm"), ""),
    not: m[1] ?? null,
  }));
};

const blocks = pages.flatMap(blocksOf);
const of = (kind: string): Block[] => blocks.filter((b) => b.kind === kind && b.not === null);

/** A command of ours ends well, or with bad news: never because it is wrong. */
function expectRun(line: string, where: string): void {
  const { code, err } = shell.run(line);
  expect([0, 1], `${where}: ${line}\n${err}`).toContain(code);
  expect(err, `${where}: ${line}`).not.toMatch(/^fwcheck: |command not found|No such file|^warning: /m);
}

/** What a command prints; a message on stderr comes behind it. */
function printed(command: string): string {
  const { out, err } = shell.run(command);
  return [out, err].flatMap((text) => (text === "" ? [] : [text.trimEnd()])).join("\n");
}

/** A block that starts with `$ COMMAND`: the command, and what it prints. */
const CONSOLE = /```console\n\$ ([^\n]*)\n([\s\S]*?)```/g;

describe("console: a command, and exactly what it prints", () => {
  test.each(pages)("%s", (page) => {
    const text = readFileSync(join(root, page), "utf8");
    const now = text.replaceAll(
      CONSOLE,
      (_, command: string) => `\`\`\`console\n$ ${command}\n${printed(command)}\n\`\`\``,
    );
    if (process.env.UPDATE === "1") writeFileSync(join(root, page), now);
    expect(now).toBe(text);
  });
  test("every block of the kind is one", () => {
    for (const { page, line, text } of of("console")) expect(text, `${page}:${line}`).toMatch(/^\$ \S/);
    expect(of("console").length).toBeGreaterThanOrEqual(10);
  });
});

test.each(of("sh").map((b): [string, Block] => [`${b.page}:${b.line}`, b]))(
  "sh: %s runs",
  (where, { text }) => {
    // A line that ends in a backslash goes on; a comment is none of the command's.
    for (const line of text.replaceAll(/\\\n\s*/g, " ").split("\n"))
      if (line.trim() !== "" && !line.startsWith("#")) expectRun(line, where);
  },
);

/** Commands within a sentence or a table, where nothing in them stands for something else. */
const inline = pages.flatMap((page) =>
  readFileSync(join(root, page), "utf8")
    .replaceAll(FENCE, "")
    .split("\n")
    .flatMap((line, i) =>
      [...line.matchAll(/`([^`]*\bfwcheck (?:audit|simulate|explain|fix|collect|parse|completion)\b[^`]*)`/g)]
        .map((m) => m[1]!.replaceAll("\\|", "|"))
        .filter(
          (command) => /fwcheck \w+ \S/.test(command) && !/\b[A-Z]{2,}\b|\.\.\.|…|[[\]{}]/.test(command),
        )
        .map((command): [string, string] => [`${page}:${i + 1}: ${command}`, command]),
    ),
);
test.each(inline)("inline: %s runs", (where, command) => {
  expectRun(command, where);
});
test("there are such commands", () => {
  expect(inline.length).toBeGreaterThanOrEqual(8);
});

test.each(of("yaml").map((b): [string, Block] => [`${b.page}:${b.line}`, b]))(
  "yaml: %s is what it says",
  (where, { text }) => {
    const value = parseYaml(text);
    if (Object.hasOwn(value, "open")) expect(readExpectations(text).length, where).toBeGreaterThan(0);
    else {
      // A workflow or a playbook: the shell in it is run like any other.
      const commands: string[] = [];
      const visit = (node: unknown, key: string): void => {
        if (typeof node === "string" && /^(run|shell|ansible\.builtin\.shell|cmd)$/.test(key))
          commands.push(node);
        else if (Array.isArray(node)) for (const each of node) visit(each, key);
        else if (typeof node === "object" && node !== null)
          for (const [name, each] of Object.entries(node)) visit(each, name);
      };
      visit(value, "");
      expect(commands.length, where).toBeGreaterThan(0);
      for (const command of commands)
        if (/\bfwcheck\b/.test(command))
          expectRun(command.replaceAll(/\{\{ inventory_hostname \}\}/g, "web1"), where);
    }
  },
);

test("ts: every block compiles against the package's own types", () => {
  const files = new Map(
    of("ts").map((b, i) => [join(root, `test/manual-${i}.ts`), `${b.text}\nexport {};\n`]),
  );
  expect(files.size).toBeGreaterThan(0);
  const { config } = ts.readConfigFile(join(root, "test/tsconfig.json"), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, join(root, "test"));
  const host = ts.createCompilerHost({ ...options, noEmit: true, noUnusedLocals: false });
  const { readFile, fileExists, getSourceFile } = host;
  host.readFile = (name) => files.get(name) ?? readFile.call(host, name);
  host.fileExists = (name) => files.has(name) || fileExists.call(host, name);
  host.getSourceFile = (name, ...rest) =>
    files.has(name)
      ? ts.createSourceFile(name, files.get(name)!, ts.ScriptTarget.Latest)
      : getSourceFile.call(host, name, ...rest);
  const program = ts.createProgram(
    [...files.keys()],
    { ...options, noEmit: true, noUnusedLocals: false },
    host,
  );
  const said = ts
    .getPreEmitDiagnostics(program)
    .filter((d) => d.file !== undefined && files.has(d.file.fileName));
  expect(said.map((d) => ts.flattenDiagnosticMessageText(d.messageText, "\n"))).toEqual([]);
}, 60_000);

test.each(of("json").map((b): [string, Block] => [`${b.page}:${b.line}`, b]))(
  "json: %s is JSON",
  (_where, { text }) => {
    JSON.parse(text);
  },
);

test("no block is of a kind that nobody runs, and a drawing holds no command", () => {
  // `typescript` are declarations, which test/docs.test.ts makes of the sources.
  const known = ["console", "sh", "yaml", "ts", "typescript", "json", ""];
  const odd = blocks
    .filter((b) => b.not === null && !known.includes(b.kind))
    .map((b) => `${b.page}:${b.line}: ${b.kind}`);
  expect(odd).toEqual([]);
  const hidden = of("").filter((b) => /^\s*(\$ |fwcheck |npm |sh |sudo |iptables)/m.test(b.text));
  expect(hidden.map((b) => `${b.page}:${b.line}`)).toEqual([]);
});

test("what is not run has a reason, and there is little of it", () => {
  const not = blocks.filter((b) => b.not !== null);
  for (const { not: reason } of not) expect(reason).toMatch(/\w+ \w+/);
  expect(not.length).toBeLessThanOrEqual(6);
});

test("the translation has all that the original has", () => {
  const shapeOf = (page: string): unknown => {
    const text = readFileSync(join(root, page), "utf8");
    const prose = text.replaceAll(FENCE, "");
    const count = (what: RegExp): number => prose.match(what)?.length ?? 0;
    return {
      headings: prose.match(/^#+ /gm),
      console: [...text.matchAll(CONSOLE)].map(([block]) => block),
      rows: count(/^\|/gm),
      items: count(/^- /gm),
      links: [...prose.matchAll(/\]\((?!docker-and-ufw)([^)]+)\)/g)].map((m) => m[1]),
    };
  };
  expect(shapeOf("docs/docker-and-ufw.zh-TW.md")).toEqual(shapeOf("docs/docker-and-ufw.md"));
});

test("links within the manual lead somewhere", () => {
  const slug = (heading: string): string =>
    heading
      .toLowerCase()
      .replaceAll(/[`*]/g, "")
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-");
  const anchors = (path: string): string[] => {
    const seen = new Map<string, number>();
    return [
      ...readFileSync(path, "utf8")
        .replaceAll(FENCE, "")
        .matchAll(/^#+ (.+)$/gm),
    ].map((m) => {
      const name = slug(m[1]!);
      const before = seen.get(name) ?? 0;
      seen.set(name, before + 1);
      return before === 0 ? name : `${name}-${before}`;
    });
  };
  const broken = pages.flatMap((page) =>
    [
      ...readFileSync(join(root, page), "utf8")
        .replaceAll(FENCE, "")
        .matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g),
    ]
      .filter(([, to, anchor]) => {
        const path = to === "" ? join(root, page) : join(root, page, "..", to!);
        return !existsSync(path) || (anchor !== undefined && !anchors(path).includes(anchor));
      })
      .map(([link]) => `${page}: ${link}`),
  );
  expect(broken).toEqual([]);
});

test("--help of every command shows examples, and they run", () => {
  const examples = (help: string): string[] => {
    const foot = help.slice(help.indexOf("\nExamples:"));
    return [...foot.matchAll(/^ {2}(\S.*)$/gm)].map((m) => m[1]!).filter((line) => line.includes("fwcheck "));
  };
  const help = shell.run("fwcheck --help").out;
  const commands = [...help.matchAll(/^ {2}fwcheck (\w+)(?: <\S+>)? {2,}/gm)].map((m) => m[1]!);
  expect(commands).toEqual(
    expect.arrayContaining(["audit", "simulate", "explain", "fix", "collect", "parse"]),
  );
  for (const name of ["", ...commands]) {
    const shown = examples(name === "" ? help : shell.run(`fwcheck ${name} --help`).out);
    expect(shown.length, `fwcheck ${name} --help shows examples`).toBeGreaterThanOrEqual(1);
    // What is for zsh alone is run there, by completion.test.ts.
    for (const line of shown) if (!line.includes("completion zsh")) expectRun(line, `fwcheck ${name} --help`);
  }
}, 120_000);
