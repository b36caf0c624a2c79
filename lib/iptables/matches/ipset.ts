/** Membership in an ipset (net/netfilter/xt_set.c, ipset(8)). */
import { and, negate, opaque } from "../../packet/predicate.ts";
import { siteKey } from "../../rules/facts.ts";
import type { SetLookup } from "../../rules/reading.ts";
import { type Codec, type Given, match, negatable, option, Unreadable } from "../extension.ts";
import { number64 } from "../number-codecs.ts";
import { flag } from "../word-codecs.ts";

/** `NAME src,dst` of the match and the target. */
export const setAndSides: Codec<SetLookup> = {
  words: 2,
  expects: "the name of an ipset and one to six of src and dst, separated by commas",
  read([set, sides]) {
    const list = sides!.split(",");
    if (set!.length > 31) return new Unreadable("the name of an ipset, at most 31 characters");
    if (list.length > 6 || !list.every((side) => side === "src" || side === "dst"))
      return new Unreadable("one to six of src and dst, separated by commas", 1);
    return { set: set!, sides: list as ("src" | "dst")[] };
  },
  write: ({ set, sides }) => [set, sides.join(",")],
};

const uncounted = "how often an element of the set was matched is not known";

export const set = match({
  name: "set",
  except:
    "a set that is not given or that rules add to or take from, --return-nomatch, and the counters of a set's elements are not known",
  options: {
    set: negatable("--match-set", setAndSides, "--set"),
    nomatch: option("--return-nomatch", flag),
    update: negatable("--update-counters", flag),
    subupdate: negatable("--update-subcounters", flag),
    packetsEq: negatable("--packets-eq", number64),
    packetsLt: option("--packets-lt", number64),
    packetsGt: option("--packets-gt", number64),
    bytesEq: negatable("--bytes-eq", number64),
    bytesLt: option("--bytes-lt", number64),
    bytesGt: option("--bytes-gt", number64),
  },
  normalize: (values) => (values.set === undefined ? new Unreadable("--match-set") : values),
  traits: { matchesSets: true },
  copy: ({ set }) => (set!.value.sides.every((side) => side === "src") ? "unchanged" : "by-destination"),
  conditions: ({ set }) => ({ sets: set === undefined ? undefined : [set] }),
  requires: ({ set }) => (set === undefined ? [] : [{ kind: "ipset", name: set.value.set }]),
  predicate(v, facts, site) {
    const { set: name, sides } = v.set!.value;
    if (facts.changing(name))
      return negate(v.set!.not, opaque(siteKey("set", site), { code: "set-changes", set: name }));
    const unknown = opaque(`set:${name}(${sides.join(",")})`, { code: "set-missing", set: name });
    if (v.nomatch !== undefined)
      return negate(
        v.set!.not,
        opaque(siteKey("set", site), "the nomatch elements of a set are not looked up"),
      );
    const counted: readonly (Given<bigint> | undefined)[] = [
      v.packetsEq,
      v.packetsLt,
      v.packetsGt,
      v.bytesEq,
      v.bytesLt,
      v.bytesGt,
    ];
    const member = facts.member(name, sides) ?? unknown;
    return negate(
      v.set!.not,
      counted.some((c) => c !== undefined) ? and(member, opaque(siteKey("set", site), uncounted)) : member,
    );
  },
});
