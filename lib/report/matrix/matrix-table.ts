/** The service matrix as a table: Markdown for a wiki or a pull request, CSV for spreadsheets. */
import type { FamilyMatrix, ServiceMatrix } from "../../compare/service-matrix.ts";
import { doubtText } from "../text/audit-sentences.ts";
import { markdown } from "../text/markdown.ts";
import { destinationsText, sourcesText } from "../text/set-text.ts";
import { safe } from "../text/terminal.ts";
import { entryText, servicesText, translationText } from "./entry-text.ts";

/** Returns the matrix as Markdown: a table for each family, with a row for each zone that sends. */
export function matrixMarkdown({ families, doubts }: ServiceMatrix): string {
  const lines = [
    ...families.flatMap(familyTable),
    ...doubts.map((doubt) => `- inconclusive: ${markdown(doubtText(doubt))}`),
  ];
  return `${lines.join("\n")}\n`;
}

function familyTable({ family, zones, cells }: FamilyMatrix): string[] {
  const row = (columns: readonly string[]): string => `| ${columns.join(" | ")} |`;
  const names = zones.map(({ name }) => markdown(name));
  const texts = new Map(
    cells.map(({ from, to, entries }) => [
      JSON.stringify([from, to]),
      entries.length === 0 ? "-" : entries.map((entry) => markdown(entryText(entry))).join("<br>"),
    ]),
  );
  return [
    row([`IPv${family}: from / to`, ...names]),
    row(["---", ...names.map(() => "---")]),
    ...zones.map((from, i) =>
      row([`**${names[i]}**`, ...zones.map((to) => texts.get(JSON.stringify([from.name, to.name])) ?? "")]),
    ),
    "",
  ];
}

const CSV_COLUMNS = [
  "family",
  "from",
  "to",
  "services",
  "sources",
  "destinations",
  "translated",
  "partly",
  "unknowns",
  "replies",
];

/** Escapes a value for CSV (RFC 4180). A value that a spreadsheet would take for a formula gets an apostrophe in front. */
function csv(value: string): string {
  const text = safe(value);
  const inert = /^[=+\-@]/.test(text) ? `'${text}` : text;
  return /[",]/.test(inert) ? `"${inert.replaceAll('"', '""')}"` : inert;
}

/** Returns the matrix as CSV with a line of names: one line for each entry, and one without services for an empty cell. */
export function matrixCsv({ families }: ServiceMatrix): string {
  const lines = families.flatMap(({ family, cells }) =>
    cells.flatMap(({ from, to, entries }) => [
      ...(entries.length === 0 ? [[`IPv${family}`, from, to, "", "", "", "", "", "", ""]] : []),
      ...entries.map((entry) => [
        `IPv${family}`,
        from,
        to,
        servicesText(entry.services),
        sourcesText(entry.sources),
        destinationsText(entry.destinations),
        translationText(entry) ?? "",
        entry.partly ? "yes" : "no",
        entry.unknowns.join(" "),
        entry.replies ?? "",
      ]),
    ]),
  );
  return [CSV_COLUMNS, ...lines].map((line) => `${line.map(csv).join(",")}\r\n`).join("");
}
