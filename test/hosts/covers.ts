/** Membership of one packet in the set that a finding or exposure of an audit describes. */
import type { Exposure, Family, Finding, HostDestinations, PartList, SetDescription, Sources } from "fwcheck";
import { isInRanges, parseAddress, parsePrefix, prefixRange } from "../../lib/packet/address.ts";

export const familyOf = (address: string): Family => (address.includes(":") ? 6 : 4);

/** `undefined` where the description does not decide: it counts some members instead of listing them. */
export type Truth = boolean | undefined;

const either = (truths: readonly Truth[]): Truth =>
  truths.includes(true) ? true : truths.includes(undefined) ? undefined : false;
const both = (truths: readonly Truth[]): Truth =>
  truths.includes(false) ? false : truths.includes(undefined) ? undefined : true;
const negated = (truth: Truth): Truth => (truth === undefined ? undefined : !truth);

/** Returns true if an address, a range `a-b` or a prefix contains an address. */
function rangeContains(range: string, text: string): Truth {
  const family = familyOf(range);
  const address = parseAddress(text, familyOf(text));
  const [low = "", high = low] = range.split("-");
  const prefix = parsePrefix(range, family);
  const [first, last] = [parseAddress(low, family), parseAddress(high, family)];
  if (address === undefined || (prefix === undefined && (first === undefined || last === undefined)))
    return undefined;
  if (family !== familyOf(text)) return false;
  return isInRanges(address, [prefix === undefined ? [first!, last!] : prefixRange(prefix)]);
}

const listContains = ({ parts, more }: PartList, contains: (part: string) => Truth): Truth =>
  either([...parts.map(contains), ...(more > 0 ? [undefined] : [])]);

function setContains(set: Sources, contains: (part: string) => Truth): Truth {
  switch (set.kind) {
    case "all":
      return true;
    case "none":
      return false;
    case "only":
      return listContains(set, contains);
    case "all-but":
      return negated(listContains(set, contains));
    case "listed":
    case "unknown":
      return undefined;
  }
}

const addressesContain = (set: Sources, address: string): Truth =>
  setContains(set, (range) => rangeContains(range, address));

const destinationsContain = ({ redirected, group, ...own }: HostDestinations, address: string): Truth =>
  group === true
    ? undefined
    : either([
        listContains(own, (range) => rangeContains(range, address)),
        ...(redirected === undefined ? [] : [addressesContain(redirected, address)]),
      ]);

/** Returns true if protocols with their ports (`tcp 25`) contain a protocol and port. */
const protocolsContain = (set: SetDescription, proto: string, dport: number | null): Truth =>
  setContains(set, (part) => {
    const [name, ports] = part.split(" ");
    if (name === "protocols") return undefined;
    if (name !== "port" && name !== proto) return false;
    if (ports === undefined) return true;
    const [first, last = first] = ports.split("-").map(Number);
    return dport !== null && Number(first) <= dport && dport <= Number(last);
  });

/** First packet of a connection, as `simulate --packets` takes it. */
export interface Sent {
  readonly in: string;
  readonly src: string;
  readonly dst: string;
  readonly proto: string;
  readonly sport: number;
  readonly dport: number;
  readonly flags?: string;
}

/** A connection that was tried. */
export interface Tried {
  readonly kind: "published" | "direct" | "egress";
  readonly packet: Sent;
  /** Addresses of the container that it is for; for `egress` its destination. */
  readonly ends: readonly string[];
  /** Names of the bridges that lead to these addresses. */
  readonly bridges: readonly string[];
}

const groupsContain = (by: Finding["by"], packet: Sent): Truth =>
  either(
    by.map(({ in: inputs, sources, destinations }) =>
      both([
        inputs.includes(packet.in),
        addressesContain(sources, packet.src),
        destinations === undefined ? true : destinationsContain(destinations, packet.dst),
      ]),
    ),
  );

/** Returns true if a row of the exposure table contains a packet. */
export function exposes({ family, proto, listen, by }: Exposure, { kind, packet }: Tried): Truth {
  if (kind === "egress" || family !== familyOf(packet.dst) || proto !== packet.proto) return false;
  if (listen.port !== packet.dport || (listen.address ?? packet.dst) !== packet.dst) return false;
  return groupsContain(by, packet);
}

/** Returns true if the set of packets that a finding describes contains a packet; `undefined` where the data do not decide. */
export function covers(finding: Finding, { kind, packet, ends, bridges }: Tried): Truth {
  if (finding.kind === "ineffective-allow") return false;
  if ((kind === "egress") !== (finding.kind === "egress-bypass")) return false;
  if (finding.family !== familyOf(packet.dst)) return false;
  const sources = groupsContain(finding.by, packet);
  const { listen, container, traffic } = finding;
  if (kind === "egress") {
    if (traffic?.to.kind !== "addresses") return undefined;
    return both([
      sources,
      protocolsContain(traffic.protocols, packet.proto, packet.dport),
      addressesContain(traffic.to.addresses, packet.dst),
    ]);
  }
  if (traffic !== undefined) {
    const { to } = traffic;
    const bridge = to.kind === "network" ? to.bridge : to.kind === "interface" ? to.name : "";
    const isThere = container !== null ? ends.includes(container.ip) : bridges.includes(bridge);
    return both([sources, protocolsContain(traffic.protocols, packet.proto, packet.dport), isThere]);
  }
  if (finding.proto !== packet.proto) return false;
  if (listen !== null && kind === "published")
    return listen.port === packet.dport && (listen.address ?? packet.dst) === packet.dst ? sources : false;
  if (kind === "published" || finding.kind === "ingress-bypass" || container === null) return false;
  return container.ip === packet.dst && (container.port ?? packet.dport) === packet.dport ? sources : false;
}
