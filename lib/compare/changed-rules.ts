/** A ruleset before and after a change: which packets of an expression are still stopped, and whether others changed. */
import type { Certainty } from "../audit/certainty.ts";
import type { Host } from "../host/host.ts";
import type { Address } from "../packet/field.ts";
import { ANY } from "../packet/predicate.ts";
import { Program } from "../path/program.ts";
import type { Expression } from "../query-language/expression.ts";
import { AttributedEngine, type SetDecider } from "../reach/attributed-engine.ts";
import type { Domain } from "../reach/domain.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import type { Outcome, OutcomeSet } from "../reach/outcome.ts";
import { type HeaderState, valueIn } from "../reach/set-state.ts";
import type { Hook } from "../rules/base-chain.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { matchesOf, type TranslatedTo } from "./accept-rules.ts";
import { PacketPaths } from "./packet-paths.ts";
import { QueryPaths, type QueryWalk } from "./query-paths.ts";
import { firstPacketsOf, packetBound } from "./query-tests.ts";

/** Packets that a rule or a policy stops, with one destination. */
export interface StoppedPart {
  readonly origin: QueryWalk["asked"]["origin"];
  readonly hook: Hook;
  readonly decider: Exclude<SetDecider, { kind: "taken" }>;
  readonly to: TranslatedTo;
}

/** A ruleset before and after a change, in one domain. */
export class ChangedRules {
  private readonly paths: QueryPaths;
  private readonly after: Program;
  private readonly domain: Domain;
  private readonly engine: AttributedEngine;
  private readonly certainty: Certainty;
  private found: readonly StoppedPart[] | undefined;

  constructor(
    before: Ruleset,
    after: Ruleset,
    host: Host,
    expression: Expression,
    budget: number | undefined,
  ) {
    this.after = Program.of(after, host);
    this.paths = new QueryPaths(before, host, expression, budget, [this.after]);
    this.domain = this.paths.domain;
    this.engine = new AttributedEngine(this.after, this.domain, false);
    this.certainty = this.paths.certainty;
  }

  /** Returns the ordinary packets of the expression that a rule stopped for certain before the change. */
  private wanted(walk: QueryWalk): Node {
    const { diagrams } = this.domain;
    const { yes } = this.paths.satisfying(walk);
    const stopped = walk.outcomes.filter(
      ({ outcome: { verdict, reason } }) => (verdict === "drop" || verdict === "reject") && reason === null,
    );
    const packets = diagrams.intersect(yes, diagrams.unionAll(stopped.map(({ set }) => set)));
    const certain = this.certainty.certainPart(this.certainty.ordinaryPart(packets));
    return diagrams.intersect(this.certainty.ordinary, certain);
  }

  /** Returns the parts of these packets that the changed rules stop. */
  parts(): readonly StoppedPart[] {
    this.found ??= this.paths.walks.flatMap((walk) => this.partsOf(walk));
    return this.found;
  }

  private partsOf(walk: QueryWalk): StoppedPart[] {
    const { engine, domain } = this;
    const { diagrams } = domain;
    const { origin } = walk.asked;
    const set = this.wanted(walk);
    if (set === EMPTY) return [];
    const start = { ...engine.start(ANY), set };
    const { endings, deciders } =
      origin === "arriving" ? engine.attributeArriving(start) : engine.attributeSent(start);
    return endings
      .filter(
        ({ verdict, hook, reason }) =>
          (verdict === "drop" || verdict === "reject") && hook !== null && reason === null,
      )
      .flatMap(({ state, hook }) =>
        [...engine.chains.groupByHeader(state, (header) => JSON.stringify(destinationOf(header)))].flatMap(
          ([, { set: states, headers }]) => {
            const [header] = headers.values();
            const packets = diagrams.intersect(diagrams.members(states), deciders);
            return diagrams.terminals(packets).flatMap((id): StoppedPart[] => {
              const decider = engine.decider(id);
              return decider.kind === "taken"
                ? []
                : [{ origin, hook: hook!, decider, to: destinationOf(header!) }];
            });
          },
        ),
      );
  }

  /** Returns matches for the packets of the expression as they reach what stops a part; `null` if there are none. */
  matches({ origin, to, hook }: StoppedPart): string[] | null {
    const walk = this.paths.walks.find(({ asked }) => asked.origin === origin)!;
    const bound = this.domain.set(packetBound(this.paths.expression, walk.asked));
    return matchesOf(this.domain, bound, to, origin === "arriving" && hook !== "OUTPUT");
  }

  /** Returns true if the kernel itself stops some of the wanted packets once the rules accept them. */
  hasRefused(): boolean {
    const { diagrams } = this.domain;
    return this.paths.walks.some((walk) => {
      const { refused } = this.outcomesAfter(walk);
      return diagrams.intersect(this.wanted(walk), refused) !== EMPTY;
    });
  }

  /**
   * Returns true if the changed rules accept the wanted packets, but for those that the kernel itself stops, and if all packets outside
   * of the expression have the outcome that they had.
   */
  isProved(): boolean {
    const { diagrams } = this.domain;
    let isOpened = false;
    const holds = this.paths.walks.every((walk) => {
      const { changed, open, refused } = this.outcomesAfter(walk);
      const { yes } = this.paths.satisfying(walk);
      const outside = diagrams.intersect(this.certainty.ordinary, diagrams.subtract(changed, yes));
      const wanted = this.wanted(walk);
      isOpened ||= diagrams.intersect(wanted, open) !== EMPTY;
      return outside === EMPTY && diagrams.subtract(wanted, diagrams.union(open, refused)) === EMPTY;
    });
    return holds && isOpened;
  }

  /** Returns the first packets with another outcome than before, those that are accepted, and those that the kernel itself stops. */
  private outcomesAfter({ asked }: QueryWalk): Readonly<Record<"changed" | "open" | "refused", Node>> {
    const { domain } = this;
    const { diagrams } = domain;
    const first = domain.set(firstPacketsOf(asked));
    const [old, now] = [this.paths.program, this.after].map((program) =>
      new PacketPaths(program, domain, ["dst", "dport"]).outcomes(asked.origin, first),
    ) as [ReadonlyMap<string, OutcomeSet>, ReadonlyMap<string, OutcomeSet>];
    const same = [...old].map(([key, { set }]) => diagrams.intersect(set, now.get(key)?.set ?? EMPTY));
    const setOf = (has: (outcome: Outcome) => boolean): Node =>
      diagrams.unionAll([...now.values()].filter(({ outcome }) => has(outcome)).map(({ set }) => set));
    return {
      changed: diagrams.subtract(first, diagrams.unionAll(same)),
      open: setOf(({ verdict, unsure }) => verdict === "accept" && unsure.length === 0),
      refused: setOf(({ verdict, reason }) => verdict === "drop" && reason !== null),
    };
  }
}

/** Returns the destination that a translation has given to packets. */
function destinationOf(header: HeaderState): TranslatedTo {
  const [dst, dport] = [valueIn(header, "dst"), valueIn(header, "dport")];
  return {
    ...(dst === undefined ? {} : { dst: dst as Address }),
    ...(dport === undefined ? {} : { dport: dport as number }),
  };
}
