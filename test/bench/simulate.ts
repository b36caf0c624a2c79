/**
 * One packet and many: a rule that does not match, evaluated linearly; verdicts on a blocklist by the batch; and lines of
 * `--packets` on an ordinary host. In one process for the first two, whose figures are printed next to what the same machine
 * takes for loads that miss its caches, and without the time to read rules.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bundle, commandLine, cost, inFolder } from "./measure.ts";

const rules = Number(process.env.BENCH_RULES ?? 100_000);
const HOST = "examples/ufw-docker-20.10";
/** Discards the output: printing is not part of the measurement. */
const QUIET = `"$@" > /dev/null`;

const child = `
  import { readHost, readRuleset, Simulator, VERDICTS, verdicts } from "./lib/index.ts";
  import { blocklist, sent } from "./test/bench/generate.ts";

  const cpu = (what) => {
    const start = process.cpuUsage();
    what();
    const { user, system } = process.cpuUsage(start);
    return (user + system) * 1000;
  };
  const least = (times, what) => Math.min(...Array.from({ length: times }, () => cpu(what)));
  const addr = JSON.stringify([
    { ifname: "eth0", addr_info: [{ family: "inet", local: "203.0.113.1", prefixlen: 24 }] },
  ]);
  const hostOf = (rulesets) => readHost({ addr: [{ name: "addr", text: addr }] }, rulesets);

  // No rule matches; two lists of different length, so that the way to and from the list cancels out.
  const linear = (size) => {
    const { rulesets } = readRuleset([{ name: "rules", text: blocklist(size).text }]);
    const simulator = new Simulator(rulesets, hostOf(rulesets));
    const packet = { family: 4, in: "eth0", src: 0xe0000000 - 1, dst: 0xcb007101, proto: 17, sport: 5, dport: 9 };
    const one = () => simulator.packet({ ...packet, state: "INVALID" });
    for (let i = 0; i < 60; i++) one();
    return least(7, () => { for (let i = 0; i < 20; i++) one(); }) / 20;
  };
  const [some, more] = [1000, 5000];
  console.log("linear: " + ((linear(more) - linear(some)) / (more - some)).toFixed(1) + " ns a rule (at most 8)");

  const size = ${rules};
  const list = blocklist(size);
  const { rulesets } = readRuleset([{ name: "rules", text: list.text }]);
  const host = hostOf(rulesets);
  const first = sent(list, 5000, 1);
  const start = cpu(() => verdicts(rulesets, host, first));
  const packets = sent(list, 1_000_000, 2);
  let codes;
  const time = least(7, () => { codes = verdicts(rulesets, host, packets); });
  const counts = VERDICTS.map((word, code) => word + " " + codes.filter((c) => c === code).length);
  console.log("batch: " + (1e3 / (time / packets.src.length)).toFixed(2) + " million packets a second (at least 3), " +
    size + " rules; " + counts.join(", ") + "; the first call, index included, " + (start / 1e6).toFixed(0) + " ms");

  // What a load costs here that depends on the one before, in as much memory as the index takes and in 16 times it.
  for (const words of [1 << 19, 1 << 23]) {
    const next = new Int32Array(words);
    let at = 0;
    for (let i = 0; i < words; i++) {
      const to = (at + 1 + Math.imul(i, 0x9e3779b1) >>> 0) & (words - 1);
      next[at] = to;
      at = to;
    }
    let sum = 0;
    const loads = least(5, () => { for (let i = 0, p = 0; i < 1e6; i++) { p = (next[p] + i) & (words - 1); sum += p; } });
    console.log("  beside it: " + (loads / 1e6).toFixed(0) + " ns a dependent load out of " + ((words * 4) >> 20) + " MB" + (sum < 0 ? "!" : ""));
  }
`;

/** Lines for the ordinary host: what comes from outside to its ports, from containers, and from itself. */
function lines(count: number): string {
  const out: string[] = [];
  for (let i = 0; i < count; i++) {
    const sport = 1024 + ((i * 7919) % 60_000);
    const from = `203.0.113.${2 + (i % 250)}`;
    const kinds = [
      {
        in: "eth0",
        src: from,
        dst: "203.0.113.1",
        proto: "tcp",
        sport,
        dport: [22, 8080, 9080, 8443, 443][i % 5],
      },
      { in: "eth0", src: from, dst: "172.17.0.2", proto: "tcp", sport, dport: 80, flags: "S" },
      { in: "docker0", src: `172.17.0.${2 + (i % 4)}`, dst: from, proto: "tcp", sport, dport: 443 },
      { in: null, src: "203.0.113.1", dst: from, proto: "udp", sport, dport: 53 },
      { in: "eth1", src: "10.99.0.2", dst: "10.99.0.1", proto: "icmp", type: 8, code: 0, id: i & 0xffff },
    ];
    out.push(JSON.stringify(kinds[(i * 31) % 7] ?? kinds[0]));
  }
  return `${out.join("\n")}\n`;
}

export const bench = (): Promise<void> =>
  inFolder(async (folder) => {
    const program = await bundle(child, join(folder, "child.mjs"));
    const run = cost([process.execPath, program]);
    if (run === null) throw new Error("the bench failed");
    console.log(run.output);

    const main = commandLine(folder);
    const file = join(folder, "packets");
    const times: number[][] = [[], []];
    const counts = [1000, 41_000];
    for (let i = 0; i < 5; i++)
      counts.forEach((count, n) => {
        writeFileSync(file, lines(count));
        const each = cost([
          "sh",
          "-c",
          QUIET,
          "sh",
          process.execPath,
          main,
          "simulate",
          HOST,
          "--packets",
          file,
        ]);
        if (each === null) throw new Error("--packets failed");
        times[n]!.push(each.cpu);
      });
    const [few, many] = times.map((list) => Math.min(...list));
    const rate = (counts[1]! - counts[0]!) / (many! - few!);
    console.log(
      `--packets: ${Math.round(rate / 100) / 10} thousand lines a second with full paths (at least 30), ${HOST} ` +
        `(${readFileSync(join(HOST, "iptables-save.txt"), "utf8").split("\n").length} lines of rules)`,
    );
  });
