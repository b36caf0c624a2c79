/**
 * Rules of iptables-nft's tables that its save program does not print in full: nft has changed a table that
 * iptables created, and iptables-save omits each expression that it does not know (measured with 1.8.9: `udp length`,
 * `tcp window`, `icmp code`, set lookups, header writes).
 */

import { countKnownMatches } from "../iptables/rule.ts";
import { type Family, PROTO } from "../packet/field.ts";
import type { Action } from "../rules/reading.ts";
import {
  isTableName,
  type MissingRules,
  type Rule,
  type Table,
  type TableName,
  type Unprinted,
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
  const unprinted = ({ name, chains }: Table): Unprinted[] =>
    rules.flatMap(({ table, chain, index, expressions }): Unprinted[] => {
      if (table !== name) return [];
      const printed = chains.get(chain)?.rules ?? [];
      // The chain changed between the two programs: any of its rules may be the one.
      if (printed.length !== sizes.get(`${table} ${chain}`))
        return printed.map((rule) => ({ chain, index: rule.index, expressions: null }));
      return [{ chain, index, expressions }];
    });
  return { unread, unprinted };
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
 * Rules of a table that may be incomplete in a snapshot without that list: those that match tcp, udp or ICMP and no other
 * field of that header. iptables-save prints `udp length > 512 drop` as `-p udp -j DROP`. The chains of Docker and ufw are left out:
 * both write with iptables.
 */
export const suspectRules = ({ name: table, chains }: Table): Unprinted[] =>
  [...chains.values()].flatMap(({ name: chain, rules }) =>
    BY_IPTABLES.includes(knownChain(table, chain)?.by ?? "")
      ? []
      : rules.filter(isSuspect).map(({ index }) => ({ chain, index, expressions: null })),
  );

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
