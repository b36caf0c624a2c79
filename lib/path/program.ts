/** A ruleset on a host: rules compiled to predicates and effects, decisions of the kernel as lists of cases. */
import type { Host } from "../host/host.ts";
import { BASE_CHAINS } from "../iptables/base-chains.ts";
import type { CtState, Family } from "../packet/field.ts";
import { ANY, is, type Predicate } from "../packet/predicate.ts";
import type { BaseChain, Hook } from "../rules/base-chain.ts";
import { CallGraph } from "../rules/call-graph.ts";
import { forks } from "../rules/effect.ts";
import type { Facts } from "../rules/facts.ts";
import type { PortRange } from "../rules/reading.ts";
import {
  baseChainsOf,
  type Chain,
  type CompiledRule,
  iptablesName,
  type Rule,
  type Ruleset,
  type TableId,
} from "../rules/ruleset.ts";
import { type BoundChain, type BoundRule, bindChain } from "./bound-chain.ts";
import { acrossCases, type Bridge, bridgeCases, type Entry, entryCases, unfollowedOf } from "./bridge.ts";
import type { Case } from "./decision-list.ts";
import type { RefusalCases } from "./end-reason.ts";
import { isAfterSourceNat, type Stop, stopGroups } from "./hooks.ts";
import { ENDED, groupCases, heldCases, refusedCases, stoppedCases } from "./kernel-drops.ts";
import { lazy } from "./lazy.ts";
import { neighbourCases } from "./neighbour-discovery.ts";
import { initialStateCases, picksUpConnections } from "./new-connection.ts";
import { portBounds, splitPorts } from "./port-bounds.ts";
import { programFacts, rulesetTraits } from "./program-facts.ts";
import { resolveEffect, rulesetContext } from "./resolve-effect.ts";
import { type RouteCase, routeCases } from "./routing-decision.ts";
import { sourceCases } from "./source-validation.ts";
import { type Sequence, StopSequencer } from "./stop-order.ts";
import { type UnreadEnd, unreadCases } from "./unread-chains.ts";

export { type BoundChain, type BoundRule, type RuleStep, type Step, stepOf } from "./bound-chain.ts";

/** nft refuses more than 16 levels of jumps (NFT_JUMP_STACK_SIZE); iptables-legacy has no limit. */
export const MOST_NESTED = 256;

export class Program {
  /** Calls between chains. */
  readonly calls: CallGraph;
  /** Interfaces beyond which a packet is not followed, and the reason. */
  readonly unfollowed = lazy(() => unfollowedOf(this.host));
  /** Entry of a packet: by a bridge, or by the interface itself. */
  readonly entries = lazy((): readonly Case<Entry>[] => entryCases(this.host, this.family));
  /** Bridge that received a packet. */
  readonly bridges = lazy((): readonly Case<Bridge>[] => bridgeCases(this.host));
  /** True for a packet that a bridge switches to another of its ports. */
  readonly across = lazy((): readonly Case<boolean>[] => acrossCases(this.host, this.family));
  /** Translations on a bridge that are not followed. */
  readonly groups = lazy((): RefusalCases => groupCases(this.family));
  /** Packets that are dropped before any table. */
  readonly refused = lazy((): RefusalCases => refusedCases(this.host, this.family, this.defragments));
  /** Fragments that connection tracking holds back before OUTPUT, or in a bridge. */
  readonly held = lazy((): RefusalCases => heldCases(this.defragments));
  /** Fragments that the host delivers only after reassembly. */
  readonly waiting: RefusalCases = heldCases(true);
  /** State of a packet that belongs to no known connection. */
  readonly initialStates = lazy((): readonly Case<CtState>[] =>
    initialStateCases(this.family, picksUpConnections(this.host)),
  );
  /** Packets whose source address the kernel refuses on arrival. */
  readonly sources = lazy((): RefusalCases => sourceCases(this.host, this.family));
  /** Routed packets that are not forwarded. */
  readonly stopped = lazy((): RefusalCases => [...this.assigned, ...stoppedCases(this.host, this.family)]);
  /** Packets that were routed in a bridge and are not forwarded. */
  readonly ended = lazy((): RefusalCases => [...this.assigned, ...ENDED]);
  /** Packets that are not sent because the rules drop neighbour discovery. */
  readonly neighbours = lazy((): RefusalCases => [...neighbourCases(this), { when: ANY, outcome: null }]);
  /** True if a chain of type nat exists: one switches translation on at all hooks (nf_nat_register_fn). */
  readonly translates = lazy(
    () =>
      [...this.ruleset.tables.keys()].some((id) => iptablesName(id) === "nat") ||
      this.baseChains().some(({ type }) => type === "nat"),
  );
  private readonly traits = lazy(() => rulesetTraits(this.ruleset));
  private readonly hostFacts = lazy((): Facts => programFacts(this.ruleset, this.traits(), this.host));
  private readonly routes = lazy(() => routeCases(this.host, this.family));
  private readonly portBounds = lazy(() => portBounds(this.portPredicates()));
  private readonly context = lazy(() => rulesetContext(this.ruleset, this.calls));
  private readonly chains = new Map<Chain, BoundChain>();
  private readonly sequencesByHook = new Map<Hook, readonly Sequence[]>();
  private readonly baseChains = lazy(() => this.activeChains());
  private readonly filtersAfterNat = lazy(() => this.baseChains().some(isAfterSourceNat));
  private readonly unreadByHook = new Map<Hook, readonly Case<UnreadEnd | null>[]>();

  private readonly turnsByBridge = new Map<string, readonly Case<Bridge | null>[]>();

  private static readonly programs = new WeakMap<Ruleset, WeakMap<Host, Program>>();

  /** Returns the program of a ruleset on a host, memoized. */
  static of(ruleset: Ruleset, host: Host): Program {
    let byHost = Program.programs.get(ruleset);
    if (byHost === undefined) Program.programs.set(ruleset, (byHost = new WeakMap()));
    let program = byHost.get(host);
    if (program === undefined) byHost.set(host, (program = new Program(ruleset, host)));
    return program;
  }

  private constructor(
    readonly ruleset: Ruleset,
    readonly host: Host,
  ) {
    this.calls = new CallGraph(ruleset);
  }

  /** Facts that the matches depend on. */
  get facts(): Facts {
    return this.hostFacts();
  }

  private get family(): Family {
    return this.ruleset.family;
  }

  /**
   * Returns true if connection tracking is active: a rule needs it. Without such a rule the kernel does not register it,
   * and the nat table sees no packet either (nf_ct_netns_get, nf_nat_inet_fn).
   */
  get tracks(): boolean {
    const { needsConntrack, preparesConnection } = this.traits();
    return needsConntrack === true || preparesConnection === true;
  }

  /** Fragments are reassembled before any table (nf_defrag), for connection tracking or to look a socket up. */
  private get defragments(): boolean {
    return this.tracks || this.traits().defragments === true;
  }

  /** Packets that TPROXY assigned to a socket: ip_forward drops them. */
  private get assigned(): RefusalCases {
    return this.traits().assignsSocket === true
      ? [{ when: is("socket", 1), outcome: { code: "socket-unrouted" } }]
      : [];
  }

  /** Returns a chain; `undefined` if the ruleset does not contain it. */
  chain(table: TableId, name: string): BoundChain | undefined {
    const chain = this.ruleset.tables.get(table)?.chains.get(name);
    return chain === undefined ? undefined : this.bound(chain);
  }

  private bound(chain: Chain): BoundChain {
    let bound = this.chains.get(chain);
    if (bound === undefined) {
      bound = bindChain(chain, (rule) => this.compile(rule));
      this.chains.set(chain, bound);
    }
    return bound;
  }

  private compile(rule: Rule): CompiledRule {
    const { when, effect } = rule.compile(this.facts);
    return { when, effect: resolveEffect(rule, effect, this.context()) };
  }

  /** Returns a chain that a rule jumps or goes to. */
  target(bound: BoundRule, name: string): BoundChain {
    if (bound.to?.chain.name !== name) bound.to = this.chain(bound.rule.table, name)!;
    return bound.to;
  }

  /** Returns chains and all chains below them, each after the chains that it calls. */
  calleesFirst(chains: Iterable<BoundChain>): BoundChain[] {
    return this.calls.calleesFirst([...chains].map(({ chain }) => chain)).map((chain) => this.bound(chain));
  }

  /** Returns true if a chain has more levels of chains below it than recursion can follow. */
  isDeep({ chain }: BoundChain): boolean {
    return this.calls.height(chain) > MOST_NESTED;
  }

  /** Returns the stops of a hook in the order of the kernel; in one of the possible orders if it is not known. */
  stops(hook: Hook): readonly Stop[] {
    return this.sequences(hook).find(({ outcome }) => outcome !== null)?.outcome ?? [];
  }

  /** Returns the possible sequences of the stops of a hook: several where the order of chains of one priority matters. */
  sequences(hook: Hook): readonly Sequence[] {
    let sequences = this.sequencesByHook.get(hook);
    if (sequences === undefined) {
      const groups = stopGroups(this.baseChains(), hook, { track: this.tracks, nat: this.translates() });
      const sequencer = new StopSequencer(hook, this.ruleset.hookOrder?.get(hook), (chain) =>
        this.below(chain),
      );
      sequences = sequencer.sequences(groups);
      this.sequencesByHook.set(hook, sequences);
    }
    return sequences;
  }

  /** Base chains that the kernel calls, and those of table filter, which observers watch. */
  private activeChains(): BaseChain[] {
    const own = baseChainsOf(this.ruleset);
    const filter = this.ruleset.tables.get("filter")?.chains;
    const missing = BASE_CHAINS.filter(({ table, name }) => table === "filter" && filter?.has(name) !== true);
    return [...missing, ...own];
  }

  private below({ table, name }: BaseChain): readonly BoundChain[] {
    const chain = this.chain(table, name);
    return chain === undefined ? [] : this.calleesFirst([chain]);
  }

  /**
   * Returns true if rules are evaluated after the source of a packet is translated: it returns by loopback, or base chains
   * run after the translation.
   * @param out output interface of the packet
   */
  seesTranslatedSource(out: string): boolean {
    return out === "lo" || this.filtersAfterNat();
  }

  /** Returns the bridge of this name for packets that it received itself; `null` for others. */
  turned(name: string): readonly Case<Bridge | null>[] {
    let cases = this.turnsByBridge.get(name);
    if (cases === undefined) {
      const own = this.bridges().filter(({ outcome }) => outcome.name === name);
      cases = [...own, { when: ANY, outcome: null }];
      this.turnsByBridge.set(name, cases);
    }
    return cases;
  }

  /** Returns what unread base chains may do at a hook. */
  unread(hook: Hook): readonly Case<UnreadEnd | null>[] {
    let cases = this.unreadByHook.get(hook);
    if (cases === undefined) {
      cases = unreadCases(this.ruleset.unread ?? [], hook);
      this.unreadByHook.set(hook, cases);
    }
    return cases;
  }

  /** Routing decisions for arriving packets. */
  get routesIn(): readonly RouteCase[] {
    return this.routes().in;
  }

  /** Routing decisions for packets of the host. */
  get routesOut(): readonly RouteCase[] {
    return this.routes().out;
  }

  /** Routing decisions for packets of the host that OUTPUT changed. */
  get routesAgain(): readonly RouteCase[] {
    return this.routes().again;
  }

  /** Splits a range of ports into intervals that no rule and no route distinguishes. */
  portIntervals(side: "dst" | "src", first: number, last: number): readonly PortRange[] {
    return splitPorts(this.portBounds()[side], first, last);
  }

  private *portPredicates(): Generator<Predicate> {
    for (const { chains } of this.ruleset.tables.values())
      for (const chain of chains.values())
        for (const { when, effect } of this.bound(chain).rules) {
          yield when;
          yield* forks(effect);
        }
    for (const cases of [this.routesIn, this.routesAgain]) for (const { when } of cases) yield when;
  }
}
