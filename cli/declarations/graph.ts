import { defineCommand } from "../command.ts";
import { familyFlag, familyFlagValue, hostFlags, rulesPositional } from "../flags.ts";

export const command = defineCommand({
  positionals: rulesPositional,
  flags: {
    format: {
      choices: ["svg", "dot", "mermaid"],
      default: "svg",
      describe: "svg: a picture for browsers; dot: input of Graphviz; mermaid: a diagram for Markdown",
      requiresArg: true,
    },
    all: { type: "boolean", describe: "draw every chain and every rule" },
    chain: {
      type: "string",
      describe: "draw only this chain (TABLE/CHAIN), the chains that lead to it, and those it calls",
      requiresArg: true,
    },
    ...familyFlag("address family to draw (4 if the rules have both)"),
    packet: { type: "string", describe: "mark the path of a packet, given as JSON", requiresArg: true },
    ...hostFlags,
  },
  examples: [
    ["The chains that packets can reach, for a browser", "fwcheck graph host/ > chains.svg"],
    [
      "One chain with all of its rules, and how packets reach it",
      "fwcheck graph host/ --chain filter/DOCKER-USER > docker-user.svg",
    ],
    ["For a page in Markdown", "fwcheck graph host/ --format mermaid > chains.mmd"],
    ["The rules for IPv6, for Graphviz", "fwcheck graph host/ --family 6 --format dot > chains.dot"],
    [
      "The path of a packet, marked in the drawing",
      `fwcheck graph host/ --packet '{"in":"eth0","src":"203.0.113.2","dst":"203.0.113.1","dport":8080}' > path.svg`,
    ],
  ],
  notes: `The foot of the picture and stderr name what is not drawn.
Exit code: 0; 2 if the call or the input is wrong.`,
  run: async (args) => (await import("../commands/graph.js")).run({ ...args, family: familyFlagValue(args) }),
});
