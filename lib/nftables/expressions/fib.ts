/** Lookups in the routing tables: `fib` (net/ipv4/netfilter/nft_fib_ipv4.c, net/ipv6/netfilter/nft_fib_ipv6.c). */
import { MULTICAST, prefixes } from "../../packet/address.ts";
import { PROTO, type Side } from "../../packet/field.ts";
import { and, is, NEVER, not, or, type Predicate, within } from "../../packet/predicate.ts";
import { ADDRESS_TYPES, type AddressType } from "../../rules/facts.ts";
import { type Datatype, TYPES } from "../datatype.ts";
import {
  always,
  type CompileContext,
  enumerated,
  type Operand,
  unknownOf,
  unknownOperand,
} from "../operand.ts";

/** Keys of a lookup: an address, and what else it depends on. */
interface Keys {
  readonly side: Side;
  readonly mark: boolean;
  /** The lookup is about this interface only. */
  readonly device: "in" | "out" | null;
}

const DEVICES: Readonly<Record<string, "in" | "out">> = { iif: "in", oif: "out" };

/** Parses `saddr . mark . iif`; `undefined` for other words. */
function parseKeys(text: string): Keys | undefined {
  const [address, ...rest] = text.split(/\s*\.\s*/);
  if (address !== "saddr" && address !== "daddr") return undefined;
  const device = rest.map((word) => DEVICES[word]).find((found) => found !== undefined) ?? null;
  if (rest.some((word) => word !== "mark" && DEVICES[word] === undefined)) return undefined;
  return { side: address === "saddr" ? "src" : "dst", mark: rest.includes("mark"), device };
}

/** Address types that nft has names for, by their numbers: up to RTN_PROHIBIT. */
const TYPE_NAMES = ADDRESS_TYPES.slice(0, 9);

/** Types that IPv6 looks a route up for, in the order in which the kernel tests them (__nft_fib6_eval_type). */
const ROUTED: readonly AddressType[] = ["BLACKHOLE", "PROHIBIT", "UNREACHABLE", "ANYCAST", "LOCAL"];

/** Packets whose address has a type on an interface, or on the host. */
function hasType(
  { side }: Keys,
  type: AddressType,
  device: string | undefined,
  at: CompileContext,
): Predicate {
  if (at.facts.family === 4) return at.facts.addressIs(side, type, device);
  // The interface restricts own addresses only; the route is looked up without it.
  const is6 = (name: AddressType): Predicate =>
    at.facts.addressIs(side, name, name === "LOCAL" ? device : undefined);
  const before = ROUTED.slice(0, ROUTED.includes(type) ? ROUTED.indexOf(type) : ROUTED.length);
  return and(is6(type), ...before.map((each) => not(is6(each))));
}

/** The route of a link-local address is looked up on the interface that the packet is at (nft_fib6_flowi_init). */
const LINK_LOCAL = prefixes(6, "fe80::/10");

/** The same for a lookup on the host, without the addresses whose route depends on the interface. */
function hasTypeOnHost(name: string, keys: Keys, type: AddressType, at: CompileContext): Predicate {
  const when = hasType(keys, type, undefined, at);
  if (at.facts.family === 4) return when;
  const local = within(keys.side, LINK_LOCAL);
  return or(
    and(not(local), when),
    and(local, unknownOf(name, whyLinkLocal, at, `${type} of a link-local address`)),
  );
}

const whyLinkLocal = "the route of a link-local address depends on the interface";

const addressType = (name: string, keys: Keys): Operand =>
  enumerated(
    name,
    TYPES.fib_addrtype,
    (at) =>
      TYPE_NAMES.map((type, number) => {
        const { device } = keys;
        const when =
          device === null
            ? hasTypeOnHost(name, keys, type, at)
            : or(...at.facts.interfaces.map((each) => and(is(device, each), hasType(keys, type, each, at))));
        return [number, when] as const;
      }),
    always,
    {
      except:
        "link-local addresses of IPv6; unreachable addresses of IPv6 if the routes of the host are not given",
    },
  );

const UNSPECIFIED = is("src", 0n);
/** Duplicate address detection: these packets without a source are not looked up (nft_fib_v6_skip_icmpv6). */
const DETECTION = and(is("proto", PROTO.icmpv6), within("dst", prefixes(6, "fe80::/10", "ff02::/16")));

const why = "the result of this lookup is not computed";
const whyUnspecified = "the route to the source :: is not looked up";
const whyBroadcast = "the route to a broadcast source is not looked up";
const whyMulticast = "the route to a multicast source is not looked up";

/** Packets of the loopback interface: newer kernels look them up at prerouting and input no more (nft_fib_can_skip). */
const LOOPED = or(is("in", "lo"), is("pkttype", 5));

/** Packets that a lookup of their source finds a route for; `undefined` if the routes of the host are unknown. */
function hasRoute({ side, mark, device }: Keys, name: string, at: CompileContext): Predicate | undefined {
  if (side !== "src" || device === "out") return undefined;
  const found = at.facts.reversePath({ loose: device === null, validmark: mark, acceptLocal: false });
  if (found === undefined) return undefined;
  const broadcast = at.facts.addressIs("src", "BROADCAST", undefined);
  const listed =
    at.facts.family === 4
      ? // A route of type broadcast counts here, and not for rpfilter of iptables.
        or(and(not(broadcast), found), and(broadcast, unknownOf(name, whyBroadcast, at, "broadcast")))
      : or(
          and(not(UNSPECIFIED), not(within("src", MULTICAST[6])), found),
          // Each interface has a route for them, and the kernel takes any.
          and(within("src", MULTICAST[6]), unknownOf(name, whyMulticast, at, "multicast")),
          // The lookup of :: itself, which rpfilter of iptables does not make.
          and(UNSPECIFIED, or(DETECTION, unknownOf(name, whyUnspecified, at, "unspecified"))),
        );
  if (at.bases().every(({ hook }) => hook === "PREROUTING")) return listed;
  return or(and(not(LOOPED), listed), and(LOOPED, unknownOf(name, why, at, "loopback")));
}

/** Any interface, for `exists`. No name begins with this character. */
const ANY_DEVICE = "\u0001";

/** Results of a lookup: the interface of the route; `missing` and `exists` test only if there is one. */
const DEVICE_TYPES: Readonly<Record<string, Datatype>> = Object.fromEntries(
  (["oif", "oifname", "check"] as const).map((result) => {
    const type = result === "oifname" ? TYPES.ifname : TYPES.iface_index;
    const parse: Datatype["parse"] = (value) => {
      if (value.quoted || !["missing", "exists"].includes(value.text)) return type.parse(value);
      return value.text === "missing" ? ["", ""] : [ANY_DEVICE, ANY_DEVICE];
    };
    return [result, { ...type, parse }];
  }),
);

/** The interface of a route; `""` without one. With the input interface as a key the result is this interface. */
const routeDevice = (name: string, keys: Keys, type: Datatype): Operand => ({
  name,
  type,
  except:
    "lookups of the destination, of the source ::, of broadcast sources and of multicast sources of IPv6, the interface without `iif`, and packets of lo at other hooks than prerouting",
  guard: always,
  within(ranges, at) {
    const unknown = (): Predicate =>
      unknownOf(name, why, at, keys.side === "src" ? JSON.stringify(ranges) : null);
    const route = hasRoute(keys, name, at);
    if (route === undefined) return unknown();
    const missing = ranges.some(([lo]) => lo === "") ? not(route) : NEVER;
    const some = ranges.filter(([lo]) => lo !== "");
    if (some.length === 0) return missing;
    if (some.some(([lo]) => lo === ANY_DEVICE)) return or(missing, route);
    return keys.device === null ? unknown() : or(missing, and(route, within(keys.device, some)));
  },
  masked: (mask, value, at) => unknownOf(name, why, at, `${mask} ${value}`),
});

/** Returns the expression `fib KEYS RESULT`; `undefined` if its words are unknown. */
export function fib(words: readonly string[]): Operand | undefined {
  const name = words.join(" ");
  const result = words.at(-1);
  const keys = parseKeys(words.slice(1, -1).join(" "));
  if (keys === undefined) return undefined;
  if (result === "type")
    return keys.mark ? unknownOperand(name, TYPES.fib_addrtype, why) : addressType(name, keys);
  const type = DEVICE_TYPES[result ?? ""];
  return type === undefined ? undefined : routeDevice(name, keys, type);
}
