/** Whether an answer would leave where the packet came in (net/ipv4/netfilter/ipt_rpfilter.c, and IPv6's). */
import { negate, opaque } from "../../packet/predicate.ts";
import { siteKey } from "../../rules/facts.ts";
import { flag } from "../codecs.ts";
import { match, option } from "../extension.ts";

export const rpfilter = match({
  name: "rpfilter",
  except: "where the routes of the host are not given",
  options: {
    loose: option("--loose", flag),
    validmark: option("--validmark", flag),
    acceptLocal: option("--accept-local", flag),
    invert: option("--invert", flag),
  },
  ask: ({ loose, validmark, acceptLocal, invert }, facts, site) =>
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
