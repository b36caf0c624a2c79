import { defineCommand } from "../command.ts";

export const command = defineCommand({
  positionals: {},
  flags: { live: { type: "boolean", describe: "run the script on this host and print the snapshot" } },
  examples: [
    ["On a host without Node", "fwcheck collect | ssh root@host sh -s > host.snap"],
    ["On this host", "fwcheck collect --live > host.snap"],
  ],
  run: async (args) => (await import("../commands/collect.js")).run(args),
});
