/**
 * CPU time and memory of `readRuleset` in a cold process, beside `iptables-nft-restore --test` on the same text in the
 * same run. `BENCH_RUNS=15` for quieter figures.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { flat, kube, ufw } from "./generate.ts";
import { bundle, cost, inFolder, loadText, median } from "./measure.ts";

const runs = Number(process.env.BENCH_RUNS ?? 7);

const texts: Readonly<Record<string, string>> = {
  "kube 100,000": kube(100_000),
  "kube 10,000": kube(10_000),
  "flat 100,000": flat(100_000),
  "ufw 1,000 ports": ufw(1000),
};

export const bench = (): Promise<void> =>
  inFolder(async (folder) => {
    const program = await bundle("load", folder);
    const file = join(folder, "rules");
    // A network namespace of its own: the command below tests, and even so it shall see no real rule.
    const restore = ["unshare", "-n", "iptables-nft-restore", "--test", file];
    for (const [name, text] of Object.entries(texts)) {
      writeFileSync(file, text);
      const ours: number[] = [];
      const theirs: number[] = [];
      const start: number[] = [];
      let output = "";
      for (let i = 0; i < runs; i++) {
        const mine = cost([process.execPath, program, file]);
        if (mine === null) throw new Error(`the bench failed on ${name}`);
        ours.push(mine.cpu);
        output = loadText(mine.output);
        start.push(cost([process.execPath, "-e", "0"])!.cpu);
        const real = cost(restore);
        if (real !== null) theirs.push(real.cpu);
      }
      const seconds = (list: readonly number[]): string => `${median(list).toFixed(3)} s`;
      console.log(`${name} (${(text.length / 1e6).toFixed(1)} MB; ${output})`);
      console.log(
        `  parse and load, cold process:  ${seconds(ours)} CPU, of which Node alone ${seconds(start)}`,
      );
      console.log(
        theirs.length === 0
          ? "  iptables-nft-restore --test:   skipped, it is not here or may not run (it needs root)"
          : `  iptables-nft-restore --test:   ${seconds(theirs)} CPU; ratio ${(median(ours) / median(theirs)).toFixed(2)}`,
      );
    }
  });
