/**
 * CPU time and memory of parse() as a cold process, beside `iptables-nft-restore --test` on the same text.
 *
 *     npx esbuild test/bench/parse.ts --bundle --platform=node --format=esm --packages=external --outfile=node_modules/.cache/parse.mjs
 *     node node_modules/.cache/parse.mjs [runs]
 */

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { flat, kube, ufw } from "./generate.ts";

const folder = mkdtempSync(join(tmpdir(), "fwcheck-bench-"));
const runs = Number(process.argv[2] ?? 5);

/** CPU seconds and peak memory in MB of one process, as the shell sees them; `null` if it failed. */
function cost(command: readonly string[], input?: string): { cpu: number; report: string } | null {
  const script = `TIMEFORMAT='%U %S'; time "$@" ${input === undefined ? "" : `< ${input}`}`;
  const run = spawnSync("bash", ["-c", script, "bash", ...command], { encoding: "utf8" });
  if (run.status !== 0) return null;
  const [user, system] = run.stderr.trim().split("\n").at(-1)!.split(" ").map(Number);
  return { cpu: user! + system!, report: run.stdout.trim() };
}

const median = (list: number[]): number => list.sort((a, b) => a - b)[list.length >> 1]!;

const child = join(folder, "child.mjs");
await build({
  stdin: {
    contents: `
      import { readFileSync } from "node:fs";
      import { parse } from "./grammar/index.ts";
      const { document, diagnostics } = parse(readFileSync(process.argv[2]).toString());
      let rules = 0;
      for (const table of document.entries)
        for (const entry of table.entries ?? []) if (entry.kind === "rule") rules++;
      console.log(rules + " rules, " + diagnostics.length + " diagnostics, " + Math.round(process.resourceUsage().maxRSS / 1024) + " MB");`,
    resolveDir: process.cwd(),
  },
  bundle: true,
  format: "esm",
  platform: "node",
  outfile: child,
  logLevel: "warning",
});

const texts: Record<string, string> = {
  "kube 100,000": kube(100_000),
  "kube 10,000": kube(10_000),
  "flat 100,000": flat(100_000),
  "ufw 1,000 ports": ufw(1000),
};
const file = join(folder, "rules");
const restore = ["unshare", "-n", "iptables-nft-restore", "--test"];
try {
  for (const [name, text] of Object.entries(texts)) {
    writeFileSync(file, text);
    const ours: number[] = [];
    const theirs: number[] = [];
    let report = "";
    for (let i = 0; i < runs; i++) {
      const mine = cost([process.execPath, child, file]);
      const real = cost(restore, file);
      if (mine !== null) {
        ours.push(mine.cpu);
        report = mine.report;
      }
      if (real !== null) theirs.push(real.cpu);
    }
    const a = median(ours);
    const b = theirs.length > 0 ? median(theirs) : null;
    const beside =
      b === null ? "no iptables-nft-restore here" : `${b.toFixed(2)} s, ratio ${(a / b).toFixed(2)}`;
    const size = (statSync(file).size / 1e6).toFixed(1);
    console.log(
      `${name} (${size} MB; ${report}): parse ${a.toFixed(2)} s CPU; iptables-nft-restore --test ${beside}`,
    );
  }
} finally {
  rmSync(folder, { recursive: true });
}
