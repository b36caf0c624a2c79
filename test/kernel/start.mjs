// Bundles the judge, which is TypeScript, and runs it.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("../../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "fwcheck-kernel-"));
const outfile = join(folder, "run.mjs");
let code = 1;
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
    outfile,
    logLevel: "error",
  });
  const env = { ...process.env, KERNEL_FOLDER: here, KERNEL_ROOT: root };
  code = spawnSync(process.execPath, [outfile], { stdio: "inherit", env }).status ?? 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(code);
