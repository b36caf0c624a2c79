/** Program of the simulate bench: `RULES`, the length of the blocklist for batches. */
import {
  type PacketColumns,
  type Ruleset,
  readHost,
  readRuleset,
  Simulator,
  VERDICTS,
  verdicts,
} from "../../../lib/index.ts";
import { blocklist, sent } from "../generate.ts";
import { leastCpu } from "./resources.ts";

const addr = JSON.stringify([
  { ifname: "eth0", addr_info: [{ family: "inet", local: "203.0.113.1", prefixlen: 24 }] },
]);
const hostOf = (rulesets: readonly Ruleset[]) => readHost({ addr: [{ name: "addr", text: addr }] }, rulesets);

/** CPU time of a packet that no rule matches. The difference of two lengths cancels out the rest of its path. */
function linear(size: number): number {
  const { rulesets } = readRuleset([{ name: "rules", text: blocklist(size).text }]);
  const simulator = new Simulator(rulesets, hostOf(rulesets));
  const one = (): unknown =>
    simulator.packet({
      family: 4,
      in: "eth0",
      src: 0xe0000000 - 1,
      dst: 0xcb007101,
      proto: 17,
      sport: 5,
      dport: 9,
      state: "INVALID",
    });
  for (let i = 0; i < 60; i++) one();
  const twenty = (): void => {
    for (let i = 0; i < 20; i++) one();
  };
  return leastCpu(7, twenty) / 20;
}
const [some, more] = [1000, 5000];
console.log(`linear: ${((linear(more) - linear(some)) / (more - some)).toFixed(1)} ns a rule (at most 8)`);

const size = Number(process.argv[2]);
const list = blocklist(size);
const { rulesets } = readRuleset([{ name: "rules", text: list.text }]);
const host = hostOf(rulesets);
const first: PacketColumns = sent(list, 5000, 1);
const start = leastCpu(1, () => verdicts(rulesets, host, first));
const packets = sent(list, 1_000_000, 2);
let codes: ReturnType<typeof verdicts> | undefined;
const time = leastCpu(7, () => {
  codes = verdicts(rulesets, host, packets);
});
const counts = VERDICTS.map((verdict, code) => `${verdict} ${codes!.filter((c) => c === code).length}`);
const rate = 1e3 / (time / packets.src.length);
console.log(
  `batch: ${rate.toFixed(2)} million packets a second (at least 3), ${size} rules; ${counts.join(", ")}; the first call, index included, ${(start / 1e6).toFixed(0)} ms`,
);

// Cost of a load that depends on the previous one, in as much memory as the index takes and in 16 times as much.
for (const words of [1 << 19, 1 << 23]) {
  const next = new Int32Array(words);
  let at = 0;
  for (let i = 0; i < words; i++) {
    const to = (at + 1 + (Math.imul(i, 0x9e3779b1) >>> 0)) & (words - 1);
    next[at] = to;
    at = to;
  }
  let sum = 0;
  const loads = leastCpu(5, () => {
    for (let i = 0, p = 0; i < 1e6; i++) {
      p = (next[p]! + i) & (words - 1);
      sum += p;
    }
  });
  console.log(
    `  beside it: ${(loads / 1e6).toFixed(0)} ns a dependent load out of ${(words * 4) >> 20} MB${sum < 0 ? "!" : ""}`,
  );
}
