import { defineCommand } from "../command.ts";
import { jsonFlag } from "../flags.ts";

export const command = defineCommand({
  positionals: {
    file: {
      type: "string",
      demandOption: true,
      describe: "a file of iptables-save or nft list ruleset, or - for standard input",
    },
  },
  flags: jsonFlag,
  examples: [
    ["Check that fwcheck reads a file, and how", "fwcheck parse v4.save"],
    ["A JSON document for a program", "ssh root@host iptables-save | fwcheck parse - --json"],
  ],
  run: async (args) => (await import("../commands/parse.js")).run(args),
});
