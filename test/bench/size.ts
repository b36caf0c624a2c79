/**
 * Curves of the cost by the size of a host: CPU time and peak memory of the command line as the package has it, start included,
 * and the exponent from the smallest to the largest size. `BENCH_ONLY="regular expression"` selects curves.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { dockerHost, kube } from "./generate.ts";
import { type HostFiles, hostFiles } from "./generate-inputs.ts";
import { commandLine, inFolder, type Measured, measured } from "./measure.ts";

/** One dimension of hosts. */
interface Curve {
  readonly name: string;
  readonly sizes: readonly number[];
  readonly files: (size: number) => HostFiles;
  /** Commands that are compared with each other; the first is `audit`. */
  readonly commands: readonly ("audit" | "fix")[];
  /** Most CPU seconds and megabytes of an audit of a size. */
  readonly asked?: Readonly<Record<number, readonly [seconds: number, megabytes: number]>>;
}

/** Greatest exponent, and the greatest cost of a fix in audits. */
const EXPONENT = 1.2;
const FIX = 1.7;

const CURVES: readonly Curve[] = [
  {
    name: "container networks of 5 ports each",
    sizes: [40, 80, 160],
    files: (networks) => hostFiles(dockerHost(networks * 5, { networks, rules: 60 })),
    commands: ["audit", "fix"],
    asked: { 160: [2, 250] },
  },
  {
    name: "many container networks",
    sizes: [320, 640, 1000],
    files: (networks) => hostFiles(dockerHost(networks * 5, { networks, rules: 60 })),
    commands: ["audit"],
  },
  {
    name: "published ports",
    sizes: [1000, 3000, 5000, 10_000],
    files: (ports) => hostFiles(dockerHost(ports)),
    commands: ["audit", "fix"],
    asked: { 10000: [5, 910] },
  },
  {
    name: "rules of kube-proxy",
    sizes: [10_000, 100_000],
    files: (rules) => ({ "save.txt": kube(rules) }),
    commands: ["audit"],
    asked: { 100000: [6, 500] },
  },
];

/** Appends `MISSED` to a result that is worse than asked. */
const judged = (text: string, value: number, most: number): string =>
  `${text} (asked: at most ${most}${value <= most ? "" : ", MISSED"})`;

const costText = ({ cpu, megabytes, exit }: Measured): string =>
  `${cpu.toFixed(2)} s CPU, ${Math.round(megabytes)} MB, exit code ${exit}${exit === 2 ? ", inconclusive" : ""}`;

/** Prints the costs of one size; returns the cost of each command. */
function measureSize(
  { asked, commands, name }: Curve,
  size: number,
  program: string,
  host: string,
): number[] {
  const costs = commands.map((command): number => {
    const cost = measured(program, [command, host]);
    const [seconds, most] = (command === "audit" ? asked?.[size] : undefined) ?? [Infinity, Infinity];
    const target = seconds === Infinity ? "" : ` (asked: at most ${seconds} s, ${most} MB`;
    const isMissed = cost.cpu > seconds || cost.megabytes > most;
    const judgement = target === "" ? "" : `${target}${isMissed ? ", MISSED" : ""})`;
    console.log(`${command}, ${size} ${name}: ${costText(cost)}${judgement}`);
    return cost.cpu;
  });
  const [audit, fix] = costs;
  if (fix !== undefined)
    console.log(judged(`  fix / audit: ${(fix / audit!).toFixed(2)}`, fix / audit!, FIX));
  return costs;
}

export const bench = (): Promise<void> =>
  inFolder(async (folder) => {
    const program = commandLine(join(folder, "dist"));
    const only = new RegExp(process.env.BENCH_ONLY ?? "");
    for (const [number, curve] of CURVES.entries()) {
      if (!only.test(curve.name)) continue;
      const costs = curve.sizes.map((size) => {
        const host = join(folder, `${number}-${size}`);
        mkdirSync(host);
        for (const [file, text] of Object.entries(curve.files(size))) writeFileSync(join(host, file), text);
        return measureSize(curve, size, program, host);
      });
      const [first, last] = [curve.sizes[0]!, curve.sizes.at(-1)!];
      for (const [i, command] of curve.commands.entries()) {
        const exponent = Math.log(costs.at(-1)![i]! / costs[0]![i]!) / Math.log(last / first);
        const text = `  exponent of ${command}, ${first} to ${last} ${curve.name}: ${exponent.toFixed(2)}`;
        console.log(judged(text, exponent, EXPONENT));
      }
    }
  });
