/**
 * Every expression and statement that docs/nftables.md calls exact is compared with the kernel: the judge draws it, or a
 * hand-written host of the judge has it.
 */
import { type Document, type Expression, parse, type Rule, type Statement } from "nftables-parser-ts";
import { expect, test } from "vitest";
import { EXPRESSIONS, expression } from "../../lib/nftables/expressions.ts";
import { generateNft } from "../kernel/nft/generate.ts";
import { traps } from "../kernel/nft/traps.ts";
import { random } from "../random.ts";
import { EXACT_STATEMENTS } from "./statement-examples.ts";

/** Rulesets that the judge draws: a run of 50,000 packets has about as many. */
const DRAWN = 150;

const texts = (): string[] => [
  ...traps().map(({ scenario }) => scenario.nft ?? ""),
  ...Array.from({ length: DRAWN }, (_, n) => {
    const next = random(n);
    return generateNft(next, n % 3 === 2 ? 6 : 4, "drawn", n % 2 === 1).nft!;
  }),
];

interface Found {
  readonly expressions: Set<string>;
  readonly forms: Set<string>;
}

/** Collects the expressions and the forms of statements of a text. */
function collect(text: string, found: Found): void {
  const { document } = parse(text);
  for (const { family, rule } of rulesOf(document))
    for (const statement of rule.statements) {
      for (const form of formsOf(statement)) found.forms.add(form);
      for (const each of inside(statement)) note(each, family, found);
      if (statement.kind === "verdict")
        for (const inner of statement.rules ?? [])
          for (const each of inner.statements) for (const form of formsOf(each)) found.forms.add(form);
    }
}

function* rulesOf({ entries }: Document): Generator<{ readonly family: string; readonly rule: Rule }> {
  for (const entry of entries)
    if (entry.kind === "table")
      for (const chain of entry.entries)
        if (chain.kind === "chain") for (const rule of chain.rules) yield { family: entry.family, rule };
}

/** Expressions of a statement. */
function inside(given: Statement): (Expression | null)[] {
  switch (given.kind) {
    case "match":
      return [given.left, given.right];
    case "vmap":
    case "set":
      return [given.key];
    case "assignment":
      return [given.value];
    case "nat":
      return [given.address, given.port];
    default:
      return [];
  }
}

function note(given: Expression | null, family: string, found: Found): void {
  switch (given?.kind) {
    case "selector": {
      const operand = expression(given.words, family);
      if (operand !== undefined) found.expressions.add(plain(operand.name));
      return;
    }
    case "concatenation":
      for (const part of given.parts) note(part, family, found);
      return;
    case "binary":
      note(given.left, family, found);
      note(given.right, family, found);
      return;
    case "map":
      note(given.key, family, found);
      return;
  }
}

/** `meta iifname` and `iifname` are one expression. */
const plain = (name: string): string => name.replace(/^meta /, "");

/** Forms of a statement, as far as the rows of the manual distinguish them. */
function formsOf(given: Statement): string[] {
  switch (given.kind) {
    case "match":
      return given.right.kind === "set" || given.right.kind === "reference" ? [`in ${given.right.kind}`] : [];
    case "verdict":
      return [given.verdict];
    case "vmap":
      return [`vmap ${given.map.kind}`];
    case "assignment":
      return [`${given.target.words.join(" ")} set ${valueForm(given.value)}`];
    case "nat": {
      const { address, port } = given;
      const to = [address?.kind === "map" ? " map" : "", port === null ? "" : " port"].join("");
      return [`${[given.type, ...given.words].join(" ")}${to}`];
    }
    case "set":
      return [given.operation];
    case "other":
    case "limit":
      return [given.words[0]!];
    default:
      return [given.kind];
  }
}

/** A new value: a constant, a map, or a function of an expression. */
function valueForm(given: Expression): string {
  switch (given.kind) {
    case "selector":
      return given.words.join(" ");
    case "binary":
      return valueForm(given.left);
    case "map":
      return "map";
    default:
      return "value";
  }
}

const found: Found = { expressions: new Set(), forms: new Set() };
for (const text of texts()) collect(text, found);

test("the judge has every exact expression", () => {
  const exact = EXPRESSIONS.filter(({ opaque }) => opaque === undefined).map(({ name }) => plain(name));
  const lookups = ["fib daddr type", "fib saddr type", "fib saddr . iif oif", "fib saddr . iif oifname"];
  expect([...new Set([...exact, ...lookups])].filter((name) => !found.expressions.has(name))).toEqual([]);
});

test.each(EXACT_STATEMENTS)("the judge has %s", (_name, rule) => {
  const { document } = parse(`table inet t {\n\tchain c {\n\t\t${rule}\n\t}\n}\n`);
  const forms = [...rulesOf(document)].flatMap((each) => each.rule.statements.flatMap(formsOf));
  expect(forms.length).toBeGreaterThan(0);
  expect(forms.filter((form) => !found.forms.has(form))).toEqual([]);
});
