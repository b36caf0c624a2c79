/** Values that the reading of a rule depends on. Other rules of the shape need checks of these, and no reading. */
import type { Expression } from "nftables-parser-ts";
import type { Datatype } from "./datatype.ts";

/** A value that must be a literal of a datatype. */
export interface LiteralUse {
  /** Index of the value in its rule. */
  readonly index: number;
  readonly type: Datatype;
  /** The literal is a quoted text; `null` if it is no single value, as a range. */
  readonly quoted: boolean | null;
}

/** Records how values are used while a rule is read. Its scope contains it, and the values of the rule call `read`. */
export class ValueUses {
  readonly literals: LiteralUse[] = [];
  /** Indexes of names of chains. */
  readonly chains: number[] = [];
  /** Indexes of values with any other use. */
  readonly others = new Set<number>();
  private current: Set<number> | null = null;

  /** Records that a value was read. */
  readonly read = (index: number): void => {
    (this.current ?? this.others).add(index);
  };

  /**
   * Reads a literal. Its only use is as a value of the datatype: whether it is one, depends on its text alone.
   * @param parse reads it
   */
  literal<T>(given: Expression, type: Datatype, parse: () => T): T {
    const quoted = given.kind === "value" ? given.quoted : null;
    return this.use(parse, (index) => this.literals.push({ index, type, quoted }));
  }

  /** Reads the name of a chain, which must exist. */
  chain(name: () => string): string {
    return this.use(name, (index) => this.chains.push(index));
  }

  private use<T>(read: () => T, add: (index: number) => void): T {
    // A part of another literal.
    if (this.current !== null) return read();
    const indexes = new Set<number>();
    this.current = indexes;
    const result = read();
    this.current = null;
    const [index] = indexes;
    if (index !== undefined && indexes.size === 1) add(index);
    else for (const each of indexes) this.others.add(each);
    return result;
  }
}
