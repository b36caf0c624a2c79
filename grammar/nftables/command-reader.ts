/** Reads commands as `nft -f` takes these: `add rule ip filter input accept`, `flush ruleset`, `define x = 5`. */

import type { Command, SetLiteral, Table } from "./ast.ts";
import { BlockReader } from "./block-reader.ts";
import { FAMILIES, NAME, OBJECTS } from "./chain-reader.ts";
import { BLANK, BLANKS, DEFINITION, parser } from "./definition-reader.ts";
import { reservedWords } from "./vocabulary.ts";

type Body = Command["body"];
type Place = Command["place"];

/** A command whose body has not been read. */
interface Head {
  readonly verb: string;
  readonly object: string;
  readonly family: Table["family"];
  readonly table: string;
  readonly name: string;
  readonly place: Place;
}

const VERB = new RegExp(
  `(?:(add|create|insert|replace|delete|destroy|flush|rename|reset|list)(?=${BLANK}|\\n|;|$)${BLANK}*)?`,
  "y",
);
const INCLUDE = new RegExp(`include${BLANK}+("[^"\\n]*"?|[^\\s;]+)`, "y");
const OBJECT = new RegExp(`(table|chain|rule|set|map|meter|element|${OBJECTS})(?=${BLANK})`, "y");
const RULESET = new RegExp(`ruleset(?:${BLANK}+(${FAMILIES}))?(?![\\w-])`, "y");
const FAMILY = new RegExp(`${BLANK}*(${FAMILIES})(?=${BLANK})`, "y");
const WORD = new RegExp(`${BLANK}*(${NAME})`, "y");
const IDENTIFIER = /^[A-Za-z_][\w./\\-]*$/;
const PLACE = new RegExp(`${BLANK}*(handle|index|position)${BLANK}+(\\d+)`, "y");
const OPEN = new RegExp(`${BLANK}*\\{`, "y");

const EXPECTED = "expected a table or a command";

export class CommandReader extends BlockReader {
  /** Reads a command. Returns `null` after an error, or for what has no effect. */
  protected command(): Command | null {
    const { cursor } = this;
    const start = cursor.at;
    const include = cursor.match(INCLUDE);
    if (include !== null) {
      const message =
        "include is not followed: what that file contains is missing; give its text in place of the line";
      return this.skipCommand(start, message, include[1]!);
    }
    if (cursor.starts(DEFINITION)) return this.definition();
    const verb = cursor.match(VERB)?.[1] ?? "add";
    const ruleset = cursor.match(RULESET);
    if (ruleset !== null) {
      const head = {
        object: "ruleset",
        family: "ip",
        table: "",
        name: ruleset[1] ?? "",
        place: null,
      } as const;
      return this.finish(start, { verb, ...head }, null);
    }
    const object = cursor.match(OBJECT)?.[1]?.replace(/\s+/g, " ");
    if (verb === "list" || (verb === "reset" && object === undefined)) {
      cursor.unit();
      return null;
    }
    if (object === undefined) return this.skipCommand(start, EXPECTED);
    return this.objectCommand(start, verb, object);
  }

  private objectCommand(start: number, verb: string, object: string): Command | null {
    const { cursor } = this;
    const family = (cursor.match(FAMILY)?.[1] ?? "ip") as Table["family"];
    const byHandle = object !== "rule" && (verb === "delete" || verb === "destroy");
    let place = byHandle && object === "table" ? this.place() : null;
    const table = place === null ? this.word() : "";
    if (table === null) return this.skipCommand(start, `expected the name of a table after ${object}`);
    let name = "";
    if (object !== "table") {
      place = byHandle ? this.place() : null;
      const found = place === null ? this.word() : "";
      if (found === null) return this.skipCommand(start, `expected a name after ${table}`);
      name = found;
    }
    if (object === "rule") place = this.place();
    const needed = object === "rule" ? (RULE_PLACES.get(verb) ?? null) : null;
    if (needed !== null && place?.word !== needed)
      return this.skipCommand(start, `expected ${needed} and a number after ${name}`);
    const head: Head = { verb, object, family, table, name, place };
    const newName = verb === "rename" ? this.word() : null;
    if (newName !== null) return this.finish(start, head, null, newName);
    return this.finish(start, head, this.body(start, head));
  }

  /** Reads what follows the names: a rule, a block, elements. */
  private body(start: number, { verb, object, family, table, name }: Head): Body {
    const { cursor } = this;
    if (object === "rule") {
      if (verb === "delete" || verb === "destroy" || verb === "reset") return null;
      cursor.match(BLANKS);
      return this.rule(cursor.unit());
    }
    const open = cursor.match(OPEN) !== null;
    if (object === "element") return this.elementsOf(open);
    if (object === "table") return open ? this.table(start, family, table) : null;
    if (open) return this.object(start, object, name);
    if (verb !== "add" && verb !== "create") return null;
    if (object !== "chain") return OBJECT_BODY.has(object) ? this.inlineObject(start, object, name) : null;
    const base = { base: null, comment: null, flags: [], rules: [], handle: null };
    return { kind: "chain", ...cursor.locate(start), name, ...base };
  }

  /** An object without a block: `add counter ip x y`, `add limit ip x y rate 10/second`. */
  private inlineObject(start: number, type: string, name: string): Body {
    const place = this.cursor.locate(start);
    this.cursor.match(BLANKS);
    const unit = this.cursor.unit();
    const words = parser().words(unit.text);
    if (words.length > 0 || type !== "counter") this.objectProperty(type, unit, words);
    return {
      kind: "object",
      ...place,
      type,
      name,
      body: words.length === 0 ? [] : [words],
      comment: null,
      handle: null,
    };
  }

  private elementsOf(open: boolean): SetLiteral {
    if (open) return { kind: "set", elements: this.elementList().elements };
    this.cursor.match(BLANKS);
    const unit = this.cursor.unit();
    const { node, error } = parser().elementOf(unit.text);
    if (error !== null) this.fault(unit, error);
    return { kind: "set", elements: error === null ? [node] : [] };
  }

  /** Reads a name that nft takes in a command. Listings have others, because programs need not follow the syntax of nft. */
  private word(): string | null {
    const name = this.cursor.match(WORD)?.[1];
    return name !== undefined && IDENTIFIER.test(name) && !reservedWords.has(name) ? name : null;
  }

  private place(): Place {
    const found = this.cursor.match(PLACE);
    return found === null ? null : { word: found[1]!, number: Number(found[2]) };
  }

  /** Checks that the command ends here. */
  private finish(start: number, head: Head, body: Body, newName?: string): Command | null {
    const place = this.cursor.locate(start);
    this.expectEnd();
    return { kind: "command", ...place, ...head, ...(newName === undefined ? {} : { newName }), body };
  }

  private skipCommand(start: number, message: string, found?: string): null {
    const { cursor } = this;
    cursor.at = start;
    const excerpt = found ?? cursor.excerpt();
    const unit = cursor.unit();
    if (unit.text === "" && !cursor.done) cursor.at++;
    this.report("error", message, cursor.locate(start), excerpt);
    return null;
  }
}

/** Words before the number of a rule, for commands that need one. */
const RULE_PLACES: ReadonlyMap<string, string> = new Map([
  ["replace", "handle"],
  ["delete", "handle"],
  ["destroy", "handle"],
]);
/** Objects that need no block. */
const OBJECT_BODY: ReadonlySet<string> = new Set(["counter", "quota", "limit", "synproxy", "secmark"]);
