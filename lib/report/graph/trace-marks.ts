/** The hooks, chains and rules on the path of a traced packet. */
import type { Hook } from "../../rules/base-chain.ts";
import { chainOf, type Ruleset, type TableId } from "../../rules/ruleset.ts";
import type { Trace, TracedBranch } from "../../simulate/answer.ts";
import { chainId, type PathPoint } from "./graph-model.ts";

/** Marks of a chain at a hook. */
export interface ChainMarks {
  /** Numbers of the rules that matched. */
  readonly rules: ReadonlySet<number>;
  /** The policy of the chain applied. */
  readonly policy: boolean;
}

/** Everything that a traced packet passed; empty without a trace. */
export class TraceMarks {
  /** Hooks, and the points between them. */
  readonly points = new Set<PathPoint>();
  private readonly chains = new Map<string, { readonly rules: Set<number>; policy: boolean }>();

  constructor(
    trace: Trace | undefined,
    private readonly ruleset: Ruleset,
  ) {
    if (trace === undefined) return;
    const isSent = (trace.answer.packet.in ?? null) === null;
    for (const branch of trace.branches) {
      this.points.add(isSent ? "programs" : "network").add(isSent ? "OUTPUT" : "PREROUTING");
      this.addBranch(branch);
    }
  }

  /** Marks of a chain; `undefined` if the packet did not reach it at this hook. */
  of(hook: Hook, table: TableId, name: string): ChainMarks | undefined {
    return this.chains.get(chainId(hook, table, name));
  }

  private addBranch({ delivery, out, events }: TracedBranch): void {
    if (delivery === "local") this.points.add("INPUT").add("programs");
    if (delivery === "forward") this.points.add("FORWARD");
    if (out !== null) this.points.add("POSTROUTING").add("out");
    for (const event of events) {
      if (event.kind === "route" && this.points.has("PREROUTING")) this.points.add("routing");
      if (event.kind !== "table") continue;
      this.points.add(event.hook);
      for (const { step } of event.steps) {
        const marks = this.marksOf(event.hook, step.table, step.chain);
        if (step.step === "policy") marks.policy = true;
        if (step.step !== "rule") continue;
        marks.rules.add(step.rule);
        // A called chain without a matching rule has no step of its own.
        if (chainOf(this.ruleset, step.table, step.target) !== undefined)
          this.marksOf(event.hook, step.table, step.target);
      }
    }
  }

  private marksOf(
    hook: Hook,
    table: TableId,
    name: string,
  ): { readonly rules: Set<number>; policy: boolean } {
    const id = chainId(hook, table, name);
    let marks = this.chains.get(id);
    if (marks === undefined) this.chains.set(id, (marks = { rules: new Set(), policy: false }));
    return marks;
  }
}
