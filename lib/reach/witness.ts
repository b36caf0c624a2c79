/** Chooses one concrete packet of a packet set. */
import {
  type Address,
  type Field,
  hasPorts,
  isIpv6ExtensionHeader,
  LAST_NAME,
  PROTO,
  type Scalar,
} from "../packet/field.ts";
import { leastLength, type Packet } from "../packet/packet.ts";
import type { Domain } from "./domain.ts";
import { EMPTY, type Node } from "./node-store.ts";

/** A packet of a set, and the values of the unknowns with which it is a member. */
export interface Witness {
  readonly packet: Packet;
  readonly assume: ReadonlyMap<string, boolean>;
}

/** Familiar values for each field, in order of preference. */
export type Preferences = Partial<Record<Field, readonly Scalar[]>>;

/**
 * Returns a value of an interval that `readPacket` accepts: no length shorter than the headers, no IPv6 extension header
 * as protocol, and no interface name with control characters. `undefined` if the interval has no such value.
 */
function plausible(
  field: Field,
  [least, most]: readonly [Scalar, Scalar],
  packet: Pick<Packet, "family" | "proto">,
): Scalar | undefined {
  if (typeof least === "string") {
    const [base] = least.replaceAll(LAST_NAME, "").split("\0") as [string];
    return [base, `${base}0`, `${base}x`].find(
      (name) => name >= least && (name < most || most === LAST_NAME),
    );
  }
  if (field === "length") {
    const length = Math.max(least as number, Math.min(most as number, PLAUSIBLE_LENGTH));
    return length < leastLength(packet) ? undefined : length;
  }
  if (field !== "proto" || packet.family === 4) return least;
  let proto = least as number;
  while (proto <= (most as number) && isIpv6ExtensionHeader(proto)) proto++;
  return proto > (most as number) ? undefined : proto;
}

const PLAUSIBLE_LENGTH = 100;

/** Returns one packet of a set that is not empty. Prefers values that `readPacket` accepts. */
export function witness(domain: Domain, set: Node, preferences: Preferences): Witness {
  const { diagrams } = domain;
  const values = new Map<Field, Scalar>();
  const assume = new Map<string, boolean>();
  let at = set;
  const take = (field: Field, level: number | undefined): void => {
    const wanted = preferences[field] ?? [];
    if (level === undefined || at < 0 || diagrams.levelOf(at) !== level) {
      if (wanted[0] !== undefined) values.set(field, wanted[0]);
      return;
    }
    for (const value of wanted) {
      const kid = diagrams.child(at, domain.ordinal(level, value));
      if (kid === EMPTY) continue;
      values.set(field, value);
      at = kid;
      return;
    }
    const packet = { family: domain.family, proto: (values.get("proto") as number | undefined) ?? PROTO.tcp };
    let found: { readonly kid: Node; readonly value: Scalar; readonly accepted: boolean } | undefined;
    diagrams.edges(at, (kid, first, last) => {
      if (kid === EMPTY) return;
      for (let ordinal = first; ordinal <= last && found?.accepted !== true; ordinal++) {
        const interval = domain.interval(level, ordinal);
        const value = plausible(field, interval, packet);
        if (value !== undefined) found = { kid, value, accepted: true };
        else found ??= { kid, value: interval[0], accepted: false };
      }
    });
    if (found === undefined) return;
    at = found.kid;
    values.set(field, found.value);
  };
  const seen = new Set<Field>();
  domain.variables.forEach((variable, level) => {
    if (variable.kind === "field") {
      seen.add(variable.field);
      take(variable.field, level);
    } else if (at >= 0 && diagrams.levelOf(at) === level) {
      const no = diagrams.child(at, 0);
      for (const key of variable.keys) assume.set(key, no === EMPTY);
      at = no === EMPTY ? diagrams.child(at, 1) : no;
    }
  });
  for (const field of Object.keys(preferences) as Field[]) if (!seen.has(field)) take(field, undefined);
  return { packet: toPacket(values, domain), assume };
}

function toPacket(values: ReadonlyMap<Field, Scalar>, domain: Domain): Packet {
  const number = (field: Field): number | undefined => values.get(field) as number | undefined;
  const proto = number("proto") ?? 6;
  const zero: Address = domain.family === 4 ? 0 : 0n;
  const input = String(values.get("in") ?? "").replaceAll(LAST_NAME, "");
  const ports = hasPorts(proto);
  const icmp = proto === 1 || proto === 58;
  const optional = <K extends string>(key: K, value: number | undefined): Partial<Record<K, number>> =>
    value === undefined ? {} : ({ [key]: value } as Record<K, number>);
  return {
    family: domain.family,
    in: input === "" ? null : input,
    src: (values.get("src") as Address | undefined) ?? zero,
    dst: (values.get("dst") as Address | undefined) ?? zero,
    proto,
    ...(ports ? { ...optional("sport", number("sport")), ...optional("dport", number("dport")) } : {}),
    ...(proto === 6 ? optional("flags", number("flags")) : {}),
    ...(icmp ? { ...optional("type", number("type")), ...optional("code", number("code")) } : {}),
    ...optional("tos", values.has("tos") ? number("tos") : undefined),
    ...optional("ttl", values.has("ttl") ? number("ttl") : undefined),
    ...optional("length", number("length")),
    ...optional("mac", number("mac")),
  };
}
