/**
 * Native nftables: parse and load beside `nft -c -f` on the same file, one packet beside the same rules in iptables, and
 * batches through verdict maps and sets.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { bigSet, kubeNft } from "./generate-nft.ts";
import { bundle, cost, inFolder, loadText, median } from "./measure.ts";

const runs = Number(process.env.BENCH_RUNS ?? 5);

const texts: Readonly<Record<string, string>> = {
  "kube 100,000": kubeNft(100_000),
  "a set of 1,000,000": bigSet(1_000_000),
};

export const bench = (): Promise<void> =>
  inFolder(async (folder) => {
    const program = await bundle("load", folder);
    const file = join(folder, "rules.nft");
    // A network namespace of its own: the command below tests, and even so it shall see no real rule.
    const check = ["unshare", "-n", "nft", "-c", "-f", file];
    for (const [name, text] of Object.entries(texts)) {
      writeFileSync(file, text);
      const ours: number[] = [];
      const theirs: number[] = [];
      let output = "";
      for (let i = 0; i < runs; i++) {
        const mine = cost([process.execPath, program, file]);
        if (mine === null) throw new Error(`the bench failed on ${name}`);
        ours.push(mine.cpu);
        output = loadText(mine.output);
        const real = cost(check);
        if (real !== null) theirs.push(real.cpu);
      }
      const seconds = (list: readonly number[]): string => `${median(list).toFixed(3)} s`;
      console.log(`${name} (${(text.length / 1e6).toFixed(1)} MB; ${output})`);
      console.log(`  parse and load, cold process:  ${seconds(ours)} CPU`);
      console.log(
        theirs.length === 0
          ? "  nft -c -f:                     skipped, it is not here or may not run (it needs root)"
          : `  nft -c -f:                     ${seconds(theirs)} CPU; ratio ${(median(ours) / median(theirs)).toFixed(2)} (at most 0.3)`,
      );
    }
    const run = cost([process.execPath, await bundle("nftables", folder)]);
    if (run === null) throw new Error("the bench failed");
    console.log(run.output);
  });
