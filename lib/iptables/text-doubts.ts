/** Collects reasons why the kernel may evaluate other rules than those of the texts. */
import type { Document, Table as TableSyntax } from "iptables-parser-ts";
import type { Family } from "../packet/field.ts";
import { type Backend, type Release, type TableId, type Unread, unknownChains } from "../rules/ruleset.ts";
import type { RulesetDoubt, TablePlace } from "../rules/ruleset-doubt.ts";
import { saveProgram } from "./table-family.ts";

/** Faults of one text. They are one doubt, however many there are. */
interface Faults {
  readonly family: Family;
  readonly source: string;
  /** The first message of each line, in the order of the text. */
  readonly messages: Map<number, string>;
}

/** Collects the doubts of each family while texts are read. */
export class TextDoubts {
  /** Doubts of each family by their JSON, each once. */
  private readonly known: Readonly<Record<Family, Map<string, RulesetDoubt>>> = {
    4: new Map(),
    6: new Map(),
  };
  /** Releases of the programs that printed texts. */
  private readonly printed: Readonly<Record<Family, Map<Backend | null, Release | null>>> = {
    4: new Map(),
    6: new Map(),
  };
  /** Backends with tables in the texts. */
  private readonly given: Readonly<Record<Family, Set<Backend>>> = { 4: new Set(), 6: new Set() };
  /** Families for which iptables-nft warned of tables of iptables-legacy. */
  private readonly warned = new Set<Family>();
  private readonly unread = new Map<Family, Set<string>>();
  private readonly faults = new Map<string, Faults>();
  /** Families with rules that may be missing. */
  readonly damaged = new Set<Family>();

  /**
   * Reads the comments of the save programs, which name their backend and rules that they do not print. The kernel evaluates
   * the rules of both backends and those of nftables (iptables/xshared.c, iptables/xtables-save.c).
   */
  comments(document: Document, given: Family | undefined): void {
    let family: Family = given ?? 4;
    for (const { kind, ...entry } of document.entries) {
      if (kind !== "comment" || !("text" in entry)) continue;
      const { text } = entry;
      const program = saveProgram(text);
      if (program !== null) {
        family = given ?? program.family ?? 4;
        this.printed[family].set(program.backend, program.release);
      }
      const legacy = /Warning: ip(6?)tables-legacy tables present/.exec(text);
      if (legacy !== null) this.warned.add(given ?? (legacy[1] === "6" ? 6 : 4));
      const native = /Table `(\S+)' (?:is incompatible|contains incompatible)/.exec(text);
      if (native !== null) {
        const table = native[1]!;
        this.addUnread(family, `nftables table ${family === 4 ? "ip" : "ip6"} ${table}`);
        this.add(family, { code: "nft-rules-missing", table });
      }
    }
  }

  /** Returns the release of the program of a backend that printed texts of a family. */
  releaseOf(family: Family, backend: Backend | null): Release | undefined {
    const releases = this.printed[family];
    return releases.get(backend) ?? [...releases.values()].find((r) => r !== null) ?? undefined;
  }

  /** Notes a table, and that its text is not complete. */
  table(
    family: Family,
    backend: Backend | null,
    source: string,
    { name, line, implied, commit }: TableSyntax,
  ): void {
    if (backend !== null) this.given[family].add(backend);
    if (implied === true || commit === null) this.damaged.add(family);
    if (implied === true) this.add(family, { code: "unnamed-table", source, line, table: name });
    else if (commit === null) this.add(family, { code: "no-commit", source, line, table: name });
  }

  /** Notes that a table is given twice with different rules. */
  conflict(family: Family, table: TableId, places: readonly [TablePlace, TablePlace]): void {
    this.damaged.add(family);
    this.add(family, { code: "table-given-twice", table, places });
  }

  /** Notes an error in a rule or a chain: its unknown part may decide the verdict. */
  fault(family: Family, source: string, line: number, message: string): void {
    const key = `${family} ${source}`;
    let known = this.faults.get(key);
    if (known === undefined) this.faults.set(key, (known = { family, source, messages: new Map() }));
    if (!known.messages.has(line)) known.messages.set(line, message);
  }

  /**
   * Notes lines that were dropped.
   * @param families those of the tables of the text; without tables the lines belong to no ruleset
   */
  lost(
    families: ReadonlySet<Family>,
    source: string,
    lines: ReadonlySet<number>,
    textOf: (line: number) => string,
  ): void {
    if (lines.size === 0) return;
    const sorted = [...lines].sort((a, b) => a - b);
    const open = sorted.find((line) => endsInQuote(textOf(line)));
    for (const family of families) {
      this.damaged.add(family);
      for (const line of lines) this.faults.get(`${family} ${source}`)?.messages.delete(line);
      this.add(family, { code: "unreadable-lines", source, line: sorted[0]!, count: lines.size });
      if (open !== undefined) this.add(family, { code: "open-quote", source, line: open });
    }
  }

  /** Returns the doubts of a family. */
  of(family: Family): readonly RulesetDoubt[] {
    const out = [...this.known[family].values()];
    for (const { family: own, source, messages } of this.faults.values()) {
      const [first] = messages;
      if (own !== family || first === undefined) continue;
      const [line, message] = first;
      out.push({ code: "rule-errors", source, line, message, count: messages.size });
    }
    if (this.lacksLegacy(family)) out.push({ code: "legacy-rules-missing" });
    return out;
  }

  /** Returns true if iptables-nft warned of tables of iptables-legacy that no text has. */
  private lacksLegacy(family: Family): boolean {
    return this.warned.has(family) && !this.given[family].has("iptables-legacy");
  }

  /** Returns base chains that the comments name and the text does not have, at unknown hooks. */
  unreadOf(family: Family): readonly Unread[] {
    if (this.lacksLegacy(family)) this.addUnread(family, "iptables-legacy");
    return [...(this.unread.get(family) ?? [])].flatMap(unknownChains);
  }

  private addUnread(family: Family, by: string): void {
    this.unread.set(family, (this.unread.get(family) ?? new Set()).add(by));
  }

  private add(family: Family, doubt: RulesetDoubt): void {
    const key = JSON.stringify(doubt);
    if (!this.known[family].has(key)) this.known[family].set(key, doubt);
  }
}

/** Returns true for a line with an unclosed quote, by the rules of iptables-restore (`add_param_to_argv`, xshared.c). */
function endsInQuote(line: string): boolean {
  let inside = false;
  for (let i = 0; i < line.length; i++) {
    if (inside && line[i] === "\\") i++;
    else if (line[i] === '"') inside = !inside;
  }
  return inside;
}
