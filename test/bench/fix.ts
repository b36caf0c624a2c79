/**
 * Cost of a fix with its proof, next to the audit of the same host: CPU time of a cold process, start-up and
 * reading; the least of `BENCH_RUNS` (3) runs, taken in turns.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { dockerHost } from "./generate.ts";
import { bundle, cost, inFolder } from "./measure.ts";

const runs = Number(process.env.BENCH_RUNS ?? 3);

export const bench = (): Promise<void> =>
  inFolder(async (folder) => {
    const made = await bundle("fix", folder);
    for (const ports of [100, 1000]) {
      const host = dockerHost(ports);
      const place = join(folder, String(ports));
      mkdirSync(place);
      const paths = ["save", "addr", "route"].map((name) => join(place, name));
      for (const [i, text] of [host.save, host.addr, host.route].entries()) writeFileSync(paths[i]!, text);
      const ways = ["audit", "auto", "ipset"];
      const least = new Map<string, { cpu: number; output: string }>();
      for (let run = 0; run < runs; run++)
        for (const way of ways) {
          const found = cost([process.execPath, made, way, ...paths]);
          if (found === null) throw new Error(`the bench failed on ${ports} ports, ${way}`);
          if (found.cpu < (least.get(way)?.cpu ?? Infinity)) least.set(way, found);
        }
      const audit = least.get("audit")!.cpu;
      for (const way of ways.slice(1)) {
        const { cpu, output } = least.get(way)!;
        const { holds, closed, rules, sets, mb } = JSON.parse(output);
        if (holds !== true || closed !== host.findings) throw new Error(`${ports} ports, ${way}: ${output}`);
        const ratio = cpu / audit;
        console.log(
          `${ports} published ports, strategy ${way}, proof included: ${cpu.toFixed(2)} s CPU, ${ratio.toFixed(1)} times the audit's ${audit.toFixed(2)} s (asked: at most 2${ratio <= 2 ? "" : ", MISSED"}), ${mb} MB; ${closed} findings closed by ${rules} rules, ${sets} of them by a set`,
        );
      }
    }
  });
