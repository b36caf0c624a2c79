/** Random packets aimed at a ruleset: at the bounds of its rules' conditions, at the host's own routes, and at known flows. */
import type { Family, Host, Ruleset, Simulator } from "fwcheck";
import { isInRanges, parseAddress, prefixRange, printAddress } from "../../lib/packet/address.ts";
import {
  type Address,
  type Field,
  fieldRange,
  hasPorts,
  protoName,
  type Scalar,
} from "../../lib/packet/field.ts";
import { printMac, readPacket } from "../../lib/packet/packet-json.ts";
import { visitLeaves } from "../../lib/packet/predicate.ts";
import { Program } from "../../lib/path/program.ts";
import { tupleOf } from "../../lib/path/tuple.ts";
import type { Answer } from "../../lib/simulate/answer.ts";
import type { Assumption } from "../../lib/simulate/assumption.ts";
import { ADDRESSES, pick, type Random } from "./generate.ts";
import { isKernelChoice } from "./judge.ts";
import type { LabPacket } from "./lab.ts";

/** Returns true if an assumption is about the next hop that the kernel takes. */
const isNextHop = (a: Assumption): boolean => a.code === "supposed" && a.reason.code === "next-hop";

const FIELDS = [
  "src",
  "dst",
  "proto",
  "sport",
  "dport",
  "flags",
  "type",
  "code",
  "tos",
  "ttl",
  "mark",
  "mac",
  "uid",
  "gid",
] as const;
type Aimed = (typeof FIELDS)[number];

/** Values at and around the bounds of all conditions of the rules. */
function bounds(ruleset: Ruleset, host: Host): ReadonlyMap<Aimed, readonly Scalar[]> {
  const program = Program.of(ruleset, host);
  const found = new Map<Aimed, Set<Scalar>>(FIELDS.map((f) => [f, new Set()]));
  const also: Partial<Record<Field, Aimed>> = {
    ctorigsrc: "src",
    ctorigdst: "dst",
    ctreplsrc: "dst",
    ctrepldst: "src",
    ctorigsrcport: "sport",
    ctorigdstport: "dport",
    ctmark: "mark",
  };
  const add = (field: Field, value: Scalar): void => {
    const at = also[field] ?? (field as Aimed);
    const top = fieldRange(field, ruleset.family)[1];
    if (typeof value !== "string" && value >= 0 && value <= (top as number | bigint))
      found.get(at)?.add(value);
  };
  const around = (field: Field, lo: Scalar, hi: Scalar): void => {
    if (typeof lo === "string" || typeof hi === "string") return;
    const one = typeof lo === "bigint" ? 1n : 1;
    for (const v of [lo, hi, (lo as number) - (one as number), (hi as number) + (one as number)])
      add(field, v);
  };
  for (const table of ruleset.tables.values())
    for (const chain of table.chains.values())
      for (const { when } of program.chain(chain.table, chain.name)!.rules)
        visitLeaves(when, (leaf) => {
          if (leaf.kind === "in") for (const [lo, hi] of leaf.ranges.slice(0, 40)) around(leaf.field, lo, hi);
          else if (leaf.kind === "bits") add(leaf.field, leaf.value);
        });
  for (const cases of [program.routesIn, program.routesOut])
    for (const { when } of cases)
      visitLeaves(when, (leaf) => {
        if (leaf.kind === "in") for (const [lo, hi] of leaf.ranges) around(leaf.field, lo, hi);
        else if (leaf.kind === "bits") add(leaf.field, leaf.value);
      });
  return new Map([...found].map(([field, set]) => [field, [...set]]));
}

/** A connection under way, as one of its ends sees it. */
interface End {
  /** Packet that this end sends: its interface and header. */
  readonly from: LabPacket;
  /** The next sequence number, and the highest acknowledgement that this end gave. */
  seq: number;
  acked: number;
  sent: number;
}
interface Flow {
  readonly ends: [End, End | undefined];
  step: number;
}

/** The life of a TCP connection: who says what. */
const LIFE: readonly (readonly [end: 0 | 1, flags: string])[] = [
  [0, "S"],
  [1, "SA"],
  [0, "A"],
  [0, "PA"],
  [1, "A"],
  [1, "FA"],
  [0, "A"],
  [0, "FA"],
  [1, "A"],
  [0, "S"],
];
const STRAY = [
  "S",
  "SA",
  "A",
  "R",
  "RA",
  "FA",
  "F",
  "PA",
  "",
  "SF",
  "FPU",
  "UA",
  "SU",
  "SR",
  "SE",
  "FAU",
  "AEC",
  "SP",
];

/** Multicast, broadcast, and addresses of no host. */
const GROUP = /^(22[4-9]|23\d|0)\.|^255\.255\.255\.255$|\.255$|^ff|^::$/;

/** Protocols that few rules match. */
const OTHERS = {
  4: [33, 47, 50, 51, 59, 108, 132, 136, 253],
  6: [33, 47, 50, 59, 108, 132, 136, 253],
} as const;
/** Numbers of IPv6 extension headers promise a header that does not follow. */
const NEVER: Readonly<Record<Family, readonly number[]>> = {
  4: [],
  6: [0, 43, 44, 51, 60, 135, 139, 140],
};

const isGroupMac = (mac: number): boolean => Math.floor(mac / 2 ** 40) % 2 === 1;

export class Aim {
  private readonly values: ReadonlyMap<Aimed, readonly Scalar[]>;
  private readonly devices: readonly string[];
  private readonly flows: Flow[] = [];
  private fresh = 20_000;

  constructor(
    private readonly next: Random,
    private readonly family: Family,
    ruleset: Ruleset,
    private readonly host: Host,
    private readonly simulator: Simulator,
  ) {
    this.values = bounds(ruleset, host);
    // Packets enter a bridge by its ports; the hosts that it sends to are connected to the last port.
    const masters = host.interfaces.map((i) => i.master);
    this.devices = host.interfaces.flatMap(({ name, master }, at) =>
      name === "lo" || masters.includes(name) || (master !== null && masters.lastIndexOf(master) === at)
        ? []
        : [name],
    );
  }

  private number(field: Aimed, otherwise: readonly number[], aimed = 0.5): number {
    const values = this.values.get(field)! as readonly number[];
    return values.length > 0 && this.next() < aimed ? pick(this.next, values) : pick(this.next, otherwise);
  }

  /** The interface that has the addresses: a port's bridge. */
  private home(device: string): string {
    return homeOf(device, this.host);
  }

  private address(field: "src" | "dst", from: string | null): string {
    const n = this.next();
    // What the host sends, it sends from an address of its own.
    if (field === "src" && from === null) {
      const own = this.host.interfaces.flatMap((i) =>
        i.name === "lo" && this.family === 6 ? [] : i.addresses.filter((a) => a.family === this.family),
      );
      return printAddress(pick(this.next, own).address);
    }
    if (n < 0.45) {
      const values = this.values.get(field)! as readonly Address[];
      if (values.length > 0) return printAddress(pick(this.next, values));
    }
    // A neighbour on some interface, which is what most packets come from and go to.
    const device = this.home(
      field === "src" && n < 0.85 && from !== null ? from : pick(this.next, this.devices),
    );
    const own =
      this.host.interfaces
        .find((i) => i.name === device)
        ?.addresses.filter((a) => a.family === this.family) ?? [];
    if (own.length > 0 && n < 0.93) {
      const { address } = pick(this.next, own);
      if (field === "dst" && this.next() < 0.4) return printAddress(address);
      const step = 1 + Math.floor(this.next() * 7);
      return printAddress(typeof address === "number" ? address + step : address + BigInt(step));
    }
    return pick(this.next, ADDRESSES[this.family]);
  }

  /** The next packet. What the host sends to a group is a named limit, and not drawn. */
  draw(): LabPacket {
    for (;;) {
      const packet = this.any();
      // Nor is what it sends from ::1 to others.
      const strange =
        GROUP.test(packet.dst) || GROUP.test(packet.src) || (packet.src === "::1" && packet.dst !== "::1");
      if ((packet.in !== null || !strange) && !this.guesses(packet))
        return framed(packet, this.family, this.host);
    }
  }

  /** Returns true if a packet happens to have the port that represents one chosen at random by the kernel. */
  private guesses(packet: LabPacket): boolean {
    const read = readPacket(packet);
    const found = typeof read === "string" ? undefined : this.simulator.connections.find(tupleOf(read));
    return found?.reply === true && found.connection.kernelChoice !== undefined;
  }

  /** A new packet, the next of a flow, or one that is like it and yet another. */
  private any(): LabPacket {
    if (this.flows.length > 0 && this.next() < 0.05) {
      const end = pick(this.next, pick(this.next, this.flows).ends);
      if (end !== undefined) return this.alike(end.from);
    }
    if (this.flows.length > 0 && this.next() < 0.45) {
      const flow =
        this.flows[this.flows.length - 1 - Math.floor(this.next() ** 2 * Math.min(this.flows.length, 40))]!;
      const packet = this.continued(flow);
      if (packet !== undefined) return packet;
    }
    return this.opening();
  }

  private opening(): LabPacket {
    const { next, family } = this;
    const from = next() < 0.2 ? null : pick(next, this.devices);
    const icmp = family === 4 ? 1 : 58;
    const usual = next() < 0.04 ? OTHERS[family] : [6, 6, 6, 17, 17, icmp];
    const drawn = this.number("proto", usual, 0.1);
    const proto = NEVER[family].includes(drawn) ? 6 : drawn;
    const packet: { -readonly [K in keyof LabPacket]: LabPacket[K] } = {
      in: from,
      src: this.address("src", from),
      dst: this.address("dst", from),
      proto: protoName(proto),
    };
    if (hasPorts(proto)) {
      packet.sport = next() < 0.3 ? this.number("sport", [40_000]) : this.fresh++;
      packet.dport = this.number("dport", [22, 53, 80, 443, 8080, 9]);
    }
    if (proto === 6) {
      packet.flags = next() < 0.75 ? "S" : pick(next, STRAY);
      packet.seq = 1000 + Math.floor(next() * 1e9);
    }
    if (proto === icmp) {
      packet.type = this.number("type", family === 4 ? [8, 8, 0, 13, 9, 42] : [128, 128, 129, 200]);
      packet.code = this.number("code", [0], 0.2);
      packet.id = this.fresh++ & 0xffff;
      const error = family === 4 ? [3, 4, 5, 11, 12].includes(packet.type) : packet.type < 128;
      // An ICMP error quotes a packet: of a known flow, or of none.
      if (error) packet.about = this.subject();
    }
    if (family === 4 && next() < 0.03) packet.fragment = 1;
    if (next() < 0.2) packet.tos = this.number("tos", [0, 0x10, 0x28, 3]);
    if (next() < 0.2) packet.ttl = this.number("ttl", [1, 2, 64, 255]) || 1;
    if (from === null && next() < 0.2) packet.mark = this.number("mark", [0, 1, 2]);
    if (from === null && next() < 0.3) packet.uid = Math.min(this.number("uid", [0, 1000]), 65_535);
    if (from === null && next() < 0.3) packet.gid = Math.min(this.number("gid", [0, 1000]), 65_535);
    if (this.host.interfaces.find((i) => i.name === from)?.link === "ether") {
      const mac = this.number("mac", [0x0200_0000_0099, 0x0242_ac11_0002]);
      // A bridge drops frames from a group address or from none (br_handle_frame), a named limit.
      packet.mac = printMac(mac === 0 || isGroupMac(mac) ? 0x0200_0000_0099 : mac);
      // What is for all stations of a bridge is for the host and for the others.
      if (this.home(from!) === from && next() < 0.1) packet.pkttype = 1 + Math.floor(next() * 3);
    }
    this.fresh = this.fresh > 60_000 ? 20_000 : this.fresh;
    return sized(packet, family);
  }

  /** A packet of a flow that comes elsewhere, from or to another, or the other way round. */
  private alike(packet: LabPacket): LabPacket {
    const { next } = this;
    const { src, dst, sport, dport } = packet;
    const n = next();
    const changes: Partial<LabPacket> =
      n < 0.3 && packet.in !== null
        ? { in: pick(next, this.devices) }
        : n < 0.5 && packet.in !== null
          ? { src: this.address("src", packet.in!) }
          : n < 0.6
            ? { dst: this.address("dst", packet.in ?? null) }
            : n < 0.7 && packet.in !== null
              ? { src: dst, dst: src, ...(sport === undefined ? {} : { sport: dport!, dport: sport }) }
              : n < 0.85
                ? { tos: pick(next, [0, 0x10, 0x28, 3]), ttl: pick(next, [2, 64]) }
                : dport === undefined
                  ? { id: this.fresh++ & 0xffff }
                  : { dport: this.number("dport", [22, 53, 80, 443, 8080, 9]) };
    const flags = packet.flags === undefined || next() < 0.5 ? {} : { flags: "S" };
    const { mac: _, pkttype: __, ...plain } = packet;
    const made: LabPacket = { ...plain, ...changes, ...flags };
    const ether = this.host.interfaces.find((i) => i.name === made.in)?.link === "ether";
    return sized(ether ? { ...made, mac: "02:00:00:00:00:99" } : made, this.family);
  }

  private subject(): NonNullable<LabPacket["about"]> {
    const { next } = this;
    if (this.flows.length > 0 && next() < 0.8) {
      const end = pick(next, pick(next, this.flows).ends);
      if (end !== undefined) {
        const { src, dst, proto, sport, dport } = end.from;
        return { src, dst, proto: proto!, ...(sport === undefined ? {} : { sport, dport: dport! }) };
      }
    }
    return {
      src: this.address("src", null),
      dst: this.address("dst", null),
      proto: "udp",
      sport: 53,
      dport: this.fresh++,
    };
  }

  /** Records the verdict of a packet, so that an answer can be drawn. */
  saw(packet: LabPacket, answer: Answer): void {
    if (answer.verdict !== "accept" || packet.fragment === 1 || packet.about !== undefined) return;
    if (GROUP.test(packet.src) || GROUP.test(packet.dst)) return;
    // Nothing but SCTP's first chunk is sent.
    if (packet.proto === "sctp") return;
    const read = readPacket(packet);
    if (typeof read === "string") return;
    const found = this.simulator.connections.find(tupleOf(read));
    if (found === undefined || found.reply) return;
    const back = found.connection.reply;
    if (answer.assumptionCodes.some((a) => isKernelChoice(a) || isNextHop(a))) return;
    const { in: _, src: __, dst: ___, sport: ____, dport: _____, ...rest } = packet;
    const known = this.flows.find(
      (f) =>
        f.ends[0].from.src === packet.src &&
        f.ends[0].from.sport === packet.sport &&
        f.ends[0].from.dst === packet.dst &&
        f.ends[0].from.dport === packet.dport &&
        f.ends[0].from.id === packet.id,
    );
    if (known !== undefined) return;
    const base = 1000 + Math.floor(this.next() * 1e9);
    const reply: { -readonly [K in keyof LabPacket]: LabPacket[K] } = {
      ...rest,
      in: answer.delivery === "local" || answer.out === "lo" ? null : this.behind(answer.out!),
      src: printAddress(back.src),
      dst: printAddress(back.dst),
      ...(hasPorts(back.proto) ? { sport: back.sport, dport: back.dport } : {}),
      ...(packet.type === undefined ? {} : { type: back.dport >> 8, code: back.dport & 0xff }),
    };
    for (const own of ["mark", "uid", "gid", "mac", "pkttype"] as const) delete reply[own];
    if (this.host.interfaces.find((i) => i.name === reply.in)?.link === "ether")
      reply.mac = "02:00:00:00:00:99";
    this.flows.push({
      ends: [
        {
          from: packet,
          seq: packet.seq === undefined ? base : packet.seq + (/[SF]/.test(packet.flags ?? "") ? 1 : 0),
          acked: 0,
          sent: 0,
        },
        { from: reply, seq: base + 7, acked: 0, sent: 0 },
      ],
      step: 1,
    });
    if (this.flows.length > 400) this.flows.splice(0, 200);
  }

  /** Returns the interface on which the answer to a packet arrives: the one it left by, or a port of that bridge. */
  private behind(out: string): string {
    const ports = this.devices.filter((name) => this.home(name) === out && name !== out);
    return ports.length === 0 ? out : pick(this.next, ports);
  }

  private continued(flow: Flow): LabPacket | undefined {
    const { next } = this;
    if (flow.ends[0].from.flags === undefined) {
      const end = pick(next, flow.ends);
      return end === undefined ? undefined : sized({ ...end.from }, this.family);
    }
    const usual = next() < 0.8;
    const [who, flags] = usual
      ? LIFE[flow.step % LIFE.length]!
      : [pick(next, [0, 1] as const), pick(next, STRAY)];
    if (usual) flow.step++;
    const end = flow.ends[who];
    const other = flow.ends[1 - who]!;
    if (end === undefined || other === undefined) return undefined;
    const acks = flags.includes("A");
    // A reset is in order only if its sequence number is the one that the other end has acknowledged.
    const packet = {
      ...end.from,
      flags,
      seq: flags.includes("R") && other.acked > 0 ? other.acked : end.seq,
      ack: acks ? other.seq : 0,
    };
    if (acks) end.acked = other.seq;
    // What may have been ignored must not run ahead of what conntrack has seen.
    if (usual && /[SF]/.test(flags)) end.seq++;
    return sized(packet, this.family);
  }
}

const homeOf = (device: string, host: Host): string =>
  host.interfaces.find((i) => i.name === device)?.master ?? device;

/** The packet in its frame: from one port of a bridge to another where it is for a neighbour of the bridge. */
export function framed(packet: LabPacket, family: Family, host: Host): LabPacket {
  if (packet.in === null || packet.in === undefined) return packet;
  const { across: _, ...plain } = packet;
  const bridge = homeOf(packet.in, host);
  const own = host.interfaces.find((i) => i.name === bridge)?.addresses ?? [];
  const dst = parseAddress(packet.dst, family)!;
  const near = own.some((a) => {
    // IPv4's last address is everybody's, IPv6's first the routers'.
    const apart = prefixRange(a.prefix)[family === 4 ? 1 : 0];
    return a.family === family && isInRanges(dst, [prefixRange(a.prefix)]) && dst !== apart;
  });
  const across = bridge !== packet.in && near && own.every((a) => a.address !== dst);
  return across ? { ...plain, across } : plain;
}

/** The packet with the length it will have. */
export function sized(packet: LabPacket, family: Family): LabPacket {
  const head = family === 4 ? 20 : 40;
  const body = (proto: string | number | undefined): number =>
    proto === "udp" ? 9 : proto === "sctp" ? 32 : proto === (family === 4 ? "icmp" : "icmpv6") ? 8 : 20;
  if (packet.fragment === 1) return { ...packet, length: head + 16 };
  const inner = packet.about === undefined ? 0 : head + body(packet.about.proto);
  return { ...packet, length: head + body(packet.proto) + inner };
}
