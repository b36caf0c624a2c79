/** Stops of a packet at each hook: base chains, connection tracking and translation, by priority. */
import { type BaseChain, HOOKS, type Hook } from "../rules/base-chain.ts";

/** The address that a chain of type nat translates. */
export type NatSide = "dst" | "src";

/** One step of a hook. */
export type Stop =
  | { readonly kind: "chain"; readonly chain: BaseChain }
  /** Connection tracking. */
  | { readonly kind: "track" }
  /**
   * Translation: the mapping of a known connection, or the chains of type nat for the first packet of a connection. A chain
   * that accepts hands the packet to the next one; the first translation wins (nf_nat_inet_fn).
   */
  | {
      readonly kind: "nat";
      readonly hook: Hook;
      readonly side: NatSide;
      readonly chains: readonly BaseChain[];
    };

export type NatStop = Extract<Stop, { kind: "nat" }>;

/** Chains of type nat with one priority. */
export type NatGroup = readonly BaseChain[];

/** Stops with one priority, whose order among themselves the priority does not determine. */
export interface StopGroup {
  readonly priority: number;
  readonly chains: readonly BaseChain[];
  /** Connection tracking is one of them. */
  readonly track: boolean;
  /** Translation is one of them: its chains by priority. */
  readonly nat: { readonly side: NatSide; readonly groups: readonly NatGroup[] } | null;
}

/** NF_IP_PRI_CONNTRACK: connection tracking runs at two hooks (nf_conntrack_proto.c, ipv4_conntrack_ops). */
const TRACK_PRIORITY = -200;
const TRACKING_HOOKS: readonly Hook[] = ["PREROUTING", "OUTPUT"];

/** NF_IP_PRI_NAT_DST and NF_IP_PRI_NAT_SRC: all chains of type nat run there (HOOK2MANIP, nf_nat.h). */
const NAT: Readonly<Partial<Record<Hook, { readonly side: NatSide; readonly priority: number }>>> = {
  PREROUTING: { side: "dst", priority: -100 },
  OUTPUT: { side: "dst", priority: -100 },
  INPUT: { side: "src", priority: 100 },
  POSTROUTING: { side: "src", priority: 100 },
};

/** Returns true for a chain that may see packets whose source is translated at the same hook. */
export const isAfterSourceNat = ({ hook, type, priority }: BaseChain): boolean =>
  type !== "nat" && NAT[hook]?.side === "src" && priority >= NAT[hook].priority;

/** Returns base chains by priority; chains of one priority keep their order. */
function byPriority(chains: readonly BaseChain[]): Map<number, BaseChain[]> {
  const groups = new Map<number, BaseChain[]>();
  for (const chain of [...chains].sort((a, b) => a.priority - b.priority)) {
    const group = groups.get(chain.priority);
    if (group === undefined) groups.set(chain.priority, [chain]);
    else group.push(chain);
  }
  return groups;
}

/**
 * Returns the stops of a hook in ascending order of priority.
 * @param active parts of the kernel that are registered: connection tracking, translation
 */
export function stopGroups(
  chains: readonly BaseChain[],
  hook: Hook,
  active: { readonly track: boolean; readonly nat: boolean },
): StopGroup[] {
  const own = chains.filter((chain) => chain.hook === hook);
  const others = byPriority(own.filter(({ type }) => type !== "nat"));
  const nat = active.nat ? NAT[hook] : undefined;
  const tracks = active.track && TRACKING_HOOKS.includes(hook);
  const priorities = new Set([
    ...others.keys(),
    ...(nat === undefined ? [] : [nat.priority]),
    ...(tracks ? [TRACK_PRIORITY] : []),
  ]);
  return [...priorities]
    .sort((a, b) => a - b)
    .map((priority) => ({
      priority,
      chains: others.get(priority) ?? [],
      track: tracks && priority === TRACK_PRIORITY,
      nat:
        nat?.priority === priority
          ? { side: nat.side, groups: [...byPriority(own.filter(({ type }) => type === "nat")).values()] }
          : null,
    }));
}

/** Returns the stops of each hook with connection tracking and translation, in the order of the chains given. */
export function stopsOf(chains: readonly BaseChain[]): Readonly<Record<Hook, readonly Stop[]>> {
  const stops = HOOKS.map((hook): [Hook, readonly Stop[]] => [
    hook,
    stopGroups(chains, hook, { track: true, nat: true }).flatMap((group) => plainStops(group, hook)),
  ]);
  return Object.fromEntries(stops) as Record<Hook, readonly Stop[]>;
}

/** Returns the stops of a group: connection tracking, translation, then the chains. */
export const plainStops = ({ track, nat, chains }: StopGroup, hook: Hook): Stop[] => [
  ...(track ? [{ kind: "track" } as const] : []),
  ...(nat === null ? [] : [{ kind: "nat", hook, side: nat.side, chains: nat.groups.flat() } as const]),
  ...chains.map((chain) => ({ kind: "chain", chain }) as const),
];
