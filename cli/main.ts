#!/usr/bin/env node
import yargs, { type Argv } from "yargs";
import { hideBin } from "yargs/helpers";
import manifest from "../package.json" with { type: "json" };
import { hostFlags, STDIN } from "./flags.ts";
import { bePatient } from "./patience.ts";

bePatient();

const rules = {
  describe:
    "snapshots, iptables-save and ip6tables-save files, a folder of captured files, or - for standard input",
  type: "string",
  array: true,
  demandOption: true,
} as const;
const asJson = { type: "boolean", describe: "print JSON and nothing else" } as const;

const audit = (parser: Argv, name: string): Argv =>
  parser.command(
    `${name} <rules..>`,
    "find what the firewall blocks and containers get all the same",
    (y) =>
      y
        .positional("rules", rules)
        .options({
          ...hostFlags,
          json: asJson,
          sarif: { type: "boolean", describe: "print SARIF 2.1.0, for code scanning" },
          expect: {
            type: "string",
            describe: "a file with the ports that may be open, and to whom; exit 1 on any other exposure",
            requiresArg: true,
          },
          "fail-on": {
            type: "string",
            describe:
              "exit 1 on: any (the default), must, none, or kinds of findings (and lint), separated by commas",
            requiresArg: true,
          },
          budget: {
            type: "number",
            describe: "how many intervals the sets of packets may have (100 million, about 2 GB)",
            requiresArg: true,
          },
        })
        .example("$0 audit host.save --addr addr.json", "audit one host"),
    async (args) => exit(await (await import("./commands/audit.js")).run(args)),
  );

const simulate = (parser: Argv, name: string): Argv =>
  parser.command(
    `${name} <rules..>`,
    "follow a packet through all tables as Linux does",
    (y) =>
      y
        .positional("rules", rules)
        .options({
          in: { type: "string", describe: "interface it arrives on", requiresArg: true },
          local: { type: "boolean", describe: "the host itself sends it" },
          src: { type: "string", describe: "source address", requiresArg: true },
          dst: { type: "string", describe: "destination address", requiresArg: true },
          proto: {
            type: "string",
            default: "tcp",
            describe: "tcp, udp, icmp, icmpv6 or a number",
            requiresArg: true,
          },
          sport: { type: "number", describe: "source port (40000)", requiresArg: true },
          dport: { type: "number", describe: "destination port (80)", requiresArg: true },
          "tcp-flags": {
            type: "string",
            describe: "TCP flags by letter: S, SA, A, F, R (S)",
            requiresArg: true,
          },
          "icmp-type": { type: "number", describe: "ICMP type (echo request)", requiresArg: true },
          mark: { type: "number", describe: "mark of a packet that the host sends", requiresArg: true },
          state: {
            choices: ["NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"] as const,
            describe: "what conntrack takes it for",
            requiresArg: true,
          },
          packets: {
            type: "string",
            describe: "a file with a packet as JSON a line (- for standard input)",
            requiresArg: true,
          },
          assume: {
            type: "string",
            array: true,
            nargs: 1,
            describe: "settle an unknown: recent=match, limit=no-match",
            requiresArg: true,
          },
          expect: {
            choices: ["accept", "drop", "reject"] as const,
            describe: "exit 1 when the verdict is another",
            requiresArg: true,
          },
          flow: {
            type: "boolean",
            describe: "play the whole connection, handshake, data and answers",
          },
          short: { type: "boolean", describe: "print the verdict without the way" },
          verbose: { type: "boolean", alias: "v", describe: "print every step, also where nothing matched" },
          ...hostFlags,
          json: asJson,
        })
        .epilogue(`Examples, host/ being a folder of captured files:

From outside to a published port, and what the host does with it:
  fwcheck simulate host/ --in eth0 --src 203.0.113.2 --dst 203.0.113.1 --dport 8080
The whole connection with its answers, a line a packet:
  fwcheck simulate host/ --in eth0 --src 203.0.113.2 --dst 203.0.113.1 --dport 22 --flow --short
A container on its way out, in a script that fails unless it gets there:
  fwcheck simulate host/ --in docker0 --src 172.17.0.2 --dst 203.0.113.2 --expect accept
What the host itself asks of a name server, every step:
  fwcheck simulate host/ --local --src 203.0.113.1 --dst 203.0.113.2 --proto udp --dport 53 -v
IPv6, as JSON:
  fwcheck simulate host/ --in eth0 --src 2001:db8:1::2 --dst 2001:db8:1::1 --dport 22 --json

--packets prints an answer a line, each as --json prints one; the packets share one connection table, in order.
--flow --json prints {verdict, broken, notes, packets}: the packets are such answers, each with its step and from (client or server); verdict is accept when all of them arrive.
Exit code: 0; 1 when --expect is not met; 2 when the call or the input is wrong.`),
    async (args) => exit((await import("./commands/simulate.js")).run(args)),
  );

const fix = (parser: Argv, name: string): Argv =>
  parser.command(
    `${name} <rules..>`,
    "write rules for DOCKER-USER that close every finding, with a proof",
    (y) =>
      y.positional("rules", rules).options({
        strategy: {
          choices: ["auto", "internal-ip", "conntrack", "ipset"] as const,
          default: "auto" as const,
          describe: "how endpoints are told",
        },
        format: {
          choices: ["restore", "script", "ufw", "systemd", "save"] as const,
          default: "restore" as const,
          describe:
            "for iptables-restore, a shell script, ufw's after.rules, a unit that runs the script, or the whole ruleset with the fix in it",
        },
        family: { choices: [4, 6] as const, describe: "which family --format restore and ufw print" },
        ...hostFlags,
        json: asJson,
      }),
    async (args) => exit((await import("./commands/fix.js")).run(args)),
  );

const collect = (parser: Argv, name: string): Argv =>
  parser.command(
    name,
    "print a script that gathers a host's state, read-only, as one text: a snapshot",
    (y) =>
      y
        .options({ live: { type: "boolean", describe: "run it here and print the snapshot" } })
        .example("$0 collect | ssh root@host sh -s > host.snap", "gather, then: fwcheck audit host.snap"),
    async (args) => exit(await (await import("./commands/collect.js")).run(args)),
  );

const parse = (parser: Argv, name: string): Argv =>
  parser.command(
    `${name} <file>`,
    "print a ruleset in iptables-save's canonical spelling",
    (y) =>
      y
        .positional("file", { type: "string", demandOption: true, describe: "an iptables-save file, or -" })
        .options({ json: asJson }),
    async (args) => exit((await import("./commands/parse.js")).run(args)),
  );

/** Each command by its name. They are modules of their own in the package, loaded when they are called. */
const commands: Readonly<Record<string, (parser: Argv, name: string) => Argv>> = {
  audit,
  simulate,
  fix,
  collect,
  parse,
};

/** Parses the words of the command line, and runs the command they name. */
async function run(words: readonly string[]): Promise<void> {
  // When yargs has run a command of several it prints the help for itself, which takes longer than many a command.
  const helps = words.includes("--help") || words.includes("-h");
  const called = Object.hasOwn(commands, words[0] ?? "") && !helps ? words[0]! : null;
  const parser = yargs(called === null ? words : words.slice(1))
    .scriptName("fwcheck")
    .locale("en")
    .parserConfiguration({
      "parse-numbers": true,
      "greedy-arrays": false,
      "dot-notation": false,
      "camel-case-expansion": true,
    })
    .strict()
    .version(manifest.version)
    .alias("h", "help")
    .wrap(Math.min(100, process.stdout.columns ?? 100))
    .fail(false);
  if (called !== null) commands[called]!(parser, "$0");
  else {
    parser
      .usage(
        "$0 COMMAND\n\nFinds the firewall rules that Docker's containers bypass, and writes rules that close the hole.",
      )
      .demandCommand(1, `name a command: ${Object.keys(commands).join(", ")}`);
    for (const [name, command] of Object.entries(commands)) command(parser, name);
  }
  await parser.parseAsync();
}

function exit(code: number): void {
  process.exitCode = code;
}

// A reader that stops early (`fwcheck ... | head`) is no error of ours.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(process.exitCode ?? 0);
  throw error;
});

try {
  // yargs loses a lone dash among several positionals.
  await run(hideBin(process.argv).map((word) => (word === "-" ? STDIN : word)));
} catch (error) {
  process.exitCode = 2;
  const known = error instanceof Error && ["Refused", "YError", "Error"].includes(error.name);
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(
    known
      ? `fwcheck: ${message}\n`
      : `fwcheck: this should not have happened, please report it: ${message}\n`,
  );
}
