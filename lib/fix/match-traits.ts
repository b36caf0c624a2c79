/** Properties of matches that decide how they can be copied into another chain. */
import type { Options, Values } from "../iptables/extension.ts";
import { printMatch } from "../iptables/print.ts";
import type { Match } from "../iptables/rule.ts";
import { SAFE_NAME } from "./box-printer.ts";

/**
 * How a match of INPUT or OUTPUT can be copied into FORWARD. `unchanged`: it gives the same result there.
 * `by-destination`: it depends on the destination, which DNAT changes. `in-notes`: it keeps state per rule, so that a copy
 * may only decide whether to log. `never`: no copy gives the same result.
 */
export type CopyMode = "unchanged" | "by-destination" | "in-notes" | "never";

/** Matches whose options are independent conditions. */
const INDEPENDENT_OPTIONS = new Set(["", "tcp", "udp", "udplite", "dccp", "sctp", "multiport", "iprange"]);

/** Returns one match for each option where the options are independent conditions. */
export const splitOptions = (match: Match): readonly Match[] =>
  INDEPENDENT_OPTIONS.has(match.extension.name)
    ? Object.entries(match.values).map(([key, value]) => ({ ...match, values: { [key]: value } }))
    : [match];

/** Matches that give the same result before and after DNAT, and in FORWARD as in INPUT and OUTPUT. */
const UNCHANGED = new Set([
  ...["icmp", "icmp6", "mac", "length", "mark", "connmark", "time", "state", "dscp", "tos", "tcpmss"],
  // Extension headers of IPv6; `dst` is one of them.
  ...["rt", "hbh", "dst", "frag", "mh", "ipv6header", "srh"],
]);

export function copyMode({ extension: { name }, values }: Match): CopyMode {
  const keys = Object.keys(values);
  const only = (...allowed: string[]): boolean => keys.every((key) => allowed.includes(key));
  switch (name) {
    case "":
      if (only("in") || only("out")) {
        const given = String((values.in ?? values.out)!.value);
        if (!SAFE_NAME.test(given.replace(/\+$/, ""))) return "never";
        return only("in") ? "unchanged" : "by-destination";
      }
      return only("src", "proto") ? "unchanged" : only("dst") ? "by-destination" : "never";
    case "tcp":
    case "udp":
    case "udplite":
    case "dccp":
    case "sctp":
      return keys.includes("dport") ? "by-destination" : "unchanged";
    case "multiport":
      return only("sports") ? "unchanged" : "by-destination";
    case "iprange":
      return only("src") ? "unchanged" : "by-destination";
    case "conntrack":
      return only("state") && !(values.state!.value as readonly string[]).some((s) => /NAT/.test(s))
        ? "unchanged"
        : "never";
    case "set": {
      const { sides } = values.set!.value as { sides: readonly string[] };
      return sides.every((side) => side === "src") ? "unchanged" : "by-destination";
    }
    case "recent":
      return values.rdest === undefined ? "unchanged" : "never";
    case "limit":
      return "in-notes";
    case "addrtype":
      return "by-destination";
    default:
      return UNCHANGED.has(name) ? "unchanged" : "never";
  }
}

/** Returns a match of conntrack's original destination that replaces a match of the destination. */
export function originalText(match: Match, context: Parameters<typeof printMatch>[1]): string | null {
  const { dst, dport } = match.values as Values<Options>;
  const given = dst ?? dport;
  if (given === undefined || !["", "tcp", "udp"].includes(match.extension.name)) return null;
  const value = printMatch(match, context).split(" ").at(-1)!;
  const option = dst !== undefined ? "--ctorigdst" : "--ctorigdstport";
  return `-m conntrack ${given.not ? "! " : ""}${option} ${value} --ctdir ORIGINAL`;
}

export const isSetMatch = ({ extension }: Match): boolean => extension.name === "set";

/** Returns whether evaluating a match changes a list of addresses, so that it is copied even where it is implied. */
export const keepsList = ({ extension }: Match): boolean => extension.name === "recent";

/** Returns whether a match is one that ban lists use: a source, a set of sources, a protocol, a comment, a limit. */
export function matchesSenderOnly({ extension: { name }, values }: Match): boolean {
  // A call evaluates the owner's rule itself, so a limit keeps its own count.
  if (name === "comment" || name === "limit") return true;
  if (name === "set")
    return (values.set!.value as { readonly sides: readonly string[] }).sides.every((side) => side === "src");
  return name === "" && Object.keys(values).every((key) => key === "src" || key === "proto");
}
