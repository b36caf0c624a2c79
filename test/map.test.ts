/** Checks that the map of CONTRIBUTING.md has one line for each file of lib, cli and grammar, and that named files exist. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const ROOT = new URL("..", import.meta.url).pathname;
const text = readFileSync(`${ROOT}CONTRIBUTING.md`, "utf8");
const map = text.slice(text.indexOf("\n## Map\n"));

/** Files of a folder and its subfolders, without build output. */
const filesOf = (folder: string): string[] =>
  readdirSync(ROOT + folder, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return ["dist", "node_modules"].includes(entry.name) ? [] : filesOf(path);
    return [path];
  });

/** Paths of the map's lines, `- \`FILE\`: text` below the heading `### \`ROOM/\`: title`. */
function mappedFiles(): string[] {
  let room = "";
  return map.split("\n").flatMap((line) => {
    room = /^### `(.+?)`: ./.exec(line)?.[1] ?? room;
    const file = /^- `(.+?)`: ./.exec(line)?.[1];
    return file === undefined ? [] : [room + file];
  });
}

test("the map has exactly one line for each file", () => {
  expect(map.includes("TODO")).toBe(false);
  expect(mappedFiles().sort()).toEqual(["lib", "cli", "grammar"].flatMap(filesOf).sort());
});

test("every path in the text exists", () => {
  const paths = [...text.matchAll(/`((?:lib|cli|grammar|test|docs|examples|\.ci)\/[\w./-]+)`/g)].map(
    (m) => m[1]!,
  );
  expect(paths.filter((path) => !existsSync(ROOT + path))).toEqual([]);
  expect(paths.length).toBeGreaterThan(20);
});

test("every file in the configuration of test:unit exists", () => {
  const config = readFileSync(`${ROOT}test/vitest.unit.config.ts`, "utf8");
  const patterns = [...config.matchAll(/"((?:test|grammar)\/[^"]+\.test\.ts)"/g)].map((m) => m[1]!);
  const files = patterns.filter((pattern) => !pattern.includes("*")).flatMap(alternatives);
  expect(files.filter((file) => !existsSync(ROOT + file))).toEqual([]);
  expect(files.length).toBeGreaterThan(20);
});

/** Returns the paths of a pattern with at most one group: `a/{b,c}.ts`. */
function alternatives(pattern: string): readonly string[] {
  const [, before, group, after] = /^(.*)\{(.*)\}(.*)$/.exec(pattern) ?? [];
  return group === undefined ? [pattern] : group.split(",").map((each) => `${before}${each}${after}`);
}
