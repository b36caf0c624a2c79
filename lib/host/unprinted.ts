/**
 * Rules of iptables-nft's tables that its save program does not print in full: nft has changed a table that
 * iptables created, and iptables-save omits each expression that it does not know (measured with 1.8.9: `udp length`,
 * `tcp window`, `icmp code`, set lookups, header writes).
 */

import { readRuleset } from "../iptables/load.ts";
import { countKnownMatches } from "../iptables/rule.ts";
import { type Family, PROTO } from "../packet/field.ts";
import type { Action } from "../rules/reading.ts";
import {
  isTableName,
  type MissingRules,
  type Rule,
  type TableName,
  type UnprintedRules,
  type Unread,
  unknownChains,
} from "../rules/ruleset.ts";
import { knownChain } from "./known/chains.ts";

/** Expressions that change the packet, the connection or the way (libnftnl's names); a trace changes nothing. */
const CHANGES =
  /^\[ (?:(?:payload|exthdr) write|(?:meta|ct) set (?!nftrace)|notrack|nat|masq|redir|tproxy|queue|fwd|dup|reject|synproxy)\b/;

/** A rule as the collector lists it. */
interface ListedRule {
  readonly table: TableName;
  readonly chain: string;
  readonly index: number;
  readonly expressions: string[];
}

/**
 * Reads the collector's list: `ip filter FORWARD 3` and the expressions of that rule, and `ip filter FORWARD of 7`, the
 * number of rules of the chain when it was listed.
 */
export function unprintedRules(text: string, family: Family): MissingRules {
  const { rules, sizes } = listedRules(text, family);
  if (rules.length === 0) return {};
  const unread = rules.flatMap(({ table, chain, index, expressions }): Unread[] =>
    expressions.some((each) => CHANGES.test(each))
      ? unknownChains(`nft expressions of ${table} ${chain} rule ${index}`)
      : [],
  );
  const unprinted = new Map<string, UnprintedRules & { readonly rules: number[] }>();
  for (const { table, chain, index } of rules) {
    const key = `${table} ${chain}`;
    const known = unprinted.get(key);
    if (known === undefined) unprinted.set(key, { table, chain, size: sizes.get(key) ?? 0, rules: [index] });
    else known.rules.push(index);
  }
  return { unread, unprinted: [...unprinted.values()] };
}

function listedRules(
  text: string,
  family: Family,
): { readonly rules: readonly ListedRule[]; readonly sizes: ReadonlyMap<string, number> } {
  const rules: ListedRule[] = [];
  const sizes = new Map<string, number>();
  let open: ListedRule | undefined;
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith("  [")) {
      open?.expressions.push(line.trim());
      continue;
    }
    open = undefined;
    const [, ip, table, chain, of, number] = /^(ip6?) (\S+) (\S+) (of )?(\d+)$/.exec(line) ?? [];
    if (ip !== (family === 4 ? "ip" : "ip6") || !isTableName(table!)) continue;
    if (of !== undefined) sizes.set(`${table} ${chain}`, Number(number));
    else rules.push((open = { table, chain: chain!, index: Number(number), expressions: [] }));
  }
  return { rules, sizes };
}

/**
 * Rules that may be incomplete in a snapshot without that list: those that match tcp, udp or ICMP and no other field of that
 * header. iptables-save prints `udp length > 512 drop` as `-p udp -j DROP`. The chains of Docker and ufw are left out:
 * both write with iptables.
 */
export function suspectRules(dump: string, family: Family): UnprintedRules[] {
  const ruleset = readRuleset([{ name: "", text: dump, family }]).rulesets[0];
  return [...(ruleset?.tables.values() ?? [])].flatMap(({ name: table, chains }) =>
    [...chains.values()].flatMap(({ name: chain, rules }): UnprintedRules[] => {
      if (BY_IPTABLES.includes(knownChain(table, chain)?.by ?? "")) return [];
      const suspect = rules.filter(isSuspect).map(({ index }) => index);
      return suspect.length === 0 ? [] : [{ table, chain, size: null, rules: suspect }];
    }),
  );
}

/** Programs that write their chains with iptables. */
const BY_IPTABLES: readonly string[] = ["Docker", "ufw"];

/** Actions that iptables-save prints in full. */
const PLAIN_ACTIONS: readonly Action[] = ["accept", "drop", "return", "jump", "goto", "none"];

function isSuspect(rule: Rule): boolean {
  const { proto, action } = rule.reading;
  const names = proto !== undefined && !proto.not && SAVED_HEADERS.includes(proto.value);
  const verdict = PLAIN_ACTIONS.includes(action) || action === "unknown";
  return names && verdict && countKnownMatches(rule) === 1;
}

/** Protocols of whose header iptables-nft takes an expression without knowing all of its fields. */
const SAVED_HEADERS: readonly number[] = [PROTO.tcp, PROTO.udp, PROTO.icmp, PROTO.icmpv6];
