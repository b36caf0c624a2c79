import {
  chainGraph,
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
import { Refused } from "../files.ts";
import { oneHost } from "../fleet.ts";
import { type HostArgs, inputs } from "../inputs.ts";
import { print, tell } from "../output.ts";

interface GraphArgs extends HostArgs {
  readonly format: "svg" | "dot" | "mermaid";
  readonly all?: boolean | undefined;
  readonly chain?: string | undefined;
  readonly family?: Family | undefined;
  readonly packet?: string | undefined;
}

/** `fwcheck graph`: the picture of one family's rules on stdout; what it leaves out, and the rest, on stderr. */
export function run(args: GraphArgs): number {
  oneHost(args.rules, "graph");
  const packet = args.packet === undefined ? null : packetOf(args.packet);
  const { rulesets, host } = inputs(args, packet === null ? [] : [packet]);
  const family = args.family ?? packet?.family;
  const ruleset = family === undefined ? rulesets[0]! : rulesets.find((r) => r.family === family);
  if (ruleset === undefined) throw new Refused(`there are no rules for IPv${family}`);
  if (packet !== null && packet.family !== ruleset.family)
    throw new Refused(`the packet of --packet is not IPv${ruleset.family}`);
  const options: GraphOptions = {
    ...(args.all === true ? { all: true } : {}),
    ...(args.chain === undefined ? {} : { chain: chainOf(args.chain, ruleset) }),
    ...(packet === null ? {} : { trace: new Simulator(rulesets, host).trace(packet) }),
  };
  const graph = chainGraph(ruleset, host, options);
  const note = (words: string): void => tell(`note: ${words}\n`);
  // The rules' own doubts are among the notes.
  for (const each of [...host.doubts, ...graph.notes]) note(safe(each));
  if (args.format === "svg") print(graphSvg(graph));
  else if (args.format === "dot") print(graphDot(graph));
  else {
    const text = graphMermaid(graph);
    print(text);
    const { characters, edges } = MERMAID_LIMITS;
    if (text.length > characters || text.split(/-->|==>|-\.->|---/).length - 1 > edges)
      note(
        `this is more than Mermaid draws unless it is told to (maxTextSize ${characters}, maxEdges ${edges}); --chain draws a part`,
      );
  }
  const others = rulesets.filter((r) => r !== ruleset);
  if (family === undefined && others.length > 0)
    note(`there are rules for IPv${others[0]!.family}, too: run again with --family ${others[0]!.family}`);
  return 0;
}

/** `TABLE/CHAIN`, or a name that only one table has. @throws Refused */
function chainOf(spec: string, ruleset: Ruleset): { readonly table: TableName; readonly name: string } {
  const slash = spec.indexOf("/");
  const told = TABLES.find((name) => name === spec.slice(0, slash));
  const name = told === undefined ? spec : spec.slice(slash + 1);
  const tables = TABLES.filter(
    (table) => (told ?? table) === table && ruleset.tables.get(table)?.chains.has(name),
  );
  if (tables.length === 0)
    throw new Refused(
      `there is no chain ${safe(spec)} in ${safe(ruleset.source)}; --chain takes TABLE/CHAIN`,
    );
  if (tables.length > 1)
    throw new Refused(
      `${safe(name)} is a chain of ${tables.join(" and ")}: say which, as ${tables[0]}/${safe(name)}`,
    );
  return { table: tables[0]!, name };
}

/** @throws Refused */
function packetOf(text: string): Packet {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refused(`--packet takes a packet as JSON, as --packets of simulate does, not ${safe(text)}`);
  }
  const packet = readPacket(value);
  if (typeof packet === "string") throw new Refused(`--packet: ${safe(packet)}`);
  return packet;
}
