/** SVG elements of the chain graph. */
import { tag, xml } from "../html/xml.ts";
import type { Point } from "./placed.ts";

type Attributes = Readonly<Record<string, string | number>>;

/** Rounds a length to a tenth of a pixel. */
export const round = (value: number): number => Math.round(value * 10) / 10;

/** A `<text>` with these classes; nothing for an empty text. */
export const textElement = (
  content: string,
  x: number,
  y: number,
  kind: string,
  more: Attributes = {},
): string => (content === "" ? "" : tag("text", { class: kind, x, y, ...more }, xml(content)));

/** A `<title>`, which must not be empty. */
export const title = (content: string): string => tag("title", {}, xml(content) || " ");

/** Joins class names; `false` is left out. */
export const classes = (...names: (string | false)[]): string =>
  names.filter((name) => name !== false).join(" ");

/** Coordinates as path data. */
export const coordinates = ([x, y]: Point): string => `${round(x)} ${round(y)}`;

/** Path data of a line with rounded corners. */
export function roundedLine(points: readonly Point[], radius: number): string {
  const out = [`M${coordinates(points[0]!)}`];
  for (let i = 1; i < points.length; i++) {
    const [before, here, after] = [points[i - 1]!, points[i]!, points[i + 1]];
    if (after === undefined) out.push(`L${coordinates(here)}`);
    else
      out.push(
        `L${coordinates(toward(here, before, radius))}Q${coordinates(here)} ${coordinates(toward(here, after, radius))}`,
      );
  }
  return out.join("");
}

/** The point at a distance from the first point on the line to the second, at most halfway. */
function toward([x, y]: Point, [a, b]: Point, distance: number): Point {
  const length = Math.hypot(a - x, b - y);
  const part = length === 0 ? 0 : Math.min(distance, length / 2) / length;
  return [x + (a - x) * part, y + (b - y) * part];
}
