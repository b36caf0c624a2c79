/** Connections of the virtual server (net/netfilter/xt_ipvs.c), whose tables are not part of the input. */
import { opaque } from "../../packet/predicate.ts";
import { siteKey } from "../../rules/facts.ts";
import { shortPrefix } from "../address-codecs.ts";
import { match, negatable, option } from "../extension.ts";
import { ports } from "../port-codecs.ts";
import { flag, oneOf, protocolDigits } from "../word-codecs.ts";

const why = "the connections of the virtual server are not known";

export const ipvs = match({
  name: "ipvs",
  opaque: why,
  options: {
    ipvs: negatable("--ipvs", flag),
    proto: negatable("--vproto", protocolDigits),
    address: negatable("--vaddr", shortPrefix),
    port: negatable("--vport", ports),
    dir: option("--vdir", oneOf(["ORIGINAL", "REPLY"], { fold: true })),
    method: negatable("--vmethod", oneOf(["GATE", "IPIP", "MASQ"], { fold: true })),
    control: negatable("--vportctl", ports),
  },
  predicate: (_values, _facts, site) => opaque(siteKey("ipvs", site), why),
});
