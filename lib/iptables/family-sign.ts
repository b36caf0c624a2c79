/** The family that a table's rules belong to, by their contents. */
import type { Table } from "iptables-parser-ts";
import type { Family } from "../packet/field.ts";
import { PROTO_NAMES } from "./rule-loader.ts";

/** Matches that only ip6tables has (ip6tables-extensions(8)). */
const V6_NAMES = new Set(["icmp6", "rt", "hl", "eui64", "frag", "hbh", "dst", "mh", "ipv6header", "srh"]);
const ADDRESS_NAMES = new Set(["-s", "-d", "--source", "--destination", "--src", "--dst"]);
/** An address of IPv4. ip6tables accepts 0.0.0.0/0, too, for every address. */
const ADDRESS_4 = /^(?!0\.0\.0\.0\/0$)\d+\.\d+\.\d+\.\d+($|\/)/;

/**
 * Finds the first rule that only one family's program prints.
 * @param sure `likely` also counts `-p ipv6-icmp`, which iptables accepts, and a name with dots as an address
 * @returns its family, or `undefined` where the rules fit both
 */
export function familySign(table: Table, sure: "certain" | "likely"): Family | undefined {
  for (const entry of table.entries) {
    if (entry.kind !== "rule") continue;
    for (const o of entry.shape.options) {
      const value = o.count === 0 ? "" : entry.value(o.at);
      if (ADDRESS_NAMES.has(o.name)) {
        if (value.includes(":")) return 6;
        if (sure === "certain" ? ADDRESS_4.test(value) : value.includes(".")) return 4;
      }
      if (sure === "likely" && PROTO_NAMES.has(o.name) && (value === "ipv6-icmp" || value === "icmpv6"))
        return 6;
      if (o.name === "-m" && V6_NAMES.has(value)) return 6;
      if (o.name === "-m" && value === "icmp" && sure === "certain") return 4;
      if (o.name === "--reject-with" && value.startsWith("icmp6")) return 6;
    }
  }
  return undefined;
}
