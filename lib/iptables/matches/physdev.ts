/** Ports of a bridge (net/netfilter/xt_physdev.c), with the fields physin and physout of a packet. */
import { UNNAMED_BRIDGE_PORT } from "../../packet/field.ts";
import { and, is, NEVER, negate, not, opaque, or, type Predicate, within } from "../../packet/predicate.ts";
import { sharedKey } from "../../rules/facts.ts";
import { type Given, match, negatable, Unreadable } from "../extension.ts";
import { device, deviceRange, flag } from "../word-codecs.ts";

/** Packets that arrive at, or leave by, a bridge port. */
const hasIn = not(is("physin", ""));
const hasOut = not(is("physout", ""));

/** Packets with a port of this name. An unnamed port matches only the pattern of all names. */
const called = (field: "physin" | "physout", name: string): Predicate =>
  or(
    within(field, [deviceRange(name)]),
    and(
      is(field, UNNAMED_BRIDGE_PORT),
      opaque(sharedKey("physdev", `${field} ${name}`), "the port of the bridge is not known"),
    ),
  );

export const physdev = match({
  name: "physdev",
  except: "the bridge port of a packet if the ports of the host do not determine it",
  options: {
    isIn: negatable("--physdev-is-in", flag),
    in: negatable("--physdev-in", device),
    isOut: negatable("--physdev-is-out", flag),
    out: negatable("--physdev-out", device),
    bridged: negatable("--physdev-is-bridged", flag),
  },
  normalize: (values) =>
    Object.keys(values).length > 0 ? values : new Unreadable("at least one of its options"),
  predicate(v) {
    const given: readonly (Given<unknown> | undefined)[] = [v.isIn, v.in, v.isOut, v.out, v.bridged];
    // A packet that no bridge handled matches if every option is negated.
    const unbridged = given.every((g) => g === undefined || g.not) ? and() : NEVER;
    const flagged = (g: Given<true> | undefined, p: Predicate): Predicate =>
      g === undefined ? and() : negate(g.not, p);
    const named = (
      field: "physin" | "physout",
      g: Given<string> | undefined,
      absent: Predicate,
    ): Predicate =>
      g === undefined
        ? and()
        : or(and(is(field, ""), absent), and(not(is(field, "")), negate(g.not, called(field, g.value))));
    return or(
      and(not(or(hasIn, hasOut)), unbridged),
      and(
        or(hasIn, hasOut),
        flagged(v.bridged, hasOut),
        flagged(v.isIn, hasIn),
        flagged(v.isOut, hasOut),
        // Without a port, --physdev-in is skipped and --physdev-out fails.
        named("physin", v.in, and()),
        named("physout", v.out, NEVER),
      ),
    );
  },
});
