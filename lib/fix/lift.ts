/**
 * Lifts the intent: what the owner's rules say of each way to an endpoint becomes rules that hold after DNAT, in a
 * chain of fwcheck's own that DOCKER-USER calls.
 */
import type { FamilyAudit, Way } from "../audit/audit.ts";
import { containerAt, type Host, outsideInterfaces } from "../host/host.ts";
import { printAddress, printAddressRange } from "../packet/address.ts";
import {
  type Address,
  type Family,
  type Field,
  LAST_NAME,
  PROTO,
  protoName,
  type Range,
  type Scalar,
} from "../packet/field.ts";
import { is } from "../packet/predicate.ts";
import { EMPTY, FULL, type Node } from "../reach/diagram.ts";
import type { Domain } from "../reach/domain.ts";

/** The chain that holds the rules; DOCKER-USER jumps to it, and a stranger's rules there stay untouched. */
export const CHAIN = "FWCHECK";

/**
 * What a rule knows a packet by: the internal address and port, or the original ones that conntrack
 * remembers.
 */
export type Strategy = "internal-ip" | "conntrack";

/** How one endpoint is closed, and why so. */
export interface Choice {
  /** 4 or 6. */
  readonly family: Family;
  /** What is closed: an address and port, or a published port. */
  readonly endpoint: string;
  /** How. */
  readonly strategy: Strategy;
  /** Why so, in one sentence. */
  readonly because: string;
}

export interface Lifted {
  /** The rules of the chain, each without `-A CHAIN`. */
  readonly rules: readonly string[];
  readonly choices: readonly Choice[];
  /** What cannot be written as rules, a sentence each. */
  readonly failed: readonly string[];
}

/** Interface names that mean nothing to a shell, to iptables-restore, or to a reader. */
const PLAIN = /^[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,14}$/;

/** More rules than this for one endpoint are a sign that something is not understood. */
const MOST_BOXES = 128;

/** Writes the chain for one family; no rules where nothing has to be closed. */
export function lift(audit: FamilyAudit, host: Host, wanted: Strategy | "auto"): Lifted {
  const writer = new Writer(audit, host, wanted);
  if (writer.failed.length > 0) return { rules: [], choices: [], failed: writer.failed };
  const endpoints = new Map<string, Way[]>();
  const outgoing: string[] = [];
  const incoming: string[] = [];
  for (const way of audit.ways) {
    if (way.kind === "ineffective-allow") continue;
    if (way.kind === "egress-bypass") outgoing.push(...writer.egress(way));
    else if (way.endpoint === null) incoming.push(...writer.bridge(way));
    else {
      const key = `${way.endpoint.ip} ${way.proto} ${way.endpoint.port}`;
      endpoints.set(key, [...(endpoints.get(key) ?? []), way]);
    }
  }
  for (const ways of endpoints.values()) incoming.push(...writer.endpoint(ways));
  const { choices, failed } = writer;
  if (outgoing.length + incoming.length === 0) return { rules: [], choices, failed };
  // Containers among themselves are Docker's business: what comes from a bridge is none of the rules for outsiders.
  const inside = incoming.length === 0 ? [] : host.bridges.map((bridge) => `-i ${bridge} -j RETURN`);
  const rules = ["-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN", ...outgoing, ...inside, ...incoming];
  return { rules, choices, failed };
}

class Writer {
  readonly choices: Choice[] = [];
  readonly failed: string[] = [];
  private readonly domain: Domain;
  private readonly outside: readonly string[];

  constructor(
    private readonly audit: FamilyAudit,
    private readonly host: Host,
    private readonly wanted: Strategy | "auto",
  ) {
    this.domain = audit.domain;
    this.outside = outsideInterfaces(host);
    for (const name of [...this.outside, ...host.bridges])
      if (!PLAIN.test(name))
        this.failed.push(
          `the interface name ${JSON.stringify(name)} is not one that can be written into a rule safely`,
        );
  }

  /** The rules of one endpoint, all the ways to it together. */
  endpoint(ways: readonly Way[]): string[] {
    if (ways.every((way) => way.blocked === EMPTY)) return [];
    const [{ endpoint, proto }] = ways as [Way];
    const { ip, port } = endpoint!;
    const name = containerAt(this.host, ip)?.name;
    const label = `${name === undefined ? "" : `${name} `}${printAddress(ip)}${port === null ? "" : `:${port}`}/${protoName(proto ?? 0)}`;
    const lists = ways.map((way) => this.decisions(way));
    const same = lists.every((list) => list.join("\n") === lists[0]!.join("\n"));
    const guard = `-d ${this.single(ip)}`;
    const strategy: Strategy = this.wanted === "auto" ? (same ? "internal-ip" : "conntrack") : this.wanted;
    const say = (because: string): void =>
      void this.choices.push({ family: this.audit.family, endpoint: label, strategy, because });
    const p = proto === null ? "" : ` -p ${protoName(proto)}`;
    const dport = proto === null || port === null ? "" : ` -m ${protoName(proto)} --dport ${port}`;
    if (strategy === "internal-ip") {
      if (same) {
        say(
          ways.length === 1
            ? "one way leads to it, and a rule by address is the cheapest"
            : `all ${ways.length} ways to it have the same intent, so one list by address serves them all`,
        );
        return lists[0]!.map((rule) => `${guard}${p}${rule.replace(ACTION, `${dport} -j`)}`);
      }
      this.failed.push(
        `${label}: the ways to it have different intents, which rules by internal address cannot tell apart; use conntrack`,
      );
      return [];
    }
    say(
      same
        ? "asked for; each way is told by its original destination"
        : `${ways.length} ways with different intents lead to it, which only conntrack can tell apart`,
    );
    return ways.flatMap((way, i) => {
      if (way.blocked === EMPTY) return [];
      const ask =
        way.listen === null || way.listen.port === null || this.isDirect(way)
          ? "-m conntrack ! --ctstate DNAT"
          : `-m conntrack --ctstate DNAT${way.listen.address === null ? "" : ` --ctorigdst ${way.listen.address}`} --ctorigdstport ${way.listen.port} --ctdir ORIGINAL`;
      return lists[i]!.map((rule) => `${guard}${p}${rule.replace(ACTION, `${dport} ${ask} -j`)}`);
    });
  }

  /** A way that needs no translation: its packets already carry the container's address. */
  private isDirect(way: Way): boolean {
    return this.domain.diagrams.minus(way.all, this.domain.set(is("dst", way.endpoint!.ip))) === EMPTY;
  }

  /**
   * The decision list of a way, over who sends and by which interface: ` -s NET -j RETURN`, ..., ` -j DROP`. Packets
   * that cannot come this way at all may be decided either way, which keeps the ranges whole.
   */
  private decisions(way: Way): string[] {
    const { diagrams } = this.domain;
    const verdict = way.finding?.intended.verdict === "reject" ? "REJECT" : "DROP";
    // The last stands for every interface that nobody listed: its rules name none.
    const lists = [...this.outside, null].map((name): readonly string[] => {
      const here = name === null ? this.elsewhere() : this.domain.set(is("in", name));
      const blocked = diagrams.mask(way.blocked, here);
      const allowed = diagrams.mask(diagrams.minus(way.all, way.blocked), here);
      if (blocked === EMPTY) return allowed === EMPTY ? [] : [" -j RETURN"];
      if (allowed === EMPTY) return [` -j ${verdict}`];
      const [no, yes] = [this.domain.only(blocked, "src"), this.domain.only(allowed, "src")];
      if (diagrams.mask(no, yes) !== EMPTY)
        this.failed.push(
          `${way.finding?.id ?? way.kind}: the intent depends on more than who sends (and by which interface)`,
        );
      const ranges = this.domain.spans(diagrams.not(no), "src").filter((range) => this.meets(yes, range));
      return [...ranges.map((range) => ` ${this.source(range)} -j RETURN`), ` -j ${verdict}`];
    });
    const distinct = new Set(lists.filter((l) => l.length > 0).map((l) => l.join("\n")));
    if (distinct.size <= 1) return [...(lists.find((l) => l.length > 0) ?? [])];
    return lists.flatMap((list, i) =>
      this.outside[i] === undefined ? list : list.map((rule) => ` -i ${this.outside[i]}${rule}`),
    );
  }

  /** Packets that come in by none of the interfaces that are known. */
  private elsewhere(): Node {
    const { diagrams } = this.domain;
    return this.outside.reduce((set, name) => diagrams.minus(set, this.domain.set(is("in", name))), FULL);
  }

  private meets(set: Node, [lo, hi]: Range): boolean {
    return this.domain.spans(set, "src").some(([a, b]) => a <= hi && b >= lo);
  }

  private source(range: Range): string {
    const text = printAddressRange(range);
    return text.includes("-") ? `-m iprange --src-range ${text}` : `-s ${text}`;
  }

  private single(ip: Address): string {
    return `${printAddress(ip)}/${this.audit.family === 4 ? 32 : 128}`;
  }

  /** Packets that Docker lets into a bridge for no endpoint that its rules name, or out of it to somewhere else. */
  bridge(way: Way): string[] {
    if (way.blocked === EMPTY || way.bridge === null) return [];
    const allowed = this.domain.diagrams.minus(way.all, way.blocked);
    if (allowed === EMPTY && this.host.bridges.includes(way.bridge)) return [`-o ${way.bridge} -j DROP`];
    const boxes = this.boxes(way.blocked, ["in", "src", "dst", "proto", "dport"]);
    if (boxes === null) {
      this.failed.push(`${way.finding?.id ?? way.kind}: too many different packets to write rules for`);
      return [];
    }
    return boxes.map((box) => `${box} -o ${way.bridge} -j DROP`);
  }

  /** What containers may not send: the blocked packets where they are few, else the allowed ones and an end to the rest. */
  egress(way: Way): string[] {
    if (way.blocked === EMPTY) return [];
    const { diagrams } = this.domain;
    const fields: Field[] = ["src", "dst", "proto", "sport", "dport", "type"];
    const from = `-i ${way.bridge}`;
    const verdict = way.finding?.intended.verdict === "reject" ? "REJECT" : "DROP";
    const out = this.outside.map((name) => ` -o ${name}`);
    const allowed = diagrams.minus(way.all, way.blocked);
    const end = out.map((o) => `${from}${o} -j ${verdict}`);
    if (allowed === EMPTY) return end;
    const no = this.boxes(way.blocked, fields);
    const yes = this.boxes(allowed, fields);
    if (no !== null && (yes === null || no.length <= yes.length))
      return no.flatMap((box) => out.map((o) => `${from}${o}${box} -j ${verdict}`));
    if (yes !== null) return [...yes.flatMap((box) => out.map((o) => `${from}${o}${box} -j RETURN`)), ...end];
    this.failed.push(`${way.finding?.id ?? way.kind}: too many different packets to write rules for`);
    return [];
  }

  /** A set as a list of matches, each one path of the diagram; `null` when they are too many or cannot be spelled. */
  private boxes(set: Node, fields: readonly Field[]): string[] | null {
    const { diagrams } = this.domain;
    const levels = new Set(fields.map((f) => this.domain.levelOf(f)));
    const only = diagrams.exists(
      set,
      new Set(this.domain.variables.map((_, i) => i).filter((i) => !levels.has(i))),
    );
    const out: string[] = [];
    const walk = (node: Node, asked: ReadonlyMap<Field, Range>): boolean => {
      if (node === EMPTY) return true;
      if (node === FULL) {
        const texts = spell(asked, this.audit.family);
        out.push(...(texts ?? []));
        return texts !== null && out.length <= MOST_BOXES;
      }
      const level = diagrams.levelOf(node);
      const variable = this.domain.variables[level]!;
      if (variable.kind !== "field") return false;
      let fine = true;
      diagrams.edges(node, (kid, first, last) => {
        const range: Range = [this.domain.interval(level, first)[0], this.domain.interval(level, last)[1]];
        if (fine && kid !== EMPTY) fine = walk(kid, new Map([...asked, [variable.field, range]]));
      });
      return fine;
    };
    return walk(only, new Map()) ? out : null;
  }
}

/** The end of a rule, where a match on ports or conntrack goes in. */
const ACTION = / -j(?= \w+$)/;

const widest = (value: Scalar): boolean => value === LAST_NAME;

/** One box as matches, with one text for each protocol where ports need one named; `null` when it cannot be spelled. */
function spell(asked: ReadonlyMap<Field, Range>, family: Family): string[] | null {
  let text = "";
  const input = asked.get("in");
  if (input !== undefined) {
    if (input[0] !== input[1] && !widest(input[1])) text += "";
    else text += ` -i ${input[0]}`;
  }
  for (const [field, short, long] of [
    ["src", "-s", "--src-range"],
    ["dst", "-d", "--dst-range"],
  ] as const) {
    const range = asked.get(field);
    if (range === undefined) continue;
    const printed = printAddressRange(range);
    text += printed.includes("-") ? ` -m iprange ${long} ${printed}` : ` ${short} ${printed}`;
  }
  const ports = (["sport", "dport"] as const).flatMap((field) => {
    const range = asked.get(field);
    return range === undefined
      ? []
      : [` --${field} ${range[0] === range[1] ? range[0] : `${range[0]}:${range[1]}`}`];
  });
  const type = asked.get("type");
  const proto = asked.get("proto");
  if (proto === undefined) return ports.length === 0 && type === undefined ? [text] : null;
  const [lo, hi] = proto as readonly [number, number];
  if (lo !== hi) {
    // Some protocols without a name between two that have one: spelled only where few and nothing more is asked.
    if (ports.length > 0 || type !== undefined || hi - lo > 8) return null;
    return Array.from({ length: hi - lo + 1 }, (_, i) => `${text} -p ${lo + i}`);
  }
  if (ports.length > 0)
    return lo === PROTO.tcp || lo === PROTO.udp
      ? [`${text} -p ${protoName(lo)} -m ${protoName(lo)}${ports.join("")}`]
      : null;
  if (type !== undefined) {
    if (lo !== (family === 4 ? PROTO.icmp : PROTO.icmpv6)) return null;
    const option = family === 4 ? "-m icmp --icmp-type" : "-m icmp6 --icmpv6-type";
    const [first, last] = type as readonly [number, number];
    if (last - first > 16) return null;
    return Array.from(
      { length: last - first + 1 },
      (_, i) => `${text} -p ${protoName(lo)} ${option} ${first + i}`,
    );
  }
  return [`${text} -p ${protoName(lo)}`];
}
