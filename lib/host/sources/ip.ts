/** `ip -j addr` and `ip -j route` (iproute2's JSON). */

import { codeClass } from "../../iptables/matches/tos.ts";
import { addressBits, type Prefix, parseAddress, parsePrefix, prefixMask } from "../../packet/address.ts";
import { type Family, protoNumber } from "../../packet/field.ts";
import type { Interface, InterfaceAddress } from "../host.ts";
import { type NextHop, type Route, type RoutingRule, TOS_MASK } from "../routes.ts";
import { arrays, listOf, property, stringOf } from "./json.ts";

/**
 * Returns the kind of a master interface, listed by `ip -d`. Its flags show it, too, except for a team, which looks like a
 * bridge (bond_setup, vrf_setup).
 */
function masterOf(name: string, entry: unknown): Interface["masters"] {
  const kind = stringOf(property(property(entry, "linkinfo"), "info_kind"));
  const flags = listOf(property(entry, "flags"));
  if (kind === "bond" || kind === "team") return "bond";
  if (kind === "vrf" || kind === "bridge") return kind;
  if (kind === "openvswitch" || kind === "hsr" || name === "ovs-system") return "other";
  return flags.includes("MASTER") ? (flags.includes("NOARP") ? "vrf" : "bond") : undefined;
}

/** Interfaces and their addresses. @throws SyntaxError when the text is no JSON */
export function readAddresses(source: string): Interface[] {
  return arrays(source).flatMap((entry): Interface[] => {
    const name = stringOf(property(entry, "ifname"));
    if (name === undefined) return [];
    const addresses = listOf(property(entry, "addr_info")).flatMap((info): InterfaceAddress[] => {
      const family: Family = property(info, "family") === "inet6" ? 6 : 4;
      const address = parseAddress(stringOf(property(info, "local")) ?? "", family);
      const length = property(info, "prefixlen");
      if (address === undefined || typeof length !== "number") return [];
      // A point-to-point address names the peer's subnet.
      const at = stringOf(property(info, "address")) ?? stringOf(property(info, "local"))!;
      const prefix = parsePrefix(`${at}/${length}`, family) ?? {
        address,
        mask: prefixMask(family === 4 ? 32 : 128, family),
      };
      const broadcast =
        family === 4 ? parseAddress(stringOf(property(info, "broadcast")) ?? "", 4) : undefined;
      const scope = property(info, "scope");
      const flags = {
        narrow: scope === "link" || scope === "host",
        deprecated: property(info, "deprecated") === true,
        temporary: property(info, "temporary") === true,
      };
      return [
        {
          family,
          address,
          prefix,
          broadcast: broadcast ?? null,
          ...Object.fromEntries(Object.entries(flags).filter(([, set]) => set)),
        },
      ];
    });
    const link = stringOf(property(entry, "link_type"));
    const group = groupNumber(stringOf(property(entry, "group")));
    const master = masterOf(name, entry);
    const info = property(entry, "linkinfo");
    // `ip -d` alone prints how often an interface was made promiscuous.
    const detailed = info !== undefined || property(entry, "promiscuity") !== undefined;
    const kind = detailed ? (stringOf(property(info, "info_kind")) ?? "physical") : undefined;
    const state = stringOf(property(property(info, "info_slave_data"), "state"));
    const data = property(info, "info_data");
    const calls = ([4, 6] as const).filter(
      (family) => property(data, family === 4 ? "nf_call_iptables" : "nf_call_ip6tables") === 1,
    );
    const flags = listOf(property(entry, "flags"));
    return [
      {
        name,
        addresses,
        master: stringOf(property(entry, "master")) ?? null,
        ...(master === undefined ? {} : { masters: master }),
        ...(flags.length === 0 || flags.includes("UP") ? {} : { down: true }),
        ...(group === undefined ? {} : { group }),
        ...(link === undefined ? {} : { link }),
        ...(kind === undefined ? {} : { kind }),
        ...(state === undefined || state === "forwarding" ? {} : { blocked: true }),
        ...(calls.length === 0 ? {} : { calls }),
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
  // `default` has no family; other entries of the same listing do.
  const v6 = (entry: unknown): boolean =>
    ["dst", "gateway", "prefsrc", "src"].some((key) =>
      (stringOf(property(entry, key)) ?? "").includes(":"),
    ) || property(entry, "pref") !== undefined;
  return parsed.flatMap((entry): Route[] => {
    const dst = stringOf(property(entry, "dst"));
    if (dst === undefined) return [];
    const family: Family = v6(entry) ? 6 : 4;
    const to: Prefix | undefined = parsePrefix(
      dst === "default" ? (family === 4 ? "0.0.0.0/0" : "::/0") : dst,
      family,
    );
    if (to === undefined) return [];
    const listed = listOf(property(entry, "nexthops"));
    // The kernel skips dead next hops: the interface is down, or has no carrier with ignore_routes_with_linkdown.
    const alive = [entry, ...listed].filter((e) => !listOf(property(e, "flags")).includes("dead"));
    const hops = alive.flatMap((e): NextHop[] => {
      const dev = stringOf(property(e, "dev"));
      if (dev === undefined) return [];
      const via = parseAddress(stringOf(property(e, "gateway")) ?? "", family);
      const gateway = (property(e, "gateway") ?? property(e, "via")) !== undefined;
      return [{ dev, gateway, ...(via === undefined ? {} : { via }) }];
    });
    const [hop] = hops;
    if (hop === undefined && (listed.length > 0 || !alive.includes(entry))) return [];
    const type = TYPES.find((t) => t === property(entry, "type")) ?? "unicast";
    const metric = property(entry, "metric");
    const tos = byteOf(property(entry, "tos"));
    const from = family === 6 ? parsePrefix(stringOf(property(entry, "from")) ?? "", 6) : undefined;
    const preference = (["low", "high"] as const).find((p) => p === property(entry, "pref"));
    return [
      {
        family,
        type,
        to,
        dev: hop?.dev ?? null,
        table: String(property(entry, "table") ?? "main"),
        metric: typeof metric === "number" ? metric : 0,
        gateway: hop?.gateway ?? false,
        ...(hop?.via === undefined ? {} : { via: hop.via }),
        ...(from === undefined ? {} : { from }),
        ...([entry, ...listed].some((e) => property(e, "flow") !== undefined) ? { realm: true } : {}),
        ...(hops.length > 1 ? { hops } : {}),
        ...(tos === undefined ? {} : { tos }),
        ...(preference === undefined ? {} : { preference }),
        source: parseAddress(stringOf(property(entry, "prefsrc")) ?? "", family) ?? null,
      },
    ];
  });
}

/** A TOS byte in hexadecimal digits, or the name that a class of DiffServ has in rt_dsfield. */
function byteOf(value: unknown): number | undefined {
  const name = stringOf(value) ?? "";
  if (/^0x[\da-f]{1,2}$/i.test(name)) return Number(name);
  const point = codeClass.read([name], { family: 4, proto: undefined });
  return typeof point === "number" ? point << 2 : undefined;
}

/** TOS byte and mask that a rule matches (fib_dscp_masked_match, fib6_rule_match). */
function tosOf(entry: unknown, family: Family): RoutingRule["tos"] | undefined {
  const dscp = property(entry, "dscp");
  if (dscp !== undefined) {
    const value = /^(0x[\da-f]+|\d+)$/i.test(String(dscp)) ? Number(dscp) << 2 : byteOf(dscp);
    return value === undefined ? undefined : { value, mask: 0xfc };
  }
  if (property(entry, "tos") === undefined) return null;
  const value = byteOf(property(entry, "tos"));
  return value === undefined ? undefined : { value, mask: TOS_MASK[family] };
}

/** A group of interfaces; names other than `default` come from a file of the host. */
const groupNumber = (name: string | undefined): number | undefined =>
  name === "default" ? 0 : /^\d+$/.test(name ?? "") ? Number(name) : undefined;

const SELF = ["blackhole", "unreachable", "prohibit"] as const;
/** Supported selectors and actions of a rule; any other member makes the rule unknown. */
const FOLLOWED = new Set([
  "tos",
  "dscp",
  "uid_start",
  "uid_end",
  "goto",
  "unresolved",
  "nop",
  "suppress_ifgroup",
  "l3mdev",
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
  "ipproto",
  "sport",
  "sport_start",
  "sport_end",
  "dport",
  "dport_start",
  "dport_end",
  "suppress_prefixlen",
  "suppress_prefixlength",
  "protocol",
  // No packet comes by an interface that does not exist, and a realm decides nothing.
  "iif_detached",
  "oif_detached",
  "flow_from",
  "flow_to",
]);

/** Returns the family of a listing of rules: from an address, or the table `default`, which only IPv4 has by default. */
export function familyOfRules(source: string): Family | undefined {
  const parsed = arrays(source);
  const addresses = parsed.flatMap((entry) =>
    ["src", "dst"].map((key) => stringOf(property(entry, key)) ?? ""),
  );
  if (addresses.some((a) => a.includes(":"))) return 6;
  return addresses.some((a) => a.includes(".")) || parsed.some((e) => property(e, "table") === "default")
    ? 4
    : undefined;
}

/** Rules of policy routing, of one family. @throws SyntaxError when the text is no JSON */
export function readRules(source: string, family: Family): RoutingRule[] {
  return arrays(source).flatMap((entry): RoutingRule[] => {
    const priority = property(entry, "priority");
    return typeof priority === "number" ? [readRule(entry, priority, family)] : [];
  });
}

function readRule(entry: unknown, priority: number, family: Family): RoutingRule {
  const unread: string[] = [];
  const number = (key: string, most = 0xffff_ffff): number | undefined => {
    const value = property(entry, key);
    if (value === undefined) return undefined;
    const whole = typeof value === "number" || typeof value === "string" ? Number(value) : Number.NaN;
    if (Number.isInteger(whole) && whole >= 0 && whole <= most) return whole;
    unread.push(key);
    return undefined;
  };
  const range = (first: string, last: string, most?: number): readonly [number, number] | null => {
    const [lo, hi] = [number(first, most), number(last, most)];
    return lo === undefined || hi === undefined ? null : [lo, hi];
  };
  const portRange = (key: "sport" | "dport"): readonly [number, number] | null => {
    const one = number(key, 0xffff);
    return one === undefined ? range(`${key}_start`, `${key}_end`, 0xffff) : [one, one];
  };
  const mark = number("fwmark");
  const uid = range("uid_start", "uid_end");
  const [sport, dport] = [portRange("sport"), portRange("dport")];
  const mask = number("fwmask") ?? 0xffff_ffff;
  const suppress = number("suppress_prefixlength") ?? number("suppress_prefixlen") ?? null;
  const tos = tosOf(entry, family);
  if (tos === undefined) unread.push("tos");
  const group = groupNumber(stringOf(property(entry, "suppress_ifgroup")));
  if (group === undefined && property(entry, "suppress_ifgroup") !== undefined)
    unread.push("suppress_ifgroup");
  const beyond = [...unread, ...Object.keys(entry as object).filter((key) => !FOLLOWED.has(key))][0] ?? null;
  return {
    family,
    priority,
    not: property(entry, "not") !== undefined,
    from: prefixOf(entry, "src", family),
    to: prefixOf(entry, "dst", family),
    iif: stringOf(property(entry, "iif")) ?? null,
    oif: stringOf(property(entry, "oif")) ?? null,
    mark: mark === undefined ? null : { value: mark, mask },
    vrf: property(entry, "l3mdev") !== undefined,
    tos: tos ?? null,
    uid,
    proto: protoNumber(String(property(entry, "ipproto") ?? "")) ?? null,
    sport,
    dport,
    action: actionOf(entry),
    suppress,
    suppressGroup: group ?? null,
    ...(["flow_to", "flow_from"].some((key) => property(entry, key) !== undefined) ? { realm: true } : {}),
    beyond,
  };
}

function prefixOf(entry: unknown, key: "src" | "dst", family: Family): Prefix | null {
  const address = stringOf(property(entry, key));
  if (address === undefined || address === "all") return null;
  return parsePrefix(`${address}/${property(entry, `${key}len`) ?? addressBits(family)}`, family) ?? null;
}

function actionOf(entry: unknown): RoutingRule["action"] {
  const action = property(entry, "action");
  const kind = SELF.find((each) => each === action);
  if (kind !== undefined) return { kind };
  const priority = property(entry, "goto");
  if (priority !== undefined)
    return { kind: "goto", priority: typeof priority === "number" ? priority : null };
  if (property(entry, "nop") !== undefined) return { kind: "nop" };
  const table = property(entry, "table");
  return table === undefined ? { kind: "unknown" } : { kind: "table", table: String(table) };
}
