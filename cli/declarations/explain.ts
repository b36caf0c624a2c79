import { defineCommand } from "../command.ts";
import { familyFlag, familyFlagValue, hostFlags, jsonFlag, rulesPositional } from "../flags.ts";

const { rule: _policyRouting, ...explainHostFlags } = hostFlags;

export const command = defineCommand({
  positionals: rulesPositional,
  flags: {
    chain: {
      type: "string",
      describe: "name of a chain, or TABLE/CHAIN; without it, a list of all chains",
      requiresArg: true,
    },
    rule: { type: "number", describe: "number of one rule of the chain, from 1", requiresArg: true },
    ...familyFlag("address family, IPv4 or IPv6 (both)"),
    ...explainHostFlags,
    ...jsonFlag,
  },
  examples: [
    ["A list of all chains", "fwcheck explain host.snap"],
    ["The chain for your own rules about containers", "fwcheck explain host.snap --chain DOCKER-USER"],
    [
      "One rule of a chain whose name exists in two tables",
      "fwcheck explain host.snap --chain nat/DOCKER --rule 4",
    ],
  ],
  run: async (args) =>
    (await import("../commands/explain.js")).run({ ...args, family: familyFlagValue(args) }),
});
