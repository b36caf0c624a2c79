import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));

/** Bundles the report's script and style sheet and returns both as text. */
export function page() {
  const { outputFiles } = buildSync({
    entryPoints: [`${here}main.ts`, `${here}style.css`],
    absWorkingDir: here,
    bundle: true,
    format: "iife",
    platform: "browser",
    target: ["es2022", "chrome100", "firefox100", "safari16"],
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

/** An esbuild plugin that resolves the import `#page` to the script and the style sheet. */
export const pagePlugin = {
  name: "page",
  setup(build) {
    build.onResolve({ filter: /^#page$/ }, () => ({ path: "page", namespace: "page" }));
    build.onLoad({ filter: /^/, namespace: "page" }, () => ({
      contents: JSON.stringify(page()),
      loader: "json",
    }));
  },
};
