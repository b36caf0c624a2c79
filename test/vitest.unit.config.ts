/** Configuration of `npm run test:unit`: tests that start no process and evaluate no large or random inputs. */
import { defineConfig } from "vitest/config";
import base from "../vitest.config.ts";

export default defineConfig({
  ...base,
  test: {
    ...base.test,
    // Modules are loaded once for all files, which halves the time.
    isolate: false,
    include: [
      "grammar/*/test/{parse,document-printer,readme}.test.ts",
      "test/{host,iptables,packet,path}/**/*.test.ts",
      "test/{host,map}.test.ts",
      "test/audit/{bridge-ports,doubts,expectations,listening,sarif,scope}.test.ts",
      "test/reach/diagram.test.ts",
      "test/report/{path-svg,readable-condition}.test.ts",
      "test/rules/{call-graph,ipset,load}.test.ts",
      "test/simulate/{flow,kernel,probes,routes,trace}.test.ts",
    ],
  },
});
