/** Base chains of a hook in their order, for listings. */
import { BASE_CHAINS } from "../iptables/base-chains.ts";
import type { BaseChain, Hook } from "../rules/base-chain.ts";
import { baseChainsOf, type Ruleset } from "../rules/ruleset.ts";
import { stopsOf } from "./hooks.ts";
import { chainName } from "./stop-order.ts";

/**
 * Returns the base chains of a hook and connection tracking (`null`) in the order in which the kernel runs them: all that
 * one backend of iptables can have, and all others of a ruleset. Chains of one priority whose order is not known keep the
 * order of the ruleset.
 */
export function hookStages(ruleset: Ruleset | undefined, hook: Hook): (BaseChain | null)[] {
  const own = ruleset === undefined ? [] : baseChainsOf(ruleset);
  const absent = BASE_CHAINS.filter(
    ({ table, name }) => !own.some((each) => each.table === table && each.name === name),
  );
  const known = ruleset?.hookOrder?.get(hook) ?? [];
  const rank = (chain: BaseChain): number =>
    known.includes(chainName(chain)) ? known.indexOf(chainName(chain)) : known.length;
  const all = [...absent, ...own].sort((a, b) => rank(a) - rank(b));
  return stopsOf(all)[hook].flatMap((stop): (BaseChain | null)[] => {
    if (stop.kind === "nat") return [...stop.chains];
    return [stop.kind === "track" ? null : stop.chain];
  });
}

/** Returns true for two base chains of a hook with one priority whose order the inputs do not show. */
export const hasOpenOrder = (a: BaseChain, b: BaseChain, { hookOrder }: Ruleset): boolean =>
  a.priority === b.priority &&
  (a.type === "nat") === (b.type === "nat") &&
  [a, b].some((each) => hookOrder?.get(each.hook)?.includes(chainName(each)) !== true);
