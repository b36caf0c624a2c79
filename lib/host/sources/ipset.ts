/**
 * `ipset save`: sets of every type of ipset(8), and what it means to be in one (net/netfilter/ipset/ip_set_*.c).
 *
 * A set is asked with one side of the packet for each of its dimensions, as `--match-set NAME src,dst` does: the
 * answer is a predicate over the packet's fields. An element with a timeout is taken to be there still.
 */

import { wholeNumber } from "../../iptables/codecs.ts";
import { protocolNumber } from "../../iptables/system-names.ts";
import { maskBits, parseAddress, parsePrefix, prefixRange } from "../../packet/address.ts";
import { type Address, type Family, type Field, LAST_NAME, PROTO, type Range } from "../../packet/field.ts";
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

/** What one dimension of a set holds. */
type Dimension = "ip" | "net" | "port" | "mac" | "mark" | "iface" | "set";

/** Which side of a packet a dimension is looked up by. */
export type Side = "src" | "dst";

/** The types of ipset(8). */
const TYPES: ReadonlyMap<string, readonly Dimension[]> = new Map(
  [
    ...[
      "bitmap:ip",
      "bitmap:ip,mac",
      "bitmap:port",
      "hash:ip",
      "hash:ip,mac",
      "hash:ip,mark",
      "hash:ip,port",
    ],
    ...["hash:ip,port,ip", "hash:ip,port,net", "hash:mac", "hash:net", "hash:net,iface", "hash:net,net"],
    ...["hash:net,port", "hash:net,port,net", "list:set"],
  ].map((type) => [type, type.slice(type.indexOf(":") + 1).split(",") as Dimension[]]),
);

/** Something wrong with the text, and where; as the grammar's diagnostics. */
export interface IpsetDiagnostic {
  readonly severity: "error" | "warning";
  readonly message: string;
  readonly line: number;
  readonly column: number;
  readonly found: string;
}

/** Values of the port dimension: the protocol and, for those that have them, ports or ICMP's `type * 256 + code`. */
interface Ports {
  readonly proto: number;
  readonly first: number;
  readonly last: number;
}

/** A range of addresses and, in a net, the length of the prefix it was given with. */
interface Span {
  readonly lo: Address;
  readonly hi: Address;
  readonly length: number;
}

interface Iface {
  readonly name: string;
  /** Any interface whose name begins so. */
  readonly wildcard: boolean;
  /** The port of a bridge. */
  readonly physical: boolean;
}

/** One element, a value a dimension; several spans where a range of addresses was written. */
interface Element {
  readonly spans: readonly (readonly Span[])[];
  readonly ports: Ports | null;
  /** `null`: a bitmap:ip,mac element that takes any address. */
  readonly mac: number | null;
  readonly mark: number;
  readonly iface: Iface | null;
  readonly member: string;
  readonly nomatch: boolean;
}

/** One set as it was saved. */
export interface Ipset {
  readonly name: string;
  /** `hash:ip,port`. */
  readonly type: string;
  readonly dimensions: readonly Dimension[];
  /** `null` for types that hold no addresses. */
  readonly family: Family | null;
  /** What of an address is compared; `null` where all of it is. */
  readonly mask: Address | null;
  readonly markmask: number;
  readonly elements: readonly Element[];
}

/** All sets of a host. */
export class Ipsets {
  private readonly predicates = new Map<string, Predicate | undefined>();

  constructor(readonly sets: ReadonlyMap<string, Ipset>) {}

  /**
   * What `--match-set NAME SIDES` asks.
   * @returns `undefined` when the set, or a member of it, is not known; fewer sides than the set has dimensions, and
   *   a set of the other family, match nothing (ip_set_test)
   */
  member(name: string, sides: readonly Side[], family: Family): Predicate | undefined {
    const key = `${family} ${sides.join(",")} ${name}`;
    if (!this.predicates.has(key)) this.predicates.set(key, this.ask(name, sides, family));
    return this.predicates.get(key);
  }

  /** The sets that a list:set holds. */
  parts(name: string): readonly string[] {
    const set = this.sets.get(name);
    return set?.type === "list:set" ? set.elements.map((e) => e.member) : [];
  }

  private ask(name: string, sides: readonly Side[], family: Family): Predicate | undefined {
    const set = this.sets.get(name);
    if (set === undefined) return undefined;
    if (sides.length < set.dimensions.length) return NEVER;
    if (set.family !== null && set.family !== family) return NEVER;
    if (set.type === "list:set") {
      // The kernel refuses a list in a list (IPSET_ERR_LOOP): what such a text means is not known.
      const members = set.elements.map(({ member }) =>
        this.sets.get(member)?.type === "list:set" ? undefined : this.member(member, sides, family),
      );
      return members.includes(undefined) ? undefined : or(...(members as Predicate[]));
    }
    return membership(set, sides, family);
  }
}

// Reading.

const WORD = /"([^"]*)"|(\S+)/g;

interface Word {
  readonly text: string;
  readonly column: number;
}

class Trouble {
  constructor(
    readonly message: string,
    readonly word: Word,
  ) {}
}

/** Options of `create` and `add` by the number of words that follow them. */
const CREATE_OPTIONS: ReadonlyMap<string, number> = new Map([
  ...["range", "netmask", "bitmask", "family", "hashsize", "maxelem", "bucketsize", "initval"].map(
    (o) => [o, 1] as const,
  ),
  ...["timeout", "size", "markmask", "probes", "resize", "gc"].map((o) => [o, 1] as const),
  ...["counters", "comment", "skbinfo", "forceadd", "-exist", "-!"].map((o) => [o, 0] as const),
]);
const ADD_OPTIONS: ReadonlyMap<string, number> = new Map([
  ...["timeout", "packets", "bytes", "comment", "skbmark", "skbprio", "skbqueue", "before", "after"].map(
    (o) => [o, 1] as const,
  ),
  ...["nomatch", "wildcard", "-exist", "-!"].map((o) => [o, 0] as const),
]);

/**
 * Reads the text of `ipset save`.
 * @returns the sets, and what is wrong with lines that are not in them; never throws
 */
export function readIpsets(text: string): {
  readonly sets: Ipsets;
  readonly diagnostics: readonly IpsetDiagnostic[];
} {
  const sets = new Map<string, Ipset & { readonly elements: Element[] }>();
  const diagnostics: IpsetDiagnostic[] = [];
  let line = 0;
  for (const raw of text.split("\n")) {
    line++;
    const words = [...raw.matchAll(WORD)].map((m) => ({ text: m[1] ?? m[2]!, column: m.index + 1 }));
    const [command, name, third] = words;
    if (command === undefined || command.text.startsWith("#") || command.text === "COMMIT") continue;
    const missing: Word = { text: "", column: raw.trimEnd().length + 1 };
    let trouble: Trouble | undefined;
    if (command.text === "create") trouble = create(sets, name ?? missing, third ?? missing, words.slice(3));
    else if (command.text === "add") trouble = add(sets, name ?? missing, third ?? missing, words.slice(3));
    else trouble = new Trouble("expected create or add", command);
    if (trouble !== undefined) {
      const { message, word } = trouble;
      diagnostics.push({
        severity: "error",
        message,
        line,
        column: word.column,
        found: word.text.slice(0, 80),
      });
    }
  }
  return { sets: new Ipsets(sets), diagnostics };
}

/** Options by name; or the one that is none. */
function options(words: readonly Word[], known: ReadonlyMap<string, number>): Map<string, Word> | Trouble {
  const out = new Map<string, Word>();
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const count = known.get(word.text);
    if (count === undefined) return new Trouble("unknown option", word);
    const value = count === 0 ? word : words[i + 1];
    if (value === undefined) return new Trouble(`${word.text} needs a value`, word);
    out.set(word.text, value);
    i += count;
  }
  return out;
}

function create(
  sets: Map<string, Ipset>,
  name: Word,
  type: Word,
  rest: readonly Word[],
): Trouble | undefined {
  if (name.text === "") return new Trouble("expected the name of a set", name);
  const dimensions = TYPES.get(type.text);
  if (dimensions === undefined) return new Trouble("expected the type of a set, like hash:ip", type);
  const given = options(rest, CREATE_OPTIONS);
  if (given instanceof Trouble) return given;
  const inet = given.get("family");
  if (inet !== undefined && inet.text !== "inet" && inet.text !== "inet6")
    return new Trouble("expected inet or inet6", inet);
  const family: Family = inet?.text === "inet6" ? 6 : 4;
  const netmask = given.get("netmask") ?? given.get("bitmask");
  let mask: Address | null = null;
  if (netmask !== undefined) {
    const read = parsePrefix(`${family === 4 ? "0.0.0.0" : "::"}/${netmask.text}`, family);
    if (read === undefined) return new Trouble("expected a netmask or the length of a prefix", netmask);
    mask = read.mask;
  }
  const markmask = given.get("markmask");
  const bare = dimensions.every((d) => d === "port" || d === "mac" || d === "set");
  sets.set(name.text, {
    name: name.text,
    type: type.text,
    dimensions,
    family: bare ? null : family,
    mask,
    markmask: (markmask === undefined ? undefined : wholeNumber(markmask.text, 0xffff_ffff)) ?? 0xffff_ffff,
    elements: [],
  });
  return undefined;
}

function add(
  sets: ReadonlyMap<string, Ipset & { readonly elements: Element[] }>,
  name: Word,
  value: Word,
  rest: readonly Word[],
): Trouble | undefined {
  const set = sets.get(name.text);
  if (set === undefined) return new Trouble("expected the name of a set that was created before", name);
  const given = options(rest, ADD_OPTIONS);
  if (given instanceof Trouble) return given;
  const element = readElement(set, value, given.has("nomatch"), given.has("wildcard"));
  if (element instanceof Trouble) return element;
  set.elements.push(element);
  return undefined;
}

const EXPECTED: Readonly<Record<Dimension, string>> = {
  ip: "an address, a range or a network",
  net: "an address, a range or a network",
  port: "a port as protocol:port, or icmp:type/code",
  mac: "a MAC address",
  mark: "a mark",
  iface: "an interface",
  set: "the name of a set",
};

function readElement(set: Ipset, word: Word, nomatch: boolean, wildcard: boolean): Element | Trouble {
  // An interface may hold a comma; it stands last.
  const parts = word.text.split(",");
  if (set.type === "hash:net,iface" && parts.length > 2)
    parts.splice(1, parts.length, parts.slice(1).join(","));
  const family = set.family ?? 4;
  const spans: (readonly Span[])[] = [];
  let element: Omit<Element, "spans"> = { ports: null, mac: null, mark: 0, iface: null, member: "", nomatch };
  const optional = set.type === "bitmap:ip,mac" ? 1 : 0;
  if (parts.length > set.dimensions.length || parts.length < set.dimensions.length - optional)
    return new Trouble(
      `expected ${set.dimensions.map((d) => EXPECTED[d]).join(", ")}, separated by commas`,
      word,
    );
  for (const [i, dimension] of set.dimensions.entries()) {
    const text = parts[i];
    if (text === undefined) break;
    const fault = new Trouble(`expected ${EXPECTED[dimension]}`, word);
    switch (dimension) {
      case "ip":
      case "net": {
        const read = readSpans(text, family, dimension === "net");
        if (read === undefined) return fault;
        spans.push(read);
        break;
      }
      case "port": {
        const ports = readPorts(text, set.type === "bitmap:port");
        if (ports === undefined) return fault;
        element = { ...element, ports };
        break;
      }
      case "mac": {
        if (!/^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/i.test(text)) return fault;
        const mac = text.split(":").reduce((sum, part) => sum * 256 + Number.parseInt(part, 16), 0);
        element = { ...element, mac };
        break;
      }
      case "mark": {
        const mark = wholeNumber(text, 0xffff_ffff);
        if (mark === undefined) return fault;
        element = { ...element, mark };
        break;
      }
      case "iface": {
        const physical = text.startsWith("physdev:");
        element = { ...element, iface: { name: physical ? text.slice(8) : text, wildcard, physical } };
        break;
      }
      case "set":
        element = { ...element, member: text };
    }
  }
  return { ...element, spans };
}

/** An address, `address/length` or `first-last`; a range in a net falls into prefixes. */
function readSpans(text: string, family: Family, net: boolean): readonly Span[] | undefined {
  const width = family === 4 ? 32 : 128;
  const dash = text.indexOf("-");
  if (dash >= 0) {
    const lo = parseAddress(text.slice(0, dash), family);
    const hi = parseAddress(text.slice(dash + 1), family);
    if (lo === undefined || hi === undefined || lo > hi) return undefined;
    return net ? prefixesOf(lo, hi, family) : [{ lo, hi, length: width }];
  }
  const prefix = parsePrefix(text, family);
  const length = prefix === undefined ? undefined : maskBits(prefix.mask);
  if (prefix === undefined || length === undefined) return undefined;
  const [lo, hi] = prefixRange(prefix) as [Address, Address];
  return [{ lo, hi, length }];
}

/** The prefixes that a range is made of, the largest first that fits (ip_set_range_to_cidr). */
function prefixesOf(first: Address, last: Address, family: Family): Span[] {
  const width = family === 4 ? 32 : 128;
  const out: Span[] = [];
  let lo = BigInt(first);
  const end = BigInt(last);
  while (lo <= end) {
    let free = 0;
    while (
      free < width &&
      (lo & ((1n << BigInt(free + 1)) - 1n)) === 0n &&
      lo + (1n << BigInt(free + 1)) - 1n <= end
    )
      free++;
    const hi = lo + (1n << BigInt(free)) - 1n;
    const as = (n: bigint): Address => (family === 4 ? Number(n) : n);
    out.push({ lo: as(lo), hi: as(hi), length: width - free });
    lo = hi + 1n;
  }
  return out;
}

/** ipset's names of ICMP types and codes, of both families; numbers serve as well. */
const ICMP: ReadonlyMap<string, readonly [v4: string, v6: string]> = new Map([
  ["echo-reply", ["0/0", "129/0"]],
  ["pong", ["0/0", "129/0"]],
  ["echo-request", ["8/0", "128/0"]],
  ["ping", ["8/0", "128/0"]],
  ["network-unreachable", ["3/0", ""]],
  ["host-unreachable", ["3/1", ""]],
  ["protocol-unreachable", ["3/2", ""]],
  ["port-unreachable", ["3/3", "1/4"]],
  ["fragmentation-needed", ["3/4", ""]],
  ["source-route-failed", ["3/5", ""]],
  ["network-unknown", ["3/6", ""]],
  ["host-unknown", ["3/7", ""]],
  ["network-prohibited", ["3/9", ""]],
  ["host-prohibited", ["3/10", ""]],
  ["TOS-network-unreachable", ["3/11", ""]],
  ["TOS-host-unreachable", ["3/12", ""]],
  ["communication-prohibited", ["3/13", "1/1"]],
  ["host-precedence-violation", ["3/14", ""]],
  ["precedence-cutoff", ["3/15", ""]],
  ["source-quench", ["4/0", ""]],
  ["network-redirect", ["5/0", ""]],
  ["host-redirect", ["5/1", ""]],
  ["TOS-network-redirect", ["5/2", ""]],
  ["TOS-host-redirect", ["5/3", ""]],
  ["router-advertisement", ["9/0", "134/0"]],
  ["router-solicitation", ["10/0", "133/0"]],
  ["ttl-zero-during-transit", ["11/0", "3/0"]],
  ["ttl-zero-during-reassembly", ["11/1", "3/1"]],
  ["ip-header-bad", ["12/0", ""]],
  ["required-option-missing", ["12/1", ""]],
  ["timestamp-request", ["13/0", ""]],
  ["timestamp-reply", ["14/0", ""]],
  ["address-mask-request", ["17/0", ""]],
  ["address-mask-reply", ["18/0", ""]],
  ["no-route", ["", "1/0"]],
  ["beyond-scope", ["", "1/2"]],
  ["address-unreachable", ["", "1/3"]],
  ["failed-policy", ["", "1/5"]],
  ["reject-route", ["", "1/6"]],
  ["packet-too-big", ["", "2/0"]],
  ["bad-header", ["", "4/0"]],
  ["unknown-header-type", ["", "4/1"]],
  ["unknown-option", ["", "4/2"]],
  ["neighbour-solicitation", ["", "135/0"]],
  ["neighbor-solicitation", ["", "135/0"]],
  ["neighbour-advertisement", ["", "136/0"]],
  ["neighbor-advertisement", ["", "136/0"]],
  ["redirect", ["", "137/0"]],
]);

/** `80`, `80-90`, `udp:53`, `icmp:8/0`, `esp:0`; TCP where no protocol is named. */
function readPorts(text: string, bare: boolean): Ports | undefined {
  const colon = text.indexOf(":");
  const proto = colon < 0 ? PROTO.tcp : protocolNumber(text.slice(0, colon));
  const value = text.slice(colon + 1);
  if (proto === undefined || (bare && colon >= 0)) return undefined;
  if (proto === PROTO.icmp || proto === PROTO.icmpv6) {
    const named = ICMP.get(value)?.[proto === PROTO.icmp ? 0 : 1];
    const m = /^(\d{1,3})\/(\d{1,3})$/.exec(named ?? value);
    if (m === null || Number(m[1]) > 255 || Number(m[2]) > 255) return undefined;
    const both = Number(m[1]) * 256 + Number(m[2]);
    return { proto, first: both, last: both };
  }
  const [a, b, more] = value.split("-");
  const first = wholeNumber(a!, 0xffff);
  const last = b === undefined ? first : wholeNumber(b, 0xffff);
  if (first === undefined || last === undefined || more !== undefined || first > last) return undefined;
  return { proto, first, last };
}

// Meaning.

/** Protocols whose header the port dimension looks into (get_port of ip_set_getport.c). */
const PORTED: ReadonlySet<number> = new Set([PROTO.tcp, PROTO.udp, PROTO.udplite, PROTO.sctp]);

const portField = (side: Side): Field => (side === "src" ? "sport" : "dport");

/** What the port dimension asks; a protocol without ports has port 0. */
function ofPorts(proto: number, ranges: readonly Range[], side: Side): Predicate {
  if (PORTED.has(proto)) return and(is("proto", proto), is("fragment", 0), within(portField(side), ranges));
  if (proto === PROTO.icmp || proto === PROTO.icmpv6) {
    const kinds = ranges.flatMap(([lo, hi]) => {
      const all: Predicate[] = [];
      for (let both = lo as number; both <= (hi as number); both++)
        all.push(and(is("type", both >> 8), is("code", both & 0xff)));
      return all;
    });
    // A fragment has no type in front only where its protocol is the family's own.
    return and(is("proto", proto), is("fragment", 0), or(...kinds));
  }
  return ranges.some(([lo]) => lo === 0) ? is("proto", proto) : NEVER;
}

/** Addresses that a set with a mask takes for an element: what is left of them under the mask. */
function ofMasked(field: Field, spans: readonly Span[], mask: Address): Predicate {
  const length = maskBits(mask);
  const family: Family = typeof mask === "number" ? 4 : 6;
  if (length !== undefined) {
    const hole = typeof mask === "number" ? ~mask >>> 0 : ((1n << 128n) - 1n) ^ mask;
    const widen = ({ lo, hi }: Span): Range =>
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
        : opaque(`set-bitmask:${String(lo)}-${String(hi)}`, "a range under a bitmask is not worked out"),
    ),
  );
}

const addresses = (set: Ipset, field: Field, spans: readonly Span[]): Predicate =>
  set.mask === null
    ? within(field, normalizeRanges(spans.map(({ lo, hi }): Range => [lo, hi])))
    : ofMasked(field, spans, set.mask);

/** The packet's fields that the dimensions are looked up by. */
const fieldOf = (dimension: Dimension, side: Side): Field => {
  if (dimension === "ip" || dimension === "net") return side;
  if (dimension === "iface") return side === "src" ? "in" : "out";
  return dimension === "port" ? portField(side) : dimension === "mark" ? "mark" : "mac";
};

function membership(set: Ipset, sides: readonly Side[], family: Family): Predicate {
  const { elements, dimensions } = set;
  switch (set.type) {
    case "bitmap:ip":
      return addresses(set, sides[0]!, flat(elements, 0));
    case "hash:ip": {
      // The address 0, or what a mask makes 0, is in no hash:ip.
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
      const third = (group: readonly Element[]): Predicate =>
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

const flat = (elements: readonly Element[], i: number): readonly Span[] =>
  elements.flatMap((e) => e.spans[i]!);

/** Elements that share a key, asked together. */
function grouped(
  elements: readonly Element[],
  key: (e: Element) => string,
  ask: (group: readonly Element[]) => Predicate,
): Predicate {
  const groups = new Map<string, Element[]>();
  for (const e of elements) {
    const k = key(e);
    const group = groups.get(k);
    if (group === undefined) groups.set(k, [e]);
    else group.push(e);
  }
  return or(...[...groups.values()].map(ask));
}

/** Elements by what their port dimension holds; ports that hold the same are asked together. */
function byPorts(
  elements: readonly Element[],
  side: Side,
  ask: (group: readonly Element[]) => Predicate,
): Predicate {
  const groups = new Map<string, Element[]>();
  const put = (key: string, e: Element): void => {
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [e]);
    else group.push(e);
  };
  // Only a nomatch makes it matter which elements meet at a port: then each port of a range stands for itself.
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

function ofMacs(elements: readonly Element[], side: Side): Predicate {
  if (elements.some((e) => e.mac === null)) return ANY;
  const wanted = elements.map((e) => e.mac!).filter((mac) => mac !== 0);
  if (side === "src") return within("mac", normalizeRanges(wanted.map((mac): Range => [mac, mac])));
  return opaque(`set-mac(${wanted.join(",")})`, "the destination's MAC address is not part of the packet");
}

/** Pieces of the address space and the one payload that the most specific prefix there gives them. */
function mostSpecific<T>(nets: readonly { readonly span: Span; readonly payload: T }[]): Map<T, Range[]> {
  const sorted = [...nets].sort((a, b) =>
    a.span.lo < b.span.lo ? -1 : a.span.lo > b.span.lo ? 1 : a.span.length - b.span.length,
  );
  const out = new Map<T, Range[]>();
  const give = (payload: T, lo: Address, hi: Address): void => {
    if (lo > hi) return;
    const ranges = out.get(payload);
    if (ranges === undefined) out.set(payload, [[lo, hi]]);
    else ranges.push([lo, hi]);
  };
  const after = (a: Address): Address => (typeof a === "number" ? a + 1 : a + 1n);
  const before = (a: Address): Address => (typeof a === "number" ? a - 1 : a - 1n);
  // Prefixes nest or stand apart: the open ones are a stack, and each gives what those above it leave over.
  const open: { span: Span; payload: T; from: Address }[] = [];
  const close = (): void => {
    const { span, payload, from } = open.pop()!;
    give(payload, from, span.hi);
    const under = open.at(-1);
    if (under !== undefined) under.from = after(span.hi);
  };
  for (const { span, payload } of sorted) {
    while (open.length > 0 && open.at(-1)!.span.hi < span.lo) close();
    const under = open.at(-1);
    if (under !== undefined) give(under.payload, under.from, before(span.lo));
    open.push({ span, payload, from: span.lo });
  }
  while (open.length > 0) close();
  return out;
}

/** Prefixes of which the most specific decides, by its nomatch. */
function ofNets(elements: readonly Element[], field: Field, i = 0): Predicate {
  const nets = elements.flatMap((e) => e.spans[i]!.map((span) => ({ span, payload: !e.nomatch })));
  return within(field, normalizeRanges(mostSpecific(nets).get(true) ?? []));
}

/**
 * Pairs of prefixes: the most specific first one decides, and among equals the most specific second one. Elements of
 * one verdict that follow each other in that order are asked together.
 */
function ofPairs(set: Ipset, elements: readonly Element[], first: Field, second: Field): Predicate {
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
 * Prefixes with interfaces: the most specific prefix that is there with any interface decides, even when its
 * interfaces are others (the `multi` flag of hash:net,iface).
 */
function ofIfaces(elements: readonly Element[], sides: readonly Side[]): Predicate {
  const field = fieldOf("iface", sides[1]!);
  const nets = new Map<string, { readonly span: Span; readonly payload: Element[] }>();
  for (const e of elements)
    for (const span of e.spans[0]!) {
      const key = `${span.lo}/${span.length}`;
      const net = nets.get(key);
      if (net === undefined) nets.set(key, { span, payload: [e] });
      else net.payload.push(e);
    }
  const asked: Predicate[] = [];
  for (const [group, ranges] of mostSpecific([...nets.values()])) {
    let inner: Predicate = NEVER;
    for (const e of [...group].reverse()) {
      const { name, wildcard, physical } = e.iface!;
      const here = physical
        ? opaque(`set-physdev:${name}:${sides[1]}`, "bridge ports of a set are not looked up")
        : within(field, [wildcard ? [name, `${name}${LAST_NAME}`] : [name, name]]);
      inner = e.nomatch ? and(not(here), inner) : or(here, inner);
    }
    asked.push(and(within(sides[0]!, normalizeRanges(ranges)), inner));
  }
  // A packet without that interface is in no such set.
  return and(not(is(field, "")), or(...asked));
}
