/** Lists of recent addresses (net/netfilter/xt_recent.c), which are not part of the ruleset. */
import { maxAddress } from "../../packet/address.ts";
import { ANY, negate, opaque } from "../../packet/predicate.ts";
import { siteKey } from "../../rules/facts.ts";
import { netmask } from "../address-codecs.ts";
import { match, negatable, option, Unreadable } from "../extension.ts";
import { number } from "../number-codecs.ts";
import { flag, text } from "../word-codecs.ts";

const why = "the list of recent addresses is not known";

export const recent = match({
  name: "recent",
  opaque: `${why}; --set alone always matches`,
  options: {
    set: negatable("--set", flag),
    rcheck: negatable("--rcheck", flag),
    update: negatable("--update", flag),
    remove: negatable("--remove", flag),
    seconds: option("--seconds", number(0xffff_ffff)),
    reap: option("--reap", flag),
    hitcount: option("--hitcount", number(0xffff_ffff)),
    rttl: option("--rttl", flag),
    name: option("--name", text(199, "the name of a list, at most 199 bytes", 1)),
    mask: option("--mask", netmask),
    rsource: option("--rsource", flag),
    rdest: option("--rdest", flag),
  },
  normalize(values, { family }) {
    const { set, rcheck, update, remove, rsource, rdest, ...rest } = values;
    if ([set, rcheck, update, remove].filter((g) => g !== undefined).length !== 1)
      return new Unreadable("exactly one of --set, --rcheck, --update and --remove");
    const looks = rcheck !== undefined || update !== undefined;
    if ((values.seconds !== undefined || values.hitcount !== undefined) && !looks)
      return new Unreadable("--rcheck or --update for --seconds and --hitcount");
    if (values.reap !== undefined && values.seconds === undefined)
      return new Unreadable("--seconds for --reap");
    return {
      ...(set === undefined ? {} : { set }),
      ...(rcheck === undefined ? {} : { rcheck }),
      ...(update === undefined ? {} : { update }),
      ...(remove === undefined ? {} : { remove }),
      ...rest,
      name: values.name ?? { not: false, value: "DEFAULT" },
      mask: values.mask ?? { not: false, value: maxAddress(family) },
      ...(rdest === undefined ? { rsource: rsource ?? { not: false, value: true as const } } : { rdest }),
    };
  },
  copy: ({ rdest }) => (rdest === undefined ? "unchanged" : "never"),
  conditions: ({ set, update, remove, rcheck, rdest, name }) => {
    const given = set ?? update ?? remove ?? rcheck;
    const action = set !== undefined ? "set" : update !== undefined ? "update" : remove ? "remove" : "check";
    const side = rdest === undefined ? "src" : "dst";
    return { recents: [{ list: String(name?.value), side, action, not: given?.not === true }] };
  },
  predicate(values, _facts, site) {
    // --set always matches: it enters the address.
    if (values.set !== undefined) return negate(values.set.not, ANY);
    return opaque(siteKey("recent", site), why);
  },
});
