/** Holds the simulator against one lab, packet by packet. */
import { type Answer, readPacket, Simulator } from "fwcheck";
import type { Step } from "../../lib/path/program.ts";
import { GROUPS } from "../../lib/path/route.ts";
import type { Deed, Lab, LabPacket } from "./lab.ts";

/** A packet, what the simulator says of it, and what the kernel did with it. */
export interface Judged {
  readonly packet: LabPacket;
  readonly answer: Answer;
  readonly deed: Deed;
  /** In what the two differ, in a word or two; `null` when they agree. */
  readonly differs: string | null;
}

/** A step as the lab spells it. */
export const spoken = (step: Step): string =>
  step.step === "rule"
    ? `${step.table} ${step.chain} ${step.rule}`
    : `${step.table} ${step.chain} ${step.step}`;

/** The lab's interfaces listen to no group but those that all do. */
const NO_GROUPS = new Map([[GROUPS, false]]);

/** What has the same two ports may be of the same flow, translated or not. */
const flowOf = (p: LabPacket): string =>
  `${p.proto} ${[p.sport ?? p.id ?? 0, p.dport ?? 0].sort().join(" ")}`;

const endOf = (p: LabPacket): string => `${p.proto} ${p.dst} ${p.dport ?? 0}`;

export class Judge {
  readonly simulator: Simulator;
  private readonly tables: ReadonlySet<string>;
  /**
   * Flows whose fate the simulator leaves open, and whom they were for: the kernel's table may know more of them, and a
   * translation of another flow to the same end may have to avoid them.
   */
  private readonly open = new Set<string>();

  constructor(private readonly lab: Lab) {
    this.simulator = new Simulator([lab.ruleset], lab.host, { assume: NO_GROUPS });
    this.tables = new Set<string>(lab.ruleset.tables.keys());
  }

  /** What the simulator says of the next packet; `undefined` where it already left the packet's flow open. */
  foretell(packet: LabPacket): Answer | undefined {
    if (this.open.has(flowOf(packet)) || this.open.has(endOf(packet))) return undefined;
    const answer = this.said(packet);
    if (!settled(answer)) this.open.add(flowOf(packet)).add(endOf(packet));
    return answer;
  }

  /** What the simulator says of the next packet, whatever was left open. */
  said(packet: LabPacket): Answer {
    const { seq: _, ack: __, across: ___, ...plain } = packet;
    const read = readPacket(plain.in === null ? { uid: 0, gid: 0, ...plain } : plain);
    if (typeof read === "string") throw new Error(`${read}: ${JSON.stringify(packet)}`);
    return this.simulator.packet(read);
  }

  /** Sends packets in their order and compares what the kernel does with what was foretold. */
  async compare(batch: readonly { packet: LabPacket; answer: Answer }[]): Promise<Judged[]> {
    const deeds = await this.lab.send(batch.map((b) => b.packet));
    return deeds.map((deed, i) => {
      const { packet, answer } = batch[i]!;
      return { packet, answer, deed, differs: this.difference(packet, answer, deed) };
    });
  }

  private difference(packet: LabPacket, answer: Answer, deed: Deed): string | null {
    const ways: readonly Branch[] = answer.branches ?? [answer];
    const found = ways.map((way) => difference(packet, way, deed, this.tables));
    if (found.includes(null)) return null;
    // Ways that end alike are not told one by one: the first is as good as any, and the path may be another's.
    const alike = answer.branches === undefined && answer.verdict === "undecided";
    if (several(answer) && (alike || found.every((f) => f === "path"))) return null;
    return [...new Set(found)].join(", ");
  }
}

/** Whether the answer names what it had to take one way or the other. */
export const several = (answer: Answer): boolean =>
  answer.assumptions.some((a) => a.includes(" taken not to ") || a.startsWith("nat-choice("));

/** Whether the answer says all that becomes of the packet and of its connection. */
export const settled = (answer: Answer): boolean =>
  answer.verdict !== "undecided" &&
  !several(answer) &&
  !answer.assumptions.some((a) => a.includes("the kernel chooses"));

type Branch = Pick<Answer, "verdict" | "delivery" | "out" | "sent" | "path" | "assumptions">;

/** What differs between what the kernel did and what one branch of the answer says; `null` when nothing does. */
function difference(
  packet: LabPacket,
  answer: Branch,
  deed: Deed,
  tables: ReadonlySet<string>,
): string | null {
  const path = answer.path.map(spoken);
  const kernel = deed.path.filter((step) => tables.has(step.split(" ")[0]!));
  // Where nothing is decided the way ends early.
  if (answer.verdict === "undecided" && path.every((step, i) => kernel[i] === step)) return null;
  return ended(packet, answer, deed) ?? (path.join("; ") === kernel.join("; ") ? null : "path");
}

/** What differs in how it ends: what comes out, and by which interface. */
function ended(packet: LabPacket, answer: Branch, deed: Deed): string | null {
  const leaves = answer.verdict === "accept" && (answer.delivery === "forward" || answer.delivery === "out");
  if (!leaves) return deed.out.length === 0 ? null : "something came out";
  const [out, ...more] = deed.out;
  if (out === undefined) return "nothing came out";
  if (more.length > 0) return "it came out more than once";
  if (out.out !== answer.out) return "interface";
  const sent = answer.sent!;
  if (out.src !== sent.src || out.dst !== sent.dst) return "address";
  if (out.ttl !== sent.ttl) return "ttl";
  if (out.tos !== sent.tos) return "tos";
  const chosen = answer.assumptions.some((a) => a.includes("the kernel chooses"));
  if (out.sport !== undefined && sent.sport !== null && packet.fragment !== 1 && !chosen)
    if (out.sport !== sent.sport || out.dport !== sent.dport) return "port";
  return null;
}
