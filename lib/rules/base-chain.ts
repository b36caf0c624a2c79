/** Base chains: chains that the kernel calls at a hook (struct nf_hook_ops, linux/netfilter.h). */
import type { TableId } from "./table-name.ts";

export const HOOKS = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"] as const;
/** A point on the path of a packet at which the kernel calls base chains (enum nf_inet_hooks). */
export type Hook = (typeof HOOKS)[number];

/** A chain attached to a hook. */
export interface BaseChain {
  /** Table that contains the chain. */
  readonly table: TableId;
  readonly name: string;
  readonly hook: Hook;
  /**
   * `route`: the kernel looks the route of a packet of the host up again if the chain changed its header or mark. `nat`:
   * only the first packet of a connection is evaluated.
   */
  readonly type: "filter" | "nat" | "route";
  /**
   * Chains of a hook run in ascending order. Chains of type nat are ordered among themselves only: all of them run where the
   * kernel translates addresses (nf_nat_inet_fn).
   */
  readonly priority: number;
}
