/** Sets and maps, named and anonymous: their elements as ranges of values, and lookups in them. */
import type { Element, Expression, Position, Verdict } from "nftables-parser-ts";
import type { Range, Scalar } from "../packet/field.ts";
import { ANY, and, NEVER, normalizeRanges, opaque, or, type Predicate } from "../packet/predicate.ts";
import { siteKey } from "../rules/facts.ts";
import type { Datatype } from "./datatype.ts";
import type { CompileContext } from "./operand.ts";
import { type ReadValue, valueIn } from "./read-value.ts";
import { resolved, type Scope } from "./scope.ts";
import { readRanges } from "./values.ts";

/** Data of an element of a map. */
export type Data = Expression | Verdict;

/** An element with data, or of a set with several parts. */
interface KeyedElement {
  /** Ranges of each part of the key; `null` for the catch-all element `*`. */
  readonly key: readonly (readonly Range[])[] | null;
  readonly data: Data | null;
  /** It has a timeout. */
  readonly expires: boolean;
}

/** Reason why the elements of a set are not known. */
export type SetUnknown =
  /** Rules add or remove elements, or it has the flag `dynamic`. */
  | "changes"
  /** The question is about any elements (`Facts.setsVary`). */
  | "varies"
  /** The listing has no elements (`nft -t`). */
  | "unlisted"
  /** Some versions of nft make the kernel compare other bytes with the elements. */
  | "misread"
  /** nft prints other elements than the kernel has. */
  | "misprinted";

/** Sentences of these reasons. */
export const SET_REASONS: Readonly<Record<SetUnknown, string>> = {
  changes: "rules or programs add elements to this set or remove them",
  varies: "the elements of this set may change",
  unlisted: "the listing has no elements of this set",
  misprinted:
    "nft 1.0.6 to 1.1.3 print wrong elements for concatenations with a number in maps and intervals",
  misread: "nft 1.0.6 compares ip6 dscp wrongly with elements of named sets and concatenations",
};

/** A set or a map. */
export class ElementSet {
  /** Elements of a set with one part and without timeout. */
  private readonly plain: Range[] = [];
  private readonly others: KeyedElement[] = [];
  private sorted: readonly Range[] | undefined;

  constructor(
    /** Name for messages: `@blocked`; `""` for an anonymous set. */
    readonly name: string,
    /** Types of the parts of its keys; `null` if a type is unknown. */
    readonly types: readonly Datatype[] | null,
    /** Reason why it may have other elements, and whether the listed ones are sure. */
    public unknown: { readonly why: SetUnknown; readonly listed: boolean } | null = null,
  ) {}

  /** Returns the set with the same data, for keys of which no element is certain. */
  distrusted(why: SetUnknown): ElementSet {
    const set = new ElementSet(this.name, this.types, { why, listed: false });
    set.others.push(...this.others);
    return set;
  }

  /** Data of all elements, for the chains and addresses that they name. */
  *data(): Generator<Data, undefined> {
    for (const { data } of this.others) if (data !== null) yield data;
  }

  /** It is a map. */
  get hasData(): boolean {
    return this.others.some(({ data }) => data !== null);
  }

  /** An element is a range. */
  get hasIntervals(): boolean {
    return this.others.some(({ key }) => key?.some((part) => part.some(([lo, hi]) => lo !== hi)) === true);
  }

  /** It certainly has no element. */
  get isEmpty(): boolean {
    return this.unknown === null && this.plain.length + this.others.length === 0;
  }

  /** Values of a set with one part, all without timeout; `undefined` for any other. */
  get values(): readonly Range[] | undefined {
    return this.others.length > 0 || this.unknown !== null || this.plain.length === 0
      ? undefined
      : this.ranges();
  }

  /** Returns true if every value of a range has an element. */
  covers([first, last]: Range): boolean {
    const ranges = sortRanges(this.others.flatMap(({ key }) => key?.[0] ?? []));
    return ranges.some(([lo, hi]) => lo <= first && hi >= last);
  }

  /** Adds elements; faults are reported. */
  add(elements: readonly Element[], scope: Scope): void {
    const { types } = this;
    this.sorted = undefined;
    for (const element of elements) {
      const key = resolved(element.key, scope);
      if (key === null || types === null) continue;
      const { data, expires } = element;
      // A variable in braces may hold a set of elements.
      if (key.kind === "set") {
        this.add(key.elements, scope);
        continue;
      }
      if (key.kind === "catch-all") {
        this.others.push({ key: null, data, expires: expires === true });
        continue;
      }
      if (types.length === 1) {
        const ranges = readRanges(key, types[0]!, scope);
        if (ranges === null) continue;
        if (data === null && expires !== true) for (const range of ranges) this.plain.push(range);
        else this.others.push({ key: [ranges], data, expires: expires === true });
        continue;
      }
      const parts = readParts(key, types, scope, element.key.at);
      if (parts !== null) this.others.push({ key: parts, data, expires: expires === true });
    }
  }

  /** Removes the elements with the same keys. */
  remove(elements: readonly Element[], scope: Scope): void {
    const gone = new ElementSet("", this.types);
    gone.add(elements, scope);
    this.sorted = undefined;
    const plain = new Set(gone.plain.map((range) => range.join()));
    const keyed = new Set([...gone.others.map((each) => keyOf(each)), ...plain]);
    this.replace(
      this.plain.filter((range) => !plain.has(range.join())),
      this.others.filter((each) => !keyed.has(keyOf(each))),
    );
  }

  /** Removes all elements. */
  clear(): void {
    this.replace([], []);
  }

  private replace(plain: readonly Range[], others: readonly KeyedElement[]): void {
    this.sorted = undefined;
    this.plain.length = 0;
    for (const range of plain) this.plain.push(range);
    this.others.length = 0;
    for (const each of others) this.others.push(each);
  }

  /** Returns the reason why it may have other elements when a rule is evaluated; `null` if it has those that are listed. */
  unknownAt({ facts }: CompileContext): ElementSet["unknown"] {
    return this.name !== "" && facts.setsVary ? { why: "varies", listed: false } : this.unknown;
  }

  /** Returns the packets with an element for their key. The caller adds the guard of the key. */
  contains(key: readonly ReadValue[], at: CompileContext): Predicate {
    const listed = this.listed(key, at);
    const unknown = this.unknownAt(at);
    if (unknown === null) return listed;
    const other = this.unknownElement(unknown.why, at);
    return unknown.listed ? or(listed, other) : other;
  }

  private listed(key: readonly ReadValue[], at: CompileContext): Predicate {
    const sure: KeyedElement[] = [];
    const timed: KeyedElement[] = [];
    for (const each of this.others) (each.expires ? timed : sure).push(each);
    const plain = this.plain.length === 0 ? NEVER : valueIn(key[0]!, this.ranges(), at);
    const expiring = timed.length === 0 ? NEVER : and(membership(timed, key, at), this.unexpired(at));
    return or(plain, membership(sure, key, at), expiring);
  }

  private ranges(): readonly Range[] {
    return (this.sorted ??= sortRanges(this.plain));
  }

  private unexpired({ site }: CompileContext): Predicate {
    return opaque(siteKey(`timeout ${this.name}`, site), "the elements of a set have a timeout");
  }

  private unknownElement(why: SetUnknown, { site }: CompileContext): Predicate {
    return opaque(siteKey(`set ${this.name}`, site), SET_REASONS[why]);
  }

  /**
   * Returns the elements as cases in the order in which the kernel prefers them: the narrower of two elements that overlap,
   * and the catch-all element last. A map with unknown elements may have further ones before the last.
   */
  cases(key: readonly ReadValue[], at: CompileContext): { readonly when: Predicate; readonly data: Data }[] {
    if (this.unknown?.listed === false) return [];
    const keyed = this.others.filter((each) => each.key !== null && each.data !== null);
    const disjoint = keyed.every((each) => each.key!.length === 1 || isSingle(each.key!));
    const groups = disjoint
      ? groupByData(keyed)
      : keyed.sort((a, b) => volume(a) - volume(b)).map((each) => [each]);
    const last = this.others.filter((each) => each.key === null);
    const varies = this.unknownAt(at)?.why === "varies";
    return [...groups, ...last.map((each) => [each])].map((group) => {
      const listed = membership(group, key, at);
      const when = varies ? and(listed, this.unknownElement("varies", at)) : listed;
      return { when: group[0]!.expires ? and(when, this.unexpired(at)) : when, data: group[0]!.data! };
    });
  }
}

const keyOf = ({ key }: KeyedElement): string =>
  key === null ? "*" : key.map((part) => part.join()).join(" . ");

/** Reads the parts of a concatenated key. */
function readParts(
  key: Expression,
  types: readonly Datatype[],
  scope: Scope,
  at: Position | undefined,
): Range[][] | null {
  if (key.kind !== "concatenation" || key.parts.length !== types.length) {
    scope.report(`expected an element with ${types.length} parts`, "", key.at ?? at);
    return null;
  }
  const parts: Range[][] = [];
  for (const [i, part] of key.parts.entries()) {
    const ranges = readRanges(part, types[i]!, scope);
    if (ranges === null) return null;
    parts.push(ranges);
  }
  return parts;
}

const isSingle = (key: readonly (readonly Range[])[]): boolean =>
  key.every((part) => part.length === 1 && part[0]![0] === part[0]![1]);

/** Logarithm of the number of keys of an element. */
const volume = ({ key }: KeyedElement): number =>
  key!.reduce((sum, part) => sum + Math.log2(part.reduce((all, [lo, hi]) => all + width(lo, hi), 0)), 0);

const width = (lo: Scalar, hi: Scalar): number =>
  typeof lo === "string"
    ? lo === hi
      ? 1
      : 2 ** 16
    : Number(BigInt(hi as number) - BigInt(lo as number)) + 1;

/** Groups elements with the same data; no two overlap. */
function groupByData(elements: readonly KeyedElement[]): KeyedElement[][] {
  const groups = new Map<string, KeyedElement[]>();
  for (const each of elements) {
    const key = `${each.expires} ${dataText(each.data!)}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [each]);
    else group.push(each);
  }
  return [...groups.values()];
}

/** Text that is the same for equal data. Rules of an anonymous chain equal only themselves. */
function dataText(data: Data): string {
  if (data.kind === "verdict")
    return data.rules === undefined
      ? `${data.verdict} ${data.chain ?? ""}`
      : `rules ${data.rules[0]?.line}:${data.rules[0]?.column}`;
  return JSON.stringify(data, (name, value: unknown) => (name === "at" ? undefined : value));
}

/** Returns the packets whose key is one of the elements. */
function membership(
  elements: readonly KeyedElement[],
  key: readonly ReadValue[],
  at: CompileContext,
): Predicate {
  if (elements.length === 0) return NEVER;
  if (elements.some((each) => each.key === null)) return ANY;
  if (key.length === 1) return valueIn(key[0]!, sortRanges(elements.flatMap((each) => each.key![0]!)), at);
  // Elements that differ in one part only are compared together: the part with the most different values.
  const merged = key.map((_part, i) => new Set(elements.map((each) => each.key![i]!.join())).size);
  const varied = merged.indexOf(Math.max(...merged));
  const groups = new Map<string, { readonly key: KeyedElement["key"]; readonly ranges: Range[] }>();
  for (const { key: parts } of elements) {
    const rest = parts!.map((part, i) => (i === varied ? "" : part.join())).join(" . ");
    const group = groups.get(rest);
    if (group === undefined) groups.set(rest, { key: parts, ranges: [...parts![varied]!] });
    else group.ranges.push(...parts![varied]!);
  }
  return or(
    ...[...groups.values()].map((group) =>
      and(
        ...key.map((part, i) => valueIn(part, i === varied ? sortRanges(group.ranges) : group.key![i]!, at)),
      ),
    ),
  );
}

/** Sorts and joins ranges. Millions of single numbers are sorted as such. */
export function sortRanges(ranges: readonly Range[]): readonly Range[] {
  if (ranges.length < 2) return ranges;
  if (typeof ranges[0]![0] !== "number" || ranges.some(([lo, hi]) => lo !== hi))
    return normalizeRanges(ranges);
  const values = Float64Array.from(ranges, ([lo]) => lo as number).sort();
  const out: Range[] = [];
  let first = values[0]!;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (i + 1 < values.length && values[i + 1]! <= value + 1) continue;
    out.push([first, value]);
    first = values[i + 1] ?? 0;
  }
  return out;
}
