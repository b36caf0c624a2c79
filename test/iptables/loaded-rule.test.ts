/** Rules of large tables: the loader accepts most of them without parsing their values, which are memoized for some. */
import { expect, test } from "vitest";
import { readRuleset } from "../../lib/iptables/load.ts";
import { printRule } from "../../lib/iptables/print.ts";
import { allRules } from "../../lib/rules/ruleset.ts";
import { rulesetOf } from "../builders.ts";
import { random } from "../random.ts";

const filter = (lines: readonly string[]): string =>
  ["*filter", ":INPUT ACCEPT [0:0]", ":own - [0:0]", ...lines, "COMMIT", ""].join("\n");

test("a rule has the same reading after its memoized values are dropped", { timeout: 60_000 }, () => {
  const count = (1 << 17) + 3000;
  const lines = Array.from(
    { length: count },
    (_, i) => `-A INPUT -p udp -m udp --dport ${i % 65_536} -j DROP`,
  );
  const rules = [...allRules(rulesetOf(filter(lines)))];
  const ports = (): number[] => rules.map(({ reading }) => reading.destinationPorts!.value[0]![0]);
  const first = ports();
  expect(first).toEqual(Array.from({ length: count }, (_, i) => i % 65_536));
  expect(ports()).toEqual(first);
});

test("a rule between others is loaded as it is alone", () => {
  const lines = ["tcp", "udp", "17", "! -p tcp"].flatMap((proto) =>
    ["ACCEPT", "DROP", "LOG", "own", "none"].flatMap((target) =>
      ["80", "http", "99999", "80:90", "! 80"].map(
        (port) => `-A INPUT ${proto.startsWith("!") ? proto : `-p ${proto}`} --dport ${port} -j ${target}`,
      ),
    ),
  );
  const read = (rules: readonly string[]): string[] => {
    const { rulesets, diagnostics } = readRuleset([{ name: "t", text: filter(rules) }]);
    const found = new Map(diagnostics.map(({ line, message }) => [line, message]));
    return [...allRules(rulesets[0]!)].map(
      (rule) => `${printRule(rule, rulesets[0]!)} ${rule.action} ${rule.targetName} ${found.get(rule.line)}`,
    );
  };
  const alone = new Map(lines.map((line) => [line, read([line])[0]]));
  const next = random(1);
  const mixed = Array.from({ length: 3000 }, () => lines[Math.floor(next() * lines.length)]!);
  expect(read(mixed)).toEqual(mixed.map((line) => alone.get(line)));
});
