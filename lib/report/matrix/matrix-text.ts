/** The service matrix as text: for each zone what it reaches, zone by zone. */
import type { FamilyMatrix, MatrixCell, ServiceMatrix } from "../../compare/service-matrix.ts";
import { doubtText } from "../text/audit-sentences.ts";
import { inferenceText } from "../text/inference-text.ts";
import { indented, PLAIN, type Style, safe } from "../text/terminal.ts";
import { entryText } from "./entry-text.ts";

/** Returns the matrix as text, at 80 columns where names allow it. */
export function matrixText(matrix: ServiceMatrix, style: Style = PLAIN): string {
  const remarks = [
    ...matrix.doubts.flatMap((doubt) => indented(style.yellow("inconclusive:"), safe(doubtText(doubt)))),
    ...matrix.inferences.flatMap((each) => indented(style.dim("inferred:"), safe(inferenceText(each)))),
  ];
  const families = matrix.families.flatMap((family) =>
    matrix.sources === "own" ? familyText(family, style) : spoofedText(family, style),
  );
  return `${[...families, ...remarks].join("\n")}\n`;
}

/** Zones with the same lines share one heading. */
function familyText({ family, zones, cells }: FamilyMatrix, style: Style): string[] {
  const rows = sharing(
    zones.map(({ name }) => [
      name,
      rowLines(
        cells.filter((cell) => cell.from === name),
        style,
      ),
    ]),
  );
  return rows.flatMap(({ names, lines }) => [
    style.bold(`IPv${family} from ${names.map(safe).join(", ")}`),
    ...lines,
    "",
  ]);
}

/** Zones from which no spoofed packet gets in share one line. */
function spoofedText({ family, zones, cells }: FamilyMatrix, style: Style): string[] {
  const senders = zones.filter(({ kind }) => kind !== "host").map(({ name }) => name);
  const openCells = (name: string): MatrixCell[] =>
    cells.filter((cell) => cell.from === name && cell.entries.length > 0);
  const closed = senders.filter((name) => openCells(name).length === 0);
  const heading = `IPv${family} with sources that are not behind`;
  return [
    ...senders
      .filter((name) => !closed.includes(name))
      .flatMap((name) => [style.red(`${heading} ${safe(name)}`), ...rowLines(openCells(name), style), ""]),
    ...(closed.length === 0
      ? []
      : [style.green(`${heading} ${closed.map(safe).join(", ")}: nothing gets in`), ""]),
  ];
}

/** Returns the lines about one zone's packets. */
function rowLines(cells: readonly MatrixCell[], style: Style): string[] {
  const columns = sharing(
    cells.map(({ to, entries }) => [
      to,
      entries.flatMap((entry) => indented("   ", safe(entryText(entry)), 8)),
    ]),
  );
  return columns.flatMap(({ names, lines }) => {
    const heading = `  to ${style.cyan(names.map(safe).join(", "))}`;
    return lines.length === 0 ? [`${heading}: nothing`] : [`${heading}:`, ...lines];
  });
}

/** Zones with equal lines. */
interface Shared {
  readonly names: readonly string[];
  readonly lines: readonly string[];
}

function sharing(rows: readonly (readonly [name: string, lines: readonly string[]])[]): Shared[] {
  const groups = new Map<string, { names: string[]; lines: readonly string[] }>();
  for (const [name, lines] of rows) {
    const key = lines.join("\n");
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { names: [name], lines });
    else group.names.push(name);
  }
  return [...groups.values()];
}
