/** A whole connection as text: the paths of its packets, a table of packets, and the result. */
import { containerAt } from "../../host/host.ts";
import type { Trace } from "../../simulate/answer.ts";
import type { Flow, FlowPacket } from "../../simulate/flow.ts";
import { flowBreakText, flowNoteText } from "../text/assumption-text.ts";
import { at, packetText } from "../text/packet-text.ts";
import { columns, safe } from "../text/terminal.ts";
import { socketText } from "./event-text.ts";
import { type TextContext, type TraceOptions, textContext, verdictColour } from "./text-context.ts";
import { assumptionLines, inferredLines, labelled, pathLines, sourceLine } from "./trace-text.ts";
import { conclusion, paragraph, skippedInputText } from "./verdict-text.ts";

/** Prints a connection: each path that differs from those before it, a line per packet, and the result. */
export function flowText(flow: Flow, options: TraceOptions): string {
  const [first] = flow.packets;
  if (first === undefined) return "";
  const { packet } = first.trace.answer;
  const context = textContext(packet.dst, options);
  const out = paragraph(`${packetText(packet)}, whole connection`, context, context.style.bold);
  if (context.detail !== "short") {
    const inferred = inferredLines(context);
    out.push(...sourceLine(context), "", ...flowPaths(flow, context));
    out.push(...inferred, ...(inferred.length > 0 ? [""] : []));
  }
  out.push(...packetTable(flow, context));
  for (const note of flow.noteCodes) out.push(...labelled("note:", flowNoteText(note), context));
  out.push("", ...flowConclusion(flow, context));
  return `${out.join("\n")}\n`;
}

/** The paths of the packets; a path that an earlier packet took is left out unless every step is shown. */
function flowPaths({ packets }: Flow, context: TextContext): string[] {
  const seen = new Set<string>();
  return packets.flatMap((packet, i) => {
    const { trace } = packet;
    const path = pathLines(trace, context);
    const key = path.join("\n");
    if (seen.has(key) && context.detail !== "all") return [];
    seen.add(key);
    const title = `${i + 1}. ${packetTitle(packet)}: ${packetText(trace.answer.packet)}`;
    return [
      ...paragraph(title, context, context.style.bold),
      "",
      ...path,
      ...assumptionLines(trace, context),
      "",
    ];
  });
}

const packetTitle = ({ step, from }: FlowPacket): string => `${step} from the ${from}`;

/** A line per packet: sender, path, conntrack state, translations. */
function packetTable({ packets }: Flow, { style }: TextContext): string[] {
  const rows = packets.map(({ step, from, trace: { answer, branches } }, i) => {
    const { packet: p, verdict, delivery, out } = answer;
    const [branch] = branches;
    const source = p.in === null || p.in === undefined ? "the host" : safe(p.in);
    const goal = delivery === "local" ? "the host" : safe(out ?? "");
    const translated = (side: "src" | "dst", before: string, after: string): string[] =>
      before === after ? [] : [`${side} becomes ${after}`];
    const header = verdict === "accept" ? branch?.header : undefined;
    const translations =
      header === undefined
        ? []
        : [
            ...translated("src", at(p.src, p.sport), socketText(header.src, header.sport)),
            ...translated("dst", at(p.dst, p.dport), socketText(header.dst, header.dport)),
          ];
    return [
      `${i + 1}.`,
      from,
      step,
      verdict === "accept" ? `${source} -> ${goal}` : `${source} -> ${verdict.toUpperCase()}`,
      branch?.events.find((event) => event.kind === "track")?.state ?? "",
      translations.join(", "),
    ];
  });
  return columns(rows).map((text, i) => verdictColour(packets[i]!.trace.answer.verdict, style)(text));
}

function flowConclusion({ packets, verdict, brokenCode }: Flow, context: TextContext): string[] {
  const first = packets[0]!;
  const last = packets.at(-1)!;
  const where = `packet ${packets.length}, the ${packetTitle(last)}`;
  const paint = verdictColour(verdict, context.style);
  if (brokenCode !== null) {
    const broken = safe(flowBreakText(brokenCode));
    return paragraph(`BREAKS at ${where}: it is accepted, but ${broken}.`, context, paint);
  }
  if (verdict !== "accept") {
    const lead = verdict === "undecided" ? `UNKNOWN from ${where}, on` : `BREAKS at ${where}`;
    return [...paragraph(`${lead}:`, context, paint), ...conclusion(last.trace, context)];
  }
  const count = packets.length === 2 ? "both" : `all ${packets.length}`;
  const result =
    packets.length === 1
      ? "ARRIVES: such a packet has no reply."
      : `WORKS, if ${receiverText(first.trace, context)} replies: ${count} packets arrive.`;
  return [...paragraph(result, context, paint), ...skippedInputText(first.trace, context)];
}

/** `172.17.0.2:80 (container web)`: the receiver of the first packet. */
function receiverText({ answer, branches }: Trace, { host }: TextContext): string {
  const header = branches[0]?.header;
  if (header === undefined) return "the server";
  const container = containerAt(host, header.dst);
  const name =
    answer.delivery === "local"
      ? "the host itself"
      : container === null
        ? null
        : `container ${safe(container.name)}`;
  return `${socketText(header.dst, header.dport)}${name === null ? "" : ` (${name})`}`;
}
