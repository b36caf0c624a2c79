/** Prints sets of packets as matches: each path of a diagram is a box, one range of values for each field. */
import { quote } from "iptables-parser-ts";
import { isPrefixRange, prefixRange, printAddressRange } from "../packet/address.ts";
import {
  type Family,
  type Field,
  LAST_NAME,
  PROTO,
  protoName,
  type Range,
  successor,
} from "../packet/field.ts";
import { is } from "../packet/predicate.ts";
import type { Domain } from "../reach/domain.ts";
import { EMPTY, FULL, type Node } from "../reach/node-store.ts";
import { prefixesOf } from "./prefixes.ts";

/** Interface names without special meaning to a shell, to iptables-restore and to terminals. */
export const SAFE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,14}$/;

/** A set that needs more boxes is not printed. */
const MOST_BOXES = 128;

/** A range of destinations that needs more prefixes is not printed. */
const MOST_PREFIXES = 16;

/** Values of one field of a box: a range, or all interface names but one. */
type FieldValues = Range | { readonly not: string };

/** Condition on each field; fields without one are free. */
type Box = ReadonlyMap<Field, FieldValues>;

/** Prints sets over one domain. */
export class BoxPrinter {
  private levelsToForget: readonly ReadonlySet<number>[] | undefined;

  /** @param bridgeOfPort outside ports of bridges: rules of FORWARD see the bridge, and br_netfilter records the port */
  constructor(
    private readonly domain: Domain,
    private readonly family: Family,
    private readonly bridgeOfPort: ReadonlyMap<string, string>,
  ) {}

  /**
   * Returns matches that select a set among other packets, with the fewest fields that distinguish them; `null` if there
   * are none.
   * @param protocol protocol of all packets of the set, if each text must match it
   */
  select(set: Node, packets: Node, beforeNat: boolean, protocol: number | undefined): string[] | null {
    const { diagrams } = this.domain;
    const rest = diagrams.subtract(packets, set);
    const matched = protocol === undefined ? FULL : this.domain.set(is("proto", protocol));
    for (const levels of this.projections) {
      const [inside, outside] = [diagrams.project(set, levels), diagrams.project(rest, levels)];
      if (diagrams.intersect(inside, outside) !== EMPTY) continue;
      // Packets in neither projection do not occur, so both the set and the complement of the rest are right.
      const a = this.print(diagrams.intersect(inside, matched), beforeNat, packets);
      const b = this.print(diagrams.intersect(diagrams.complement(outside), matched), beforeNat, packets);
      if (a !== null || b !== null) return a === null ? b : b === null || a.length <= b.length ? a : b;
    }
    return null;
  }

  /** Levels to project out, for each list of fields to keep. */
  private get projections(): readonly ReadonlySet<number>[] {
    this.levelsToForget ??= FIELDS_TO_SELECT_BY.map((fields) => {
      const kept = new Set(fields.map((field) => this.domain.levelOf(field)));
      return new Set(this.domain.variables.map((_, i) => i).filter((i) => !kept.has(i)));
    });
    return this.levelsToForget;
  }

  /**
   * Returns a set as a list of matches, one for each box; `null` if there are too many or iptables has no such match.
   * @param among packets that reach the rules
   */
  print(set: Node, beforeNat: boolean, among: Node): string[] | null {
    const { diagrams } = this.domain;
    const out: string[] = [];
    const visit = (node: Node, box: Box): boolean => {
      if (node === EMPTY) return true;
      if (node === FULL) {
        const texts = boxMatches(box, this.family, beforeNat, this.bridgeOfPort);
        out.push(...(texts ?? []));
        return texts !== null && out.length <= MOST_BOXES;
      }
      const level = diagrams.levelOf(node);
      const variable = this.domain.variables[level]!;
      if (variable.kind !== "field") return false;
      const { field } = variable;
      const exceptions =
        field === "in" || field === "out"
          ? this.exceptions(node, field, among)
          : (new Map() as ReadonlyMap<Node, string>);
      for (const [child, not] of exceptions)
        if (!visit(child, new Map([...box, [field, { not }]]))) return false;
      let fine = true;
      diagrams.edges(node, (child, first, last) => {
        if (!fine || child === EMPTY || exceptions.has(child)) return;
        const range: Range = [this.domain.interval(level, first)[0], this.domain.interval(level, last)[1]];
        fine = visit(child, new Map([...box, [field, range]]));
      });
      return fine;
    };
    return visit(set, new Map()) ? out : null;
  }

  /** Returns the children that all occurring names except one lead to, with the excepted name. */
  private exceptions(node: Node, field: "in" | "out", among: Node): Map<Node, string> {
    const { domain } = this;
    const { diagrams } = domain;
    const level = domain.levelOf(field)!;
    const childrenOf = (of: Node): Node[] => {
      const children = new Array<Node>(diagrams.domains[level]!).fill(of);
      if (of !== FULL && of !== EMPTY && diagrams.levelOf(of) === level)
        diagrams.edges(of, (child, first, last) => void children.fill(child, first, last + 1));
      return children;
    };
    const occurs = childrenOf(domain.projectOnto(among, field)).map((child) => child !== EMPTY);
    const children = childrenOf(node);
    const out = new Map<Node, string>();
    for (const child of new Set(children)) {
      const others = children.flatMap((other, i) => (other !== child && occurs[i] ? [i] : []));
      if (child === EMPTY || others.length !== 1) continue;
      const [name, next] = domain.interval(level, others[0]!);
      if (next === successor(name)) out.set(child, String(name));
    }
    return out;
  }
}

/** Returns a match of one protocol; `""` for any. */
export const protocolMatch = (protocol: number | undefined): string =>
  protocol === undefined ? "" : ` -p ${protoName(protocol)}`;

/** Fields that may distinguish a set from other packets, fewest first. */
const FIELDS_TO_SELECT_BY: readonly (readonly Field[])[] = [
  ["in"],
  ["src"],
  ["in", "src"],
  ["dst"],
  ["proto", "dport", "type"],
  ["dst", "proto", "dport", "type"],
  ["src", "dst"],
  ["in", "src", "dst"],
  ["dst", "proto", "sport"],
  ["in", "src", "dst", "proto", "sport", "dport", "type"],
];

/** Fields that a box can be printed with. */
const PRINTABLE: ReadonlySet<Field> = new Set(["in", "out", "src", "dst", "proto", "sport", "dport", "type"]);

/** Returns a box as matches, one text for each protocol and prefix that needs its own; `null` if it has none. */
function boxMatches(
  box: Box,
  family: Family,
  beforeNat: boolean,
  bridgeOfPort: ReadonlyMap<string, string>,
): string[] | null {
  if (![...box.keys()].every((field) => PRINTABLE.has(field))) return null;
  const ranges = new Map<Field, Range>();
  for (const [field, values] of box) if (!("not" in values)) ranges.set(field, values);
  const dst = beforeNat ? ranges.get("dst") : undefined;
  if (dst !== undefined && !isPrefixRange(dst)) {
    // --ctorigdst takes a prefix and no range.
    const prefixes = prefixesOf(dst, family);
    if (prefixes.length > MOST_PREFIXES) return null;
    const lists = prefixes.map((prefix) =>
      boxMatches(new Map([...box, ["dst", prefixRange(prefix)]]), family, beforeNat, bridgeOfPort),
    );
    return lists.includes(null) ? null : lists.flatMap((texts) => texts!);
  }
  const interfaces = interfaceMatches(box, bridgeOfPort);
  const protocols = protocolMatches(ranges, family, beforeNat);
  if (interfaces === null || protocols === null) return null;
  const prefix = `${interfaces}${addressMatches(ranges, beforeNat)}${originalPortMatch(ranges, beforeNat)}`;
  return protocols.map((text) => `${prefix}${text}`);
}

function interfaceMatches(box: Box, bridgeOfPort: ReadonlyMap<string, string>): string | null {
  let text = "";
  for (const [field, option] of [
    ["in", "-i"],
    ["out", "-o"],
  ] as const) {
    const values = box.get(field);
    if (values === undefined) continue;
    const not = "not" in values;
    if (!not && values[0] === "" && values[1] === LAST_NAME) continue;
    const name = String(not ? values.not : values[0]);
    if (!SAFE_NAME.test(name) || !(not || values[1] === successor(name))) return null;
    const bridge = field === "in" ? bridgeOfPort.get(name) : undefined;
    if (bridge === undefined) text += `${not ? " !" : ""} ${option} ${quote(name)}`;
    else if (!SAFE_NAME.test(bridge)) return null;
    else if (not) text += ` -m physdev ! --physdev-in ${quote(name)}`;
    else text += ` -i ${quote(bridge)} -m physdev --physdev-in ${quote(name)}`;
  }
  return text;
}

function addressMatches(ranges: ReadonlyMap<Field, Range>, beforeNat: boolean): string {
  let text = "";
  for (const [field, short, long] of [
    ["src", "-s", "--src-range"],
    ["dst", "-d", "--dst-range"],
  ] as const) {
    const range = ranges.get(field);
    if (range === undefined) continue;
    const printed = printAddressRange(range);
    if (field === "dst" && beforeNat) text += ` -m conntrack --ctorigdst ${printed} --ctdir ORIGINAL`;
    else text += isPrefixRange(range) ? ` ${short} ${printed}` : ` -m iprange ${long} ${printed}`;
  }
  return text;
}

const portText = ([first, last]: Range): string => (first === last ? String(first) : `${first}:${last}`);

function originalPortMatch(ranges: ReadonlyMap<Field, Range>, beforeNat: boolean): string {
  const port = ranges.get("dport");
  return beforeNat && port !== undefined
    ? ` -m conntrack --ctorigdstport ${portText(port)} --ctdir ORIGINAL`
    : "";
}

/** A range of more protocol numbers is not printed: each needs a rule of its own. */
const MOST_PROTOCOLS = 9;

/** A range of more ICMP types is not printed: each needs a rule of its own. */
const MOST_ICMP_TYPES = 17;

/** Returns the matches of protocol, ports and ICMP type. Each text needs a rule of its own. */
function protocolMatches(
  ranges: ReadonlyMap<Field, Range>,
  family: Family,
  beforeNat: boolean,
): string[] | null {
  const ports = (beforeNat ? (["sport"] as const) : (["sport", "dport"] as const)).flatMap((field) => {
    const range = ranges.get(field);
    return range === undefined ? [] : [` --${field} ${portText(range)}`];
  });
  const type = ranges.get("type");
  const protocols = ranges.get("proto") as readonly [number, number] | undefined;
  if (protocols === undefined) return ports.length === 0 && type === undefined ? [""] : null;
  const [proto, last] = protocols;
  if (proto !== last) {
    if (ports.length > 0 || type !== undefined || last - proto >= MOST_PROTOCOLS) return null;
    return numbers(proto, last).map((number) => ` -p ${number}`);
  }
  const name = protoName(proto);
  if (ports.length > 0)
    return proto === PROTO.tcp || proto === PROTO.udp ? [` -p ${name} -m ${name}${ports.join("")}`] : null;
  if (type === undefined) return [` -p ${name}`];
  if (proto !== (family === 4 ? PROTO.icmp : PROTO.icmpv6)) return null;
  const option = family === 4 ? "-m icmp --icmp-type" : "-m icmp6 --icmpv6-type";
  const [firstType, lastType] = type as readonly [number, number];
  if (lastType - firstType >= MOST_ICMP_TYPES) return null;
  return numbers(firstType, lastType).map((number) => ` -p ${name} ${option} ${number}`);
}

const numbers = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i);
