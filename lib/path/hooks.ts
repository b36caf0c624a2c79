/** Order in which the kernel runs base chains, connection tracking and translation at each hook. */
import { type BaseChain, HOOKS, type Hook } from "../rules/base-chain.ts";

/** The address that a chain of type nat translates. */
export type NatSide = "dst" | "src";

/** One step of a hook. */
export type Stop =
  | { readonly kind: "chain"; readonly chain: BaseChain }
  /** Connection tracking. */
  | { readonly kind: "track" }
  /** Translation: the mapping of a known connection, or the chain for the first packet of a connection. */
  | { readonly kind: "nat"; readonly chain: BaseChain; readonly side: NatSide };

/** NF_IP_PRI_CONNTRACK: connection tracking runs at two hooks (nf_conntrack_proto.c, ipv4_conntrack_ops). */
const TRACK_PRIORITY = -200;
const TRACKING_HOOKS: readonly Hook[] = ["PREROUTING", "OUTPUT"];

/** Hooks at which a chain of type nat translates destinations; it translates sources at the others (HOOK2MANIP, nf_nat.h). */
const DESTINATION_HOOKS: readonly Hook[] = ["PREROUTING", "OUTPUT"];

const stopOf = (chain: BaseChain): Stop =>
  chain.type === "nat"
    ? { kind: "nat", chain, side: DESTINATION_HOOKS.includes(chain.hook) ? "dst" : "src" }
    : { kind: "chain", chain };

/** Returns the stops of each hook in order of priority. */
export function stopsOf(chains: readonly BaseChain[]): Readonly<Record<Hook, readonly Stop[]>> {
  const stops = HOOKS.map((hook): [Hook, readonly Stop[]] => {
    const own = chains.filter((chain) => chain.hook === hook).sort((a, b) => a.priority - b.priority);
    const before = own.filter(({ priority }) => priority < TRACK_PRIORITY).map(stopOf);
    const after = own.filter(({ priority }) => priority >= TRACK_PRIORITY).map(stopOf);
    const track: Stop[] = TRACKING_HOOKS.includes(hook) ? [{ kind: "track" }] : [];
    return [hook, [...before, ...track, ...after]];
  });
  return Object.fromEntries(stops) as Record<Hook, readonly Stop[]>;
}
