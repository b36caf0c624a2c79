/** Cost of a whole process relative to `node -e 0` in the same run: CPU time, start-up included. */
import { commandLine, cost, inFolder } from "./measure.ts";

const runs = Number(process.env.BENCH_RUNS ?? 15);
const HOST = "examples/ufw-docker-20.10";
const PACKET = ["--in", "eth0", "--src", "203.0.113.2", "--dst", "203.0.113.1", "--dport", "8080"];

export const bench = (): Promise<void> =>
  inFolder(async (folder) => {
    const main = commandLine(folder);
    const commands: [string, string[], number | null][] = [
      ["node -e 0", [process.execPath, "-e", "0"], null],
      ["fwcheck --version", [process.execPath, main, "--version"], 2.5],
      ["fwcheck simulate, one packet", [process.execPath, main, "simulate", HOST, ...PACKET], 3],
    ];
    // In turns, and the least of each: what else the machine does only ever adds.
    const least = commands.map(() => Number.POSITIVE_INFINITY);
    for (let i = 0; i < runs; i++)
      commands.forEach(([name, command], n) => {
        const run = cost(command);
        if (run === null) throw new Error(`${name} failed`);
        least[n] = Math.min(least[n]!, run.cpu);
      });
    commands.forEach(([name, , most], n) => {
      const ratio =
        most === null ? "" : `, ${(least[n]! / least[0]!).toFixed(2)} times node -e 0 (at most ${most})`;
      console.log(`${name}: ${least[n]!.toFixed(3)} s CPU${ratio}`);
    });
  });
