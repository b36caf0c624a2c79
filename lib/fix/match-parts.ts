/** Parts of rules' matches that can be copied into FORWARD one by one. */
import type { FamilyAudit } from "../audit/audit.ts";
import { comesIn, type Host } from "../host/host.ts";
import { printMatch, ruleProtocol } from "../iptables/print.ts";
import type { Match } from "../iptables/rule.ts";
import { type Field, protoName } from "../packet/field.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import type { SetState } from "../reach/set-state.ts";
import type { Rule } from "../rules/ruleset.ts";
import { type CopyMode, copyMode, originalText, splitOptions } from "./match-traits.ts";
import { type ReadPoint, statesAt } from "./read-point.ts";

/** A match, or one option of it where the options are independent conditions. */
export interface MatchPart {
  readonly match: Match;
  /** Packets that satisfy it. */
  readonly node: Node;
  readonly copy: CopyMode;
  /** Text of the match. */
  readonly text: string;
  /** Text that matches the same packets by their header before DNAT; `null` where there is none. */
  readonly original: string | null;
  /** Protocol that the rule has to match as well. */
  readonly proto: number | undefined;
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

  /** Returns the parts of a rule's matches. */
  of(rule: Rule): readonly MatchPart[] {
    let parts = this.byRule.get(rule);
    if (parts === undefined) {
      parts = rule.matches.flatMap((match) => splitOptions(match).map((part) => this.part(part, rule)));
      this.byRule.set(rule, parts);
    }
    return parts;
  }

  private part(match: Match, rule: Rule): MatchPart {
    const { family, domain } = this.audit;
    const { extension, values } = match;
    const site = { table: rule.table, chain: rule.chain, index: rule.index };
    const context = { family, proto: ruleProtocol(rule.matches) };
    return {
      match,
      node: domain.set(extension.ask(values, this.audit.full.program.facts, site)),
      copy: copyMode(match),
      text: printMatch(match, context),
      original: originalText(match, context),
      proto: extension.needs === undefined ? undefined : context.proto,
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
    if (part.match.extension.name === "comment") return true;
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

  /** Returns the set of a state without the numbers of the ways. */
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

/** Returns the parts as one text, with `-p` in front if one of them needs it and none gives it. */
export function joinTexts(parts: readonly MatchPart[], texts: readonly (string | null)[]): string {
  const proto = parts.find((part) => part.proto !== undefined)?.proto;
  const given = parts.some((p) => p.match.extension.name === "" && p.match.values.proto !== undefined);
  const prefix = proto === undefined || given ? "" : ` -p ${protoName(proto)}`;
  return `${prefix}${[...new Set(texts)].map((text) => ` ${text}`).join("")}`;
}

/** Fields that rules write, so that INPUT and FORWARD may see different values. */
const WRITTEN_FIELDS: ReadonlySet<Field> = new Set(["mark", "ctmark", "tos"]);
