/** Compares a rule of iptables with its translation to nft over all forwarded packets. */
import { CT, type Family, FIELDS, type Field, type Range } from "../../lib/packet/field.ts";
import { and, is, not, opaque, type Predicate, visitLeaves, within } from "../../lib/packet/predicate.ts";
import { Domain } from "../../lib/reach/domain.ts";
import { EMPTY } from "../../lib/reach/node-store.ts";
import { changed, type Effect } from "../../lib/rules/effect.ts";
import type { AddressType, Facts } from "../../lib/rules/facts.ts";
import type { Rule } from "../../lib/rules/ruleset.ts";
import { chainRules, factsOf as hostFacts } from "../nftables/builders.ts";
import { isText, nftTable, OPTIONS, type Translated } from "./nft-cases.ts";

/** Types of addresses, each with a part of the address space of its own. */
const TYPES: Readonly<Record<Family, readonly AddressType[]>> = {
  4: [
    "UNICAST",
    "LOCAL",
    "BROADCAST",
    "ANYCAST",
    "MULTICAST",
    "BLACKHOLE",
    "UNREACHABLE",
    "PROHIBIT",
    "THROW",
    "UNSPEC",
  ],
  6: ["UNICAST", "LOCAL", "ANYCAST", "MULTICAST", "UNREACHABLE"],
};

function partOf(type: AddressType, family: Family, device: string | undefined): Range[] {
  const at = TYPES[family].indexOf(type);
  if (at < 0) return [];
  const shift = device === undefined ? 0 : 1;
  return family === 4
    ? [[0x0a00_0000 + at * 256 + shift, 0x0a00_0000 + at * 256 + 255]]
    : [[BigInt(at * 256 + shift), BigInt(at * 256 + 255)]];
}

export const factsOf = (family: Family): Facts => ({
  ...hostFacts(family),
  addressIs: (field, type, device) => within(field, partOf(type, family, device)),
  groupOf: () => undefined,
  reversePath: () => undefined,
});

/**
 * Gives all unknowns of a kind one key: those of two rules differ. Masks of addresses that are no prefix become unknowns, since
 * they have too many ranges.
 */
function comparable(p: Predicate): Predicate {
  switch (p.kind) {
    case "bits":
      return FIELDS[p.field] === "address"
        ? opaque(`${p.field} ${p.mask} ${p.value}`, "a mask that is no prefix")
        : p;
    case "opaque":
      return opaque(p.key.replace(/@.*/, ""), p.reason);
    case "and":
      return { ...p, all: p.all.map(comparable) };
    case "or":
      return { ...p, some: p.some.map(comparable) };
    case "not":
      return { ...p, not: comparable(p.not) };
    default:
      return p;
  }
}

/** Forwarded packets. */
const FORWARDED = (family: Family): Predicate =>
  and(
    not(is("in", "")),
    not(is("out", "")),
    within("ctstate", [[CT.INVALID, CT.UNTRACKED]]),
    ...(family === 6 ? [0, 43, 44, 51, 60].map((proto) => not(is("proto", proto))) : []),
  );
/** No packet is a later fragment. */
export const DEFRAGMENTED = is("fragment", 0);

const MARKS = [0, 1, 2, 3, 4, 5, 7, 0x10, 0x20, 0x80, 0xff, 0x100, 0x1234, 0xffff, 0x8000_0000, 0xffff_ffff];

/** Values of a mark that tell the rules apart. */
function marksIn(predicates: readonly Predicate[]): Set<number> {
  const values = new Set(MARKS);
  for (const p of predicates)
    visitLeaves(p, (leaf) => {
      if (leaf.kind === "opaque" || (leaf.field !== "mark" && leaf.field !== "ctmark")) return;
      const [value, mask] =
        leaf.kind === "bits"
          ? [leaf.value as number, leaf.mask as number]
          : [leaf.ranges[0]![0] as number, 0];
      for (const bit of [0, 1, mask, ~mask]) values.add((value ^ bit) >>> 0);
    });
  return values;
}

/** Returns an error if the translation matches other packets than the rule, or one packet twice. */
function difference(of: Rule, rules: readonly Rule[], family: Family, always: Predicate): string | null {
  const facts = factsOf(family);
  const whole = comparable(of.compile(facts).when);
  const parts = rules.map((rule) => comparable(rule.compile(facts).when));
  const marks = marksIn([whole, ...parts]);
  const domain = Domain.of(family, [
    {
      predicates: [whole, ...parts, always],
      markValues: new Map<Field, Set<number>>([
        ["mark", marks],
        ["ctmark", marks],
      ]),
    },
  ]);
  const { diagrams } = domain;
  const possible = domain.set(always);
  const sets = parts.map((part) => diagrams.intersect(possible, domain.set(part)));
  for (const [i, set] of sets.entries())
    if (sets.slice(0, i).some((other) => diagrams.intersect(other, set) !== EMPTY))
      return "two rules match a packet";
  const wanted = diagrams.intersect(possible, domain.set(whole));
  const got = diagrams.unionAll(sets);
  const more = diagrams.subtract(got, wanted) !== EMPTY;
  const less = diagrams.subtract(wanted, got) !== EMPTY;
  return more || less
    ? `matches ${[...(more ? ["more"] : []), ...(less ? ["less"] : [])].join(" and ")}`
    : null;
}

/** Result of an effect on marks; jumps by the names of iptables' chains. */
function outcome(effect: Effect, mark: number, ctmark: number): string {
  switch (effect.kind) {
    case "verdict":
      return effect.verdict;
    case "jump":
    case "goto":
      return `${effect.kind} ${OPTIONS.chain(effect.chain) ?? effect.chain}`;
    case "assign": {
      const { change, field } = effect;
      const from = change.kind === "copy" && change.from === "mark" ? mark : ctmark;
      const value = changed(field === "mark" ? mark : ctmark, change, from) as number;
      const [m, c] = field === "mark" ? [value, ctmark] : [mark, value];
      return effect.next === undefined ? `note ${m} ${c}` : outcome(effect.next, m, c);
    }
    case "note":
      return `note ${mark} ${ctmark}`;
    default:
      return effect.kind;
  }
}

const outcomes = (rule: Rule, family: Family): string =>
  MARKS.flatMap((mark) =>
    [0, 0x3c5a_5a3c, 0xffff_ffff].map((ctmark) =>
      outcome(rule.compile(factsOf(family)).effect, mark, ctmark),
    ),
  ).join();

/** Reads or changes the mark of the connection: without one both do nothing. The model of iptables copies 0 there. */
const usesConnection = (rule: Rule): boolean => {
  const { effect } = rule.compile(factsOf(4));
  return effect.kind === "assign" && (effect.field === "ctmark" || effect.change.kind === "copy");
};
const TRACKED = within("ctstate", [[CT.NEW, CT.RELATED]]);

/** Returns the faults of a translation: other packets, one packet in two rules, or another effect. */
function faultsIn(rule: Rule, rules: readonly Rule[], family: Family, always: Predicate): string[] {
  const possible = and(FORWARDED(family), always, ...(usesConnection(rule) ? [TRACKED] : []));
  const sets = difference(rule, rules, family, possible);
  const other = rules.find((each) => outcomes(each, family) !== outcomes(rule, family));
  return [...(sets === null ? [] : [sets]), ...(other === undefined ? [] : ["has another effect"])];
}

/**
 * Loads translations of one family as one chain.
 * @param through changes the text of the table before it is read, as nft does that loads and lists it
 */
export function loaded(
  list: readonly Translated[],
  family: Family,
  through: (text: string) => string,
): readonly Rule[] {
  const texts = list
    .filter((each) => each.family === family)
    .flatMap((each) => (isText(each) ? each.result : []));
  const rules = chainRules(through(nftTable(family, texts)), family === 4 ? "ip x" : "ip6 x", "c");
  if (rules.length !== texts.length) throw new Error(`${rules.length} rules of ${texts.length}`);
  return rules;
}

/** Returns the faults of all translations of one family. */
export function faultsOfAll(
  list: readonly Translated[],
  family: Family,
  through: (text: string) => string,
  always: Predicate = DEFRAGMENTED,
): string[] {
  const rules = loaded(list, family, through);
  let at = 0;
  return list
    .filter((each) => each.family === family)
    .flatMap((each) => {
      if (!isText(each)) return [];
      const own = rules.slice(at, (at += each.result.length));
      const text = own.map((rule) => rule.text({ family })).join(" || ");
      return faultsIn(each.rule, own, family, always).map(
        (fault) => `IPv${family} ${each.line} => ${text}: ${fault}`,
      );
    });
}
