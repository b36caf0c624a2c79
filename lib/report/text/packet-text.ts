/** Packets as text. */
import type { PacketJson } from "../../packet/packet-json.ts";
import { safe } from "./terminal.ts";

/** Returns a port, or the first and last port of a range. */
export const portsText = (port: number, portEnd: number | undefined): string =>
  portEnd === undefined ? `${port}` : `${port}-${portEnd}`;

/** Returns an address with its port or ports, if it has any; an IPv6 address then is in brackets. */
export const at = (address: string, port: number | string | null | undefined): string =>
  port === null || port === undefined
    ? address
    : address.includes(":")
      ? `[${address}]:${port}`
      : `${address}:${port}`;

/** Returns a packet as one line: `tcp 203.0.113.2:40000 -> 203.0.113.1:8080 [S] in eth0`. */
export function packetText(p: PacketJson): string {
  const flags = p.flags === undefined ? "" : ` [${p.flags}]`;
  const icmp = p.type === undefined ? "" : ` type ${p.type}${p.code === undefined ? "" : ` code ${p.code}`}`;
  const origin = p.in === null || p.in === undefined ? "from the host itself" : `in ${safe(p.in)}`;
  return `${p.proto ?? "tcp"} ${at(p.src, p.sport)} -> ${at(p.dst, p.dport)}${flags}${icmp} ${origin}`;
}

/** Quotes an argument for a shell, without control characters. */
export const shellQuoted = (text: string): string => `'${safe(text).replaceAll("'", "'\\''")}'`;

/** The same, without quotes where a shell needs none. */
export const shellWord = (text: string): string => (/^[\w@/.:=,-]+$/.test(text) ? text : shellQuoted(text));

/** Returns a packet as flags of `fwcheck simulate`. */
export function packetFlags(p: PacketJson): string {
  const out = p.in === null || p.in === undefined ? ["--local"] : ["--in", shellWord(p.in)];
  out.push("--src", p.src, "--dst", p.dst, "--proto", String(p.proto ?? "tcp"));
  if (p.sport !== undefined) out.push("--sport", String(p.sport));
  if (p.dport !== undefined) out.push("--dport", String(p.dport));
  if (p.flags !== undefined && p.flags !== "S") out.push("--tcp-flags", p.flags);
  if (p.type !== undefined) out.push("--icmp-type", String(p.type));
  return out.join(" ");
}
