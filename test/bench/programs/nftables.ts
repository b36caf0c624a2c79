/** Program of the nftables bench: one packet beside the same rules in iptables, and batches through maps and sets. */
import {
  type PacketColumns,
  type Ruleset,
  readHost,
  readRuleset,
  Simulator,
  VERDICTS,
  verdicts,
} from "../../../lib/index.ts";
import { linearRules, mapsAndSets } from "../generate-nft.ts";
import { leastCpu } from "./resources.ts";

const addr = JSON.stringify([
  { ifname: "eth0", addr_info: [{ family: "inet", local: "203.0.113.1", prefixlen: 24 }] },
]);
const hostOf = (rulesets: readonly Ruleset[]) => readHost({ addr: [{ name: "addr", text: addr }] }, rulesets);

/** CPU time of one packet that no rule matches, in nanoseconds. */
function onePacket(text: string): number {
  const { rulesets } = readRuleset([{ name: "rules", text }]);
  const simulator = new Simulator(rulesets, hostOf(rulesets));
  const one = (): unknown =>
    simulator.packet({
      ...{ family: 4, in: "eth0", src: 0xe0000000 - 1, dst: 0xcb007101, proto: 6, sport: 5, dport: 22 },
      state: "INVALID",
    } as const);
  for (let i = 0; i < 60; i++) one();
  return (
    leastCpu(7, () => {
      for (let i = 0; i < 20; i++) one();
    }) / 20
  );
}

const { iptables, nft } = linearRules(5000);
const [theirs, ours] = [onePacket(iptables), onePacket(nft)];
console.log(
  `simulate, 5,000 rules that do not match: ${(ours / 1e3).toFixed(1)} µs a packet, ${(ours / theirs).toFixed(2)} times the same rules in iptables (at most 1.5)`,
);

const { text, addresses } = mapsAndSets(10_000);
const { rulesets } = readRuleset([{ name: "rules", text }]);
const host = hostOf(rulesets);
const count = 1_000_000;
const src = new Uint32Array(count);
const dport = new Uint16Array(count);
for (let i = 0; i < count; i++) {
  const n = Math.imul(i, 0x9e3779b1) >>> 0;
  src[i] =
    n & 1
      ? addresses[(n >>> 1) % addresses.length]!
      : (addresses[(n >>> 1) % addresses.length]! ^ 0x0100) >>> 0;
  dport[i] = n % 3 === 0 ? 22 : n & 0xffff;
}
const packets: PacketColumns = { family: 4, in: "eth0", src, dst: 0xcb007101, proto: 6, sport: 40000, dport };
let codes = verdicts(rulesets, host, packets);
const time = leastCpu(5, () => {
  codes = verdicts(rulesets, host, packets);
});
const counts = VERDICTS.map((verdict, code) => `${verdict} ${codes.filter((c) => c === code).length}`);
console.log(
  `batch through a verdict map and a set of 10,000: ${(1e3 / (time / count)).toFixed(2)} million packets a second (at least 3); ${counts.join(", ")}`,
);
