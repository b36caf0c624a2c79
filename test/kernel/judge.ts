/** Holds the simulator against one lab, packet by packet. */
import { type Answer, type Assumption, readPacket, Simulator } from "fwcheck";
import type { Step } from "../../lib/path/program.ts";
import { GROUPS } from "../../lib/path/routing-decision.ts";
import { deadPlaces } from "../dead-rules.ts";
import type { Deed, Lab, LabPacket } from "./lab.ts";

/** A packet with the verdict of the simulator and that of the kernel. */
export interface Judged {
  readonly packet: LabPacket;
  readonly answer: Answer;
  readonly deed: Deed;
  /** The property in which the two differ; `null` when they agree. */
  readonly differs: string | null;
}

/** Prints a step as the lab does. */
export const spoken = (step: Step): string =>
  step.step === "rule"
    ? `${step.table} ${step.chain} ${step.rule}`
    : `${step.table} ${step.chain} ${step.step}`;

/** The lab's interfaces listen to no group but those that all do. */
const NO_GROUPS = new Map([[GROUPS, false]]);

/** Key of a flow: packets with the same two ports may belong to one flow, translated or not. */
const flowOf = (p: LabPacket): string =>
  `${p.proto} ${[p.sport ?? p.id ?? 0, p.dport ?? 0].sort().join(" ")}`;

const endOf = (p: LabPacket): string => `${p.proto} ${p.dst} ${p.dport ?? 0}`;

export class Judge {
  readonly simulator: Simulator;
  /**
   * Flows with an undecided packet, and their destinations: the kernel's table may contain more about them, and a
   * translation of another flow to the same end may have to avoid them.
   */
  private readonly open = new Set<string>();
  /** Places of rules that no packet may match. */
  private dead: ReadonlySet<string> | undefined;

  constructor(private readonly lab: Lab) {
    this.simulator = new Simulator([lab.ruleset], lab.host, { assume: NO_GROUPS });
  }

  /** Returns the simulator's answer for the next packet; `undefined` if the packet's flow is undecided already. */
  foretell(packet: LabPacket): Answer | undefined {
    if (this.open.has(flowOf(packet)) || this.open.has(endOf(packet))) return undefined;
    const answer = this.said(packet);
    if (!settled(answer)) this.open.add(flowOf(packet)).add(endOf(packet));
    return answer;
  }

  /** Returns the simulator's answer for the next packet, even if its flow is undecided. */
  said(packet: LabPacket): Answer {
    const { seq: _, ack: __, across: ___, ...plain } = packet;
    const read = readPacket(plain.in === null ? { uid: 0, gid: 0, ...plain } : plain);
    if (typeof read === "string") throw new Error(`${read}: ${JSON.stringify(packet)}`);
    return this.simulator.packet(read);
  }

  /** Sends packets in their order and compares what the kernel does with what was foretold. */
  async compare(batch: readonly { packet: LabPacket; answer: Answer }[]): Promise<Judged[]> {
    const deeds = await this.lab.send(batch.map((b) => b.packet));
    this.dead ??= deadPlaces(this.lab.ruleset, this.lab.host);
    return deeds.map((deed, i) => {
      const { packet, answer } = batch[i]!;
      return { packet, answer, deed, differs: this.difference(packet, answer, deed) };
    });
  }

  private difference(packet: LabPacket, answer: Answer, deed: Deed): string | null {
    const dead = deed.path.find((step) => this.dead!.has(step));
    if (dead !== undefined) return `the kernel matched ${dead}, which lint calls dead`;
    const ways: readonly Branch[] = answer.branches ?? [answer];
    const found = ways.map((way) => difference(packet, way, deed, this.lab));
    if (found.includes(null)) return null;
    // Branches with the same end are not listed: any branch will do, and the path may be that of another.
    const alike = answer.branches === undefined && answer.verdict === "undecided";
    if (several(answer) && (alike || found.every((f) => f === "path"))) return null;
    if (answer.verdict === "undecided" && repeats(answer, deed)) return null;
    return [...new Set(found)].join(", ");
  }
}

/** Returns true if the answer depends on assumptions. */
export const several = (answer: Answer): boolean =>
  answer.assumptionCodes.some(
    (a) => a.code === "supposed" && (!a.truth || a.reason.code === "port-distinguished"),
  );

/** Returns true if an assumption is about a port or an identifier that the kernel chooses. */
export const isKernelChoice = (a: Assumption): boolean => {
  const { code } = a.code === "supposed" ? a.reason : a;
  return code === "port-chosen" || code === "port-distinguished" || code === "port-collision";
};

/**
 * Returns true if the packet passes a chain twice that contains an unknown of a rule, such as a limit: branches give it one
 * result, and the kernel may have two. This is a limit that the manual names.
 */
function repeats({ assumptionCodes }: Answer, { path }: Deed): boolean {
  const chains = path.map((step) => step.replace(/ \S+$/, ""));
  const starts = chains.filter((chain, i) => chain !== chains[i - 1]);
  return assumptionCodes.some(({ code, ...rest }) => {
    const [, table, chain] = "key" in rest ? (/@(.*)\/(.*)\/\d+$/.exec(rest.key) ?? []) : [];
    return code === "supposed" && starts.filter((each) => each === `${table} ${chain}`).length > 1;
  });
}

/** Returns true if the answer determines the packet's verdict and its connection. */
export const settled = (answer: Answer): boolean =>
  answer.verdict !== "undecided" && !several(answer) && !answer.assumptionCodes.some(isKernelChoice);

type Branch = Pick<
  Answer,
  "verdict" | "delivery" | "out" | "sent" | "path" | "assumptionCodes" | "reasonCode"
>;

/** Returns the difference between the kernel and one branch of the answer; `null` if there is none. */
function difference(packet: LabPacket, answer: Branch, deed: Deed, lab: Lab): string | null {
  const path = answer.path.map(spoken);
  const kernel = deed.path;
  // A match of iptables that drops is a rule with a verdict for nf_tables, which reports it (nft_match_eval).
  const why = answer.reasonCode;
  if (why?.code === "match-drops" && lab.isOfNft(why.at.table))
    path.push(`${why.at.table} ${why.at.chain} ${why.at.rule}`);
  // Where nothing is decided the way ends early, at a rule that may not match.
  if (answer.verdict === "undecided" && path.slice(0, -1).every((step, i) => kernel[i] === step)) return null;
  return ended(packet, answer, deed) ?? (path.join("; ") === kernel.join("; ") ? null : "path");
}

/** Compares the ends: the packet that leaves, and its interface. */
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
  const chosen = answer.assumptionCodes.some(isKernelChoice);
  if (out.sport !== undefined && sent.sport !== null && packet.fragment !== 1 && !chosen)
    if (out.sport !== sent.sport || out.dport !== sent.dport) return "port";
  return null;
}
