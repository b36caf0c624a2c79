import { readFileSync } from "node:fs";
import { format } from "node:util";
import { parse, print } from "nftables-parser-ts";
import ts from "typescript";
import { expect, test } from "vitest";

test("the example of the README prints what the README shows", () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const [, program, output] = /```ts\nimport [^\n]*\n(.*?)```.*?```\n(.*?)```/s.exec(readme)!;
  const lines: string[] = [];
  const log = (...values: unknown[]): void => void lines.push(format(...values));
  const { outputText } = ts.transpileModule(program!, {
    compilerOptions: { target: ts.ScriptTarget.ES2022 },
  });
  new Function("parse", "print", "console", outputText)(parse, print, { log });
  expect(`${lines.join("\n")}\n`).toBe(output);
});
