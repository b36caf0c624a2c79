import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: {
    alias: [
      { find: /^fwcheck$/, replacement: new URL("../lib/index.ts", import.meta.url).pathname },
      { find: /^fwcheck\/grammar$/, replacement: new URL("../grammar/index.ts", import.meta.url).pathname },
    ],
  },
  test: {
    root: new URL("..", import.meta.url).pathname,
    include: ["test/**/*.test.ts"],
    exclude: ["test/kernel/**", "test/e2e/**", "test/bench/**", "test/browser/**", "test/package/**"],
    testTimeout: 60_000,
  },
});
