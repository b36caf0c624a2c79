/** Parts of a chain graph with their positions. All lengths are in pixels of the picture. */
import type { Hook } from "../../rules/base-chain.ts";
import type {
  GraphCall,
  GraphChain,
  GraphHook,
  GraphRow,
  GraphStage,
  GraphStep,
  PathPoint,
} from "./graph-model.ts";

/** A rectangle; x and y are its upper left corner. */
export interface Rectangle {
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
  /** Vertical middle of its line. */
  readonly y: number;
  /** `3`, `4–9`. */
  readonly number: string;
  /** Its condition, cut to fit. */
  readonly condition: string;
  /** Its target, cut to fit. */
  readonly target: string;
}

/** A chain as a card. */
export interface PlacedChain extends Rectangle {
  readonly chain: GraphChain;
  /** Its name, cut to fit. */
  readonly name: string;
  /** Text to the right of the name: the policy, or the number of rules. */
  readonly caption: string;
  readonly rows: readonly PlacedRow[];
}

/** A call as a curve from the right edge of a row to the head of the called chain's card. */
export interface PlacedCall {
  readonly call: GraphCall;
  /** Ends of straight pieces; consecutive pieces are connected by curves. */
  readonly pieces: readonly (readonly [Point, Point])[];
}

/** A table of a hook, or connection tracking. */
export interface PlacedStage extends Rectangle {
  readonly stage: GraphStage;
  readonly chains: readonly PlacedChain[];
  readonly calls: readonly PlacedCall[];
}

export interface PlacedHook extends Rectangle {
  readonly hook: GraphHook;
  readonly stages: readonly PlacedStage[];
}

/** A point of the packet path between hooks. */
export interface PlacedPoint extends Rectangle {
  readonly point: Exclude<PathPoint, Hook>;
  readonly passed: boolean;
}

/** A section of the packet path as an arrow with square corners. */
export interface PlacedStep {
  readonly step: GraphStep;
  readonly points: readonly Point[];
}

/** The whole picture, from (0, 0). */
export interface GraphLayout {
  readonly width: number;
  readonly height: number;
  readonly hooks: readonly PlacedHook[];
  readonly points: readonly PlacedPoint[];
  readonly steps: readonly PlacedStep[];
}

/** Lower edge of a box. */
export const bottomOf = (box: Rectangle): number => box.y + box.height;

const moveChain = (chain: PlacedChain, dx: number, dy: number): PlacedChain => ({
  ...chain,
  x: chain.x + dx,
  y: chain.y + dy,
  rows: chain.rows.map((row) => ({ ...row, y: row.y + dy })),
});

const moveCall = ({ call, pieces }: PlacedCall, dx: number, dy: number): PlacedCall => {
  const move = ([x, y]: Point): Point => [x + dx, y + dy];
  return { call, pieces: pieces.map(([a, b]) => [move(a), move(b)] as const) };
};

const moveStage = (stage: PlacedStage, dx: number, dy: number): PlacedStage => ({
  ...stage,
  x: stage.x + dx,
  y: stage.y + dy,
  chains: stage.chains.map((chain) => moveChain(chain, dx, dy)),
  calls: stage.calls.map((call) => moveCall(call, dx, dy)),
});

const moveHook = (hook: PlacedHook, dx: number, dy: number): PlacedHook => ({
  ...hook,
  x: hook.x + dx,
  y: hook.y + dy,
  stages: hook.stages.map((stage) => moveStage(stage, dx, dy)),
});

/** Moves a part of the picture with everything in it. */
export const moved = { chain: moveChain, stage: moveStage, hook: moveHook };
