/** Plans of shapes: a rule that fits one has the faults and the members that reading its statements gives. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { type Document, parse, type Rule as RuleSyntax } from "nftables-parser-ts";
import { expect, test } from "vitest";
import { CommandRunner } from "../../lib/nftables/command-runner.ts";
import type { Report } from "../../lib/nftables/scope.ts";
import { TableLoader } from "../../lib/nftables/table-loader.ts";

/** Returns a rule whose shape no other rule has, so that no plan is made for it. */
const alone = (rule: RuleSyntax): RuleSyntax => {
  const shape = Object.assign(Object.create(Object.getPrototypeOf(rule.shape)), rule.shape);
  return Object.create(rule, { shape: { value: shape } });
};

const withoutSharing = ({ entries }: Document): Document => ({
  entries: entries.map((entry) =>
    entry.kind !== "table"
      ? entry
      : {
          ...entry,
          entries: entry.entries.map((each) =>
            each.kind === "chain" ? { ...each, rules: each.rules.map(alone) } : each,
          ),
        },
  ),
});

/** Loads a document: faults, and the members of each rule that are collected at loading. */
function loaded(document: Document): unknown {
  const faults: unknown[] = [];
  const report: Report = (message, found, at) => faults.push([message, found, at?.line, at?.column]);
  const runner = new CommandRunner(report);
  runner.run(document);
  const tables = [...runner.tables.values()].map((draft) => {
    const { table, unlisted } = new TableLoader(draft, report, true).load();
    const rules = [...table.chains.values()].flatMap((chain) =>
      chain.rules.map(({ action, traits, calledChains }) => [chain.name, action, traits, calledChains]),
    );
    return { rules, unlisted: new Set(unlisted) };
  });
  return { faults, tables };
}

const recorded = readFileSync(
  new URL("../../grammar/nftables/test/recorded-1.1.7.txt", import.meta.url),
  "utf8",
);
const printed = recorded.split("\n").filter((line) => /^\t\t(?!type |elements|flags)\S/.test(line));
/** Forms that the corpus lacks. */
const MORE = [
  'tcp dport "ssh" accept',
  'iifname < "eth0" drop',
  "ip saddr 10.0.0.1 jump other",
  "dnat to 10.0.0.1:80",
];
const lines = [
  ...new Set([...printed, ...MORE].map((line) => line.replace(/(jump|goto) [\w-]+/, "$1 other"))),
];
const sets = [...recorded.matchAll(/^\t(set|map) (\S+) \{\n\t\ttype [^\n]*\n/gm)].map(([header]) => header);

const VALUE = /"[^"]*"|@\w+|\b(?:jump|goto) [\w-]+|(?<![\w.-])\d[\w.:/-]*/g;
const POOLS: readonly (readonly [RegExp, readonly string[]])[] = [
  [/^"/, ['"80"', '"ssh"', '"eth0"', '"eth*"', '"a-name-that-is-too-long"', '""', '"over"', '"\\*"']],
  [/^@/, ["@missing", ...sets.map((header) => `@${header.split(" ")[1]}`)]],
  [/^(?:jump|goto)/, ["jump other", "goto other", "jump missing"]],
  [/[-]/, ["1-2", "2-1", "10.0.0.1-10.0.0.9", "10.0.0.9-10.0.0.1", "1-70000"]],
  [/\//, ["10.0.0.0/8", "10.0.0.0/33", "0/0", "2001:db8::/32", "64/8"]],
  [
    /./,
    [
      "0",
      "7",
      "010",
      "08",
      "80",
      "70000",
      "4294967296",
      "0x10",
      "1h",
      "10.0.0.1",
      "10.0.0.256",
      "fe80::1",
      "10.0.0",
    ],
  ],
];

/** A line several times, with other values. */
const variants = fc
  .tuple(
    fc.constantFrom(...lines),
    fc.array(fc.array(fc.nat(), { minLength: 6, maxLength: 6 }), { maxLength: 7 }),
  )
  .map(([line, choices]) => [
    ...[line, line, line],
    ...choices.map((numbers) => {
      let i = 0;
      return line.replaceAll(VALUE, (value) => {
        const n = numbers[i++ % numbers.length]!;
        const pool = POOLS.find(([pattern]) => pattern.test(value))![1];
        return n % 3 === 0 ? value : pool[n % pool.length]!;
      });
    }),
  ]);

const text = fc
  .tuple(fc.constantFrom("ip", "ip6", "inet"), fc.array(variants, { minLength: 1, maxLength: 4 }))
  .map(
    ([family, groups]) =>
      `table ${family} t {\n${sets.join("\t}\n\n")}\t}\n\n\tchain other {\n\t}\n\n\tchain c {\n${groups.flat().join("\n")}\n\t}\n}\n`,
  );

test("rules that share a shape are loaded as those that do not", () => {
  fc.assert(
    fc.property(text, (input) => {
      const { document } = parse(input);
      expect(loaded(document)).toEqual(loaded(withoutSharing(document)));
    }),
    { numRuns: Number(process.env.PROPERTY_RUNS ?? 200) },
  );
});
