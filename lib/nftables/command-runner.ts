/** Executes the entries of a text in their order: blocks of tables, and commands as `nft -f` takes them. */
import type {
  Command,
  Document,
  Element,
  Rule as RuleSyntax,
  Table as TableSyntax,
} from "nftables-parser-ts";
import type { Report } from "./scope.ts";
import { type Definitions, type DraftChain, defined, NO_DEFINITIONS, TableDraft } from "./table-draft.ts";

/** Runs the entries of one text. */
export class CommandRunner {
  readonly tables = new Map<string, TableDraft>();
  /** The text has commands, so that it is no listing. */
  isScript = false;
  private definitions: Definitions = NO_DEFINITIONS;

  constructor(private readonly report: Report) {}

  run({ entries }: Document): void {
    for (const entry of entries)
      if (entry.kind === "table") this.block(entry);
      else if (entry.kind === "command") {
        this.isScript = true;
        this.command(entry);
      }
  }

  private block(block: TableSyntax): void {
    this.table(block.family, block.name, block).addBlock(block, this.definitions);
  }

  private table(family: TableSyntax["family"], name: string, place: Command | TableSyntax): TableDraft {
    const id = `${family} ${name}`;
    let table = this.tables.get(id);
    if (table === undefined) this.tables.set(id, (table = new TableDraft(family, name, place)));
    return table;
  }

  private command(command: Command): void {
    switch (command.verb) {
      case "define":
      case "redefine":
      case "undefine":
        this.definitions = defined(this.definitions, command);
        break;
      case "add":
      case "create":
      case "insert":
      case "replace":
        this.add(command);
        break;
      case "delete":
      case "destroy":
        this.remove(command);
        break;
      case "flush":
        this.flush(command);
        break;
      case "rename":
        this.report("rename is not followed; the chain keeps its old name", "rename", command);
        break;
      // These print something and change no rule.
      case "list":
      case "reset":
        break;
      default:
        this.report(`unknown command ${command.verb}`, command.verb, command);
    }
  }

  private add(command: Command): void {
    const { body } = command;
    const { definitions } = this;
    const table = this.table(command.family, command.table, command);
    if (body === null) return;
    switch (body.kind) {
      case "table":
        table.addBlock(body, definitions);
        break;
      case "chain":
        table.addChain(body, definitions);
        break;
      case "rule":
        this.addRule(table, command, body);
        break;
      case "set":
      case "map":
        // `add element` changes a set that exists; `add set` declares one.
        if ("flags" in body && command.object !== "element") table.addSet(body, definitions);
        else if ("elements" in body) this.addElements(table, command, body.elements ?? []);
        break;
      case "object":
        table.objects.set(`${body.type} ${body.name}`, body);
    }
  }

  private addElements(table: TableDraft, command: Command, elements: readonly Element[]): void {
    const set = table.sets.get(command.name);
    if (set === undefined) this.missing("set", command);
    else set.changes.push({ verb: "add", elements, definitions: this.definitions });
  }

  private missing(what: string, command: Command): void {
    const { object, place } = command;
    if (place !== null && object !== "rule") {
      this.report(
        `${object} with ${place.word} ${place.number} is unknown; use its name`,
        place.word,
        command,
      );
      return;
    }
    if (command.verb === "destroy") return;
    this.report(
      `${what} ${command.name} does not exist in table ${command.family} ${command.table}`,
      command.name,
      command,
    );
  }

  private addRule(table: TableDraft, command: Command, syntax: RuleSyntax): void {
    const chain = table.chains.get(command.name);
    if (chain === undefined) {
      this.missing("chain", command);
      return;
    }
    chain.define(syntax, this.definitions);
    const { place, verb } = command;
    const at = place === null ? -1 : ruleAt(chain, place);
    if (place !== null && at < 0)
      this.report(
        `chain ${command.name} has no rule with ${place.word} ${place.number}`,
        place.word,
        command,
      );
    if (verb === "replace") {
      if (at >= 0) chain.edit()[at] = syntax;
    } else if (verb === "insert") chain.edit().splice(Math.max(0, at), 0, syntax);
    else chain.edit().splice(at < 0 ? chain.rules.length : at + 1, 0, syntax);
  }

  private remove(command: Command): void {
    const { object, name, body, place } = command;
    const id = `${command.family} ${command.table}`;
    const table = this.tables.get(id);
    if (place !== null && object !== "rule") this.missing(object, command);
    else if (object === "table") {
      if (!this.tables.delete(id) && command.verb !== "destroy")
        this.report(`table ${id} does not exist`, command.table, command);
    } else if (table === undefined) this.missing(object, command);
    else if (object === "chain") {
      if (!table.chains.delete(name)) this.missing("chain", command);
    } else if (object === "rule") {
      const chain = table.chains.get(name);
      const at = chain === undefined || place === null ? -1 : ruleAt(chain, place);
      if (at < 0) this.missing("rule", command);
      else chain!.edit().splice(at, 1);
    } else if (object === "element") {
      const set = table.sets.get(name);
      const elements = body !== null && "elements" in body ? (body.elements ?? []) : [];
      if (set === undefined) this.missing("set", command);
      else set.changes.push({ verb: "remove", elements, definitions: this.definitions });
    } else if (object === "set" || object === "map") {
      if (!table.sets.delete(name)) this.missing("set", command);
    } else if (!table.objects.delete(`${object} ${name}`)) this.missing(object, command);
  }

  /** A flush removes rules or elements, and of `ruleset` the tables themselves. */
  private flush(command: Command): void {
    if (command.object === "ruleset") {
      // `flush ruleset ip` names a family; without one all tables go.
      for (const [id, { family }] of this.tables)
        if (command.name === "" || family === command.name) this.tables.delete(id);
      return;
    }
    const table = this.tables.get(`${command.family} ${command.table}`);
    if (command.object === "table") for (const chain of table?.chains.values() ?? []) chain.edit().length = 0;
    else if (command.object === "chain") {
      const chain = table?.chains.get(command.name);
      if (chain === undefined) this.missing("chain", command);
      else chain.edit().length = 0;
    } else if (["set", "map", "meter"].includes(command.object)) {
      const set = table?.sets.get(command.name);
      if (set === undefined) this.missing("set", command);
      else set.changes.push({ verb: "clear", elements: [], definitions: this.definitions });
    }
  }
}

/** Returns the index of a rule by `index` or `handle` (`position` is an old name of handles); -1 if there is none. */
const ruleAt = ({ rules }: DraftChain, { word, number }: NonNullable<Command["place"]>): number =>
  word === "index"
    ? number < rules.length
      ? number
      : -1
    : rules.findIndex(({ handle }) => handle === number);
