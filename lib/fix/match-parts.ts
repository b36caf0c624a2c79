/** Parts of rules' matches that can be copied into FORWARD one by one. */
import type { FamilyAudit } from "../audit/audit.ts";
import type { Host } from "../host/host.ts";
import { comesIn } from "../host/packet-origin.ts";
import { conditionText } from "../iptables/condition-text.ts";
import type { Field } from "../packet/field.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import type { SetState } from "../reach/set-state.ts";
import type { Condition, CopyPart, Rule } from "../rules/ruleset.ts";
import { protocolMatch, SAFE_NAME } from "./box-printer.ts";
import { type ReadPoint, statesAt } from "./read-point.ts";

/** A condition or one of its options that can be copied alone. */
export interface MatchPart extends Pick<CopyPart, "name" | "reading" | "copy" | "protocol"> {
  /** Packets that satisfy it. */
  readonly node: Node;
  readonly text: string;
  /** Text that matches the same packets by their header before DNAT; `null` if there is none. */
  readonly original: string | null;
}

/** Computes the parts of rules, and on which packets they hold. Memoizes by rule. */
export class MatchParts {
  private readonly byRule = new Map<Rule, readonly MatchPart[]>();
  private readonly untaggedSets = new WeakMap<SetState, Node>();
  private forwardStates: readonly SetState[] | undefined;

  constructor(
    private readonly audit: FamilyAudit,
    private readonly host: Host,
  ) {}

  /** Returns the parts of a rule's conditions. */
  of(rule: Rule): readonly MatchPart[] {
    let parts = this.byRule.get(rule);
    if (parts === undefined) {
      parts = rule.conditions.flatMap((condition) => this.partsOf(condition));
      this.byRule.set(rule, parts);
    }
    return parts;
  }

  private partsOf(condition: Condition): MatchPart[] {
    const parts = condition.parts();
    if (parts.length > 0) return parts.map((part) => this.part(part));
    const { family } = this.audit;
    const text = condition.opaque ? null : conditionText(condition.reading, family);
    if (text === null) return [];
    return [
      this.part({
        name: condition.name,
        reading: condition.reading,
        copy: text.byDestination ? "by-destination" : "unchanged",
        protocol: undefined,
        text: () => text.text,
        originalText: () => text.original,
        predicate: (facts) => condition.predicate(facts),
      }),
    ];
  }

  private part(part: CopyPart): MatchPart {
    const { domain, full, family } = this.audit;
    const { name, reading, protocol } = part;
    const interfaceName = reading.in ?? reading.out;
    const unsafe = interfaceName !== undefined && !SAFE_NAME.test(interfaceName.value.replace(/\+$/, ""));
    return {
      name,
      reading,
      protocol,
      copy: unsafe ? "never" : part.copy,
      node: domain.set(part.predicate(full.program.facts)),
      text: part.text({ family }),
      original: part.originalText({ family }),
    };
  }

  /** Returns the packets of a set that satisfy all parts, as sent. */
  matching({ states, engine }: ReadPoint, set: Node, parts: readonly Pick<MatchPart, "node">[]): Node {
    const { diagrams } = this.audit.domain;
    return diagrams.unionAll(
      states.map((state) =>
        parts.reduce(
          (rest, { node }) =>
            rest === EMPTY ? EMPTY : engine.chains.intersectCurrent({ ...state, set: rest }, node),
          diagrams.intersect(this.untagged(state), set),
        ),
      ),
    );
  }

  /** Returns whether all packets of a set satisfy a part. */
  isImplied(readPoint: ReadPoint, set: Node, part: MatchPart): boolean {
    if (part.reading.comments !== undefined) return true;
    const { diagrams } = this.audit.domain;
    const present = diagrams.unionAll(
      readPoint.states.map((state) => diagrams.intersect(this.untagged(state), set)),
    );
    return this.matching(readPoint, set, [part]) === present;
  }

  /** Returns whether a match of a field that rules write (marks, TOS) gives the same result in FORWARD. */
  holdsInForward({ node, copy }: MatchPart, readPoint: ReadPoint, set: Node): boolean {
    const { domain, full } = this.audit;
    const readsWritten = domain.diagrams.support(node).some((level) => {
      const variable = domain.variables[level]!;
      return variable.kind === "field" && WRITTEN_FIELDS.has(variable.field);
    });
    if (copy !== "unchanged" || !readsWritten) return true;
    this.forwardStates ??= statesAt(full, "FORWARD", (observe) =>
      full.arrive(full.start(comesIn(this.host)), observe),
    );
    const forward = { ...readPoint, engine: full, states: this.forwardStates };
    return this.matching(readPoint, set, [{ node }]) === this.matching(forward, set, [{ node }]);
  }

  /** Returns whether a part depends on an unknown. */
  isUnknown({ node }: MatchPart): boolean {
    const { diagrams, unknownLevels } = this.audit.domain;
    return [...diagrams.support(node)].some((level) => unknownLevels.has(level));
  }

  /** Returns the set of a state without the numbers of the passages. */
  private untagged(state: SetState): Node {
    let set = this.untaggedSets.get(state);
    if (set === undefined) {
      set = this.audit.domain.diagrams.mapTerminals(state.set, (value) => Math.min(value, 1));
      this.untaggedSets.set(state, set);
    }
    return set;
  }
}

/**
 * Returns the text of a part for a rule of FORWARD; `null` if it cannot be copied.
 * @param isNote whether the rule decides nothing
 */
export function copiedText(
  { copy, text, original }: MatchPart,
  { beforeNat }: ReadPoint,
  isNote: boolean,
): string | null {
  switch (copy) {
    case "unchanged":
      return text;
    case "by-destination":
      return beforeNat ? original : text;
    case "in-notes":
      return isNote ? text : null;
    case "never":
      return null;
  }
}

/**
 * Returns the parts as one text, with `-p` in front if a part or the target needs it and no part gives it.
 * @param targetProtocol protocol that the target needs
 */
export function joinTexts(
  parts: readonly MatchPart[],
  texts: readonly (string | null)[],
  targetProtocol: number | undefined,
): string {
  const protocol = targetProtocol ?? parts.find((part) => part.protocol !== undefined)?.protocol;
  const given = parts.some(({ reading }) => reading.proto !== undefined);
  const prefix = given ? "" : protocolMatch(protocol);
  return `${prefix}${[...new Set(texts)].map((text) => ` ${text}`).join("")}`;
}

/** Fields that rules write, so that INPUT and FORWARD may see different values. */
const WRITTEN_FIELDS: ReadonlySet<Field> = new Set(["mark", "ctmark", "tos"]);
