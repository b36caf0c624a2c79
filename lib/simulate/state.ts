/** One packet on its way: its header as it is now, its connection, the rules it matched, and what had to be assumed. */
import type { Header } from "../packet/classifier.ts";
import { CT, type CtState, type Field, type Scalar } from "../packet/field.ts";
import type { Packet } from "../packet/packet.ts";
import type { Reading } from "../packet/predicate.ts";
import type { TableName } from "../rules/ruleset.ts";
import type { Connection } from "./conntrack.ts";

/** One step as the kernel's TRACE target reports it: a rule that matched, falling off a user chain, a policy. */
export type Step =
  | {
      readonly table: TableName;
      readonly chain: string;
      readonly step: "rule";
      /** Number in its chain, from 1. */
      readonly rule: number;
      readonly target: string;
      readonly line: number;
    }
  | { readonly table: TableName; readonly chain: string; readonly step: "return" }
  | {
      readonly table: TableName;
      readonly chain: string;
      readonly step: "policy";
      readonly policy: "ACCEPT" | "DROP";
    };

/** An unknown that was taken one way, and the rule that asked, where a rule did. */
export interface Supposition {
  /** Its name, as `assume` and `--assume` take it. */
  readonly key: string;
  /** Which way it was taken. */
  readonly truth: boolean;
  /** What is missing to know it. */
  readonly why: string;
  /** The rule that asked, by its number from 1; `null` where the routing decision did. */
  readonly at: { readonly table: TableName; readonly chain: string; readonly rule: number } | null;
}

/** A list that grows at its end and is shared by the states that came from one. */
interface Trail<T> {
  readonly last: T;
  readonly before: Trail<T> | null;
}

/** Unknowns about IPv6 extension headers: one packet is described without them, so it has none. */
const EXTENSION_HEADER = /^(rt|hbh|dst|frag|mh|srh)\(/;

/** The truth of an unknown, as far as truths that were given tell it, or that a packet has no extension header. */
export function settled(truths: ReadonlyMap<string, boolean>, key: string): boolean | undefined {
  // `--assume recent=match` speaks of every match of that extension, `recent@filter/INPUT/3=match` of one.
  const told = truths.get(key) ?? truths.get(key.replace(/[@:].*$/s, ""));
  return told ?? (EXTENSION_HEADER.test(key) ? false : undefined);
}

export class PacketState implements Reading {
  constructor(
    /** The fields as they are now; another header has other values. */
    readonly header: Header,
    readonly connection: Connection | null,
    /** Direction of the packet within its connection. */
    readonly reply: boolean,
    private readonly trail: Trail<Step> | null,
    private readonly assumed: Trail<string | Supposition> | null,
    private readonly truths: ReadonlyMap<string, boolean>,
    /** The packet as it was given. */
    readonly packet: Packet,
    /** Whether the packet got as far as the end of its last hook, so that a new connection is entered. */
    readonly confirmed: boolean,
  ) {}

  /** conntrack's word where somebody gave it. */
  get given(): CtState | undefined {
    return this.packet.state;
  }

  /** The state of a packet before anything happened to it. */
  static of(packet: Packet, truths: ReadonlyMap<string, boolean>): PacketState {
    const { family: _, in: input, state: __, id: ___, about: ____, ...rest } = packet;
    const header: Partial<Record<Field, Scalar>> = {
      out: "",
      physin: "",
      physout: "",
      mark: 0,
      fragment: 0,
      socket: input === null ? 1 : 0,
      tos: 0,
      ttl: 64,
      pkttype: 0,
      ...rest,
      in: input ?? "",
      ctstate: CT.INVALID,
      ctstatus: 0,
    };
    if (packet.proto === 6) header.flags ??= 2;
    return new PacketState(header, null, false, null, null, truths, packet, false);
  }

  field(field: Field): Scalar | undefined {
    return this.header[field];
  }

  settled(key: string): boolean | undefined {
    return settled(this.truths, key);
  }

  with(changes: Partial<Record<Field, Scalar>>): PacketState {
    return this.copy({ header: { ...this.header, ...changes } });
  }

  step(step: Step): PacketState {
    return this.copy({ trail: { last: step, before: this.trail } });
  }

  assume(sentence: string): PacketState {
    return this.copy({ assumed: { last: sentence, before: this.assumed } });
  }

  /** Takes an unknown one way, and remembers that it might go the other. */
  suppose(supposition: Supposition): PacketState {
    const settled = this.settle(supposition.key, supposition.truth);
    return settled.copy({ assumed: { last: supposition, before: this.assumed } });
  }

  settle(key: string, truth: boolean): PacketState {
    return this.copy({ truths: new Map(this.truths).set(key, truth) });
  }

  /** The state at the end of its last hook, with its connection and what it says of itself, in one step. */
  confirm(connection = this.connection, changes: Partial<Record<Field, Scalar>> = {}): PacketState {
    return this.copy({ connection, header: { ...this.header, ...changes }, confirmed: true });
  }

  /** The state as a packet of a connection, with what that changes in its fields. */
  carried(
    connection: Connection | null,
    reply: boolean,
    changes: Partial<Record<Field, Scalar>> = {},
  ): PacketState {
    return this.copy({ connection, reply, header: { ...this.header, ...changes } });
  }

  get path(): Step[] {
    return toArray(this.trail);
  }

  get assumptions(): string[] {
    return [...new Set(toArray(this.assumed).map((a) => (typeof a === "string" ? a : supposed(a))))];
  }

  get suppositions(): Supposition[] {
    return toArray(this.assumed).filter((a) => typeof a !== "string");
  }

  private copy(
    changed: Partial<{
      header: Header;
      connection: Connection | null;
      reply: boolean;
      trail: Trail<Step>;
      assumed: Trail<string | Supposition>;
      truths: ReadonlyMap<string, boolean>;
      confirmed: boolean;
    }>,
  ): PacketState {
    return new PacketState(
      changed.header ?? this.header,
      changed.connection === undefined ? this.connection : changed.connection,
      changed.reply ?? this.reply,
      changed.trail ?? this.trail,
      changed.assumed ?? this.assumed,
      changed.truths ?? this.truths,
      this.packet,
      changed.confirmed ?? this.confirmed,
    );
  }
}

const supposed = ({ key, truth, why, at }: Supposition): string =>
  at === null
    ? `${key} taken ${truth ? "to hold" : "not to hold"} (${why})`
    : `${at.table} ${at.chain} rule ${at.rule}: ${key} taken ${truth ? "to match" : "not to match"} (${why})`;

function toArray<T>(trail: Trail<T> | null): T[] {
  const out: T[] = [];
  for (let at = trail; at !== null; at = at.before) out.push(at.last);
  return out.reverse();
}
