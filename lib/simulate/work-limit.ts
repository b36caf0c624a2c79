/** Bounds the work for one packet. Beyond them the packet is undecided. */
import type { LimitExceeded } from "./assumption.ts";

/** Most branches in all chains together. */
const MOST_PACKET_BRANCHES = 4096;
/** Most steps on all branches together: rules that match, and ends of chains. */
const MOST_PACKET_STEPS = 1 << 16;
/** Most rules evaluated, about 0.2 s. */
const MOST_RULES_TRIED = 1 << 26;

/** Counts the work for one packet. */
export class WorkLimit {
  private branches = 0;
  private steps = 0;
  private rules = 0;

  /** Counts an additional branch. */
  countBranch(): void {
    this.branches++;
  }

  /** Counts a step, and the rules that did not match before it. */
  countStep(passed: number): void {
    this.steps++;
    this.rules += passed;
  }

  /** Reason to give up, `null` within the limits. */
  get exceeded(): LimitExceeded | null {
    if (this.branches > MOST_PACKET_BRANCHES) return TOO_MANY_BRANCHES;
    if (this.steps > MOST_PACKET_STEPS) return { code: "too-many-matches", limit: MOST_PACKET_STEPS };
    return this.rules > MOST_RULES_TRIED ? { code: "too-many-rules", limit: MOST_RULES_TRIED } : null;
  }
}

/** Reason for a packet with too many branches. */
export const TOO_MANY_BRANCHES: LimitExceeded = { code: "too-many-branches" };
