/**
 * Cost of the audit: CPU time of a cold process, start-up and reading included; the minimum of `BENCH_RUNS` (3) runs.
 * Each figure is printed with its target, and the results are checked, so that no empty answer is timed.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { dockerHost } from "./generate.ts";
import { bundle, type Cost, cost, inFolder } from "./measure.ts";

const runs = Number(process.env.BENCH_RUNS ?? 3);
const shared = "../shared/rulesets/";

/** The cheapest of some runs. */
function least(command: readonly string[], times = runs): Cost & { result: Record<string, number> } {
  const all = Array.from({ length: times }, () => cost(["timeout", "300", process.execPath, ...command]));
  const done = all.filter((c): c is Cost => c !== null);
  if (done.length < times) throw new Error(`the bench failed on ${command.join(" ")}`);
  const best = done.reduce((a, b) => (b.cpu < a.cpu ? b : a));
  return { ...best, result: JSON.parse(best.output) as Record<string, number> };
}

const withTarget = (cpu: number, most: number): string =>
  `${cpu.toFixed(2)} s CPU (asked: at most ${most} s${cpu <= most ? "" : ", MISSED"})`;

export const bench = (): Promise<void> =>
  inFolder(async (folder) => {
    const [all, decide, read] = await Promise.all([
      bundle("audit", folder),
      bundle("decide-chains", folder),
      bundle("load", folder),
    ]);
    for (const [ports, seconds, megabytes] of [[100], [300], [1000, 2, 300], [3000], [10_000, 20]] as const) {
      const host = dockerHost(ports);
      const files = { "save.txt": host.save, "addr.json": host.addr, "route.json": host.route };
      const place = join(folder, String(ports));
      mkdirSync(place);
      for (const [name, text] of Object.entries(files)) writeFileSync(join(place, name), text);
      const paths = Object.keys(files).map((name) => join(place, name));
      const { cpu, result } = least([all, ...paths], ports > 3000 ? 1 : runs);
      if (result.findings !== host.findings)
        throw new Error(`${ports} ports: ${result.findings} findings, and there are ${host.findings}`);
      const alone = least([read, paths[0]!]).cpu;
      console.log(
        `${ports} published ports, ufw of 300 rules: ${seconds === undefined ? `${cpu.toFixed(2)} s CPU` : withTarget(cpu, seconds)}, ${result.mb} MB${megabytes === undefined ? "" : ` (asked: at most ${megabytes} MB)`}, ${((cpu / ports) * 1000).toFixed(2)} ms a port, ${(cpu / alone).toFixed(1)} times the reading; ${result.findings} findings, as there are`,
      );
    }
    if (!existsSync(shared)) return console.log("the rest is skipped: ../shared/rulesets is not here");
    const names = readdirSync(shared).filter((name) => name !== "README.md");
    for (const name of names.filter((n) => /TUM_Net|medium-sized-company__iptables-save$/.test(n))) {
      const { cpu, result } = least([decide, shared + name, "filter FORWARD"]);
      const rules = readFileSync(shared + name, "utf8")
        .split("\n")
        .filter((l) => /^(\[.*\] )?-A/.test(l)).length;
      if (result.decided !== 1) throw new Error(`${name} has no FORWARD`);
      console.log(
        `FORWARD of ${name} (${rules} rules), reading included: ${withTarget(cpu, 1)}, ${result.mb} MB`,
      );
    }
    let [every, audits, findings, given] = [0, 0, 0, 0];
    for (const name of names) {
      every += least([decide, shared + name], 1).cpu;
      const whole = least([all, shared + name], 1);
      audits += whole.cpu;
      findings += whole.result.findings!;
      given += whole.result.exceeded!;
    }
    const start = cost([process.execPath, "-e", "0"])!.cpu * names.length;
    console.log(
      `${names.length} files, every built-in chain: ${withTarget(every, 60)}, of which Node's start alone ${start.toFixed(1)} s`,
    );
    console.log(
      `${names.length} files, the whole audit: ${withTarget(audits, 60)}; ${findings} findings, ${given} given up`,
    );
  });
