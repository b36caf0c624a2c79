import { defineCommand } from "../command.ts";
import { assumptionFlags, hostFlags, jsonFlag, rulesPositional } from "../flags.ts";

export const command = defineCommand({
  positionals: {
    rules: {
      ...rulesPositional.rules,
      describe: `${rulesPositional.rules.describe}; the last one is the policy, without --policy`,
    },
  },
  flags: {
    policy: {
      type: "string",
      describe: "YAML file with zones, and with flows that are required, allowed or denied",
      requiresArg: true,
    },
    ...jsonFlag,
    junit: { type: "boolean", describe: "print JUnit XML, a test for each check" },
    sarif: {
      type: "boolean",
      describe: "print SARIF 2.1.0, for code scanning: results at the lines of the policy",
    },
    budget: {
      type: "number",
      describe: "limit on the size of the packet sets, in intervals (50 million, about 1 GB)",
      requiresArg: true,
    },
    ...hostFlags,
    ...assumptionFlags,
  },
  examples: [
    ["Does the host do what the policy says?", "fwcheck assert host.snap policy.yaml"],
    ["In CI, as tests", "fwcheck assert host.snap policy.yaml --junit > fwcheck.xml"],
  ],
  notes:
    "Exit code: 0 if every check holds; 1 if one is violated; 2 if the call or an input is wrong, or if none is violated and something is unsettled or inconclusive.",
  run: async (args) => (await import("../commands/assert.js")).run(args),
});
