/**
 * `npm run fuzz [INPUTS] [SEED] [PART]`: parses and loads INPUTS generated texts and mutated real files of each PART,
 * `iptables` or `nftables`. No input may cause an exception or take long. Without PART both run at the same time, and both
 * must succeed. Without SEED each run has other inputs.
 */
import { spawn } from "node:child_process";
import { fuzzIptables } from "./fuzz-iptables.ts";
import { fuzzNftables } from "./fuzz-nftables.ts";

const PARTS = new Map([
  ["iptables", fuzzIptables],
  ["nftables", fuzzNftables],
]);

const inputs = Number(process.argv[2] ?? process.env.FUZZ_RUNS ?? 200_000);
const seed = Number(process.argv[3] ?? process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
const part = process.argv[4];

interface Run {
  readonly ok: boolean;
  readonly output: string;
}

/** Runs a part in a process of its own. */
function run(name: string): Promise<Run> {
  const child = spawn(process.execPath, [process.argv[1]!, String(inputs), String(seed), name]);
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  return new Promise((resolve, reject) =>
    child.on("error", reject).on("close", (code) => resolve({ ok: code === 0, output })),
  );
}

/** Runs both parts. The output of those that failed comes last, because often only the end of a log is kept. */
async function runAll(): Promise<void> {
  console.log(`seed ${seed}`);
  const runs = await Promise.all([...PARTS.keys()].map(run));
  for (const { output } of runs.sort((a, b) => Number(b.ok) - Number(a.ok))) process.stdout.write(output);
  process.exitCode = runs.every(({ ok }) => ok) ? 0 : 1;
}

const fuzzPart = PARTS.get(part ?? "");
if (fuzzPart !== undefined) fuzzPart(inputs, seed);
else if (part === undefined) await runAll();
else {
  console.error(`unknown part ${part}; there are ${[...PARTS.keys()].join(" and ")}`);
  process.exitCode = 1;
}
