/** Lists the commands. The declaration of each is a module of its own, and so is its handler, which loads the library. */
import type { Command } from "./command.ts";

export interface CommandEntry {
  /** Positional arguments in yargs' notation. */
  readonly positionals: string;
  readonly summary: string;
  readonly load: () => Promise<{ readonly command: Command }>;
}

export const COMMANDS: ReadonlyMap<string, CommandEntry> = new Map<string, CommandEntry>([
  [
    "audit",
    {
      positionals: "<rules..>",
      summary: "find packets that the firewall blocks and that containers receive anyway",
      load: () => import("./declarations/audit.js"),
    },
  ],
  [
    "simulate",
    {
      positionals: "<rules..>",
      summary: "trace one packet or one connection through all tables, as Linux does",
      load: () => import("./declarations/simulate.js"),
    },
  ],
  [
    "explain",
    {
      positionals: "<rules..>",
      summary: "describe in plain words what a chain or a rule does",
      load: () => import("./declarations/explain.js"),
    },
  ],
  [
    "matrix",
    {
      positionals: "<rules..>",
      summary: "show which services get from each interface, network and container to each other",
      load: () => import("./declarations/matrix.js"),
    },
  ],
  [
    "assert",
    {
      positionals: "<rules..>",
      summary: "check a policy: what must, may and must not get from where to where",
      load: () => import("./declarations/assert.js"),
    },
  ],
  [
    "lint",
    {
      positionals: "<rules..>",
      summary: "find rules that no packet matches, and rules that can be removed without a change",
      load: () => import("./declarations/lint.js"),
    },
  ],
  [
    "fix",
    {
      positionals: "<rules..>",
      summary: "generate rules for DOCKER-USER that close every finding, with a proof",
      load: () => import("./declarations/fix.js"),
    },
  ],
  [
    "report",
    {
      positionals: "<rules..>",
      summary: "write one HTML file: the audit, the path of each packet, the fix, and a form to try packets",
      load: () => import("./declarations/report.js"),
    },
  ],
  [
    "graph",
    {
      positionals: "<rules..>",
      summary: "draw the chains in the order in which packets meet them: SVG, DOT or Mermaid",
      load: () => import("./declarations/graph.js"),
    },
  ],
  [
    "query",
    {
      positionals: "<rules..>",
      summary: "show which packets satisfy an expression: who can reach what, and which rules decide",
      load: () => import("./declarations/query.js"),
    },
  ],
  [
    "diff",
    {
      positionals: "<before> <after>",
      summary:
        "compare two snapshots or rulesets over all packets: what is opened, closed, delivered elsewhere",
      load: () => import("./declarations/diff.js"),
    },
  ],
  [
    "collect",
    {
      positionals: "",
      summary: "print a script that reads a host's state and prints it as one text, a snapshot",
      load: () => import("./declarations/collect.js"),
    },
  ],
  [
    "parse",
    {
      positionals: "<file>",
      summary: "print a ruleset in the canonical form of iptables-save",
      load: () => import("./declarations/parse.js"),
    },
  ],
  [
    "completion",
    {
      positionals: "<shell>",
      summary: "print a script that completes fwcheck's commands and flags in a shell",
      load: () => import("./declarations/completion.js"),
    },
  ],
]);

export const COMMAND_NAMES: readonly string[] = [...COMMANDS.keys()];
