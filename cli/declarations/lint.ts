import { defineCommand } from "../command.ts";
import { assumptionFlags, hostFlags, jsonFlag, rulesPositional } from "../flags.ts";

export const command = defineCommand({
  positionals: rulesPositional,
  flags: {
    all: {
      type: "boolean",
      describe: "also list rules that programs wrote: Docker, ufw, fail2ban and others",
    },
    correlated: {
      type: "boolean",
      describe:
        "also list rules that match packets in common with earlier ones and decide otherwise, so that their order matters",
    },
    "fail-on": {
      type: "string",
      describe:
        "kinds that exit with 1: any (the default), none, or some of dead, shadowed, redundant, correlated, separated by commas",
      requiresArg: true,
    },
    ...jsonFlag,
    sarif: { type: "boolean", describe: "print SARIF 2.1.0, for code scanning" },
    budget: {
      type: "number",
      describe: "limit on the size of the packet sets of one table, in intervals (20 million)",
      requiresArg: true,
    },
    ...hostFlags,
    ...assumptionFlags,
  },
  examples: [
    ["Dead, shadowed and redundant rules of yours", "fwcheck lint host.snap"],
    ["Those of Docker, ufw and other programs as well", "fwcheck lint host.snap --all"],
    ["Rules whose order matters as well", "fwcheck lint host.snap --correlated"],
    ["A check in CI that accepts redundant rules", "fwcheck lint host.snap --fail-on dead,shadowed"],
    ["For code scanning", "fwcheck lint host.snap --sarif"],
  ],
  notes:
    "Exit code: 0 for none; 1 if rules of the kinds of --fail-on are listed; 2 if the call or the input is wrong, or, without those, if rules are missing or were not compared.",
  run: async (args) => (await import("../commands/lint.js")).run(args),
});
