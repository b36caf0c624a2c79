/** The service matrix in the report: a table for each family. */
import type { FamilyMatrix, MatrixCell, ServiceMatrix } from "../../compare/service-matrix.ts";
import { entryText } from "../matrix/entry-text.ts";
import { doubtText } from "../text/audit-sentences.ts";
import { type Markup, markup } from "./markup.ts";
import { cardTable, noteList, scrollable, section } from "./page-elements.ts";

/** Returns the section with the services between zones; `matrix` is `null` for a host with too many zones for a table. */
export function matrixSection(matrix: ServiceMatrix | null): Markup {
  const heading = "Services by zone";
  if (matrix === null)
    return section(
      "services",
      heading,
      markup`<p>The host has too many interfaces and networks for a table: <code>fwcheck matrix</code> prints what gets from each to each other.</p>`,
    );
  return section(
    "services",
    heading,
    markup`<p>What gets from each interface, network and the host itself to each other, over all packets that open a connection.</p>`,
    noteList("Open questions: more may get through", matrix.doubts.map(doubtText), "unsure"),
    matrix.families.map(familyTable),
  );
}

function familyTable({ family, zones, cells }: FamilyMatrix): Markup {
  const byPlace = new Map(cells.map((cell) => [JSON.stringify([cell.from, cell.to]), cell]));
  const rows = zones.map(({ name: from }) => ({
    kind: "zone",
    cells: [from, ...zones.map(({ name: to }) => cellContent(byPlace.get(JSON.stringify([from, to]))))],
  }));
  const headings = ["from", ...zones.map(({ name }) => `to ${name}`)];
  return markup`<div class="matrix">${scrollable(`Services by zone, IPv${family}`, cardTable(`IPv${family}`, headings, rows))}</div>`;
}

/** A service from the host to itself is not asked about. */
const cellContent = (cell: MatrixCell | undefined): Markup =>
  cell === undefined
    ? markup``
    : cell.entries.length === 0
      ? markup`nothing`
      : markup`<ul class="services">${cell.entries.map((entry) => markup`<li>${entryText(entry)}</li>`)}</ul>`;
