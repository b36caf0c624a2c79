/** Lists the commands. Each command is a module of its own, which is loaded only when it is called. */
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
      load: () => import("./commands/audit.js"),
    },
  ],
  [
    "simulate",
    {
      positionals: "<rules..>",
      summary: "trace one packet or one connection through all tables, as Linux does",
      load: () => import("./commands/simulate.js"),
    },
  ],
  [
    "explain",
    {
      positionals: "<rules..>",
      summary: "describe in plain words what a chain or a rule does",
      load: () => import("./commands/explain.js"),
    },
  ],
  [
    "fix",
    {
      positionals: "<rules..>",
      summary: "generate rules for DOCKER-USER that close every finding, with a proof",
      load: () => import("./commands/fix.js"),
    },
  ],
  [
    "report",
    {
      positionals: "<rules..>",
      summary: "write one HTML file: the audit, the path of each packet, the fix, and a form to try packets",
      load: () => import("./commands/report.js"),
    },
  ],
  [
    "graph",
    {
      positionals: "<rules..>",
      summary: "draw the chains in the order in which packets meet them: SVG, DOT or Mermaid",
      load: () => import("./commands/graph.js"),
    },
  ],
  [
    "collect",
    {
      positionals: "",
      summary: "print a script that reads a host's state and prints it as one text, a snapshot",
      load: () => import("./commands/collect.js"),
    },
  ],
  [
    "parse",
    {
      positionals: "<file>",
      summary: "print a ruleset in the canonical form of iptables-save",
      load: () => import("./commands/parse.js"),
    },
  ],
  [
    "completion",
    {
      positionals: "<shell>",
      summary: "print a script that completes fwcheck's commands and flags in a shell",
      load: () => import("./commands/completion.js"),
    },
  ],
]);

export const COMMAND_NAMES: readonly string[] = [...COMMANDS.keys()];
