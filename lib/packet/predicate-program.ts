/**
 * Compiles a list of predicates into one program of tests on 32-bit numbers. A test that fails continues with the next
 * predicate. An opaque match and a mask over IPv6 addresses are not compiled: the program reports their predicate as
 * undecided, and the caller evaluates it.
 */
import { FIELDS, type Field, type Range, type Scalar, successor } from "./field.ts";
import { normalizeRanges, type Predicate, visitLeaves } from "./predicate.ts";

/** Numbers per test: `(register & mask) - low <= span` selects one of two next tests. */
export const STRIDE = 6;

/** Maps a value that is not a 32-bit number (IPv6 address, name) to the index of its interval. */
export class ValueCoder {
  private readonly memo = new Map<Scalar, number>();
  constructor(private readonly bounds: readonly Scalar[]) {}

  code(value: Scalar): number {
    let code = this.memo.get(value);
    if (code !== undefined) return code;
    let low = 0;
    let high = this.bounds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.bounds[middle]! <= value) low = middle + 1;
      else high = middle;
    }
    code = low;
    // Names repeat from packet to packet, addresses often do not.
    if (typeof value === "string" && this.memo.size < 1024) this.memo.set(value, code);
    return code;
  }
}

/** Returns true if all values of a field are 32-bit numbers. */
const fitsRegister = (field: Field, ipv6: boolean): boolean => {
  const kind = FIELDS[field];
  return kind === "address" ? !ipv6 : typeof kind === "number" && kind <= 0xffff_ffff;
};

/** A list of predicates in compiled form. */
export interface PredicateProgram {
  /** Fields of the predicates, one per register. */
  readonly fields: readonly Field[];
  /** Coder of each register; `null` if the register contains the value itself. */
  readonly coders: readonly (ValueCoder | null)[];
  /** The tests, `STRIDE` numbers each. A negative next test is a result, `~result`. */
  readonly code: Int32Array;
  /** Index of the predicate of each test. */
  readonly owners: Int32Array;
  /** First test of each predicate, and of the end of the list. */
  readonly starts: Int32Array;
}

/** Compiles a list of predicates. */
export function compileProgram(list: readonly Predicate[]): PredicateProgram {
  const registers = new Map<Field, number>();
  const constants = new Map<Field, Range[]>();
  let ipv6 = false;
  for (const predicate of list)
    visitLeaves(predicate, (leaf) => {
      if (leaf.kind === "opaque" || (leaf.kind === "in" && leaf.ranges.length === 0)) return;
      if (!registers.has(leaf.field)) registers.set(leaf.field, registers.size);
      if (leaf.kind === "bits") ipv6 ||= typeof leaf.mask === "bigint";
      else {
        ipv6 ||= typeof leaf.ranges[0]![0] === "bigint";
        const ranges = constants.get(leaf.field) ?? [];
        ranges.push(...leaf.ranges);
        constants.set(leaf.field, ranges);
      }
    });
  const fields = [...registers.keys()];
  const coders = fields.map((field) =>
    fitsRegister(field, ipv6) ? null : new ValueCoder(boundsOf(constants.get(field) ?? [])),
  );
  const writer = new ProgramWriter(registers, coders);
  const starts = new Int32Array(list.length + 1);
  let next = ~(2 * list.length);
  starts[list.length] = next;
  for (let rule = list.length - 1; rule >= 0; rule--) {
    next = writer.write(list[rule]!, rule, next);
    starts[rule] = next;
  }
  const { code, owners, reversed } = writer.finish();
  return { fields, coders, code, owners, starts: starts.map(reversed) };
}

/** Returns the first value of each range and the first value after it, sorted. */
function boundsOf(ranges: readonly Range[]): Scalar[] {
  const bounds = new Set<Scalar>();
  for (const [lo, hi] of ranges) bounds.add(lo).add(successor(hi));
  return [...bounds].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

/** Writes the program from its end to its start, so that the targets of all jumps are known. */
class ProgramWriter {
  private code = new Int32Array(1 << 10);
  private owners = new Int32Array(1 << 8);
  private length = 0;
  private rule = 0;

  constructor(
    private readonly registers: ReadonlyMap<Field, number>,
    private readonly coders: readonly (ValueCoder | null)[],
  ) {}

  /**
   * Writes the tests of one predicate.
   * @param no next test if the predicate is false
   * @returns the first test of the predicate, or `~result` if it needs none
   */
  write(predicate: Predicate, rule: number, no: number): number {
    this.rule = rule;
    return this.writePart(predicate, ~(2 * rule), no);
  }

  private writePart(p: Predicate, yes: number, no: number): number {
    switch (p.kind) {
      case "any":
        return yes;
      case "not":
        return this.writePart(p.not, no, yes);
      case "and":
        return opaqueLast(p.all).reduceRight((next, part) => this.writePart(part, next, no), yes);
      case "or":
        return opaqueLast(p.some).reduceRight((next, part) => this.writePart(part, yes, next), no);
      case "opaque":
        return ~(2 * this.rule + 1);
      case "bits": {
        const register = this.registers.get(p.field)!;
        if (this.coders[register] !== null) return ~(2 * this.rule + 1);
        return this.writeTest(register, p.mask as number, p.value as number, 0, yes, no);
      }
      case "in": {
        const ranges = normalizeRanges(p.ranges);
        return this.writeRanges(this.registers.get(p.field)!, ranges, 0, ranges.length, yes, no);
      }
    }
  }

  /** Writes the tests for the ranges `list[first]` to `list[end - 1]`: a binary search that ends with up to 4 tests. */
  private writeRanges(
    register: number,
    list: readonly Range[],
    first: number,
    end: number,
    yes: number,
    no: number,
  ): number {
    const coder = this.coders[register]!;
    const code = (value: Scalar): number => (coder === null ? (value as number) : coder.code(value));
    if (end - first > 4) {
      const middle = (first + end) >>> 1;
      const above = this.writeRanges(register, list, middle, end, yes, no);
      const below = this.writeRanges(register, list, first, middle, yes, no);
      return this.writeTest(register, -1, 0, code(list[middle]![0]) - 1, below, above);
    }
    let next = no;
    for (let i = end - 1; i >= first; i--) {
      const low = code(list[i]![0]);
      next = this.writeTest(register, -1, low, code(list[i]![1]) - low, yes, next);
    }
    return next;
  }

  private writeTest(
    register: number,
    mask: number,
    low: number,
    span: number,
    yes: number,
    no: number,
  ): number {
    if (yes === no) return yes;
    if (this.length + STRIDE > this.code.length) {
      const code = new Int32Array(2 * this.code.length);
      code.set(this.code);
      this.code = code;
      const owners = new Int32Array(2 * this.owners.length);
      owners.set(this.owners);
      this.owners = owners;
    }
    const at = this.length;
    this.code[at] = register;
    this.code[at + 1] = mask;
    this.code[at + 2] = low;
    this.code[at + 3] = span;
    this.code[at + 4] = yes;
    this.code[at + 5] = no;
    this.owners[at / STRIDE] = this.rule;
    this.length += STRIDE;
    return at;
  }

  /** Returns the program in the order of execution, and the function that maps a position to that order. */
  finish(): { code: Int32Array; owners: Int32Array; reversed: (position: number) => number } {
    const { length } = this;
    const reversed = (position: number): number => (position < 0 ? position : length - STRIDE - position);
    const code = new Int32Array(length);
    const owners = new Int32Array(length / STRIDE);
    for (let at = 0; at < length; at += STRIDE) {
      const to = reversed(at);
      for (let i = 0; i < 4; i++) code[to + i] = this.code[at + i]!;
      code[to + 4] = reversed(this.code[at + 4]!);
      code[to + 5] = reversed(this.code[at + 5]!);
      owners[to / STRIDE] = this.owners[at / STRIDE]!;
    }
    return { code, owners, reversed };
  }
}

/** Moves parts that contain an opaque match to the end, since the other parts may decide the result. */
function opaqueLast(parts: readonly Predicate[]): readonly Predicate[] {
  const hasOpaque = (p: Predicate): boolean => {
    let found = false;
    visitLeaves(p, (leaf) => (found ||= leaf.kind === "opaque"));
    return found;
  };
  const last = parts.filter(hasOpaque);
  return last.length === 0 ? parts : [...parts.filter((p) => !last.includes(p)), ...last];
}
