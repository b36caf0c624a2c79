/** Queries: which first packets of connections satisfy an expression, what becomes of them, and what decides it. */
import type { Certainty } from "../audit/certainty.ts";
import type { Decider } from "../audit/decision.ts";
import { budgetDoubt, type Doubt, DoubtCollector } from "../audit/doubt.ts";
import { withMissing } from "../audit/missing-tables.ts";
import type { Host } from "../host/host.ts";
import type { HostInference } from "../host/inference.ts";
import { printAddress } from "../packet/address.ts";
import type { Address, Family } from "../packet/field.ts";
import type { PacketJson } from "../packet/packet-json.ts";
import { isNever } from "../packet/predicate.ts";
import type { EndReason } from "../path/end-reason.ts";
import type { Decision } from "../path/walk.ts";
import type { Expression, QueryError } from "../query-language/expression.ts";
import { isQueryError } from "../query-language/expression.ts";
import { parseExpression } from "../query-language/parse-expression.ts";
import { BudgetExceeded } from "../reach/budget.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import type { Outcome } from "../reach/outcome.ts";
import { ratio, SetMeasure } from "../reach/set-measure.ts";
import type { Uncertainty } from "../reach/uncertainty.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import type { Translation } from "./host-paths.ts";
import { BoxWriter, type PacketBox } from "./packet-boxes.ts";
import type { Origin } from "./packet-paths.ts";
import { changeFor, type QueryChange } from "./query-change.ts";
import { reachesContainerPorts } from "./query-container-ports.ts";
import { nameError } from "./query-names.ts";
import { isUnsure, QueryPaths, type QueryWalk } from "./query-paths.ts";
import { firstPacketsOf, packetBound } from "./query-tests.ts";
import { QueryWitness } from "./query-witness.ts";
import { questionDoubts } from "./question-doubts.ts";

/** Share of packets that a rule, a policy or another cause decides. */
export interface DecidedShare {
  /** Rule, policy or other cause. */
  readonly decider: Decider;
  /** Part of the packets of the group, 0 to 1, by the number of different headers. */
  readonly share: number;
}

/**
 * Knowledge about the packets of a group. `certain`: they satisfy the expression. `depends`: unknowns decide whether they do, or
 * what becomes of them. `undecided`: fwcheck does not follow them to the end.
 */
export type QueryCertainty = "certain" | "depends" | "undecided";

/** Packets of an answer with one outcome. */
export interface QueryGroup {
  /** They arrive on an interface, or the host itself sends them. */
  readonly origin: Origin;
  /** Knowledge about them. */
  readonly certainty: QueryCertainty;
  /** Names of the unknowns that they depend on, as `--assume` of `simulate` takes them. */
  readonly unknowns: readonly string[];
  /** Verdict. */
  readonly verdict: Decision;
  /** Forwarded, delivered to the host itself, sent by it, or `none`. */
  readonly delivery: Outcome["delivery"];
  /** Output interface; `null` if they do not leave. */
  readonly out: string | null;
  /** Destination that they are translated to; `null` where it is not translated. */
  readonly translated: Translation | null;
  /** Reason, if no rule decides. */
  readonly reason: EndReason | null;
  /** Reasons why their result is not certain. */
  readonly unsure: readonly Uncertainty[];
  /** Part of the answer's packets of this family, 0 to 1, by the number of different headers. */
  readonly share: number;
  /** The packets: the union of these boxes. */
  readonly packets: readonly PacketBox[];
  /** Rules and policies that decide them, the largest share first. */
  readonly deciders: readonly DecidedShare[];
  /** One of the packets, whose outcome the simulator confirms; `null` if there is none that it confirms. */
  readonly witness: PacketJson | null;
  /** Values of unknowns with which it has this outcome, as `--assume` takes them. */
  readonly assume: readonly string[];
}

/** Answer for one family. */
export interface QueryFamily {
  /** 4 or 6. */
  readonly family: Family;
  /** `some` or `none` if the number of packets that satisfy the expression is known to be above 0 or 0. */
  readonly matches: "some" | "none" | "unknown";
  /** Groups of packets that satisfy the expression; none if no packet does. */
  readonly groups: readonly QueryGroup[];
  /** No packet satisfies the expression, and some do with `containerport` in place of `dport`; else absent. */
  readonly asContainerPorts?: true;
  /** Change that lets the stopped packets through, with the option `explainDrop`. */
  readonly change?: QueryChange;
}

/** Answer of a query, as data. */
export interface QueryAnswer {
  /** The expression. */
  readonly expression: string;
  /** One for each family whose rules were given and whose packets can satisfy the expression. */
  readonly families: readonly QueryFamily[];
  /** Facts about the host that were inferred because no input has them. */
  readonly inferences: readonly HostInference[];
  /** Reasons why the answer may be wrong. */
  readonly doubts: readonly Doubt[];
}

/** Options of `query`. */
export interface QueryOptions {
  /** Most intervals that the diagrams of one family may have, about 20 bytes each. Default: 50 million. */
  readonly budget?: number | undefined;
  /** Looks for the smallest change of the rules that lets the stopped packets through. */
  readonly explainDrop?: boolean | undefined;
}

/**
 * Returns the first packets of connections that satisfy an expression (docs/query.md), or the error in its text. A family that
 * exceeds the budget becomes a doubt, never an error.
 * @param rulesets at most one per family
 */
export function query(
  rulesets: readonly Ruleset[],
  host: Host,
  text: string,
  options: QueryOptions = {},
): QueryAnswer | QueryError {
  const expression = parseExpression(text);
  if (isQueryError(expression)) return expression;
  const error = nameError(expression, rulesets, host);
  if (error !== null) return error;
  const asked = ([4, 6] as const).filter((family) => concerns(expression, host, family));
  const doubts = new DoubtCollector();
  doubts.add(...questionDoubts(rulesets, host).filter((doubt) => matters(doubt, asked)));
  const families = rulesets.flatMap((ruleset): QueryFamily[] => {
    if (!asked.includes(ruleset.family)) return [];
    try {
      return [familyAnswer(ruleset, host, expression, options, doubts)];
    } catch (failure) {
      if (!(failure instanceof BudgetExceeded)) throw failure;
      doubts.add(budgetDoubt(ruleset.family, failure));
      return [];
    }
  });
  return { expression: text, families, inferences: host.inferences, doubts: doubts.all };
}

/** Returns false if the form of an expression shows that no packet of a family satisfies it. */
const concerns = (expression: Expression, host: Host, family: Family): boolean =>
  (["arriving", "sent"] as const).some(
    (origin) => !isNever(packetBound(expression, { host, family, origin, expression })),
  );

/** Returns false for the doubt about a family that the expression excludes. */
const matters = (doubt: Doubt, asked: readonly Family[]): boolean =>
  doubt.code !== "no-ruleset" || asked.includes(doubt.family);

function familyAnswer(
  ruleset: Ruleset,
  host: Host,
  expression: Expression,
  { budget, explainDrop }: QueryOptions,
  doubts: DoubtCollector,
): QueryFamily {
  const whole = withMissing(ruleset, host);
  const paths = new QueryPaths(whole, host, expression, budget);
  const writer = new GroupWriter(paths, doubts);
  const groups = paths.walks.flatMap((walk) => writer.groups(walk));
  const matches = groups.length === 0 ? "none" : paths.hasCertain() ? "some" : "unknown";
  const isMeant = matches === "none" && reachesContainerPorts(whole, host, expression, budget);
  return {
    family: ruleset.family,
    matches,
    groups: writer.withShares(groups),
    ...(isMeant ? { asContainerPorts: true } : {}),
    ...(explainDrop === true ? { change: changeFor(whole, host, expression, budget) } : {}),
  };
}

/** A group, and its packets. */
interface Grouped {
  readonly group: Omit<QueryGroup, "share">;
  readonly set: Node;
}

/** Describes the packets of walks by outcome. */
class GroupWriter {
  private readonly certainty: Certainty;
  private readonly measure: SetMeasure;
  private readonly names: readonly string[];

  constructor(
    private readonly paths: QueryPaths,
    private readonly doubts: DoubtCollector,
  ) {
    const { certainty, domain, host } = paths;
    this.certainty = certainty;
    this.names = host.interfaces.map(({ name }) => name).filter((name) => name !== "lo");
    this.measure = new SetMeasure(domain, this.names);
  }

  groups(walk: QueryWalk): Grouped[] {
    const { domain } = this.paths;
    const { diagrams } = domain;
    const { yes, maybe } = this.paths.satisfying(walk);
    const unclear = diagrams.subtract(maybe, yes);
    const { origin } = walk.asked;
    const first = domain.set(firstPacketsOf(walk.asked));
    const boxes = new BoxWriter(domain, origin === "sent" ? [] : this.names, first);
    const witness = new QueryWitness(this.paths, walk);
    return walk.outcomes.flatMap(({ outcome, set }) => {
      const found = this.certainty.ordinaryPart(diagrams.intersect(set, yes));
      const unsure = isUnsure(outcome);
      const certain = unsure ? EMPTY : this.certainty.certainPart(found);
      const unknown = this.certainty.ordinaryPart(diagrams.intersect(set, unclear));
      const parts: readonly (readonly [QueryCertainty, Node])[] = [
        ["certain", certain],
        ["depends", unsure ? EMPTY : diagrams.subtract(found, certain)],
        ["undecided", unsure ? diagrams.union(found, unknown) : unknown],
      ];
      return parts.flatMap(([certainty, packets]): Grouped[] =>
        packets === EMPTY ? [] : [this.group(walk, outcome, certainty, packets, boxes, witness)],
      );
    });
  }

  private group(
    walk: QueryWalk,
    outcome: Outcome,
    certainty: QueryCertainty,
    set: Node,
    boxes: BoxWriter,
    witness: QueryWitness,
  ): Grouped {
    const { diagrams, unknownLevels } = this.paths.domain;
    const { verdict, delivery, out, reason, unsure } = outcome;
    const possible = diagrams.project(set, unknownLevels);
    const unknowns = this.certainty.unknownsOf(set);
    const { packet, assume, disagreement } = witness.pick(set, outcome, unknowns);
    if (disagreement !== null) this.doubts.add(disagreement);
    const group: Omit<QueryGroup, "share"> = {
      origin: walk.asked.origin,
      certainty,
      unknowns,
      verdict,
      delivery,
      out,
      translated: translationOf(outcome),
      reason,
      unsure,
      packets: boxes.boxes(possible),
      deciders: this.shares(walk, outcome, set),
      witness: packet,
      assume,
    };
    return { group, set };
  }

  private shares(walk: QueryWalk, outcome: Outcome, set: Node): DecidedShare[] {
    const ordinary = this.paths.domain.diagrams.intersect(this.certainty.ordinary, set);
    return this.paths
      .deciders(walk, outcome, ordinary)
      .map(([decider, part]) => ({ decider, share: this.measure.share(part, ordinary) }))
      .sort((a, b) => b.share - a.share || lineOf(a.decider) - lineOf(b.decider));
  }

  /** Adds to each group its share of all, by the sizes of the sets; packets of both origins count apart. */
  withShares(groups: readonly Grouped[]): QueryGroup[] {
    const totals = new Map<Origin, bigint>();
    for (const { group, set } of groups)
      totals.set(group.origin, (totals.get(group.origin) ?? 0n) + this.measure.size(set));
    return [...groups]
      .sort((a, b) => rank(a.group) - rank(b.group))
      .map(({ group, set }) => ({
        ...group,
        share: ratio(this.measure.size(set), totals.get(group.origin)!),
      }));
  }
}

const lineOf = (decider: Decider): number =>
  decider.code === "rule" ? decider.line : Number.MAX_SAFE_INTEGER;

/** Sort key of a group: accepted packets first, those that no rule decides last. */
const rank = ({ verdict, reason }: Pick<QueryGroup, "verdict" | "reason">): number =>
  (reason === null ? 0 : 4) + ["accept", "undecided", "reject", "drop"].indexOf(verdict);

function translationOf({ header: { dst, dport } }: Outcome): Translation | null {
  const address = dst !== undefined && "value" in dst ? printAddress(dst.value as Address) : null;
  const port = dport !== undefined && "value" in dport ? (dport.value as number) : null;
  return address === null && port === null ? null : { dst: address, dport: port };
}
