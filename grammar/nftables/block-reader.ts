/** Assembles units into sets, objects and tables. */

import type { Chain, Element, NamedObject, NamedSet, Position, Table } from "./ast.ts";
import { ChainReader, HAS_COMMENT, OBJECT, type Open } from "./chain-reader.ts";
import { parser } from "./definition-reader.ts";
import { truncate } from "./line-error.ts";
import { isComment, isFlags, isProperty } from "./property-lines.ts";
import { ShapeScanner } from "./shape-scanner.ts";
import type { Template } from "./shapes.ts";
import type { Unit } from "./text-cursor.ts";
import { unquote } from "./tokens.ts";

type Entry = Chain | NamedSet | NamedObject;

/** Handle and owner after the brace of a table. */
const TABLE_NOTE = /[ \t]*#(?: handle (\d+))?(?: progname ([^\n]*?))?[ \t\r]*(?=\n|$)/y;
const ELEMENTS = /elements[ \t]*=[ \t\n]*\{/y;

const NO_OPTIONS: readonly string[] = [];

/** Reads the blocks of one text. An instance is used once. */
export class BlockReader extends ChainReader {
  private readonly elementScanner: ShapeScanner<Template<Element> | null> | null;

  constructor(text: string, strict: boolean) {
    super(text, strict);
    this.elementScanner = strict ? null : new ShapeScanner(text);
  }

  /** Reads a table after its opening brace. */
  protected table(start: number, family: string, name: string, managed = false): Table {
    const place = this.cursor.locate(start);
    const note = this.cursor.match(TABLE_NOTE);
    const table: Open<Table> & { flags: readonly string[] } = {
      kind: "table",
      ...place,
      family: family as Table["family"],
      name,
      flags: [],
      comment: null,
      entries: [],
      ...(managed ? { managed: true as const } : {}),
      program: note?.[2] ?? null,
      handle: note?.[1] === undefined ? null : Number(note[1]),
    };
    const entries: Entry[] = [];
    table.entries = entries;
    this.block(
      `table ${family} ${name}`,
      table,
      () => {
        const at = this.cursor.at;
        const header = this.cursor.match(OBJECT);
        if (header !== null) entries.push(this.object(at, header[1]!.replace(/[ \t]+/g, " "), header[2]!));
        else this.tableProperty(table);
      },
      { inner: false },
    );
    return table;
  }

  /** `comment "x"`, `flags dormant`. */
  private tableProperty(table: Open<Table>): void {
    const unit = this.cursor.unit();
    const words = parser().words(unit.text);
    if (isComment(words)) this.setComment(table, unit, words);
    else if (isFlags(words)) table.flags = [...table.flags, ...flagsOf(words)];
    else this.lineFault(unit, words, "expected a chain, a set, a map or an object");
  }

  protected object(start: number, type: string, name: string): Entry {
    const place = this.cursor.locate(start);
    const handle = this.handleHere();
    if (type === "chain") return this.chain(place, name, handle);
    if (type === "set" || type === "map") return this.set(place, type, name, handle);
    const object: Open<NamedObject> = {
      kind: "object",
      ...place,
      type,
      name,
      body: [],
      comment: null,
      handle,
    };
    const body: (readonly string[])[] = [];
    object.body = body;
    this.block(`${type} ${name}`, object, () => {
      const unit = this.cursor.unit();
      const words = parser().words(unit.text);
      if (isComment(words)) this.setComment(object, unit, words);
      else body.push(this.objectProperty(type, unit, words));
    });
    return object;
  }

  /** Returns the words of a line of an object after checking them. */
  protected objectProperty(type: string, unit: Unit, words: readonly string[]): readonly string[] {
    if (!isProperty(type, words)) this.lineFault(unit, words, `expected a property of a ${type}`);
    return words;
  }

  private setComment(node: { comment: string | null }, unit: Unit, words: readonly string[]): void {
    if (node.comment === null) node.comment = unquote(words[1]!);
    else this.unitFault(unit, HAS_COMMENT);
  }

  /** Reports a line that was read as words; its quote may have no end. */
  private lineFault(unit: Unit, words: readonly string[], message: string): void {
    const last = words.at(-1) ?? "";
    if (/^"[^"]*$/.test(last))
      this.fault(unit, {
        message: "unterminated quote",
        found: truncate(last),
        at: unit.text.lastIndexOf(last),
      });
    else this.unitFault(unit, message);
  }

  private set(place: Position, kind: "set" | "map", name: string, handle: number | null): NamedSet {
    const set: Open<NamedSet> & { properties: (readonly string[])[] } = {
      kind,
      ...place,
      name,
      key: null,
      data: null,
      flags: [],
      properties: [],
      comment: null,
      elements: null,
      elementsPerLine: 0,
      handle,
    };
    this.block(`${kind} ${name}`, set, () => {
      if (this.cursor.match(ELEMENTS) !== null) this.elements(set);
      else this.setProperty(set, this.cursor.unit());
    });
    if (set.key === null) this.report("error", `missing type of ${kind} ${truncate(name)}`, place, "");
    return set;
  }

  private setProperty(set: Open<NamedSet> & { properties: (readonly string[])[] }, unit: Unit): void {
    const words = parser().words(unit.text);
    switch (words[0]) {
      case "type":
      case "typeof": {
        const { node, error } = parser().setType(unit.text);
        if (error !== null) this.fault(unit, error);
        else Object.assign(set, node);
        return;
      }
      case "flags":
        if (isFlags(words)) set.flags = [...set.flags, ...flagsOf(words)];
        else this.lineFault(unit, words, "expected flags of a set");
        return;
      case "comment":
        if (isComment(words)) this.setComment(set, unit, words);
        else this.lineFault(unit, words, "expected a string after comment");
        return;
      default:
        if (!isProperty(set.kind, words)) this.lineFault(unit, words, "expected a property of a set");
        set.properties.push(words);
        if (unit.comment.startsWith(" count ")) set.properties.push(["#", ...unit.comment.trim().split(" ")]);
    }
  }

  /** Reads the elements after `elements = {`. */
  private elements(set: Open<NamedSet>): void {
    const { elements, perLine } = this.elementList();
    set.elements = set.elements === null ? elements : [...set.elements, ...elements];
    if (set.elementsPerLine === 0) set.elementsPerLine = perLine;
  }

  /** Reads elements up to the closing brace. `perLine`: number of those in the first line; 0 if all are in one. */
  protected elementList(): { readonly elements: Element[]; readonly perLine: number } {
    const { cursor } = this;
    const elements: Element[] = [];
    let perLine = 0;
    for (;;) {
      const found = cursor.nextElement();
      if (found === 0) return { elements, perLine };
      if (found === 2 && perLine === 0) perLine = elements.length;
      const element = this.scannedElement();
      if (element !== null) {
        elements.push(element);
        continue;
      }
      const unit = cursor.element();
      const { node, error } = parser().elementOf(unit.text);
      if (error !== null) this.fault(unit, error);
      else elements.push(node);
    }
  }

  /** Reads an element as nft prints it; `null` if the grammar must read it. */
  private scannedElement(): Element | null {
    const { cursor, elementScanner: scanner } = this;
    if (scanner === null || !scanner.element(cursor.at)) return null;
    const { end, next } = scanner;
    if (scanner.isLiteral()) {
      cursor.at = next;
      return {
        key: { kind: "value", text: scanner.value(0), quoted: false },
        data: null,
        options: NO_OPTIONS,
      };
    }
    let template = scanner.find();
    if (template === undefined) {
      template = parser().elementTemplate(cursor.text.slice(cursor.at, end));
      scanner.learn(template);
    }
    if (template === null) return null;
    cursor.at = next;
    return template.build(scanner.values());
  }
}

/** Returns the flags of `flags interval,timeout`. */
function flagsOf(words: readonly string[]): string[] {
  return words.slice(1).filter((word) => word !== ",");
}
