import { defineCommand } from "../command.ts";
import { assumptionFlags, auditFlags, hostFlags, jsonFlag, rulesPositional } from "../flags.ts";

export const command = defineCommand({
  positionals: rulesPositional,
  flags: {
    ...hostFlags,
    ...jsonFlag,
    sarif: { type: "boolean", describe: "print SARIF 2.1.0, for code scanning" },
    timeout: {
      type: "number",
      describe: "limit in seconds for each of several hosts (120)",
      requiresArg: true,
    },
    memory: {
      type: "number",
      describe: "limit in MB for each of several hosts, of the heap of V8 (the default of Node)",
      requiresArg: true,
    },
    ...auditFlags,
    ...assumptionFlags,
  },
  examples: [
    ["One host", "fwcheck audit host.snap"],
    ["Only the rules, directly from the host", "ssh root@host iptables-save | fwcheck audit -"],
    [
      "Files that were captured one by one",
      "fwcheck audit v4.save v6.save --addr addr.json --docker docker-inspect.json",
    ],
    ["In CI, for code scanning", "fwcheck audit host.snap --sarif --fail-on must > fwcheck.sarif"],
    ["Fail on any open port that a file does not list", "fwcheck audit host.snap --expect exposure.yaml"],
    ["Many hosts, one line each", "fwcheck audit web1.snap web2.snap db.snap"],
  ],
  notes:
    "Exit code: 0 without findings; 1 with findings; 2 if the call or the input is wrong, or if no finding counts and something is inconclusive.",
  run: async (args) => (await import("../commands/audit.js")).run(args),
});
