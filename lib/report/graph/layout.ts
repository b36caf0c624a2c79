/**
 * Where everything of a chain graph stands. What calls what is laid out by dagre, table by table, from left to right;
 * the hooks stand as a packet meets them, from the top down: INPUT and OUTPUT, the host's own, on the left, FORWARD
 * beside them. All lengths are in pixels of the picture.
 */
import { layout as dagre, Graph } from "@dagrejs/dagre";
import type { Hook } from "../../rules/base-chain.ts";
import { safe } from "../text/terminal.ts";
import { noteOf } from "./captions.ts";
import type {
  ChainGraph,
  GraphCall,
  GraphChain,
  GraphHook,
  GraphRow,
  GraphStep,
  GraphStop,
  Place,
} from "./graph.ts";

/** A rectangle, by its upper left corner. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** x and y. */
export type Point = readonly [number, number];

/** A row of a card. */
export interface PlacedRow {
  readonly row: GraphRow;
  /** The middle of its line. */
  readonly y: number;
  /** `3`, `4-9`. */
  readonly number: string;
  /** What it asks, cut to fit. */
  readonly asks: string;
  /** Where it goes, cut to fit. */
  readonly target: string;
}

/** A chain as a card. */
export interface PlacedChain extends Box {
  readonly chain: GraphChain;
  /** Its name, cut to fit. */
  readonly name: string;
  /** What stands to the right of the name: the policy, or how many rules it holds. */
  readonly note: string;
  readonly rows: readonly PlacedRow[];
}

/** A call as a curve: from the row's right edge to the head of the called chain's card. */
export interface PlacedCall {
  readonly call: GraphCall;
  /** Ends of straight pieces, in pairs; between a piece and the next runs a curve. */
  readonly pieces: readonly (readonly [Point, Point])[];
}

export interface PlacedStop extends Box {
  readonly stop: GraphStop;
  readonly chains: readonly PlacedChain[];
  readonly calls: readonly PlacedCall[];
}

export interface PlacedHook extends Box {
  readonly hook: GraphHook;
  readonly stops: readonly PlacedStop[];
}

/** What stands between hooks. */
export interface PlacedPlace extends Box {
  readonly place: Exclude<Place, Hook>;
  readonly passed: boolean;
}

/** A step of the way as an arrow with square corners. */
export interface PlacedStep {
  readonly step: GraphStep;
  readonly points: readonly Point[];
}

/** The whole picture, from (0, 0). */
export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly hooks: readonly PlacedHook[];
  readonly places: readonly PlacedPlace[];
  readonly steps: readonly PlacedStep[];
}

/** How wide a character of the rows is: DejaVu Sans Mono's 0.602 em at 11 pixels, the widest of the fonts that are asked for. */
export const CELL = 6.63;
/** The same for a card's name. */
const NAME = 7.25;
export const ROW = 18;
export const HEAD = 27;
/** Left of a row's text: the author's bar and the number. */
const NUMBER = 14;
const EDGE = 12;
const MOST_ASKS = 50;
const MOST_TARGET = 30;
const MOST_NAME = 40;
/** The line above a hook's tables that says its name. */
export const TITLE = 54;
/** The line above a table's cards. */
export const LABEL = 24;
/** Around what a hook holds. */
export const PAD = 18;
const BETWEEN = 18;
/** What a hook says of itself fits in. */
const NARROWEST = 400;
/** Between two hooks. */
const GAP = 72;
const PILL: Readonly<Record<Exclude<Place, Hook>, readonly [number, number]>> = {
  network: [230, 34],
  routing: [190, 40],
  programs: [230, 34],
  out: [230, 34],
};

/** How many columns a text takes in a font of one width, as far as can be told without the font. */
export function cells(text: string): number {
  let out = 0;
  for (const c of text) out += c.codePointAt(0)! >= 0x1100 ? 2 : 1;
  return out;
}

/** Text that is safe to show, of at most so many columns. */
export function cut(text: string, most: number): string {
  const shown = safe(text);
  if (cells(shown) <= most) return shown;
  let out = "";
  let width = 1;
  for (const c of shown) {
    width += cells(c);
    if (width > most) break;
    out += c;
  }
  return `${out}…`;
}

/** Lays a graph out; the time grows with the number of chains in one table at one hook, which the graph limits. */
export function layout(graph: ChainGraph): Layout {
  const calls = new Map<string, GraphCall[]>();
  for (const call of graph.calls) {
    const known = calls.get(call.from);
    if (known === undefined) calls.set(call.from, [call]);
    else known.push(call);
  }
  const sizes = new Map<Hook | null, PlacedHook>();
  for (const hook of graph.hooks) sizes.set(hook.hook, hookAt(hook, calls));
  return composed(graph, sizes);
}

/** A hook at (0, 0). */
function hookAt(hook: GraphHook, calls: ReadonlyMap<string, readonly GraphCall[]>): PlacedHook {
  const stops: PlacedStop[] = [];
  let y = TITLE;
  let width = NARROWEST;
  for (const stop of hook.stops) {
    const placed = moveStop(stopAt(stop, calls), PAD, y);
    stops.push(placed);
    y += placed.height + BETWEEN;
    width = Math.max(width, placed.width + 2 * PAD);
  }
  const height = stops.length === 0 ? TITLE + 24 : y - BETWEEN + PAD;
  return { hook, stops, x: 0, y: 0, width, height };
}

/** A table's cards at (0, 0), below their label. */
function stopAt(stop: GraphStop, calls: ReadonlyMap<string, readonly GraphCall[]>): PlacedStop {
  if (stop.chains.length === 0) return { stop, chains: [], calls: [], x: 0, y: 0, width: 250, height: 14 };
  const graph = new Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 14, edgesep: 8, ranksep: 54, rankalign: "top", align: "UL" });
  const cards = stop.chains.map(cardOf);
  const numbers = new Map<string, number>(stop.chains.map(({ id }, i) => [id, i]));
  for (const [i, { width, height }] of cards.entries()) graph.setNode(String(i), { width, height });
  const drawn = stop.chains.flatMap(({ id }) => calls.get(id) ?? []);
  const pairs = drawn.map(({ from, to }): Pair => [numbers.get(from)!, numbers.get(to)!]);
  for (const [from, to] of roomFor(stop.chains.length, pairs)) graph.setEdge(String(from), String(to), {});
  // The order of the rules is the order in which chains stand: it is not to be traded for fewer crossings.
  dagre(graph, { disableOptimalOrderHeuristic: true });
  const chains = cards.map((card, i) => {
    const { x, y } = graph.node(String(i)) as Point2;
    // A built-in chain begins its column: where a reader begins, too.
    const base = card.chain.policy !== null;
    const up = base ? 0 : Math.round(y - card.height / 2);
    return moveCard(card, Math.round(x - card.width / 2), up + LABEL);
  });
  const right = Math.max(...chains.map((c) => c.x + c.width));
  const columns = columnsOf(chains);
  const placed = drawn.map((call, i) => {
    const [from, to] = pairs[i]!;
    const { points } = (graph.edge(String(from), String(to)) ?? { points: [] }) as { points: Point2[] };
    return curve(call, chains[from]!, chains[to]!, columns, points);
  });
  const lowest = placed.map(({ pieces }) => Math.max(...pieces.map(([[, y]]) => y)) + 6);
  const bottom = Math.max(...chains.map((c) => c.y + c.height), ...lowest);
  return { stop, chains, calls: placed, x: 0, y: 0, width: right, height: bottom };
}

/** Caller and called, by number. */
type Pair = readonly [number, number];

/** How many columns all lines together may pass between their ends: dagre makes room in each, which takes its time. */
const PASSING = 400;

/** The calls that dagre is told of: all that lead to the next column, and of the longer ones as many as it can bear. */
function roomFor(count: number, pairs: readonly Pair[]): readonly Pair[] {
  const depth = depths(count, pairs);
  const span = ([from, to]: Pair): number => Math.abs(depth[to]! - depth[from]!);
  let left = PASSING;
  return pairs.filter((pair) => {
    if (span(pair) <= 1) return true;
    left -= span(pair) - 1;
    return left >= 0;
  });
}

/** The longest way to each chain; chains in a loop, which the kernel refuses, stand where they were met. */
function depths(count: number, pairs: readonly Pair[]): number[] {
  const out: number[] = new Array(count).fill(0);
  const waiting: number[] = new Array(count).fill(0);
  const next: number[][] = Array.from({ length: count }, () => []);
  for (const [from, to] of pairs) {
    waiting[to]!++;
    next[from]!.push(to);
  }
  const open = waiting.flatMap((callers, i) => (callers === 0 ? [i] : []));
  for (let at = open.pop(); at !== undefined; at = open.pop())
    for (const to of next[at]!) {
      out[to] = Math.max(out[to]!, out[at]! + 1);
      if (--waiting[to]! === 0) open.push(to);
    }
  return out;
}

interface Point2 {
  readonly x: number;
  readonly y: number;
}

/** Left and right edge of each column of cards. */
function columnsOf(chains: readonly PlacedChain[]): (readonly [number, number])[] {
  const by = new Map<number, number>();
  for (const { x, width } of chains) by.set(x, Math.max(by.get(x) ?? 0, x + width));
  return [...by].sort(([a], [b]) => a - b);
}

/** From the row straight to where its column ends, past the columns between, to the head of the other card. */
function curve(
  call: GraphCall,
  from: PlacedChain,
  to: PlacedChain,
  columns: readonly (readonly [number, number])[],
  points: readonly Point2[],
): PlacedCall {
  const start = from.rows[call.row]!.y;
  const end: Point = [to.x, to.y + HEAD / 2];
  const edge = from.x + from.width;
  const pieces: [Point, Point][] = [];
  for (const [left, right] of columns) {
    if (left < from.x || left >= to.x) continue;
    // Past other columns where dagre left room between their cards, else straight on.
    const middle = (left + right) / 2;
    const room =
      points.length > 2
        ? nearest(points, middle).y + LABEL
        : start + ((end[1] - start) * (middle - edge)) / (end[0] - edge);
    const y = left === from.x ? start : Math.round(room);
    pieces.push([
      [left === from.x ? edge : left, y],
      [right, y],
    ]);
  }
  if (pieces.length === 0)
    pieces.push([
      [edge, start],
      [edge + 8, start],
    ]);
  pieces.push([[end[0] - 8, end[1]], end]);
  return { call, pieces };
}

const nearest = (points: readonly Point2[], x: number): Point2 =>
  points.reduce((a, b) => (Math.abs(b.x - x) < Math.abs(a.x - x) ? b : a));

/** A card at (0, 0). */
function cardOf(chain: GraphChain): PlacedChain {
  const name = cut(chain.name, MOST_NAME);
  const note = noteOf(chain);
  const rows = chain.rows.map((row, i): PlacedRow => {
    const { first, last } = row;
    return {
      row,
      y: HEAD + ROW * (i + 0.5) + 2,
      number: first === last ? String(first) : `${first}–${last}`,
      asks: cut(row.asks, MOST_ASKS),
      target: cut(row.target, MOST_TARGET),
    };
  });
  const head = cells(name) * NAME + cells(note) * CELL + 3 * EDGE;
  const left = rowsLeft(rows);
  const widths = rows.map((r) => left + cells(r.asks) * CELL + cells(r.target) * CELL + 2 * EDGE + 14);
  const width = Math.ceil(Math.max(150, head, ...widths));
  const height = HEAD + (rows.length === 0 ? 0 : ROW * rows.length + 6);
  return { chain, name, note, rows, x: 0, y: 0, width, height };
}

/** Where the rows' text begins. */
export const rowsLeft = (rows: readonly PlacedRow[]): number =>
  NUMBER + Math.max(0, ...rows.map((r) => cells(r.number))) * CELL + 8;

const moveCard = (card: PlacedChain, x: number, y: number): PlacedChain => ({
  ...card,
  x: card.x + x,
  y: card.y + y,
  rows: card.rows.map((row) => ({ ...row, y: row.y + y })),
});

const moveCall = ({ call, pieces }: PlacedCall, dx: number, dy: number): PlacedCall => {
  const move = ([x, y]: Point): Point => [x + dx, y + dy];
  return { call, pieces: pieces.map(([a, b]) => [move(a), move(b)] as const) };
};

const moveStop = (stop: PlacedStop, x: number, y: number): PlacedStop => ({
  ...stop,
  x: stop.x + x,
  y: stop.y + y,
  chains: stop.chains.map((card) => moveCard(card, x, y)),
  calls: stop.calls.map((call) => moveCall(call, x, y)),
});

const moveHook = (hook: PlacedHook, x: number, y: number): PlacedHook => ({
  ...hook,
  x: hook.x + x,
  y: hook.y + y,
  stops: hook.stops.map((stop) => moveStop(stop, x, y)),
});

/** The hooks and what lies between in their places. */
function composed(graph: ChainGraph, sizes: ReadonlyMap<Hook | null, PlacedHook>): Layout {
  const of = (hook: Hook): PlacedHook => sizes.get(hook)!;
  const own = Math.max(of("INPUT").width, of("OUTPUT").width, PILL.programs[0]);
  const beside = of("FORWARD").width;
  const inner = own + GAP + beside;
  const width = Math.max(inner, of("PREROUTING").width, of("POSTROUTING").width);
  const left = (width - inner) / 2;
  /** The middle of the host's own column, of the other, and between them. */
  const [x1, x2] = [left + own / 2, left + own + GAP + beside / 2];
  const middle = width / 2;
  const places: PlacedPlace[] = [];
  const hooks = new Map<Hook | null, PlacedHook>();
  const passed = new Set(graph.way.flatMap((s) => (s.passed ? [s.from, s.to] : [])));
  const put = (place: Exclude<Place, Hook>, x: number, y: number): Box => {
    const [w, h] = PILL[place];
    const box = { x: Math.round(x - w / 2), y, width: w, height: h };
    places.push({ place, passed: passed.has(place), ...box });
    return box;
  };
  const stand = (hook: Hook, x: number, y: number): Box => {
    const placed = moveHook(of(hook), Math.round(x - of(hook).width / 2), Math.round(y));
    hooks.set(hook, placed);
    return placed;
  };
  const under = (box: Box): number => box.y + box.height;
  const network = put("network", middle, 0);
  const pre = stand("PREROUTING", middle, under(network) + 36);
  const routing = put("routing", middle, under(pre) + 36);
  const fork = under(routing) + GAP;
  const input = stand("INPUT", x1, fork);
  const forward = stand("FORWARD", x2, fork);
  const programs = put("programs", x1, under(input) + 36);
  const output = stand("OUTPUT", x1, under(programs) + 36);
  const post = stand("POSTROUTING", middle, Math.max(under(output), under(forward)) + GAP);
  const out = put("out", middle, under(post) + 36);
  let bottom = under(out);
  const lost = sizes.get(null);
  if (lost !== undefined) {
    const placed = moveHook(lost, Math.round(middle - lost.width / 2), bottom + GAP);
    hooks.set(null, placed);
    bottom = under(placed);
  }
  const boxes = new Map<Place, Box>([...places.map((p): [Place, Box] => [p.place, p])]);
  for (const [hook, box] of hooks) if (hook !== null) boxes.set(hook, box);
  const total = Math.max(width, lost?.width ?? 0);
  return {
    width: total,
    height: bottom,
    hooks: graph.hooks.map(({ hook }) => hooks.get(hook)!),
    places,
    steps: graph.way.map((step) => ({
      step,
      points: arrow(step, boxes.get(step.from)!, boxes.get(step.to)!),
    })),
  };
}

/** Between two places: straight down where they overlap, else sideways first or last. */
function arrow({ from: at, to: next }: GraphStep, from: Box, to: Box): Point[] {
  const [x, bottom, top] = [from.x + from.width / 2, from.y + from.height, to.y];
  const middle = to.x + to.width / 2;
  if (at === "routing") {
    const side = middle < x ? from.x : from.x + from.width;
    const y = from.y + from.height / 2;
    return Math.abs(middle - x) < from.width / 2
      ? [
          [middle, bottom],
          [middle, top],
        ]
      : [
          [side, y],
          [middle, y],
          [middle, top],
        ];
  }
  // Two ways lead to POSTROUTING, and come in beside each other.
  const [left, right] = next === "POSTROUTING" ? [to.x + 40, to.x + to.width - 40] : [middle, middle];
  const end = Math.min(Math.max(x, left), right);
  return Math.abs(end - x) < 1
    ? [
        [x, bottom],
        [x, top],
      ]
    : [
        [x, bottom],
        [x, top - GAP / 2],
        [end, top - GAP / 2],
        [end, top],
      ];
}
