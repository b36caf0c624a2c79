/**
 * Random and hashed choices: statistic, cluster, cpu (net/netfilter/xt_statistic.c, xt_cluster.c, xt_cpu.c).
 */
import { tracked } from "../../packet/connection.ts";
import { ANY, and, NEVER, negate, opaque } from "../../packet/predicate.ts";
import { sharedKey, siteKey } from "../../rules/facts.ts";
import { type Codec, match, negatable, option, Unreadable } from "../extension.ts";
import { hexNumber, number, positive } from "../number-codecs.ts";
import { oneOf, word } from "../word-codecs.ts";

/** Denominator of a probability in the kernel. */
const WHOLE = 2 ** 31;

const probability: Codec<number> = word(
  "a probability from 0 to 1",
  (text) => {
    if (!/^(\d{1,3}(\.\d{0,30})?|\.\d{1,30})$/.test(text)) return undefined;
    const p = Number(text);
    return p <= 1 ? Math.round(p * WHOLE) : undefined;
  },
  (parts) => {
    // As printf prints parts / 2^31 with %.11f: ties to even.
    const scaled = BigInt(parts) * 10n ** 11n;
    const rest = scaled & 0x7fff_ffffn;
    const half = 0x4000_0000n;
    let n = scaled >> 31n;
    if (rest > half || (rest === half && (n & 1n) === 1n)) n++;
    const digits = n.toString().padStart(12, "0");
    return `${digits.slice(0, -11)}.${digits.slice(-11)}`;
  },
);

const why = "the result is random or depends on the number of earlier packets";

export const statistic = match({
  name: "statistic",
  opaque: `${why}; a probability of 0 or 1 is exact`,
  options: {
    mode: option("--mode", oneOf(["random", "nth"])),
    probability: negatable("--probability", probability),
    every: negatable("--every", positive(0xffff_ffff)),
    packet: option("--packet", number(0xffff_ffff)),
  },
  normalize({ mode, probability: p, every, packet }) {
    if (mode === undefined) return new Unreadable("--mode random or --mode nth");
    if (mode.value === "random")
      return p === undefined || every !== undefined || packet !== undefined
        ? new Unreadable("--probability for --mode random, and nothing else")
        : { mode, probability: p };
    if (every === undefined || packet === undefined || p !== undefined)
      return new Unreadable("--every and --packet for --mode nth");
    if (packet.value >= every.value) return new Unreadable("a --packet below --every");
    return { mode, every, packet };
  },
  predicate({ probability: p, every }, _facts, site) {
    if (p?.value === WHOLE) return negate(p.not, ANY);
    if (p?.value === 0) return negate(p.not, NEVER);
    return negate((p ?? every)!.not, opaque(siteKey("statistic", site), why));
  },
});

const MAX = 0xffff_ffff;
const whyCluster = "the hash that selects a node of the cluster is not computed";

export const cluster = match({
  name: "cluster",
  traits: { needsConntrack: true },
  opaque: whyCluster,
  options: {
    mask: negatable("--cluster-local-nodemask", hexNumber(MAX, 8)),
    local: negatable("--cluster-local-node", positive(32)),
    total: option("--cluster-total-nodes", positive(32)),
    seed: option("--cluster-hash-seed", hexNumber(MAX, 8)),
  },
  normalize({ mask, local, total, seed }) {
    if (total === undefined || seed === undefined || (mask === undefined) === (local === undefined))
      return new Unreadable(
        "--cluster-total-nodes, --cluster-hash-seed, and one of --cluster-local-node and --cluster-local-nodemask",
      );
    const kept = mask ?? { not: local!.not, value: 2 ** (local!.value - 1) };
    if (kept.value >= 2 ** total.value) return new Unreadable("a node below --cluster-total-nodes");
    return { mask: kept, total, seed };
  },
  predicate: (v, _facts, site) =>
    and(tracked, negate(v.mask!.not, opaque(siteKey("cluster", site), whyCluster))),
});

const whyCpu = "the processor that handles a packet is not known";

export const cpu = match({
  name: "cpu",
  opaque: whyCpu,
  options: { cpu: negatable("--cpu", number(MAX)) },
  normalize: (v) => (v.cpu === undefined ? new Unreadable("--cpu") : v),
  predicate: (v) => negate(v.cpu!.not, opaque(sharedKey("cpu", String(v.cpu!.value)), whyCpu)),
});
