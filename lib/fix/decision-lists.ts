/**
 * What the owner's rules do to the packets of each way, rule by rule, in the order in which they are asked: the
 * decision lists that a fix lifts onto the containers.
 */

import type { FamilyAudit, Way } from "../audit/audit.ts";
import { bannerOf } from "../audit/bans.ts";
import { ufwForwardChain } from "../audit/ufw-rules.ts";
import { fromContainers, fromOutside, type Host } from "../host/host.ts";
import type { Match } from "../iptables/rule.ts";
import { printAddress } from "../packet/address.ts";
import { type Family, protoName } from "../packet/field.ts";
import { and, is, or, type Predicate } from "../packet/predicate.ts";
import { type BoundChain, MOST_NESTED, type Program } from "../path/program.ts";
import type { Observer } from "../path/walk.ts";
import { BudgetExceeded } from "../reach/budget.ts";
import { EMPTY, type Node, terminal } from "../reach/node-store.ts";
import type { SetEngine } from "../reach/set-engine.ts";
import type { SetState, SetStates } from "../reach/set-state.ts";
import { assignField } from "../reach/set-state.ts";
import type { Vocabulary } from "../reach/variables.ts";
import type { Hook } from "../rules/base-chain.ts";
import type { Rule, TableName } from "../rules/ruleset.ts";

/** Where a list was read: the packets as its rules see them. */
export interface Place {
  readonly reach: SetEngine;
  /** States at the chain's head; their sets are said of the packets as they were sent. */
  readonly states: readonly SetState[];
  /** Whether its rules see the header before Docker's translation, which a rule in FORWARD does not. */
  readonly before: boolean;
}

/** One thing that one rule does. */
export interface Step {
  readonly place: Place;
  /** `null` for a policy, or for what does not even get to the rules. */
  readonly rule: Rule | null;
  /** The rules whose jumps led here, outermost first. */
  readonly by: readonly Rule[];
  readonly does: "note" | "accept" | "drop" | "reject" | "ask" | "call" | "unclear";
  /** The packets of the way that it does it to; `call`: those that enter the chain. */
  readonly set: Node;
  /** `ask`: a jump whose condition must not be asked twice, and what is done behind it. `call`: what the chain does now. */
  readonly inner: readonly Step[];
  /** The packets that meet all matches but those by an ipset, whose members change; absent where there are none. */
  readonly asked?: Node;
  /** The jumps of `by` whose ipsets contain none of the packets: `asked` leaves out their matches by an ipset, too. */
  readonly lookups?: readonly Rule[];
}

type Steps = Map<number, Step[]>;

/**
 * The ways with all that goes by them: a finding is about first packets, but what conntrack makes nothing of
 * (INVALID) goes by the intent as well.
 */
export function wholeWays(audit: FamilyAudit): readonly Way[] {
  let ways = whole.get(audit);
  if (ways === undefined) whole.set(audit, (ways = widened(audit)));
  return ways;
}

const whole = new WeakMap<FamilyAudit, readonly Way[]>();

/** Identifies a way in every audit of the same rules, whatever its domain. */
export const wayKey = ({ kind, proto, endpoint, listen, bridge, beyond }: Way): string =>
  [
    kind,
    proto,
    endpoint?.ip,
    endpoint?.port,
    listen?.address,
    listen?.port,
    bridge,
    ...(beyond?.inputs ?? []),
  ].join(" ");

/** What messages call a way: its finding, or its endpoint where only packets that open no connection are blocked. */
export function nameOf({ kind, proto, endpoint, bridge, finding }: Way, family: Family): string {
  if (finding !== null) return finding.id;
  const place =
    endpoint === null ? (bridge ?? "any") : `${printAddress(endpoint.ip)}/${endpoint.port ?? "any"}`;
  return `${kind}/${family}/${protoName(proto ?? 0)}/${place}`;
}

function widened({ domain, full, ways, passing, blocked, straight }: FamilyAudit): readonly Way[] {
  const { diagrams } = domain;
  let more = diagrams.subtract(passing, diagrams.unionAll(ways.map((way) => way.all)));
  if (more === EMPTY) return ways;
  const wider = new Map<Way, Node>();
  for (const way of ways) {
    if (way.beyond === undefined || way.bridge === null) continue;
    const by = domain.set(or(...way.beyond.inputs.map((name) => is("in", name))));
    const set = diagrams.intersect(diagrams.intersect(more, by), straight.get(way.bridge) ?? EMPTY);
    wider.set(way, set);
    more = diagrams.subtract(more, set);
  }
  const told = ways.filter(
    ({ endpoint, listen, kind }) => (endpoint !== null && listen === null) || kind === "egress-bypass",
  );
  const { parts, rest } = domain.partition(
    more,
    told.map(({ endpoint, proto, bridge }) =>
      endpoint === null
        ? fromContainers(full.program.host, bridge!)
        : and(
            is("dst", endpoint.ip),
            ...(proto === null ? [] : [is("proto", proto)]),
            ...(endpoint.port === null ? [] : [is("dport", endpoint.port)]),
          ),
    ),
  );
  for (const [part, set] of diagrams.split(parts)) wider.set(told[part - 1]!, set);
  // A way for all the rest of an interface takes what no way by address took.
  for (const way of ways)
    if (
      way.endpoint === null &&
      way.bridge !== null &&
      way.beyond === undefined &&
      ["direct-bypass", "forward-bypass"].includes(way.kind)
    )
      wider.set(way, diagrams.intersect(rest, straight.get(way.bridge) ?? EMPTY));
  return ways.map((way) => {
    const set = wider.get(way);
    return set === undefined
      ? way
      : {
          ...way,
          all: diagrams.union(way.all, set),
          blocked: diagrams.union(way.blocked, diagrams.intersect(blocked, set)),
        };
  });
}

/** The list of each way. */
export function listsOf(
  audit: FamilyAudit,
  host: Host,
  ways: readonly Way[],
): ReadonlyMap<Way, readonly Step[]> {
  const { domain, full, mine } = audit;
  const { diagrams } = domain;
  const tags = new Map(ways.map((way, i) => [i + 1, way]));
  const tagged = (which: (way: Way) => boolean): Node =>
    diagrams.unionAll(
      [...tags].map(([tag, way]) => (which(way) ? diagrams.intersect(way.all, terminal(tag)) : EMPTY)),
    );
  const published = tagged((way) => way.listen !== null);
  const outgoing = tagged((way) => way.kind === "egress-bypass");
  const straight = tagged((way) => way.listen === null && way.kind !== "egress-bypass");
  const lists: Steps = new Map();

  const blocked = diagrams.unionAll(ways.map((way) => way.blocked));
  const outside = fromOutside(host);
  const bridges = or(...host.bridges.map((name) => fromContainers(host, name)));
  const arrive = (reach: SetEngine, start = outside) =>
    seen(reach, "FORWARD", (observe) => reach.arrive(reach.start(start), observe));
  // What `ufw route` says of the translated packet comes first, then what the owner says of the host's own traffic.
  const route = full.program.chain("filter", ufwForwardChain(full.program.ruleset));
  const rest = (of: Node, start = outside): Node => {
    if (route === undefined || route.rules.length === 0 || of === EMPTY) return of;
    const states = within(diagrams, arrive(full, start), of);
    const place = { reach: full, states, before: false };
    new Follower(place, lists, blocked).follow(place.states, route, []);
    return decided(diagrams, of, lists);
  };
  const main = (
    of: Node,
    reach: SetEngine,
    hook: Hook,
    before: boolean,
    walk: (observe: Observer<SetStates>) => unknown,
  ): void => {
    if (of === EMPTY) return;
    const at = (table: TableName): Place => ({
      reach,
      states: within(diagrams, seen(reach, hook, walk, table), of),
      before,
    });
    const place = at("filter");
    const heads: Steps = new Map();
    // A packet has to pass these tables of the hook as well; FORWARD's it passes with the fix, too.
    if (hook !== "FORWARD")
      for (const table of ["mangle", "security"] as const)
        if (canStop(reach.program.chain(table, hook)))
          new Follower(at(table), heads, blocked).stops(table, hook);
    for (const [tag, steps] of heads) lists.set(tag, [...(lists.get(tag) ?? []), ...steps]);
    new Follower(place, lists, blocked).whole(of, hook);
    for (const [tag, set] of diagrams.split(of)) {
      const steps = lists.get(tag) ?? [];
      const ended = steps.filter(({ does }) => does !== "accept").flatMap(endedBy);
      const missing = diagrams.subtract(diagrams.intersect(set, blocked), diagrams.unionAll(ended));
      if (missing !== EMPTY)
        lists.set(tag, [{ place, rule: null, by: [], does: "drop", set: missing, inner: [] }, ...steps]);
    }
  };
  main(rest(published), mine, "INPUT", true, (observe) => mine.deliver(mine.start(outside), observe));
  main(straight, mine, "FORWARD", false, (observe) => mine.arrive(mine.start(outside), observe));
  main(rest(outgoing, bridges), mine, "OUTPUT", false, (observe) => mine.send(mine.start(bridges), observe));
  return new Map([...tags].map(([tag, way]) => [way, lists.get(tag) ?? []]));
}

/** Whether a built-in chain may stop anything. */
const canStop = (chain: BoundChain | undefined): boolean =>
  chain !== undefined && (chain.policy === "drop" || chain.rules.length > 0);

/** The states in which packets come to a table of a hook. */
export function seen(
  reach: SetEngine,
  at: Hook,
  walk: (observe: Observer<SetStates>) => unknown,
  of: TableName = "filter",
): SetState[] {
  const states: SetState[] = [];
  walk((some, { table, hook }) => {
    if (table === of && hook === at) states.push(...reach.chains.splitByHeader(some));
  });
  return states;
}

type Diagrams = SetEngine["domain"]["diagrams"];

const within = (diagrams: Diagrams, states: readonly SetState[], tagged: Node): SetState[] =>
  states
    .map((state) => ({ ...state, set: diagrams.intersect(state.set, tagged) }))
    .filter((state) => state.set !== EMPTY);

/** What of tagged packets no step decided yet. */
function decided(diagrams: Diagrams, tagged: Node, lists: Steps): Node {
  return diagrams.subtract(tagged, diagrams.unionAll([...lists.values()].flat().flatMap(endedBy)));
}

/** The packets that a step lets go of. */
export const endedBy = ({ does, set, inner }: Step): Node[] =>
  does === "note" ? [] : does === "ask" || does === "call" ? inner.flatMap(endedBy) : [set];

/** A chain is read again for each rule that calls it; of more calls than this no list is made. */
const MOST_VISITS = 20_000;

/** Goes through chains with the packets of all ways at once: each packet carries the number of its way. */
class Follower {
  private readonly diagrams: Diagrams;
  private visits = 0;

  constructor(
    private readonly place: Place,
    private readonly lists: Steps,
    /** What the intent blocks. */
    private readonly blocked: Node,
  ) {
    this.diagrams = place.reach.domain.diagrams;
  }

  /** A built-in chain with its policy, and what does not get to it at all. */
  whole(tagged: Node, hook: Hook): void {
    const { states, reach } = this.place;
    const arrived = this.diagrams.unionAll(states.map((s) => this.flat(s.set)));
    // What does not get there is stopped by the owner's rules in front, or by none: the intent says which.
    const before = this.diagrams.subtract(tagged, arrived);
    const stopped = this.diagrams.intersect(this.blocked, before);
    this.add(this.lists, stopped, { rule: null, by: [], does: "drop" });
    this.add(this.lists, this.diagrams.subtract(before, this.blocked), {
      rule: null,
      by: [],
      does: "accept",
    });
    const chain = reach.program.chain("filter", hook);
    const left = chain === undefined ? states : this.follow(states, chain, []);
    const does = chain?.policy === "drop" ? "drop" : "accept";
    this.add(this.lists, this.diagrams.unionAll(left.map((s) => s.set)), { rule: null, by: [], does });
  }

  /** What another table of the hook stops; what it accepts goes on to the next table. */
  stops(table: TableName, hook: Hook): void {
    const { states, reach } = this.place;
    const chain = reach.program.chain(table, hook);
    if (chain === undefined || states.length === 0) return;
    const all: Steps = new Map();
    const left = this.follow(states, chain, [], all);
    if (chain.policy === "drop")
      this.add(all, this.diagrams.unionAll(left.map((s) => s.set)), { rule: null, by: [], does: "drop" });
    for (const [tag, steps] of all) {
      const stopping = steps.filter(({ does }) => does !== "accept" && does !== "note");
      this.lists.set(tag, [...(this.lists.get(tag) ?? []), ...stopping]);
    }
  }

  /** @returns the states that fall off the chain or return from it */
  follow(
    start: readonly SetState[],
    chain: BoundChain,
    by: readonly Rule[],
    lists: Steps = this.lists,
  ): SetState[] {
    const name = `${chain.chain.table} ${chain.chain.name}`;
    if (++this.visits > MOST_VISITS) throw new BudgetExceeded(MOST_VISITS, name, "calls of chains");
    if (by.length > MOST_NESTED) throw new BudgetExceeded(MOST_NESTED, name, "levels of chains");
    let states = [...start];
    const back: SetState[] = [];
    for (const { rule, when, effect } of chain.rules) {
      if (states.length === 0) break;
      if (effect.kind === "note" && !isSaid(rule)) continue;
      const { matched, rest } = this.split(states, this.place.reach.domain.set(when));
      const jumps = effect.kind === "jump" || effect.kind === "goto";
      if (matched.length === 0 && jumps) this.lookUp(states, rule, effect.chain, by, lists);
      const asked =
        effect.kind === "verdict"
          ? this.diagrams.unionAll(this.asked(states, rule).map((s) => s.set))
          : EMPTY;
      if (matched.length === 0 && asked === EMPTY) continue;
      const all = this.diagrams.unionAll(matched.map((s) => s.set));
      switch (effect.kind) {
        case "verdict":
          this.add(lists, all, { rule, by, does: effect.verdict }, new Map(), asked);
          states = rest;
          break;
        case "return":
          back.push(...matched);
          states = rest;
          break;
        case "jump":
        case "goto": {
          const callee = this.place.reach.program.chain(rule.table, effect.chain)!;
          let after: SetState[];
          if (rule.matches.some((m) => m.extension.name === "recent")) {
            const inner: Steps = new Map();
            after = this.follow(matched, callee, [], inner);
            this.add(lists, all, { rule, by, does: "ask" }, inner);
          } else if (effect.kind === "jump" && this.bans(callee)) {
            const inner: Steps = new Map();
            after = this.follow(matched, callee, [], inner);
            this.add(lists, all, { rule, by, does: "call" }, inner);
          } else after = this.follow(matched, callee, [...by, rule], lists);
          if (effect.kind === "jump") states = this.joined([...rest, ...after]);
          else {
            back.push(...after);
            states = rest;
          }
          break;
        }
        case "note":
          this.add(lists, all, { rule, by, does: "note" });
          break;
        case "assign": {
          // What rules write onto a packet matters to those behind them that ask for it, and stays theirs to write.
          const after = matched.map((state) => assignField(state, effect.field, effect.change));
          const unsure = after.filter((state, i) => state.unsure.length > matched[i]!.unsure.length);
          this.add(lists, this.diagrams.unionAll(unsure.map((s) => s.set)), { rule, by, does: "unclear" });
          states = this.joined([...rest, ...after]);
          break;
        }
        default:
          this.add(lists, all, { rule, by, does: "unclear" });
      }
    }
    return this.joined([...states, ...back]);
  }

  /** Packets that meet all matches of a rule but those by an ipset; none where it has no such match. */
  private asked(states: readonly SetState[], rule: Rule): readonly SetState[] {
    if (!rule.matches.some(isSet)) return [];
    const { domain, program } = this.place.reach;
    return this.split(states, domain.set(besidesSets(rule, program))).matched;
  }

  /**
   * Adds what the chain behind a jump does to the packets that its ipsets will contain once they have members. Nothing is
   * added where a step of the chain cannot be matched with the sets of the jump in front.
   */
  private lookUp(states: readonly SetState[], rule: Rule, chain: string, by: readonly Rule[], lists: Steps) {
    const entered = this.asked(states, rule);
    if (entered.length === 0) return;
    const inner: Steps = new Map();
    this.follow(entered, this.place.reach.program.chain(rule.table, chain)!, [...by, rule], inner);
    for (const [tag, steps] of inner) {
      if (steps.some(({ does }) => ["ask", "call", "unclear"].includes(does))) continue;
      const later = steps.map((step) => ({
        ...step,
        set: EMPTY,
        asked: step.asked ?? step.set,
        lookups: [rule, ...(step.lookups ?? [])],
      }));
      lists.set(tag, [...(lists.get(tag) ?? []), ...later]);
    }
  }

  /**
   * Whether a chain holds the bans of a program that is known (fail2ban, CrowdSec, SSHGuard), and can be called from
   * FORWARD: it stops packets by their sender alone, and accepts none.
   */
  private bans({ chain, rules }: BoundChain, nested = false): boolean {
    return (
      (nested || bannerOf(chain.name) !== undefined) &&
      rules.every(({ rule, effect }) => {
        if (!rule.matches.every(isBySender)) return false;
        if (effect.kind === "jump") {
          const callee = this.place.reach.program.chain(rule.table, effect.chain)!;
          return callee.chain.name !== chain.name && this.bans(callee, true);
        }
        return effect.kind === "verdict"
          ? effect.verdict !== "accept"
          : effect.kind === "return" || effect.kind === "note";
      })
    );
  }

  private split(states: readonly SetState[], node: Node): { matched: SetState[]; rest: SetState[] } {
    const matched: SetState[] = [];
    const rest: SetState[] = [];
    for (const state of states) {
      const yes = this.place.reach.chains.intersectCurrent(state, node);
      if (yes === EMPTY) {
        rest.push(state);
        continue;
      }
      matched.push({ ...state, set: this.diagrams.intersect(yes, state.set) });
      const no = this.diagrams.subtract(state.set, yes);
      if (no !== EMPTY) rest.push({ ...state, set: no });
    }
    return { matched, rest };
  }

  /** States with the same header, as one. */
  private joined(states: readonly SetState[]): SetState[] {
    const byHeader = new Map<SetState["bindings"], SetState>();
    for (const state of states) {
      const before = byHeader.get(state.bindings);
      byHeader.set(
        state.bindings,
        before === undefined ? state : { ...before, set: this.diagrams.union(before.set, state.set) },
      );
    }
    return [...byHeader.values()];
  }

  private flat(tagged: Node): Node {
    return this.diagrams.mapTerminals(tagged, (value) => Math.min(value, 1));
  }

  private add(
    lists: Steps,
    tagged: Node,
    step: Pick<Step, "rule" | "by" | "does">,
    inner: Steps = new Map(),
    asked: Node = EMPTY,
  ): void {
    const sets = this.diagrams.split(tagged);
    const entered = this.diagrams.split(asked);
    for (const tag of new Set([...sets.keys(), ...entered.keys()])) {
      const list = lists.get(tag) ?? [];
      const met = entered.get(tag);
      list.push({
        ...step,
        place: this.place,
        set: sets.get(tag) ?? EMPTY,
        inner: inner.get(tag) ?? [],
        ...(met === undefined ? {} : { asked: met }),
      });
      lists.set(tag, list);
    }
  }
}

const isSet = ({ extension }: Match): boolean => extension.name === "set";

/** The matches of a rule but those by an ipset. */
function besidesSets(rule: Rule, { facts }: Program): Predicate {
  const site = { table: rule.table, chain: rule.chain, index: rule.index };
  const others = rule.matches.filter((match) => !isSet(match));
  return and(...others.map(({ extension, values }) => extension.ask(values, facts, site)));
}

/** What rules with a match by an ipset match besides; a program contains no such rule where the set is known to be empty. */
export const setVocabulary = (program: Program): Vocabulary => ({
  predicates: [...program.ruleset.tables.values()]
    .flatMap(({ chains }) => [...chains.values()])
    .flatMap(({ rules }) => rules.filter(({ matches }) => matches.some(isSet)))
    .map((rule) => besidesSets(rule, program)),
  markValues: new Map(),
});

/**
 * Matches of ban lists: a source, a set of sources, a protocol, a comment, a limit. A call asks the rule itself, and so
 * the account that its limit keeps.
 */
function isBySender({ extension: { name }, values }: Match): boolean {
  if (name === "comment" || name === "limit") return true;
  if (name === "set")
    return (values.set!.value as { readonly sides: readonly string[] }).sides.every((side) => side === "src");
  return name === "" && Object.keys(values).every((key) => key === "src" || key === "proto");
}

/** A rule that ends nothing and is lifted all the same: it logs, or enters an address into a list. */
function isSaid({ target, matches }: Rule): boolean {
  if (target.kind === "extension") return ["LOG", "NFLOG"].includes(target.extension.name);
  return target.kind === "none" && matches.some((m) => m.extension.name === "recent");
}
