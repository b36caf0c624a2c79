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

/** Result of a translation. */
export interface Translated extends FixedHeader {
  /** Sentence about the value that fwcheck chose where the kernel has a choice; else `null`. */
  readonly choice: string | null;
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

const KEPT: Translated = { address: null, port: null, choice: null };

/**
 * Translates one header.
 * @returns `null` if the interface has no address: the kernel drops the packet
 */
export function translate(nat: Nat, flow: TranslatedFlow, host: Host): Translated | null {
  if (keepsZeroSource(nat, familyOf(flow)) && flow.old.address === 0) return KEPT;
  const address = translatedAddress(nat, flow, host);
  if (address === undefined) return null;
  const port = translatedPort(nat, flow);
  const choices = [address.choice, port.choice].filter((choice) => choice !== null);
  return {
    address: address.value,
    port: port.value,
    choice: choices.length === 0 ? null : choices.join("; "),
  };
}

const familyOf = ({ dst }: TranslatedFlow): Family => (typeof dst === "bigint" ? 6 : 4);

/** A new value, `null` for the old one, and the choice that it rests on. */
interface Chosen<T> {
  readonly value: T | null;
  readonly choice: string | null;
}

function translatedAddress(nat: Nat, flow: TranslatedFlow, host: Host): Chosen<Address> | undefined {
  const { to } = nat;
  switch (to.kind) {
    case "keep":
      return { value: null, choice: null };
    case "range":
      if (to.first === to.last) return { value: to.first, choice: null };
      return flow.src === undefined
        ? {
            value: to.first,
            choice: "the first of the rule's addresses is taken; the kernel spreads them by a hash",
          }
        : { value: hashedAddress(to, { src: flow.src, dst: flow.dst }, nat), choice: null };
    case "netmap":
      return { value: mapped(flow.old.address, to), choice: null };
    case "interface": {
      const { device, dst } = flow;
      const value =
        nat.side === "src" ? masqueradeAddress(host, device, dst) : redirectAddress(host, device, dst);
      return value === undefined ? undefined : { value, choice: null };
    }
  }
}

/** Replaces the prefix of an address. */
const mapped = (old: Address, { address, mask }: { readonly address: Address; readonly mask: Address }) =>
  typeof address === "number"
    ? ((address & (mask as number)) | ((old as number) & ~(mask as number))) >>> 0
    : (address & (mask as bigint)) | ((old as bigint) & ~(mask as bigint));

function translatedPort(
  { ports, random }: Nat,
  { proto, old: { port: old } }: TranslatedFlow,
): Chosen<number> {
  if (!tracksPorts(proto)) return { value: null, choice: null };
  if (ports === null)
    return {
      value: null,
      choice: random ? "the port is kept; the rule lets the kernel choose one at random" : null,
    };
  const { first, last, base } = ports;
  if (base !== undefined && old !== undefined)
    return { value: first + (((old - base) & 0xffff) % (last - first + 1)), choice: null };
  if (first === last) return { value: first, choice: null };
  if (old !== undefined && old >= first && old <= last && !random) return { value: old, choice: null };
  return {
    value: first,
    choice: `the first of the rule's ports is taken; the kernel chooses one from ${first} to ${last}`,
  };
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
