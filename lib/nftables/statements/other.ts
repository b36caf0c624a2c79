/** Statements that count, log, limit, store elements, or divert the packet. */
import {
  type LimitStatement,
  type OtherStatement,
  printStatement,
  type SetStatement,
  type Statement,
  type TproxyStatement,
  type XtStatement,
} from "nftables-parser-ts";
import { PROTO, TCP_FLAGS } from "../../packet/field.ts";
import { and, bits, is, NEVER, not, opaque, or, type Predicate } from "../../packet/predicate.ts";
import { type Effect, NOTE, UNTRACK } from "../../rules/effect.ts";
import { type Site, siteKey } from "../../rules/facts.ts";
import type { CompileContext } from "../operand.ts";
import { guardOf, readKey } from "../read-value.ts";
import type { RuleScope } from "../rule-scope.ts";
import { CONNTRACK_TRAITS, note, type StatementStep, statement } from "../step.ts";
import type { StatementOf } from "../syntax.ts";
import { unknownStatement } from "./assignment.ts";
import { queued } from "./verdict.ts";

/** A statement that ends the rule for packets that it does not let go on. */
const gate = (
  text: () => string,
  goesOn: (at: CompileContext) => Predicate,
  more: Partial<StatementStep> = {},
): StatementStep => note(text, null, { goesOn, ...more });

/** Reasons of limits by their first word. */
const LIMITS: Readonly<Record<string, { readonly key: string; readonly why: string }>> = {
  limit: { key: "limit", why: "the number of earlier matches is not known" },
  quota: { key: "quota", why: "the number of bytes so far is not known" },
  ct: { key: "connlimit", why: "the number of connections is not known" },
};

/** Reads `limit`, `quota` and `ct count`; with `over` the rule goes on above the limit. */
export function readLimit(given: LimitStatement, scope: RuleScope): StatementStep {
  const text = (): string => printStatement(given);
  const [first, second, third] = given.words;
  const { key, why } = LIMITS[first!] ?? LIMITS.limit!;
  const body = second === "name" ? scope.object(first!, unquoted(third ?? "")) : undefined;
  if (second === "name" && body === undefined && given.inputs === undefined)
    scope.report(`${first} ${third} does not exist in this table`, third ?? "", undefined);
  const over = [given.words, ...(body ?? [])].some((words) => words.includes("over"));
  return gate(
    text,
    ({ site }) => {
      const within = opaque(siteKey(key, site), why);
      return over ? not(within) : within;
    },
    first === "ct" ? { traits: CONNTRACK_TRAITS } : {},
  );
}

const unquoted = (word: string): string => word.replace(/^"(.*)"$/, "$1");

const whyFull = "the set may be full";

/** Reads `add @set { KEY }`: it ends the rule if the set has no room, or by the statements of the element. */
export function readSetStatement(given: SetStatement, scope: RuleScope): StatementStep {
  const text = (): string => printStatement(given);
  const key = readKey(given.key, scope);
  const set = scope.set(given.set);
  if (set === undefined)
    scope.report(`set @${given.set} does not exist in this table`, `@${given.set}`, undefined);
  const limits = given.statements.filter(({ kind }) => kind === "limit");
  return gate(
    text,
    (at) => {
      const guard = guardOf(key ?? [], at);
      if (given.operation === "delete") return guard;
      const full = not(opaque(siteKey("set full", at.site), whyFull, true));
      return and(guard, full, ...limits.map((limit) => elementLimit(limit, at.site)));
    },
    {
      sideEffect: "changes a set",
      changesSet: { name: given.set, removes: given.operation === "delete" },
      ...(usesConntrack(key, limits) ? { traits: CONNTRACK_TRAITS } : {}),
    },
  );
}

const usesConntrack = (key: ReturnType<typeof readKey>, limits: readonly Statement[]): boolean =>
  (key ?? []).some(({ operand }) => operand.needsConntrack === true) ||
  limits.some((limit) => limit.kind === "limit" && limit.words[0] === "ct");

/** A limit for each element. */
function elementLimit(given: Statement, site: Site): Predicate {
  const words = given.kind === "limit" ? given.words : [];
  const { key, why } = LIMITS[words[0]!] ?? LIMITS.limit!;
  const within = opaque(siteKey(key, site), why);
  return words.includes("over") ? not(within) : within;
}

const whyXt = "nft does not print the options of this extension of iptables";

/** Targets of iptables that let the packet continue. */
const NOTES: readonly string[] = [
  "LOG",
  "NFLOG",
  "ULOG",
  "AUDIT",
  "TRACE",
  "CHECKSUM",
  "CLASSIFY",
  "LED",
  "TEE",
];

/** Reads an extension of iptables, whose options only iptables-save prints. */
export function readXt(given: XtStatement): StatementStep {
  const text = (): string => printStatement(given);
  if (given.type === "target")
    return NOTES.includes(given.name)
      ? note(text, `runs the target ${given.name} of iptables`)
      : unknownStatement(text, whyXt);
  return gate(
    text,
    ({ site }) => opaque(siteKey(`xt ${given.name}`, site), whyXt),
    CONNTRACK_NAMES.test(given.name) ? { traits: CONNTRACK_TRAITS } : {},
  );
}

const CONNTRACK_NAMES = /^(?:conn|state|helper|ct)/;

const whySocket = "the open sockets are not known";

/** Reads `tproxy`: the packet goes to a local socket if there is one; the rule ends otherwise (nft_tproxy_eval_v4). */
export function readTproxy(given: TproxyStatement, scope: RuleScope): StatementStep {
  const written = given.family === "" ? scope.tableFamily : given.family;
  return gate(
    () => printStatement(given),
    ({ facts, site }) => {
      if (written === (facts.family === 4 ? "ip6" : "ip")) return NEVER;
      return and(
        or(is("proto", PROTO.tcp), is("proto", PROTO.udp)),
        opaque(siteKey("tproxy", site), whySocket),
      );
    },
    {
      traits: { assignsSocket: true, defragments: true },
      run: (_at, rest) => {
        const next = rest();
        return {
          kind: "assign",
          field: "socket",
          change: { kind: "bits", clear: 1, xor: 1 },
          ...(next === NOTE ? {} : { next }),
        };
      },
    },
  );
}

/** It answers each SYN, and takes or drops each ACK (nft_synproxy_eval_v4). */
const HANDSHAKE = or(
  bits("flags", TCP_FLAGS.SYN, TCP_FLAGS.SYN),
  bits("flags", TCP_FLAGS.ACK, TCP_FLAGS.ACK),
);

/** Returns the prefix of a log statement that writes to the kernel's log; with `group` it writes to a socket instead. */
function logOf(words: readonly string[]): Pick<StatementStep, "logPrefix"> {
  if (words.includes("group")) return {};
  const at = words.indexOf("prefix");
  return { logPrefix: at < 0 ? "" : (words[at + 1] ?? "").replace(/^"|"$/g, "") };
}

const stolen = (text: string): Effect => ({ kind: "stolen", reason: { code: "target-keeps", text } });

/** Statements by their first word. */
const OTHERS: Readonly<
  Record<string, (text: () => string, given: OtherStatement, scope: RuleScope) => StatementStep>
> = {
  counter: (text) => note(text),
  last: (text) => note(text),
  comment: (text) => note(text),
  log: (text, { words }) => note(text, "writes a line to the kernel's log", logOf(words)),
  timeout: (text) => note(text),
  expires: (text) => note(text),
  notrack: (text) =>
    statement(
      "other",
      text,
      (_at, rest) => {
        const next = rest();
        return next === NOTE ? UNTRACK : { ...UNTRACK, next };
      },
      { sideEffect: "excludes the packet from connection tracking" },
    ),
  secmark: (text) => note(text, "sets a security label"),
  dup: (text) => note(text, "sends a copy of the packet to another host"),
  // Only chains at ingress have it.
  fwd: (text) => statement("other", text, () => stolen("the kernel sends it out by another interface")),
  queue: (text) => statement("other", text, (at) => queued(at), { verdict: "queue" }),
  flow: (text) =>
    gate(text, ({ site }) => opaque(siteKey("flow", site), "connections in flow tables are not modelled"), {
      traits: CONNTRACK_TRAITS,
      sideEffect: "moves the connection to a flow table",
    }),
  synproxy: (text) =>
    statement(
      "other",
      text,
      (_at, rest) => ({
        kind: "fork",
        when: HANDSHAKE,
        yes: stolen("SYNPROXY answers the handshake itself"),
        no: rest(),
      }),
      { traits: CONNTRACK_TRAITS, goesOn: () => is("proto", PROTO.tcp) },
    ),
  reset: (text) =>
    note(text, "removes an option of TCP", {
      traits: { rewritesTcpOptions: true },
      goesOn: () => is("proto", PROTO.tcp),
    }),
  meter: (text) =>
    gate(text, ({ site }) =>
      opaque(siteKey("meter", site), "the number of earlier matches of the same key is not known"),
    ),
};

/** Names of all such statements, for the documentation. */
export const OTHER_STATEMENTS: readonly string[] = Object.keys(OTHERS);

/** Reads a statement by its first word. */
export function readOther(given: StatementOf<"other">, scope: RuleScope): StatementStep {
  const text = (): string => printStatement(given);
  const [first] = given.words;
  const read = Object.hasOwn(OTHERS, first!) ? OTHERS[first!]! : null;
  if (read === null) {
    scope.report(`unknown statement ${first}; its effect is unknown`, first ?? "", given.at);
    return unknownStatement(text, `fwcheck does not know the statement ${first}`);
  }
  const step = read(text, given, scope);
  // `counter name ip saddr map @m` ends the rule without an element.
  const map = given.inputs?.some(({ kind }) => kind === "map") === true;
  return map
    ? {
        ...step,
        goesOn: ({ site }) => opaque(siteKey(`${first} map`, site), "maps to objects are not looked up"),
      }
    : step;
}
