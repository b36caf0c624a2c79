/** Places the chains of one table at one hook: dagre lays out callers and callees from left to right. */
import { layout as dagre, Graph } from "@dagrejs/dagre";
import { chainCaption, rowNumbers } from "./captions.ts";
import type { GraphCall, GraphChain, GraphStage } from "./graph-model.ts";
import {
  bottomOf,
  moved,
  type PlacedCall,
  type PlacedChain,
  type PlacedRow,
  type PlacedStage,
  type Point,
} from "./placed.ts";
import { cut, textColumns } from "./text-width.ts";

/** Width of a character of the rows: 0.602 em of DejaVu Sans Mono at 11 pixels, the widest font of the style sheet. */
export const CELL = 6.63;
/** Width of a character of a card's name. */
const NAME_CELL = 7.25;
/** Height of a row. */
export const RULE_ROW = 18;
/** Height of a card's head. */
export const CARD_HEAD = 27;
/** Height of the line above the cards that names the table. */
export const LABEL = 24;
/** Left of a row's number: the bar with the author's colour. */
const ROW_LEFT = 14;
const EDGE = 12;
const CONDITION_COLUMNS = 50;
const TARGET_COLUMNS = 30;
const NAME_COLUMNS = 40;

/** Left and right edge of a column of cards. */
type CardColumn = readonly [left: number, right: number];

/** A point as dagre returns it. */
interface DagrePoint {
  readonly x: number;
  readonly y: number;
}

/** Indexes of caller and callee. */
type CallPair = readonly [from: number, to: number];

/** Returns a stage at (0, 0), its cards below the label. */
export function placeStage(
  stage: GraphStage,
  callsByChain: ReadonlyMap<string, readonly GraphCall[]>,
): PlacedStage {
  if (stage.chains.length === 0) return { stage, chains: [], calls: [], x: 0, y: 0, width: 250, height: 14 };
  const cards = stage.chains.map(cardOf);
  const indexes = new Map<string, number>(stage.chains.map(({ id }, i) => [id, i]));
  const calls = stage.chains.flatMap(({ id }) => callsByChain.get(id) ?? []);
  const pairs = calls.map(({ from, to }): CallPair => [indexes.get(from)!, indexes.get(to)!]);
  const graph = laidOut(cards, pairs);
  const chains = cards.map((card, i) => {
    const { x, y } = graph.node(String(i)) as DagrePoint;
    // A base chain is at the top of its column, where a reader begins.
    const top = card.chain.policy !== null ? 0 : Math.round(y - card.height / 2);
    return moved.chain(card, Math.round(x - card.width / 2), top + LABEL);
  });
  const columns = columnsOf(chains);
  const placedCalls = calls.map((call, i) => {
    const [from, to] = pairs[i]!;
    const edge = graph.edge(String(from), String(to)) as { points: DagrePoint[] } | undefined;
    return curve(call, chains[from]!, chains[to]!, columns, edge?.points ?? []);
  });
  const lowestCalls = placedCalls.map(({ pieces }) => Math.max(...pieces.map(([[, y]]) => y)) + 6);
  return {
    stage,
    chains,
    calls: placedCalls,
    x: 0,
    y: 0,
    width: Math.max(...chains.map((c) => c.x + c.width)),
    height: Math.max(...chains.map(bottomOf), ...lowestCalls),
  };
}

function laidOut(cards: readonly PlacedChain[], pairs: readonly CallPair[]): Graph {
  const graph = new Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 14, edgesep: 8, ranksep: 54, rankalign: "top", align: "UL" });
  for (const [i, { width, height }] of cards.entries()) graph.setNode(String(i), { width, height });
  for (const [from, to] of routedCalls(cards.length, pairs)) graph.setEdge(String(from), String(to), {});
  // Keep the chains in the order of the rules, even if other orders have fewer crossings.
  dagre(graph, { disableOptimalOrderHeuristic: true });
  return graph;
}

/** Budget of columns that lines may cross: dagre adds a node per crossed column, which costs time. */
const CROSSED_COLUMNS = 400;

/** Calls that dagre routes: all that end in the next column, and longer ones within the budget. */
function routedCalls(count: number, pairs: readonly CallPair[]): readonly CallPair[] {
  const depth = depths(count, pairs);
  const span = ([from, to]: CallPair): number => Math.abs(depth[to]! - depth[from]!);
  let left = CROSSED_COLUMNS;
  return pairs.filter((pair) => {
    if (span(pair) <= 1) return true;
    left -= span(pair) - 1;
    return left >= 0;
  });
}

/** Length of the longest path to each chain; chains of a loop, which the kernel rejects, keep the depth found so far. */
function depths(count: number, pairs: readonly CallPair[]): number[] {
  const out: number[] = new Array(count).fill(0);
  const openCallers: number[] = new Array(count).fill(0);
  const callees: number[][] = Array.from({ length: count }, () => []);
  for (const [from, to] of pairs) {
    openCallers[to]!++;
    callees[from]!.push(to);
  }
  const open = openCallers.flatMap((callers, i) => (callers === 0 ? [i] : []));
  for (let at = open.pop(); at !== undefined; at = open.pop())
    for (const to of callees[at]!) {
      out[to] = Math.max(out[to]!, out[at]! + 1);
      if (--openCallers[to]! === 0) open.push(to);
    }
  return out;
}

function columnsOf(chains: readonly PlacedChain[]): CardColumn[] {
  const rightEdges = new Map<number, number>();
  for (const { x, width } of chains) rightEdges.set(x, Math.max(rightEdges.get(x) ?? 0, x + width));
  return [...rightEdges].sort(([a], [b]) => a - b);
}

/** A curve from the row to the end of its column, past the columns between, to the head of the other card. */
function curve(
  call: GraphCall,
  from: PlacedChain,
  to: PlacedChain,
  columns: readonly CardColumn[],
  route: readonly DagrePoint[],
): PlacedCall {
  const start = from.rows[call.row]!.y;
  const end: Point = [to.x, to.y + CARD_HEAD / 2];
  const edge = from.x + from.width;
  const pieces: [Point, Point][] = [];
  for (const [left, right] of columns) {
    if (left < from.x || left >= to.x) continue;
    // Pass between cards if dagre left room for the line, else straight on.
    const middle = (left + right) / 2;
    const height =
      route.length > 2
        ? nearest(route, middle).y + LABEL
        : start + ((end[1] - start) * (middle - edge)) / (end[0] - edge);
    const isOwnColumn = left === from.x;
    const y = isOwnColumn ? start : Math.round(height);
    const begin: Point = [isOwnColumn ? edge : left, y];
    pieces.push([begin, [right, y]]);
  }
  if (pieces.length === 0) {
    const begin: Point = [edge, start];
    pieces.push([begin, [edge + 8, start]]);
  }
  pieces.push([[end[0] - 8, end[1]], end]);
  return { call, pieces };
}

const nearest = (points: readonly DagrePoint[], x: number): DagrePoint =>
  points.reduce((a, b) => (Math.abs(b.x - x) < Math.abs(a.x - x) ? b : a));

/** A card at (0, 0). */
function cardOf(chain: GraphChain): PlacedChain {
  const name = cut(chain.name, NAME_COLUMNS);
  const caption = chainCaption(chain);
  const rows = chain.rows.map(
    (row, i): PlacedRow => ({
      row,
      y: CARD_HEAD + RULE_ROW * (i + 0.5) + 2,
      number: rowNumbers(row, "–"),
      condition: cut(row.condition, CONDITION_COLUMNS),
      target: cut(row.target, TARGET_COLUMNS),
    }),
  );
  const head = textColumns(name) * NAME_CELL + textColumns(caption) * CELL + 3 * EDGE;
  const left = rowsLeft(rows);
  const widths = rows.map(
    ({ condition, target }) => left + (textColumns(condition) + textColumns(target)) * CELL + 2 * EDGE + 14,
  );
  const width = Math.ceil(Math.max(150, head, ...widths));
  const height = CARD_HEAD + (rows.length === 0 ? 0 : RULE_ROW * rows.length + 6);
  return { chain, name, caption, rows, x: 0, y: 0, width, height };
}

/** Left edge of the conditions of a card. */
export const rowsLeft = (rows: readonly PlacedRow[]): number =>
  ROW_LEFT + Math.max(0, ...rows.map((r) => textColumns(r.number))) * CELL + 8;
