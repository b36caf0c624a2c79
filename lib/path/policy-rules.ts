/** Rules of policy routing (ip-rule(8), net/core/fib_rules.c). */
import type { Host } from "../host/host.ts";
import type { RoutingRule } from "../host/routes.ts";
import { type Prefix, prefixRange } from "../packet/address.ts";
import type { Family } from "../packet/field.ts";
import {
  ANY,
  and,
  between,
  bits,
  is,
  NEVER,
  negate,
  not,
  opaque,
  or,
  type Predicate,
  within,
} from "../packet/predicate.ts";
import type { Lookup } from "./routing-lookup.ts";

/** The default rules, by priority. */
const DEFAULT_TABLES: ReadonlyMap<number, string> = new Map([
  [0, "local"],
  [32766, "main"],
  [32767, "default"],
]);

const isDefault = ({ family: _, priority, action, not, vrf, ...conditions }: RoutingRule): boolean =>
  action.kind === "table" &&
  action.table === DEFAULT_TABLES.get(priority) &&
  !not &&
  !vrf &&
  Object.values(conditions).every((value) => value === null);

const allDiffer = (numbers: readonly number[]): boolean => new Set(numbers).size === numbers.length;

/** Returns the rules of a family. */
export const policyRules = (host: Host, family: Family): RoutingRule[] =>
  (host.rules ?? []).filter((r) => r.family === family);

/** Returns true if the rules differ from the default ones. */
export function hasPolicyRouting(host: Host, family: Family): boolean {
  const rules = policyRules(host, family);
  const priorities = rules.map((r) => r.priority);
  return (
    rules.length > 0 &&
    !(priorities.includes(0) && priorities.includes(32766) && rules.every(isDefault) && allDiffer(priorities))
  );
}

/** Returns the packets that a rule matches in a lookup. */
export function rulePredicate(host: Host, rule: RoutingRule, lookup: Lookup): Predicate {
  return negate(
    rule.not,
    and(
      addressPredicate(rule, lookup),
      rule.iif === null ? ANY : lookup.iif(rule.iif),
      rule.oif === null || rule.oif === lookup.only ? ANY : NEVER,
      markPredicate(rule, lookup),
      rule.tos === null ? ANY : tosPredicate(lookup, rule.tos.mask, rule.tos.value),
      ownerPredicate(rule, lookup),
      headerPredicate(rule, lookup),
      vrfPredicate(host, rule),
    ),
  );
}

function addressPredicate(rule: RoutingRule, { towards, alone }: Lookup): Predicate {
  const other = towards === "dst" ? "src" : "dst";
  const inside = (field: "src" | "dst", prefix: Prefix | null): Predicate =>
    prefix === null ? ANY : within(field, [prefixRange(prefix)]);
  // A lookup without the other address has 0 there in IPv4; IPv6 knows that it has none.
  const zero = rule.from !== null && rule.from.address === 0 ? alone : NEVER;
  return and(
    rule.from === null ? ANY : or(zero, and(not(alone), inside(other, rule.from))),
    inside(towards, rule.to),
  );
}

const markPredicate = ({ mark }: RoutingRule, { marked }: Lookup): Predicate =>
  mark === null
    ? ANY
    : or(and(marked, bits("mark", mark.mask, mark.value)), mark.value === 0 ? not(marked) : NEVER);

function ownerPredicate({ uid }: RoutingRule, { owner }: Lookup): Predicate {
  if (uid === null) return ANY;
  if (owner) return between("uid", ...uid);
  return uid[0] === 0 ? ANY : NEVER;
}

/** Protocol and ports; those of a reply have source and destination exchanged. */
function headerPredicate(rule: RoutingRule, { matchedHeader: header }: Lookup): Predicate {
  const port = (field: "sport" | "dport", range: RoutingRule["sport"]): Predicate =>
    range === null ? ANY : header === "own" || header === "answer" ? between(field, ...range) : NEVER;
  const [from, to] = header === "answer" ? (["dport", "sport"] as const) : (["sport", "dport"] as const);
  return and(
    rule.proto === null ? ANY : header === "none" ? NEVER : is("proto", rule.proto),
    port(from, rule.sport),
    port(to, rule.dport),
  );
}

/** Packets of a VRF are not followed, so its rule never matches if the interfaces were listed; else it is unknown. */
function vrfPredicate(host: Host, rule: RoutingRule): Predicate {
  const listed = host.interfaces.some((i) => i.link !== undefined);
  const grouped = rule.suppressGroup === null || host.interfaces.every((i) => i.group !== undefined);
  const unknown = rule.vrf && !listed ? "l3mdev" : (rule.beyond ?? (grouped ? null : "suppress_ifgroup"));
  return and(
    rule.vrf && listed ? NEVER : ANY,
    unknown === null && (rule.vrf || rule.action.kind !== "unknown")
      ? ANY
      : opaque(`ip-rule(${rule.priority})`, { code: "routing-rule-unfollowed", selector: unknown }),
  );
}

/** Returns the packets whose TOS has a value in a lookup. */
export const tosPredicate = ({ tos }: Lookup, mask: number, value: number): Predicate =>
  tos ? bits("tos", mask, value) : value === 0 ? ANY : NEVER;
