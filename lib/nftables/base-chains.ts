/** Base chains of nftables: hooks, and priorities by name (nft(8), CHAINS). */
import type { BaseChainLine } from "nftables-parser-ts";
import type { BaseChain, Hook } from "../rules/base-chain.ts";

/** Hooks of IP packets by their names in nft. */
const HOOK_OF: Readonly<Record<string, Hook>> = {
  prerouting: "PREROUTING",
  input: "INPUT",
  forward: "FORWARD",
  output: "OUTPUT",
  postrouting: "POSTROUTING",
};

/** Returns the hook of IP packets with this name; `undefined` for `ingress` and `egress`. */
export const hookOf = (name: string): Hook | undefined =>
  Object.hasOwn(HOOK_OF, name) ? HOOK_OF[name] : undefined;

/** Priorities of the families ip, ip6 and inet (enum nf_ip_hook_priorities). */
const PRIORITIES: Readonly<Record<string, number>> = {
  raw: -300,
  mangle: -150,
  dstnat: -100,
  filter: 0,
  security: 50,
  srcnat: 100,
};

/** Priorities of the family bridge (enum nf_br_hook_priorities). */
const BRIDGE_PRIORITIES: Readonly<Record<string, number>> = {
  dstnat: -300,
  filter: -200,
  out: 100,
  srcnat: 300,
};

/** Returns the priority `filter + 10`; `undefined` if it cannot be read. */
export function priorityOf(text: string, family: string): number | undefined {
  const m = /^(?:([a-z]+)|(-?\s*\d+))\s*(?:([+-])\s*(\d+))?$/.exec(text.trim());
  if (m === null) return undefined;
  const names = family === "bridge" ? BRIDGE_PRIORITIES : PRIORITIES;
  const base =
    m[1] === undefined
      ? Number(m[2]!.replace(/\s/g, ""))
      : Object.hasOwn(names, m[1])
        ? names[m[1]]
        : undefined;
  if (base === undefined) return undefined;
  return base + (m[4] === undefined ? 0 : m[3] === "-" ? -Number(m[4]) : Number(m[4]));
}

const TYPES: readonly string[] = ["filter", "nat", "route"] satisfies readonly BaseChain["type"][];

/** Returns the base chain of a line, or the words that cannot be read. */
export function readBaseChain(
  { type, hook, priority }: BaseChainLine,
  { family, table, name }: { readonly family: string; readonly table: string; readonly name: string },
): BaseChain | string {
  const at = hookOf(hook);
  const number = priorityOf(priority, family);
  if (at === undefined) return `hook ${hook}`;
  if (!TYPES.includes(type)) return `type ${type}`;
  if (number === undefined) return `priority ${priority}`;
  return { table, name, hook: at, type: type as BaseChain["type"], priority: number };
}
