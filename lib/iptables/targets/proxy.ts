/**
 * Targets that divert the packet from its path: TPROXY, SYNPROXY, CLUSTERIP (net/netfilter/xt_TPROXY.c,
 * net/ipv4/netfilter/ipt_SYNPROXY.c, ipt_CLUSTERIP.c of kernels before 6.1).
 */
import { PROTO, TCP_FLAGS } from "../../packet/field.ts";
import { bits, opaque, or } from "../../packet/predicate.ts";
import { ACCEPT, DROP, NOTE, unknownEffect } from "../../rules/effect.ts";
import { siteKey } from "../../rules/facts.ts";
import { address } from "../address-codecs.ts";
import { option, target, Unreadable } from "../extension.ts";
import { fullyMasked, hexNumber, number, positive } from "../number-codecs.ts";
import { flag, oneOf, word } from "../word-codecs.ts";

const whyTproxy = "the open sockets are not known";

export const tproxy = target({
  name: "TPROXY",
  traits: { assignsSocket: true, defragments: true },
  tables: ["mangle"],
  protocols: [PROTO.tcp, PROTO.udp],
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
  effect({ mark }, _facts, site) {
    const { value, mask } = mark!.value;
    return {
      kind: "fork",
      when: opaque(siteKey("TPROXY", site), whyTproxy),
      yes: {
        kind: "assign",
        field: "mark",
        change: { kind: "bits", clear: mask, xor: value },
        next: { kind: "assign", field: "socket", change: { kind: "bits", clear: 1, xor: 1 }, next: ACCEPT },
      },
      no: DROP,
    };
  },
});

const whySynproxy = "SYNPROXY answers the handshake itself";

/** A SYN or an ACK, not both, without FIN and RST. */
const handshake = or(bits("flags", 0x17, TCP_FLAGS.SYN), bits("flags", 0x17, TCP_FLAGS.ACK));

export const synproxy = target({
  name: "SYNPROXY",
  traits: { needsConntrack: true },
  protocols: [PROTO.tcp],
  except: "the connection that it opens is not modelled",
  options: {
    sack: option("--sack-perm", flag),
    timestamp: option("--timestamp", flag),
    wscale: option("--wscale", number(14)),
    mss: option("--mss", number(0xffff)),
    ecn: option("--ecn", flag),
  },
  effect: () => ({
    kind: "fork",
    when: handshake,
    yes: { kind: "stolen", reason: { code: "target-keeps", text: whySynproxy } },
    no: NOTE,
  }),
});

const MODES = ["sourceip", "sourceip-sourceport", "sourceip-sourceport-destport"] as const;
const whyCluster = "the hash that selects a node of the cluster is not computed";

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
  effect: (_values, _facts, site) => unknownEffect(siteKey("CLUSTERIP", site), whyCluster),
});
