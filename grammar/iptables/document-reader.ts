/** Assembles lines into tables and documents, and reports lines that belong to no table. */

import type { ChainLine, CommandLine, Comment, Diagnostic, Document, Rule, Severity, Table } from "./ast.ts";
import { truncate } from "./line-error.ts";
import { LineParser, LONGEST_LINE, type ParsedLine } from "./line-parser.ts";
import { LineScanner } from "./line-scanner.ts";
import { ShapeTrie } from "./shape-trie.ts";

type TableEntry = ChainLine | Rule | CommandLine | Comment;

/** A table whose end has not been read. */
interface OpenTable extends Table {
  readonly entries: TableEntry[];
  commit: number | null;
}

/** Position of a diagnostic and the text found there. */
type TextLocation = Pick<Diagnostic, "line" | "column" | "found">;

const UNREADABLE = "expected a rule, a chain, a comment or COMMIT";
const TOO_LONG = `expected a line of at most ${LONGEST_LINE} characters`;
const IMPLIED = "rules outside a table: read as table filter";
const NO_START = "COMMIT outside a table: the table's beginning is missing";
const NO_TABLE = "no table found: this is not iptables-save output";
const EMPTY = "no table found: the text is empty";

let sharedParser: LineParser | undefined;

/** Returns the parser. It is created for the first line that the scanner cannot read, because creation is slow. */
function parser(): LineParser {
  sharedParser ??= new LineParser();
  return sharedParser;
}

/** Reads one text. An instance is used once. */
export class DocumentReader {
  private readonly text: string;
  private readonly shapes = new ShapeTrie();
  private readonly scanner: LineScanner | null;
  private readonly entries: (Table | Comment)[] = [];
  private readonly diagnostics: Diagnostic[] = [];
  private table: OpenTable | null = null;
  private tableCount = 0;
  /** True after the warning about rules outside a table, which is reported once. */
  private reportedImplied = false;
  /** Text outside any table that is being skipped: its first line, and the number of lines. */
  private skippedText: { readonly place: TextLocation; count: number } | null = null;

  /** @param strict parse every line with the grammar, without the scanner */
  constructor(text: string, strict: boolean) {
    this.text = text;
    this.scanner = strict ? null : new LineScanner(text, this.shapes);
  }

  read(): { document: Document; diagnostics: readonly Diagnostic[] } {
    let line = 1;
    for (let at = 0; at < this.text.length; line++) {
      const item = this.scanner?.line(at, line);
      if (item === null) at = this.scanner!.end + 1;
      else if (item === undefined || (this.table === null && item.kind !== "comment"))
        at = this.parseLine(at, line) + 1;
      else {
        this.addEntry(item);
        at = this.scanner!.end + 1;
      }
    }
    this.finish(line);
    return { document: { entries: this.entries }, diagnostics: this.diagnostics };
  }

  /**
   * Parses the line that starts at offset `at` with the grammar.
   * @returns offset of its end
   */
  private parseLine(at: number, line: number): number {
    const feed = this.text.indexOf("\n", at);
    const end = feed < 0 ? this.text.length : feed;
    if (end - at > LONGEST_LINE) this.reportForeignText(TOO_LONG, this.locate(line, at, at + LONGEST_LINE));
    else
      this.addLine(
        parser().read(this.text.slice(at, end), line, this.shapes, this.scanner === null),
        at,
        end,
      );
    return end;
  }

  private addLine(item: ParsedLine, at: number, end: number): void {
    if (item === null) return;
    switch (item.kind) {
      case "table":
        this.reportSkippedText();
        this.closeTable(item.line);
        this.openTable(item.name, item.line, false);
        break;
      case "commit":
        this.commit(this.locate(item.line, at, end));
        break;
      case "text":
        this.reportForeignText(UNREADABLE, this.locate(item.line, at, end));
        break;
      case "error":
        if (item.command) this.report("error", item.message, item);
        else this.reportForeignText(item.message, item, this.locate(item.line, at, end));
        break;
      default:
        if (this.table === null && item.kind !== "comment")
          this.openImpliedTable(this.locate(item.line, at, end));
        this.addEntry(item);
    }
  }

  /** Adds an entry to the open table. Only comments can be outside a table. */
  private addEntry(item: TableEntry): void {
    if (this.skippedText !== null) this.reportSkippedText();
    if (this.table !== null) this.table.entries.push(item);
    else if (item.kind === "comment") this.entries.push(item);
  }

  /** Reports a line that is not iptables syntax: an error in a table, skipped text (a shell prompt) outside. */
  private reportForeignText(message: string, place: TextLocation, line = place): void {
    if (this.table !== null && this.table.implied !== true) this.report("error", message, place);
    else if (this.skippedText === null) this.skippedText = { place: { ...line, column: 1 }, count: 1 };
    else this.skippedText.count++;
  }

  private openTable(name: string, line: number, implied: boolean): void {
    this.table = { kind: "table", line, name, ...(implied ? { implied } : {}), entries: [], commit: null };
    this.tableCount++;
    this.entries.push(this.table);
  }

  /** Opens table filter for rules outside any table. */
  private openImpliedTable(place: TextLocation): void {
    if (!this.reportedImplied) this.report("warning", IMPLIED, place);
    this.reportedImplied = true;
    this.openTable("filter", place.line, true);
  }

  private commit(place: TextLocation): void {
    if (this.table === null) this.report("error", NO_START, place);
    else {
      this.reportSkippedText();
      this.table.commit = place.line;
      this.table = null;
    }
  }

  /** Ends the open table, which has no COMMIT. */
  private closeTable(line: number): void {
    if (this.table !== null && this.table.implied !== true) {
      const message = `missing COMMIT: table ${truncate(this.table.name)} of line ${this.table.line} ends here`;
      this.report("warning", message, { line, column: 1, found: "" });
    }
    this.table = null;
  }

  private finish(line: number): void {
    this.reportSkippedText();
    this.closeTable(line);
    if (this.tableCount > 0) return;
    if (this.text.trim() === "") this.report("error", EMPTY, { line: 1, column: 1, found: "" });
    else this.report("error", NO_TABLE, this.locate(1, 0, `${this.text}\n`.indexOf("\n")));
  }

  /** Reports the lines that were skipped as one warning. */
  private reportSkippedText(): void {
    if (this.skippedText === null) return;
    const { place, count } = this.skippedText;
    this.skippedText = null;
    const lines = count === 1 ? "a line" : `${count} lines`;
    this.report("warning", `skipped ${lines} of text outside any table`, place);
  }

  /** Returns the position of the first character of a line that is not blank, and the text from there. */
  private locate(line: number, at: number, end: number): TextLocation {
    const whole = this.text.slice(at, end);
    const text = whole.trimStart();
    return { line, column: whole.length - text.length + 1, found: truncate(text).trimEnd() };
  }

  private report(severity: Severity, message: string, { line, column, found }: TextLocation): void {
    this.reportSkippedText();
    this.diagnostics.push({ severity, message, line, column, found });
  }
}
