/** Configuration of `npm run test:unit`: tests that start no process and evaluate no large or random inputs. */
import { defineConfig } from "vitest/config";
import base from "../vitest.config.ts";

export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: [
      "grammar/*/test/{parse,document-printer,readme}.test.ts",
      "test/{packet,path}/**/*.test.ts",
      "test/map.test.ts",
      "test/audit/{bridge-ports,doubt,expectations,listening,scope}.test.ts",
      "test/host/{read,sources/ipset,sources/ss}.test.ts",
      "test/iptables/{load,rule-reader}.test.ts",
      "test/reach/diagram.test.ts",
      "test/report/{explain/readable-condition,packet/path-svg,sarif}.test.ts",
      "test/rules/call-graph.test.ts",
      "test/simulate/{connection-table,flow,nat-binder,packet-engine,simulator,trace}.test.ts",
    ],
  },
});
