/** Reads the owner's policy for the packets of each passage from the hooks that express the intent. */
import type { FamilyAudit, Passage } from "../audit/audit.ts";
import type { Host } from "../host/host.ts";
import { ufwCommandChain } from "../host/known/ufw.ts";
import { fromContainers, fromOutside } from "../host/packet-origin.ts";
import { or, type Predicate } from "../packet/predicate.ts";
import type { BoundChain } from "../path/program.ts";
import type { Observer } from "../path/walk.ts";
import { EMPTY, type Node, terminal } from "../reach/node-store.ts";
import type { SetEngine } from "../reach/set-engine.ts";
import type { SetState, SetStates } from "../reach/set-state.ts";
import type { Hook } from "../rules/base-chain.ts";
import { baseChainsOf, iptablesName } from "../rules/ruleset.ts";
import type { ChainPlace } from "./chain-names.ts";
import { append, decidedBy, type PolicyStep, type StepLists } from "./policy-step.ts";
import { PolicyWalker } from "./policy-walker.ts";
import { type ReadPoint, statesAt } from "./read-point.ts";

/** Returns the policy steps of each passage. */
export function policySteps(
  audit: FamilyAudit,
  host: Host,
  passages: readonly Passage[],
): ReadonlyMap<Passage, readonly PolicyStep[]> {
  const numbered = new Map(passages.map((passage, i) => [i + 1, passage]));
  const reader = new PolicyReader(audit, host, passages);
  reader.readInput(reader.tagged(numbered, (passage) => passage.listen !== null));
  reader.readForward(
    reader.tagged(numbered, (passage) => passage.listen === null && passage.kind !== "egress-bypass"),
  );
  reader.readOutput(reader.tagged(numbered, (passage) => passage.kind === "egress-bypass"));
  return new Map([...numbered].map(([number, passage]) => [passage, reader.lists.get(number) ?? []]));
}

/** Reads the hooks that hold the intent. Packets of all passages are read together: terminals are the passages' numbers. */
class PolicyReader {
  readonly lists: StepLists = new Map();
  private readonly blocked: Node;
  private readonly outside: Predicate;

  constructor(
    private readonly audit: FamilyAudit,
    private readonly host: Host,
    passages: readonly Passage[],
  ) {
    this.blocked = audit.domain.diagrams.unionAll(passages.map((passage) => passage.blocked));
    this.outside = fromOutside(host);
  }

  /** Returns the packets of some passages; the terminal of each packet is the number of its passage. */
  tagged(numbered: ReadonlyMap<number, Passage>, filter: (passage: Passage) => boolean): Node {
    const { diagrams } = this.audit.domain;
    return diagrams.unionAll(
      [...numbered].map(([number, passage]) =>
        filter(passage) ? diagrams.intersect(passage.all, terminal(number)) : EMPTY,
      ),
    );
  }

  /** Published ports: rules of `ufw route` on the translated packet, then INPUT on the packet before DNAT. */
  readInput(packets: Node): void {
    const { mine } = this.audit;
    this.readHook(this.readRoutedRules(packets, this.outside), mine, "INPUT", true, (observe) =>
      mine.deliver(mine.start(this.outside), observe),
    );
  }

  /** Packets to a container's own address: FORWARD. */
  readForward(packets: Node): void {
    const { mine } = this.audit;
    this.readHook(packets, mine, "FORWARD", false, (observe) =>
      mine.arrive(mine.start(this.outside), observe),
    );
  }

  /** Packets from containers: rules of `ufw route`, then OUTPUT. */
  readOutput(packets: Node): void {
    const { mine } = this.audit;
    const sources = or(...this.host.bridges.map((name) => fromContainers(this.host, name)));
    this.readHook(this.readRoutedRules(packets, sources), mine, "OUTPUT", false, (observe) =>
      mine.send(mine.start(sources), observe),
    );
  }

  /** Reads the chain of `ufw route`; returns the packets that it does not decide. */
  private readRoutedRules(packets: Node, start: Predicate): Node {
    const { full, domain } = this.audit;
    const { diagrams } = domain;
    const chain = full.program.chain("filter", ufwCommandChain(full.program.ruleset.family, "forward"));
    if (chain === undefined || chain.rules.length === 0 || packets === EMPTY) return packets;
    const states = statesAt(full, "FORWARD", (observe) => full.arrive(full.start(start), observe));
    const readPoint = { engine: full, states: restrict(full, states, packets), beforeNat: false };
    new PolicyWalker(readPoint, this.lists, this.blocked).walk(readPoint.states, chain, []);
    return diagrams.subtract(packets, diagrams.unionAll([...this.lists.values()].flat().flatMap(decidedBy)));
  }

  private readHook(
    packets: Node,
    engine: SetEngine,
    hook: Hook,
    beforeNat: boolean,
    walk: (observe: Observer<SetStates>) => unknown,
  ): void {
    if (packets === EMPTY) return;
    const readPoint = (place: ChainPlace): ReadPoint => ({
      engine,
      states: restrict(engine, statesAt(engine, hook, walk, place), packets),
      beforeNat,
    });
    // A packet passes all chains of the hook. Those of FORWARD it passes with the fix as well.
    const others = hook === "FORWARD" ? [] : stoppingChains(engine, hook);
    const filter = { table: "filter", chain: hook };
    // What the last chain accepts is accepted, so its accepts can stand in front of its drops.
    const last = engine.program.chain(filter.table, filter.chain) === undefined ? others.pop() : undefined;
    const stops: StepLists = new Map();
    for (const place of others) new PolicyWalker(readPoint(place), stops, this.blocked).readStops(place);
    for (const [number, steps] of stops) append(this.lists, number, steps);
    const main = last ?? filter;
    const point = readPoint(main);
    new PolicyWalker(point, this.lists, this.blocked).readChain(packets, main);
    this.dropUndecided(packets, point);
  }

  /** Prepends a drop of the packets that the intent blocks and that no step stops. */
  private dropUndecided(packets: Node, readPoint: ReadPoint): void {
    const { diagrams } = this.audit.domain;
    for (const [number, set] of diagrams.split(packets)) {
      const steps = this.lists.get(number) ?? [];
      const stopped = steps.filter(({ kind }) => kind !== "accept").flatMap(decidedBy);
      const missing = diagrams.subtract(diagrams.intersect(set, this.blocked), diagrams.unionAll(stopped));
      if (missing === EMPTY) continue;
      const drop: PolicyStep = { readPoint, rule: null, callers: [], kind: "drop", set: missing, inner: [] };
      this.lists.set(number, [drop, ...steps]);
    }
  }
}

/** Returns the base chains of a hook that may stop packets, except that of the engine's table filter, in the order of their priorities. */
const stoppingChains = ({ program }: SetEngine, hook: Hook): ChainPlace[] =>
  baseChainsOf(program.ruleset)
    .filter(
      ({ hook: at, table, type }) =>
        at === hook && type !== "nat" && table !== "filter" && iptablesName(table) !== "raw",
    )
    .sort((a, b) => a.priority - b.priority)
    .map(({ table, name }) => ({ table, chain: name }))
    .filter(({ table, chain }) => mayStop(program.chain(table, chain)));

/** Returns whether a base chain may stop packets. */
const mayStop = (chain: BoundChain | undefined): boolean =>
  chain !== undefined && (chain.policy === "drop" || chain.rules.length > 0);

/** Restricts states to some packets. */
function restrict({ domain }: SetEngine, states: readonly SetState[], packets: Node): SetState[] {
  return states
    .map((state) => ({ ...state, set: domain.diagrams.intersect(state.set, packets) }))
    .filter((state) => state.set !== EMPTY);
}
