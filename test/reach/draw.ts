/** Random packets at the bounds of the intervals that a ruleset distinguishes. */
import type { Host, Packet } from "fwcheck";
import { type Family, type Field, fieldRange, hasPorts, type Scalar } from "../../lib/packet/field.ts";
import { applyMask } from "../../lib/packet/predicate.ts";
import type { Domain } from "../../lib/reach/domain.ts";
import type { SharedUnknowns } from "../../lib/reach/shared-unknowns.ts";

export interface Drawn {
  readonly packet: Packet;
  readonly assume: ReadonlyMap<string, boolean>;
  readonly ordinal: (level: number) => number;
}

export interface DrawOptions {
  /** Packets of all protocols get ports: nftables reads those bytes of any packet (`th dport`). */
  readonly anyPorts?: boolean;
  /** Values that half of the packets have. */
  readonly usual?: Readonly<Partial<Record<Field, readonly Scalar[]>>>;
}

/** Part of the packets that the host sends. */
const SENT = 0.3;

/**
 * Draws a packet from the bounds of the elementary intervals of a domain: one that arrives, or one that the host sends.
 */
export function draw(
  domain: Domain,
  host: Host,
  family: Family,
  same: SharedUnknowns,
  next: () => number,
  { anyPorts = false, usual = {} }: DrawOptions = {},
): Drawn {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!;
  const values = new Map<Field, Scalar>();
  const assume = new Map<string, boolean>();
  const value = (field: Field, fallback: readonly Scalar[]): Scalar => {
    const own = usual[field];
    if (own !== undefined && next() < 0.5) return pick(own);
    const level = domain.levelOf(field);
    if (level === undefined || (fallback.length > 0 && next() < 0.3))
      return pick(fallback.length > 0 ? fallback : fieldRange(field, family));
    const ordinal = Math.floor(next() * domain.diagrams.domains[level]!);
    return pick(domain.interval(level, ordinal));
  };
  const input = next() < SENT ? null : pick(host.interfaces.map((i) => i.name));
  values.set("in", input ?? "");
  for (const field of ["src", "dst"] as const) values.set(field, value(field, []));
  values.set("proto", value("proto", [6, 6, 17, family === 4 ? 1 : 58]));
  values.set("sport", value("sport", [40000]));
  values.set("dport", value("dport", [80]));
  values.set("flags", value("flags", [2, 2, 16, 18, 4]));
  values.set("type", value("type", [8, 0, 128]));
  values.set("code", value("code", [0]));
  for (const field of ["tos", "ttl", "length", "mac", "uid", "gid"] as const)
    if (domain.levelOf(field) !== undefined) values.set(field, value(field, []));
  const proto = values.get("proto") as number;
  const numbers: Partial<Record<Field, number>> = {};
  for (const [field, v] of values) {
    if (["in", "src", "dst"].includes(field)) continue;
    if ((field === "sport" || field === "dport") && !anyPorts && !hasPorts(proto)) continue;
    numbers[field] = v as number;
  }
  for (const variable of domain.variables)
    if (variable.kind === "unknown") {
      const { bits, key } = variable;
      // A test of bits has the value that the field gives it.
      const known = bits === null ? undefined : values.get(bits.field);
      assume.set(
        key,
        known === undefined || bits === null ? next() < 0.5 : applyMask(known, bits.mask) === bits.value,
      );
    }
  // Shared unknowns are one variable in the sets, and one per rule in the simulator.
  const heads = new Map([...assume].map(([key, truth]) => [same.get(key) ?? key, truth]));
  for (const [key, name] of same) if (name !== null) assume.set(key, heads.get(name)!);
  return {
    packet: {
      family,
      in: input,
      src: values.get("src") as never,
      dst: values.get("dst") as never,
      proto,
      ...numbers,
    } as unknown as Packet,
    assume,
    ordinal: (level) => {
      const variable = domain.variables[level]!;
      if (variable.kind === "unknown") return assume.get(variable.key) ? 1 : 0;
      const v = values.get(variable.field);
      return v === undefined ? 0 : domain.ordinal(level, v);
    },
  };
}
