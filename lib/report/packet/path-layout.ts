/** Positions in the picture of a packet path, in units of the picture. */
import type { Hook } from "../../rules/base-chain.ts";
import { wrapped } from "../text/terminal.ts";
import type { HookLine, HookPath, HookVisit } from "./hook-path.ts";

/** Width of the picture. */
export const PICTURE_WIDTH = 960;
export const EDGE = 14;
/** Left edge and width of the hooks' boxes. */
const BOXES: Readonly<Record<Hook, { readonly x: number; readonly w: number }>> = {
  PREROUTING: { x: EDGE, w: 274 },
  INPUT: { x: 346, w: 300 },
  FORWARD: { x: 346, w: 300 },
  OUTPUT: { x: 704, w: 242 },
  POSTROUTING: { x: 704, w: 242 },
};
/** Height of a box's title, of its list of tables, of a row. */
export const BOX_HEAD = 30;
export const TABLES_HEIGHT = 24;
export const EVENT_ROW = 16;
/** Margin inside a box. */
export const BOX_PAD = 12;
/** Between the upper hooks (INPUT, OUTPUT) and the lower ones. */
const GAP = 44;
/** Width of a character of the fixed-width font at 11.5 units. */
export const CHAR = 7;

/** A point to which lines are attached. */
export interface Anchor {
  readonly x: number;
  readonly y: number;
}

/** A line of a box, cut to its width. */
export interface BoxRow extends HookLine {
  /** Indentation in characters. */
  readonly indent: number;
}

/** The box of a hook. */
export interface HookBox extends HookVisit {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
  readonly rows: readonly BoxRow[];
  readonly intendedRows: readonly BoxRow[];
}

/** Everything to which lines are attached. */
export interface MapLayout {
  readonly boxes: Readonly<Record<Hook, HookBox>>;
  /** The interface on which the packet arrives. */
  readonly source: Anchor;
  /** The routing decision. */
  readonly fork: Anchor;
  /** The programs of the host. */
  readonly host: Anchor;
  /** The interface through which the packet leaves. */
  readonly exit: Anchor;
  /** Lower edge of everything. */
  readonly floor: number;
}

/** Middle of a box's title: lines run through it. */
export const middleOf = (box: HookBox): Anchor => ({ x: box.x + box.w / 2, y: box.y + BOX_HEAD / 2 });

/** Height of the frame with the intended verdict. */
const intendedHeight = (rows: number): number => (rows === 0 ? 0 : (rows + 1) * EVENT_ROW + 18);

/** Vertical middle of the first row of the intended verdict. */
export const intendedTop = (box: HookBox): number =>
  box.y + box.h - 8 - (box.intendedRows.length + 1) * EVENT_ROW;

/** Places the boxes of a path below `top`. */
export function mapLayout(path: HookPath, top: number): MapLayout {
  const box = (hook: Hook, y: number): HookBox => {
    const visit = path.visits[hook];
    const { x, w } = BOXES[hook];
    const columns = Math.floor((w - 2 * BOX_PAD) / CHAR);
    const rows = boxRows(visit.lines, columns);
    const intendedRows = boxRows(visit.intended, columns - 2);
    const rowsHeight = rows.length * EVENT_ROW + (rows.length > 0 ? 8 : 0);
    const h = BOX_HEAD + TABLES_HEIGHT + rowsHeight + intendedHeight(intendedRows.length);
    return { ...visit, x, y, w, h, rows, intendedRows };
  };
  const INPUT = box("INPUT", top);
  const OUTPUT = box("OUTPUT", top);
  const lower = top + Math.max(INPUT.h, OUTPUT.h) + GAP;
  const PREROUTING = box("PREROUTING", lower);
  const FORWARD = box("FORWARD", lower);
  const POSTROUTING = box("POSTROUTING", lower);
  const exit = { x: middleOf(POSTROUTING).x, y: POSTROUTING.y + POSTROUTING.h + 46 };
  return {
    boxes: { PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING },
    source: { x: PREROUTING.x + 78, y: middleOf(INPUT).y },
    fork: { x: (PREROUTING.x + PREROUTING.w + FORWARD.x) / 2, y: middleOf(FORWARD).y },
    host: { x: (INPUT.x + INPUT.w + OUTPUT.x) / 2, y: middleOf(INPUT).y },
    exit,
    floor: Math.max(PREROUTING.y + PREROUTING.h, FORWARD.y + FORWARD.h, exit.y + 24),
  };
}

/** Wraps lines to a number of columns. Lines about rules are cut instead: their line number is in the same row. */
function boxRows(lines: readonly HookLine[], columns: number): BoxRow[] {
  return lines.flatMap((line): BoxRow[] => {
    const indent = line.kind === "change" ? 2 : Math.min(10, 2 * Math.max(0, line.depth - 1));
    const room = columns - indent;
    if (line.line !== null)
      return [{ ...line, indent, text: cutMiddle(line.text, room - String(line.line).length - 2) }];
    return wrappedLine(line, room).map((text, i) => ({
      ...line,
      indent: i === 0 ? indent : indent + 2,
      text: cutMiddle(text, i === 0 ? room : room - 2),
    }));
  });
}

/** Wraps a line; a change is broken at its arrow. */
function wrappedLine({ kind, text }: HookLine, room: number): string[] {
  const shown = text.replace(" -> ", " → ");
  if (shown.length <= room) return [shown];
  const [from, to] = text.split(" -> ");
  return to !== undefined && kind === "change" ? [from!, `→ ${to}`] : wrapped(shown, room - 2);
}

/** Cuts the middle of a text that is too long. */
export const cutMiddle = (text: string, columns: number): string =>
  text.length <= columns
    ? text
    : `${text.slice(0, Math.ceil((columns - 1) / 2))}…${text.slice(text.length - Math.floor((columns - 1) / 2))}`;

/** Returns the line through hooks, to `last` if it arrives. */
export function lineThrough(hooks: readonly Hook[], layout: MapLayout, last: Anchor | null): Anchor[] {
  const { boxes, source, fork, host, floor } = layout;
  const out: Anchor[] = [hooks[0] === "OUTPUT" ? host : source];
  for (const [i, hook] of hooks.entries()) {
    const here = middleOf(boxes[hook]);
    if (hook === "PREROUTING") {
      // The loopback interface: from POSTROUTING below everything back to PREROUTING.
      if (i > 0)
        out.push({ x: middleOf(boxes.POSTROUTING).x, y: floor + 14 }, { x: source.x, y: floor + 14 });
      out.push({ x: source.x, y: here.y });
    }
    if (hook === "INPUT") out.push(fork, { x: fork.x, y: here.y });
    if (hook === "POSTROUTING" && hooks[i - 1] === "OUTPUT")
      out.push({ x: middleOf(boxes.OUTPUT).x, y: here.y });
    out.push(here);
  }
  return last === null ? out : [...out, last];
}
