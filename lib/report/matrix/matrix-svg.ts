/** The service matrix as SVG: a grid for each family, coloured by how much gets through. */
import type { FamilyMatrix, MatrixCell, ServiceMatrix } from "../../compare/service-matrix.ts";
import { textElement, title } from "../graph/svg-elements.ts";
import { graphStyle } from "../graph/svg-style.ts";
import { cut } from "../graph/text-width.ts";
import { tag } from "../html/xml.ts";
import { counted } from "../text/list.ts";
import { conditionTexts, entryText, servicesText, translationText } from "./entry-text.ts";

/** Options of the picture. */
export interface MatrixSvgOptions {
  /** The theme; follows the reader's system by default. */
  readonly theme?: "light" | "dark";
}

const MARGIN = 32;
/** Height of the heading of the picture, and of a family. */
const HEADING = 48;
/** Width of a cell, and the columns of text that fit into it. */
const CELL = { width: 200, columns: 27 } as const;
/** Width of the names of rows. */
const NAMES = 150;
const LINE = 15;
/** Lines of a cell; further entries are counted. */
const MOST_LINES = 6;

/** Returns the matrix as an SVG document, without scripts or external resources. */
export function matrixSvg(matrix: ServiceMatrix, { theme }: MatrixSvgOptions = {}): string {
  const grids = matrix.families.map(grid);
  const width = Math.max(700, ...grids.map((each) => each.width)) + 2 * MARGIN;
  const height = grids.reduce((sum, each) => sum + each.height + MARGIN, HEADING + 2 * MARGIN);
  let y = HEADING + MARGIN;
  const drawn = grids.map((each) => {
    const element = tag("g", { transform: `translate(${MARGIN} ${y})` }, each.drawing);
    y += each.height + MARGIN;
    return element;
  });
  const name =
    matrix.sources === "own"
      ? "Services by zone"
      : "Services that packets with spoofed sources reach, by zone";
  const open =
    matrix.doubts.length === 0
      ? ""
      : `inconclusive (${counted(matrix.doubts.length, "reason")}): a service that is missing here may get through`;
  const inside = [
    title(name),
    tag("style", {}, graphStyle(theme)),
    tag("rect", { class: "page", width, height }),
    textElement(name, MARGIN, MARGIN + 12, "title"),
    textElement("rows send, columns receive", MARGIN, MARGIN + 34, "caption muted"),
    textElement(open, MARGIN + 190, MARGIN + 34, "caption reject"),
    ...drawn,
  ].join("\n");
  const attributes = {
    xmlns: "http://www.w3.org/2000/svg",
    class: "fwg",
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
  };
  return `${tag("svg", { ...attributes, role: "graphics-document", "aria-label": name }, `\n${inside}\n`)}\n`;
}

interface Grid {
  readonly width: number;
  readonly height: number;
  readonly drawing: string;
}

/** Draws the grid of a family. */
function grid({ family, zones, cells }: FamilyMatrix): Grid {
  const byPlace = new Map(cells.map((cell) => [JSON.stringify([cell.from, cell.to]), cell]));
  const senders = zones.filter(({ name }) => cells.some((cell) => cell.from === name));
  const parts: string[] = [textElement(`IPv${family}`, 0, 18, "hooktitle")];
  zones.forEach(({ name }, i) => {
    parts.push(textElement(cut(name, CELL.columns), NAMES + i * CELL.width + 8, 34, "name"));
  });
  let y = HEADING;
  for (const { name: from } of senders) {
    const row = zones.map(({ name: to }) => byPlace.get(JSON.stringify([from, to])));
    const texts = row.map((cell) => (cell === undefined ? [] : cellLines(cell)));
    const height = Math.max(2, ...texts.map((lines) => lines.length)) * LINE + 10;
    parts.push(textElement(cut(from, 19), 0, y + 18, "name"));
    row.forEach((cell, i) => {
      const x = NAMES + i * CELL.width;
      parts.push(drawCell(cell, texts[i]!, x, y, height));
    });
    y += height;
  }
  return { width: NAMES + zones.length * CELL.width, height: y, drawing: parts.join("\n") };
}

function drawCell(
  cell: MatrixCell | undefined,
  lines: readonly string[],
  x: number,
  y: number,
  height: number,
): string {
  const box = tag("rect", { class: "card", x, y, width: CELL.width, height });
  if (cell === undefined) return box;
  const all = cell.entries.some(({ services }) => services[0]!.startsWith("all"));
  const kind = cell.entries.length === 0 ? "muted" : all ? "drop" : "nat";
  const hint = [`${cell.from} to ${cell.to}`, ...cell.entries.map(entryText)].join("\n");
  const texts = lines.map((line, i) => textElement(line, x + 8, y + 18 + i * LINE, kind));
  return tag("g", {}, [title(hint), box, ...texts].join(""));
}

/** Returns the lines of a cell, cut to its width. A condition is marked; the tooltip has it in full. */
function cellLines({ entries }: MatrixCell): string[] {
  if (entries.length === 0) return ["nothing"];
  const lines = entries.map((entry) => {
    const to = translationText(entry);
    const conditions = conditionTexts(entry).length > 0 ? " *" : "";
    const text = `${servicesText(entry.services)}${to === null ? "" : ` -> ${to}`}`;
    return `${cut(text, CELL.columns - conditions.length)}${conditions}`;
  });
  return lines.length <= MOST_LINES
    ? lines
    : [...lines.slice(0, MOST_LINES - 1), `and ${lines.length - MOST_LINES + 1} more`];
}
