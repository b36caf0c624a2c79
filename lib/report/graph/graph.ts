/**
 * The chain graph as a picture shows it: the hooks in the order in which a packet meets them, in each the tables, in
 * each table the built-in chain and what it calls. A chain that several hooks call stands in each of them, so that
 * whatever a hook asks is to be seen in its place and no line runs between hooks but the packet's way.
 */
import { ufwCommand } from "../../audit/ufw-rules.ts";
import type { Host } from "../../host/host.ts";
import { BUILT_IN } from "../../iptables/base-chains.ts";
import { optionsOf, printBody, printTarget, ruleProtocol } from "../../iptables/print.ts";
import type { Family } from "../../packet/field.ts";
import { STOPS } from "../../path/program.ts";
import { HOOKS, type Hook } from "../../rules/base-chain.ts";
import {
  type Chain,
  chainOf,
  type Rule,
  type Ruleset,
  type TableName,
  targetName,
} from "../../rules/ruleset.ts";
import type { Trace } from "../../simulate/answer.ts";
import { type Author, chainAuthor, ruleAuthor } from "../explain/author.ts";
import { counted, packetText } from "../text/packet-text.ts";

/** What a row does with a packet that it matches; `several` for rules that do different things. */
export type Deed =
  | "accept"
  | "drop"
  | "reject"
  | "return"
  | "jump"
  | "goto"
  | "nat"
  | "change"
  | "note"
  | "unknown"
  | "several";

/** One rule of a chain, or several that stand behind each other. */
export interface GraphRow {
  /** Number of its first rule, from 1. */
  readonly first: number;
  /** Number of its last rule. */
  readonly last: number;
  /** What its rule asks, in short; `""` where it asks nothing; of several rules, how many they are. */
  readonly asks: string;
  /** What it does. */
  readonly does: Deed;
  /** Where it goes, in short: `ACCEPT`, `DNAT 172.17.0.2:80`, a chain's name. */
  readonly target: string;
  /** Identity of the node that it jumps or goes to; `null` where it does not, or where that is not drawn. */
  readonly to: string | null;
  /** Who wrote it; `null` for rules of several. */
  readonly author: Author | null;
  /** Its rules as iptables-save spells them; the first ones of many. */
  readonly rules: readonly string[];
  /** The packet matched it. */
  readonly passed: boolean;
}

/** A chain where a hook asks it. */
export interface GraphChain {
  /** Unique in the graph: hook, table and name. */
  readonly id: string;
  /** The hook that leads to it; `null` where none does. */
  readonly hook: Hook | null;
  /** Its table. */
  readonly table: TableName;
  /** Its name, unique in its table. */
  readonly name: string;
  /** Policy of a built-in chain; `null` for any other. */
  readonly policy: "ACCEPT" | "DROP" | null;
  /** Who fills it; `null` for a built-in chain, which everybody does. */
  readonly author: Author | null;
  /** How many rules it holds. */
  readonly size: number;
  /** Line in the input that declares it, from 1; 0 where none does. */
  readonly line: number;
  /** Other hooks that call it, too. */
  readonly also: readonly Hook[];
  /** Its rules in their order. */
  readonly rows: readonly GraphRow[];
  /** The packet came here. */
  readonly passed: boolean;
  /** The packet met its policy. */
  readonly ended: boolean;
}

/** What a hook runs: connection tracking (`table` is `null`), or a table with its chains, the built-in one first. */
export interface GraphStop {
  /** The table; `null` for connection tracking. */
  readonly table: TableName | null;
  /** Its chains, the built-in one first. */
  readonly chains: readonly GraphChain[];
}

/** A hook and what it runs, in order; or, with `null`, the chains that no hook leads to. */
export interface GraphHook {
  /** Which. */
  readonly hook: Hook | null;
  /** In priority order. */
  readonly stops: readonly GraphStop[];
  /** The packet came here. */
  readonly passed: boolean;
}

/** A jump or goto that is drawn as a line. */
export interface GraphCall {
  /** Identity of the calling chain. */
  readonly from: string;
  /** Identity of the called one. */
  readonly to: string;
  /** `goto` does not come back to the caller. */
  readonly kind: "jump" | "goto";
  /** Which of the caller's rows. */
  readonly row: number;
  /** How many rules stand behind it. */
  readonly rules: number;
  /** The packet went this way. */
  readonly passed: boolean;
}

/** Places between the hooks. */
export type Place = Hook | "network" | "routing" | "programs" | "out";

/** A step of a packet's way between the hooks. */
export interface GraphStep {
  /** Where it comes from. */
  readonly from: Place;
  /** Where it goes. */
  readonly to: Place;
  /** The packet went this way. */
  readonly passed: boolean;
}

/** The chains of one ruleset. */
export interface ChainGraph {
  /** 4 for iptables, 6 for ip6tables. */
  readonly family: Family;
  /** Name of the file it comes from. */
  readonly source: string;
  /** All five, in the order PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING; then, where asked for, what no hook calls. */
  readonly hooks: readonly GraphHook[];
  /** The lines between chains. */
  readonly calls: readonly GraphCall[];
  /** How the hooks stand in order. */
  readonly way: readonly GraphStep[];
  /** Rules of nat PREROUTING send packets elsewhere than they were addressed to: those are forwarded past INPUT. */
  readonly rewrites: boolean;
  /** Only what belongs to one chain is drawn. */
  readonly part: boolean;
  /** The packet whose way is marked, and what becomes of it; `null` where none is. */
  readonly traced: string | null;
  /** What is not drawn, and what would draw it; where a packet meets other rules besides these; a sentence each. */
  readonly notes: readonly string[];
}

/** A chain by its table and name. */
export interface ChainName {
  /** Its table. */
  readonly table: TableName;
  /** Unique in its table only. */
  readonly name: string;
}

/** What to draw. */
export interface GraphOptions {
  /** Every chain and every rule, also what is empty or called by nothing. */
  readonly all?: boolean;
  /** Only what leads to this chain, and what it calls. */
  readonly chain?: ChainName;
  /** A packet's way, to be marked. */
  readonly trace?: Trace;
}

/** Limits that keep the picture readable and its layout quick. */
interface Limits {
  /** A chain of at most so many rules shows each. */
  readonly few: number;
  /** Rows of a chain; what is beyond is one row. */
  readonly rows: number;
  /** Rows of all chains of a table at one hook; past them a chain shows no more than is usual. */
  readonly all: number;
  /** Chains of a table at one hook. */
  readonly chains: number;
  /** Lines between them. */
  readonly calls: number;
}
const USUAL: Limits = { few: 8, rows: 16, all: 640, chains: 40, calls: 400 };
const ALL: Limits = { few: Number.POSITIVE_INFINITY, rows: 400, all: 4000, chains: 400, calls: 1000 };

/** A run of at least so many jumps to chains of one kind shows the first `KEPT`. */
const RUN = 5;
const KEPT = 2;
/** Rules spelt out of a row of many. */
const SPELT = 12;

/** How the hooks stand in order (Documentation/networking, ip_rcv and ip_output). */
const WAY: readonly (readonly [Place, Place])[] = [
  ["network", "PREROUTING"],
  ["PREROUTING", "routing"],
  ["routing", "INPUT"],
  ["routing", "FORWARD"],
  ["INPUT", "programs"],
  ["programs", "OUTPUT"],
  ["FORWARD", "POSTROUTING"],
  ["OUTPUT", "POSTROUTING"],
  ["POSTROUTING", "out"],
];

/**
 * The picture of a ruleset, as data.
 * @param host tells which bridges are Docker's
 */
export function chainGraph(ruleset: Ruleset, host: Host, options: GraphOptions = {}): ChainGraph {
  return new Drawing(ruleset, host, options).graph();
}

/** The chain that a rule calls. */
const called = (rule: Rule): string | null =>
  rule.target.kind === "jump" || rule.target.kind === "goto" ? rule.target.chain : null;

const idOf = (hook: Hook | null, table: TableName, name: string): string => `${hook ?? "-"}/${table}/${name}`;

class Drawing {
  private readonly limits: Limits;
  private readonly marks: Marks;
  /** By (table, name): the hooks that lead to it. */
  private readonly callers = new Map<string, Set<Hook>>();
  /** By (table, name). */
  private readonly drawn = new Set<string>();
  /** Where a chain was asked for: those on the way to it and below it, by (table, name). */
  private readonly focus: ReadonlySet<string> | null;
  /** Where a chain was asked for: it, and those on the way to it, which are never folded. */
  private readonly toward: ReadonlySet<string>;
  /** Calls that are written in their row, with no line to the chain. */
  private lines = 0;

  constructor(
    private readonly ruleset: Ruleset,
    private readonly host: Host,
    private readonly options: GraphOptions,
  ) {
    this.limits = options.all === true ? ALL : USUAL;
    this.marks = new Marks(options.trace, ruleset);
    for (const table of ruleset.tables.keys())
      for (const hook of BUILT_IN[table])
        for (const name of this.below(table, hook)) {
          const key = `${table}/${name}`;
          const hooks = this.callers.get(key);
          if (hooks === undefined) this.callers.set(key, new Set([hook]));
          else hooks.add(hook);
        }
    const asked = options.chain;
    const keys = (names: Iterable<string>): string[] => [...names].map((name) => `${asked!.table}/${name}`);
    this.toward = new Set(asked === undefined ? [] : keys(this.above(asked)));
    this.focus =
      asked === undefined ? null : new Set([...this.toward, ...keys(this.below(asked.table, asked.name))]);
  }

  graph(): ChainGraph {
    const hooks: GraphHook[] = HOOKS.map((hook) => ({
      hook,
      stops: this.stops(hook),
      passed: this.marks.places.has(hook),
    }));
    const lost = this.lost();
    if (lost.length > 0) hooks.push({ hook: null, stops: lost, passed: false });
    const calls = hooks.flatMap(({ stops }) => stops.flatMap(({ chains }) => chains.flatMap(callsOf)));
    const { places } = this.marks;
    return {
      family: this.ruleset.family,
      source: this.ruleset.source,
      hooks,
      calls,
      way: WAY.map(([from, to]) => ({ from, to, passed: places.has(from) && places.has(to) })),
      rewrites: [...this.below("nat", "PREROUTING")].some((name) =>
        this.rules("nat", name).some((rule) => targetName(rule) === "DNAT"),
      ),
      part: this.focus !== null,
      traced: this.options.trace === undefined ? null : told(this.options.trace),
      notes: this.notes(),
    };
  }

  private rules(table: TableName, name: string): readonly Rule[] {
    return chainOf(this.ruleset, table, name)?.rules ?? [];
  }

  /** A chain and all that it leads to, by name. */
  private below(table: TableName, name: string): Set<string> {
    const seen = new Set<string>();
    const open = [name];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (seen.has(at) || chainOf(this.ruleset, table, at) === undefined) continue;
      seen.add(at);
      for (const rule of this.rules(table, at)) {
        const to = called(rule);
        if (to !== null && !seen.has(to)) open.push(to);
      }
    }
    return seen;
  }

  /** A chain and all that leads to it, by name. */
  private above({ table, name }: ChainName): Set<string> {
    const up = new Map<string, Set<string>>();
    for (const chain of this.ruleset.tables.get(table)?.chains.values() ?? [])
      for (const rule of chain.rules) {
        const to = called(rule);
        if (to === null) continue;
        const callers = up.get(to);
        if (callers === undefined) up.set(to, new Set([chain.name]));
        else callers.add(chain.name);
      }
    const seen = new Set([name]);
    // The set grows while it is walked, and the walk comes to what was added.
    for (const at of seen) for (const caller of up.get(at) ?? []) seen.add(caller);
    return seen;
  }

  /** What a hook runs, without what does nothing. */
  private stops(hook: Hook): GraphStop[] {
    return STOPS[hook].flatMap((stop): GraphStop[] => {
      if (stop.kind === "track") return this.focus === null ? [{ table: null, chains: [] }] : [];
      const { table } = stop.chain;
      const chain = chainOf(this.ruleset, table, hook);
      if (chain === undefined) return [];
      if (this.focus !== null && !this.focus.has(`${table}/${hook}`)) return [];
      const idle = chain.rules.length === 0 && chain.policy !== "DROP" && table !== "filter";
      return idle && this.options.all !== true ? [] : [{ table, chains: this.section(hook, [chain]) }];
    });
  }

  /** Chains that no hook leads to, where they were asked for. */
  private lost(): GraphStop[] {
    const out: GraphStop[] = [];
    for (const [table, { chains }] of this.ruleset.tables) {
      const roots = [...chains.values()].filter(({ name }) => {
        const key = `${table}/${name}`;
        if (this.callers.has(key)) return false;
        return this.focus === null ? this.options.all === true : this.focus.has(key);
      });
      if (roots.length > 0) out.push({ table, chains: this.section(null, roots) });
    }
    return out;
  }

  /** Chains, and those they call, breadth first, as far as the limit goes. */
  private section(hook: Hook | null, roots: readonly Chain[]): GraphChain[] {
    const found = new Map<string, Chain>();
    let { calls, all: room } = this.limits;
    const take = (chain: Chain): boolean => {
      const full = calls <= 0 || (found.size >= this.limits.chains && !found.has(chain.name));
      // What the packet met and what was asked for is drawn, however much there is.
      if (full && !this.wanted(hook, chain)) {
        this.lines++;
        return false;
      }
      calls--;
      if (found.has(chain.name)) return true;
      found.set(chain.name, chain);
      this.drawn.add(`${chain.table}/${chain.name}`);
      return true;
    };
    for (const root of roots.slice(0, this.limits.chains)) take(root);
    const out: GraphChain[] = [];
    // The map grows while it is walked, and the walk comes to what was added.
    for (const chain of found.values()) {
      out.push(this.chain(hook, chain, take, room > 0));
      room -= out.at(-1)!.rows.length;
    }
    return out;
  }

  /** @param room whether the limits of this picture hold for its rows, or else the usual ones */
  private chain(hook: Hook | null, chain: Chain, take: (chain: Chain) => boolean, room: boolean): GraphChain {
    const { table, name, policy, rules, line } = chain;
    const mark = hook === null ? undefined : this.marks.of(hook, table, name);
    const key = `${table}/${name}`;
    return {
      id: idOf(hook, table, name),
      hook,
      table,
      name,
      policy,
      author: policy === null ? chainAuthor(table, name) : null,
      size: rules.length,
      line,
      also: [...(this.callers.get(key) ?? [])].filter((each) => each !== hook),
      rows: this.rows(hook, chain, mark?.rules ?? NONE, take, room ? this.limits : USUAL),
      passed: mark !== undefined,
      ended: mark?.policy ?? false,
    };
  }

  private wanted(hook: Hook | null, { table, name }: Chain): boolean {
    const { chain } = this.options;
    if (chain?.table === table && chain.name === name) return true;
    return hook !== null && this.marks.of(hook, table, name) !== undefined;
  }

  private leadsOn(rule: Rule): boolean {
    const to = called(rule);
    return to !== null && this.toward.has(`${rule.table}/${to}`);
  }

  /** A chain that is worth a node of its own: it holds rules, or is where the owner's rules for containers go. */
  private matters(table: TableName, name: string): Chain | null {
    const chain = chainOf(this.ruleset, table, name);
    if (chain === undefined) return null;
    if (this.focus !== null && !this.focus.has(`${table}/${name}`)) return null;
    const own = table === "filter" && name === "DOCKER-USER";
    return chain.rules.length > 0 || own || this.options.all === true ? chain : null;
  }

  private rows(
    hook: Hook | null,
    chain: Chain,
    passed: ReadonlySet<number>,
    take: (chain: Chain) => boolean,
    usual: Limits,
  ): GraphRow[] {
    const asked = this.options.chain;
    const limits = asked?.table === chain.table && asked.name === chain.name ? ALL : usual;
    let runs: Rule[][] = chain.rules.map((rule) => [rule]);
    const single = (rule: Rule): boolean => passed.has(rule.index);
    if (limits !== ALL)
      runs = merged(runs, RUN, single, (rule) => (this.leadsOn(rule) ? null : shapeOf(rule)), KEPT);
    // What is published is worth a row each, as long as there is room.
    const published = (rule: Rule): boolean => targetName(rule) === "DNAT";
    if (runs.length > limits.few)
      runs = merged(runs, 3, single, (rule) => (published(rule) ? null : this.kind(rule)));
    if (runs.length > limits.rows) runs = merged(runs, 3, single, (rule) => this.kind(rule));
    if (limits !== ALL && runs.length > limits.rows)
      runs = merged(runs, 2, single, (rule) => (this.leads(rule) ? null : "anything"));
    if (runs.length > limits.rows) {
      // What the packet met is shown, wherever it stands.
      const kept = runs.slice(0, limits.rows - 1);
      const rest = merged(runs.slice(limits.rows - 1), 2, single, (rule) =>
        this.leadsOn(rule) ? null : "anything",
      );
      runs = [...kept, ...rest];
    }
    return runs.map((run) => this.row(hook, run, run.some(single), take));
  }

  private leads(rule: Rule): boolean {
    const to = called(rule);
    return to !== null && this.matters(rule.table, to) !== null;
  }

  /** Rules of one kind do the same, or nothing: jumps to chains without rules. */
  private kind(rule: Rule): string {
    const author = ruleAuthor(rule, this.host);
    const to = called(rule);
    if (to === null) return `${author} ${targetName(rule)}`;
    return this.leads(rule) ? `${author} ${rule.target.kind} ${to}` : `${author} nothing`;
  }

  private row(
    hook: Hook | null,
    run: readonly Rule[],
    passed: boolean,
    take: (chain: Chain) => boolean,
  ): GraphRow {
    const [rule, ...others] = run as [Rule, ...Rule[]];
    const deeds = new Set(run.map(deedOf));
    const names = new Set(run.map(called));
    const one = names.size === 1 && deeds.size === 1 ? [...names][0]! : null;
    const to = one === null ? null : this.matters(rule.table, one);
    const authors = new Set(run.map((each) => ruleAuthor(each, this.host)));
    const same = new Set(run.map(targetName)).size === 1;
    return {
      first: rule.index,
      last: others.at(-1)?.index ?? rule.index,
      asks: others.length === 0 ? asks(rule, this.ruleset) : `${run.length} rules`,
      does: deeds.size === 1 ? [...deeds][0]! : "several",
      target:
        others.length === 0 ? this.target(rule) : same ? targetName(rule) || "count" : this.several(run),
      to: to !== null && take(to) ? idOf(hook, rule.table, to.name) : null,
      author: authors.size === 1 ? [...authors][0]! : null,
      rules: run
        .slice(0, SPELT)
        .map((each) => `${each.index}${printBody(each, this.ruleset)}`)
        .concat(run.length > SPELT ? [`and ${run.length - SPELT} more`] : []),
      passed,
    };
  }

  /** Where a rule goes, in short. */
  private target(rule: Rule): string {
    const { target } = rule;
    const name = targetName(rule);
    if (target.kind === "none") return "count";
    if (target.kind === "jump" || target.kind === "goto")
      return this.rules(rule.table, target.chain).length > 0 ? name : `${name} ∅`;
    if (deedOf(rule) !== "nat") return name;
    const { family } = this.ruleset;
    const words = printTarget(target, { family, proto: ruleProtocol(rule.matches) })
      .split(" ")
      .slice(2);
    return [name, ...words.filter((word) => !word.startsWith("-"))].join(" ");
  }

  /** What several rules do, counted: `6 ACCEPT, 2 DROP`; jumps by how many chains they call. */
  private several(run: readonly Rule[]): string {
    const counts = new Map<string, number>();
    const chains = new Set<string>();
    let empty = 0;
    for (const rule of run) {
      const to = called(rule);
      if (to === null) counts.set(targetName(rule) || "count", (counts.get(targetName(rule)) ?? 0) + 1);
      else if (this.rules(rule.table, to).length > 0) chains.add(to);
      else empty++;
    }
    const out = [...counts].sort(([, a], [, b]) => b - a).map(([name, count]) => `${count} ${name}`);
    if (chains.size > 0) out.unshift(`${chains.size} chain${chains.size === 1 ? "" : "s"}`);
    if (empty > 0) out.push(`${empty} empty`);
    return out.join(", ");
  }

  private notes(): string[] {
    const out = [...this.ruleset.doubts];
    let [empty, uncalled, folded] = [0, 0, 0];
    for (const [table, { chains }] of this.ruleset.tables)
      for (const chain of chains.values()) {
        const key = `${table}/${chain.name}`;
        if (chain.policy !== null || this.drawn.has(key)) continue;
        if (!this.callers.has(key)) uncalled++;
        else if (chain.rules.length === 0) empty++;
        else folded++;
      }
    if (this.options.all !== true && this.focus === null) {
      const left = [
        ...(empty > 0 ? [`${counted(empty, "chain")} without rules`] : []),
        ...(uncalled > 0 ? [`${counted(uncalled, "chain")} that nothing calls`] : []),
      ];
      if (left.length > 0) out.push(`not drawn: ${left.join(" and ")} (--all draws them)`);
    }
    if (folded > 0 && this.focus === null)
      out.push(`folded: ${counted(folded, "chain")} of many that are alike or far below (--chain draws one)`);
    if (this.lines > 0) out.push(`${counted(this.lines, "call")} without a line: there are too many to draw`);
    return out;
  }
}

const NONE: ReadonlySet<number> = new Set();

function told({ answer: { packet, verdict, delivery, out } }: Trace): string {
  const where = out !== null ? `, out of ${out}` : delivery === "local" ? ", by this host" : "";
  return `${packetText(packet)}: ${verdict}${where}`;
}

function callsOf(chain: GraphChain): GraphCall[] {
  return chain.rows.flatMap((row, i): GraphCall[] => {
    if (row.to === null) return [];
    const kind = row.does === "goto" ? "goto" : "jump";
    const { to, passed } = row;
    return [{ from: chain.id, to, kind, row: i, rules: row.last - row.first + 1, passed }];
  });
}

/**
 * Runs whose rules are of one kind, put together.
 * @param least how many rules are worth it
 * @param single rules that stay by themselves
 * @param kind `null` for rules that stay by themselves
 * @param kept how many stay in front of those that are put together
 */
function merged(
  runs: readonly Rule[][],
  least: number,
  single: (rule: Rule) => boolean,
  kind: (rule: Rule) => string | null,
  kept = 0,
): Rule[][] {
  const out: Rule[][] = [];
  const kinds = runs.map((run) => {
    if (run.some(single)) return null;
    const [first, ...others] = run.map(kind);
    return others.every((other) => other === first) ? first! : null;
  });
  for (let i = 0; i < runs.length; ) {
    let end = i + 1;
    while (kinds[i] !== null && end < runs.length && kinds[end] === kinds[i]) end++;
    const group = runs.slice(i, end);
    // Many calls of one chain are no chains that are alike.
    const worth = kept === 0 ? group.length : new Set(group.flat().map(called)).size;
    if (worth < least) out.push(...group);
    else out.push(...group.slice(0, kept), group.slice(kept).flat());
    i = end;
  }
  return out;
}

/** Chains that a program makes one of for each service, jail or container have all but the end of their name in common. */
function shapeOf(rule: Rule): string | null {
  const name = called(rule);
  if (name === null || chainAuthor(rule.table, name) !== "owner") return null;
  return name.replace(/(?<=[-_.:])[^-_.:]*$/, "").replace(/\d+/g, "#");
}

const NAT = ["DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP"];
const NOTES = ["", "LOG", "NFLOG", "ULOG", "AUDIT", "TRACE", "LED", "IDLETIMER", "RATEEST"];

function deedOf(rule: Rule): Deed {
  const { target } = rule;
  if (target.kind === "jump" || target.kind === "goto" || target.kind === "unknown") return target.kind;
  const name = targetName(rule);
  if (name === "ACCEPT") return "accept";
  if (name === "DROP") return "drop";
  if (name === "REJECT") return "reject";
  if (name === "RETURN") return "return";
  if (NAT.includes(name)) return "nat";
  return NOTES.includes(name) ? "note" : "change";
}

/** What a rule asks, in few words: its ufw command where it has one. */
function asks(rule: Rule, ruleset: Ruleset): string {
  const ufw = ufwCommand(rule, ruleset);
  if (ufw !== null) return `ufw ${ufw}`;
  const spelling = { family: ruleset.family, proto: ruleProtocol(rule.matches) };
  const out: string[] = [];
  for (const { extension, values } of rule.matches) {
    if (extension.name === "comment") continue;
    for (const { not, name, words } of optionsOf(extension, values, spelling)) {
      if (not) out.push("!");
      // `tcp dport 80` says as much as `-p tcp --dport 80`.
      if (name !== "-p" || not) out.push(name.replace(/^--/, ""));
      out.push(...words.map((word) => word.replace(/\/(32|128)$/, "")));
    }
  }
  for (const { words } of rule.unknown) out.push(...words);
  return out.join(" ");
}

/** Where a packet came by. */
class Marks {
  /** Hooks and what lies between. */
  readonly places = new Set<Place>();
  private readonly chains = new Map<string, { readonly rules: Set<number>; policy: boolean }>();

  constructor(trace: Trace | undefined, ruleset: Ruleset) {
    for (const way of trace?.branches ?? []) {
      const local = (trace!.answer.packet.in ?? null) === null;
      this.places.add(local ? "programs" : "network").add(local ? "OUTPUT" : "PREROUTING");
      if (way.delivery === "local") this.places.add("INPUT").add("programs");
      if (way.delivery === "forward") this.places.add("FORWARD");
      if (way.out !== null) this.places.add("POSTROUTING").add("out");
      for (const moment of way.events) {
        if (moment.kind === "route" && this.places.has("PREROUTING")) this.places.add("routing");
        if (moment.kind !== "table") continue;
        this.places.add(moment.hook);
        for (const { step } of moment.steps) {
          const mark = this.mark(moment.hook, step.table, step.chain);
          if (step.step === "policy") mark.policy = true;
          if (step.step !== "rule") continue;
          mark.rules.add(step.rule);
          // A chain that holds no rule is passed without a word.
          if (chainOf(ruleset, step.table, step.target) !== undefined)
            this.mark(moment.hook, step.table, step.target);
        }
      }
    }
  }

  private mark(hook: Hook, table: TableName, name: string) {
    const id = idOf(hook, table, name);
    let mark = this.chains.get(id);
    if (mark === undefined) this.chains.set(id, (mark = { rules: new Set(), policy: false }));
    return mark;
  }

  /** Which of a chain's rules it matched, and whether it met the policy. */
  of(hook: Hook, table: TableName, name: string) {
    return this.chains.get(idOf(hook, table, name));
  }
}
