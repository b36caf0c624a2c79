/** What kind of address it is to this host (net/netfilter/xt_addrtype.c). */
import type { Range } from "../../packet/field.ts";
import { and, is, negate, or, type Predicate, within } from "../../packet/predicate.ts";
import { flag, someOf } from "../codecs.ts";
import { type Given, match, negatable, option, Unreadable } from "../extension.ts";
import type { AddressType, Facts } from "../facts.ts";

const TYPES = [
  "UNSPEC",
  "UNICAST",
  "LOCAL",
  "BROADCAST",
  "ANYCAST",
  "MULTICAST",
  "BLACKHOLE",
  "UNREACHABLE",
  "PROHIBIT",
  "THROW",
  "NAT",
  "XRESOLVE",
] as const satisfies readonly AddressType[];

const union = (types: readonly AddressType[], facts: Facts, device?: string): Range[] =>
  types.flatMap((type) => [...facts.addressesOf(type, device)]);

export const addrtype = match({
  name: "addrtype",
  steady: true,
  options: {
    src: negatable("--src-type", someOf(TYPES, { fold: true, prefix: true })),
    dst: negatable("--dst-type", someOf(TYPES, { fold: true, prefix: true })),
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
  ask({ src, dst, limitIn, limitOut }, facts) {
    const ask = (field: "src" | "dst", given: Given<readonly AddressType[]> | undefined): Predicate => {
      if (given === undefined) return and();
      const by = limitIn !== undefined ? "in" : limitOut !== undefined ? "out" : undefined;
      const inside =
        by === undefined
          ? within(field, union(given.value, facts))
          : or(
              ...facts.interfaces.map((name) =>
                and(is(by, name), within(field, union(given.value, facts, name))),
              ),
            );
      return negate(given.not, inside);
    };
    return and(ask("src", src), ask("dst", dst));
  },
});
