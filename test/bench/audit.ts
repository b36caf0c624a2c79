/**
 * Cost of the audit: CPU time of a cold process, start-up and reading included; the minimum of `BENCH_RUNS` (3) runs.
 * Each figure is printed with its target, and the results are checked, so that no empty answer is timed.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type DockerHost, dockerHost } from "./generate.ts";
import { dockerHostNft } from "./generate-nft.ts";
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

/** Writes the listings of a host to a folder; returns the files. */
function written(
  place: string,
  { addr, route }: Pick<DockerHost, "addr" | "route">,
  rules: Readonly<Record<string, string>>,
): string[] {
  mkdirSync(place);
  return Object.entries({ ...rules, "addr.json": addr, "route.json": route }).map(([name, text]) => {
    writeFileSync(join(place, name), text);
    return join(place, name);
  });
}

/** Throws unless the audit found what there is. */
function complete(
  result: Readonly<Record<string, number>>,
  { findings }: Pick<DockerHost, "findings">,
  of: string,
): void {
  if (result.findings !== findings)
    throw new Error(`${of}: ${result.findings} findings, and there are ${findings}`);
}

export const bench = (): Promise<void> =>
  inFolder(async (folder) => {
    const [all, decide, read] = await Promise.all([
      bundle("audit", folder),
      bundle("decide-chains", folder),
      bundle("load", folder),
    ]);
    for (const [ports, seconds, megabytes] of [[100], [300], [1000, 2, 300], [3000], [10_000, 20]] as const) {
      const host = dockerHost(ports);
      const paths = written(join(folder, String(ports)), host, { "save.txt": host.save });
      const { cpu, result } = least([all, ...paths], ports > 3000 ? 1 : runs);
      complete(result, host, `${ports} ports`);
      const alone = least([read, paths[0]!]).cpu;
      console.log(
        `${ports} published ports, ufw of 300 rules: ${seconds === undefined ? `${cpu.toFixed(2)} s CPU` : withTarget(cpu, seconds)}, ${result.mb} MB${megabytes === undefined ? "" : ` (asked: at most ${megabytes} MB)`}, ${((cpu / ports) * 1000).toFixed(2)} ms a port, ${(cpu / alone).toFixed(1)} times the reading; ${result.findings} findings, as there are`,
      );
    }
    for (const ports of [1000, 10_000]) {
      const hosts = {
        iptables: dockerHost(ports, { forward: "ACCEPT" }),
        nftables: dockerHostNft(ports),
      };
      const inputs = {
        iptables: written(join(folder, `iptables-${ports}`), hosts.iptables, {
          "save.txt": hosts.iptables.save,
        }),
        nftables: written(join(folder, `nftables-${ports}`), hosts.nftables, {
          "nft.txt": hosts.nftables.nft,
        }),
      };
      const cpu = { iptables: Infinity, nftables: Infinity };
      // In turns: a slow moment of the machine meets both.
      for (let run = 0; run < (ports > 3000 ? 2 : runs); run++)
        for (const language of ["iptables", "nftables"] as const) {
          const { cpu: used, result } = least([all, ...inputs[language]], 1);
          complete(result, hosts[language], `${ports} ports, ${language}`);
          cpu[language] = Math.min(cpu[language], used);
        }
      const ratio = cpu.nftables / cpu.iptables;
      console.log(
        `${ports} published ports in nftables: ${cpu.nftables.toFixed(2)} s CPU, ${ratio.toFixed(2)} times the ${cpu.iptables.toFixed(2)} s in iptables (asked: at most 1.3${ratio <= 1.3 ? "" : ", MISSED"}); ${hosts.nftables.findings} findings in both, as there are`,
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
