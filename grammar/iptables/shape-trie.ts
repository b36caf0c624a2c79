/**
 * The shapes of a text, in a trie with which the scanner finds them without the parser.
 *
 * A shape contains all that the grammar depends on: the options, the negations, the number of values of each option, the
 * names of matches, and the name of a target that is an extension. The name of a user chain is a value. The grammar
 * therefore gives the same result for all rules that follow the same path through the trie, and parses only the first.
 */

import type { Shape, ShapeOption } from "./ast.ts";
import { freeOptions, isBareValue, isExtensionTarget } from "./tokens.ts";

/** Returns true for `-m`. */
export const isMatch = (option: string): boolean => option === "-m" || option === "--match";

/** Returns true for `-j` and `-g`. */
export const isJump = (option: string): boolean =>
  option === "-j" || option === "-g" || option === "--jump" || option === "--goto";

/** Kinds of words that can follow a node. */
export const ExpectedWord = {
  /** An option, `!` or a value, depending on the word. */
  any: 0,
  /** A value, also if it looks like an option. */
  free: 1,
  /** The name of a match. */
  match: 2,
  /** The name of a target or a chain. */
  jump: 3,
} as const;

function expectedAfter(option: string): number {
  if (isMatch(option)) return ExpectedWord.match;
  if (isJump(option)) return ExpectedWord.jump;
  return freeOptions.has(option) ? ExpectedWord.free : ExpectedWord.any;
}

/** The words of a rule up to one point. */
export class TrieNode {
  /** Nodes after words that belong to the shape: options, `!`, names. A node that is found moves one place forward. */
  readonly children: TrieNode[] = [];
  /** Node after a value. */
  valueChild: TrieNode | null = null;
  /** Shape of a rule that ends here. */
  shape: Shape | null = null;
  private readonly codes: Uint8Array;

  constructor(
    /** Kind of the next word. */
    readonly expected: number,
    /** Last word, if it belongs to the shape; `""` for a value. */
    readonly word: string,
  ) {
    this.codes = Uint8Array.from(word, (c) => c.charCodeAt(0));
  }

  /** Returns the node after the word at these codes, if that word belongs to a shape. */
  find(codes: Uint8Array, start: number, end: number): TrieNode | null {
    const { children: words } = this;
    next: for (let i = 0; i < words.length; i++) {
      const node = words[i]!;
      const own = node.codes;
      if (own.length !== end - start) continue;
      for (let j = own.length - 1; j >= 0; j--) if (own[j] !== codes[start + j]) continue next;
      if (i > 0) {
        words[i] = words[i - 1]!;
        words[i - 1] = node;
      }
      return node;
    }
    return null;
  }
}

// Real files have 13 to 60 shapes of about 20 words. Shapes above the limits are parsed by the grammar each time, so that
// a hostile file costs no more than without the trie.
/** iptables-restore accepts at most 255 words per line. */
export const MOST_VALUES = 255;
const MOST_NODES = 16_384;
const MOST_WORDS = 64;
const MOST_NAMES = 4096;
const LONGEST_NAME = 32;
/** Words whose character codes the scanner can compare. */
const ASCII = /^[!-~]+$/;

/** All shapes and all short names of one text. */
export class ShapeTrie {
  readonly root = new TrieNode(ExpectedWord.any, "");
  private readonly names = new Map<string, string>();
  private readonly known = new Map<string, Shape>();
  private nodes = 0;

  /** Returns the shape of the rules with these options. Of the values only the names of matches and targets matter. */
  shapeOf(options: readonly ShapeOption[], values: readonly string[]): Shape {
    const key = shapeKey(options, values);
    let shape = this.known.get(key);
    if (shape === undefined) {
      shape = { options: options.slice() };
      this.known.set(key, shape);
      this.insert(shape, values);
    }
    return shape;
  }

  /** Returns one string object for equal short names, since most names occur many times. */
  intern(name: string): string {
    const known = this.names.get(name);
    if (known !== undefined) return known;
    if (this.names.size < MOST_NAMES && name.length <= LONGEST_NAME) this.names.set(name, name);
    return name;
  }

  /** Adds a shape to the trie, unless the scanner cannot recognize it word by word. */
  private insert(shape: Shape, values: readonly string[]): void {
    if (values.length > MOST_VALUES) return;
    if (this.nodes + 2 * shape.options.length + values.length > MOST_NODES) return;
    let node: TrieNode | null = this.root;
    for (const { name, negated, at, count } of shape.options) {
      const expected = expectedAfter(name);
      if (expected === ExpectedWord.free && count !== 1) return;
      if (expected === ExpectedWord.match && !isBareValue(values[at]!)) return;
      if (negated) node = this.addWord(node, "!", ExpectedWord.any);
      node = node && this.addWord(node, name, expected);
      if (namesExtension(name, values[at])) node = node && this.addWord(node, values[at]!, ExpectedWord.any);
      else for (let i = 0; i < count && node !== null; i++) node = this.addValue(node);
      if (node === null) return;
    }
    node.shape = shape;
  }

  private addWord(node: TrieNode, word: string, next: number): TrieNode | null {
    const known = node.children.find((n) => n.word === word);
    if (known !== undefined) return known;
    if (node.children.length === MOST_WORDS || !ASCII.test(word)) return null;
    const made = new TrieNode(next, word);
    node.children.push(made);
    this.nodes++;
    return made;
  }

  private addValue(node: TrieNode): TrieNode {
    if (node.valueChild === null) {
      node.valueChild = new TrieNode(ExpectedWord.any, "");
      this.nodes++;
    }
    return node.valueChild;
  }
}

/** Returns true if the value of the option belongs to the shape. */
function namesExtension(option: string, value: string | undefined): boolean {
  return isMatch(option) || (isJump(option) && isExtensionTarget(value!));
}

/** Returns a key that is equal for equal shapes. The separator is a line feed, which no word contains. */
function shapeKey(options: readonly ShapeOption[], values: readonly string[]): string {
  let key = "";
  for (const { name, negated, at, count } of options) {
    key += `${negated ? "!" : ""}${name}\n${count}\n`;
    if (namesExtension(name, values[at])) key += `${values[at]}\n`;
  }
  return key;
}
