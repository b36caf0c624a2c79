// Bundles a program of the tests, which is TypeScript, and runs it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

const root = fileURLToPath(new URL("../", import.meta.url));

/**
 * Runs `run.ts` of a folder under test/ with the environment that `env` makes of its places; returns its exit code.
 * @param output where its output goes; `hold` prints it at the end
 */
export async function run(name, env, output = "show") {
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
    const stdout = output === "hold" ? "pipe" : "inherit";
    const child = spawn(process.execPath, [outfile], {
      stdio: ["inherit", stdout, "inherit"],
      env: all,
      cwd: root,
    });
    // The program ends its namespaces before it ends itself.
    for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
    const held = [];
    child.stdout?.on("data", (part) => held.push(part));
    const [code] = await once(child, "close");
    process.stdout.write(Buffer.concat(held));
    return code ?? 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
