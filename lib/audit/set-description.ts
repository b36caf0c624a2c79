/** Sets of packets told in words: who sends them, by which interface, and what they are. */
import { printAddressRange } from "../packet/address.ts";
import { type Address, type Field, PROTO, protoName } from "../packet/field.ts";
import { is, not } from "../packet/predicate.ts";
import type { Domain } from "../reach/domain.ts";
import { EMPTY, FULL, type Node } from "../reach/node-store.ts";

/** Interfaces by which the same sources come. */
export interface Who {
  /** Names of interfaces, as iptables sees them. */
  readonly in: readonly string[];
  /** Ports of bridges among them by which the packets come; absent where they come by no such port. */
  readonly ports?: readonly string[];
  /** The sources in words: `everyone`, networks, or `everyone but` networks. */
  readonly from: string;
  /** The host's addresses that it is true of; absent where it is of all. */
  readonly to?: string;
}

/** More than this many ranges or ports are counted, not listed. */
const MOST = 6;

export class Words {
  private readonly projections = new Map<string, ReadonlySet<number>>();
  private readonly known = new Map<Node, readonly Who[]>();

  /**
   * @param possible packets that can come in at all: `everyone` is who of them is left
   * @param shown the interface that iptables sees, of one that packets come in by: a port's bridge
   */
  constructor(
    private readonly domain: Domain,
    private readonly possible: Node,
    private readonly shown: (name: string) => string,
  ) {}

  /** Who sends a set's packets, whatever the interface. */
  from(set: Node): string {
    const [all, some] = [this.onto(this.possible, "src"), this.onto(set, "src")];
    return this.addresses(some, all);
  }

  /**
   * Who sends a set's packets, interfaces with the same sources together; the widest first.
   * @param aimed whether to tell which of the host's addresses they are for, where it is not any
   */
  who(set: Node, names: readonly string[], aimed = false): readonly Who[] {
    const { diagrams } = this.domain;
    // Ports of one host are mostly open to the same people: the projection is one node, worked out once.
    const by = aimed ? this.onto(set, "in", "src", "dst") : this.onto(set, "in", "src");
    let known = this.known.get(by);
    if (known !== undefined) return known;
    const groups = new Map<string, { in: string[]; ports?: string[]; from: string; to?: string }>();
    for (const name of names) {
      const here = this.domain.set(is("in", name));
      const [some, all] = [diagrams.intersect(here, by), diagrams.intersect(here, this.possible)];
      if (some === EMPTY) continue;
      const from = this.addresses(this.onto(some, "src"), this.onto(all, "src"));
      const own = this.onto(all, "dst");
      const spot = diagrams.intersect(own, this.onto(some, "dst"));
      const to =
        aimed && diagrams.subtract(own, spot) !== EMPTY
          ? list(this.domain.valueRanges(spot, "dst").map(printAddressRange))
          : undefined;
      const key = `${from} ${to}`;
      let group = groups.get(key);
      if (group === undefined)
        groups.set(key, (group = { in: [], from, ...(to === undefined ? {} : { to }) }));
      const seen = this.shown(name);
      if (!group.in.includes(seen)) group.in.push(seen);
      if (seen !== name) (group.ports ??= []).push(name);
    }
    const wide = ({ from, to }: Who): number =>
      (from === "everyone" ? 0 : from.startsWith("everyone") ? 1 : 2) + (to === undefined ? 0 : 3);
    known = [...groups.values()].sort((a, b) => wide(a) - wide(b));
    this.known.set(by, known);
    return known;
  }

  /** The same in one line; the interfaces are left out where they are the ones that are spoken of. */
  whom(set: Node, names: readonly string[], spoken: readonly string[]): string {
    const groups = this.who(set, names);
    const [first] = groups;
    if (first === undefined) return this.from(set);
    if (groups.length === 1 && first.in.join() === spoken.join()) return first.from;
    return groups.map(({ from, in: inputs }) => `${from} via ${inputs.join(", ")}`).join("; ");
  }

  /** What a set's packets are: `tcp 25, udp 53`, `anything`, `everything but tcp 443`. */
  traffic(set: Node, all: Node = this.possible): string {
    // The other family's ICMP is nothing that anybody speaks.
    const spoken = this.domain.set(not(is("proto", this.domain.family === 4 ? PROTO.icmpv6 : PROTO.icmp)));
    const onto = (packets: Node): Node =>
      this.domain.diagrams.intersect(spoken, this.onto(packets, "proto", "dport"));
    const [some, whole] = [onto(set), onto(all)];
    const rest = this.domain.diagrams.subtract(whole, some);
    if (rest === EMPTY)
      return all === this.possible || whole === spoken ? "anything" : list(this.ports(some));
    const [yes, no] = [this.ports(some), this.ports(rest)];
    return no.length < yes.length || yes.some((text) => text.startsWith("protocols"))
      ? `everything but ${list(no)}`
      : list(yes);
  }

  /** Where a set's packets are sent, of the places where any of `all` are. */
  to(set: Node, all: Node): string {
    const told = this.addresses(this.onto(set, "dst"), this.onto(all, "dst"), "dst");
    return told.replace(/^everyone/, "anywhere");
  }

  private addresses(some: Node, all: Node, field: "src" | "dst" = "src"): string {
    const { diagrams } = this.domain;
    if (some === EMPTY) return "nobody";
    const rest = diagrams.subtract(all, some);
    if (rest === EMPTY) return "everyone";
    // Addresses that nobody can send from (the host's own, loopback) need not be cut out of a network.
    const whole = (part: Node): string[] => {
      const filled = this.domain.valueRanges(diagrams.union(part, diagrams.complement(all)), field);
      return this.domain.valueRanges(part, field).map(([lo, hi]) => {
        const wide = filled.find(([a, b]) => a <= lo && b >= hi);
        const text = wide === undefined ? "-" : printAddressRange(wide);
        return text.includes("-") ? printAddressRange([lo, hi]) : text;
      });
    };
    if (this.size(some, field) > this.size(rest, field)) return `everyone but ${list(unique(whole(rest)))}`;
    return list(unique(whole(some)));
  }

  private size(set: Node, field: Field): bigint {
    return this.domain
      .valueRanges(set, field)
      .reduce((sum, [a, b]) => sum + BigInt(b as Address) - BigInt(a as Address) + 1n, 0n);
  }

  private ports(set: Node): string[] {
    const { domain } = this;
    const { diagrams } = domain;
    const [proto, dport] = [domain.levelOf("proto"), domain.levelOf("dport")];
    const out: string[] = [];
    const numbers = (node: Node, name: string): void => {
      if (node === FULL) return void out.push(name);
      diagrams.edges(node, (kid, first, last) => {
        if (kid === EMPTY || dport === undefined) return;
        const [lo, hi] = [domain.interval(dport, first)[0], domain.interval(dport, last)[1]];
        out.push(`${name} ${lo === hi ? lo : `${lo}-${hi}`}`);
      });
    };
    if (set < 0 || diagrams.levelOf(set) !== proto) {
      if (set !== EMPTY) numbers(set, "port");
      return out;
    }
    diagrams.edges(set, (kid, first, last) => {
      if (kid === EMPTY) return;
      const [lo, hi] = [domain.interval(proto, first)[0], domain.interval(proto, last)[1]] as [
        number,
        number,
      ];
      numbers(kid, lo === hi ? protoName(lo) : `protocols ${lo}-${hi}`);
    });
    return out;
  }

  /** A set over some fields alone: which of their values some member has. */
  private onto(set: Node, ...fields: Field[]): Node {
    const key = fields.join();
    let others = this.projections.get(key);
    if (others === undefined) {
      const levels = new Set(fields.map((field) => this.domain.levelOf(field)));
      others = new Set(this.domain.variables.map((_, i) => i).filter((i) => !levels.has(i)));
      this.projections.set(key, others);
    }
    return this.domain.diagrams.project(set, others);
  }
}

const list = (texts: readonly string[]): string =>
  texts.length > MOST
    ? `${texts.slice(0, MOST).join(", ")} and ${texts.length - MOST} more`
    : texts.join(", ");

const unique = (texts: readonly string[]): string[] => [...new Set(texts)];
