import type { Document, Table } from "iptables-parser-ts";

type Entry = Document["entries"][number] | Table["entries"][number];

/**
 * A document as plain data; without lines and without what printing adds, so that
 * what was printed anew can be compared.
 */
export function plain(document: Document, { lines = false } = {}): unknown {
  const shown = (line: number): object => (lines ? { line } : {});
  const entry = (e: Entry): unknown => {
    if (e.kind === "rule") {
      const { kind, line, command, chain, counters, position, options } = e;
      return { kind, ...shown(line), command, chain, counters, position, options };
    }
    const { line, ...rest } = e;
    if (rest.kind !== "table") return { ...rest, ...shown(line) };
    const { commit, implied, ...table } = rest;
    const lost = lines ? { commit, implied } : {};
    return { ...table, ...shown(line), ...lost, entries: rest.entries.map(entry) };
  };
  return document.entries.map(entry);
}

/** How rules share shapes: for each rule the number of its shape, by first use. */
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
