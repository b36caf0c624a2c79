/**
 * What a chain and its rules do, in plain words: which packets each rule is about and what becomes of them, who wrote
 * it, who calls the chain, and what is easily misunderstood about it.
 */

import { isDockerRule, publishing } from "../../audit/docker-rules.ts";
import { lint } from "../../audit/lint.ts";
import { hasUfw, ufwCommand } from "../../audit/ufw-rules.ts";
import type { Host } from "../../host/host.ts";
import { headerOf } from "../../host/infer.ts";
import { dockerLayout, purposeOf } from "../../host/purpose.ts";
import { BUILT_IN } from "../../iptables/base-chains.ts";
import { printBody, printMatch, printTarget, ruleProtocol } from "../../iptables/print.ts";
import { printAddress, printPrefix } from "../../packet/address.ts";
import { type Address, type Family, protoName, SOME_PORT } from "../../packet/field.ts";
import { opaque, type Predicate, whyUnknown } from "../../packet/predicate.ts";
import { type BoundRule, Program, STOPS } from "../../path/program.ts";
import { BudgetExceeded } from "../../reach/diagram.ts";
import { type Shadow, shadows } from "../../reach/shadow.ts";
import { HOOKS, type Hook } from "../../rules/base-chain.ts";
import { type Effect, usual } from "../../rules/effect.ts";
import { siteKey } from "../../rules/facts.ts";
import {
  type Chain,
  chainOf,
  isTableName,
  type Rule,
  type Ruleset,
  TABLES,
  type TableName,
  targetName,
} from "../../rules/ruleset.ts";
import { type About, list, subject, verb } from "./phrase.ts";
import { all, depth, type Form, formOf, has, isAlways, isNever, type Leaf, size } from "./predicate-form.ts";

/** A rule in plain words. Texts come from the rules as they are: `safe` makes them fit for a terminal. */
export interface RuleExplained {
  /** Number in its chain, from 1. */
  readonly rule: number;
  /** Line in the input, from 1. */
  readonly line: number;
  /** As iptables-save spells it, without its chain. */
  readonly text: string;
  /** Who wrote it, where that can be told: `Docker`, `ufw` and so on. */
  readonly by: string | null;
  /** The ufw command that wrote it, without the word `ufw`; absent for any other rule. */
  readonly ufw?: string;
  /** Which packets it is about and what becomes of them, in a sentence or two. */
  readonly says: string;
  /** Whether no packet can ever match it, whatever comes: a note says why. */
  readonly dead: boolean;
  /** What is easily misunderstood about it, a sentence each. */
  readonly notes: readonly string[];
  /** How many packets and bytes it matched so far; `null` where the text has no counters. */
  readonly counters: { readonly packets: number; readonly bytes: number } | null;
}

/** A chain in plain words. */
export interface ChainExplained {
  /** 4 or 6. */
  readonly family: Family;
  /** The file it comes from. */
  readonly source: string;
  /** Its table. */
  readonly table: TableName;
  /** Its name. */
  readonly chain: string;
  /** Who fills it, where its name tells: `Docker`, `ufw`, `you`. */
  readonly by: string | null;
  /** The versions of Docker that lay their rules out so; absent for chains that are not Docker's. */
  readonly docker?: string;
  /** What it is for, a sentence; `null` where its name does not tell. */
  readonly what: string | null;
  /** Policy of a built-in chain, else `null`. */
  readonly policy: "ACCEPT" | "DROP" | null;
  /** The hooks whose packets come here. */
  readonly hooks: readonly Hook[];
  /** Where it hangs, and who calls it, a sentence each. */
  readonly place: readonly string[];
  /** The chains that it calls, in the order in which it first does. */
  readonly calls: readonly string[];
  /** How many rules it has; `rules` may hold one of them alone, or none. */
  readonly length: number;
  /** The numbers of those that no packet can match, whatever comes. */
  readonly dead: readonly number[];
  /** Its rules, or the one that was asked for. */
  readonly rules: readonly RuleExplained[];
  /** What becomes of packets that no rule decides, a sentence. */
  readonly end: string;
  /** What is easily misunderstood about the chain, a sentence each. */
  readonly notes: readonly string[];
}

/** Chains in plain words. */
export interface Explanation {
  /** What was not given of the host and had to be worked out, a sentence each. */
  readonly inferred: readonly string[];
  /** The chains that the name fits: families in the order of the rulesets, tables in the order of a hook. */
  readonly chains: readonly ChainExplained[];
}

/** What is to be explained. */
export interface ExplainOptions {
  /** Name of a chain, or `table/name`; all chains when absent. */
  readonly chain?: string | undefined;
  /** Number of a rule in it, from 1; all rules when absent. Chains without such a rule are left out. */
  readonly rule?: number | undefined;
  /** Chains without their rules: for a map. */
  readonly map?: boolean | undefined;
  /** One family alone; all of the rulesets' when absent. */
  readonly family?: Family | undefined;
}

/**
 * Says in plain words what a chain does, or one of its rules. A name that several tables or both families have stands
 * for all of these chains.
 * @returns no chains where none has the name, or none of them has the rule
 */
export function explain(
  rulesets: readonly Ruleset[],
  host: Host,
  { chain, rule, map, family }: ExplainOptions = {},
): Explanation {
  const out: ChainExplained[] = [];
  for (const ruleset of rulesets) {
    if (family !== undefined && ruleset.family !== family) continue;
    const teller = new Teller(Program.of(ruleset, host));
    for (const found of chainsNamed(ruleset, chain)) {
      if (rule !== undefined && !found.rules.some((r) => r.index === rule)) continue;
      out.push(teller.chain(found, map === true ? null : rule));
    }
  }
  return { inferred: host.inferred, chains: out };
}

/** The chains that `name` or `table/name` means; all of them where nothing is said. */
function chainsNamed(ruleset: Ruleset, name: string | undefined): Chain[] {
  const tables = TABLES.flatMap((table) => ruleset.tables.get(table) ?? []);
  if (name === undefined) return tables.flatMap((table) => [...table.chains.values()]);
  const exact = tables.flatMap((table) => table.chains.get(name) ?? []);
  if (exact.length > 0) return exact;
  const slash = name.indexOf("/");
  const table = name.slice(0, Math.max(0, slash));
  return isTableName(table)
    ? [chainOf(ruleset, table, name.slice(slash + 1))].filter((c) => c !== undefined)
    : [];
}

/** What comes to a hook. */
const COMES: Readonly<Record<Hook, string>> = {
  PREROUTING: "Every packet that comes in by an interface, before this host decides where it goes.",
  INPUT: "Packets that are for this host itself.",
  FORWARD:
    "Packets that pass through this host from one interface to another, so all that goes to containers and comes from them.",
  OUTPUT: "Packets that programs of this host send.",
  POSTROUTING:
    "Every packet that is about to leave by an interface, this host's own and those that it forwards.",
};

/** The hooks' tables in order, with the one that is spoken of marked. */
function order(hook: Hook, table: TableName): string {
  const stops = STOPS[hook].map((stop) => (stop.kind === "track" ? "connection tracking" : stop.chain.table));
  const at = stops.lastIndexOf(table);
  const [before, behind] = [stops.slice(0, at), stops.slice(at + 1)];
  const parts = [
    before.length === 0 ? "" : `behind ${list(before, "and")}`,
    behind.length === 0 ? "" : `before ${list(behind, "and")}`,
  ].filter((part) => part !== "");
  return `Table ${table} is asked at hook ${hook}${parts.length === 0 ? "" : ` ${parts.join(", ")}`}.`;
}

/** A port that a DNAT rule publishes. */
interface Published {
  readonly rule: Rule;
  readonly proto: number;
  readonly first: number;
  readonly last: number;
  readonly address: Address;
  readonly port: number;
}

/** More chains or ports than this are counted, not listed. */
const MOST = 6;

/** Speaks of the chains of one ruleset. */
class Teller {
  private readonly ruleset: Ruleset;
  private readonly host: Host;
  private readonly about: About;
  private readonly published: readonly Published[];
  private readonly remarks = new Map<string, string[]>();
  private readonly endless = new Map<Chain, boolean>();
  private readonly calls = new Map<TableName, Map<string, Rule[]>>();
  private readonly hooks = new Map<TableName, Map<string, Hook[]>>();
  private readonly dead = new Map<TableName, ReadonlyMap<Rule, Shadow>>();

  constructor(private readonly program: Program) {
    this.ruleset = program.ruleset;
    this.host = program.host;
    this.about = { facts: program.facts, host: program.host };
    this.published = publishing(program).flatMap(publishes);
    for (const { rule, message } of lint(program))
      if (rule !== null) {
        const key = `${rule.table}/${rule.chain}/${rule.rule}`;
        this.remarks.set(key, [...(this.remarks.get(key) ?? []), sentence(message)]);
      }
  }

  /** @param only the rule to tell of alone; none for `null` */
  chain(chain: Chain, only: number | undefined | null): ChainExplained {
    const { family, source } = this.ruleset;
    const purpose = purposeOf(chain.table, chain.name);
    const hooks = this.hooksOf(chain);
    const layout =
      purpose?.by === "Docker" || chain.name === "DOCKER-USER" ? dockerLayout(this.ruleset) : null;
    const bound = this.program.chain(chain.table, chain.name)!.rules;
    const stop = bound.find((b) => this.takesAll(b));
    const told = only === undefined ? bound : bound.filter((b) => b.rule.index === only);
    return {
      family,
      source,
      table: chain.table,
      chain: chain.name,
      by: purpose?.by ?? null,
      ...(layout === null ? {} : { docker: layout }),
      what: purpose === null ? null : sentence(`This chain ${purpose.what}`),
      policy: chain.policy,
      hooks,
      place: this.place(chain, hooks),
      calls: [
        ...new Set(
          chain.rules.flatMap(({ target }) =>
            target.kind === "jump" || target.kind === "goto" ? [target.chain] : [],
          ),
        ),
      ],
      length: chain.rules.length,
      dead: chain.rules.filter((rule) => this.shadowsOf(rule.table).has(rule)).map((rule) => rule.index),
      rules: told.map((b) => this.rule(b, this.form(b.rule), chain, hooks, stop)),
      end: this.end(chain, stop?.rule),
      notes: this.notes(chain, purpose, hooks, bound),
    };
  }

  private rule(
    bound: BoundRule,
    form: Form,
    chain: Chain,
    hooks: readonly Hook[],
    stop: BoundRule | undefined,
  ): RuleExplained {
    const { rule } = bound;
    const ufw = ufwCommand(rule, this.ruleset);
    const by =
      (this.isFence(rule, form) ? "Docker" : purposeOf(rule.table, rule.chain)?.by) ??
      (isDockerRule(rule, this.host) ? "Docker" : this.callsOf(rule));
    const behind = stop !== undefined && rule.index > stop.rule.index;
    const shadow = this.shadowsOf(rule.table).get(rule);
    const notes = [
      ...(behind
        ? [`No packet ever comes to this rule: rule ${stop.rule.index} takes all that get there.`]
        : shadow === undefined
          ? []
          : [whyDead(shadow)]),
      ...this.keepers(rule),
      ...(this.remarks.get(`${rule.table}/${rule.chain}/${rule.index}`) ?? []).filter(
        (r) => !behind || !/no packet ever comes here/.test(r),
      ),
      ...this.arrives(rule, form, hooks),
      ...this.missed(rule, form, hooks),
    ];
    return {
      rule: rule.index,
      line: rule.line,
      text: printBody(rule, this.ruleset).trim(),
      by,
      ...(ufw === null ? {} : { ufw }),
      says: this.says(bound, form, chain),
      dead: behind || shadow !== undefined,
      notes,
      counters:
        rule.counters === null
          ? null
          : { packets: Number(rule.counters[0]), bytes: Number(rule.counters[1]) },
    };
  }

  /** The rules of a table that no packet meets; none where that would take too long to tell. */
  private shadowsOf(table: TableName): ReadonlyMap<Rule, Shadow> {
    let dead = this.dead.get(table);
    if (dead === undefined) {
      try {
        dead = shadows(this.program, table);
      } catch (error) {
        if (!(error instanceof BudgetExceeded)) throw error;
        dead = new Map();
      }
      this.dead.set(table, dead);
    }
    return dead;
  }

  /** Who wrote a jump of a chain of the owner's into a chain whose name tells. */
  private callsOf({ table, target }: Rule): string | null {
    if (target.kind !== "jump" && target.kind !== "goto") return null;
    const by = purposeOf(table, target.chain)?.by ?? null;
    return by === "you" ? "Docker" : by;
  }

  private says(bound: BoundRule, form: Form, chain: Chain): string {
    const { rule } = bound;
    const effect = usual(bound.effect);
    const { who, only } = subject(form, this.about);
    const whys = [...new Set(only.flatMap(({ why }) => why ?? []))];
    const target = {
      text:
        rule.target.kind === "none"
          ? ""
          : printTarget(rule.target, this.spelling(rule)).replace(/^-[jg] /, ""),
      does: rule.target.kind === "extension" ? rule.target.extension.does : undefined,
    };
    const does =
      effect.kind === "jump"
        ? `go through ${this.named(rule.table, effect.chain)}`
        : effect.kind === "goto"
          ? `go over for good to ${this.named(rule.table, effect.chain)}`
          : effect.kind === "return"
            ? chain.policy === null
              ? `go ${this.back(chain)}`
              : `meet the policy of ${chain.name}, ${chain.policy}`
            : verb(effect, rule.table, target, this.about);
    if (only.length === 0) return `${who} ${does}.`;
    const condition = `but only where ${list(
      only.map(({ text }) => text),
      "and",
    )} ${only.length === 1 ? "matches" : "match"}`;
    return `${who} ${does}, ${condition}.${whys.length === 0 ? "" : ` No ruleset tells whether: ${whys.join("; ")}.`}`;
  }

  /** A chain by its name, and what it is for. */
  private named(table: TableName, name: string): string {
    const purpose = purposeOf(table, name);
    const rules = chainOf(this.ruleset, table, name)?.rules.length ?? 0;
    if (rules === 0) return `chain ${name}, which is empty`;
    return purpose === null ? `chain ${name}` : `chain ${name}, which ${purpose.what}`;
  }

  /** Where a packet goes that comes to the end of a user chain. */
  private back(chain: Chain): string {
    const calls = this.callers(chain);
    const [call] = calls;
    if (call === undefined) return "nowhere, since no rule calls this chain";
    if (calls.length > 1) return "back to the chain that called, to its next rule";
    if (call.target.kind === "goto") return `back to where ${call.chain} was called`;
    const caller = chainOf(this.ruleset, call.table, call.chain)!;
    const next = caller.rules.find((r) => r.index > call.index);
    if (next !== undefined) return `back to ${call.chain}, to its rule ${next.index}`;
    return `back to ${call.chain}, to its end${caller.policy === null ? "" : `: the policy, ${caller.policy}`}`;
  }

  private end(chain: Chain, stop: Rule | undefined): string {
    if (stop !== undefined) return `Rule ${stop.index} takes all that get there: nothing comes to the end.`;
    if (chain.policy === null) return `What no rule decides goes ${this.back(chain)}.`;
    const where = { INPUT: "incoming", OUTPUT: "outgoing", FORWARD: "routed" }[chain.name];
    const ufw =
      where !== undefined && chain.table === "filter" && hasUfw(this.ruleset)
        ? ` (ufw default ${chain.policy === "DROP" ? "deny" : "allow"} ${where})`
        : "";
    const what = chain.rules.length === 0 ? "There are no rules: everything" : "What no rule decides";
    return `${what} meets the policy, ${chain.policy}${ufw}.`;
  }

  /** What a rule asks, its matches put together. */
  private form(rule: Rule): Form {
    const site = { table: rule.table, chain: rule.chain, index: rule.index };
    const { family } = this.ruleset;
    // What no words can tell, or too many, is said as the rule spells it.
    const told = (p: Predicate, text: string): Form => {
      const form = formOf(p, family, () => text);
      const spelled: Leaf = { kind: "spelled", text, why: whyUnknown(p), not: false };
      const odd = (leaf: Leaf): boolean => leaf.kind === "in" && leaf.ranges.some(([lo]) => lo === SOME_PORT);
      if (size(form) > 8 || depth(form) > 2 || has(form, odd)) return spelled;
      const unknown = (part: Form): boolean => has(part, (leaf) => leaf.kind === "spelled");
      return unknown(form) ? all([...partsOf(form).filter((part) => !unknown(part)), spelled]) : form;
    };
    const spelling = this.spelling(rule);
    return all([
      ...rule.matches.map((m) =>
        told(m.extension.ask(m.values, this.program.facts, site), printMatch(m, spelling)),
      ),
      ...rule.unknown.map((u) =>
        told(opaque(siteKey(u.what, site), `fwcheck does not know the ${u.what}`), u.words.join(" ")),
      ),
    ]);
  }

  private spelling(rule: Rule): { family: Family; proto: number | undefined } {
    return { family: this.ruleset.family, proto: ruleProtocol(rule.matches) };
  }

  /** Matches that ask nothing and yet do something: they keep an account. */
  private keepers(rule: Rule): string[] {
    const site = { table: rule.table, chain: rule.chain, index: rule.index };
    return rule.matches.flatMap((m) => {
      if (m.extension.name === "" || m.extension.name === "comment" || m.extension.opaque === undefined)
        return [];
      const asks = m.extension.ask(m.values, this.program.facts, site);
      return asks.kind === "any"
        ? [
            `${printMatch(m, this.spelling(rule))} holds for every packet: it keeps an account that other rules ask.`,
          ]
        : [];
    });
  }

  /** Whether no packet comes past a rule. */
  private takesAll({ effect, rule, when }: BoundRule): boolean {
    if (when.kind !== "any") return false;
    if (effect.kind === "jump") return this.decides(chainOf(this.ruleset, rule.table, effect.chain)!);
    return ["verdict", "return", "goto", "nat"].includes(effect.kind);
  }

  /** Whether no packet comes back out of a chain. */
  private decides(chain: Chain): boolean {
    if (!this.endless.has(chain))
      for (const { chain: each, rules } of this.program.calleesFirst([
        this.program.chain(chain.table, chain.name)!,
      ])) {
        const leaks = ({ effect }: BoundRule): boolean =>
          effect.kind === "return" ||
          (effect.kind === "goto" && !this.endless.get(this.called(each, effect))!);
        const end = rules.find((bound) => leaks(bound) || this.takesAll(bound));
        this.endless.set(each, end !== undefined && !leaks(end));
      }
    return this.endless.get(chain)!;
  }

  /** The chain that a rule of another leads to. */
  private called({ table }: Chain, { chain }: { readonly chain: string }): Chain {
    return chainOf(this.ruleset, table, chain)!;
  }

  /** The rules that jump or go to a chain. */
  private callers({ table, name }: Chain): readonly Rule[] {
    let calls = this.calls.get(table);
    if (calls === undefined) {
      this.calls.set(table, (calls = new Map()));
      for (const chain of this.ruleset.tables.get(table)!.chains.values())
        for (const rule of chain.rules) {
          const { target } = rule;
          if (target.kind !== "jump" && target.kind !== "goto") continue;
          const known = calls.get(target.chain);
          if (known === undefined) calls.set(target.chain, [rule]);
          else known.push(rule);
        }
    }
    return calls.get(name) ?? [];
  }

  /** The hooks from which a chain is reached. */
  private hooksOf(chain: Chain): readonly Hook[] {
    let hooks = this.hooks.get(chain.table);
    if (hooks === undefined) {
      this.hooks.set(chain.table, (hooks = new Map<string, Hook[]>()));
      for (const hook of HOOKS.filter((each) => BUILT_IN[chain.table].includes(each))) {
        const names = new Set<string>([hook]);
        // The set grows while it is gone through.
        for (const name of names) {
          const known = hooks.get(name);
          if (known === undefined) hooks.set(name, [hook]);
          else known.push(hook);
          for (const { target } of chainOf(this.ruleset, chain.table, name)?.rules ?? [])
            if (target.kind === "jump" || target.kind === "goto") names.add(target.chain);
        }
      }
    }
    return hooks.get(chain.name) ?? [];
  }

  private place(chain: Chain, hooks: readonly Hook[]): string[] {
    const hook = HOOKS.find((h) => h === chain.name && BUILT_IN[chain.table].includes(h));
    if (hook !== undefined) return [COMES[hook], order(hook, chain.table)];
    const calls = this.callers(chain);
    if (calls.length === 0) return ["No rule calls this chain: no packet ever comes here."];
    const from = [...new Set(calls.map((rule) => rule.chain))];
    const shown = from.slice(0, MOST).map((name) => {
      const rules = calls.filter((rule) => rule.chain === name);
      const numbers = list(
        rules.map((rule) => String(rule.index)),
        "and",
      );
      const { line } = rules[0]!;
      const from = line === 0 ? "" : rules.length === 1 ? ` (line ${line})` : ` (from line ${line} on)`;
      return `rule${rules.length === 1 ? "" : "s"} ${numbers} of ${name}${from}`;
    });
    const more = from.length - shown.length;
    const callers = list(
      [...shown, ...(more > 0 ? [`${more} more chain${more === 1 ? "" : "s"}`] : [])],
      "and",
    );
    const called = `Called by ${callers}`;
    if (hooks.length === 0)
      return [
        `${called}, and nothing calls ${from.length === 1 ? "that chain" : "those chains"}: no packet ever comes here.`,
      ];
    return [`${called}; asked at hook${hooks.length === 1 ? "" : "s"} ${list(hooks, "and")}.`];
  }

  /** How a published port comes to a rule: under the container's address and port. */
  private arrives(rule: Rule, form: Form, hooks: readonly Hook[]): string[] {
    if (rule.table === "nat" || rule.table === "raw" || !hooks.includes("FORWARD")) return [];
    const { dst } = headerOf(rule);
    if (dst === undefined || dst.not) return [];
    const [proto, ports] = [protoOf(form), portsOf(form)];
    const from = this.published.filter(
      (p) =>
        dst.value.address === p.address &&
        (proto === undefined || p.proto === proto) &&
        (ports === undefined || ports.some(([lo, hi]) => p.port >= lo && p.port <= hi)),
    );
    if (from.length === 0 || from.length > MOST) return [];
    const rules = from.map(
      (p) => `${portText(p)} (nat ${p.rule.chain} rule ${p.rule.index}, line ${p.rule.line})`,
    );
    return [
      `What came for ${list(rules, "and")} can be among these packets: it has the container's address by now.`,
    ];
  }

  /** Published ports that a rule of INPUT seems to be about and never sees. */
  private missed(rule: Rule, form: Form, hooks: readonly Hook[]): string[] {
    if (rule.table !== "filter" || !hooks.includes("INPUT") || hooks.length > 1) return [];
    const [proto, ports] = [protoOf(form), portsOf(form)];
    if (ports === undefined || isNever(form)) return [];
    const missed = this.published.filter(
      (p) =>
        (proto === undefined || p.proto === proto) && ports.some(([lo, hi]) => p.first >= lo && p.last <= hi),
    );
    if (missed.length === 0) return [];
    const rules = missed
      .slice(0, MOST)
      .map((p) => `nat ${p.rule.chain} rule ${p.rule.index} (line ${p.rule.line})`);
    const more = missed.length > rules.length ? ` and ${missed.length - rules.length} more` : "";
    return [
      `A container publishes ${list([...new Set(missed.slice(0, MOST).map(portText))], "and")}${more === "" ? "" : " and others"}: what ${list(rules, "and")}${more} rewrites passes FORWARD and never comes here.`,
    ];
  }

  private notes(
    chain: Chain,
    purpose: { readonly by: string; readonly change?: string } | null,
    hooks: readonly Hook[],
    bound: readonly BoundRule[],
  ): string[] {
    const out: string[] = [];
    const { table, name } = chain;
    const filter = table === "filter";
    const example = this.published.find((p) => p.first !== p.port) ?? this.published[0];
    if (purpose?.change !== undefined) out.push(purpose.change);
    if (table === "raw" && hooks.includes("PREROUTING"))
      out.push(
        "Nothing is translated yet: addresses and ports are those that the sender wrote, and conntrack has not looked.",
      );
    if (table === "nat")
      out.push(
        "Only the first packet of a connection comes to table nat: what is decided here holds for all packets of it.",
      );
    if (name === "DOCKER" && table === "nat" && example !== undefined)
      out.push(
        `What comes in and is rewritten here is for a container from now on: it passes FORWARD and never INPUT${hasUfw(this.ruleset) ? ", so ufw's rules about these ports are not asked" : ""}.`,
      );
    if (
      (filter || table === "mangle") &&
      hooks.includes("FORWARD") &&
      purpose?.by !== "Docker" &&
      example !== undefined &&
      hooks.length === 1
    )
      out.push(
        `Translation came first: what was sent to ${portText(example)}, published by nat ${example.rule.chain} rule ${example.rule.index}, is here for ${printAddress(example.address)}, port ${example.port}. Ask for that, or ask conntrack what it was (--ctorigdstport ${example.first} --ctdir ORIGINAL).`,
      );
    if (filter && name === "DOCKER-INGRESS" && bound.some(({ rule, effect }) => isWide(rule, effect)))
      out.push(
        "These rules ask for a port and for no container: whatever this host forwards to such a port, to whomever, passes here.",
      );
    if (name === "DOCKER-USER") out.push(...this.userChain(chain, bound));
    if (filter && (name === "INPUT" || /^ufw6?-user-input$/.test(name)) && example !== undefined)
      out.push(
        `What table nat rewrites for ports that containers publish (${portsText(this.published)}) never comes here: it passes FORWARD.`,
      );
    if (filter && (name === "OUTPUT" || /^ufw6?-user-output$/.test(name)) && this.host.bridges.length > 0)
      out.push("What containers send does not come here: it passes FORWARD.");
    if (filter && name === "FORWARD") out.push(...this.precedence(chain));
    if (filter && chain.policy === null && bound.some(({ effect }) => effect.kind === "verdict"))
      out.push(
        "What is accepted, dropped or rejected here is settled for the whole table: no later rule is asked, neither here nor in the chains that called.",
      );
    return out;
  }

  /** The RETURN that Docker puts at the end of DOCKER-USER up to 28.1. */
  private isFence(rule: Rule, form: Form): boolean {
    return (
      rule.table === "filter" &&
      rule.chain === "DOCKER-USER" &&
      targetName(rule) === "RETURN" &&
      isAlways(form)
    );
  }

  /** What stands in DOCKER-USER, and where to put more. */
  private userChain(chain: Chain, bound: readonly BoundRule[]): string[] {
    const last = bound.at(-1)?.rule;
    if (last !== undefined && this.isFence(last, this.form(last)))
      return [
        `Rule ${chain.rules.length} sends everything back: what is appended (-A) stands behind it and is never asked. Insert your rules in front of it (-I).`,
      ];
    return chain.rules.length === 0 ? ["It is empty: nothing of yours is said about containers here."] : [];
  }

  /** Docker's rules stand in front of the firewall's. */
  private precedence(chain: Chain): string[] {
    const docker = chain.rules.filter((r) => isDockerRule(r, this.host));
    const [first] = docker;
    const own = chain.rules.find((r) => /^ufw6?-/.test(r.target.kind === "jump" ? r.target.chain : ""));
    if (first === undefined || own === undefined || first.index > own.index) return [];
    const last = docker.filter((r) => r.index < own.index).at(-1)!;
    const which =
      first === last ? `rule ${first.index} stands` : `rules ${first.index} to ${last.index} stand`;
    return [
      `Docker's ${which} before ufw's, which begin at ${own.index}: what Docker's accept or drop, ufw is not asked about.`,
    ];
  }
}

function whyDead(shadow: Shadow): string {
  switch (shadow.kind) {
    case "contradiction":
      return "No packet is all that it asks, as this host is now.";
    case "elsewhere":
      return "What it asks for never comes to this chain.";
    case "taken": {
      const numbers = shadow.by.map((rule) => String(rule.index));
      const which = list([...numbers, ...(shadow.more ? ["others"] : [])], "and");
      return `No packet that it asks for ever comes to this rule: rule${numbers.length > 1 ? "s" : ""} ${which} ${numbers.length > 1 || shadow.more ? "take" : "takes"} them all.`;
    }
  }
}

const sentence = (text: string): string =>
  `${text[0]!.toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

function portText({ rule, first, last, proto }: Published): string {
  const { dst } = headerOf(rule);
  const where =
    dst === undefined || dst.not ? "" : ` of ${printPrefix(dst.value).replace(/\/(32|128)$/, "")}`;
  return `port ${first === last ? first : `${first}-${last}`}/${protoName(proto)}${where}`;
}

function portsText(published: readonly Published[]): string {
  const texts = [...new Set(published.map((p) => portText(p).slice(5)))];
  return texts.length <= MOST
    ? list(texts, "and")
    : `${texts.slice(0, MOST).join(", ")} and ${texts.length - MOST} more`;
}

/** What a DNAT rule publishes, where it is one port or one range on one container. */
function publishes({ rule, effect }: BoundRule): Published[] {
  if (effect.kind !== "nat" || effect.to.kind !== "range" || effect.to.first !== effect.to.last) return [];
  const { to, ports } = effect;
  const proto = headerOf(rule).proto?.value;
  for (const { values } of rule.matches) {
    const given = values.dport;
    if (given === undefined || given.not || proto === undefined) continue;
    const [first, last] = given.value as readonly [number, number];
    return [{ rule, proto, first, last, address: to.first, port: ports?.first ?? first }];
  }
  return [];
}

/** Whether a rule accepts new connections wherever they lead. */
const isWide = (rule: Rule, effect: Effect): boolean => {
  const { dst, out, src } = headerOf(rule);
  const first = rule.matches.every((m) => m.extension.name !== "conntrack");
  return effect.kind === "verdict" && effect.verdict === "accept" && first && !dst && !out && !src;
};

const partsOf = (form: Form): readonly Form[] => (form.kind === "all" ? form.of : [form]);

function protoOf(form: Form): number | undefined {
  for (const part of partsOf(form))
    if (part.kind === "in" && part.field === "proto" && !part.not) return part.ranges[0]![0] as number;
  return undefined;
}

function portsOf(form: Form): readonly (readonly [number, number])[] | undefined {
  for (const part of partsOf(form))
    if (part.kind === "in" && part.field === "dport" && !part.not)
      return part.ranges as readonly (readonly [number, number])[];
  return undefined;
}
