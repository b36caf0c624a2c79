/** Assembles tables, commands and comments into a document. */

import type { Command, Comment, Diagnostic, Document, Table } from "./ast.ts";
import { TABLE } from "./chain-reader.ts";
import { CommandReader } from "./command-reader.ts";

const CR = 13;
const HASH = 35;
const MANAGED = /^ Warning: table .* is managed by iptables-nft, do not touch!$/;
const NO_TABLE = "no table found: this is not the output of nft list ruleset";
const EMPTY = "no table found: the text is empty";

/** Reads one text. An instance is used once. */
export class DocumentReader extends CommandReader {
  private readonly entries: (Table | Command | Comment)[] = [];

  read(): { document: Document; diagnostics: readonly Diagnostic[] } {
    const { cursor } = this;
    for (;;) {
      const c = cursor.skipBlanks();
      if (cursor.done) break;
      if (c === CR) this.skipReturn();
      else if (c === HASH)
        this.entries.push({ kind: "comment", ...cursor.locate(cursor.at), text: cursor.comment() });
      else this.entry();
    }
    if (!this.entries.some((entry) => entry.kind !== "comment") && this.diagnostics.length === 0)
      this.report("error", cursor.text.trim() === "" ? EMPTY : NO_TABLE, { line: 1, column: 1 }, "");
    return { document: { entries: this.entries }, diagnostics: this.diagnostics };
  }

  private entry(): void {
    const start = this.cursor.at;
    const header = this.cursor.match(TABLE);
    if (header === null) {
      const command = this.command();
      if (command !== null) this.entries.push(command);
      return;
    }
    const previous = this.entries.at(-1);
    const managed = previous?.kind === "comment" && MANAGED.test(previous.text);
    this.entries.push(this.table(start, header[1] ?? "ip", header[2]!, managed));
  }
}
