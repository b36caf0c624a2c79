/** Base chains whose rules are unknown: tables of nftables, or the other backend of iptables. */
import { ANY, and, opaque, or } from "../packet/predicate.ts";
import type { Hook } from "../rules/base-chain.ts";
import type { Unread } from "../rules/ruleset.ts";
import type { Case } from "./decision-list.ts";
import type { UnfollowedReason } from "./end-reason.ts";
import { changedKey, unreadKey } from "./unknown-key.ts";

/** Outcome for a packet at a base chain that was not read. */
export interface UnreadEnd {
  readonly verdict: "drop" | "undecided";
  readonly reason: UnfollowedReason;
}

/**
 * Returns what unread base chains may do at a hook: drop a packet, or change it so that its further path is unknown. Each
 * depends on an unknown of its own. `null` if they leave the packet alone.
 */
export function unreadCases(unread: readonly Unread[], hook: Hook): readonly Case<UnreadEnd | null>[] {
  const chains = unread.filter((each) => each.hook === hook);
  const holders = new Set(chains.map(({ by }) => by));
  const ends = [...holders].flatMap((by): Case<UnreadEnd>[] => {
    const own = chains.filter((each) => each.by === by);
    const when = or(...own.map((each) => each.when ?? ANY));
    const drop: Case<UnreadEnd> = {
      when: and(when, opaque(unreadKey(hook, by), { code: "may-drop", by, hook })),
      outcome: { verdict: "drop", reason: { code: "unread-drop", by } },
    };
    if (!own.some((each) => each.changes === true)) return [drop];
    const reason = { code: "may-change", by } as const;
    return [drop, { when: opaque(changedKey(by), reason), outcome: { verdict: "undecided", reason } }];
  });
  return ends.length === 0 ? [] : [...ends, { when: ANY, outcome: null }];
}
