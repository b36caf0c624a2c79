/** Outcomes of the packets of a query, of one family, and the packets that satisfy the expression. */
import { Certainty } from "../audit/certainty.ts";
import { type Decider, deciderOfSet } from "../audit/decision.ts";
import { type ProxyPort, proxyPorts } from "../audit/exposure.ts";
import type { Host } from "../host/host.ts";
import { isInRanges } from "../packet/address.ts";
import type { Range, Scalar } from "../packet/field.ts";
import type { Predicate } from "../packet/predicate.ts";
import { Program } from "../path/program.ts";
import type { Expression, QueryTest } from "../query-language/expression.ts";
import { AttributedEngine } from "../reach/attributed-engine.ts";
import type { Domain } from "../reach/domain.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import { groupOutcomes, type Outcome, type OutcomeSet } from "../reach/outcome.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { commonDomain, type Origin } from "./packet-paths.ts";
import { testedInterfaces } from "./query-names.ts";
import {
  type Asked,
  atPorts,
  firstPacketsOf,
  namedAddresses,
  namedZones,
  packetBound,
  questionPredicates,
  testPredicate,
  WITH_PORTS,
} from "./query-tests.ts";
import { passedOn } from "./zones.ts";

/** Packets that satisfy a condition, and packets that satisfy it or of which that is not known. */
export interface TestedSet {
  readonly yes: Node;
  readonly maybe: Node;
}

/** Packets of one origin. */
export interface QueryWalk {
  readonly asked: Asked;
  /** First packets of connections that can satisfy the expression. */
  readonly universe: Node;
  readonly outcomes: readonly OutcomeSet[];
  /** Maps packets to the numbers of their deciders; 0 where no rule and no policy decides. */
  readonly deciders: Node;
}

/** Returns true if packets with this outcome are not followed to the end. */
export const isUnsure = ({ verdict, unsure }: Outcome): boolean =>
  verdict === "undecided" || unsure.length > 0;

export class QueryPaths {
  readonly domain: Domain;
  readonly program: Program;
  readonly certainty: Certainty;
  readonly walks: readonly QueryWalk[];
  private readonly engine: AttributedEngine;

  /**
   * @param others programs whose packets are sets of the same domain
   * @throws BudgetExceeded
   */
  constructor(
    private readonly ruleset: Ruleset,
    readonly host: Host,
    readonly expression: Expression,
    budget?: number,
    others: readonly Program[] = [],
  ) {
    const { family } = ruleset;
    this.program = Program.of(ruleset, host);
    const question = questionPredicates(expression, host, family);
    this.domain = commonDomain(family, [this.program, ...others], question, budget);
    this.certainty = new Certainty(this.domain, this.program.ruleset);
    this.engine = new AttributedEngine(this.program, this.domain, false);
    this.walks = (["arriving", "sent"] as const).map((origin) => this.walk(origin));
  }

  private walk(origin: Origin): QueryWalk {
    const { host, domain, engine } = this;
    const { diagrams } = domain;
    const asked: Asked = { host, family: this.ruleset.family, origin, expression: this.expression };
    const first = firstPacketsOf(asked);
    const set = diagrams.intersect(domain.set(first), domain.set(packetBound(this.expression, asked)));
    const start = { ...engine.start(first), set };
    const { endings, deciders } =
      origin === "arriving" ? engine.attributeArriving(start) : engine.attributeSent(start);
    const outcomes = [...groupOutcomes(endings, engine, ["dst", "dport"]).values()];
    return { asked, universe: set, outcomes, deciders };
  }

  /** Returns true if some packets satisfy the expression whatever the unknowns are. */
  hasCertain(): boolean {
    return this.walks.some((walk) => {
      const found = this.certainty.ordinaryPart(this.satisfying(walk).yes);
      return this.certainty.certainPart(found) !== EMPTY;
    });
  }

  /** Returns the packets of a walk that satisfy the expression. */
  satisfying(walk: QueryWalk): TestedSet {
    return this.evaluate(this.expression, walk);
  }

  private evaluate(e: Expression, walk: QueryWalk): TestedSet {
    const { diagrams } = this.domain;
    switch (e.kind) {
      case "test":
        return this.test(e.test, walk);
      case "not": {
        const { yes, maybe } = this.evaluate(e.not, walk);
        return { yes: diagrams.subtract(walk.universe, maybe), maybe: diagrams.subtract(walk.universe, yes) };
      }
      case "and":
      case "or": {
        const combine = (a: Node, b: Node): Node =>
          e.kind === "and" ? diagrams.intersect(a, b) : diagrams.union(a, b);
        return (e.kind === "and" ? e.all : e.some)
          .map((part) => this.evaluate(part, walk))
          .reduce((a, b) => ({ yes: combine(a.yes, b.yes), maybe: combine(a.maybe, b.maybe) }));
      }
    }
  }

  private test(test: QueryTest, walk: QueryWalk): TestedSet {
    const { diagrams } = this.domain;
    const predicate = testPredicate(test, walk.asked);
    if (predicate !== null) {
      const set = diagrams.intersect(walk.universe, this.domain.set(predicate));
      return { yes: set, maybe: set };
    }
    const parts = walk.outcomes.map(({ outcome, set }): TestedSet => {
      const tested = this.outcomeTest(test, outcome, set, walk);
      return isUnsure(outcome) ? { yes: EMPTY, maybe: set } : tested;
    });
    return {
      yes: diagrams.unionAll(parts.map(({ yes }) => yes)),
      maybe: diagrams.unionAll(parts.map(({ maybe }) => maybe)),
    };
  }

  /** Returns the packets of an outcome that satisfy a test of the outcome. */
  private outcomeTest(test: QueryTest, outcome: Outcome, set: Node, walk: QueryWalk): TestedSet {
    const { host } = this;
    const { family } = walk.asked;
    const all = (holds: boolean): TestedSet =>
      holds ? { yes: set, maybe: set } : { yes: EMPTY, maybe: EMPTY };
    const leavesBy = (names: readonly string[]): boolean =>
      outcome.verdict === "accept" && outcome.out !== null && names.includes(outcome.out);
    switch (test.code) {
      case "verdict":
        return all(outcome.verdict === test.verdict);
      case "delivery":
        return all(outcome.verdict === "accept" && outcome.delivery === test.delivery);
      case "interface":
        return all(leavesBy(testedInterfaces(test, host)));
      case "container":
      case "network": {
        const zones = namedZones(test, host, family);
        if (outcome.verdict === "accept" && outcome.delivery === "local")
          return this.passedOn(
            zones.flatMap(({ proxied }) => proxied),
            outcome,
            set,
          );
        if (!leavesBy(zones.flatMap(({ bridges }) => bridges))) return all(false);
        return test.code === "network"
          ? all(true)
          : this.endsAt(namedAddresses(host, family, test.name.name), outcome, set);
      }
      case "container-ports":
        if (outcome.verdict === "accept" && outcome.delivery === "local")
          return this.passedOnAt(test.ranges, outcome, set);
        return leavesBy(host.bridges) ? this.endsAtPorts(test.ranges, outcome, set) : all(false);
      case "decided": {
        if (outcome.reason !== null) return all(false);
        const decided = this.decidedBy(test, walk);
        const packets = this.domain.diagrams.intersect(set, decided);
        return { yes: packets, maybe: packets };
      }
      default:
        return all(false);
    }
  }

  /** Returns the packets that the host receives and docker-proxy passes on from one of its ports. */
  private passedOn(proxied: readonly ProxyPort[], { header }: Outcome, set: Node): TestedSet {
    const now = (field: "dst" | "dport"): Scalar | undefined => {
      const bound = header[field];
      return bound !== undefined && "value" in bound ? bound.value : undefined;
    };
    const packets = this.domain.diagrams.intersect(set, this.domain.set(passedOn(proxied, now)));
    return { yes: packets, maybe: packets };
  }

  /** Returns the packets that docker-proxy passes on to ports of containers. */
  private passedOnAt(ranges: readonly Range[], outcome: Outcome, set: Node): TestedSet {
    const proxied = proxyPorts({ family: this.ruleset.family, host: this.host });
    const toPorts = proxied.filter(
      ({ containerPort }) => containerPort !== null && isInRanges(containerPort, ranges),
    );
    const perhaps = proxied.filter(({ containerPort }) => containerPort === null);
    return {
      yes: this.passedOn(toPorts, outcome, set).yes,
      maybe: this.passedOn([...toPorts, ...perhaps], outcome, set).maybe,
    };
  }

  /** Returns the packets of an outcome whose final port is one of a test. */
  private endsAtPorts(ranges: readonly Range[], { header: { dport } }: Outcome, set: Node): TestedSet {
    const { diagrams } = this.domain;
    const within = (asked: Predicate): TestedSet => {
      const packets = diagrams.intersect(set, this.domain.set(asked));
      return { yes: packets, maybe: packets };
    };
    if (dport === undefined) return within(atPorts("dport", ranges));
    // A port that is computed is not compared.
    if (!("value" in dport)) return { yes: EMPTY, maybe: set };
    return isInRanges(dport.value as number, ranges) ? within(WITH_PORTS) : { yes: EMPTY, maybe: EMPTY };
  }

  /** Returns the packets of an outcome whose final destination is one of the addresses. */
  private endsAt(addresses: readonly (number | bigint)[], { header }: Outcome, set: Node): TestedSet {
    const { domain } = this;
    const { diagrams } = domain;
    const { dst } = header;
    if (dst !== undefined && "value" in dst) {
      const packets = addresses.includes(dst.value as number | bigint) ? set : EMPTY;
      return { yes: packets, maybe: packets };
    }
    const { variable, decrement } = dst ?? { variable: "dst" as const, decrement: undefined };
    const singles = addresses.map((address) => domain.singleton(variable, address));
    // A destination that is computed in another way is not compared.
    if (decrement !== undefined || singles.includes(null)) return { yes: EMPTY, maybe: set };
    const packets = diagrams.intersect(set, diagrams.unionAll(singles.map((node) => node!)));
    return { yes: packets, maybe: packets };
  }

  private decidedBy({ chain, rule }: Extract<QueryTest, { code: "decided" }>, walk: QueryWalk): Node {
    const { diagrams } = this.domain;
    const sets = [...diagrams.split(walk.deciders)].filter(([id]) => {
      const decider = this.engine.decider(id);
      return decider.kind === "rule"
        ? decider.rule.chain === chain.name && decider.rule.index === rule
        : decider.kind === "policy" && rule === "policy" && decider.chain.name === chain.name;
    });
    return diagrams.unionAll(sets.map(([, set]) => set));
  }

  /** Splits packets of an outcome by the rule, policy or cause that decides them. */
  deciders(walk: QueryWalk, { reason }: Outcome, set: Node): readonly (readonly [Decider, Node])[] {
    const { diagrams } = this.domain;
    if (reason !== null) return [[{ code: "outside-rules", reason }, set]];
    const parts = diagrams.split(diagrams.intersect(set, walk.deciders));
    const decided = [...parts].map(
      ([id, part]) => [deciderOfSet(this.engine.decider(id), this.program.ruleset), part] as const,
    );
    const rest = diagrams.subtract(set, walk.deciders);
    return rest === EMPTY ? decided : [...decided, [{ code: "no-rule" }, rest]];
  }
}
