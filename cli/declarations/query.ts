import { defineCommand } from "../command.ts";
import { assumptionFlags, hostFlags, jsonFlag } from "../flags.ts";

export const command = defineCommand({
  positionals: {
    rules: {
      describe:
        "rules as for audit (snapshots, files, a folder, or - for standard input); the last argument is the expression",
      type: "string",
      array: true,
      demandOption: true,
    },
  },
  flags: {
    "expect-empty": {
      type: "boolean",
      describe: "exit 1 if some packet satisfies the expression",
    },
    "expect-some": {
      type: "boolean",
      describe: "exit 1 if no packet satisfies the expression",
    },
    "explain-drop": {
      type: "boolean",
      describe:
        "print the smallest change that lets the stopped packets through, if it is proved to change nothing else",
    },
    ...jsonFlag,
    budget: {
      type: "number",
      describe: "limit on the size of the packet sets, in intervals (50 million, about 1 GB)",
      requiresArg: true,
    },
    ...hostFlags,
    ...assumptionFlags,
  },
  examples: [
    ["Who reaches a container", 'fwcheck query host.snap "to container web"'],
    ["What becomes of packets for a port", 'fwcheck query host.snap "in eth0 tcp dport 22"'],
    [
      "Why a connection is stopped, and what would allow it",
      'fwcheck query host.snap "in eth0 from 198.51.100.0/24 to 203.0.113.1 tcp dport 443" --explain-drop',
    ],
    [
      "Check in CI that no one but one network reaches SSH",
      'fwcheck query host.snap "local tcp dport 22 in eth0 not from 198.51.100.0/24" --expect-empty',
    ],
  ],
  notes:
    "Exit code: 0 for an answer, an empty one included; 1 if --expect-empty or --expect-some is violated; 2 if the call, the expression or the input is wrong, or if something about the answer is unknown. The language: docs/query.md.",
  run: async (args) => (await import("../commands/query.js")).run(args),
});
