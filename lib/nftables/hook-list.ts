/** Reads `nft list hooks` (nft 1.0.1 or newer): the order in which the kernel calls functions and base chains. */
import type { Family } from "../packet/field.ts";
import { HOOKS, type Hook } from "../rules/base-chain.ts";

/** A function that the kernel calls at a hook. */
export interface HookedFunction {
  readonly priority: number;
  /** The base chain of nftables that it evaluates, as family, table and chain; `null` for any other function. */
  readonly chain: { readonly family: string; readonly table: string; readonly name: string } | null;
  /** Name of the function and its module, as listed: `ipt_do_table [ip_tables]`; `""` for a chain. */
  readonly function: string;
}

/** Functions of each hook of a family, in the order of the calls. */
export type HookList = ReadonlyMap<Family, ReadonlyMap<Hook, readonly HookedFunction[]>>;

const FAMILIES: Readonly<Record<string, Family>> = { ip: 4, ip6: 6 };

/** One line of a hook: `-0000000300 chain ip raw PREROUTING [nf_tables]`, ` 0000000000 ipt_do_table [ip_tables]`. */
const FUNCTION = /^\s+([-+]?)\s*(\d{10,})\s+(?:chain (\S+) (\S+) (\S+)|(\S.*?))(?: \[nf_tables\])?\s*$/;

/** Returns the lists of the families ip and ip6. A kernel without CONFIG_NETFILTER_NETLINK_HOOK lists nothing. */
export function readHookList(text: string): HookList {
  const families = new Map<Family, Map<Hook, HookedFunction[]>>();
  let hooks: Map<Hook, HookedFunction[]> | undefined;
  let functions: HookedFunction[] | undefined;
  for (const line of text.split(/\r?\n/)) {
    const [, family] = /^family (\S+)/.exec(line) ?? [];
    const [, name] = /^\s+hook (\S+)/.exec(line) ?? [];
    if (family !== undefined) {
      hooks = FAMILIES[family] === undefined ? undefined : new Map();
      functions = undefined;
      if (hooks !== undefined) families.set(FAMILIES[family]!, hooks);
    } else if (name !== undefined) {
      const hook = HOOKS.find((each) => each.toLowerCase() === name);
      functions = hook === undefined || hooks === undefined ? undefined : [];
      if (hook !== undefined && functions !== undefined) hooks!.set(hook, functions);
    } else {
      const found = hookedFunction(line);
      if (found !== null) functions?.push(found);
    }
  }
  return families;
}

function hookedFunction(line: string): HookedFunction | null {
  const [, sign, digits, family, table, name, other] = FUNCTION.exec(line) ?? [];
  if (digits === undefined) return null;
  return {
    priority: Number(digits) * (sign === "-" ? -1 : 1),
    chain: family === undefined ? null : { family, table: table!, name: name! },
    function: other ?? "",
  };
}

/** Returns true for the output of `nft list hooks`. */
export const isHookList = (text: string): boolean =>
  /^family (ip6?|inet|arp|bridge|netdev) \{\s*\n\s+hook \S+/m.test(text);
