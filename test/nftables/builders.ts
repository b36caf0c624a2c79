/** Loads tables of nftables from short texts, and evaluates their rules for single packets. */
import { type LoadedNftables, readNftables } from "../../lib/nftables/load.ts";
import { CT, type Family, type Field, type Scalar } from "../../lib/packet/field.ts";
import { evaluate, is, NEVER, type PacketValues, type Predicate } from "../../lib/packet/predicate.ts";
import { changed, type Effect } from "../../lib/rules/effect.ts";
import type { Facts } from "../../lib/rules/facts.ts";
import type { Rule } from "../../lib/rules/ruleset.ts";

/** Reads one text. */
export const load = (text: string, complete = true): LoadedNftables =>
  readNftables([{ name: "nft", text, complete }]);

/** Returns the rules of a chain; throws if the text has a fault. */
export function chainRules(text: string, table: string, chain: string): readonly Rule[] {
  const { tables, diagnostics } = load(text);
  if (diagnostics.length > 0)
    throw new Error(diagnostics.map((d) => `${d.line}:${d.column} ${d.message}`).join("\n"));
  return tables.find(({ table: { name } }) => name === table)!.table.chains.get(chain)!.rules;
}

/** Returns one rule of a table. @param objects sets, maps and chains of the table */
export const ruleOf = (rule: string, family = "inet", objects = ""): Rule =>
  chainRules(
    `table ${family} t {\n${objects}\n\tchain other {\n\t}\n\n\tchain c {\n\t\ttype filter hook prerouting priority 0; policy accept;\n\t\t${rule}\n\t}\n}\n`,
    `${family} t`,
    "c",
  )[0]!;

/** A host with the address 10.0.0.1 on eth0 of group 7. */
export const factsOf = (family: Family): Facts => ({
  family,
  addressIs: (field, type) => (type === "LOCAL" ? is(field, family === 4 ? 0x0a00_0001 : 1n) : NEVER),
  interfaces: ["lo", "eth0", "tun0"],
  groupOf: (name) => (name === "eth0" ? 7 : undefined),
  routesByTos: false,
  bare: (name) => name !== "eth0",
  member: () => undefined,
  changing: () => false,
  setsVary: false,
  lengthens: false,
  rewritesOptions: false,
  reversePath: () => is("in", "eth0"),
});

/** Current fields of a packet; others are absent. */
export type Fields = Readonly<Partial<Record<Field, Scalar>>>;

/** Fields of the first packet of a TCP connection that has passed connection tracking. */
export const SYN: Fields = {
  in: "eth0",
  out: "",
  src: 0xcb00_7107,
  dst: 0x0a00_0001,
  proto: 6,
  sport: 40000,
  dport: 80,
  flags: 2,
  fragment: 0,
  tos: 0,
  ttl: 64,
  length: 60,
  mark: 0,
  socket: 0,
  pkttype: 0,
  ctstate: CT.NEW,
  ctstatus: 0,
  ctmark: 0,
  ctdir: 0,
  ctproto: 6,
  ctorigsrc: 0xcb00_7107,
  ctorigdst: 0x0a00_0001,
  ctorigsrcport: 40000,
  ctorigdstport: 80,
};

/** The same packet at raw, before connection tracking. */
export const AT_RAW: Fields = {
  ...Object.fromEntries(Object.entries(SYN).filter(([name]) => !name.startsWith("ct"))),
  ctstate: CT.INVALID,
  ctstatus: 0,
};

const valuesOf = (fields: Fields): PacketValues => ({
  field: (name) => fields[name],
  settled: () => undefined,
});

/** Result of a predicate: `true`, `false`, or the key of the unknown. */
export function resultOf(p: Predicate, fields: Fields): boolean | string {
  const result = evaluate(p, valuesOf(fields));
  return typeof result === "boolean" ? result : result.key;
}

/** Returns true if a rule matches a packet, false if not, or the key of an unknown. */
export const matches = (rule: Rule, fields: Fields, family: Family = 4): boolean | string =>
  resultOf(rule.compile(factsOf(family)).when, fields);

/** Effect of a rule on a packet: `no match`, or what happens step by step. */
export function outcome(rule: Rule, fields: Fields, family: Family = 4): string {
  const { when, effect } = rule.compile(factsOf(family));
  const result = resultOf(when, fields);
  return result === false ? "no match" : result === true ? follow(effect, fields) : `? ${result}`;
}

/** Follows assignments and choices. */
function follow(effect: Effect, fields: Fields): string {
  switch (effect.kind) {
    case "verdict":
      return effect.verdict;
    case "jump":
    case "goto":
      return `${effect.kind} ${effect.chain}`;
    case "assign": {
      const { change, field } = effect;
      const from = change.kind === "copy" ? fields[change.from] : undefined;
      const value = changed(fields[field] ?? 0, change, from)!;
      const next = effect.next === undefined ? "" : `, ${follow(effect.next, { ...fields, [field]: value })}`;
      return `${field}=${value}${next}`;
    }
    case "choice":
      for (const each of effect.cases) {
        const result = resultOf(each.when, fields);
        if (result === true) return follow(each.effect, fields);
        if (result !== false) return `? ${result}`;
      }
      return "nothing";
    case "fork": {
      const result = resultOf(effect.when, fields);
      return typeof result === "string" ? `? ${result}` : follow(result ? effect.yes : effect.no, fields);
    }
    case "nat":
      return `${effect.side} ${JSON.stringify(effect.to)} ${JSON.stringify(effect.ports)}${effect.random ? " random" : ""}`;
    case "opaque":
      return `? ${effect.key}`;
    default:
      return effect.kind;
  }
}
