/** `ip -j addr` and `ip -j route` (iproute2's JSON). */
import { addressBits, type Prefix, parseAddress, parsePrefix, prefixMask } from "../../packet/address.ts";
import { type Family, protoNumber } from "../../packet/field.ts";
import type { Interface, InterfaceAddress, Route, RoutingRule } from "../host.ts";
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
      const flags = (["deprecated", "temporary"] as const).filter((flag) => property(info, flag) === true);
      return [
        {
          ...{ family, address, prefix, broadcast: broadcast ?? null },
          ...Object.fromEntries(flags.map((flag) => [flag, true])),
        },
      ];
    });
    const link = text(property(entry, "link_type"));
    const group = text(property(entry, "group"));
    // Other names than `default` stand in a file of the host.
    const number = group === "default" ? 0 : /^\d+$/.test(group ?? "") ? Number(group) : undefined;
    return [
      {
        ...{ name, addresses, master: text(property(entry, "master")) ?? null },
        ...(number === undefined ? {} : { group: number }),
        ...(link === undefined ? {} : { link }),
      },
    ];
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
        gateway: [entry, nexthop].some((e) => (property(e, "gateway") ?? property(e, "via")) !== undefined),
        source: parseAddress(text(property(entry, "prefsrc")) ?? "", family) ?? null,
      },
    ];
  });
}

const SELF = ["blackhole", "unreachable", "prohibit"] as const;
/** What a rule may say that is followed; anything else makes it one that nobody can follow. */
const FOLLOWED = new Set([
  ...[
    "priority",
    "not",
    "src",
    "srclen",
    "dst",
    "dstlen",
    "iif",
    "oif",
    "fwmark",
    "fwmask",
    "table",
    "action",
  ],
  ...[
    "ipproto",
    "sport",
    "sport_start",
    "sport_end",
    "dport",
    "dport_start",
    "dport_end",
    "suppress_prefixlen",
  ],
  ...["suppress_prefixlength", "protocol"],
]);

/**
 * Rules of policy routing, of one family. The listing does not say which: an address does, or the table `default`,
 * which only IPv4 asks by itself. @throws SyntaxError when the text is no JSON
 */
export function readRules(source: string): RoutingRule[] {
  const parsed = arrays(source);
  const named = (entry: unknown): string[] => ["src", "dst"].map((key) => text(property(entry, key)) ?? "");
  const six =
    parsed.some((entry) => named(entry).some((a) => a.includes(":"))) ||
    !parsed.some(
      (entry) => property(entry, "table") === "default" || named(entry).some((a) => a.includes(".")),
    );
  const family: Family = six ? 6 : 4;
  return parsed.flatMap((entry): RoutingRule[] => {
    const priority = property(entry, "priority");
    if (typeof priority !== "number") return [];
    const prefix = (key: "src" | "dst"): Prefix | null => {
      const address = text(property(entry, key));
      if (address === undefined || address === "all") return null;
      return parsePrefix(`${address}/${property(entry, `${key}len`) ?? addressBits(family)}`, family) ?? null;
    };
    const number = (key: string): number | undefined => {
      const value = property(entry, key);
      return value === undefined || Number.isNaN(Number(value)) ? undefined : Number(value);
    };
    const range = (key: string): readonly [number, number] | null => {
      const one = number(key);
      if (one !== undefined) return [one, one];
      const [lo, hi] = [number(`${key}_start`), number(`${key}_end`)];
      return lo === undefined || hi === undefined ? null : [lo, hi];
    };
    const mark = number("fwmark");
    const action = property(entry, "action");
    const self = SELF.find((kind) => kind === action);
    const beyond = Object.keys(entry as object).find((key) => !FOLLOWED.has(key)) ?? null;
    const table = property(entry, "table");
    return [
      {
        family,
        priority,
        not: property(entry, "not") !== undefined,
        from: prefix("src"),
        to: prefix("dst"),
        iif: text(property(entry, "iif")) ?? null,
        oif: text(property(entry, "oif")) ?? null,
        mark: mark === undefined ? null : { value: mark, mask: number("fwmask") ?? 0xffff_ffff },
        proto: protoNumber(String(property(entry, "ipproto") ?? "")) ?? null,
        sport: range("sport"),
        dport: range("dport"),
        action:
          self !== undefined
            ? { kind: self }
            : table === undefined
              ? { kind: "unknown" }
              : { kind: "table", table: String(table) },
        suppress: number("suppress_prefixlength") ?? number("suppress_prefixlen") ?? null,
        beyond,
      },
    ];
  });
}
