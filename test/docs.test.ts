/** Every export of the public API, and each of its members, has a doc comment. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";
import { reference } from "./api.ts";
import { project, root } from "./project.ts";

const ENTRIES = ["lib/index.ts", "grammar/iptables/index.ts"];

/** Exports without a doc comment, by name. */
function undocumented(): { readonly missing: readonly string[]; readonly seen: number } {
  const { program } = project();
  const checker = program.getTypeChecker();
  const missing: string[] = [];
  const seen = new Set<ts.Symbol>();
  const check = (symbol: ts.Symbol, name: string): void => {
    if (symbol.getDocumentationComment(checker).length === 0) missing.push(name);
  };
  const visit = (exported: ts.Symbol): void => {
    const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
    if (seen.has(symbol)) return;
    seen.add(symbol);
    check(symbol, symbol.name);
    if (!(symbol.flags & (ts.SymbolFlags.Interface | ts.SymbolFlags.Class))) return;
    for (const member of symbol.members?.values() ?? []) {
      const declaration = member.declarations?.[0];
      if (declaration === undefined || member.flags & ts.SymbolFlags.Constructor) continue;
      if (ts.getCombinedModifierFlags(declaration) & ts.ModifierFlags.Private) continue;
      check(member, `${symbol.name}.${member.name}`);
    }
  };
  for (const entry of ENTRIES)
    for (const symbol of checker.getExportsOfModule(
      checker.getSymbolAtLocation(program.getSourceFile(join(root, entry))!)!,
    ))
      visit(symbol);
  return { missing, seen: seen.size };
}

test("every export and each of its members has a doc comment", () => {
  const { missing, seen } = undocumented();
  expect(seen).toBeGreaterThan(50);
  expect(missing).toEqual([]);
}, 60_000);

test("docs/api.md is generated from the doc comments (UPDATE=1 writes it again)", () => {
  const text = reference();
  if (process.env.UPDATE === "1") writeFileSync("docs/api.md", text);
  expect(readFileSync("docs/api.md", "utf8")).toBe(text);
}, 60_000);
