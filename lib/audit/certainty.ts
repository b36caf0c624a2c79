/** Dependence of packet sets on unknowns: which of their packets are certain, and which unknowns decide the others. */
import { not, opaque, type Predicate } from "../packet/predicate.ts";
import { changedKey, unreadKey } from "../path/unknown-key.ts";
import type { Domain } from "../reach/domain.ts";
import { FULL, type Node } from "../reach/node-store.ts";
import type { Ruleset } from "../rules/ruleset.ts";

/** Unknowns of one domain, with those that base chains of unread firewalls introduce. */
export class Certainty {
  private readonly unknowns: ReadonlySet<number>;
  private readonly rare: ReadonlySet<number>;
  /** Firewall that was not read, by the key of the unknown for its verdict. */
  private readonly unreadByKey: ReadonlyMap<string, string>;
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
    this.unreadByKey = new Map(
      unread.flatMap(({ hook, by, changes }) => [
        [unreadKey(hook, by), by],
        ...(changes === true ? [[changedKey(by), by] as const] : []),
      ]),
    );
  }

  /** Predicates that exclude packets which an unread firewall drops or changes. */
  get untouched(): Predicate[] {
    return [...this.unreadByKey].map(([key, by]) => not(opaque(key, { code: "may-drop", by })));
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
      .flatMap((key) => this.unreadByKey.get(key) ?? []);
    return [...new Set(names)];
  }
}
