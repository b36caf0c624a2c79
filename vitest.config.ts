import { defineConfig } from "vitest/config";
import { page } from "./lib/report/html/page/bundle.mjs";

/** Provides the module `#page`, which is built when a test imports it. */
const pages = {
  name: "page",
  enforce: "pre" as const,
  resolveId: (id: string) => (id === "#page" ? "\0page" : null),
  load: (id: string) => (id === "\0page" ? `export default ${JSON.stringify(page())}` : null),
};

export default defineConfig({
  plugins: [pages],
  resolve: {
    alias: [
      { find: /^fwcheck$/, replacement: new URL("./lib/index.ts", import.meta.url).pathname },
      {
        find: /^(fwcheck\/grammar|iptables-parser-ts)$/,
        replacement: new URL("./grammar/iptables/index.ts", import.meta.url).pathname,
      },
      {
        find: /^(fwcheck\/grammar\/nftables|nftables-parser-ts)$/,
        replacement: new URL("./grammar/nftables/index.ts", import.meta.url).pathname,
      },
    ],
  },
  test: {
    root: new URL(".", import.meta.url).pathname,
    include: ["test/**/*.test.ts", "grammar/*/test/**/*.test.ts"],
    exclude: ["test/kernel/**", "test/e2e/**", "test/bench/**", "test/browser/**", "test/package/**"],
    globalSetup: "test/scratch.ts",
    // The files of a worker share its modules: loading them for each file took a third of the time.
    isolate: false,
    // Vitest leaves one core free by default; many tests wait for other programs.
    maxWorkers: "100%",
    testTimeout: 60_000,
  },
});
