/**
 * The shapes met so far, and a trie that finds them again without a parser.
 *
 * A shape holds all that the grammar branches on: option words, negations, how many values each option has, the names
 * of matches, and of targets that are extensions (the name of a user chain is only a value). So two rules that spell
 * the same path through the trie are parsed alike, and the grammar need only be asked the first time.
 */

import type { Shape, ShapeOption } from "./ast.ts";
import { bare, freeOptions, isExtensionTarget } from "./tokens.ts";

/** `true` if the option names a match: `-m`. */
export const isMatch = (option: string): boolean => option === "-m" || option === "--match";

/** `true` if the option names a target or a chain: `-j`, `-g`. */
export const isJump = (option: string): boolean =>
  option === "-j" || option === "-g" || option === "--jump" || option === "--goto";

/** What the word behind a node is to be taken for. */
export const Next = {
  /** An option, `!` or a value, as it looks. */
  any: 0,
  /** A value, however it looks. */
  free: 1,
  /** A match's name. */
  match: 2,
  /** A target or a chain. */
  jump: 3,
} as const;

function nextOf(option: string): number {
  if (isMatch(option)) return Next.match;
  if (isJump(option)) return Next.jump;
  return freeOptions.has(option) ? Next.free : Next.any;
}

/** What was read of a rule so far. */
export class Node {
  /** Behind words that may follow as they stand: options, `!`, names. What is found moves forward. */
  readonly words: Node[] = [];
  /** Where a value leads to. */
  value: Node | null = null;
  /** The shape of a rule that ends here. */
  shape: Shape | null = null;
  private readonly codes: Uint8Array;

  constructor(
    /** What the word behind is to be taken for. */
    readonly next: number,
    /** The word of the shape that led here; `""` for a value. */
    readonly word: string,
  ) {
    this.codes = Uint8Array.from(word, (c) => c.charCodeAt(0));
  }

  /** The node behind a word of the shape, which is asked for earlier the next time. */
  find(codes: Uint8Array, start: number, end: number): Node | null {
    const { words } = this;
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

// Real files have 13 to 60 shapes of some 20 words. What does not fit goes through the grammar every time, so that a
// hostile file costs no more than one parsed by the grammar alone.
/** iptables-restore takes no more than 255 words a line. */
export const MOST_VALUES = 255;
const MOST_NODES = 16_384;
const MOST_WORDS = 64;
const MOST_NAMES = 4096;
const LONGEST_NAME = 32;
/** Words that the scanner can tell from all others. */
const ASCII = /^[!-~]+$/;

/** All shapes of one text, and its short names. */
export class Shapes {
  readonly root = new Node(Next.any, "");
  private readonly names = new Map<string, string>();
  private readonly known = new Map<string, Shape>();
  private nodes = 0;

  /** The one shape of all rules with these options, where these values name the matches and the target. */
  of(options: readonly ShapeOption[], values: readonly string[]): Shape {
    const key = signature(options, values);
    let shape = this.known.get(key);
    if (shape === undefined) {
      shape = { options: options.slice() };
      this.known.set(key, shape);
      this.learn(shape, values);
    }
    return shape;
  }

  /** One string for equal short names, of which a text repeats a few. */
  intern(name: string): string {
    const known = this.names.get(name);
    if (known !== undefined) return known;
    if (this.names.size < MOST_NAMES && name.length <= LONGEST_NAME) this.names.set(name, name);
    return name;
  }

  /** Puts a shape into the trie, if its usual spelling can be told by looking at one word at a time. */
  private learn(shape: Shape, values: readonly string[]): void {
    if (values.length > MOST_VALUES) return;
    if (this.nodes + 2 * shape.options.length + values.length > MOST_NODES) return;
    let node: Node | null = this.root;
    for (const { name, negated, at, count } of shape.options) {
      const next = nextOf(name);
      if (next === Next.free && count !== 1) return;
      if (next === Next.match && !bare(values[at]!)) return;
      if (negated) node = this.word(node, "!", Next.any);
      node = node && this.word(node, name, next);
      if (isNamed(name, values[at])) node = node && this.word(node, values[at]!, Next.any);
      else for (let i = 0; i < count && node !== null; i++) node = this.value(node);
      if (node === null) return;
    }
    node.shape = shape;
  }

  private word(node: Node, word: string, next: number): Node | null {
    const known = node.words.find((n) => n.word === word);
    if (known !== undefined) return known;
    if (node.words.length === MOST_WORDS || !ASCII.test(word)) return null;
    const made = new Node(next, word);
    node.words.push(made);
    this.nodes++;
    return made;
  }

  private value(node: Node): Node {
    if (node.value === null) {
      node.value = new Node(Next.any, "");
      this.nodes++;
    }
    return node.value;
  }
}

/** `true` if the option's value is part of the shape. */
function isNamed(option: string, value: string | undefined): boolean {
  return isMatch(option) || (isJump(option) && isExtensionTarget(value!));
}

/** A text that is equal for equal shapes; no word holds a line feed, so it separates them. */
function signature(options: readonly ShapeOption[], values: readonly string[]): string {
  let key = "";
  for (const { name, negated, at, count } of options) {
    key += `${negated ? "!" : ""}${name}\n${count}\n`;
    if (isNamed(name, values[at])) key += `${values[at]}\n`;
  }
  return key;
}
