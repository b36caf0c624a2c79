/** Packets that walks leave undecided or do not follow to the end, collected over all walks of a family's audit. */
import { EMPTY, type Node } from "../reach/node-store.ts";
import type { DoubtCollector } from "./doubt.ts";
import { packetsOf, type SetEnding, withForm } from "./endings.ts";
import type { FamilyModel } from "./family-model.ts";

export class Unsettled {
  /** Packets without a verdict in some walk; findings about them are possible, never certain. */
  undecided: Node = EMPTY;
  /** Packets that pass with a header that is not followed to the end. */
  notFollowed: Node = EMPTY;

  constructor(
    private readonly model: FamilyModel,
    readonly doubts: DoubtCollector,
  ) {}

  /** Adds the unsettled packets of a walk, and the reasons as doubts. */
  add(endings: readonly SetEnding[]): void {
    const { domain, family, full } = this.model;
    const { diagrams } = domain;
    this.undecided = diagrams.union(
      this.undecided,
      packetsOf(domain, endings, (e) => e.verdict === "undecided"),
    );
    for (const { state } of endings)
      for (const { unsure } of state.headers.values())
        this.doubts.add(...unsure.map((reason) => ({ code: "not-followed", family, reason }) as const));
    const notFollowed = withForm(full, endings, (form) => form.unsure.length > 0);
    this.notFollowed = diagrams.union(
      this.notFollowed,
      packetsOf(domain, notFollowed, (e) => e.verdict !== "undecided"),
    );
  }
}
