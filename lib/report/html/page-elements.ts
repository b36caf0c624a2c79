/** Elements that several sections of the report use. */
import { type Markup, type MarkupContent, markup } from "./markup.ts";

/** Most rows of a table, and most items of a list; further ones are counted. */
export const MOST_ROWS = 400;

/** A section with its heading. */
export const section = (id: string, heading: MarkupContent, ...parts: readonly MarkupContent[]): Markup =>
  markup`<section id="${id}" class="part" aria-labelledby="${id}-heading"><h2 id="${id}-heading">${heading}</h2>${parts}</section>`;

/** A list below a heading; `null` without items. */
export const noteList = (heading: string, items: readonly MarkupContent[], kind = ""): Markup | null =>
  items.length === 0
    ? null
    : markup`<h3>${heading}</h3><ul class="${kind === "" ? "notes" : `notes ${kind}`}">${items.map((item) => markup`<li>${item}</li>`)}</ul>`;

/** Text with a button that copies it; the script adds the button. */
export const copyable = (text: string, label: string): Markup =>
  markup`<div class="copy" data-label="${label}"><pre tabindex="0" role="group" aria-label="${label}">${text}</pre></div>`;

/** A part that scrolls sideways in narrow windows, also by keyboard. */
export const scrollable = (label: string, part: MarkupContent): Markup =>
  markup`<div class="scroll" tabindex="0" role="group" aria-label="${label}">${part}</div>`;

/** A row of a table: its class, and its cells, the first one as its heading. */
export interface TableRow {
  readonly kind: string;
  readonly cells: readonly MarkupContent[];
}

/** A table; in narrow windows, each row becomes a card with the column headings as labels. */
export function cardTable(caption: string, headings: readonly string[], rows: readonly TableRow[]): Markup {
  const row = ({ kind, cells: [first, ...others] }: TableRow): Markup =>
    markup`<tr role="row" class="${kind}"><th role="rowheader" scope="row">${first ?? null}</th>
      ${others.map((cell, i) => markup`<td role="cell" data-head="${headings[i + 1]!}">${cell}</td>`)}</tr>`;
  return markup`<table role="table" class="cards"><caption>${caption}</caption>
      <thead role="rowgroup"><tr role="row">${headings.map((head) => markup`<th role="columnheader" scope="col">${head}</th>`)}</tr></thead>
      <tbody role="rowgroup">${rows.slice(0, MOST_ROWS).map(row)}</tbody></table>
      ${rows.length > MOST_ROWS ? markup`<p>And ${rows.length - MOST_ROWS} more, which <code>fwcheck audit --json</code> lists.</p>` : null}`;
}
