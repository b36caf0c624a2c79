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
    const program = await bundle("simulate", folder);
    const run = cost([process.execPath, program, String(rules)]);
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
