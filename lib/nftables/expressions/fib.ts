/** Lookups in the routing tables: `fib` (net/ipv4/netfilter/nft_fib_ipv4.c, net/ipv6/netfilter/nft_fib_ipv6.c). */
import { LINK_SCOPE, prefixes } from "../../packet/address.ts";
import { PROTO, type Side } from "../../packet/field.ts";
import { and, is, NEVER, not, or, type Predicate, within } from "../../packet/predicate.ts";
import type { Hook } from "../../rules/base-chain.ts";
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

/** Types that a lookup of the route determines; only other addresses are classified by themselves (__nft_fib6_eval_type). */
const ROUTED: readonly AddressType[] = ["BLACKHOLE", "PROHIBIT", "UNREACHABLE", "ANYCAST", "LOCAL"];

/**
 * Packets whose address has a type on the host, or on an interface.
 * @param along interface of the lookup of the route of IPv6
 */
function hasType(
  side: Side,
  type: AddressType,
  device: string | undefined,
  along: string | undefined,
  { facts }: CompileContext,
): Predicate {
  const is6 = (name: AddressType): Predicate =>
    facts.addressIs(side, name, name === "LOCAL" ? device : along);
  if (facts.family === 4) return facts.addressIs(side, type, device);
  const before = ROUTED.slice(0, ROUTED.includes(type) ? ROUTED.indexOf(type) : ROUTED.length);
  return and(is6(type), ...before.map((each) => not(is6(each))));
}

/** Field with the interface on which IPv6 looks up addresses of link scope; `"none"` without one, `null` if chains differ. */
function nearField(at: CompileContext): "in" | "out" | "none" | null {
  const fields = new Set(at.bases().map(({ hook }) => NEAR_FIELDS[hook] ?? "in"));
  const [first] = fields;
  return fields.size === 1 ? first! : null;
}

/** Members of the packet that the lookup uses at each hook (nft_fib6_flowi_init, skb->dev); the input interface at all others. */
const NEAR_FIELDS: Readonly<Partial<Record<Hook, "out" | "none">>> = { OUTPUT: "none", POSTROUTING: "out" };

const whyNear = "the interface on which this address is looked up is not known";

/** Packets whose address has a type, on the interface of the keys if there is one. */
function typed({ side, device }: Keys, type: AddressType, name: string, at: CompileContext): Predicate {
  const { family, interfaces } = at.facts;
  const onEach = (field: "in" | "out", test: (each: string) => Predicate): Predicate =>
    or(...interfaces.map((each) => and(is(field, each), test(each))));
  const anywhere = (each: string | undefined): Predicate => hasType(side, type, each, undefined, at);
  const plain = device === null ? anywhere(undefined) : onEach(device, anywhere);
  if (family === 4) return plain;
  const field = device ?? nearField(at);
  if (field === "none") return plain;
  const near = within(side, LINK_SCOPE);
  const close =
    field === null
      ? unknownOf(name, whyNear, at, type)
      : onEach(field, (each) => hasType(side, type, each, each, at));
  const found = or(and(not(near), plain), and(near, close));
  if (!at.facts.routesByTos) return found;
  return or(and(is("tos", 0), found), and(not(is("tos", 0)), unknownOf(name, whyTos, at, type)));
}

const whyTos = "routes of this host depend on the traffic class of a packet";

const addressType = (name: string, keys: Keys): Operand =>
  enumerated(
    name,
    TYPES.fib_addrtype,
    (at) => TYPE_NAMES.map((type, number) => [number, typed(keys, type, name, at)] as const),
    always,
    {
      except:
        "in IPv6 unreachable addresses if the routes of the host are not given, and packets with a traffic class if routes depend on it",
    },
  );

const UNSPECIFIED = is("src", 0n);
/** Duplicate address detection: these packets without a source are not looked up (nft_fib_v6_skip_icmpv6). */
const DETECTION = and(is("proto", PROTO.icmpv6), within("dst", prefixes(6, "fe80::/10", "ff02::/16")));

const why = "the result of this lookup is not computed";
const whyBroadcast = "the route to a broadcast source is not looked up";
const whyUnspecified = "the route to the source :: is not looked up";

/** Packets of the loopback interface: newer kernels look them up at prerouting and input no more (nft_fib_can_skip). */
const LOOPED = or(is("in", "lo"), is("pkttype", 5));

/** Packets that a lookup of their source finds a route for; `undefined` if the routes of the host are unknown. */
function hasRoute({ side, mark, device }: Keys, name: string, at: CompileContext): Predicate | undefined {
  if (side !== "src" || device === "out") return undefined;
  const found = at.facts.reversePath({
    loose: device === null,
    validmark: mark,
    acceptLocal: false,
    fib: at.site,
  });
  if (found === undefined) return undefined;
  const broadcast = at.facts.addressIs("src", "BROADCAST", undefined);
  const listed =
    at.facts.family === 4
      ? // A route of type broadcast counts here, and not for rpfilter of iptables.
        or(and(not(broadcast), found), and(broadcast, unknownOf(name, whyBroadcast, at, "broadcast")))
      : or(
          and(not(UNSPECIFIED), found),
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
    "lookups of the destination, of the source ::, of broadcast sources, of IPv6 sources with several next hops, the interface without `iif`, and packets of lo at other hooks than prerouting",
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
