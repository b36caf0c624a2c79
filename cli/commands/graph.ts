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
  type TableId,
  tablesOf,
} from "../../lib/index.ts";
import { InputError } from "../errors.ts";
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
export function run(args: GraphArgs): number {
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
function chainOf(spec: string, ruleset: Ruleset): { readonly table: TableId; readonly name: string } {
  const slash = spec.indexOf("/");
  const ids = tablesOf(ruleset).map(({ name }) => name);
  const given = [...TABLES, ...ids].find((id) => id === spec.slice(0, slash));
  const name = given === undefined ? spec : spec.slice(slash + 1);
  const tables = ids.filter(
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
