/** Type of an address in the routing tables of the host (net/netfilter/xt_addrtype.c). */
import { and, is, negate, or, type Predicate } from "../../packet/predicate.ts";
import { ADDRESS_TYPES, type AddressType, type Facts } from "../../rules/facts.ts";
import { type Given, match, negatable, option, Unreadable } from "../extension.ts";
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
