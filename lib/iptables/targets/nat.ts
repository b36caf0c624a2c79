/**
 * Address translation: DNAT, SNAT, MASQUERADE, REDIRECT, NETMAP (net/netfilter/xt_nat.c, xt_MASQUERADE.c,
 * xt_REDIRECT.c, xt_NETMAP.c).
 */
import { parseAddress, printAddress } from "../../packet/address.ts";
import { type Address, PROTO } from "../../packet/field.ts";
import { isPort, isQuad } from "../../packet/literal-check.ts";
import type { Effect, Nat } from "../../rules/effect.ts";
import { prefix } from "../address-codecs.ts";
import { type Codec, option, type Spelling, target, Unreadable } from "../extension.ts";
import { readPort } from "../port-codecs.ts";
import { flag, word } from "../word-codecs.ts";

const COLON = 58;

interface NatPorts {
  readonly first: number;
  readonly last: number;
  readonly base?: number;
}

interface NatDestination {
  readonly addresses: readonly [Address, Address] | null;
  readonly ports: NatPorts | null;
}

function readPorts(text: string, spelling: Spelling): NatPorts | undefined {
  const m = /^([^/]+?)(?:-([^/-]+)(?:\/([^/]+))?)?$/.exec(text);
  if (m === null) return undefined;
  // The name of a service may contain a dash.
  const whole = m[3] === undefined ? readPort(text, spelling) : undefined;
  if (whole !== undefined) return { first: whole, last: whole };
  const first = readPort(m[1]!, spelling);
  const last = m[2] === undefined ? first : readPort(m[2], spelling);
  const base = m[3] === undefined ? undefined : readPort(m[3], spelling);
  if (first === undefined || last === undefined || last < first) return undefined;
  if (m[3] !== undefined && base === undefined) return undefined;
  return base === undefined ? { first, last } : { first, last, base };
}

const writePorts = ({ first, last, base }: NatPorts): string =>
  `${first}${last === first ? "" : `-${last}`}${base === undefined ? "" : `/${base}`}`;

const portRange: Codec<NatPorts> = word("a port, or two as first-last", readPorts, writePorts);
/** A port range without a base. */
const unshifted: Codec<NatPorts> = {
  ...portRange,
  read: ([text], spelling) =>
    text!.includes("/") ? new Unreadable(portRange.expects) : portRange.read([text!], spelling),
};

/** SNAT loses the base: iptables does not store it and prints a 0 that it rejects as input. */
const rebased = (ports: NatPorts | null): NatPorts | null =>
  ports?.base === undefined ? ports : { ...ports, base: 0 };

/** `address[-address][:port[-port[/base]]]`; IPv6 addresses need brackets before ports. */
const destination: Codec<NatDestination> = {
  ...word(
    "an address or first-last, and ports after a colon",
    (text, spelling) => {
      const m =
        spelling.family === 4
          ? /^([^:]*)(?::(.+))?$/.exec(text)
          : (/^(?:\[([^\]]+)\])?:([^:]+)$/.exec(text) ??
            /^\[([^\]]+)\]()$/.exec(text) ??
            /^([^[\]]*)()$/.exec(text));
      if (m === null) return undefined;
      const ports = m[2] === undefined || m[2] === "" ? null : readPorts(m[2], spelling);
      if (ports === undefined) return undefined;
      if (m[1] === undefined || m[1] === "") return ports === null ? undefined : { addresses: null, ports };
      const [a, b, more] = m[1].split("-");
      const first = parseAddress(a!, spelling.family);
      const last = b === undefined ? first : parseAddress(b, spelling.family);
      if (first === undefined || last === undefined || more !== undefined) return undefined;
      return { addresses: [first, last], ports };
    },
    ({ addresses, ports }, { family }) => {
      let text = "";
      if (addresses !== null) {
        text =
          addresses[0] === addresses[1] ? printAddress(addresses[0]) : addresses.map(printAddress).join("-");
        if (family === 6 && ports !== null) text = `[${text}]`;
      }
      return ports === null ? text : `${text}:${writePorts(ports)}`;
    },
  ),
  // A protocol with ports allows a port.
  isValid(text, start, end, { family, proto }) {
    if (family !== 4) return false;
    let port = end;
    while (port > start && text.charCodeAt(port - 1) !== COLON) port--;
    if (port === start) return isQuad(text, start, end, false);
    return (
      (proto === PROTO.tcp || proto === PROTO.udp) &&
      isPort(text, port, end) &&
      isQuad(text, start, port - 1, false)
    );
  },
};

const translation = (side: Nat["side"], to: NatDestination, random: boolean, persistent: boolean): Nat => ({
  kind: "nat",
  side,
  to:
    to.addresses === null
      ? { kind: "keep" }
      : { kind: "range", first: to.addresses[0], last: to.addresses[1] },
  ports: to.ports,
  random,
  persistent,
});

const choice = {
  random: option("--random", flag),
  randomFully: option("--random-fully", flag),
  persistent: option("--persistent", flag),
};

const PORTED: readonly number[] = [PROTO.tcp, PROTO.udp, PROTO.sctp, PROTO.dccp, PROTO.icmp];

/** Ports need one of these protocols; iptables ignores a `!` before `-p`, and the family (portok). */
function portless(ports: NatPorts | null | undefined, { proto, unlike }: Spelling): Unreadable | undefined {
  if (ports === null || ports === undefined || PORTED.includes((proto ?? unlike)!)) return undefined;
  return new Unreadable("-p tcp, udp, sctp, dccp or icmp for a port");
}

export const dnat = target({
  name: "DNAT",
  action: "dnat",
  traits: { needsConntrack: true },
  checksPresence: true,
  tables: ["nat"],
  options: {
    to: option("--to-destination", destination),
    random: choice.random,
    persistent: choice.persistent,
  },
  normalize: (v, spelling) =>
    v.to === undefined ? new Unreadable("--to-destination") : (portless(v.to.value.ports, spelling) ?? v),
  effect: ({ to, random, persistent }) =>
    translation("dst", to!.value, random !== undefined, persistent !== undefined),
});

export const snat = target({
  name: "SNAT",
  action: "snat",
  traits: { needsConntrack: true },
  checksPresence: true,
  tables: ["nat"],
  options: { to: option("--to-source", destination), ...choice },
  normalize: (v, spelling) =>
    v.to === undefined ? new Unreadable("--to-source") : (portless(v.to.value.ports, spelling) ?? v),
  effect: ({ to, random, randomFully, persistent }) =>
    translation(
      "src",
      { addresses: to!.value.addresses, ports: rebased(to!.value.ports) },
      random !== undefined || randomFully !== undefined,
      persistent !== undefined,
    ),
});

const fromInterface = (side: Nat["side"], ports: NatPorts | undefined, random: boolean): Nat => ({
  kind: "nat",
  side,
  to: { kind: "interface" },
  ports: ports ?? null,
  random,
});

export const masquerade = target({
  name: "MASQUERADE",
  action: "masquerade",
  traits: { needsConntrack: true },
  tables: ["nat"],
  options: { ports: option("--to-ports", portRange), random: choice.random, randomFully: choice.randomFully },
  normalize: (v, spelling) => portless(v.ports?.value, spelling) ?? v,
  // The kernel shifts by an uninitialized base (nf_nat_masquerade_ipv4).
  effect({ ports, random, randomFully }) {
    const chosen = random !== undefined || randomFully !== undefined || ports?.value.base !== undefined;
    if (ports === undefined) return fromInterface("src", undefined, chosen);
    const { first, last } = ports.value;
    return fromInterface("src", { first, last }, chosen);
  },
});

export const redirect = target({
  name: "REDIRECT",
  action: "redirect",
  traits: { needsConntrack: true },
  tables: ["nat"],
  options: { ports: option("--to-ports", unshifted), random: choice.random },
  normalize: (v, spelling) => portless(v.ports?.value, spelling) ?? v,
  effect: ({ ports, random }) => fromInterface("dst", ports?.value, random !== undefined),
});

/** Side that NAT changes at a hook (HOOK2MANIP). */
const SIDES: ReadonlyMap<string, Nat["side"]> = new Map([
  ["PREROUTING", "dst"],
  ["OUTPUT", "dst"],
  ["INPUT", "src"],
  ["POSTROUTING", "src"],
]);

export const netmap = target({
  name: "NETMAP",
  action: "netmap",
  traits: { needsConntrack: true },
  tables: ["nat"],
  options: { to: option("--to", prefix) },
  normalize: (v) => (v.to === undefined ? new Unreadable("--to") : v),
  // In a user-defined chain the calling hook determines the side; lib/path knows the hook.
  effect({ to }, _facts, site): Effect {
    const { address, mask } = to!.value;
    const side = SIDES.get(site.chain) ?? "src";
    return { kind: "nat", side, to: { kind: "netmap", address, mask }, ports: null, random: false };
  },
});
