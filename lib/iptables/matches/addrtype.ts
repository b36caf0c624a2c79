/** Type of an address in the routing tables of the host (net/netfilter/xt_addrtype.c). */
import { and, is, negate, or, type Predicate } from "../../packet/predicate.ts";
import { ADDRESS_TYPES, type AddressType, type Facts } from "../../rules/facts.ts";
import { type Given, match, negatable, option, Unreadable } from "../extension.ts";
import { ALWAYS, allOf, compare, type NftContext, type NftForm } from "../nft-form.ts";
import { flag, someOf } from "../word-codecs.ts";

/** Types that IPv6 looks up as a route. One of the given ones must hold, and all of the other types (match_type6). */
const ROUTED: readonly AddressType[] = ["LOCAL", "ANYCAST", "UNREACHABLE"];
/** Types that IPv6 derives from the address alone. It ignores types in neither list. */
const PLAIN: readonly AddressType[] = ["MULTICAST", "UNICAST", "UNSPEC"];

function hasType(
  field: "src" | "dst",
  types: readonly AddressType[],
  facts: Facts,
  device?: string,
): Predicate {
  const each = (list: readonly AddressType[]): Predicate[] =>
    types.filter((type) => list.includes(type)).map((type) => facts.addressIs(field, type, device));
  if (facts.family === 4) return or(...each(ADDRESS_TYPES));
  const routed = each(ROUTED);
  return and(...each(PLAIN), routed.length === 0 ? and() : or(...routed));
}

/** Types that nft has names for, up to RTN_PROHIBIT. */
const NAMED = ADDRESS_TYPES.slice(0, 9);

/** IPv6 looks types up in another order than nft does; only LOCAL alone is the same. */
function typeForm(
  left: string,
  given: Given<readonly AddressType[]> | undefined,
  { family }: NftContext,
): NftForm | null {
  if (given === undefined) return ALWAYS;
  const { not, value: types } = given;
  if (types.some((type) => (family === 4 ? !NAMED.includes(type) : type !== "LOCAL"))) return null;
  const names = types.map((type) => type.toLowerCase());
  return compare(left, not, names.length === 1 ? names[0]! : `{ ${names.join(", ")} }`);
}

export const addrtype = match({
  name: "addrtype",
  except: "UNREACHABLE for IPv6 if the routes of the host are not given",
  checksPresence: true,
  options: {
    src: negatable("--src-type", someOf(ADDRESS_TYPES, { fold: true, prefix: true })),
    dst: negatable("--dst-type", someOf(ADDRESS_TYPES, { fold: true, prefix: true })),
    limitIn: option("--limit-iface-in", flag),
    limitOut: option("--limit-iface-out", flag),
  },
  normalize(values) {
    if (values.src === undefined && values.dst === undefined)
      return new Unreadable("--src-type or --dst-type");
    if (values.limitIn !== undefined && values.limitOut !== undefined)
      return new Unreadable("either --limit-iface-in or --limit-iface-out");
    return values;
  },
  copy: () => "by-destination",
  nftExcept: "THROW, NAT and XRESOLVE; in IPv6 every type but LOCAL",
  nft({ src, dst, limitIn, limitOut }, context) {
    const device = limitIn !== undefined ? " . iif" : limitOut !== undefined ? " . oif" : "";
    return allOf(
      typeForm(`fib saddr${device} type`, src, context),
      typeForm(`fib daddr${device} type`, dst, context),
    );
  },
  predicate({ src, dst, limitIn, limitOut }, facts) {
    const predicate = (field: "src" | "dst", given: Given<readonly AddressType[]> | undefined): Predicate => {
      if (given === undefined) return and();
      const by = limitIn !== undefined ? "in" : limitOut !== undefined ? "out" : undefined;
      const types = given.value;
      const holds =
        by === undefined
          ? hasType(field, types, facts)
          : or(...facts.interfaces.map((name) => and(is(by, name), hasType(field, types, facts, name))));
      return negate(given.not, holds);
    };
    return and(predicate("src", src), predicate("dst", dst));
  },
});
