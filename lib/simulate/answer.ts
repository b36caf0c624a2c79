/** What becomes of a packet, as the contract's JSON has it, and how it came about. */
import { printAddress } from "../packet/address.ts";
import { protoName } from "../packet/field.ts";
import { type Packet, type PacketJson, packetJson } from "../packet/packet.ts";
import type { Step } from "../path/program.ts";
import type { Decision, Ending } from "../path/walk.ts";
import type { Hook } from "../rules/base-chain.ts";
import { type FlowHeader, flowHeaderOf, type PacketState, type Supposition } from "./packet-state.ts";
import type { TraceEvent } from "./trace.ts";

/** The header of a packet as it leaves. */
export interface Sent {
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

/** What becomes of a packet: the contract's JSON. */
export interface Answer {
  /** The packet as it was given. */
  readonly packet: PacketJson;
  /** What becomes of it; `undecided` where that depends on what the inputs do not tell. */
  readonly verdict: Decision;
  /** Forwarded, taken in by the host itself, sent by the host itself, or neither. */
  readonly delivery: "forward" | "local" | "out" | "none";
  /** Interface it leaves by; `null` where it does not leave. */
  readonly out: string | null;
  /** The header that it leaves or is taken in with; `null` where it is neither. */
  readonly sent: Sent | null;
  /** What it met, in order: the steps of the kernel's TRACE target. */
  readonly path: readonly Step[];
  /** What was inferred or taken to be so, a sentence each. */
  readonly assumptions: readonly string[];
  /** Why it went no further where no rule says it (no route, forwarding off); else absent. */
  readonly reason?: string;
  /** Where the verdict depends on what the inputs do not tell: each way it can go. */
  readonly branches?: readonly Outcome[];
}

/** An answer without its packet: how one way ends. */
export interface Outcome extends Omit<Answer, "packet" | "branches"> {
  /** Of a branch: what `--assume` has to be told for the packet to go this way, in order. */
  readonly assume?: readonly string[];
}

/** One way that a packet can go, and what happens to it there. */
export interface TracedBranch extends Outcome {
  /** What happened, in order. */
  readonly events: readonly TraceEvent[];
  /** The unknowns that were taken one way or the other to come here. */
  readonly suppositions: readonly Supposition[];
  /** The assumptions that are not suppositions, a sentence each. */
  readonly inferences: readonly string[];
  /** The header at the end, wherever that is; the host itself gets it when `delivery` is `local`. */
  readonly header: FlowHeader;
  /** The hook in which it ended; `null` where it ended between hooks, or met none. */
  readonly hook: Hook | null;
}

/** An answer with all that happened. */
export interface Trace {
  /** What becomes of the packet. */
  readonly answer: Answer;
  /** The way it goes, or each way it can go where an unknown was asked. */
  readonly branches: readonly TracedBranch[];
  /**
   * What INPUT would have said of a first packet for this host that a translation took elsewhere, so that INPUT is
   * never asked; `null` for any other packet.
   */
  readonly skippedInput: Outcome | null;
}

function sentHeaderOf(ending: Ending<PacketState>): Sent | null {
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

/** How one way ends. */
export function outcomeOf(ending: Ending<PacketState>): Outcome {
  return {
    verdict: ending.verdict,
    delivery: ending.verdict === "accept" ? ending.delivery : "none",
    out: ending.verdict === "accept" ? ending.out : null,
    sent: sentHeaderOf(ending),
    path: ending.state.path,
    assumptions: ending.state.assumptions,
    ...(ending.why === null ? {} : { reason: ending.why }),
  };
}

/** As `--assume` takes it. */
const assumption = ({ key, truth }: Supposition): string => `${key}=${truth ? "match" : "no-match"}`;

const UNDECIDED = { verdict: "undecided", delivery: "none", out: null, sent: null } as const;

/** What becomes of a packet, of all the ways that it can go. */
export function answer(packet: Packet, endings: readonly Ending<PacketState>[]): Answer {
  const branches = endings.map(outcomeOf);
  const [first] = branches;
  const json = packetJson(packet);
  if (first === undefined) return { packet: json, ...UNDECIDED, path: [], assumptions: [] };
  if (branches.length === 1) return { packet: json, ...first };
  // Ports that the kernel chooses are nobody's to foretell: one stands for all.
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
  if (same) {
    // Where the outcome does not depend on it, an unknown is still named.
    return { packet: json, ...first, assumptions: [...new Set(branches.flatMap((b) => b.assumptions))] };
  }
  return {
    packet: json,
    ...UNDECIDED,
    path: first.path,
    assumptions: [...new Set(branches.flatMap((b) => b.assumptions))],
    branches: branches.map((b, i) => ({ ...b, assume: endings[i]!.state.suppositions.map(assumption) })),
  };
}
