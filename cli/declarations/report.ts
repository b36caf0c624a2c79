import { defineCommand } from "../command.ts";
import { assumptionFlags, auditFlags, hostFlags, rulesPositional } from "../flags.ts";

export const command = defineCommand({
  positionals: rulesPositional,
  flags: {
    output: {
      type: "string",
      alias: "o",
      describe: "file to write; an existing file is replaced (standard output)",
      requiresArg: true,
    },
    title: {
      type: "string",
      describe: "name of the host in the report (name of the input)",
      requiresArg: true,
    },
    ...auditFlags,
    ...assumptionFlags,
    ...hostFlags,
  },
  examples: [
    ["The report of a host, for a browser", "fwcheck report host/ -o report.html"],
    [
      "Under another name, in a script that continues with any result",
      "fwcheck report host/ --title web-1 --fail-on none -o web-1.html",
    ],
  ],
  notes: `The file works without a network and sends nothing: it can be mailed, archived and printed. It contains the rules, addresses and routes; of Docker's output it contains the networks, but no environment variables and no labels other than Compose's.
Exit code, as for audit: 0; 1 with findings (--fail-on, --expect); 2 if the call or the input is wrong, or if no finding counts and something is inconclusive. The file is written in every case but a wrong call or input.`,
  run: async (args) => (await import("../commands/report.js")).run(args),
});
