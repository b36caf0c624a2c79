/** Reads the values of an extension's options from a rule. */
import type { Rule as RuleSyntax, ShapeOption } from "iptables-parser-ts";
import { protocolName } from "../packet/system-names.ts";
import {
  type Extension,
  type Given,
  type GivenOption,
  type Options,
  type Spelling,
  Unreadable,
} from "./extension.ts";
import type { GivenValues, PlannedExtension } from "./rule-plan.ts";

/** An invalid value or combination of options. */
export class ValueFault {
  constructor(
    readonly message: string,
    readonly found: string,
    readonly option?: ShapeOption,
  ) {}
}

/** Entries of a memo: enough for ports, states and comments that repeat. */
const MOST_KNOWN = 4096;

/** Reads the values of one extension. They are memoized by their words. */
export function readValues(
  planned: PlannedExtension,
  syntax: RuleSyntax,
  spelling: Spelling,
): GivenValues | ValueFault {
  // Values that never repeat are not worth a lookup.
  const words = planned.misses <= MOST_KNOWN ? memoWords(planned, syntax) : null;
  const key = words?.join("\n") ?? "";
  const known = words === null ? undefined : planned.known?.get(key);
  const values = known ?? readSlots(planned, syntax, spelling);
  if (values instanceof ValueFault) return values;
  if (words !== null && known === undefined && planned.misses++ < MOST_KNOWN)
    (planned.known ??= new Map()).set(key, values);
  return values;
}

/** Returns the words that determine the values; `null` for none or many. */
function memoWords({ slots }: PlannedExtension, syntax: RuleSyntax): readonly string[] | null {
  if (slots.length === 0 || slots.length > 3 || slots.some((slot) => slot.count > 1)) return null;
  return slots.map(({ at, count }) => (count === 0 ? "" : syntax.value(at)));
}

function readSlots(
  planned: PlannedExtension,
  syntax: RuleSyntax,
  spelling: Spelling,
): GivenValues | ValueFault {
  const { extension } = planned;
  const name = extension.name === "" ? "the rule" : extension.name;
  const fault = (message: string): ValueFault => {
    const option = planned.named ?? planned.slots[0]?.option;
    const found = planned.named === null ? (option?.name ?? "") : syntax.value(planned.named.at);
    return new ValueFault(message, found, option);
  };
  const { protocols } = extension;
  if (protocols !== undefined && (spelling.proto === undefined || !protocols.includes(spelling.proto)))
    return fault(`${name} needs -p ${protocols.map(protocolName).join(" or -p ")}`);
  const given = readOptions(planned, syntax, spelling);
  if (given instanceof ValueFault) return given;
  const values = combine(extension, given, spelling);
  return values instanceof Unreadable ? fault(`${name} needs ${values.expected}`) : values;
}

/** Applies the checks and rewrites of an extension to its options together. */
function combine(
  { gather, normalize }: Extension<Options>,
  given: readonly GivenOption[],
  spelling: Spelling,
): GivenValues | Unreadable {
  if (gather !== undefined) return gather(given, spelling) as GivenValues | Unreadable;
  const values: Record<string, Given<unknown>> = {};
  for (const { key, not, value } of given) values[key] = { not, value };
  return normalize === undefined ? values : (normalize(values, spelling) as GivenValues | Unreadable);
}

/** Reads each option by itself, up to the first fault. A repeated option is a fault at its place. */
function readOptions(
  { slots, extension }: PlannedExtension,
  syntax: RuleSyntax,
  spelling: Spelling,
): GivenOption[] | ValueFault {
  const given: GivenOption[] = [];
  for (const { key, spec, option, at, count, not } of slots) {
    const { codec } = spec;
    const words = wordsFrom(syntax, at, count);
    if (count !== codec.words && !(count === 0 && codec.optional === true)) {
      const takes = codec.words === 0 ? "takes no value" : `needs ${codec.expects}`;
      return new ValueFault(`${option.name} ${takes}`, words[codec.words] ?? "", option);
    }
    if (not && !spec.negatable) return new ValueFault(`${option.name} cannot be negated with !`, "!", option);
    const value = codec.read(words, spelling);
    if (value instanceof Unreadable)
      return new ValueFault(`${option.name} needs ${value.expected}`, words[value.word] ?? "", option);
    const before = extension.gather === undefined ? given.find((each) => each.key === key) : undefined;
    // A repeated flag changes nothing.
    if (before !== undefined && (codec.words > 0 || before.not !== not))
      return new ValueFault(`${option.name} is given twice`, option.name, option);
    given.push({ key, not, value });
  }
  return given;
}

/** Returns the words of an option as the rule has them. */
export const optionWords = (o: ShapeOption, rule: RuleSyntax): string[] => [
  ...(o.negated ? ["!"] : []),
  o.name,
  ...wordsFrom(rule, o.at, o.count),
];

/** Returns the words of all options of an extension. */
export const extensionWords = ({ slots }: PlannedExtension, syntax: RuleSyntax): string[] =>
  slots.flatMap((slot) => optionWords(slot.option, syntax));

/** Returns adjacent values of a rule. */
function wordsFrom(rule: RuleSyntax, at: number, count: number): string[] {
  const words: string[] = [];
  for (let i = at; i < at + count; i++) words.push(rule.value(i));
  return words;
}
