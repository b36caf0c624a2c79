import {
  type Answer,
  type AnswerJson,
  answerJson,
  doubtText,
  flow,
  flowJson,
  flowText,
  type Host,
  inferenceTexts,
  type Packet,
  pathSvg,
  type Ruleset,
  Simulator,
  safe,
  type TraceOptions,
  traceText,
  unknownsOf,
} from "../../lib/index.ts";
import { InputError } from "../errors.ts";
import { requireOneHost } from "../fleet.ts";
import { type HostArgs, type Inputs, inputs, printDoubts } from "../inputs.ts";
import { JsonLines, print, printJson, style, width, writeStderr } from "../output.ts";
import { type PacketArgs, packetOfFlags, packetsOfFile } from "../packet-flags.ts";
import { didYouMean } from "../suggestion.ts";

type AnswerVerdict = Answer["verdict"];

interface SimulateArgs extends HostArgs, PacketArgs {
  readonly expect?: "accept" | "drop" | "reject" | undefined;
  readonly short?: boolean | undefined;
  readonly verbose?: boolean | undefined;
  readonly svg?: boolean | undefined;
  readonly json?: boolean | undefined;
}

/**
 * Runs `fwcheck simulate`.
 * @returns 1 if `--expect` is not met, 2 if it is met but rules or host are in doubt, else 0
 */
export function run(args: SimulateArgs): number {
  if (args.svg === true) checkSvg(args);
  const packets = args.packets === undefined ? [packetOfFlags(args)] : packetsOfFile(args, args.packets);
  requireOneHost(args.rules, "simulate");
  const given = inputs(args, packets);
  const doubts = printDoubts(given);
  warnOfUnknownInterfaces(packets, given.host);
  const assume = assumptions(args.assume ?? [], given.rulesets, given.host);
  const simulator = new Simulator(given.rulesets, given.host, { assume });
  const inferred = inferenceTexts(given.host);
  const inputDoubts = { doubts: doubts.map(doubtText), doubtCodes: doubts };
  const document: ToDocument = (answer) => {
    const json = answerJson(answer, inferred);
    return doubts.length === 0 ? json : { ...json, ...inputDoubts };
  };
  const verdicts =
    args.packets === undefined
      ? [simulateOne(args, given, simulator, packets[0]!, document)]
      : simulateAll(simulator, packets, document);
  if (args.expect === undefined) return 0;
  if (verdicts.some((verdict) => verdict !== args.expect)) return 1;
  return doubts.length > 0 ? 2 : 0;
}

/** Makes the document of an answer, with the doubts about the inputs. */
type ToDocument = (answer: Answer) => AnswerJson & {
  /** Sentences; absent without doubts. */
  readonly doubts?: readonly string[];
  /** The same as codes with typed fields. */
  readonly doubtCodes?: ReturnType<typeof printDoubts>;
};

/** Prints an answer per packet as NDJSON; the packets share one connection table. */
function simulateAll(
  simulator: Simulator,
  packets: readonly Packet[],
  document: ToDocument,
): AnswerVerdict[] {
  const lines = new JsonLines();
  const verdicts = packets.map((packet) => {
    const answer = simulator.packet(packet);
    lines.add(document(answer));
    return answer.verdict;
  });
  lines.flush();
  return verdicts;
}

/** Prints the path of one packet or of one connection. */
function simulateOne(
  args: SimulateArgs,
  { rulesets, host }: Inputs,
  simulator: Simulator,
  packet: Packet,
  document: ToDocument,
): AnswerVerdict {
  const detail = args.short === true ? "short" : args.verbose === true ? "all" : "usual";
  const options: TraceOptions = { rulesets, host, style: style(), width: width(), detail };
  const verdict =
    args.flow === true
      ? printFlow(args, flow(simulator, host, packet), options, document)
      : printTrace(args, simulator.trace(packet), options, document);
  if (args.expect !== undefined && verdict !== args.expect && args.json !== true)
    writeStderr(`expected ${args.expect}, but the verdict is ${verdict}\n`);
  return verdict;
}

function printFlow(
  args: SimulateArgs,
  played: ReturnType<typeof flow>,
  options: TraceOptions,
  document: ToDocument,
): AnswerVerdict {
  if (args.json === true) printJson(flowJson(played, document));
  else print(flowText(played, options));
  return played.verdict;
}

function printTrace(
  args: SimulateArgs,
  trace: ReturnType<Simulator["trace"]>,
  options: TraceOptions,
  document: ToDocument,
): AnswerVerdict {
  if (args.json === true) printJson({ version: 1, ...document(trace.answer) });
  else if (args.svg === true) print(`${pathSvg(trace, options)}\n`);
  else print(traceText(trace, options));
  return trace.answer.verdict;
}

/** @throws InputError for flags that `--svg` excludes: a picture shows the whole path of one packet */
function checkSvg({ packets, flow: connection, json, short }: SimulateArgs): void {
  const flags = Object.entries({ packets, flow: connection, json, short });
  const other = flags.find(([, value]) => value !== undefined && value !== false);
  if (other !== undefined)
    throw new InputError(`--svg draws the path of one packet; --${other[0]} cannot be combined with it`);
}

/** Warns of interfaces that the host does not have: a misspelt name changes the verdict. */
function warnOfUnknownInterfaces(packets: readonly Packet[], host: Host): void {
  const known = host.interfaces.map((i) => i.name);
  const unknown = new Set(packets.flatMap((p) => (p.in === null || known.includes(p.in) ? [] : [p.in])));
  for (const name of unknown)
    writeStderr(
      `warning: the host has no interface ${safe(JSON.stringify(name))}, so rules that name its interfaces do not match.${didYouMean(name, known)} Its interfaces: ${safe(known.join(", "))}\n`,
    );
}

/** Returns the values of `--assume NAME=match`. @throws InputError for a name that no rule can have */
function assumptions(
  list: readonly string[],
  rulesets: readonly Ruleset[],
  host: Host,
): ReadonlyMap<string, boolean> {
  const values = new Map<string, boolean>();
  const given = list.filter((each) => each !== "complete");
  if (given.length === 0) return values;
  const { here, comparisons, anywhere } = unknownsOf(rulesets, host);
  for (const each of given) {
    const m = /^(.+)=(match|no-match)$/s.exec(each);
    if (m === null) throw new InputError(`--assume takes NAME=match or NAME=no-match, not ${safe(each)}`);
    const name = m[1]!;
    if (![here, comparisons, anywhere].some((names) => names.has(name))) {
      const names = [...here].slice(0, 12).map(safe).join(", ");
      throw new InputError(
        `--assume: there is no unknown ${safe(JSON.stringify(name))}.${didYouMean(name, [...here, ...anywhere])} ${here.size === 0 ? "These rules have no unknowns" : `Unknowns in these rules: ${names}`}`,
      );
    }
    values.set(name, m[2] === "match");
  }
  return values;
}
