/** Lines into a document: which table they belong to, and what to say of those that belong nowhere. */

import type { ChainLine, CommandLine, Comment, Diagnostic, Document, Rule, Severity, Table } from "./ast.ts";
import { cut, type Line, LineParser, LONGEST_LINE } from "./parser.ts";
import { Scanner } from "./scanner.ts";
import { Shapes } from "./shapes.ts";

type Entry = ChainLine | Rule | CommandLine | Comment;

/** A table while it is read. */
interface Open extends Table {
  readonly entries: Entry[];
  commit: number | null;
}

/** Where something stands, and what. */
type Place = Pick<Diagnostic, "line" | "column" | "found">;

const UNREADABLE = "expected a rule, a chain, a comment or COMMIT";
const TOO_LONG = `expected a line of at most ${LONGEST_LINE} characters`;
const IMPLIED = "rules outside a table: read as table filter";
const NO_START = "COMMIT outside a table: the table's beginning is missing";
const NO_TABLE = "no table found: this is not iptables-save output";
const EMPTY = "no table found: the text is empty";

let shared: LineParser | undefined;

/** The parser, built when a line first needs it. */
function parser(): LineParser {
  shared ??= new LineParser();
  return shared;
}

/** Reads one text, once. */
export class Reader {
  private readonly text: string;
  private readonly shapes = new Shapes();
  private readonly scanner: Scanner | null;
  private readonly entries: (Table | Comment)[] = [];
  private readonly diagnostics: Diagnostic[] = [];
  private table: Open | null = null;
  private tables = 0;
  /** Rules were found outside a table, and that was said. */
  private warned = false;
  /** Text outside any table that is being skipped: where it starts, and how many lines so far. */
  private skipped: { readonly place: Place; count: number } | null = null;

  /** @param strict no scanner: every line through the grammar */
  constructor(text: string, strict: boolean) {
    this.text = text;
    this.scanner = strict ? null : new Scanner(text, this.shapes);
  }

  read(): { document: Document; diagnostics: readonly Diagnostic[] } {
    let line = 1;
    for (let at = 0; at < this.text.length; line++) {
      const item = this.scanner?.line(at, line);
      if (item === null) at = this.scanner!.end + 1;
      else if (item === undefined || (this.table === null && item.kind !== "comment"))
        at = this.slow(at, line) + 1;
      else {
        this.add(item);
        at = this.scanner!.end + 1;
      }
    }
    this.finish(line);
    return { document: { entries: this.entries }, diagnostics: this.diagnostics };
  }

  /** Reads the line that starts at `at` through the grammar, and says where it ends. */
  private slow(at: number, line: number): number {
    const feed = this.text.indexOf("\n", at);
    const end = feed < 0 ? this.text.length : feed;
    if (end - at > LONGEST_LINE) this.foreign(TOO_LONG, this.begins(line, at, at + LONGEST_LINE));
    else
      this.take(parser().read(this.text.slice(at, end), line, this.shapes, this.scanner === null), at, end);
    return end;
  }

  private take(item: Line, at: number, end: number): void {
    if (item === null) return;
    switch (item.kind) {
      case "table":
        this.settle();
        this.close(item.line);
        this.open(item.name, item.line, false);
        break;
      case "commit":
        this.commit(this.begins(item.line, at, end));
        break;
      case "text":
        this.foreign(UNREADABLE, this.begins(item.line, at, end));
        break;
      case "fault":
        if (item.command) this.report("error", item.message, item);
        else this.foreign(item.message, item, this.begins(item.line, at, end));
        break;
      default:
        if (this.table === null && item.kind !== "comment") this.imply(this.begins(item.line, at, end));
        this.add(item);
    }
  }

  /** A line of the language; all but a comment has a table to go to. */
  private add(item: Entry): void {
    if (this.skipped !== null) this.settle();
    if (this.table !== null) this.table.entries.push(item);
    else if (item.kind === "comment") this.entries.push(item);
  }

  /** A line that cannot be read and need not be of the language: within a table that is an error. */
  private foreign(message: string, place: Place, line = place): void {
    if (this.table !== null && this.table.implied !== true) this.report("error", message, place);
    else if (this.skipped === null) this.skipped = { place: { ...line, column: 1 }, count: 1 };
    else this.skipped.count++;
  }

  private open(name: string, line: number, implied: boolean): void {
    this.table = { kind: "table", line, name, ...(implied ? { implied } : {}), entries: [], commit: null };
    this.tables++;
    this.entries.push(this.table);
  }

  /** Opens the table that the text does not name. */
  private imply(place: Place): void {
    if (!this.warned) this.report("warning", IMPLIED, place);
    this.warned = true;
    this.open("filter", place.line, true);
  }

  private commit(place: Place): void {
    if (this.table === null) this.report("error", NO_START, place);
    else {
      this.settle();
      this.table.commit = place.line;
      this.table = null;
    }
  }

  /** Ends a table that has no COMMIT. */
  private close(line: number): void {
    if (this.table !== null && this.table.implied !== true) {
      const message = `missing COMMIT: table ${cut(this.table.name)} of line ${this.table.line} ends here`;
      this.report("warning", message, { line, column: 1, found: "" });
    }
    this.table = null;
  }

  private finish(line: number): void {
    this.settle();
    this.close(line);
    if (this.tables > 0) return;
    if (this.text.trim() === "") this.report("error", EMPTY, { line: 1, column: 1, found: "" });
    else this.report("error", NO_TABLE, this.begins(1, 0, `${this.text}\n`.indexOf("\n")));
  }

  /** Says what was skipped, once the text belongs to the language again. */
  private settle(): void {
    if (this.skipped === null) return;
    const { place, count } = this.skipped;
    this.skipped = null;
    const lines = count === 1 ? "a line" : `${count} lines`;
    this.report("warning", `skipped ${lines} of text outside any table`, place);
  }

  /** Where the text of a line begins, and how. */
  private begins(line: number, at: number, end: number): Place {
    const whole = this.text.slice(at, end);
    const text = whole.trimStart();
    return { line, column: whole.length - text.length + 1, found: cut(text).trimEnd() };
  }

  private report(severity: Severity, message: string, { line, column, found }: Place): void {
    this.settle();
    this.diagnostics.push({ severity, message, line, column, found });
  }
}
