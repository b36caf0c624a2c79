import ts from "typescript";
import { expect, test } from "vitest";
import { knownChain } from "../lib/host/known/chains.ts";
import { MATCHES, TARGETS } from "../lib/iptables/extensions.ts";
import {
  findChainNames,
  findCycles,
  findLanguageAccess,
  findSentences,
  findUpwardImports,
  type Sources,
  type Violation,
} from "./laws.ts";
import { project } from "./project.ts";

/** Number of places in each file that read what only the room of a rule language may read. It may only shrink. */
const LANGUAGE_ACCESS: Readonly<Record<string, number>> = {};

/** Number of sentences in each file of a room that returns data. It may only shrink. */
const SENTENCES: Readonly<Record<string, number>> = {
  // Part of the key of an unknown.
  "lib/reach/shared-unknowns.ts": 1,
  // Names what exceeds the budget.
  "lib/reach/state-splitter.ts": 1,
};

/** Number of imports in each file that do not point downwards. It may only shrink. */
const UPWARD_IMPORTS: Readonly<Record<string, number>> = {};

/** Groups of files that import each other. It may only shrink. */
const CYCLES: readonly (readonly string[])[] = [];

const names = new Set([...MATCHES, ...TARGETS].map(({ name }) => name));

/** Counts violations by file, with the places in the message of a failed assertion. */
function expectExactly(violations: readonly Violation[], allowed: Readonly<Record<string, number>>): void {
  const counts: Record<string, number> = {};
  for (const { file } of violations) counts[file] = (counts[file] ?? 0) + 1;
  const places = violations
    .filter(({ file }) => counts[file] !== allowed[file])
    .map(({ file, line, message }) => `${file}:${line} ${message}`);
  expect(
    counts,
    `lower the number of a file that has fewer violations; repair new ones:\n${places.join("\n")}`,
  ).toEqual(allowed);
}

const isChainOfDockerOrUfw = (text: string): boolean =>
  text === "DOCKER-USER" ||
  (["nat", "filter"] as const).some((table) => ["Docker", "ufw"].includes(knownChain(table, text)?.by ?? ""));

const sources = project();

test("only the rooms of a rule language read its extensions", () => {
  expectExactly(findLanguageAccess(sources, names), LANGUAGE_ACCESS);
}, 120_000);

test("only the registry names chains of Docker and ufw", () => {
  expect(findChainNames(sources, isChainOfDockerOrUfw)).toEqual([]);
});

test("engines return codes, not sentences", () => {
  expectExactly(findSentences(sources), SENTENCES);
});

test("rooms import from rooms below them", () => {
  expectExactly(findUpwardImports(sources), UPWARD_IMPORTS);
});

test("no files import each other", () => {
  expect(findCycles(sources)).toEqual(CYCLES);
});

/** Compiles a program of files in memory. */
function inMemory(files: Readonly<Record<string, string>>): Sources {
  const options: ts.CompilerOptions = {
    noLib: true,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    allowImportingTsExtensions: true,
  };
  const host = ts.createCompilerHost(options);
  const textOf = (name: string): string | undefined => files[name.replace("/memory/", "")];
  const program = ts.createProgram({
    rootNames: Object.keys(files).map((name) => `/memory/${name}`),
    options,
    host: {
      ...host,
      getCurrentDirectory: () => "/memory",
      directoryExists: () => true,
      fileExists: (name) => textOf(name) !== undefined,
      readFile: textOf,
      getSourceFile: (name, target) => {
        const text = textOf(name);
        return text === undefined ? undefined : ts.createSourceFile(name, text, target, true);
      },
    },
  });
  return { program, root: "/memory" };
}

const RULE = `
export interface Extension { readonly name: string }
export interface Match { readonly extension: Extension; readonly values: { readonly [key: string]: unknown } }
export interface Rule { readonly first: Match; readonly targetName: string; readonly matches: readonly Match[] }
export declare function targetName(rule: Rule): string;
`;

test.each([
  ["a property of a match", "rule.first.extension;", 1],
  ["a property of a rule", "rule.matches;", 1],
  ["a destructured rule", "const { matches } = rule;", 1],
  ["a destructured match", "const { values } = rule.first;", 1],
  ["a destructured parameter", "const read = ({ values: given }: Match) => given;", 1],
  ["a comparison of a target", 'targetName(rule) === "DROP";', 1],
  ["a comparison of a variable", 'const to = rule.targetName; to !== "DROP";', 1],
  ["a list of targets", 'const ENDS = ["ACCEPT", "DROP"]; ENDS.includes(targetName(rule));', 1],
  ["a switch", 'switch (rule.targetName) { case "DROP": }', 1],
  ["a match that is named", 'const { name } = rule.first.extension; name === "set";', 2],
  ["the name of a chain", 'targetName(rule) === "DOCKER-USER";', 0],
  ["members of the same name elsewhere", "const other = { values: 1 }; other.values;", 0],
])("the check of extensions finds %s", (_, code, count) => {
  const text = `import { type Match, type Rule, targetName } from "../iptables/rule.ts";
declare const rule: Rule;
${code}`;
  const memory = inMemory({ "lib/iptables/rule.ts": RULE, "lib/audit/planted.ts": text });
  expect(findLanguageAccess(memory, new Set(["ACCEPT", "DROP", "set"])).map(({ line }) => line)).toEqual(
    new Array(count).fill(3),
  );
});

test("the check of chains finds names in comparisons and calls, but not keys and sentences", () => {
  const text = `export const a = (chain: string) => chain === "DOCKER-USER" || ["ufw6-user-input"].includes(chain);
export const b = { "ufw-user-input": "Rules before DOCKER-USER" };
export const c = \`DOCKER\`;`;
  const memory = inMemory({ "lib/audit/planted.ts": text, "lib/host/known/chains.ts": text });
  expect(findChainNames(memory, isChainOfDockerOrUfw)).toEqual([
    { file: "lib/audit/planted.ts", line: 1, message: "names chain DOCKER-USER" },
    { file: "lib/audit/planted.ts", line: 1, message: "names chain ufw6-user-input" },
    { file: "lib/audit/planted.ts", line: 3, message: "names chain DOCKER" },
  ]);
});

test.each([
  ["a reason", 'export const why = "no route leads there";', 1],
  ["a template", `export const why = (chain: string) => \`chain \${chain} is not declared\`;`, 1],
  ["the message of an error", 'throw new RangeError("lists differ in length");', 0],
  ["a key", `export const key = (chain: string, rule: number) => \`limit@\${chain}/\${rule}\`;`, 0],
  ["a type", 'export type Unit = "calls of chains";', 0],
])("the check of sentences treats %s", (_, code, count) => {
  const memory = inMemory({ "lib/path/planted.ts": code, "lib/report/planted.ts": code });
  expect(findSentences(memory).map(({ file }) => file)).toEqual(new Array(count).fill("lib/path/planted.ts"));
});

test("the checks of imports find an upward import, one between the engines and a cycle", () => {
  const memory = inMemory({
    "lib/rules/a.ts": 'import type { B } from "../audit/b.ts"; export type A = B;',
    "lib/audit/b.ts": 'export type B = import("../rules/a.ts").A;',
    "lib/reach/c.ts": 'export * from "../simulate/d.ts";',
    "lib/simulate/d.ts": "export const d = 1;",
  });
  expect(findUpwardImports(memory)).toEqual([
    { file: "lib/rules/a.ts", line: 1, message: "imports lib/audit/b.ts, which is not below lib/rules" },
    { file: "lib/reach/c.ts", line: 1, message: "imports lib/simulate/d.ts, which is not below lib/reach" },
  ]);
  expect(findCycles(memory)).toEqual([["lib/audit/b.ts", "lib/rules/a.ts"]]);
});
