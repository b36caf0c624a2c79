/** Bounds the work for one packet. Beyond them the packet is undecided. */

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
  get exceeded(): string | null {
    if (this.branches > MOST_PACKET_BRANCHES) return TOO_MANY_BRANCHES;
    if (this.steps > MOST_PACKET_STEPS)
      return `the packet matches more than ${MOST_PACKET_STEPS} rules; its path is not followed further`;
    return this.rules > MOST_RULES_TRIED
      ? `more than ${MOST_RULES_TRIED} rules are evaluated for the packet; its path is not followed further`
      : null;
  }
}

/** Reason for a packet with too many branches. */
export const TOO_MANY_BRANCHES = "too many unknown matches to follow every branch";
