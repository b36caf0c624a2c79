/** `ip -j addr` and `ip -j route` (iproute2's JSON). */
import { type Prefix, parseAddress, parsePrefix, prefixMask } from "../../packet/address.ts";
import type { Family } from "../../packet/field.ts";
import type { Interface, InterfaceAddress, Route } from "../host.ts";
import { arrays, list, property, text } from "./json.ts";

/** Interfaces and their addresses. @throws SyntaxError when the text is no JSON */
export function readAddresses(source: string): Interface[] {
  return arrays(source).flatMap((entry): Interface[] => {
    const name = text(property(entry, "ifname"));
    if (name === undefined) return [];
    const addresses = list(property(entry, "addr_info")).flatMap((info): InterfaceAddress[] => {
      const family: Family = property(info, "family") === "inet6" ? 6 : 4;
      const address = parseAddress(text(property(info, "local")) ?? "", family);
      const length = property(info, "prefixlen");
      if (address === undefined || typeof length !== "number") return [];
      // A point-to-point address names the peer's subnet.
      const at = text(property(info, "address")) ?? text(property(info, "local"))!;
      const prefix = parsePrefix(`${at}/${length}`, family) ?? {
        address,
        mask: prefixMask(family === 4 ? 32 : 128, family),
      };
      const broadcast = family === 4 ? parseAddress(text(property(info, "broadcast")) ?? "", 4) : undefined;
      return [{ family, address, prefix, broadcast: broadcast ?? null }];
    });
    return [{ name, addresses, master: text(property(entry, "master")) ?? null }];
  });
}

const TYPES = [
  "unicast",
  "local",
  "broadcast",
  "multicast",
  "anycast",
  "blackhole",
  "unreachable",
  "prohibit",
  "throw",
] as const;

/** Routes of all tables. @throws SyntaxError when the text is no JSON */
export function readRoutes(source: string): Route[] {
  const parsed = arrays(source);
  // `default` tells no family; its neighbours in the same listing do.
  const v6 = (entry: unknown): boolean =>
    ["dst", "gateway", "prefsrc", "src"].some((key) => (text(property(entry, key)) ?? "").includes(":")) ||
    property(entry, "pref") !== undefined;
  return parsed.flatMap((entry): Route[] => {
    const dst = text(property(entry, "dst"));
    if (dst === undefined) return [];
    const family: Family = v6(entry) ? 6 : 4;
    const to: Prefix | undefined = parsePrefix(
      dst === "default" ? (family === 4 ? "0.0.0.0/0" : "::/0") : dst,
      family,
    );
    if (to === undefined) return [];
    const nexthop = list(property(entry, "nexthops"))[0];
    const type = TYPES.find((t) => t === property(entry, "type")) ?? "unicast";
    const metric = property(entry, "metric");
    return [
      {
        family,
        type,
        to,
        dev: text(property(entry, "dev")) ?? text(property(nexthop, "dev")) ?? null,
        table: String(property(entry, "table") ?? "main"),
        metric: typeof metric === "number" ? metric : 0,
        source: parseAddress(text(property(entry, "prefsrc")) ?? "", family) ?? null,
      },
    ];
  });
}
