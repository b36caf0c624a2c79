/** Results of a simulation: the verdict as JSON, and the trace of how it came about. */
import { printAddress } from "../packet/address.ts";
import { protoName } from "../packet/field.ts";
import type { Packet } from "../packet/packet.ts";
import { type PacketJson, packetJson } from "../packet/packet-json.ts";
import type { EndReason } from "../path/end-reason.ts";
import type { Step } from "../path/program.ts";
import { printAssumption } from "../path/unknown-key.ts";
import type { Decision, Ending } from "../path/walk.ts";
import type { Hook } from "../rules/base-chain.ts";
import { type Assumption, distinctAssumptions, type Supposition } from "./assumption.ts";
import { type FlowHeader, flowHeaderOf, type PacketState } from "./packet-state.ts";
import type { TraceEvent } from "./trace.ts";

/** The header of a packet as it leaves. */
export interface SentHeader {
  /** Source address as text. */
  readonly src: string;
  /** Destination address as text. */
  readonly dst: string;
  /** Name of the protocol, or its number. */
  readonly proto: string;
  /** Source port; `null` for a protocol without ports. */
  readonly sport: number | null;
  /** Destination port; `null` for a protocol without ports. */
  readonly dport: number | null;
  /** Mark (fwmark); it does not leave the host. */
  readonly mark: number;
  /** Time to live, or hop limit. */
  readonly ttl: number;
  /** TOS byte, or traffic class. */
  readonly tos: number;
}

/** Result for a packet, as data; `answerJson` adds sentences. */
export interface Answer {
  /** The packet as it was given. */
  readonly packet: PacketJson;
  /** Verdict; `undecided` if it depends on an unknown. */
  readonly verdict: Decision;
  /** Forwarded, delivered to the host itself, sent by the host itself, or none of these. */
  readonly delivery: "forward" | "local" | "out" | "none";
  /** Output interface; `null` if the packet does not leave. */
  readonly out: string | null;
  /** Header with which it leaves; `null` if it does not leave. */
  readonly sent: SentHeader | null;
  /** Rules, returns and policies in order: the steps of the kernel's TRACE target. */
  readonly path: readonly Step[];
  /** Assumptions that the answer rests on; `assumptionText` makes sentences of them. */
  readonly assumptionCodes: readonly Assumption[];
  /** Reason of a verdict that no rule gave (no route, forwarding off); otherwise absent. */
  readonly reasonCode?: EndReason;
  /** One outcome for each branch, if the verdict depends on an unknown. */
  readonly branches?: readonly Outcome[];
}

/** Outcome of one branch. */
export interface Outcome extends Omit<Answer, "packet" | "branches"> {
  /** Arguments of `--assume` that select this branch, in order. */
  readonly assume?: readonly string[];
}

/** One branch of a trace, with its events. */
export interface TracedBranch extends Outcome {
  /** Events in order. */
  readonly events: readonly TraceEvent[];
  /** Values of unknowns on this branch. */
  readonly suppositions: readonly Supposition[];
  /** Header at the end of the path; the host itself receives it if `delivery` is `local`. */
  readonly header: FlowHeader;
  /** Hook in which the path ended; `null` between hooks. */
  readonly hook: Hook | null;
}

/** An answer with all events. */
export interface Trace {
  /** Result for the packet. */
  readonly answer: Answer;
  /** All branches; a single one if no unknown was evaluated. */
  readonly branches: readonly TracedBranch[];
  /**
   * Outcome that INPUT would give to the first packet of a connection to this host, if a translation redirects it so that
   * INPUT is not evaluated; `null` for other packets.
   */
  readonly skippedInput: Outcome | null;
}

function sentHeaderOf(ending: Ending<PacketState>): SentHeader | null {
  if (ending.verdict !== "accept" || ending.delivery === "local" || ending.delivery === "none") return null;
  const h = flowHeaderOf(ending.state);
  return {
    src: printAddress(h.src),
    dst: printAddress(h.dst),
    proto: protoName(h.proto),
    sport: h.sport ?? null,
    dport: h.dport ?? null,
    mark: ending.state.field("mark") as number,
    ttl: ending.state.field("ttl") as number,
    tos: ending.state.field("tos") as number,
  };
}

/** Returns the outcome of one ending. */
export function outcomeOf(ending: Ending<PacketState>): Outcome {
  return {
    verdict: ending.verdict,
    delivery: ending.verdict === "accept" ? ending.delivery : "none",
    out: ending.verdict === "accept" ? ending.out : null,
    sent: sentHeaderOf(ending),
    path: ending.state.path,
    assumptionCodes: ending.state.assumptions,
    ...(ending.reason === null ? {} : { reasonCode: ending.reason }),
  };
}

const UNDECIDED = { verdict: "undecided", delivery: "none", out: null, sent: null } as const;

/** Combines the endings of all branches. */
export function answer(packet: Packet, endings: readonly Ending<PacketState>[]): Answer {
  const branches = endings.map(outcomeOf);
  const [first] = branches;
  const json = packetJson(packet);
  if (first === undefined) return { packet: json, ...UNDECIDED, path: [], assumptionCodes: [] };
  if (branches.length === 1) return { packet: json, ...first };
  // A port chosen by the kernel is arbitrary: branches that differ only in such a port are equal.
  const chosen = endings.some(({ state }) => state.connection?.kernelChoice !== undefined);
  const sent = (b: Outcome): string =>
    JSON.stringify(b.sent, (key, value) => (chosen && /^[sd]port$/.test(key) ? null : value));
  const same = branches.every(
    (b) =>
      b === first ||
      (b.verdict === first.verdict &&
        b.delivery === first.delivery &&
        b.out === first.out &&
        sent(b) === sent(first)),
  );
  const all = distinctAssumptions(branches.flatMap((b) => b.assumptionCodes));
  if (same) {
    // All branches agree; the unknowns are still reported as assumptions.
    return { packet: json, ...first, assumptionCodes: all };
  }
  return {
    packet: json,
    ...UNDECIDED,
    path: first.path,
    assumptionCodes: all,
    branches: branches.map((b, i) => ({
      ...b,
      assume: endings[i]!.state.suppositions.map(({ key, truth }) => printAssumption(key, truth)),
    })),
  };
}
