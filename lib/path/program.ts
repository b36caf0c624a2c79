/**
 * A ruleset on a host: every rule as a predicate and an effect, worked out when its chain is first asked for.
 */
import { factsOf, type Host } from "../host/host.ts";
import { BASE_CHAINS } from "../iptables/base-chains.ts";
import { Classifier } from "../packet/classifier.ts";
import type { CtState } from "../packet/field.ts";
import { ANY, and, is, leaves, opaque, or, type Predicate } from "../packet/predicate.ts";
import type { Hook } from "../rules/base-chain.ts";
import { type Effect, ends, forks, PREPARE, type Verdict } from "../rules/effect.ts";
import { type Facts, siteKey } from "../rules/facts.ts";
import type { Traits } from "../rules/reading.ts";
import { type Chain, type Rule, type Ruleset, type TableName, targetName } from "../rules/ruleset.ts";
import { kindsOf } from "./address-types.ts";
import { acrossCases, type Entry, entryCases, unfollowedOf } from "./bridge.ts";
import type { Case } from "./decision-list.ts";
import { type Stop, stopsOf } from "./hooks.ts";
import { neighbourCases } from "./neighbour-discovery.ts";
import { freshCases, loose } from "./new-connection.ts";
import { reversePath } from "./reverse-path.ts";
import {
  ENDED,
  groupCases,
  heldCases,
  type RouteCase,
  refusedCases,
  routeCases,
  sourceCases,
  stoppedCases,
} from "./route.ts";
import { changedKey, unreadKey } from "./unknown-key.ts";

/** A rule with its meaning on this host. */
export interface BoundRule {
  readonly rule: Rule;
  readonly when: Predicate;
  readonly effect: Effect;
  /** What the kernel's TRACE says of it, once it was asked for (`stepOf`). */
  step: Step | null;
  /** Where its jump leads, once it was asked for (`Program.target`). */
  to: BoundChain | null;
}

export interface BoundChain {
  readonly chain: Chain;
  readonly rules: readonly BoundRule[];
  /** Which rule is the first to match. */
  readonly classifier: Classifier;
  readonly policy: Verdict | null;
  /** What TRACE says at its end: the policy, or the return from a user's chain. */
  readonly end: Step;
}

/** One step as the kernel's TRACE target reports it: a rule that matched, falling off a user chain, a policy. */
export type Step =
  | {
      readonly table: TableName;
      readonly chain: string;
      readonly step: "rule";
      /** Number in its chain, from 1. */
      readonly rule: number;
      readonly target: string;
      readonly line: number;
    }
  | { readonly table: TableName; readonly chain: string; readonly step: "return" }
  | {
      readonly table: TableName;
      readonly chain: string;
      readonly step: "policy";
      readonly policy: "ACCEPT" | "DROP";
    };

/** How a packet ends at a base chain that was not read. */
export interface UnreadEnd {
  readonly verdict: "drop" | "undecided";
  readonly why: string;
}

/** The step of a rule that matched, the same for all packets. */
export function stepOf(bound: BoundRule): Step {
  const { table, chain, index, line } = bound.rule;
  bound.step ??= Object.freeze<Step>({
    ...{ table, chain, step: "rule", rule: index, target: targetName(bound.rule), line },
  });
  return bound.step;
}

/** What each hook can run for iptables. */
export const STOPS = stopsOf(BASE_CHAINS);

/** nft refuses more than 16 levels of jumps (NFT_JUMP_STACK_SIZE); iptables-legacy has no limit. */
export const MOST_NESTED = 256;

/** Why the analysis of sets does not follow a chain that `isDeep`. */
export const TOO_DEEP = `chains nested more than ${MOST_NESTED} deep that change packets are not followed`;

export class Program {
  /** What the matches ask of the host. */
  readonly facts: Facts;
  /** Interfaces beyond which nothing is followed, and why. */
  readonly unfollowed: ReadonlyMap<string, string>;
  private readonly chains = new Map<Chain, BoundChain>();
  private readonly loops = new Map<TableName, ReadonlySet<Rule>>();
  /** Levels of chains below each: 0 for a chain that calls none. */
  private readonly levels = new Map<BoundChain, number>();
  private readonly stopsMade = new Map<Hook, readonly Stop[]>();
  private entriesMade: readonly Case<Entry>[] | undefined;
  private groupsMade: readonly Case<string | null>[] | undefined;
  private acrossMade: readonly Case<boolean>[] | undefined;
  private refusedMade: readonly Case<string | null>[] | undefined;
  private endedMade: readonly Case<string | null>[] | undefined;
  private neighboursMade: readonly Case<string | null>[] | undefined;
  private stoppedMade: readonly Case<string | null>[] | undefined;
  private tracksMade: boolean | undefined;
  private heldMade: readonly Case<string | null>[] | undefined;
  private freshMade: readonly Case<CtState>[] | undefined;
  private sourcesMade: readonly Case<string | null>[] | undefined;
  private portsMade: ReturnType<typeof portBounds> | undefined;
  private readonly unreadMade = new Map<Hook, readonly Case<UnreadEnd | null>[]>();
  private routesMade: ReturnType<typeof routeCases> | undefined;

  private static readonly made = new WeakMap<Ruleset, WeakMap<Host, Program>>();

  /** The program of a ruleset on a host, made once however many ask for it. */
  static of(ruleset: Ruleset, host: Host): Program {
    let byHost = Program.made.get(ruleset);
    if (byHost === undefined) Program.made.set(ruleset, (byHost = new WeakMap()));
    let program = byHost.get(host);
    if (program === undefined) byHost.set(host, (program = new Program(ruleset, host)));
    return program;
  }

  private constructor(
    readonly ruleset: Ruleset,
    readonly host: Host,
  ) {
    const { family } = ruleset;
    this.unfollowed = unfollowedOf(host);
    this.facts = {
      ...factsOf(host, family),
      addressIs: kindsOf(host, family),
      lengthens: this.has("lengthens"),
      rewritesOptions: this.has("rewritesTcpOptions"),
      reversePath: (how) => reversePath(host, family, how),
      changing: changingSets(ruleset, host),
    };
  }

  /** A chain by table and name; `undefined` when the ruleset has none, and the kernel passes it by. */
  chain(table: TableName, name: string): BoundChain | undefined {
    const chain = this.ruleset.tables.get(table)?.chains.get(name);
    if (chain === undefined) return undefined;
    let bound = this.chains.get(chain);
    if (bound === undefined) {
      const rules = chain.rules.map((rule) => this.bind(rule));
      bound = {
        chain,
        rules,
        classifier: Classifier.of(rules),
        policy: chain.policy === null ? null : chain.policy === "ACCEPT" ? "accept" : "drop",
        end: Object.freeze<Step>(
          chain.policy === null
            ? { table, chain: name, step: "return" }
            : { table, chain: name, step: "policy", policy: chain.policy },
        ),
      };
      this.chains.set(chain, bound);
    }
    return bound;
  }

  /** The chain that a rule's jump or goto leads to. */
  target(bound: BoundRule): BoundChain {
    const { table, target } = bound.rule;
    bound.to ??= this.chain(table, target.kind === "jump" || target.kind === "goto" ? target.chain : "")!;
    return bound.to;
  }

  /** The chains that the rules of a chain call. */
  private *called({ rules }: BoundChain): Generator<BoundChain> {
    for (const bound of rules)
      for (const { kind } of ends(bound.effect))
        if (kind === "jump" || kind === "goto") yield this.target(bound);
  }

  /** Some chains and all that they call, each behind those that it calls. */
  calleesFirst(chains: Iterable<BoundChain>): BoundChain[] {
    const order: BoundChain[] = [];
    const entered = new Set<BoundChain>();
    // An explicit stack: chains may be nested deeper than JavaScript's own.
    const stack: { readonly chain: BoundChain; readonly called: Generator<BoundChain> }[] = [];
    const enter = (chain: BoundChain): void => {
      if (entered.has(chain)) return;
      entered.add(chain);
      stack.push({ chain, called: this.called(chain) });
    };
    for (const start of chains) {
      enter(start);
      while (stack.length > 0) {
        const next = stack.at(-1)!.called.next();
        if (next.done === true) order.push(stack.pop()!.chain);
        else enter(next.value);
      }
    }
    return order;
  }

  /** Whether a chain has too many levels of chains below it to be followed by recursion. */
  isDeep(chain: BoundChain): boolean {
    if (!this.levels.has(chain))
      for (const each of this.calleesFirst([chain])) {
        let levels = 0;
        for (const callee of this.called(each)) levels = Math.max(levels, this.levels.get(callee)! + 1);
        this.levels.set(each, levels);
      }
    return this.levels.get(chain)! > MOST_NESTED;
  }

  /** Where a hook stops a packet, in order: what the rules do not have is passed by, but for filter's, which are watched. */
  stops(hook: Hook): readonly Stop[] {
    let stops = this.stopsMade.get(hook);
    if (stops === undefined) {
      stops = STOPS[hook].filter((stop) => this.isActive(stop));
      this.stopsMade.set(hook, stops);
    }
    return stops;
  }

  private isActive(stop: Stop): boolean {
    if (stop.kind === "track") return this.tracks;
    const { table, name } = stop.chain;
    // One chain of type nat switches translation on at all hooks (nf_nat_register_fn).
    if (stop.kind === "nat") return this.ruleset.tables.has(table);
    return table === "filter" || this.ruleset.tables.get(table)?.chains.has(name) === true;
  }

  /**
   * What base chains that were not read may do at a hook, each by unknowns of its own: drop a packet, or change it, so
   * that its further way is unknown. `null` for a packet that they leave alone.
   */
  unread(hook: Hook): readonly Case<UnreadEnd | null>[] {
    let cases = this.unreadMade.get(hook);
    if (cases === undefined) {
      const chains = (this.ruleset.unread ?? []).filter((each) => each.hook === hook);
      const names = new Set(chains.map(({ by }) => by));
      const ends = [...names].flatMap((by): Case<UnreadEnd>[] => {
        const own = chains.filter((each) => each.by === by);
        const when = or(...own.map((each) => each.when ?? ANY));
        const drops = `${by} is not read, and it may drop the packet`;
        const changes = `${by} is not read, and it may change or translate the packet`;
        const drop: Case<UnreadEnd> = {
          when: and(when, opaque(unreadKey(hook, by), drops)),
          outcome: { verdict: "drop", why: `${by}, which is not read` },
        };
        if (!own.some((each) => each.changes === true)) return [drop];
        const outcome: UnreadEnd = { verdict: "undecided", why: changes };
        return [drop, { when: opaque(changedKey(by), changes), outcome }];
      });
      cases = ends.length === 0 ? [] : [...ends, { when: ANY, outcome: null }];
      this.unreadMade.set(hook, cases);
    }
    return cases;
  }

  /** Routing decisions for packets that arrive, in the order in which they are tried. */
  get routesIn(): readonly RouteCase[] {
    return this.routes.in;
  }

  /** Routing decisions for packets the host sends. */
  get routesOut(): readonly RouteCase[] {
    return this.routes.out;
  }

  /** Routing decisions for packets of the host's own that OUTPUT changed. */
  get routesAgain(): readonly RouteCase[] {
    return this.routes.again;
  }

  /** How packets come in: by a bridge, or by themselves. */
  get entries(): readonly Case<Entry>[] {
    this.entriesMade ??= entryCases(this.host, this.ruleset.family);
    return this.entriesMade;
  }

  /** What of a bridge's translations is not followed: why, else `null`. */
  get groups(): readonly Case<string | null>[] {
    this.groupsMade ??= groupCases(this.ruleset.family);
    return this.groupsMade;
  }

  /** Whether what came in by a bridge is for another of its ports. */
  get across(): readonly Case<boolean>[] {
    this.acrossMade ??= acrossCases(this.host, this.ruleset.family);
    return this.acrossMade;
  }

  /** What is routed and yet not sent on: why, else `null`. */
  get stopped(): readonly Case<string | null>[] {
    this.stoppedMade ??= [...this.kept, ...stoppedCases(this.host, this.ruleset.family)];
    return this.stoppedMade;
  }

  /** What is dropped before any table sees it: why, else `null`. */
  get refused(): readonly Case<string | null>[] {
    this.refusedMade ??= refusedCases(this.host, this.ruleset.family, this.gathers);
    return this.refusedMade;
  }

  /** What cannot be sent since its neighbour cannot be found: why, else `null`. */
  get neighbours(): readonly Case<string | null>[] {
    this.neighboursMade ??= [...neighbourCases(this), { when: ANY, outcome: null }];
    return this.neighboursMade;
  }

  /** The same for what a bridge has routed already. */
  get ended(): readonly Case<string | null>[] {
    this.endedMade ??= [...this.kept, ...ENDED];
    return this.endedMade;
  }

  /** What TPROXY found a socket for is not sent on (ip_forward). */
  private get kept(): readonly Case<string | null>[] {
    return this.has("assignsSocket")
      ? [{ when: is("socket", 1), outcome: "TPROXY gave it to a socket, and no route leads to this host" }]
      : [];
  }

  private any(test: (rule: Rule) => boolean): boolean {
    return [...this.ruleset.tables.values()].some(({ chains }) =>
      [...chains.values()].some(({ rules }) => rules.some(test)),
    );
  }

  /** Returns true if any rule has a trait. */
  private has(trait: keyof Traits): boolean {
    return this.any(({ traits }) => traits[trait] === true);
  }

  /** What the host does not take before all of it is there. */
  readonly waiting: readonly Case<string | null>[] = heldCases(true);

  /** What the host sends and connection tracking holds back: why, else `null`. */
  get held(): readonly Case<string | null>[] {
    this.heldMade ??= heldCases(this.gathers);
    return this.heldMade;
  }

  /** Whether fragments are put together before any table (nf_defrag): for connection tracking, and to look for a socket. */
  private get gathers(): boolean {
    return this.tracks || this.has("defragments");
  }

  /** What conntrack says of a packet that belongs to no connection it knows. */
  get fresh(): readonly Case<CtState>[] {
    this.freshMade ??= freshCases(this.ruleset.family, loose(this.host));
    return this.freshMade;
  }

  /** Whether a packet that arrives may have the source it has: why not, else `null`. */
  get sources(): readonly Case<string | null>[] {
    this.sourcesMade ??= sourceCases(this.host, this.ruleset.family);
    return this.sourcesMade;
  }

  /**
   * Whether anything in the rules asks for connection tracking: else the kernel does not switch it on, and without it
   * no packet comes to the nat table either (nf_ct_netns_get, nf_nat_inet_fn).
   */
  get tracks(): boolean {
    this.tracksMade ??= this.has("needsConntrack") || this.has("preparesConnection");
    return this.tracksMade;
  }

  /** A range of ports, cut where the rules or the routes tell them apart: all ports of a piece fare alike. */
  pieces(side: "dst" | "src", first: number, last: number): readonly (readonly [number, number])[] {
    this.portsMade ??= portBounds(this);
    const cuts = [...this.portsMade[side]]
      .filter((port) => port > first && port <= last)
      .sort((a, b) => a - b);
    return [first, ...cuts].map((lo, i) => [lo, (cuts[i] ?? last + 1) - 1] as const);
  }

  /** Whether rules of raw ask for connections, which are there in raw only if a rule prepared them. */
  private get asksInRaw(): boolean {
    return [...(this.ruleset.tables.get("raw")?.chains.values() ?? [])].some(({ rules }) =>
      rules.some(({ traits }) => traits.needsConntrack === true),
    );
  }

  private get routes(): ReturnType<typeof routeCases> {
    this.routesMade ??= routeCases(this.host, this.ruleset.family);
    return this.routesMade;
  }

  private bind(rule: Rule): BoundRule {
    const { when, effect } = rule.compile(this.facts);
    return { rule, when, effect: this.resolve(rule, effect), step: null, to: null };
  }

  /** Replaces the effect of a target that cannot be followed by an unknown. */
  private resolve(rule: Rule, effect: Effect): Effect {
    if (effect.kind === "fork" && effect.yes.kind === "hotdrop")
      return { ...effect, no: this.resolve(rule, effect.no) };
    const unknown = (name: string, why: string): Effect => ({
      kind: "opaque",
      key: siteKey(name, rule),
      why,
    });
    if (effect === PREPARE && this.asksInRaw)
      return unknown("CT", "what raw sees of a connection that it prepares is not followed");
    if (effect.kind !== "jump" && effect.kind !== "goto") return effect;
    const { chain } = effect;
    if (!this.ruleset.tables.get(rule.table)?.chains.has(chain))
      return unknown(chain, `chain ${chain} is not declared`);
    if (this.loopsOf(rule.table).has(rule)) return unknown(chain, `a loop of jumps leads back to ${chain}`);
    return effect;
  }

  /** The rules whose jumps close a loop: without them no chain leads back to itself. */
  private loopsOf(table: TableName): ReadonlySet<Rule> {
    let loops = this.loops.get(table);
    if (loops === undefined)
      this.loops.set(table, (loops = closingJumps(this.ruleset.tables.get(table)!.chains)));
    return loops;
  }
}

/** Where the ports begin that rules or routes tell from those before them. */
function portBounds(program: Program): Readonly<Record<"dst" | "src", ReadonlySet<number>>> {
  const bounds = { dst: new Set<number>(), src: new Set<number>() };
  const visit = (when: Predicate): void =>
    leaves(when, (leaf) => {
      if (leaf.kind !== "in") return;
      const side =
        leaf.field === "dport" || leaf.field === "ctreplsrcport"
          ? "dst"
          : leaf.field === "sport" || leaf.field === "ctrepldstport"
            ? "src"
            : undefined;
      if (side === undefined) return;
      for (const [lo, hi] of leaf.ranges) bounds[side].add(lo as number).add((hi as number) + 1);
    });
  for (const { chains } of program.ruleset.tables.values())
    for (const { table, name } of chains.values())
      for (const { when, effect } of program.chain(table, name)!.rules)
        for (const each of [when, ...forks(effect)]) visit(each);
  for (const cases of [program.routesIn, program.routesAgain]) for (const { when } of cases) visit(when);
  return bounds;
}

/** Which sets the rules add to or take from: those that SET names, what those hold, and the lists that hold one of them. */
function changingSets(ruleset: Ruleset, host: Host): (set: string) => boolean {
  const changed = new Set<string>();
  for (const table of ruleset.tables.values())
    for (const chain of table.chains.values())
      for (const { traits } of chain.rules)
        for (const set of traits.changesSets ?? []) {
          changed.add(set);
          for (const part of host.parts(set)) changed.add(part);
        }
  return (set) => changed.has(set) || host.parts(set).some((part) => changed.has(part));
}

/** The jumps that close a loop in a table, found depth first with a stack of our own. */
export function closingJumps(chains: ReadonlyMap<string, Chain>): Set<Rule> {
  const closing = new Set<Rule>();
  const state = new Map<string, "open" | "done">();
  for (const start of chains.values()) {
    if (state.has(start.name)) continue;
    const stack = [{ chain: start, next: 0 }];
    state.set(start.name, "open");
    while (stack.length > 0) {
      const top = stack.at(-1)!;
      const rule = top.chain.rules[top.next++];
      if (rule === undefined) {
        state.set(top.chain.name, "done");
        stack.pop();
        continue;
      }
      if (rule.target.kind !== "jump" && rule.target.kind !== "goto") continue;
      const to = chains.get(rule.target.chain);
      if (to === undefined || state.get(to.name) === "done") continue;
      if (state.get(to.name) === "open") closing.add(rule);
      else {
        state.set(to.name, "open");
        stack.push({ chain: to, next: 0 });
      }
    }
  }
  return closing;
}
