/** The map of one branch: the boxes of the hooks, the line of the packet through them, where it ends and why. */
import { containerAt } from "../../host/host.ts";
import { printAddress } from "../../packet/address.ts";
import type { TracedBranch } from "../../simulate/answer.ts";
import { type Markup, markup } from "../html/markup.ts";
import { at } from "../text/packet-text.ts";
import { safe } from "../text/terminal.ts";
import type { HookPath, IntendedOutcome } from "./hook-path.ts";
import {
  type Anchor,
  BOX_HEAD,
  BOX_PAD,
  type BoxRow,
  CHAR,
  cutMiddle,
  EVENT_ROW,
  type HookBox,
  intendedTop,
  lineThrough,
  type MapLayout,
  mapLayout,
  middleOf,
  TABLES_HEIGHT,
} from "./path-layout.ts";
import type { TextContext } from "./text-context.ts";

/** Data of a map. */
export interface MapContent {
  readonly branch: TracedBranch;
  readonly path: HookPath;
  readonly intended: IntendedOutcome | null;
  /** The interface on which the packet arrives; `null` if the host sends it. */
  readonly input: string | null;
  readonly context: TextContext;
}

/** Draws a map below `top`. */
export function pathMap(
  content: MapContent,
  top: number,
): { readonly markup: Markup; readonly height: number } {
  const { path } = content;
  const layout = mapLayout(path, top);
  const isLoopback = path.hooks.indexOf("PREROUTING") > 0;
  return {
    markup: markup`<g class="map">${rails(layout)}
    ${lines(content, layout)}
    ${Object.values(layout.boxes).map(boxMarkup)}
    ${points(content, layout)}
    ${signs(content, layout)}</g>`,
    height: layout.floor + (isLoopback ? 24 : 6) - top,
  };
}

const pathData = (points: readonly Anchor[]): string =>
  points.map(({ x, y }, i) => `${i === 0 ? "M" : "L"}${x} ${y}`).join("");

/** All paths that packets can take. */
function rails(layout: MapLayout): Markup[] {
  const { boxes, fork, host, exit } = layout;
  const forwarded = lineThrough(["PREROUTING", "FORWARD", "POSTROUTING"], layout, exit);
  const output = middleOf(boxes.OUTPUT);
  const local = [
    fork,
    { x: fork.x, y: host.y },
    host,
    output,
    { x: output.x, y: middleOf(boxes.POSTROUTING).y },
  ];
  return [forwarded, local].map((rail) => markup`<path class="rail" d="${pathData(rail)}"/>`);
}

/** Point at which the packet arrives; `null` if it is stopped. */
function goalAnchorOf({ branch }: MapContent, { host, exit }: MapLayout): Anchor | null {
  if (branch.verdict !== "accept") return null;
  return branch.delivery === "local" ? host : exit;
}

/** Point at which the packet is stopped; `null` if it arrives. */
function stopAnchorOf({ branch, path }: MapContent, { boxes, fork, source }: MapLayout): Anchor | null {
  if (branch.verdict === "accept") return null;
  const last = path.hooks.at(-1);
  if (last === undefined) return source;
  if (branch.hook === null && last === "PREROUTING") return fork;
  const box = boxes[last];
  return { x: box.x + box.w, y: box.y + BOX_HEAD / 2 };
}

/** The lines of the packet and of the intended path. */
function lines(content: MapContent, layout: MapLayout): Markup {
  const { path, intended } = content;
  const { host, exit, fork } = layout;
  const line = path.hooks.length === 0 ? [] : lineThrough(path.hooks, layout, goalAnchorOf(content, layout));
  // A routing decision that ends the path is its last point.
  if (stopAnchorOf(content, layout) === fork) line.push(fork);
  const lastIntended = path.intendedHooks.at(-1);
  const intendedGoal = intended?.verdict !== "accept" ? null : lastIntended === "INPUT" ? host : exit;
  const intendedLine = lineThrough(path.intendedHooks, layout, intendedGoal).map(({ x, y }) => ({
    x: x + 6,
    y: y + 6,
  }));
  return markup`${lastIntended === undefined ? null : markup`<path class="intended-line" d="${pathData(intendedLine)}"/>`}
    ${line.length < 2 ? null : markup`<path class="line course" d="${pathData(line)}"/>`}`;
}

/** The routing decision, the host, and the interfaces. */
function points(content: MapContent, layout: MapLayout): Markup {
  const { branch, path, input, context } = content;
  const { boxes, source, fork, host, exit } = layout;
  const goal = goalAnchorOf(content, layout);
  const passedFork =
    path.hooks.includes("INPUT") || path.hooks.includes("FORWARD") || stopAnchorOf(content, layout) === fork;
  const { header } = branch;
  const container = goal === exit ? containerAt(context.host, header.dst) : null;
  const destination = at(printAddress(header.dst), header.dport);
  const receiver =
    goal === exit ? `${container === null ? "" : `${safe(container.name)} `}${destination}` : null;
  return markup`${node(fork, 9, passedFork)}
    <text class="small" x="${fork.x}" y="${fork.y + 24}" text-anchor="middle">routing</text>
    ${node(host, 13, path.hooks[0] === "OUTPUT" || goal === host)}
    <text class="small" x="${host.x}" y="${host.y + 29}" text-anchor="middle">this host</text>
    ${pill(source, 156, input !== null, input === null ? "arrives" : safe(input), null)}
    ${pill(exit, boxes.POSTROUTING.w, goal === exit, goal === exit ? safe(branch.out ?? "") : "leaves", receiver)}`;
}

/** The verdicts, and the legend if there are two. */
function signs(content: MapContent, layout: MapLayout): Markup {
  const { branch, path, intended } = content;
  const { boxes, source, host, exit } = layout;
  const goal = goalAnchorOf(content, layout);
  const stop = stopAnchorOf(content, layout);
  const deciding = path.decidingHook === null ? null : boxes[path.decidingHook];
  const intendedAnchor =
    deciding === null ? null : { x: deciding.x + deciding.w - 18, y: intendedTop(deciding) };
  const goalAnchor = goal === exit ? { x: exit.x - boxes.POSTROUTING.w / 2, y: exit.y } : host;
  return markup`${intendedAnchor === null || intended === null ? null : sign(intendedAnchor, intended.verdict, "intended")}
    ${path.intendedHooks.length === 0 ? null : legend(source)}
    ${goal === null ? null : sign(goalAnchor, "accept")}
    ${stop === null ? null : sign(stop, branch.verdict)}`;
}

function boxMarkup(box: HookBox): Markup {
  const { x, y, w, h, hook, isOnPath } = box;
  const top = y + BOX_HEAD + TABLES_HEIGHT + 2;
  const rows = box.rows.map((row, i) =>
    rowMarkup(row, x + BOX_PAD, top + (i + 1) * EVENT_ROW - 4, x + w - BOX_PAD, ""),
  );
  return markup`<g class="station ${isOnPath ? "met" : "unmet"}" data-hook="${hook}">
    <rect class="box" x="${x}" y="${y}" width="${w}" height="${h}" rx="9"/>
    <text class="name" x="${x + BOX_PAD}" y="${y + 20}">${hook}</text>
    ${tableChips(box)}${rows}${intendedFrame(box)}</g>`;
}

function tableChips({ x, y, tables }: HookBox): Markup[] {
  let left = x + BOX_PAD;
  return tables.map(({ name, hadEffect }) => {
    const width = name.length * 6 + 12;
    const here = left;
    left += width + 5;
    const active = hadEffect ? " active" : "";
    return markup`<rect class="chip${active}" x="${here}" y="${y + BOX_HEAD}" width="${width}" height="16" rx="8"/>
      <text class="small chip-name${active}" x="${here + width / 2}" y="${y + BOX_HEAD + 11.5}" text-anchor="middle">${name}</text>`;
  });
}

function intendedFrame(box: HookBox): Markup | null {
  const { x, w, intendedRows } = box;
  if (intendedRows.length === 0) return null;
  const top = intendedTop(box);
  const height = (intendedRows.length + 1) * EVENT_ROW + 14;
  return markup`<rect class="intended-box" x="${x + 6}" y="${top - 13}" width="${w - 12}" height="${height}" rx="6"/>
        <text class="intended-name" x="${x + BOX_PAD}" y="${top + 4}">${INTENDED_LABEL}</text>
        ${intendedRows.map((row, i) => rowMarkup(row, x + BOX_PAD, top + 4 + (i + 1) * EVENT_ROW, x + w - BOX_PAD, " intended"))}`;
}

function rowMarkup(row: BoxRow, x: number, y: number, right: number, more: string): Markup {
  return markup`<g><title>${row.line === null ? row.full : `${row.full} (line ${row.line})`}</title>
    <text class="m ${row.kind}${more}" x="${x + row.indent * CHAR}" y="${y}">${row.text}</text>
    ${row.line === null ? null : markup`<text class="m at" x="${right}" y="${y}" text-anchor="end">:${row.line}</text>`}</g>`;
}

const node = ({ x, y }: Anchor, r: number, isOnPath: boolean): Markup =>
  markup`<circle class="node${isOnPath ? " met" : ""}" cx="${x}" cy="${y}" r="${r}"/>`;

/** An interface: its name, and the receiver of a packet that leaves. */
function pill({ x, y }: Anchor, w: number, isOnPath: boolean, name: string, receiver: string | null): Markup {
  const h = receiver === null ? 28 : 44;
  const columns = Math.floor((w - 20) / CHAR);
  return markup`<g class="station ${isOnPath ? "met" : "unmet"}"><title>${receiver === null ? name : `${name}: ${receiver}`}</title>
    <rect class="box" x="${x - w / 2}" y="${y - h / 2}" width="${w}" height="${h}" rx="14"/>
    <text class="m name" x="${x}" y="${receiver === null ? y + 4.5 : y - 4}" text-anchor="middle">${cutMiddle(name, columns)}</text>
    ${receiver === null ? null : markup`<text class="m" x="${x}" y="${y + 13}" text-anchor="middle">${cutMiddle(receiver, columns)}</text>`}</g>`;
}

const INTENDED_LABEL = "verdict of your own rules";

const legend = ({ x, y }: Anchor): Markup =>
  markup`<path class="line" d="M${x + 34} ${y + 44}h34"/><text x="${x + 78}" y="${y + 48}">actual path</text>
    <path class="intended-line" d="M${x + 34} ${y + 68}h34"/><text x="${x + 78}" y="${y + 72}">${INTENDED_LABEL}</text>`;

/** A verdict: a tick, a cross or a question mark in a circle. */
function sign({ x, y }: Anchor, verdict: TracedBranch["verdict"], more = ""): Markup {
  const cross = `M${x - 4} ${y - 4}L${x + 4} ${y + 4}M${x + 4} ${y - 4}L${x - 4} ${y + 4}`;
  const shape = {
    accept: `M${x - 4.5} ${y + 0.5}L${x - 1} ${y + 4}L${x + 5} ${y - 4}`,
    drop: cross,
    reject: cross,
    undecided: `M${x - 3} ${y - 3}a3.2 3.2 0 1 1 4.5 3L${x} ${y + 2}M${x} ${y + 5.5}v.2`,
  }[verdict];
  return markup`<g class="sign-of"><circle class="end ${verdict}${more === "" ? "" : ` ${more}`}" cx="${x}" cy="${y}" r="10.5"/><path class="sign" d="${shape}"/></g>`;
}
