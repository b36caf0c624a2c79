/** Cards of chains and lines of calls as SVG. */
import { tag } from "../html/xml.ts";
import { counted } from "../text/list.ts";
import { AUTHOR_NAMES } from "./captions.ts";
import type { GraphChain, GraphRow, RowAction } from "./graph-model.ts";
import type { PlacedCall, PlacedChain, PlacedRow } from "./placed.ts";
import { classes, coordinates, round, textElement, title } from "./svg-elements.ts";
import { CARD_HEAD, RULE_ROW, rowsLeft } from "./table-layout.ts";

/** A call: its line and its arrow head. */
export function callLine({ call, pieces }: PlacedCall): string {
  const d: string[] = [];
  for (const [i, [start, end]] of pieces.entries()) {
    const before = pieces[i - 1]?.[1];
    if (before === undefined) d.push(`M${coordinates(start)}`);
    else {
      const bend = (start[0] - before[0]) / 2;
      d.push(
        `C${coordinates([before[0] + bend, before[1]])} ${coordinates([start[0] - bend, start[1]])} ${coordinates(start)}`,
      );
    }
    // The last piece ends at the base of the arrow head.
    d.push(`H${round(i === pieces.length - 1 ? end[0] - 5 : end[0])}`);
  }
  const tip = pieces.at(-1)![1];
  const passed = call.passed && "passed";
  const line = tag("path", {
    class: classes("call", call.kind, passed),
    d: d.join(""),
    "data-from": call.from,
    "data-to": call.to,
    "aria-hidden": "true",
  });
  const head = tag("path", {
    class: classes("tip", passed),
    d: `M${coordinates(tip)}l-7 -4v8z`,
    "aria-hidden": "true",
  });
  return line + head;
}

/** A chain: a group with its head and a group per row. */
export function card(placed: PlacedChain): string {
  const { chain, rows, x, y, width, height } = placed;
  const isBase = chain.policy !== null;
  const label = spokenText(chain);
  const inside = [
    title(label),
    tag("rect", { class: "card", x, y, width, height, rx: 7 }),
    ...head(placed),
    ...rows.map((row) => rowGroup(row, placed)),
  ];
  return tag(
    "g",
    {
      class: classes("chain", isBase && "base", chain.passed && "passed"),
      "data-id": chain.id,
      ...(chain.hook === null ? {} : { "data-hook": chain.hook }),
      "data-table": chain.table,
      "data-chain": chain.name,
      ...(chain.policy === null ? {} : { "data-policy": chain.policy }),
      ...(chain.author === null ? {} : { "data-author": chain.author }),
      role: "graphics-object",
      "aria-label": label,
    },
    inside.join("\n"),
  );
}

function head({ chain, name, caption, rows, x, y, width, height }: PlacedChain): string[] {
  const captionClass = chain.policy === null ? "muted" : `action ${chain.policy.toLowerCase()}`;
  return [
    tag("path", {
      class: classes("head", chain.ended && "hit"),
      d: headShape(x + 1, y + 1, width - 2, CARD_HEAD - 2, rows.length === 0),
    }),
    ...(chain.author === null ? [] : [tag("path", { class: chain.author, d: stripe(x, y, height) })]),
    textElement(name, x + 13, y + 18, "name"),
    textElement(caption, x + width - 10, y + 18, classes("end", captionClass)),
  ];
}

function rowGroup(placed: PlacedRow, { chain, rows, x, width }: PlacedChain): string {
  const { row, condition, target, number, y } = placed;
  const left = rowsLeft(rows);
  const hasOwnAuthor = row.author !== null && row.author !== chain.author;
  const background = {
    class: row.passed ? "hit" : "rowbox",
    x: x + 5,
    y: y - RULE_ROW / 2,
    width: width - 6,
    height: RULE_ROW,
  };
  return tag(
    "g",
    {
      class: classes("row", row.passed && "passed"),
      "data-rule": row.first,
      "data-last": row.last,
      ...(row.to === null ? {} : { "data-to": row.to }),
    },
    [
      title(row.rules.join("\n")),
      tag("rect", background),
      hasOwnAuthor
        ? tag("rect", { class: row.author!, x: x + 6, y: y - 6, width: 3, height: 12, rx: 1.5 })
        : "",
      textElement(number, x + left - 8, y + 4, "muted end"),
      textElement(condition, x + left, y + 4, "condition"),
      textElement(
        `${target}${row.to === null ? "" : " →"}`,
        x + width - 10,
        y + 4,
        classes("end action", actionClass(row)),
      ),
    ].join(""),
  );
}

/** Actions with a colour of their own. */
const COLOURED: readonly RowAction[] = ["accept", "drop", "reject", "nat"];

const actionClass = ({ action, to, author }: GraphRow): string =>
  COLOURED.includes(action) ? action : to === null ? "muted" : (author ?? "muted");

/** Description of a chain for a screen reader. */
function spokenText(chain: GraphChain): string {
  const { table, name, policy, size, author, also, passed } = chain;
  return [
    `chain ${name} of table ${table}`,
    ...(policy === null ? [] : [`policy ${policy}`]),
    counted(size, "rule"),
    ...(author === null ? [] : [`written by ${AUTHOR_NAMES[author]}`]),
    ...(also.length === 0 ? [] : [`also reached from ${also.join(", ")}`]),
    ...(passed ? ["on the path of the packet"] : []),
  ].join(", ");
}

/** Outline of a card's head: rounded at the top, and at the bottom if the card has no rows. */
function headShape(x: number, y: number, width: number, height: number, roundBottom: boolean): string {
  const r = 6;
  const bottom = roundBottom
    ? `v${height - 2 * r}q0 ${r} ${-r} ${r}h${2 * r - width}q${-r} 0 ${-r} ${-r}`
    : `v${height - r}h${-width}`;
  return `M${coordinates([x, y + r])}q0 ${-r} ${r} ${-r}h${round(width - 2 * r)}q${r} 0 ${r} ${r}${bottom}z`;
}

/** Stripe in the author's colour along the left edge of a card. */
const stripe = (x: number, y: number, height: number): string =>
  `M${coordinates([x + 5, y])}v${round(height)}q-5 0 -5 -6v${round(12 - height)}q0 -6 5 -6z`;
