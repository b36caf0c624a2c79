/** Reverse path filter (net/ipv4/netfilter/ipt_rpfilter.c, net/ipv6/netfilter/ip6t_rpfilter.c). */
import { negate, opaque } from "../../packet/predicate.ts";
import { siteKey } from "../../rules/facts.ts";
import { match, option } from "../extension.ts";
import { flag } from "../word-codecs.ts";

export const rpfilter = match({
  name: "rpfilter",
  except: "if the routes of the host are not given",
  options: {
    loose: option("--loose", flag),
    validmark: option("--validmark", flag),
    acceptLocal: option("--accept-local", flag),
    invert: option("--invert", flag),
  },
  predicate: ({ loose, validmark, acceptLocal, invert }, facts, site) =>
    negate(
      invert !== undefined,
      facts.reversePath({
        loose: loose !== undefined,
        validmark: validmark !== undefined,
        acceptLocal: acceptLocal !== undefined,
      }) ??
        opaque(siteKey("rpfilter", site), "the routes of the host are not known (give them with --route)"),
    ),
});
