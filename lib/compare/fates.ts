/** Results of packets on one side, with the rules that decide them. */
import { type Decider, deciderOfSet } from "../audit/decision.ts";
import { ruleNote } from "../audit/rule-note.ts";
import { containerAt } from "../host/host.ts";
import { printAddress } from "../packet/address.ts";
import type { Address, Field } from "../packet/field.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import type { Outcome } from "../reach/outcome.ts";
import type { Rule } from "../rules/ruleset.ts";
import type { NewHeader, PacketFate } from "./difference.ts";
import type { AttributedPackets, Origin, PacketPaths } from "./packet-paths.ts";

/** Deciders of some packets on one side. */
export class Fates {
  private readonly packets: AttributedPackets;

  constructor(
    private readonly paths: PacketPaths,
    origin: Origin,
    set: Node,
  ) {
    this.packets = paths.attributed(origin, set);
  }

  /** Returns the result of packets that have one outcome. */
  of(outcome: Outcome, set: Node): PacketFate {
    const { verdict, delivery, out } = outcome;
    const { host } = this.paths.program;
    const dst = newValue(outcome, "dst");
    const container = dst === undefined ? null : containerAt(host, dst as Address);
    return {
      verdict,
      delivery: verdict === "accept" ? delivery : "none",
      out: verdict === "accept" ? out : null,
      header: headerOf(outcome),
      ...(container === null ? {} : { container: container.name }),
      deciders: this.deciders(set),
      translations: this.translations(set),
    };
  }

  private deciders(set: Node): Decider[] {
    const { diagrams } = this.paths.domain;
    const decided = diagrams.intersect(set, this.packets.deciders);
    const list = diagrams
      .terminals(decided)
      .sort((a, b) => a - b)
      .map((id) => deciderOfSet(this.paths.decider(id)!, this.paths.program.ruleset));
    const rest = diagrams.subtract(set, decided);
    return rest === EMPTY ? list : [...list, ...this.otherCauses(rest)];
  }

  /** Returns the causes of results that no rule and no policy decides. */
  private otherCauses(set: Node): Decider[] {
    const { diagrams } = this.paths.domain;
    const causes = new Map<string, Decider>();
    for (const { outcome, set: packets } of this.packets.outcomes.values()) {
      if (diagrams.intersect(packets, set) === EMPTY) continue;
      const { reason } = outcome;
      const cause: Decider = reason === null ? { code: "no-rule" } : { code: "outside-rules", reason };
      causes.set(JSON.stringify(cause), cause);
    }
    return [...causes.values()];
  }

  private translations(set: Node): PacketFate["translations"] {
    const { diagrams } = this.paths.domain;
    const rules = new Set<Rule>();
    for (const { outcome, set: packets } of this.packets.outcomes.values())
      if (outcome.translated.length > 0 && diagrams.intersect(packets, set) !== EMPTY)
        for (const rule of outcome.translated) rules.add(rule);
    return [...rules].map((rule) => ruleNote(rule, this.paths.program.ruleset));
  }
}

const newValue = ({ header }: Outcome, field: Field): string | number | bigint | undefined => {
  const bound = header[field];
  return bound !== undefined && "value" in bound ? bound.value : undefined;
};

function headerOf(outcome: Outcome): NewHeader {
  const address = (field: "src" | "dst"): NewHeader => {
    const value = newValue(outcome, field);
    return value === undefined ? {} : { [field]: printAddress(value as Address) };
  };
  const port = (field: "sport" | "dport"): NewHeader => {
    const value = newValue(outcome, field);
    return value === undefined ? {} : { [field]: Number(value) };
  };
  return { ...address("src"), ...port("sport"), ...address("dst"), ...port("dport") };
}
