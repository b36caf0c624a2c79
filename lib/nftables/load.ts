/**
 * Loads tables of nftables from the output of `nft list ruleset` and from files for `nft -f`. Nothing is dropped silently: an
 * unknown expression or statement stays in its rule as an unknown, and a diagnostic names its line and column.
 */
import { type Diagnostic, type Document, parse } from "nftables-parser-ts";
import type { Family } from "../packet/field.ts";
import type { Table, Unread } from "../rules/ruleset.ts";
import type { RulesetDoubt, TablePlace } from "../rules/ruleset-doubt.ts";
import { CommandRunner } from "./command-runner.ts";
import { isOfIptables } from "./iptables-tables.ts";
import type { Report } from "./scope.ts";
import type { TableDraft } from "./table-draft.ts";
import { TableLoader } from "./table-loader.ts";
import { unreadHooks } from "./unread-hooks.ts";

/** A diagnostic with the name of its file. */
export interface NftDiagnostic extends Diagnostic {
  /** Name of the file. */
  readonly source: string;
}

/** A table of nftables. */
export interface NftTable {
  /** `ip`, `ip6`, `inet`, `arp`, `bridge` or `netdev`. */
  readonly family: string;
  /** Name of the table. */
  readonly name: string;
  /** First line of the table in its text. */
  readonly place: TablePlace;
  /** Its chains; those of families other than ip, ip6 and inet are in no ruleset. */
  readonly table: Table;
  /** iptables-nft made it, so that iptables-save prints its rules. */
  readonly ofIptables: boolean;
  /** It has the flag `dormant`: the kernel runs none of its chains. */
  readonly dormant: boolean;
  /** Base chains that are not followed, and that may drop or change packets. */
  readonly unread: readonly Unread[];
}

/** A text of nft. */
export interface NftSource {
  /** Name of the file, for diagnostics. */
  readonly name: string;
  /** Contents of the file. */
  readonly text: string;
  /** It is known to be a listing with all elements of sets, as in a snapshot. */
  readonly complete?: boolean;
}

/** Result of reading one or more texts. */
export interface LoadedNftables {
  /** In the order of the texts. */
  readonly tables: readonly NftTable[];
  /** In the order of the texts; syntax errors of a text come first. */
  readonly diagnostics: readonly NftDiagnostic[];
  /** Reasons why the kernel may evaluate other rules, for both families. */
  readonly doubts: readonly RulesetDoubt[];
  /** Rules may be missing: a part of a text could not be read, or a table is given twice. */
  readonly damaged: boolean;
}

/** Families of packets that a table sees. */
export const familiesOf = (family: string): readonly Family[] =>
  family === "ip" ? [4] : family === "ip6" ? [6] : family === "arp" ? [] : [4, 6];

/** Returns true for tables whose chains see IP packets at the hooks of iptables. */
export const isFollowed = (family: string): boolean =>
  family === "ip" || family === "ip6" || family === "inet";

/**
 * Reads tables of nftables.
 *
 * @param sources texts with the names that diagnostics use
 * @returns the tables and the faults of the texts; it never throws on a text
 */
export function readNftables(sources: readonly NftSource[]): LoadedNftables {
  const reader = new NftReader();
  for (const source of sources) reader.read(source);
  return {
    tables: [...reader.tables.values()].map(({ table }) => table),
    diagnostics: reader.diagnostics,
    doubts: reader.doubts,
    damaged: reader.damaged,
  };
}

class NftReader {
  readonly tables = new Map<string, { readonly table: NftTable; readonly draft: TableDraft }>();
  readonly diagnostics: NftDiagnostic[] = [];
  readonly doubts: RulesetDoubt[] = [];
  damaged = false;

  read(source: NftSource): void {
    const { document, diagnostics } = parse(source.text);
    const first = this.diagnostics.length;
    for (const each of diagnostics) this.diagnostics.push({ ...each, source: source.name });
    if (diagnostics.some(({ severity }) => severity === "error")) this.damaged = true;
    const report = this.reporter(source);
    const runner = new CommandRunner(report);
    runner.run(document);
    reportHeaderAtEnd(document, source.text, report);
    this.load(runner, source, report);
    this.noteErrors(source.name, this.diagnostics.slice(first));
  }

  /** Returns a reporter of faults; the place of a rule becomes that of the words, where the line has them. */
  private reporter({ name, text }: NftSource): Report {
    let lines: readonly string[] | undefined;
    return (message, found, at) => {
      const { line, column } = at ?? { line: 0, column: 0 };
      lines ??= text.split(/\r?\n/);
      const words = found === "" ? -1 : (lines[line - 1] ?? "").indexOf(found, column - 1);
      this.diagnostics.push({
        severity: "error",
        message,
        line,
        column: words < 0 ? column : words + 1,
        found: found.slice(0, 80),
        source: name,
      });
    };
  }

  private load(runner: CommandRunner, source: NftSource, report: Report): void {
    const drafts = [...runner.tables.values()];
    const lacks = source.complete !== true && !runner.isScript && mayLackElements(drafts);
    const unlisted: string[] = [];
    for (const draft of drafts) {
      const loaded = new TableLoader(draft, report, lacks).load();
      unlisted.push(...loaded.unlisted.map((name) => `${draft.id} ${name}`));
      this.add(draft, loaded.table, source.name, report);
    }
    if (unlisted.length > 0)
      this.doubts.push({ code: "set-elements-missing", source: source.name, sets: unlisted });
  }

  /** Adds a table. It replaces one of the same name of another text, which is reported. */
  private add(draft: TableDraft, table: Table, source: string, report: Report): void {
    const place: TablePlace = { source, line: draft.place.line };
    const before = this.tables.get(draft.id);
    const dormant = draft.flags.includes("dormant");
    this.tables.set(draft.id, {
      table: {
        family: draft.family,
        name: draft.name,
        place,
        table,
        ofIptables: draft.managed || isOfIptables(draft),
        dormant,
        unread: dormant ? [] : unreadHooks(draft, table),
      },
      draft,
    });
    if (before === undefined || textOf(before.draft) === textOf(draft)) return;
    const other = before.table.place;
    report(
      `table ${draft.id} is given twice, first at ${other.source}:${other.line}, with other rules; it is unknown which version the kernel runs`,
      draft.name,
      draft.place,
    );
    this.doubts.push({ code: "table-given-twice", table: draft.id, places: [other, place] });
    this.damaged = true;
  }

  private noteErrors(source: string, diagnostics: readonly NftDiagnostic[]): void {
    const errors = diagnostics.filter(({ severity }) => severity === "error");
    const lines = new Set(errors.map(({ line }) => line));
    const [first] = errors;
    if (first !== undefined)
      this.doubts.push({
        code: "rule-errors",
        source,
        line: first.line,
        message: first.message,
        count: lines.size,
      });
  }
}

/**
 * Reports a listing that is cut off inside the header of a table. nft takes `table ip x` for a command, but ends its listings
 * with a line feed.
 */
function reportHeaderAtEnd({ entries }: Document, text: string, report: Report): void {
  const last = entries.at(-1);
  if (last?.kind !== "command" || last.object !== "table" || last.body !== null) return;
  if (text.endsWith("\n") || !/(^|\n)table [^\n]*$/.test(text)) return;
  report(`the text ends in the header of table ${last.family} ${last.table}: expected {`, last.table, last);
}

/** Returns true if no set of a listing has elements, though it has sets: `nft -t` prints none. */
function mayLackElements(drafts: readonly TableDraft[]): boolean {
  const sets = drafts.flatMap((draft) => [...draft.sets.values()]);
  return sets.length > 0 && sets.every(({ changes }) => changes.length === 0);
}

/** Text of the rules of a table, to compare two listings. */
const textOf = ({ chains }: TableDraft): string =>
  [...chains.values()]
    .map(
      ({ name, rules }) =>
        `${name}\n${rules.map(({ text }) => text.replace(/packets \d+ bytes \d+/g, "")).join("\n")}`,
    )
    .join("\n");
