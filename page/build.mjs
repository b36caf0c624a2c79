// Bundles the report's script and style sheet. Run by itself it leaves them where the build of the library finds them.
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
/** What `#page` stands for in a build. */
const file = fileURLToPath(new URL("../node_modules/.cache/fwcheck/page.json", import.meta.url));

/** The script and the style sheet, as text. */
export function page() {
  const { outputFiles } = buildSync({
    entryPoints: [`${here}main.ts`, `${here}style.css`],
    absWorkingDir: here,
    bundle: true,
    format: "iife",
    platform: "browser",
    target: ["es2022", "chrome100", "firefox100", "safari16"],
    external: ["#page"],
    charset: "utf8",
    legalComments: "eof",
    minify: true,
    outdir: here,
    write: false,
    logLevel: "warning",
  });
  const text = (end) => outputFiles.find(({ path }) => path.endsWith(end)).text.trim();
  return { script: text(".js"), style: text(".css") };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  // Builds may run side by side: nobody reads half a file.
  const draft = `${file}.${process.pid}`;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(draft, JSON.stringify(page()));
  renameSync(draft, file);
}
