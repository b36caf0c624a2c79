import type { Document, Table } from "iptables-parser-ts";

type Entry = Document["entries"][number] | Table["entries"][number];

/**
 * Returns a document as plain data for comparison.
 * @param lines include the fields that printing and parsing again may change: lines, COMMIT, implied tables
 */
export function plain(document: Document, { lines = false } = {}): unknown {
  const lineField = (line: number): object => (lines ? { line } : {});
  const entry = (e: Entry): unknown => {
    if (e.kind === "rule") {
      const { kind, line, command, chain, counters, position, options } = e;
      return { kind, ...lineField(line), command, chain, counters, position, options };
    }
    const { line, ...rest } = e;
    if (rest.kind !== "table") return { ...rest, ...lineField(line) };
    const { commit, implied, ...table } = rest;
    const changing = lines ? { commit, implied } : {};
    return { ...table, ...lineField(line), ...changing, entries: rest.entries.map(entry) };
  };
  return document.entries.map(entry);
}

/** Returns the number of the shape of each rule; shapes are numbered in the order of their first use. */
export function sharing(document: Document): number[] {
  const numbers = new Map<object, number>();
  return document.entries
    .flatMap((table) => (table.kind === "table" ? table.entries : []))
    .flatMap((e) => {
      if (e.kind !== "rule") return [];
      if (!numbers.has(e.shape)) numbers.set(e.shape, numbers.size);
      return [numbers.get(e.shape)!];
    });
}
