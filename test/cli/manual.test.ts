/**
 * Runs every command that the manual and `--help` show. A fenced block of an unknown language fails; a comment before a
 * block excludes it, with the reason: `<!-- not run: needs root -->`. `UPDATE=1` records the output of commands in the manual.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse as parseYaml } from "yaml";
import { readExpectations, readPolicy } from "../../lib/index.ts";
import { project } from "../project.ts";
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
  /** Reason for not running it, `null` if it is run. */
  readonly notRun: string | null;
}

const FENCE = /(?:^<!-- not run: ([^\n]+?) -->\n+)?^( *)```([^\n]*)\n([\s\S]*?)^ *```$/gm;

const blocksOf = (page: string): Block[] => {
  const text = readFileSync(join(root, page), "utf8");
  return [...text.matchAll(FENCE)].map((m) => ({
    page,
    line: text.slice(0, m.index).split("\n").length,
    kind: m[3]!.trim(),
    text: m[4]!.replaceAll(new RegExp(`^${m[2]}`, "gm"), ""),
    notRun: m[1] ?? null,
  }));
};

const blocks = pages.flatMap(blocksOf);
const of = (kind: string): Block[] => blocks.filter((b) => b.kind === kind && b.notRun === null);

/** Expects exit code 0 or 1 and no error message. */
async function expectRun(line: string, where: string): Promise<void> {
  const { code, err } = await shell.run(line);
  expect([0, 1], `${where}: ${line}\n${err}`).toContain(code);
  expect(err, `${where}: ${line}`).not.toMatch(/^fwcheck: |command not found|No such file|^warning: /m);
}

/** Returns the output of a command, stdout before stderr. */
async function outputOf(command: string): Promise<string> {
  const { out, err } = await shell.run(command);
  return [out, err].flatMap((text) => (text === "" ? [] : [text.trimEnd()])).join("\n");
}

/** A block with `$ COMMAND` and its output. */
const CONSOLE = /```console\n\$ ([^\n]*)\n([\s\S]*?)```/g;

describe("console blocks match the output of their commands", () => {
  test.each(pages)("%s", async (page) => {
    const text = readFileSync(join(root, page), "utf8");
    const parts = [...text.matchAll(CONSOLE)];
    const outputs = await Promise.all(parts.map(([, command]) => outputOf(command!)));
    let next = 0;
    const now = text.replaceAll(
      CONSOLE,
      (_, command: string) => `\`\`\`console\n$ ${command}\n${outputs[next++]}\n\`\`\``,
    );
    if (process.env.UPDATE === "1") writeFileSync(join(root, page), now);
    expect(now).toBe(text);
  });
  test("every console block begins with a command", () => {
    for (const { page, line, text } of of("console")) expect(text, `${page}:${line}`).toMatch(/^\$ \S/);
    expect(of("console").length).toBeGreaterThanOrEqual(10);
  });
});

test.each(of("sh").map((b): [string, Block] => [`${b.page}:${b.line}`, b]))(
  "sh block %s runs",
  async (where, { text }) => {
    // A backslash at the end of a line continues the command.
    for (const line of text.replaceAll(/\\\n\s*/g, " ").split("\n"))
      if (line.trim() !== "" && !line.startsWith("#")) await expectRun(line, where);
  },
);

/** Complete commands in sentences and tables, without placeholders. */
const inline = pages.flatMap((page) =>
  readFileSync(join(root, page), "utf8")
    .replaceAll(FENCE, "")
    .split("\n")
    .flatMap((line, i) =>
      [...line.matchAll(/`([^`]*\bfwcheck (?:audit|simulate|explain|fix|collect|parse|completion)\b[^`]*)`/g)]
        .map((m) => m[1]!.replaceAll("\\|", "|"))
        .filter(
          (command) =>
            /fwcheck (?:collect \S|\w+ [^-\s])/.test(command) &&
            !/\b[A-Z]{2,}\b|\.\.\.|…|[[\]{}]/.test(command),
        )
        .map((command): [string, string] => [`${page}:${i + 1}: ${command}`, command]),
    ),
);
test.each(inline)("inline command %s runs", async (where, command) => {
  await expectRun(command, where);
});
test("the manual has inline commands", () => {
  expect(inline.length).toBeGreaterThanOrEqual(8);
});

test.each(of("yaml").map((b): [string, Block] => [`${b.page}:${b.line}`, b]))(
  "yaml block %s is valid",
  async (where, { text }) => {
    const value = parseYaml(text);
    if (Object.hasOwn(value, "open")) expect(readExpectations(text).length, where).toBeGreaterThan(0);
    else if (Object.hasOwn(value, "required"))
      expect(readPolicy(text).flows.length, where).toBeGreaterThan(0);
    else {
      // A workflow or a playbook: run the shell commands in it.
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
          await expectRun(command.replaceAll(/\{\{ inventory_hostname \}\}/g, "web1"), where);
    }
  },
);

test("ts blocks compile against the types of the package", () => {
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
      : (project().program.getSourceFile(name) ?? getSourceFile.call(host, name, ...rest));
  const program = ts.createProgram(
    [...files.keys()],
    { ...options, noEmit: true, noUnusedLocals: false },
    host,
  );
  const diagnostics = [...files.keys()].flatMap((name) =>
    ts.getPreEmitDiagnostics(program, program.getSourceFile(name)),
  );
  expect(diagnostics.map((d) => ts.flattenDiagnosticMessageText(d.messageText, "\n"))).toEqual([]);
}, 60_000);

test.each(of("json").map((b): [string, Block] => [`${b.page}:${b.line}`, b]))(
  "json block %s is valid",
  (_where, { text }) => {
    JSON.parse(text);
  },
);

test("every block has a known language, and drawings contain no commands", () => {
  // `typescript` blocks are declarations, which test/docs.test.ts generates.
  const known = ["console", "sh", "yaml", "ts", "typescript", "json", ""];
  const odd = blocks
    .filter((b) => b.notRun === null && !known.includes(b.kind))
    .map((b) => `${b.page}:${b.line}: ${b.kind}`);
  expect(odd).toEqual([]);
  const hidden = of("").filter((b) => /^\s*(\$ |fwcheck |npm |sh |sudo |iptables)/m.test(b.text));
  expect(hidden.map((b) => `${b.page}:${b.line}`)).toEqual([]);
});

test("few blocks are not run, each for a reason", () => {
  const notRun = blocks.filter((b) => b.notRun !== null);
  for (const { notRun: reason } of notRun) expect(reason).toMatch(/\w+ \w+/);
  expect(notRun.length).toBeLessThanOrEqual(6);
});

test.each(["docker-and-ufw", "docker-29-nftables"])(
  "the translation of %s has the structure of the original",
  (name) => {
    const shapeOf = (page: string): unknown => {
      const text = readFileSync(join(root, page), "utf8");
      const prose = text.replaceAll(FENCE, "");
      const count = (what: RegExp): number => prose.match(what)?.length ?? 0;
      return {
        headings: prose.match(/^#+ /gm),
        console: [...text.matchAll(CONSOLE)].map(([block]) => block),
        rows: count(/^\|/gm),
        items: count(/^- /gm),
        links: [...prose.matchAll(/\]\((?!docker-)([^)]+)\)/g)].map((m) => m[1]),
      };
    };
    expect(shapeOf(`docs/${name}.zh-TW.md`)).toEqual(shapeOf(`docs/${name}.md`));
  },
);

test("links within the manual have a target", () => {
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

test("--help of every command shows examples that run", async () => {
  const examples = (help: string): string[] => {
    const foot = help.slice(help.indexOf("\nExamples:"));
    return [...foot.matchAll(/^ {2}(\S.*)$/gm)].map((m) => m[1]!).filter((line) => line.includes("fwcheck "));
  };
  const help = (await shell.run("fwcheck --help")).out;
  const commands = [...help.matchAll(/^ {2}fwcheck (\w+)(?: <\S+>)? {2,}/gm)].map((m) => m[1]!);
  expect(commands).toEqual(
    expect.arrayContaining(["audit", "simulate", "explain", "fix", "collect", "parse"]),
  );
  for (const name of ["", ...commands]) {
    const shown = examples(name === "" ? help : (await shell.run(`fwcheck ${name} --help`)).out);
    expect(shown.length, `fwcheck ${name} --help shows examples`).toBeGreaterThanOrEqual(1);
    // completion.test.ts runs the example for zsh.
    for (const line of shown)
      if (!line.includes("completion zsh")) await expectRun(line, `fwcheck ${name} --help`);
  }
}, 120_000);
