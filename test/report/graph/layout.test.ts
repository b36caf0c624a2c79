/** The layout of a chain graph: hooks in the order of the packet path, and no overlaps. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type ChainGraph, chainGraph, graphSvg, readHost } from "fwcheck";
import { describe, expect, test } from "vitest";
import { layout } from "../../../lib/report/graph/layout.ts";
import type { PlacedHook, Rectangle } from "../../../lib/report/graph/placed.ts";
import { rulesetsOf } from "../../builders.ts";
import { capture, examples, shared } from "../../capture.ts";

const over = (a: Rectangle, b: Rectangle): boolean =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
const inside = (a: Rectangle, b: Rectangle): boolean =>
  a.x >= b.x && a.y >= b.y && a.x + a.width <= b.x + b.width && a.y + a.height <= b.y + b.height;
const middle = ({ x, width }: Rectangle): number => x + width / 2;
const bottom = ({ y, height }: Rectangle): number => y + height;

function overlaps(boxes: readonly Rectangle[]): number {
  return boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) => over(a, b))).length;
}

function checkLayout(graph: ChainGraph): void {
  const placed = layout(graph);
  const page = { x: 0, y: 0, width: placed.width, height: placed.height };
  expect(overlaps([...placed.hooks, ...placed.points])).toBe(0);
  for (const box of [...placed.hooks, ...placed.points]) expect(inside(box, page)).toBe(true);
  for (const hook of placed.hooks) {
    const cards = hook.stages.flatMap(({ chains }) => chains);
    expect(overlaps(cards)).toBe(0);
    for (const card of cards) {
      expect(inside(card, hook)).toBe(true);
      for (const { y } of card.rows) expect(y > card.y && y < bottom(card)).toBe(true);
    }
    // Tables are below each other, in the order of evaluation.
    for (const [i, stage] of hook.stages.entries())
      if (i > 0) expect(stage.y).toBeGreaterThanOrEqual(bottom(hook.stages[i - 1]!));
    for (const { call, pieces } of hook.stages.flatMap(({ calls }) => calls)) {
      const [from, to] = [call.from, call.to].map((id) => cards.find(({ chain }) => chain.id === id)!);
      expect(pieces[0]![0]).toEqual([from!.x + from!.width, from!.rows[call.row]!.y]);
      const [x, y] = pieces.at(-1)![1];
      expect(x).toBe(to!.x);
      expect(y > to!.y && y < bottom(to!)).toBe(true);
    }
  }
  inOrder(placed.hooks, new Map(placed.points.map((p) => [p.point, p])));
}

function inOrder(hooks: readonly PlacedHook[], points: ReadonlyMap<string, Rectangle>): void {
  const of = (name: string): Rectangle => hooks.find(({ hook }) => hook.hook === name) ?? points.get(name)!;
  const below = (...names: string[]): void => {
    for (const [i, name] of names.entries())
      if (i > 0)
        expect(of(name).y, `${name} below ${names[i - 1]}`).toBeGreaterThan(bottom(of(names[i - 1]!)));
  };
  below("network", "PREROUTING", "routing", "INPUT", "programs", "OUTPUT", "POSTROUTING", "out");
  below("routing", "FORWARD", "POSTROUTING");
  // INPUT and FORWARD are alternatives, side by side; OUTPUT is in the column of INPUT.
  expect(of("INPUT").y).toBe(of("FORWARD").y);
  expect(of("INPUT").x + of("INPUT").width).toBeLessThan(of("FORWARD").x);
  expect(Math.abs(middle(of("INPUT")) - middle(of("OUTPUT")))).toBeLessThanOrEqual(1);
}

describe.each(["ufw-docker-20.10", "ufw-docker-28.5"])("%s", (name) => {
  const { rulesets, host } = capture(join(examples, name));
  test.each(rulesets)("IPv$family", (ruleset) => {
    checkLayout(chainGraph(ruleset, host));
    checkLayout(chainGraph(ruleset, host, { all: true }));
  });
});

const folder = join(shared, "rulesets");
describe.skipIf(!existsSync(folder))("real rulesets", () => {
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => name !== "README.md") : [];
  test.each(names)("%s", (name) => {
    const rulesets = rulesetsOf(readFileSync(join(folder, name), "utf8"), { name });
    const host = readHost({ complete: true }, rulesets);
    for (const ruleset of rulesets) checkLayout(chainGraph(ruleset, host));
  });
});

/** A graph with more calls than the layout has time for. */
function crowdedGraph(count: number, calls: (i: number) => readonly number[]): ChainGraph {
  const names = Array.from({ length: count }, (_, i) => `${"abcdefgh"[i % 8]}${"xyz"[i % 3]}-${i}`);
  const lines = ["*filter", ":FORWARD DROP [0:0]", ...names.map((name) => `:${name} - [0:0]`)];
  lines.push(`-A FORWARD -j ${names[0]}`);
  for (const [i, name] of names.entries()) {
    for (const to of calls(i)) if (to < count) lines.push(`-A ${name} -i eth${to % 7} -j ${names[to]}`);
    lines.push(`-A ${name} -j DROP`);
  }
  const rulesets = rulesetsOf(`${[...lines, "COMMIT"].join("\n")}\n`);
  return chainGraph(rulesets[0]!, readHost({ complete: true }, rulesets), { all: true });
}

test.each([
  [
    "each chain calls all later chains",
    100,
    (i: number) => Array.from({ length: 100 - i }, (_, k) => i + k + 1),
  ],
  ["each chain calls the next", 500, (i: number) => [i + 1]],
  ["each chain calls three distant chains", 420, (i: number) => [2 * i + 1, 2 * i + 2, i + 97]],
] as const)(
  "%s: drawn within the limits",
  (_, count, calls) => {
    const graph = crowdedGraph(count, calls);
    const start = performance.now();
    const svg = graphSvg(graph);
    expect(performance.now() - start).toBeLessThan(60_000);
    expect(svg.length).toBeLessThan(8_000_000);
    expect(graph.notes.join()).toMatch(/without a line|folded/);
    checkLayout(graph);
  },
  120_000,
);
