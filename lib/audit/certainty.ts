/** Dependence of packet sets on unknowns: which of their packets are certain, and which unknowns decide the others. */
import { not, opaque, type Predicate } from "../packet/predicate.ts";
import type { UnknownReason } from "../packet/unknown-reason.ts";
import { changedKey, unreadKey } from "../path/unknown-key.ts";
import type { Domain } from "../reach/domain.ts";
import { FULL, type Node } from "../reach/node-store.ts";
import type { Ruleset } from "../rules/ruleset.ts";

/** Reason of an unknown about a firewall that was not read. */
type UnreadReason = Extract<UnknownReason, { readonly by: string }>;

/** Unknowns of one domain, with those that base chains of unread firewalls introduce. */
export class Certainty {
  private readonly unknowns: ReadonlySet<number>;
  private readonly rare: ReadonlySet<number>;
  /** Unknowns of firewalls that were not read, by key. */
  private readonly unread: ReadonlyMap<string, UnreadReason>;
  /** Packets that satisfy no rare unknown, such as those without IPv6 extension headers. */
  readonly ordinary: Node;

  constructor(
    private readonly domain: Domain,
    { unread = [] }: Ruleset,
  ) {
    this.unknowns = domain.unknownLevels;
    this.rare = domain.rareLevels;
    const { diagrams } = domain;
    this.ordinary = [...this.rare].reduce<Node>(
      (all, level) => diagrams.intersect(all, diagrams.range(level, [[0, 0]])),
      FULL,
    );
    this.unread = new Map(
      unread.flatMap(({ hook, by, changes }): [string, UnreadReason][] => [
        [unreadKey(hook, by), { code: "may-drop", by, hook }],
        ...(changes === true ? [[changedKey(by), { code: "may-change", by }] as [string, UnreadReason]] : []),
      ]),
    );
  }

  /** Predicates that exclude packets which an unread firewall drops or changes. */
  get untouched(): Predicate[] {
    return [...this.unread].map(([key, reason]) => not(opaque(key, reason)));
  }

  /** Restricts a set to ordinary packets; the result depends on no rare unknown. */
  ordinaryPart(set: Node): Node {
    const { diagrams } = this.domain;
    return this.rare.size === 0 ? set : diagrams.project(diagrams.intersect(this.ordinary, set), this.rare);
  }

  /** Returns the packets that are in the set for every value of the unknowns. */
  certainPart(set: Node): Node {
    return this.unknownsOf(set).length === 0 ? set : this.domain.diagrams.forall(set, this.unknowns);
  }

  /** Returns the keys of the unknowns that a set depends on. */
  unknownsOf(set: Node): string[] {
    return this.domain.diagrams.support(set).flatMap((level) => {
      const variable = this.domain.variables[level]!;
      return variable.kind === "unknown" ? [variable.key] : [];
    });
  }

  /** Returns the firewalls that were not read and that sets depend on. */
  unreadOf(...sets: Node[]): string[] {
    const names = sets
      .flatMap((set) => this.unknownsOf(set))
      .flatMap((key) => this.unread.get(key)?.by ?? []);
    return [...new Set(names)];
  }
}
