/**
 * Order of stops with one priority. The kernel runs the one that was registered last first (nf_hook_entries_grow), which a
 * listing of rules does not show. Where the order may change the result, each order is one case.
 */
import type { Field } from "../packet/field.ts";
import { ANY, and, opaque, type Predicate, visitLeaves } from "../packet/predicate.ts";
import type { BaseChain, Hook } from "../rules/base-chain.ts";
import { ends, forks } from "../rules/effect.ts";
import type { BoundChain } from "./bound-chain.ts";
import type { Case } from "./decision-list.ts";
import { plainStops, type Stop, type StopGroup } from "./hooks.ts";

/** Stops of a hook in one order; `null` where there are too many orders to follow. */
export type Sequence = Case<readonly Stop[] | null>;

/** Most stops of one priority whose orders are followed, each as a case of its own. */
const MOST_ORDERED = 4;
/** Most orders of one hook. */
const MOST_ORDERS = 24;

/** What the chains of a stop read and do. */
interface Footprint {
  readonly reads: ReadonlySet<Field>;
  readonly writes: ReadonlySet<Field>;
  readonly drops: boolean;
  readonly rejects: boolean;
  readonly translates: boolean;
}

const HEADER: readonly Field[] = ["src", "dst", "proto", "sport", "dport", "flags", "type", "code"];
const CONNECTION: readonly Field[] = [
  "ctstate",
  "ctmark",
  "ctdir",
  "ctstatus",
  "ctproto",
  "ctorigsrc",
  "ctorigdst",
  "ctorigsrcport",
  "ctorigdstport",
  "ctreplsrc",
  "ctrepldst",
  "ctreplsrcport",
  "ctrepldstport",
];
const TRANSLATED: readonly Field[] = ["src", "dst", "sport", "dport", "ctstatus"];

/** Returns what a base chain and all chains below it read and do. */
function footprintOf(chains: readonly BoundChain[]): Footprint {
  const reads = new Set<Field>();
  const writes = new Set<Field>();
  const done = { drops: false, rejects: false, translates: false };
  const read = (predicate: Predicate): void =>
    visitLeaves(predicate, (leaf) => {
      if (leaf.kind !== "opaque") reads.add(leaf.field);
    });
  for (const { policy, rules } of chains) {
    if (policy === "drop") done.drops = true;
    for (const { when, effect } of rules) {
      read(when);
      for (const predicate of forks(effect)) read(predicate);
      for (const end of ends(effect)) {
        if (end.kind === "assign") writes.add(end.field);
        if (end.kind === "assign" && end.change.kind === "copy") reads.add(end.change.from);
        if (end.kind === "nat") done.translates = true;
        if (end.kind === "hotdrop" || end.kind === "stolen") done.drops = true;
        if (end.kind === "verdict") {
          if (end.verdict === "drop") done.drops = true;
          if (end.verdict === "reject") done.rejects = true;
        }
      }
    }
  }
  return { reads, writes, ...done };
}

const TRACKING: Footprint = {
  reads: new Set([...HEADER, "ctstate"]),
  writes: new Set(CONNECTION),
  drops: false,
  rejects: false,
  translates: false,
};

const meets = (a: ReadonlySet<Field>, b: ReadonlySet<Field>): boolean => [...a].some((field) => b.has(field));

/** Returns true if the order of two stops may change a verdict or a header. */
const interferes = (a: Footprint, b: Footprint): boolean =>
  meets(a.writes, b.writes) ||
  meets(a.writes, b.reads) ||
  meets(a.reads, b.writes) ||
  (a.drops && b.rejects) ||
  (a.rejects && b.drops) ||
  (a.translates && (b.translates || b.drops)) ||
  (a.drops && b.translates);

/** One of several things with one priority. */
interface Item<T> {
  readonly value: T;
  /** Name in messages and in `nft list hooks`: table and chain, `conntrack` or `nat`. */
  readonly name: string;
  readonly footprint: Footprint;
}

/** Possible orders of items with one priority; `null` where there are too many. */
interface Orders<T> {
  readonly names: readonly string[];
  readonly orders: readonly (readonly Item<T>[])[] | null;
}

function ordersOf<T>(items: readonly Item<T>[], known: readonly string[] | undefined): Orders<T> {
  if (items.length < 2) return { names: [], orders: [items] };
  // As if they had been registered in the order of the listing.
  const latestFirst = items.toReversed();
  const open = latestFirst.filter((item) =>
    items.some((other) => other !== item && interferes(item.footprint, other.footprint)),
  );
  // A listing of a hook has no chains that the ruleset lacks: the known order has to contain those that matter only.
  if (known !== undefined && open.every(({ name }) => known.includes(name)))
    return { names: [], orders: [inOrder(latestFirst, known)] };
  if (open.length === 0) return { names: [], orders: [latestFirst] };
  const names = open.map(({ name }) => name);
  if (open.length > MOST_ORDERED) return { names, orders: null };
  const orders = permutations(open).map((order) => {
    const left = [...order];
    return latestFirst.map((item) => (open.includes(item) ? left.shift()! : item));
  });
  return { names, orders };
}

/** Sorts items by a known order; those that it lacks come last. */
function inOrder<T>(items: readonly Item<T>[], known: readonly string[]): readonly Item<T>[] {
  const rank = ({ name }: Item<T>): number => (known.includes(name) ? known.indexOf(name) : known.length);
  return [...items].sort((a, b) => rank(a) - rank(b));
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, i) => permutations(items.toSpliced(i, 1)).map((rest) => [item, ...rest]));
}

/** Evaluates to true for the packets of each order; the order itself is one unknown. */
function casesOf<T>({ names, orders }: Orders<T>, hook: Hook): Case<readonly T[] | null>[] {
  if (orders === null) return [{ when: ANY, outcome: null }];
  return orders.map((order, i) => ({
    when:
      i === orders.length - 1
        ? ANY
        : opaque(
            `order(${hook}: ${order
              .filter(({ name }) => names.includes(name))
              .map(({ name }) => name)
              .join(", ")})`,
            {
              code: "chain-order",
              hook,
              chains: names,
            },
          ),
    outcome: order.map(({ value }) => value),
  }));
}

/** Returns the product of two lists of cases. */
const product = <A, B, C>(
  first: readonly Case<A | null>[],
  second: readonly Case<B | null>[],
  join: (a: A, b: B) => C,
): Case<C | null>[] =>
  first.flatMap((a) =>
    second.map((b) => ({
      when: and(a.when, b.when),
      outcome: a.outcome === null || b.outcome === null ? null : join(a.outcome, b.outcome),
    })),
  );

export const chainName = ({ table, name }: BaseChain): string => `${table} ${name}`;

/** Orders the stops of a hook. */
export class StopSequencer {
  /**
   * @param known base chains of the hook in the order of the kernel, if it is known
   * @param below returns a base chain and all chains below it; none for a chain that the ruleset lacks
   */
  constructor(
    private readonly hook: Hook,
    private readonly known: readonly string[] | undefined,
    private readonly below: (chain: BaseChain) => readonly BoundChain[],
  ) {}

  /** Returns the possible sequences of a hook; a single one where no order is open. */
  sequences(groups: readonly StopGroup[]): readonly Sequence[] {
    let all: Sequence[] = [{ when: ANY, outcome: [] }];
    for (const group of groups) {
      const isSimple = plainStops(group, this.hook).length === 1 && (group.nat?.groups ?? []).every(isSingle);
      const cases = isSimple
        ? [{ when: ANY, outcome: plainStops(group, this.hook) }]
        : this.groupCases(group);
      all = product(all, cases, (before, after) => [...before, ...after]);
    }
    return all.length <= MOST_ORDERS ? all : [{ when: ANY, outcome: null }];
  }

  private groupCases(group: StopGroup): readonly Sequence[] {
    const items = (nat: readonly BaseChain[] | null): Item<Stop>[] => [
      ...(group.track ? [{ value: { kind: "track" } as const, name: "conntrack", footprint: TRACKING }] : []),
      ...(nat === null || group.nat === null ? [] : [this.natItem(nat, group.nat.side)]),
      ...group.chains.map((chain) => this.item<Stop>({ kind: "chain", chain }, chain)),
    ];
    if (group.nat === null) return casesOf(ordersOf(items(null), this.known), this.hook);
    return this.natCases(group.nat.groups).flatMap(({ when, outcome: nat }): Sequence[] =>
      nat === null
        ? [{ when, outcome: null }]
        : casesOf(ordersOf(items(nat), this.known), this.hook).map((each) => ({
            when: and(when, each.when),
            outcome: each.outcome,
          })),
    );
  }

  /** Orders of the chains of type nat. */
  private natCases(groups: readonly (readonly BaseChain[])[]): Case<readonly BaseChain[] | null>[] {
    let all: Case<readonly BaseChain[] | null>[] = [{ when: ANY, outcome: [] }];
    for (const group of groups) {
      const items = group.map((chain) => this.item(chain, chain));
      const cases = casesOf(ordersOf(items, this.known), this.hook);
      all = product(all, cases, (before, after) => [...before, ...after]);
    }
    return all;
  }

  private natItem(chains: readonly BaseChain[], side: "dst" | "src"): Item<Stop> {
    const { reads, writes, ...rest } = footprintOf(chains.flatMap((chain) => [...this.below(chain)]));
    return {
      value: { kind: "nat", hook: this.hook, side, chains },
      name: "nat",
      footprint: {
        ...rest,
        // Drops of chains of type nat are those of any other chain; translations are in the fields.
        translates: false,
        reads: new Set([...reads, ...HEADER, "ctstate"]),
        writes: new Set([...writes, ...TRANSLATED]),
      },
    };
  }

  private item<T>(value: T, chain: BaseChain): Item<T> {
    return { value, name: chainName(chain), footprint: footprintOf(this.below(chain)) };
  }
}

const isSingle = (group: readonly BaseChain[]): boolean => group.length < 2;
