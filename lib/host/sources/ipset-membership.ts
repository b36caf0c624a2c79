/** Membership of packets in a set as a predicate (net/netfilter/ipset/ip_set_*.c). */
import { addressFamily, maskBits } from "../../packet/address.ts";
import {
  type Address,
  type Family,
  type Field,
  LAST_NAME,
  PROTO,
  type Range,
  type Side,
} from "../../packet/field.ts";
import { mostSpecific } from "../../packet/nested-prefixes.ts";
import {
  ANY,
  and,
  bits,
  is,
  NEVER,
  normalizeRanges,
  not,
  opaque,
  or,
  type Predicate,
  within,
} from "../../packet/predicate.ts";
import type { AddressSpan, Dimension, Ipset, SetElement } from "./ipset-elements.ts";

/** Protocols with ports for ipset (get_port, ip_set_getport.c). */
const PORTED: ReadonlySet<number> = new Set([PROTO.tcp, PROTO.udp, PROTO.udplite, PROTO.sctp]);

const portField = (side: Side): Field => (side === "src" ? "sport" : "dport");

/** Returns the packets with ports in some ranges; a protocol without ports has port 0. */
function ofPorts(proto: number, ranges: readonly Range[], side: Side): Predicate {
  if (PORTED.has(proto)) return and(is("proto", proto), is("fragment", 0), within(portField(side), ranges));
  if (proto === PROTO.icmp || proto === PROTO.icmpv6) {
    const kinds = ranges.flatMap(([lo, hi]) => {
      const all: Predicate[] = [];
      for (let both = lo as number; both <= (hi as number); both++)
        all.push(and(is("type", both >> 8), is("code", both & 0xff)));
      return all;
    });
    // Later fragments have no ICMP header.
    return and(is("proto", proto), is("fragment", 0), or(...kinds));
  }
  return ranges.some(([lo]) => lo === 0) ? is("proto", proto) : NEVER;
}

/** Returns the packets whose masked address is an element. */
function ofMasked(field: Field, spans: readonly AddressSpan[], mask: Address): Predicate {
  const length = maskBits(mask);
  const family = addressFamily(mask);
  if (length !== undefined) {
    const hole = typeof mask === "number" ? ~mask >>> 0 : ((1n << 128n) - 1n) ^ mask;
    const widen = ({ lo, hi }: AddressSpan): Range =>
      typeof lo === "number"
        ? [(lo & (mask as number)) >>> 0, ((hi as number) | (hole as number)) >>> 0]
        : [lo & (mask as bigint), (hi as bigint) | (hole as bigint)];
    return within(field, normalizeRanges(spans.map(widen)));
  }
  return or(
    ...spans.map(({ lo, hi }) =>
      lo === hi
        ? bits(
            field,
            mask,
            family === 4 ? ((lo as number) & (mask as number)) >>> 0 : (lo as bigint) & (mask as bigint),
          )
        : opaque(`set-bitmask:${String(lo)}-${String(hi)}`, { code: "set-bitmask" }),
    ),
  );
}

const addresses = (set: Ipset, field: Field, spans: readonly AddressSpan[]): Predicate =>
  set.mask === null
    ? within(field, normalizeRanges(spans.map(({ lo, hi }): Range => [lo, hi])))
    : ofMasked(field, spans, set.mask);

/** Returns the field of the packet for a dimension. */
const fieldOf = (dimension: Dimension, side: Side): Field => {
  if (dimension === "ip" || dimension === "net") return side;
  if (dimension === "iface") return side === "src" ? "in" : "out";
  return dimension === "port" ? portField(side) : dimension === "mark" ? "mark" : "mac";
};

/** Returns the packets that are in a set. */
export function membership(set: Ipset, sides: readonly Side[], family: Family): Predicate {
  const { elements, dimensions } = set;
  switch (set.type) {
    case "bitmap:ip":
      return addresses(set, sides[0]!, flat(elements, 0));
    case "hash:ip": {
      // hash:ip never contains the address 0, also not after masking.
      const zero = family === 4 ? 0 : 0n;
      const none = set.mask === null ? is(sides[0]!, zero) : bits(sides[0]!, set.mask, zero);
      return and(addresses(set, sides[0]!, flat(elements, 0)), not(none));
    }
    case "bitmap:port": {
      const ranges = normalizeRanges(elements.map((e): Range => [e.ports!.first, e.ports!.last]));
      return or(ofPorts(PROTO.tcp, ranges, sides[0]!), ofPorts(PROTO.udp, ranges, sides[0]!));
    }
    case "hash:mac":
      return ofMacs(elements, sides[0]!);
    case "bitmap:ip,mac":
    case "hash:ip,mac":
      return grouped(
        elements,
        (e) => String(e.mac),
        (group) => and(addresses(set, sides[0]!, flat(group, 0)), ofMacs(group.slice(0, 1), sides[1]!)),
      );
    case "hash:ip,mark":
      return grouped(
        elements,
        (e) => String(e.mark),
        (group) =>
          and(
            addresses(set, sides[0]!, flat(group, 0)),
            bits("mark", set.markmask, group[0]!.mark & set.markmask),
          ),
      );
    case "hash:net":
      return ofNets(elements, sides[0]!);
    case "hash:net,iface":
      return ofIfaces(elements, sides);
    case "hash:ip,port":
      return byPorts(elements, sides[1]!, (group) => addresses(set, sides[0]!, flat(group, 0)));
    case "hash:net,port":
      return byPorts(elements, sides[1]!, (group) => ofNets(group, sides[0]!));
    case "hash:ip,port,ip":
    case "hash:ip,port,net": {
      const third = (group: readonly SetElement[]): Predicate =>
        dimensions[2] === "net" ? ofNets(group, sides[2]!, 1) : addresses(set, sides[2]!, flat(group, 1));
      return byPorts(elements, sides[1]!, (same) =>
        grouped(
          same,
          (e) => e.spans[0]!.map(({ lo, hi }) => `${lo}-${hi}`).join(),
          (group) => and(addresses(set, sides[0]!, group[0]!.spans[0]!), third(group)),
        ),
      );
    }
    case "hash:net,net":
      return ofPairs(set, elements, sides[0]!, sides[1]!);
    case "hash:net,port,net":
      return byPorts(elements, sides[1]!, (group) => ofPairs(set, group, sides[0]!, sides[2]!));
    default:
      return NEVER;
  }
}

const flat = (elements: readonly SetElement[], i: number): readonly AddressSpan[] =>
  elements.flatMap((e) => e.spans[i]!);

/** Evaluates elements with the same key together. */
function grouped(
  elements: readonly SetElement[],
  key: (e: SetElement) => string,
  ask: (group: readonly SetElement[]) => Predicate,
): Predicate {
  const groups = new Map<string, SetElement[]>();
  for (const e of elements) {
    const k = key(e);
    const group = groups.get(k);
    if (group === undefined) groups.set(k, [e]);
    else group.push(e);
  }
  return or(...[...groups.values()].map(ask));
}

/** Evaluates elements by their ports; ports with equal elements are evaluated together. */
function byPorts(
  elements: readonly SetElement[],
  side: Side,
  ask: (group: readonly SetElement[]) => Predicate,
): Predicate {
  const groups = new Map<string, SetElement[]>();
  const put = (key: string, e: SetElement): void => {
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [e]);
    else group.push(e);
  };
  // With nomatch, elements of one port interact, so each port of a range is evaluated by itself.
  const split = elements.some((e) => e.nomatch) && elements.some((e) => e.ports!.first !== e.ports!.last);
  for (const e of elements) {
    const { proto, first, last } = e.ports!;
    if (split) for (let port = first; port <= last; port++) put(`${proto} ${port} ${port}`, e);
    else put(`${proto} ${first} ${last}`, e);
  }
  const same = new Map<string, { proto: number; ranges: Range[]; ask: Predicate }>();
  for (const [key, group] of groups) {
    const [proto, first, last] = key.split(" ").map(Number) as [number, number, number];
    const inner = ask(group);
    const text = `${proto} ${JSON.stringify(inner, (_k, v: unknown) => (typeof v === "bigint" ? `${v}n` : v))}`;
    const known = same.get(text);
    if (known === undefined) same.set(text, { proto, ranges: [[first, last]], ask: inner });
    else known.ranges.push([first, last]);
  }
  return or(...[...same.values()].map((s) => and(ofPorts(s.proto, normalizeRanges(s.ranges), side), s.ask)));
}

function ofMacs(elements: readonly SetElement[], side: Side): Predicate {
  if (elements.some((e) => e.mac === null)) return ANY;
  const wanted = elements.map((e) => e.mac!).filter((mac) => mac !== 0);
  if (side === "src") return within("mac", normalizeRanges(wanted.map((mac): Range => [mac, mac])));
  return opaque(`set-mac(${wanted.join(",")})`, { code: "set-mac" });
}

/** Returns the addresses of each payload: those whose most specific prefix has it. */
function rangesByPayload<T>(
  nets: readonly { readonly span: AddressSpan; readonly payload: T }[],
): Map<T, Range[]> {
  const out = new Map<T, Range[]>();
  for (const { range, payload } of mostSpecific(nets.map(({ span, payload }) => ({ ...span, payload })))) {
    const ranges = out.get(payload);
    if (ranges === undefined) out.set(payload, [range]);
    else ranges.push(range);
  }
  return out;
}

/** Returns the packets whose most specific prefix has no nomatch. */
function ofNets(elements: readonly SetElement[], field: Field, i = 0): Predicate {
  const nets = elements.flatMap((e) => e.spans[i]!.map((span) => ({ span, payload: !e.nomatch })));
  return within(field, normalizeRanges(rangesByPayload(nets).get(true) ?? []));
}

/**
 * Pairs of prefixes: the most specific first prefix decides, then the most specific second one. Consecutive elements with
 * the same result are evaluated together.
 */
function ofPairs(set: Ipset, elements: readonly SetElement[], first: Field, second: Field): Predicate {
  const pairs = elements.flatMap((e) =>
    e.spans[0]!.flatMap((a) => e.spans[1]!.map((b) => ({ a, b, nomatch: e.nomatch }))),
  );
  if (pairs.every((p) => !p.nomatch))
    return grouped(
      elements,
      (e) => e.spans[1]!.map(({ lo, hi }) => `${lo}-${hi}`).join(),
      (group) =>
        and(
          addresses({ ...set, mask: null }, first, flat(group, 0)),
          addresses({ ...set, mask: null }, second, group[0]!.spans[1]!),
        ),
    );
  pairs.sort((x, y) => x.a.length - y.a.length || x.b.length - y.b.length);
  let result: Predicate = NEVER;
  for (let i = 0; i < pairs.length; ) {
    const { nomatch } = pairs[i]!;
    const run: Predicate[] = [];
    for (; i < pairs.length && pairs[i]!.nomatch === nomatch; i++) {
      const { a, b } = pairs[i]!;
      run.push(and(within(first, [[a.lo, a.hi]]), within(second, [[b.lo, b.hi]])));
    }
    result = nomatch ? and(not(or(...run)), result) : or(...run, result);
  }
  return result;
}

/**
 * Prefixes with interfaces: the most specific prefix decides, even if none of its interfaces matches (the `multi` flag of
 * hash:net,iface).
 */
function ofIfaces(elements: readonly SetElement[], sides: readonly Side[]): Predicate {
  const field = fieldOf("iface", sides[1]!);
  const nets = new Map<string, { readonly span: AddressSpan; readonly payload: SetElement[] }>();
  for (const e of elements)
    for (const span of e.spans[0]!) {
      const key = `${span.lo}/${span.length}`;
      const net = nets.get(key);
      if (net === undefined) nets.set(key, { span, payload: [e] });
      else net.payload.push(e);
    }
  const asked: Predicate[] = [];
  for (const [group, ranges] of rangesByPayload([...nets.values()])) {
    let inner: Predicate = NEVER;
    for (const e of [...group].reverse()) {
      const { name, wildcard, physical } = e.iface!;
      const here = physical
        ? opaque(`set-physdev:${name}:${sides[1]}`, { code: "set-bridge-port" })
        : within(field, [wildcard ? [name, `${name}${LAST_NAME}`] : [name, name]]);
      inner = e.nomatch ? and(not(here), inner) : or(here, inner);
    }
    asked.push(and(within(sides[0]!, normalizeRanges(ranges)), inner));
  }
  // Packets without this interface are in no such set.
  return and(not(is(field, "")), or(...asked));
}
