#!/usr/bin/env node
import yargs, { type Argv, type FallbackCompletionFunction } from "yargs";
import { hideBin } from "yargs/helpers";
import manifest from "../package.json" with { type: "json" };
import { end, Failed, Misused } from "./failure.ts";
import { hostFlags, STDIN } from "./flags.ts";
import { tell } from "./output.ts";
import { bePatient } from "./v8-flags.ts";

bePatient();

const rules = {
  describe:
    "snapshots, iptables-save and ip6tables-save files, a folder of captured files, or - for standard input",
  type: "string",
  array: true,
  demandOption: true,
} as const;
/** Texts, since yargs completes no numbers. */
const FAMILIES = ["4", "6"] as const;
const asJson = { type: "boolean", describe: "print JSON and nothing else" } as const;

const familyOf = (args: { family?: "4" | "6" | undefined }): 4 | 6 | undefined =>
  args.family === undefined ? undefined : args.family === "4" ? 4 : 6;

/** Examples for the foot of a command's help: what for, and the command. CI runs every one of them. */
const shown = (examples: readonly (readonly [what: string, command: string])[], more = ""): string =>
  `Examples:\n\n${examples.map(([what, command]) => `${what}:\n  ${command}`).join("\n")}${more === "" ? "" : `\n\n${more}`}`;

/** What the caller knows that the inputs do not say. */
const assuming = {
  assume: {
    type: "string",
    array: true,
    nargs: 1,
    choices: ["complete"] as const,
    describe:
      "complete: the given rules are all that filters on the host, with no nftables tables and no rules of the other backend or family",
    requiresArg: true,
  },
} as const;

/** What of an audit makes the exit code, and how much it may cost. */
const judging = {
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
    describe: "how many intervals the sets of packets may have (50 million, about 1 GB)",
    requiresArg: true,
  },
} as const;

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
          timeout: {
            type: "number",
            describe: "seconds that each of several hosts may take (120)",
            requiresArg: true,
          },
          ...judging,
          ...assuming,
        })
        .epilogue(
          shown(
            [
              ["One host", "fwcheck audit host.snap"],
              [
                "Straight from it, with what the rules tell alone",
                "ssh root@host iptables-save | fwcheck audit -",
              ],
              [
                "Files that were captured one by one",
                "fwcheck audit v4.save v6.save --addr addr.json --docker docker-inspect.json",
              ],
              ["In CI, for code scanning", "fwcheck audit host.snap --sarif --fail-on must > fwcheck.sarif"],
              ["Nothing open but what a file names", "fwcheck audit host.snap --expect exposure.yaml"],
              ["Many hosts, a line each", "fwcheck audit web1.snap web2.snap db.snap"],
            ],
            "Exit code: 0; 1 when something is found; 2 when the call or the input is wrong, or when nothing that counts was found and something is not settled.",
          ),
        ),
    async (args) => perform(async () => (await import("./commands/audit.js")).run(args)),
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
          svg: { type: "boolean", describe: "print the way as a picture" },
          ...hostFlags,
          json: asJson,
        })
        .epilogue(
          shown(
            [
              [
                "From outside to a published port, and what the host does with it",
                "fwcheck simulate host/ --in eth0 --src 203.0.113.2 --dst 203.0.113.1 --dport 8080",
              ],
              [
                "The whole connection with its answers, a line a packet",
                "fwcheck simulate host/ --in eth0 --src 203.0.113.2 --dst 203.0.113.1 --dport 22 --flow --short",
              ],
              [
                "A container on its way out, in a script that fails unless it gets there",
                "fwcheck simulate host/ --in docker0 --src 172.17.0.2 --dst 203.0.113.2 --expect accept",
              ],
              [
                "What the host itself asks of a name server, every step",
                "fwcheck simulate host/ --local --src 203.0.113.1 --dst 203.0.113.2 --proto udp --dport 53 -v",
              ],
              [
                "A picture of the way, for a ticket or a wiki",
                "fwcheck simulate host/ --in eth0 --src 203.0.113.2 --dst 203.0.113.1 --dport 8080 --svg > way.svg",
              ],
              [
                "IPv6, as JSON",
                "fwcheck simulate host/ --in eth0 --src 2001:db8:1::2 --dst 2001:db8:1::1 --dport 22 --json",
              ],
              ["Many packets, a line each in and out", "fwcheck simulate host/ --packets packets.ndjson"],
            ],
            `--packets prints an answer a line, each as --json prints one; the packets share one connection table, in order.
--flow --json prints {verdict, broken, notes, packets}: the packets are such answers, each with its step and from (client or server); verdict is accept when all of them arrive.
Exit code: 0; 1 when --expect is not met; 2 when the call or the input is wrong, or when --expect is met by rules or files that are in doubt.`,
          ),
        ),
    async (args) => perform(async () => (await import("./commands/simulate.js")).run(args)),
  );

const fix = (parser: Argv, name: string): Argv =>
  parser.command(
    `${name} <rules..>`,
    "write rules for DOCKER-USER that close every finding, with a proof",
    (y) =>
      y
        .positional("rules", rules)
        .options({
          strategy: {
            choices: ["auto", "internal-ip", "conntrack", "ipset"] as const,
            default: "auto" as const,
            describe: "how endpoints are told",
          },
          format: {
            choices: ["script", "ufw", "systemd", "restore", "save"] as const,
            default: "script" as const,
            describe:
              "a shell script, a block for ufw's after.rules, a unit that runs the script, a file for iptables-restore, or the whole ruleset with the fix in it",
          },
          family: {
            type: "string",
            choices: FAMILIES,
            describe: "which family --format ufw and restore print; each takes a file of its own",
            requiresArg: true,
          },
          ...assuming,
          ...hostFlags,
          json: asJson,
        })
        .epilogue(
          shown(
            [
              ["A script that applies, checks and undoes itself", "fwcheck fix host.snap > fix.sh"],
              [
                "That holds when containers get other addresses",
                "fwcheck fix host.snap --strategy conntrack > fix.sh",
              ],
              [
                "At every boot, by ufw",
                "fwcheck fix host.snap --format ufw --family 4 >> /etc/ufw/after.rules && ufw reload",
              ],
              [
                "What would be left with it",
                "fwcheck fix host.snap --format save | fwcheck audit - --assume complete",
              ],
            ],
            "Exit code: 0; 1 when the proof does not hold, or something is left open or missing in the form, which is named; 2 when the call or the input is wrong.",
          ),
        ),
    async (args) =>
      perform(async () => (await import("./commands/fix.js")).run({ ...args, family: familyOf(args) })),
  );

const report = (parser: Argv, name: string): Argv =>
  parser.command(
    `${name} <rules..>`,
    "write one HTML file with the audit, each packet's way drawn, the fix, and a form to try packets in",
    (y) =>
      y
        .positional("rules", rules)
        .options({
          output: {
            type: "string",
            alias: "o",
            describe: "the file to write; one that is there is replaced (standard output)",
            requiresArg: true,
          },
          title: {
            type: "string",
            describe: "what the host is called in it (the file's name)",
            requiresArg: true,
          },
          ...judging,
          ...assuming,
          ...hostFlags,
        })
        .epilogue(
          shown(
            [
              ["The report of a host, to be opened in a browser", "fwcheck report host/ -o report.html"],
              [
                "The same under another name, in a script that goes on whatever is found",
                "fwcheck report host/ --title web-1 --fail-on none -o web-1.html",
              ],
            ],
            `The file needs no network and asks for nothing: it can be mailed, archived, printed. The rules, addresses and routes stand in it, and of Docker's output what tells of networks: no environment, no labels but Compose's.
Exit code, as of audit: 0; 1 when there are findings (--fail-on, --expect); 2 when the call or the input is wrong, or when nothing that counts was found and something is not settled. The file is written whatever was found.`,
          ),
        ),
    async (args) => perform(async () => (await import("./commands/report.js")).run(args)),
  );

const graph = (parser: Argv, name: string): Argv =>
  parser.command(
    `${name} <rules..>`,
    "draw the chains as a packet meets them: SVG, DOT or Mermaid",
    (y) =>
      y
        .positional("rules", rules)
        .options({
          format: {
            choices: ["svg", "dot", "mermaid"] as const,
            default: "svg" as const,
            describe: "a picture for browsers, text for Graphviz, or text for Markdown",
            requiresArg: true,
          },
          all: { type: "boolean", describe: "draw every chain and every rule" },
          chain: {
            type: "string",
            describe: "draw only what leads to this chain, and what it calls: TABLE/CHAIN",
            requiresArg: true,
          },
          family: {
            type: "string",
            choices: FAMILIES,
            describe: "which family to draw (4, where there are both)",
            requiresArg: true,
          },
          packet: {
            type: "string",
            describe: "mark the way of a packet, as JSON",
            requiresArg: true,
          },
          ...hostFlags,
        })
        .epilogue(
          shown(
            [
              ["The chains that matter, for a browser", "fwcheck graph host/ > chains.svg"],
              [
                "One chain, how packets come to it, and every rule of it",
                "fwcheck graph host/ --chain filter/DOCKER-USER > docker-user.svg",
              ],
              ["For a page in Markdown", "fwcheck graph host/ --format mermaid > chains.mmd"],
              [
                "For Graphviz, the rules for IPv6",
                "fwcheck graph host/ --family 6 --format dot > chains.dot",
              ],
              [
                "The way of a packet, in the picture",
                `fwcheck graph host/ --packet '{"in":"eth0","src":"203.0.113.2","dst":"203.0.113.1","dport":8080}' > way.svg`,
              ],
            ],
            `What is not drawn is said at the foot of the picture and on stderr.
Exit code: 0; 2 when the call or the input is wrong.`,
          ),
        ),
    async (args) =>
      perform(async () => (await import("./commands/graph.js")).run({ ...args, family: familyOf(args) })),
  );

const collect = (parser: Argv, name: string): Argv =>
  parser.command(
    name,
    "print a script that gathers a host's state, read-only, as one text: a snapshot",
    (y) =>
      y.options({ live: { type: "boolean", describe: "run it here and print the snapshot" } }).epilogue(
        shown([
          ["On a host without Node", "fwcheck collect | ssh root@host sh -s > host.snap"],
          ["Here", "fwcheck collect --live > host.snap"],
        ]),
      ),
    async (args) => perform(async () => (await import("./commands/collect.js")).run(args)),
  );

const parse = (parser: Argv, name: string): Argv =>
  parser.command(
    `${name} <file>`,
    "print a ruleset in iptables-save's canonical spelling",
    (y) =>
      y
        .positional("file", { type: "string", demandOption: true, describe: "an iptables-save file, or -" })
        .options({ json: asJson })
        .epilogue(
          shown([
            ["Whether fwcheck reads a file, and how it does", "fwcheck parse v4.save"],
            ["As a document for a program", "ssh root@host iptables-save | fwcheck parse - --json"],
          ]),
        ),
    async (args) => perform(async () => (await import("./commands/parse.js")).run(args)),
  );

const explain = (parser: Argv, name: string): Argv => {
  const { rule: _, ...flags } = hostFlags;
  return parser.command(
    `${name} <rules..>`,
    "say in plain words what a chain or a rule does",
    (y) =>
      y
        .positional("rules", rules)
        .options({
          chain: {
            type: "string",
            describe: "a chain by its name, or as table/name; without it, a map of all chains",
            requiresArg: true,
          },
          rule: { type: "number", describe: "one rule of it, by its number from 1", requiresArg: true },
          family: { type: "string", choices: FAMILIES, describe: "IPv4 or IPv6 alone", requiresArg: true },
          ...flags,
          json: asJson,
        })
        .epilogue(
          shown([
            ["A map of all chains", "fwcheck explain host.snap"],
            ["Your chain for containers", "fwcheck explain host.snap --chain DOCKER-USER"],
            [
              "One rule of a chain whose name two tables have",
              "fwcheck explain host.snap --chain nat/DOCKER --rule 4",
            ],
          ]),
        ),
    async (args) =>
      perform(async () => (await import("./commands/explain.js")).run({ ...args, family: familyOf(args) })),
  );
};

const completion = (parser: Argv, name: string): Argv =>
  parser.command(
    `${name} <shell>`,
    "print a script that lets a shell complete fwcheck's commands and flags",
    (y) =>
      y
        .positional("shell", {
          choices: ["bash", "zsh", "fish"] as const,
          demandOption: true,
          describe: "the shell it is for",
        })
        .epilogue(
          shown([
            ["In ~/.bashrc", "source <(fwcheck completion bash)"],
            ["In ~/.zshrc, behind compinit", "source <(fwcheck completion zsh)"],
            ["Once", "fwcheck completion fish > ~/.config/fish/completions/fwcheck.fish"],
          ]),
        ),
    async (args) => perform(async () => (await import("./commands/completion.js")).run(args)),
  );

/** Each command by its name. They are modules of their own in the package, loaded when they are called. */
const commands: Readonly<Record<string, (parser: Argv, name: string) => Argv>> = {
  audit,
  simulate,
  explain,
  fix,
  report,
  graph,
  collect,
  parse,
  completion,
};

/** Flags are offered where one was begun: anywhere else a file is more likely, which the shell completes by itself. */
const isFitting = (word: string, current: string): boolean =>
  current.startsWith("-") || !word.startsWith("-");

/** The command that the words call, `null` where they call none. */
const calledBy = (words: readonly string[]): string | null =>
  Object.hasOwn(commands, words[0] ?? "") ? words[0]! : null;

/** Arguments that may be given more than once. */
const MANY = ["_", "rules", "assume", ...Object.keys(hostFlags)];

/** Whether every other is given once, since nobody could tell which of two is meant. */
function once(args: Readonly<Record<string, unknown>>): true {
  const twice = Object.keys(args).find((key) => Array.isArray(args[key]) && !MANY.includes(key));
  if (twice === undefined) return true;
  throw new Error(`--${twice} is given ${(args[twice] as unknown[]).length} times, and only one can hold.`);
}

/** What reads the words of the command line: with all commands, or with the one that is called alone. */
function parserOf(words: readonly string[], called: string | null): Argv {
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
  parser.check(once);
  if (called !== null) return commands[called]!(parser, "$0");
  parser
    .usage(
      "$0 COMMAND\n\nFinds the firewall rules that Docker's containers bypass, and writes rules that close the hole.",
    )
    .demandCommand(1, `name a command: ${Object.keys(commands).join(", ")}`)
    .epilogue(
      shown([
        ["Gather what a host's firewall is, read-only", "fwcheck collect | ssh root@host sh -s > host.snap"],
        ["What is open although the firewall says no", "fwcheck audit host.snap"],
        ["Close it", "fwcheck fix host.snap > fix.sh"],
      ]),
    );
  for (const [name, command] of Object.entries(commands)) command(parser, name);
  const complete: FallbackCompletionFunction = (current, _args, yargsOwn, done) =>
    yargsOwn((_error, found) => done((found ?? []).filter((word) => isFitting(word, current))));
  // No word of a command line can be this one: the script has a command of its own.
  return parser.completion("\0", false, complete);
}

/** Parses the words of the command line, and runs the command they name. */
async function run(words: readonly string[]): Promise<void> {
  // When yargs has run a command of several it prints the help for itself, which takes longer than many a command.
  const helps = words.includes("--help") || words.includes("-h");
  const called = helps ? null : calledBy(words);
  try {
    await parserOf(words, called).parseAsync();
  } catch (error) {
    if (!(error instanceof Error) || !["YError", "Error"].includes(error.name)) throw error;
    const name = calledBy(words);
    const help = await parserOf(name === null ? [] : [name], null).getHelp();
    const { complaint } = await import("./usage-errors.js");
    const said = complaint(error.message, { name, words, commands: Object.keys(commands), help });
    // yargs gives a line to each value that is none of its choices; lines in what was typed are no lines of ours.
    throw new Misused(said.replaceAll(/\n {2}Argument: /g, " argument "));
  }
}

/** Runs a command and keeps its exit code; what it throws is no complaint of yargs about the command line. */
async function perform(command: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await command();
  } catch (error) {
    throw new Failed(error);
  }
}

process.on("uncaughtException", (error) => {
  end(error);
  process.exit();
});

/** Ends the call where standard output did not take all. */
function lost({ code }: NodeJS.ErrnoException): void {
  // A reader that stops early (`fwcheck ... | head`) is no error of ours.
  if (code === "EPIPE") process.exit(process.exitCode ?? 2);
  tell(`fwcheck: standard output cannot be written (${code}): what was printed is not whole\n`);
  process.exit(2);
}
process.stdout.on("error", lost);
// yargs exits by itself behind --help and --version, before the error is there.
process.on("exit", (code) => {
  if (code === 0 && process.stdout.errored) lost(process.stdout.errored);
});

process.stderr.on("error", (error: NodeJS.ErrnoException) => {
  // Notes that are lost could change what the answer means.
  if (error.code !== "EPIPE") process.exit(2);
});

try {
  // yargs loses a lone dash among several positionals.
  await run(hideBin(process.argv).map((word) => (word === "-" ? STDIN : word)));
} catch (error) {
  end(error);
}
