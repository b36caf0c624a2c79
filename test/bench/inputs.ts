/**
 * Cost of hosts that are large in one input: CPU time and peak memory of the command line as the package has it, start
 * included, and the exit code. `BENCH_ONLY="regular expression"` selects rows.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kube } from "./generate.ts";
import {
  callHost,
  callRuleset,
  gotoHost,
  type HostFiles,
  interfaceHost,
  ipsetHost,
  nextHopHost,
  routeHost,
  ruleHost,
} from "./generate-inputs.ts";
import { commandLine, inFolder, measured } from "./measure.ts";

/** A command on a host. */
interface Row {
  readonly name: string;
  readonly files: () => HostFiles;
  /** The file among them that is the input; absent for the folder of all. */
  readonly input?: string;
  /** Words of the command line; the input follows. */
  readonly command: readonly string[];
  /** Most CPU seconds and megabytes. */
  readonly asked: readonly [seconds: number, megabytes: number];
  /** Exit codes of a right answer. */
  readonly exits: readonly number[];
}

/** A packet to a published port. */
const PACKET = "--in eth0 --src 198.51.100.7 --dst 203.0.113.1 --proto tcp --dport 2000".split(" ");

const ROWS: readonly Row[] = [
  {
    name: "audit, ipset of 10,000 entries",
    files: () => ipsetHost(10_000),
    command: ["audit"],
    asked: [2, 300],
    exits: [1],
  },
  {
    name: "audit, ipset of 50,000 entries",
    files: () => ipsetHost(50_000),
    command: ["audit"],
    asked: [2, 500],
    exits: [1],
  },
  {
    name: "audit, 10,000 routes",
    files: () => routeHost(10_000),
    command: ["audit"],
    asked: [2, 300],
    exits: [1],
  },
  {
    name: "audit, 50,000 routes",
    files: () => routeHost(50_000),
    command: ["audit"],
    asked: [10, 1000],
    exits: [1],
  },
  ...([256, 1000, 5000] as const).map(
    (interfaces): Row => ({
      name: `audit, ${interfaces} interfaces`,
      files: () => interfaceHost(interfaces),
      command: ["audit"],
      asked: interfaces === 256 ? [2, 250] : [10, 1000],
      // The packet sets of 5,000 interfaces exceed the limit.
      exits: [interfaces < 5000 ? 1 : 2],
    }),
  ),
  ...[
    { name: "audit, 10,000 gotos to one routing rule", files: () => gotoHost(10_000) },
    { name: "audit, 10,000 gotos to as many rules", files: () => gotoHost(10_000, true) },
    { name: "audit, a route of 200 next hops", files: () => nextHopHost(200) },
    { name: "audit, a route of 400 next hops", files: () => nextHopHost(400) },
    { name: "audit, 2,000 chains that call the next two", files: () => callHost(2000) },
    {
      name: "audit, 2,000 chains of nftables that call the next two",
      files: () => ({ "calls.nft": callRuleset(2000) }),
      input: "calls.nft",
    },
  ].map((row): Row => ({ ...row, command: ["audit"], asked: [10, 1000], exits: [1, 2] })),
  {
    name: "audit, 100,000 rules of kube-proxy",
    files: () => ({ "kube.txt": kube(100_000) }),
    input: "kube.txt",
    command: ["audit"],
    asked: [6, 500],
    // The exposure of pods is unknown.
    exits: [2],
  },
  ...[
    { name: "parse, 100,000 rules of kube-proxy", command: ["parse"] },
    { name: "parse --json, 100,000 rules of kube-proxy", command: ["parse", "--json"] },
  ].map(
    (row): Row => ({
      ...row,
      files: () => ({ "kube.txt": kube(100_000) }),
      input: "kube.txt",
      asked: [3, 300],
      exits: [0],
    }),
  ),
  {
    name: "report, 1,000 ports, 5,000 rules",
    files: () => ruleHost(5000),
    command: ["report"],
    asked: [10, 500],
    exits: [1],
  },
  {
    name: "simulate, 10,000 routes",
    files: () => routeHost(10_000),
    command: ["simulate", ...PACKET],
    asked: [2, 300],
    exits: [0],
  },
];

export const bench = (): Promise<void> =>
  inFolder(async (folder) => {
    const program = commandLine(join(folder, "dist"));
    const only = new RegExp(process.env.BENCH_ONLY ?? "");
    for (const [number, { name, files, input = ".", command, asked, exits }] of ROWS.entries()) {
      if (!only.test(name)) continue;
      const host = join(folder, String(number));
      mkdirSync(host);
      for (const [file, text] of Object.entries(files())) writeFileSync(join(host, file), text);
      const { cpu, megabytes, exit } = measured(program, [...command, join(host, input)]);
      const [seconds, most] = asked;
      const missed = cpu > seconds || megabytes > most ? ", MISSED" : "";
      if (exit === null || !exits.includes(exit)) throw new Error(`${name}: exit code ${exit}`);
      console.log(
        `${name}: ${cpu.toFixed(2)} s CPU, ${Math.round(megabytes)} MB, exit code ${exit} (asked: at most ${seconds} s, ${most} MB${missed})`,
      );
    }
  });
