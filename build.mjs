// Builds dist/: the library, the command line, the type declarations, and the list of bundled packages.
// `--js` builds the JavaScript alone, `--cli` the command line alone, `--watch` rebuilds after each change;
// `--outdir=DIR` replaces dist/.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { build, context } from "esbuild";
import { listBundled } from "./.ci/bundled.mjs";
import { setModes } from "./.ci/modes.mjs";
import { pagePlugin } from "./lib/report/html/page/bundle.mjs";

/** The script of the report, which is bundled by itself. */
const PAGE = join("lib", "report", "html", "page");
const cliOnly = process.argv.includes("--cli");
const scriptsOnly = cliOnly || process.argv.includes("--js");
const outdir = process.argv.find((word) => word.startsWith("--outdir="))?.slice("--outdir=".length) ?? "dist";
const watch = process.argv.includes("--watch");

const common = {
  bundle: true,
  format: "esm",
  platform: "neutral",
  mainFields: ["module", "main"],
  target: "node20",
  minifySyntax: true,
  external: ["node:*", "assert", "fs", "path", "url", "util"],
  outbase: ".",
  outdir,
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
  plugins: [pagePlugin],
};

/** TypeScript files of a folder and its subfolders, but for declarations. */
const sources = (folder) =>
  readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts"))
    .map((name) => join(folder, name));

/** Each entry point becomes a chunk, so that a user's bundler drops the rooms that the user does not import. */
const library = {
  ...common,
  splitting: true,
  entryPoints: [
    "lib/index.ts",
    "lib/packet/packet-json.ts",
    "lib/iptables/load.ts",
    "lib/host/read.ts",
    "lib/simulate/simulator.ts",
    "lib/audit/audit.ts",
    "lib/audit/expectations.ts",
    "lib/fix/fix.ts",
    ...sources("lib/compare"),
    ...sources("lib/query-language"),
    ...sources("lib/report").filter((file) => !file.startsWith(PAGE)),
    "grammar/iptables/index.ts",
    "grammar/nftables/index.ts",
  ],
};

/**
 * Each command is two files, so that a call loads one command only, and help and completion load its declaration but
 * not the library.
 */
const commandLine = {
  ...common,
  entryPoints: [
    "cli/main.ts",
    "cli/audit-worker.ts",
    ...sources("cli/declarations"),
    ...sources("cli/commands"),
  ],
  alias: { "string-width": "./cli/string-width.ts" },
  loader: { ".sh": "text" },
  external: [...common.external, "./declarations/*", "./commands/*", "../commands/*"],
  minifyWhitespace: true,
};

/** Commands that are called by people and in CI, not in loops, share chunks: each by itself would be another megabyte. */
const SHARING = ["assert", "diff", "fix", "lint", "matrix", "query", "report"];
const isSharing = (file) => SHARING.some((name) => file === join("cli", "commands", `${name}.ts`));

const commandLines = [
  { ...commandLine, entryPoints: commandLine.entryPoints.filter((file) => !isSharing(file)) },
  {
    ...commandLine,
    entryPoints: commandLine.entryPoints.filter(isSharing),
    splitting: true,
    chunkNames: "cli/commands/chunk-[hash]",
  },
];

const bundles = cliOnly ? commandLines : [library, ...commandLines];

/** Calls the TypeScript compiler of this project. */
const tsc = (...args) =>
  execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", ...args], { stdio: "inherit" });

/** The workspaces, which users do not install: package and folder. */
const WORKSPACES = [
  ["iptables-parser-ts", "grammar/iptables"],
  ["nftables-parser-ts", "grammar/nftables"],
];

/** Points the declarations' imports of the workspaces to their declarations in dist/. */
function inlineWorkspaces() {
  for (const name of readdirSync("dist", { recursive: true }).filter((name) => name.endsWith(".d.ts"))) {
    let text = readFileSync(join("dist", name), "utf8");
    for (const [workspace, folder] of WORKSPACES) {
      const to = relative(dirname(name), `${folder}/index.js`);
      text = text.replaceAll(`"${workspace}"`, `"${to.startsWith(".") ? to : `./${to}`}"`);
    }
    writeFileSync(join("dist", name), text);
  }
}

if (watch) {
  for (const options of bundles) await (await context(options)).watch();
  console.log(`watching; each change rebuilds ${outdir}/`);
} else {
  if (!scriptsOnly) rmSync("dist", { recursive: true, force: true });
  const built = await Promise.all(bundles.map((options) => build(options)));
  if (!scriptsOnly) {
    tsc("--project", "tsconfig.json", "--declaration", "--emitDeclarationOnly", "--outDir", "dist");
    inlineWorkspaces();
    listBundled(built.map(({ metafile }) => metafile));
    setModes();
  }
}
