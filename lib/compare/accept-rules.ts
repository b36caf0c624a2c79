/** Rules that accept packets, at a place of a ruleset. */

import { SAFE_NAME } from "../fix/box-printer.ts";
import { loadChains } from "../fix/canonical-rules.ts";
import { withNftTable } from "../fix/place.ts";
import { nftRules } from "../iptables/nft-text.ts";
import { isPrefixRange, printAddressRange } from "../packet/address.ts";
import {
  type Address,
  type Family,
  type Field,
  PROTO,
  protoName,
  type Range,
  successor,
} from "../packet/field.ts";
import type { Domain } from "../reach/domain.ts";
import { FULL, type Node } from "../reach/node-store.ts";
import { chainOf, iptablesName, type Rule, type Ruleset, type TableId } from "../rules/ruleset.ts";

/** A place for rules in a chain. */
export interface RulePosition {
  readonly table: TableId;
  readonly chain: string;
  /** Number of the rule in front of which they are; `null` for the end of the chain. */
  readonly before: number | null;
}

/** Accepting rules at a place. */
export interface AddedRules extends RulePosition {
  readonly rules: readonly Rule[];
  /** The rules as iptables-save or nft prints them, without their chain. */
  readonly texts: readonly string[];
}

/** Destination that a translation has given packets before they reach a rule; absent for their own. */
export interface TranslatedTo {
  readonly dst?: Address;
  readonly dport?: number;
}

/** More rules are no small change. */
const MOST_RULES = 8;
/** Ports of a match `multiport`; a range counts as two. */
const MOST_PORTS = 15;

/**
 * Returns matches of iptables for the product of the values that a set has in each field; the product may contain more packets than
 * the set. `null` if a field needs too many rules or has no match.
 */
export function matchesOf(domain: Domain, set: Node, to: TranslatedTo, arriving: boolean): string[] | null {
  const values = (field: Field): readonly Range[] | null =>
    domain.projectOnto(set, field) === FULL ? null : domain.valueRanges(set, field);
  const address = (field: "src" | "dst"): string[] =>
    values(field)?.map((range) => addressMatch(field, range)) ?? [""];
  const isTranslated = to.dst !== undefined || to.dport !== undefined;
  const dports = values("dport");
  const services = serviceMatches(
    values("proto"),
    values("sport"),
    to.dport === undefined ? dports : [[to.dport, to.dport]],
  );
  const parts: readonly (readonly string[] | null)[] = [
    arriving ? interfaceMatches(values("in")) : [""],
    address("src"),
    to.dst === undefined ? address("dst") : [addressMatch("dst", [to.dst, to.dst])],
    services,
    isTranslated ? originalMatches(to, values("dst"), dports) : [""],
  ];
  let texts = [""];
  for (const part of parts) {
    if (part === null || texts.length * part.length > MOST_RULES) return null;
    texts = texts.flatMap((text) => part.map((more) => `${text}${more}`));
  }
  return texts;
}

/** Returns matches of the destination that packets had before a translation; `null` if there are none. */
function originalMatches(
  to: TranslatedTo,
  addresses: readonly Range[] | null,
  ports: readonly Range[] | null,
): string[] | null {
  const dsts = to.dst === undefined || addresses === null ? [""] : addresses.map(originalAddress);
  const dports = to.dport === undefined || ports === null ? [""] : ports.map(originalPort);
  if (dsts.includes(null)) return null;
  return dsts.flatMap((dst) =>
    dports.map((port) => (dst === "" && port === "" ? "" : ` -m conntrack${dst}${port} --ctdir ORIGINAL`)),
  );
}

/** `--ctorigdst` takes a prefix and no range. */
const originalAddress = (range: Range): string | null =>
  isPrefixRange(range) ? ` --ctorigdst ${printAddressRange(range)}` : null;
const originalPort = ([first, last]: Range): string =>
  ` --ctorigdstport ${first === last ? first : `${first}:${last}`}`;

function interfaceMatches(ranges: readonly Range[] | null): string[] | null {
  if (ranges === null) return [""];
  const isName = ([first, last]: Range): boolean =>
    last === successor(first) && SAFE_NAME.test(String(first));
  return ranges.every(isName) ? ranges.map(([name]) => ` -i ${name}`) : null;
}

function addressMatch(field: "src" | "dst", range: Range): string {
  const text = printAddressRange(range);
  return isPrefixRange(range)
    ? ` -${field === "src" ? "s" : "d"} ${text}`
    : ` -m iprange --${field}-range ${text}`;
}

function serviceMatches(
  protocols: readonly Range[] | null,
  sports: readonly Range[] | null,
  dports: readonly Range[] | null,
): string[] | null {
  if (protocols === null) return sports === null && dports === null ? [""] : null;
  if (protocols.some(([first, last]) => first !== last)) return null;
  const texts = protocols.map(([number]) => {
    const name = protoName(number as number);
    const ports = [portMatch(name, "sport", sports), portMatch(name, "dport", dports)];
    return ports.includes(null) ? null : ` -p ${name}${ports.join("")}`;
  });
  return texts.includes(null) ? null : texts.map((text) => text!);
}

function portMatch(
  protocol: string,
  field: "sport" | "dport",
  ranges: readonly Range[] | null,
): string | null {
  if (ranges === null) return "";
  const list = ranges.map(([first, last]) => (first === last ? String(first) : `${first}:${last}`));
  const hasOwnMatch = protocol === protoName(PROTO.tcp) || protocol === protoName(PROTO.udp);
  if (list.length === 1 && hasOwnMatch) return ` -m ${protocol} --${field} ${list[0]}`;
  const count = ranges.reduce((sum, [first, last]) => sum + (first === last ? 1 : 2), 0);
  return count > MOST_PORTS ? null : ` -m multiport --${field}s ${list.join(",")}`;
}

/** Returns accepting rules with these matches in the language of a table; `null` if nft has no form for them. */
export function acceptingRules(
  place: RulePosition,
  matches: readonly string[],
  ruleset: Ruleset,
): AddedRules | null {
  const { family } = ruleset;
  const bodies = matches.map((match) => `${match.trimStart()} -j ACCEPT`.trimStart());
  if (iptablesName(place.table) !== null) {
    const isBase = chainOf(ruleset, place.table, place.chain)?.base != null;
    const name = isBase ? "fwcheck-change" : place.chain;
    const [chain] = loadChains(new Map([[name, bodies]]), [], family);
    return { ...place, rules: chain!.rules, texts: bodies };
  }
  const [chain] = loadChains(new Map([["fwcheck-change", bodies]]), [], family);
  const texts = chain!.rules.map((rule) => nftRules(rule, family, NFT_OPTIONS));
  if (texts.some((text) => "code" in text)) return null;
  const [nftFamily] = place.table.split(" ") as [string];
  const own = texts
    .flatMap((text) => text as readonly string[])
    .map((text) => inFamily(text, nftFamily, family));
  return { ...place, rules: nftRulesOf(own, nftFamily, ruleset), texts: own };
}

const NFT_OPTIONS = { chain: () => null, returns: "accept", defragmented: true } as const;

/** Limits a rule of a table of both families to one of them. */
const inFamily = (text: string, table: string, family: Family): string =>
  table !== "inet" || /^(.* )?ip6? /.test(text) ? text : `meta nfproto ipv${family} ${text}`;

function nftRulesOf(texts: readonly string[], nftFamily: string, ruleset: Ruleset): readonly Rule[] {
  const name = "fwcheck-change";
  const text = `table ${nftFamily} ${name} { chain added {\n${texts.join("\n")}\n} }`;
  const { tables } = withNftTable({ ...ruleset, tables: new Map() }, text);
  return tables.get(`${nftFamily} ${name}`)!.chains.get("added")!.rules;
}

/** Returns the ruleset with added rules. Rules keep their numbers. */
export function withRules(ruleset: Ruleset, { table, chain, before, rules }: AddedRules): Ruleset {
  const found = chainOf(ruleset, table, chain)!;
  const own = ruleset.tables.get(table)!;
  const at = before === null ? found.rules.length : found.rules.findIndex(({ index }) => index === before);
  const changed = { ...found, rules: [...found.rules.slice(0, at), ...rules, ...found.rules.slice(at)] };
  const chains = new Map([...own.chains, [chain, changed]]);
  return { ...ruleset, tables: new Map([...ruleset.tables, [table, { ...own, chains }]]) };
}
