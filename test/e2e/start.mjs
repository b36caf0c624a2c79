// Bundles the end-to-end test, which is TypeScript, and the program itself, and runs the one upon the other.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("../../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "fwcheck-e2e-"));
const outfile = join(folder, "run.mjs");
let code = 1;
try {
  buildSync({
    entryPoints: [join(here, "run.ts")],
    bundle: true,
    platform: "node",
    format: "esm",
    outfile,
    logLevel: "error",
  });
  const env = { ...process.env, E2E_FOLDER: here, E2E_ROOT: root, E2E: folder };
  code = spawnSync(process.execPath, [outfile], { stdio: "inherit", env, cwd: root }).status ?? 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(code);
