/** Prints conditions of other rule languages as matches of iptables. */
import { addressBits, printAddress, printPrefix } from "../packet/address.ts";
import { type Family, PROTO, protoName } from "../packet/field.ts";
import type { KnownConditions, Negatable, PortRange } from "../rules/reading.ts";

/** A match of iptables. */
export interface ConditionText {
  readonly text: string;
  /** Match of the same packets by their header before DNAT; `null` if there is none. */
  readonly original: string | null;
  /** It reads the destination, which DNAT changes. */
  readonly byDestination: boolean;
}

/** Returns the match for the conditions of one expression; `null` if iptables has no single match for them. */
export function conditionText(conditions: KnownConditions, family: Family): ConditionText | null {
  const { src, dst, in: input, out, proto, states, sourcePorts, destinationPorts, ...others } = conditions;
  if (Object.values(others).some((value) => value !== undefined)) return null;
  const given = [src, dst, input, out, states, sourcePorts, destinationPorts].filter(
    (each) => each !== undefined,
  );
  if (given.length === 0 && proto !== undefined)
    return unchanged(`${not(proto)}-p ${protoName(proto.value)}`);
  if (given.length !== 1) return null;
  if (sourcePorts !== undefined || destinationPorts !== undefined)
    return portText(proto, sourcePorts, destinationPorts);
  if (proto !== undefined) return null;
  if (src !== undefined) return unchanged(`${not(src)}-s ${prefixText(src.value, family)}`);
  if (input !== undefined) return unchanged(`${not(input)}-i ${input.value}`);
  if (dst !== undefined) {
    const original = `-m conntrack ${not(dst)}--ctorigdst ${prefixText(dst.value, family)} --ctdir ORIGINAL`;
    return { text: `${not(dst)}-d ${prefixText(dst.value, family)}`, original, byDestination: true };
  }
  if (out !== undefined) return { text: `${not(out)}-o ${out.value}`, original: null, byDestination: true };
  // A published packet has the state DNAT in the forward hook, and not in the input hook.
  return states!.value.some((name) => name === "SNAT" || name === "DNAT")
    ? null
    : unchanged(`-m conntrack ${not(states!)}--ctstate ${states!.value.join(",")}`);
}

const unchanged = (text: string): ConditionText => ({ text, original: null, byDestination: false });

const not = (given: Negatable<unknown>): string => (given.not ? "! " : "");

const prefixText = (value: Parameters<typeof printPrefix>[0], family: Family): string =>
  printPrefix(value) === printAddress(value.address)
    ? `${printAddress(value.address)}/${addressBits(family)}`
    : printPrefix(value);

/** Ports of one protocol, which -m tcp and -m udp need; several ranges need -m multiport, which takes 15 numbers. */
function portText(
  proto: KnownConditions["proto"],
  source: Negatable<readonly PortRange[]> | undefined,
  destination: Negatable<readonly PortRange[]> | undefined,
): ConditionText | null {
  if (proto === undefined || proto.not) return null;
  if (proto.value !== PROTO.tcp && proto.value !== PROTO.udp) return null;
  const name = protoName(proto.value);
  const ports = (source ?? destination)!;
  const ranges = ports.value.map(([first, last]) => (first === last ? `${first}` : `${first}:${last}`));
  const [only, ...more] = ranges;
  if (only === undefined || ports.value.flat().length > 15) return null;
  const side = source === undefined ? "d" : "s";
  const text =
    more.length === 0
      ? `-p ${name} -m ${name} ${not(ports)}--${side}port ${only}`
      : `-p ${name} -m multiport ${not(ports)}--${side}ports ${ranges.join(",")}`;
  const original =
    side === "d" && more.length === 0
      ? `-p ${name} -m conntrack ${not(ports)}--ctorigdstport ${only} --ctdir ORIGINAL`
      : null;
  return { text, original, byDestination: side === "d" };
}
