// Bundles a program of the tests, which is TypeScript, and runs it.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

const root = fileURLToPath(new URL("../", import.meta.url));

/** Runs `run.ts` of a folder under test/ with the environment that `env` makes of its places; returns its exit code. */
export function run(name, env) {
  const here = join(root, "test", name, "/");
  const folder = mkdtempSync(join(tmpdir(), `fwcheck-${name.replaceAll("/", "-")}-`));
  const outfile = join(folder, "run.mjs");
  try {
    buildSync({
      entryPoints: [join(here, "run.ts")],
      bundle: true,
      platform: "node",
      format: "esm",
      banner: {
        js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
      },
      alias: { fwcheck: join(root, "lib/index.ts") },
      // The report is not written there.
      external: ["#page"],
      outfile,
      logLevel: "error",
    });
    const all = { ...process.env, ...env({ here, root, folder }) };
    return spawnSync(process.execPath, [outfile], { stdio: "inherit", env: all, cwd: root }).status ?? 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
