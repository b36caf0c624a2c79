/** The call graph of a ruleset: callers, chains above and below, and the hooks that reach a chain. */
import { expect, test } from "vitest";
import { CallGraph } from "../../lib/rules/call-graph.ts";
import { rulesetsOf } from "../builders.ts";

const rulesets = rulesetsOf(`*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:a - [0:0]
-A PREROUTING -j a
-A OUTPUT -g a
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:a - [0:0]
:b - [0:0]
:c - [0:0]
-A FORWARD -j a
-A a -p tcp -j b
-A a -g b
-A a -j DROP
-A c -j b
COMMIT
`);
const calls = new CallGraph(rulesets[0]!);

test("callers of a chain, in the order of the ruleset", () => {
  expect(calls.callers("filter", "b").map(({ chain, index }) => `${chain} ${index}`)).toEqual([
    "a 1",
    "a 2",
    "c 1",
  ]);
  expect(calls.callers("filter", "c")).toEqual([]);
  expect(calls.callers("mangle", "b")).toEqual([]);
});

test("chains above and below, in the same table only", () => {
  expect([...calls.below("filter", "FORWARD")]).toEqual(["FORWARD", "a", "b"]);
  expect([...calls.above("filter", "b")]).toEqual(["b", "a", "c", "FORWARD"]);
  expect([...calls.below("nat", "a")]).toEqual(["a"]);
  expect([...calls.below("filter", "missing")]).toEqual([]);
});

test("hooks that reach a chain", () => {
  expect(calls.hooks("nat", "a")).toEqual(["PREROUTING", "OUTPUT"]);
  expect(calls.hooks("filter", "b")).toEqual(["FORWARD"]);
  expect(calls.hooks("filter", "c")).toEqual([]);
});

test("a verdict calls no chain", () => {
  const rules = rulesets[0]!.tables.get("filter")!.chains.get("a")!.rules;
  expect(rules.map((rule) => rule.calledChains)).toEqual([["b"], ["b"], []]);
});
