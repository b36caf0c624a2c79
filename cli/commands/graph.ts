import {
  chainGraph,
  doubtText,
  type Family,
  type GraphOptions,
  graphDot,
  graphMermaid,
  graphSvg,
  MERMAID_LIMITS,
  type Packet,
  type Ruleset,
  readPacket,
  Simulator,
  safe,
  TABLES,
  type TableName,
} from "../../lib/index.ts";
import { defineCommand } from "../command.ts";
import { InputError } from "../errors.ts";
import { familyFlag, familyOf, hostFlags, rulesPositional } from "../flags.ts";
import { requireOneHost } from "../fleet.ts";
import { type HostArgs, inputs } from "../inputs.ts";
import { print, writeStderr } from "../output.ts";

interface GraphArgs extends HostArgs {
  readonly format: "svg" | "dot" | "mermaid";
  readonly all?: boolean | undefined;
  readonly chain?: string | undefined;
  readonly family?: Family | undefined;
  readonly packet?: string | undefined;
}

/** Runs `fwcheck graph`: prints the drawing of one family to stdout, and notes to stderr. */
function run(args: GraphArgs): number {
  requireOneHost(args.rules, "graph");
  const packet = args.packet === undefined ? null : packetOf(args.packet);
  const { rulesets, host } = inputs(args, packet === null ? [] : [packet]);
  const family = args.family ?? packet?.family;
  const ruleset = family === undefined ? rulesets[0]! : rulesets.find((r) => r.family === family);
  if (ruleset === undefined) throw new InputError(`there are no rules for IPv${family}`);
  if (packet !== null && packet.family !== ruleset.family)
    throw new InputError(`the packet of --packet is not IPv${ruleset.family}`);
  const options: GraphOptions = {
    ...(args.all === true ? { all: true } : {}),
    ...(args.chain === undefined ? {} : { chain: chainOf(args.chain, ruleset) }),
    ...(packet === null ? {} : { trace: new Simulator(rulesets, host).trace(packet) }),
  };
  const graph = chainGraph(ruleset, host, options);
  const note = (text: string): void => writeStderr(`note: ${text}\n`);
  // The notes of the graph contain the doubts about the rules.
  for (const each of [...host.doubts.map(doubtText), ...graph.notes]) note(safe(each));
  if (args.format === "svg") print(graphSvg(graph));
  else if (args.format === "dot") print(graphDot(graph));
  else {
    const text = graphMermaid(graph);
    print(text);
    const { characters, edges } = MERMAID_LIMITS;
    if (text.length > characters || text.split(/-->|==>|-\.->|---/).length - 1 > edges)
      note(
        `this exceeds the default limits of Mermaid (maxTextSize ${characters}, maxEdges ${edges}); use --chain to draw a part`,
      );
  }
  const others = rulesets.filter((r) => r !== ruleset);
  if (family === undefined && others.length > 0)
    note(
      `there are also rules for IPv${others[0]!.family}; run again with --family ${others[0]!.family} to draw them`,
    );
  return 0;
}

/** Looks up `TABLE/CHAIN`, or the name of a chain that only one table has. @throws InputError */
function chainOf(spec: string, ruleset: Ruleset): { readonly table: TableName; readonly name: string } {
  const slash = spec.indexOf("/");
  const given = TABLES.find((name) => name === spec.slice(0, slash));
  const name = given === undefined ? spec : spec.slice(slash + 1);
  const tables = TABLES.filter(
    (table) => (given ?? table) === table && ruleset.tables.get(table)?.chains.has(name),
  );
  if (tables.length === 0)
    throw new InputError(
      `there is no chain ${safe(spec)} in ${safe(ruleset.source)}; --chain takes TABLE/CHAIN`,
    );
  if (tables.length > 1)
    throw new InputError(
      `there is a chain ${safe(name)} in tables ${tables.join(" and ")}; name one: ${tables[0]}/${safe(name)}`,
    );
  return { table: tables[0]!, name };
}

/** Parses the value of `--packet`. @throws InputError */
function packetOf(text: string): Packet {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InputError(
      `--packet takes a packet as JSON, in the form of simulate --packets, not ${safe(text)}`,
    );
  }
  const packet = readPacket(value);
  if (typeof packet === "string") throw new InputError(`--packet: ${safe(packet)}`);
  return packet;
}

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
  run: (args) => run({ ...args, family: familyOf(args) }),
});
