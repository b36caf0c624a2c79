/** Which header a translation gives, as far as it can be foretold (net/netfilter/nf_nat_core.c). */
import type { Host } from "../host/host.ts";
import { prefixRange, within } from "../packet/address.ts";
import { type Address, type Family, hasPorts } from "../packet/field.ts";
import type { Nat } from "../rules/effect.ts";

/** A new address and port; `null` keeps the old one. */
export interface Translated {
  readonly address: Address | null;
  readonly port: number | null;
  /** Where the kernel chooses among several, which one was taken here, as a sentence; else `null`. */
  readonly choice: string | null;
}

/**
 * The translation of one header.
 * @param old the address and port that are to be replaced
 * @param device the interface whose address MASQUERADE and REDIRECT take: out for the first, in for the second
 * @returns `null` when there is nothing to translate to (the interface has no address): the kernel drops the packet
 */
export function translate(
  nat: Nat,
  old: { readonly address: Address; readonly port: number | undefined },
  proto: number,
  device: string,
  towards: Address,
  host: Host,
  family: Family,
): Translated | null {
  const choices: string[] = [];
  let address: Address | null = null;
  switch (nat.to.kind) {
    case "keep":
      break;
    case "range":
      address = nat.to.first;
      if (nat.to.first !== nat.to.last)
        choices.push("the first of the rule's addresses is taken; the kernel spreads them by a hash");
      break;
    case "netmap": {
      const { address: base, mask } = nat.to;
      address =
        typeof base === "number"
          ? ((base & (mask as number)) | ((old.address as number) & ~(mask as number))) >>> 0
          : (base & (mask as bigint)) | ((old.address as bigint) & ~(mask as bigint));
      break;
    }
    case "interface": {
      const found = interfaceAddress(host, device, towards, family, nat.side);
      if (found === undefined) return null;
      address = found;
      break;
    }
  }
  let port: number | null = null;
  if (nat.ports !== null && hasPorts(proto)) {
    const { first, last, base } = nat.ports;
    if (base !== undefined && old.port !== undefined) port = first + ((old.port - base) % (last - first + 1));
    else if (first === last) port = first;
    else if (old.port !== undefined && old.port >= first && old.port <= last && !nat.random) port = old.port;
    else {
      port = first;
      choices.push(`the first of the rule's ports is taken; the kernel chooses one from ${first} to ${last}`);
    }
  } else if (nat.random && hasPorts(proto))
    choices.push("the port is kept; the rule lets the kernel choose one at random");
  return { address, port, choice: choices.length === 0 ? null : choices.join("; ") };
}

/**
 * MASQUERADE takes the address that the kernel would send from (inet_select_addr: one whose subnet holds the next
 * hop, else the first); REDIRECT the first of the interface packets came in by, or the loopback address.
 */
function interfaceAddress(
  host: Host,
  device: string,
  towards: Address,
  family: Family,
  side: Nat["side"],
): Address | undefined {
  if (side === "dst" && (device === "" || device === "lo")) return family === 4 ? 0x7f00_0001 : 1n;
  const own =
    host.interfaces.find((i) => i.name === device)?.addresses.filter((a) => a.family === family) ?? [];
  const near = side === "src" ? own.find((a) => within(towards, [prefixRange(a.prefix)])) : undefined;
  return (near ?? own[0])?.address;
}
