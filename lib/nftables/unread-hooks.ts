/** Base chains that are loaded and not followed: those of the families bridge and netdev, and at ingress and egress. */
import type { Hook } from "../rules/base-chain.ts";
import type { Action } from "../rules/reading.ts";
import type { Rule, Table, Unread } from "../rules/ruleset.ts";
import { unknownChains } from "../rules/ruleset.ts";
import type { DraftChain, TableDraft } from "./table-draft.ts";

/**
 * The hook of IP packets at which a drop has the same result. A frame that a bridge drops before or after its own routing
 * decision is lost before PREROUTING or after POSTROUTING (net/bridge/br_netfilter_hooks.c); ingress and egress likewise.
 */
const BRIDGE_HOOKS: Readonly<Record<string, Hook>> = {
  prerouting: "PREROUTING",
  input: "PREROUTING",
  forward: "FORWARD",
  output: "POSTROUTING",
  postrouting: "POSTROUTING",
};
const DEVICE_HOOKS: Readonly<Record<string, Hook>> = { ingress: "PREROUTING", egress: "POSTROUTING" };

/** Actions that neither drop nor change a packet. */
const HARMLESS: readonly Action[] = ["accept", "return", "jump", "goto", "none", "log"];

const mayDrop = ({ action, targetName }: Rule): boolean =>
  action === "drop" || action === "reject" || (action === "other" && targetName === "vmap");

/** Returns the base chains of a table that are not followed and that may drop or change packets. */
export function unreadHooks({ family, id, chains }: TableDraft, table: Table): readonly Unread[] {
  if (family === "arp") return [];
  const by = `nftables table ${id}`;
  const hooks = new Set<Hook>();
  for (const chain of chains.values()) {
    const hook = unreadHook(family, chain);
    if (hook === null) continue;
    if (hook === undefined) return unknownChains(by);
    const rules = reachedRules(chain.name, table).filter(({ action }) => !HARMLESS.includes(action));
    if (rules.some((rule) => !mayDrop(rule))) return unknownChains(by);
    if (rules.length > 0 || chain.base!.policy === "drop") hooks.add(hook);
  }
  return [...hooks].map((hook) => ({ hook, by }));
}

/** Returns the hook of a chain; `null` if lib/path follows it or nothing calls it, `undefined` if it is unknown. */
function unreadHook(family: string, { base }: DraftChain): Hook | undefined | null {
  if (base === null) return null;
  const own = family === "bridge" ? { ...BRIDGE_HOOKS, ...DEVICE_HOOKS } : DEVICE_HOOKS;
  if (Object.hasOwn(own, base.hook)) return own[base.hook];
  return family === "bridge" || family === "netdev" ? undefined : null;
}

/** Rules of a chain and of all chains that it leads to. */
function reachedRules(name: string, { chains }: Table): Rule[] {
  const reached = new Set([name]);
  const rules: Rule[] = [];
  // The iteration includes names that are added during it.
  for (const at of reached)
    for (const rule of chains.get(at)?.rules ?? []) {
      rules.push(rule);
      for (const to of rule.calledChains) reached.add(to);
    }
  return rules;
}
