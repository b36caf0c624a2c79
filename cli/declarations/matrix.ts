import { defineCommand } from "../command.ts";
import { assumptionFlags, hostFlags, jsonFlag, rulesPositional } from "../flags.ts";

export const command = defineCommand({
  positionals: rulesPositional,
  flags: {
    by: {
      choices: ["network", "container"],
      default: "network",
      describe: "zones of containers: one for each network, or one for each container",
      requiresArg: true,
    },
    spoofing: {
      type: "boolean",
      describe:
        "only packets whose source cannot be where they arrive from, and that get in in spite of rp_filter and the rules",
    },
    format: {
      choices: ["text", "markdown", "csv", "svg"],
      default: "text",
      describe:
        "text for reading, a table in Markdown, CSV with one line for each entry, or a picture for browsers",
      requiresArg: true,
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
    ["What each interface, network and the host itself reach", "fwcheck matrix host.snap"],
    ["The same for each container", "fwcheck matrix host.snap --by container"],
    ["Sources that an interface accepts and that cannot be behind it", "fwcheck matrix host.snap --spoofing"],
    ["A picture for a browser", "fwcheck matrix host.snap --format svg > matrix.svg"],
    ["A table for a wiki", "fwcheck matrix host.snap --format markdown > matrix.md"],
  ],
  notes:
    "Exit code: 0; 1 if --spoofing finds packets that get in; 2 if the call or the input is wrong, or if something is inconclusive.",
  run: async (args) => (await import("../commands/matrix.js")).run(args),
});
