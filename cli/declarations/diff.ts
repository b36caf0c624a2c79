import { defineCommand } from "../command.ts";
import { assumptionFlags, familyFlag, familyFlagValue, jsonFlag } from "../flags.ts";

export const command = defineCommand({
  positionals: {
    before: {
      type: "string",
      demandOption: true,
      describe:
        "the rules before: a snapshot, a ruleset, a folder of captured files, or - for standard input",
    },
    after: {
      type: "string",
      demandOption: true,
      describe: "the rules after; rules without a host are evaluated on the host of the other argument",
    },
  },
  flags: {
    "fail-on": {
      type: "string",
      describe:
        "changes that exit with 1: any (the default), none, or some of opened, closed, delivered-elsewhere, translated-otherwise, stopped-otherwise, separated by commas",
      requiresArg: true,
    },
    ...familyFlag("compare only this address family"),
    markdown: { type: "boolean", describe: "print Markdown, for a comment on a pull request" },
    sarif: { type: "boolean", describe: "print SARIF 2.1.0, for code scanning" },
    ...jsonFlag,
    budget: {
      type: "number",
      describe: "limit on the size of the packet sets, in intervals (50 million, about 1 GB)",
      requiresArg: true,
    },
    ...assumptionFlags,
  },
  examples: [
    ["What an upgrade or docker compose up has changed", "fwcheck diff before.snap after.snap"],
    [
      "What a fix changes",
      "fwcheck fix host.snap --format save | fwcheck diff host.snap - --assume complete",
    ],
    ["In CI: fail only if something is opened", "fwcheck diff before.snap after.snap --fail-on opened"],
    ["A comment for a pull request", "fwcheck diff before.snap after.snap --markdown > comment.md"],
  ],
  notes:
    "Exit code: 0 if all packets fare alike, or if no change is one of --fail-on; 1 if some fare differently; 2 if the call or the input is wrong, or if no change counts and something is inconclusive.",
  run: async (args) => (await import("../commands/diff.js")).run({ ...args, family: familyFlagValue(args) }),
});
