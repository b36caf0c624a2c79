/** Builds rulesets, hosts and packets for tests from short texts. */
import {
  type Family,
  type Host,
  type HostSources,
  type Packet,
  type Ruleset,
  readHost,
  readPacket,
  readRuleset,
  type Source,
} from "fwcheck";

/** Returns the rulesets of one text, as `readRuleset` reads it. Diagnostics are ignored. */
export function rulesetsOf(
  text: string,
  { name = "rules", family }: { readonly name?: string; readonly family?: Family } = {},
): readonly Ruleset[] {
  return readRuleset([{ name, text, ...(family === undefined ? {} : { family }) }]).rulesets;
}

/** Returns the first ruleset of a text. */
export const rulesetOf = (...input: Parameters<typeof rulesetsOf>): Ruleset => rulesetsOf(...input)[0]!;

/** Outputs of programs on the host: a text, or a value that is printed as JSON. */
export type Outputs = Readonly<
  Partial<Record<Exclude<keyof HostSources, "doubts" | "complete">, string | object>>
>;

/** Returns a host with these outputs, one source each. */
export function hostOf(
  rulesets: readonly Ruleset[],
  outputs: Outputs = {},
  more: Pick<HostSources, "doubts" | "complete"> = {},
): Host {
  const source = (name: string, value: string | object): Source[] => [
    { name, text: typeof value === "string" ? value : JSON.stringify(value) },
  ];
  const sources = Object.entries(outputs).map(([name, value]) => [name, source(name, value)]);
  return readHost({ ...Object.fromEntries(sources), ...more }, rulesets);
}

/** Returns a packet; throws if `readPacket` refuses it. */
export function packetOf(json: object): Packet {
  const packet = readPacket(json);
  if (typeof packet === "string") throw new Error(packet);
  return packet;
}

/** Returns the first packet of a TCP connection from port 40000, with these fields. */
export const synOf = (json: object): Packet => packetOf({ proto: "tcp", sport: 40000, flags: "S", ...json });

/** Returns a line of `ss -H -l -n -t -u -p`. */
export const socketLine = (proto: string, local: string, users = "", peer = "0.0.0.0:*"): string =>
  `${proto.padEnd(3)} ${proto === "tcp" ? "LISTEN" : "UNCONN"} 0      128    ${local} ${peer} ${users}`;
