/** Header that a translation gives to a packet, as far as it can be predicted (net/netfilter/nf_nat_core.c). */
import type { Host } from "../host/host.ts";
import { type Address, type Family, tracksPorts } from "../packet/field.ts";
import type { Nat } from "../rules/effect.ts";
import { hashedAddress } from "./address-hash.ts";
import { masqueradeAddress, redirectAddress } from "./interface-address.ts";

/** A new address and port; `null` keeps the old one. */
export interface FixedHeader {
  readonly address: Address | null;
  readonly port: number | null;
}

/** Properties of a packet that its translation depends on. */
export interface TranslatedFlow {
  /** Protocol number. */
  readonly proto: number;
  /** Address and port that are replaced. */
  readonly old: { readonly address: Address; readonly port: number | undefined };
  /** Interface whose address MASQUERADE and REDIRECT use: the output interface for sources, the input interface else. */
  readonly device: string;
  readonly dst: Address;
  /** Source address; without it the hash that selects an address of a range is not computed. */
  readonly src?: Address;
}

const KEPT: FixedHeader = { address: null, port: null };

/**
 * Translates one header.
 * @returns `null` if the interface has no address: the kernel drops the packet
 */
export function translate(nat: Nat, flow: TranslatedFlow, host: Host): FixedHeader | null {
  if (keepsZeroSource(nat, familyOf(flow)) && flow.old.address === 0) return KEPT;
  const address = translatedAddress(nat, flow, host);
  return address === undefined ? null : { address, port: translatedPort(nat, flow) };
}

const familyOf = ({ dst }: TranslatedFlow): Family => (typeof dst === "bigint" ? 6 : 4);

/** Returns the new address, `null` for the old one; `undefined` if the interface has none. */
function translatedAddress(nat: Nat, flow: TranslatedFlow, host: Host): Address | null | undefined {
  const { to } = nat;
  switch (to.kind) {
    case "keep":
      return null;
    case "range":
      return to.first === to.last || flow.src === undefined
        ? to.first
        : hashedAddress(to, { src: flow.src, dst: flow.dst }, nat);
    case "netmap":
      return mapped(flow.old.address, to);
    case "interface": {
      const { device, dst } = flow;
      return nat.side === "src" ? masqueradeAddress(host, device, dst) : redirectAddress(host, device, dst);
    }
  }
}

/** Replaces the prefix of an address. */
const mapped = (old: Address, { address, mask }: { readonly address: Address; readonly mask: Address }) =>
  typeof address === "number"
    ? ((address & (mask as number)) | ((old as number) & ~(mask as number))) >>> 0
    : (address & (mask as bigint)) | ((old as bigint) & ~(mask as bigint));

/** Returns the new port, `null` for the old one; the first port of the rule where the kernel chooses one. */
function translatedPort(
  { ports, random }: Nat,
  { proto, old: { port: old } }: TranslatedFlow,
): number | null {
  if (!tracksPorts(proto) || ports === null) return null;
  const { first, last, base } = ports;
  if (base !== undefined && old !== undefined) return first + (((old - base) & 0xffff) % (last - first + 1));
  return old !== undefined && old >= first && old <= last && !random ? old : first;
}

/** Returns the header that a translation gives to every packet; `null` if it depends on the host, the packet or the kernel. */
export function fixedHeader({ to, ports }: Nat): FixedHeader | null {
  if (to.kind !== "keep" && (to.kind !== "range" || to.first !== to.last)) return null;
  if (ports !== null && (ports.first !== ports.last || ports.base !== undefined)) return null;
  return { address: to.kind === "range" ? to.first : null, port: ports?.first ?? null };
}

/** Returns true if a translation leaves packets from 0.0.0.0 alone (nf_nat_masquerade_ipv4). */
export const keepsZeroSource = (nat: Nat, family: Family): boolean =>
  family === 4 && nat.to.kind === "interface" && nat.side === "src";
