/**
 * Targets that take the packet away from its way: TPROXY, SYNPROXY, CLUSTERIP (net/netfilter/xt_TPROXY.c,
 * net/ipv4/netfilter/ipt_SYNPROXY.c, ipt_CLUSTERIP.c of kernels before 6.1).
 */
import { PROTO } from "../../packet/field.ts";
import { address, flag, fullyMasked, hexNumber, number, oneOf, positive, word } from "../codecs.ts";
import { option, target, Unreadable } from "../extension.ts";
import { siteKey } from "../facts.ts";

const whyTproxy = "which sockets are open is not known";

export const tproxy = target({
  name: "TPROXY",
  tables: ["mangle"],
  needs: [PROTO.tcp, PROTO.udp],
  opaque: whyTproxy,
  options: {
    port: option("--on-port", number(0xffff)),
    ip: option("--on-ip", address),
    mark: option("--tproxy-mark", fullyMasked(0xffff_ffff)),
  },
  normalize: ({ port, ip, mark }, { family }) =>
    port === undefined
      ? new Unreadable("--on-port")
      : {
          port,
          ip: ip ?? { not: false, value: family === 4 ? 0 : 0n },
          mark: mark ?? { not: false, value: { value: 0, mask: 0 } },
        },
  act: (_values, _facts, site) => ({ kind: "opaque", key: siteKey("TPROXY", site), why: whyTproxy }),
});

const whySynproxy = "the kernel answers the handshake itself";

export const synproxy = target({
  name: "SYNPROXY",
  needs: [PROTO.tcp],
  opaque: whySynproxy,
  options: {
    sack: option("--sack-perm", flag),
    timestamp: option("--timestamp", flag),
    wscale: option("--wscale", number(14)),
    mss: option("--mss", number(0xffff)),
    ecn: option("--ecn", flag),
  },
  act: (_values, _facts, site) => ({ kind: "opaque", key: siteKey("SYNPROXY", site), why: whySynproxy }),
});

const MODES = ["sourceip", "sourceip-sourceport", "sourceip-sourceport-destport"] as const;
const whyCluster = "the hash that chooses a node of the cluster is not worked out";

export const clusterip = target({
  name: "CLUSTERIP",
  family: 4,
  tables: ["filter"],
  opaque: whyCluster,
  options: {
    fresh: option("--new", flag),
    mode: option("--hashmode", oneOf(MODES)),
    mac: option(
      "--clustermac",
      word(
        "a MAC address",
        (text) => (/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text) ? text.toUpperCase() : undefined),
        (text) => text,
      ),
    ),
    total: option("--total-nodes", positive(16)),
    local: option("--local-node", positive(16)),
    seed: option("--hash-init", hexNumber(0xffff_ffff)),
  },
  act: (_values, _facts, site) => ({ kind: "opaque", key: siteKey("CLUSTERIP", site), why: whyCluster }),
});
