/** Evaluates the words of a finding on one packet: the JSON of an audit describes sets, a test needs membership. */
import type { Exposure, Family, Finding } from "fwcheck";
import { parseAddress, parsePrefix, prefixRange, within } from "../../lib/packet/address.ts";

export const familyOf = (address: string): Family => (address.includes(":") ? 6 : 4);

/** `undefined` where the words do not say (`and 3 more`). */
export type Truth = boolean | undefined;

const either = (truths: readonly Truth[]): Truth =>
  truths.includes(true) ? true : truths.includes(undefined) ? undefined : false;
const both = (truths: readonly Truth[]): Truth =>
  truths.includes(false) ? false : truths.includes(undefined) ? undefined : true;
const negated = (truth: Truth): Truth => (truth === undefined ? undefined : !truth);

/** Whether one item of a list (address, `a-b`, `prefix/length`) contains an address. */
function itemHolds(item: string, text: string): Truth {
  const family = familyOf(item);
  const address = parseAddress(text, familyOf(text));
  const [low = "", high = low] = item.split("-");
  const prefix = parsePrefix(item, family);
  const [first, last] = [parseAddress(low, family), parseAddress(high, family)];
  if (address === undefined || (prefix === undefined && (first === undefined || last === undefined)))
    return undefined;
  if (family !== familyOf(text)) return false;
  return within(address, [prefix === undefined ? [first!, last!] : prefixRange(prefix)]);
}

const items = (list: string): { readonly texts: readonly string[]; readonly more: boolean } => {
  const [, shown = list, more] = /^(.*?)(?: and (\d+) more)?$/.exec(list) ?? [];
  return { texts: shown.split(", "), more: more !== undefined };
};

const listHolds = (list: string, holds: (item: string) => Truth): Truth => {
  const { texts, more } = items(list);
  return either([...texts.map(holds), ...(more ? [undefined] : [])]);
};

/** Whether `everyone`, `everyone but ...`, `anywhere` or a list of networks contains an address. */
function placeHolds(words: string, address: string): Truth {
  const [, everyone, but] = /^(everyone|anywhere|every container)(?: but (.*))?$/.exec(words) ?? [];
  if (everyone !== undefined && but === undefined) return true;
  const held = listHolds(but ?? words, (item) => itemHolds(item, address));
  return but === undefined ? held : negated(held);
}

/** Whether `anything`, `everything but tcp 443` or `tcp 25, udp 53` contains a protocol and port. */
function trafficHolds(words: string, proto: string, dport: number | null): Truth {
  if (words === "anything") return true;
  const [, but] = /^everything but (.*)$/.exec(words) ?? [];
  const held = listHolds(but ?? words, (item) => {
    const [name, ports] = item.split(" ");
    if (name === "protocols") return undefined;
    if (name !== "port" && name !== proto) return false;
    if (ports === undefined) return true;
    const [first, last = first] = ports.split("-").map(Number);
    return dport !== null && Number(first) <= dport && dport <= Number(last);
  });
  return but === undefined ? held : negated(held);
}

/** The first packet of a connection, as `simulate --packets` takes it. */
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

const whoHolds = (by: Finding["by"], packet: Sent): Truth =>
  either(
    by.map(({ in: inputs, from, to }) =>
      both([
        inputs.includes(packet.in),
        placeHolds(from, packet.src),
        to === undefined ? true : placeHolds(to, packet.dst),
      ]),
    ),
  );

/** Whether a row of the exposure table contains a packet. */
export function exposes({ family, proto, listen, by }: Exposure, { kind, packet }: Tried): Truth {
  if (kind === "egress" || family !== familyOf(packet.dst) || proto !== packet.proto) return false;
  if (listen.port !== packet.dport || (listen.address ?? packet.dst) !== packet.dst) return false;
  return whoHolds(by, packet);
}

/** Whether the set of packets that a finding describes contains a packet; `undefined` where the JSON does not say. */
export function covers(finding: Finding, { kind, packet, ends, bridges }: Tried): Truth {
  if (finding.kind === "ineffective-allow") return false;
  if ((kind === "egress") !== (finding.kind === "egress-bypass")) return false;
  if (finding.family !== familyOf(packet.dst)) return false;
  const who = whoHolds(finding.by, packet);
  const { listen, container, what } = finding;
  if (kind === "egress") {
    const cut = what?.lastIndexOf(" to ") ?? -1;
    if (what === undefined || cut < 0) return undefined;
    const [traffic, aim] = [what.slice(0, cut), what.slice(cut + 4)];
    return both([who, trafficHolds(traffic, packet.proto, packet.dport), placeHolds(aim, packet.dst)]);
  }
  if (what !== undefined) {
    const [, traffic = ""] = /^(.*?) (?:to|out of) /.exec(what) ?? [];
    const bridge = finding.id.split("/").at(-2) ?? "";
    const there = container !== null ? ends.includes(container.ip) : bridges.includes(bridge);
    return both([who, trafficHolds(traffic, packet.proto, packet.dport), there]);
  }
  if (finding.proto !== packet.proto) return false;
  if (listen !== null && kind === "published")
    return listen.port === packet.dport && (listen.address ?? packet.dst) === packet.dst ? who : false;
  if (kind === "published" || finding.kind === "ingress-bypass" || container === null) return false;
  return container.ip === packet.dst && (container.port ?? packet.dport) === packet.dport ? who : false;
}
