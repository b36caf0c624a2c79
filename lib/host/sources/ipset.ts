/** Parser of `ipset save` (ipset(8)). */
import { wholeNumber } from "../../iptables/number-codecs.ts";
import { maskBits, parseAddress, parsePrefix, prefixRange, splitRange } from "../../packet/address.ts";
import { type Address, type Family, PROTO, type Side } from "../../packet/field.ts";
import { parseMac } from "../../packet/packet-json.ts";
import { NEVER, or, type Predicate } from "../../packet/predicate.ts";
import { protocolNumber } from "../../packet/system-names.ts";
import type { AddressSpan, Dimension, ElementPorts, Ipset, SetElement } from "./ipset-elements.ts";
import { membership } from "./ipset-membership.ts";

/** Dimensions of the types of ipset(8). */
const TYPES: ReadonlyMap<string, readonly Dimension[]> = new Map(
  [
    "bitmap:ip",
    "bitmap:ip,mac",
    "bitmap:port",
    "hash:ip",
    "hash:ip,mac",
    "hash:ip,mark",
    "hash:ip,port",
    "hash:ip,port,ip",
    "hash:ip,port,net",
    "hash:mac",
    "hash:net",
    "hash:net,iface",
    "hash:net,net",
    "hash:net,port",
    "hash:net,port,net",
    "list:set",
  ].map((type) => [type, type.slice(type.indexOf(":") + 1).split(",") as Dimension[]]),
);

/** A line that cannot be read. */
export interface IpsetDiagnostic {
  readonly severity: "error" | "warning";
  readonly message: string;
  readonly line: number;
  readonly column: number;
  readonly found: string;
}

/** All sets of a host. Elements with a timeout count as present. */
export class Ipsets {
  private readonly predicates = new Map<string, Predicate | undefined>();

  constructor(readonly sets: ReadonlyMap<string, Ipset>) {}

  /**
   * Returns the packets that `--match-set NAME SIDES` matches.
   * @returns `undefined` if the set or a member is unknown; fewer sides than the set has dimensions, and
   *   a set of the other family, match nothing (ip_set_test)
   */
  member(name: string, sides: readonly Side[], family: Family): Predicate | undefined {
    const key = `${family} ${sides.join(",")} ${name}`;
    if (!this.predicates.has(key)) this.predicates.set(key, this.compile(name, sides, family));
    return this.predicates.get(key);
  }

  /** Returns the members of a list:set. */
  parts(name: string): readonly string[] {
    const set = this.sets.get(name);
    return set?.type === "list:set" ? set.elements.map((e) => e.member) : [];
  }

  private compile(name: string, sides: readonly Side[], family: Family): Predicate | undefined {
    const set = this.sets.get(name);
    if (set === undefined) return undefined;
    if (sides.length < set.dimensions.length) return NEVER;
    if (set.family !== null && set.family !== family) return NEVER;
    if (set.type === "list:set") {
      // The kernel refuses a list in a list (IPSET_ERR_LOOP), so such a text has no meaning.
      const members = set.elements.map(({ member }) =>
        this.sets.get(member)?.type === "list:set" ? undefined : this.member(member, sides, family),
      );
      return members.includes(undefined) ? undefined : or(...(members as Predicate[]));
    }
    return membership(set, sides, family);
  }
}

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

/** Number of words after each option of `create` and `add`. */
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
 * @returns the sets, and a diagnostic for each line that cannot be read
 */
export function readIpsets(text: string): {
  readonly sets: Ipsets;
  readonly diagnostics: readonly IpsetDiagnostic[];
} {
  const sets = new Map<string, Ipset & { readonly elements: SetElement[] }>();
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

/** Returns options by name, or the word that is no option. */
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
  sets: ReadonlyMap<string, Ipset & { readonly elements: SetElement[] }>,
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

function readElement(set: Ipset, word: Word, nomatch: boolean, wildcard: boolean): SetElement | Trouble {
  // The name of an interface may contain commas; it is the last dimension.
  const parts = word.text.split(",");
  if (set.type === "hash:net,iface" && parts.length > 2)
    parts.splice(1, parts.length, parts.slice(1).join(","));
  const optional = set.type === "bitmap:ip,mac" ? 1 : 0;
  if (parts.length > set.dimensions.length || parts.length < set.dimensions.length - optional)
    return new Trouble(
      `expected ${set.dimensions.map((d) => EXPECTED[d]).join(", ")}, separated by commas`,
      word,
    );
  const spans: (readonly AddressSpan[])[] = [];
  const element = { spans, ports: null, mac: null, mark: 0, iface: null, member: "", nomatch };
  for (const [i, dimension] of set.dimensions.entries()) {
    const text = parts[i];
    if (text === undefined) break;
    const value = readValue(set, dimension, text, wildcard);
    if (value === undefined) return new Trouble(`expected ${EXPECTED[dimension]}`, word);
    if (Array.isArray(value)) spans.push(value);
    else Object.assign(element, value);
  }
  return element;
}

/** Reads the value of one dimension; addresses as spans. */
function readValue(
  set: Ipset,
  dimension: Dimension,
  text: string,
  wildcard: boolean,
): readonly AddressSpan[] | Partial<SetElement> | undefined {
  switch (dimension) {
    case "ip":
    case "net":
      return readSpans(text, set.family ?? 4, dimension === "net");
    case "port": {
      const ports = readPorts(text, set.type === "bitmap:port");
      return ports && { ports };
    }
    case "mac": {
      const mac = parseMac(text);
      return mac === undefined ? undefined : { mac };
    }
    case "mark": {
      const mark = wholeNumber(text, 0xffff_ffff);
      return mark === undefined ? undefined : { mark };
    }
    case "iface": {
      const physical = text.startsWith("physdev:");
      return { iface: { name: physical ? text.slice(8) : text, wildcard, physical } };
    }
    case "set":
      return { member: text };
  }
}

/** Reads an address, `address/length` or `first-last`; a range in a net is split into prefixes. */
function readSpans(text: string, family: Family, net: boolean): readonly AddressSpan[] | undefined {
  const width = family === 4 ? 32 : 128;
  const dash = text.indexOf("-");
  if (dash >= 0) {
    const lo = parseAddress(text.slice(0, dash), family);
    const hi = parseAddress(text.slice(dash + 1), family);
    if (lo === undefined || hi === undefined || lo > hi) return undefined;
    return net ? netSpans(lo, hi, family) : [{ lo, hi, length: width }];
  }
  const prefix = parsePrefix(text, family);
  const length = prefix === undefined ? undefined : maskBits(prefix.mask);
  if (prefix === undefined || length === undefined) return undefined;
  const [lo, hi] = prefixRange(prefix) as [Address, Address];
  return [{ lo, hi, length }];
}

/** Splits a range into prefixes. */
const netSpans = (lo: Address, hi: Address, family: Family): AddressSpan[] =>
  splitRange([lo, hi], family).map((prefix): AddressSpan => {
    const [first, last] = prefixRange(prefix) as [Address, Address];
    return { lo: first, hi: last, length: maskBits(prefix.mask)! };
  });

/** ipset's names of ICMP types and codes, of both families. */
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

/** Reads `80`, `80-90`, `udp:53`, `icmp:8/0` or `esp:0`; the default protocol is TCP. */
function readPorts(text: string, bare: boolean): ElementPorts | undefined {
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
