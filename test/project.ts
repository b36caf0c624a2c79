/** The TypeScript program of the sources, for tests that examine code, types and doc comments. */
import { resolve } from "node:path";
import ts from "typescript";
import type { Sources } from "./laws.ts";

export const root = resolve(import.meta.dirname, "..");

let sources: Sources | undefined;

/** Returns the program of tsconfig.json. Test files that share a process share it: it takes seconds. */
export function project(): Sources {
  if (sources !== undefined) return sources;
  const { config } = ts.readConfigFile(resolve(root, "tsconfig.json"), ts.sys.readFile);
  const { options, fileNames } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  sources = { program: ts.createProgram(fileNames, options), root };
  return sources;
}
