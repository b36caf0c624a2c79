/** Checks the map of CONTRIBUTING.md: one line for each file of lib, cli and grammar, and no other line. */
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
