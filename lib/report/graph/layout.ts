/**
 * Places the hooks of a chain graph in the order of the packet path, from top to bottom: INPUT and OUTPUT, the path of
 * the host's own packets, on the left, FORWARD on the right.
 */
import type { Hook } from "../../rules/base-chain.ts";
import type { ChainGraph, GraphCall, GraphHook, GraphStep, PathPoint } from "./graph-model.ts";
import {
  bottomOf,
  type GraphLayout,
  moved,
  type PlacedHook,
  type PlacedPoint,
  type PlacedStage,
  type Point,
  type Rectangle,
} from "./placed.ts";
import { placeStage } from "./table-layout.ts";

/** Height of the title of a hook. */
export const TITLE = 54;
/** Margin inside a hook. */
export const PICTURE_PAD = 18;
const BETWEEN_STAGES = 18;
/** Smallest width of a hook: its caption fits. */
const NARROWEST = 400;
/** Between two hooks. */
const GAP = 72;
/** Between a hook and a point next to it. */
const POINT_GAP = 36;
/** Width and height of the points. */
const POINT_SIZES: Readonly<Record<Exclude<PathPoint, Hook>, readonly [number, number]>> = {
  network: [230, 34],
  routing: [190, 40],
  programs: [230, 34],
  out: [230, 34],
};

/** Places a graph; the time grows with the number of chains per table and hook, which the graph limits. */
export function layout(graph: ChainGraph): GraphLayout {
  const callsByChain = new Map<string, GraphCall[]>();
  for (const call of graph.calls) {
    const known = callsByChain.get(call.from);
    if (known === undefined) callsByChain.set(call.from, [call]);
    else known.push(call);
  }
  return new Composition(
    graph,
    new Map(graph.hooks.map((hook) => [hook.hook, placeHook(hook, callsByChain)])),
  ).layout();
}

/** A hook at (0, 0). */
function placeHook(hook: GraphHook, callsByChain: ReadonlyMap<string, readonly GraphCall[]>): PlacedHook {
  const stages: PlacedStage[] = [];
  let y = TITLE;
  let width = NARROWEST;
  for (const stage of hook.stops) {
    const placed = moved.stage(placeStage(stage, callsByChain), PICTURE_PAD, y);
    stages.push(placed);
    y += placed.height + BETWEEN_STAGES;
    width = Math.max(width, placed.width + 2 * PICTURE_PAD);
  }
  const height = stages.length === 0 ? TITLE + 24 : y - BETWEEN_STAGES + PICTURE_PAD;
  return { hook, stages, x: 0, y: 0, width, height };
}

/** Moves the hooks and the points between them to their positions. */
class Composition {
  private readonly points: PlacedPoint[] = [];
  private readonly hooks = new Map<Hook | null, PlacedHook>();
  private readonly passed: ReadonlySet<PathPoint>;

  constructor(
    private readonly graph: ChainGraph,
    private readonly sized: ReadonlyMap<Hook | null, PlacedHook>,
  ) {
    this.passed = new Set(graph.way.flatMap((s) => (s.passed ? [s.from, s.to] : [])));
  }

  layout(): GraphLayout {
    const width = (hook: Hook): number => this.sized.get(hook)!.width;
    const left = Math.max(width("INPUT"), width("OUTPUT"), POINT_SIZES.programs[0]);
    const inner = left + GAP + width("FORWARD");
    const pathWidth = Math.max(inner, width("PREROUTING"), width("POSTROUTING"));
    // Centres of the left column, of the right one, and of the picture.
    const margin = (pathWidth - inner) / 2;
    const localX = margin + left / 2;
    const forwardX = margin + left + GAP + width("FORWARD") / 2;
    const middle = pathWidth / 2;

    const network = this.putPoint("network", middle, 0);
    const pre = this.putHook("PREROUTING", middle, bottomOf(network) + POINT_GAP);
    const routing = this.putPoint("routing", middle, bottomOf(pre) + POINT_GAP);
    const fork = bottomOf(routing) + GAP;
    const input = this.putHook("INPUT", localX, fork);
    const forward = this.putHook("FORWARD", forwardX, fork);
    const programs = this.putPoint("programs", localX, bottomOf(input) + POINT_GAP);
    const output = this.putHook("OUTPUT", localX, bottomOf(programs) + POINT_GAP);
    const post = this.putHook("POSTROUTING", middle, Math.max(bottomOf(output), bottomOf(forward)) + GAP);
    const out = this.putPoint("out", middle, bottomOf(post) + POINT_GAP);
    const uncalled = this.sized.has(null) ? this.putHook(null, middle, bottomOf(out) + GAP) : null;
    return {
      width: Math.max(pathWidth, uncalled?.width ?? 0),
      height: bottomOf(uncalled ?? out),
      hooks: this.graph.hooks.map(({ hook }) => this.hooks.get(hook)!),
      points: this.points,
      steps: this.graph.way.map((step) => ({
        step,
        points: arrow(step, this.boxOf(step.from), this.boxOf(step.to)),
      })),
    };
  }

  private putPoint(point: Exclude<PathPoint, Hook>, x: number, y: number): Rectangle {
    const [width, height] = POINT_SIZES[point];
    const box = { x: Math.round(x - width / 2), y, width, height };
    this.points.push({ point, passed: this.passed.has(point), ...box });
    return box;
  }

  private putHook(hook: Hook | null, x: number, y: number): Rectangle {
    const sized = this.sized.get(hook)!;
    const placed = moved.hook(sized, Math.round(x - sized.width / 2), Math.round(y));
    this.hooks.set(hook, placed);
    return placed;
  }

  private boxOf(point: PathPoint): Rectangle {
    return this.points.find((each) => each.point === point) ?? this.hooks.get(point as Hook)!;
  }
}

/** Corners of the arrow between two boxes: straight down if they overlap, else sideways first or last. */
function arrow({ from: fromPoint, to: toPoint }: GraphStep, from: Rectangle, to: Rectangle): Point[] {
  const x = from.x + from.width / 2;
  const target = to.x + to.width / 2;
  const down = (from: number, to: number, at: number): Point[] => {
    const start: Point = [at, from];
    return [start, [at, to]];
  };
  if (fromPoint === "routing") {
    if (Math.abs(target - x) < from.width / 2) return down(bottomOf(from), to.y, target);
    const side = target < x ? from.x : from.x + from.width;
    const y = from.y + from.height / 2;
    const start: Point = [side, y];
    return [start, ...down(y, to.y, target)];
  }
  // Two arrows lead to POSTROUTING and must not overlap.
  const [left, right] = toPoint === "POSTROUTING" ? [to.x + 40, to.x + to.width - 40] : [target, target];
  const end = Math.min(Math.max(x, left), right);
  if (Math.abs(end - x) < 1) return down(bottomOf(from), to.y, x);
  return [...down(bottomOf(from), to.y - GAP / 2, x), ...down(to.y - GAP / 2, to.y, end)];
}
