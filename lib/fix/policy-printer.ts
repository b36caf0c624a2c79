/** Prints policy steps as rules for FORWARD, where Docker's packets pass after translation. */
import { quote } from "iptables-parser-ts";
import type { FamilyAudit, Passage } from "../audit/audit.ts";
import { banProgram } from "../audit/bans.ts";
import { outsidePorts } from "../host/bridge-ports.ts";
import type { Host } from "../host/host.ts";
import { printRule } from "../iptables/print.ts";
import { rejectText } from "../iptables/reject-text.ts";
import { isIptables } from "../iptables/rule.ts";
import { PROTO } from "../packet/field.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import { calledChain, type Rule } from "../rules/ruleset.ts";
import { BoxPrinter, protocolMatch } from "./box-printer.ts";
import { copiedText, joinTexts, type MatchPart, MatchParts } from "./match-parts.ts";
import { decidedBy, type PolicyStep } from "./policy-step.ts";
import type { CopyFailure } from "./reasons.ts";

/** A rule of a policy, without its chain and without the match of the endpoint. */
export interface PolicyRule {
  /** Its matches, each with a blank in front; `""` for all packets. */
  readonly matches: string;
  readonly kind: Exclude<PolicyStep["kind"], "unknown">;
  /** `-j TARGET`; `""` where the matches alone have the effect. */
  readonly target: string;
  /** `once`: the rules of the chain that packets go to and do not return from. */
  readonly inner: readonly PolicyRule[];
}

/** The policy of a passage as rules, with the ban chains that it uses. */
export interface PrintedPolicy {
  /** A packet that no rule decides is accepted. */
  readonly rules: readonly PolicyRule[] | CopyFailure;
  /** Chains of the owner that the rules call. */
  readonly called: readonly string[];
  /** Ban chains whose rules are copied as they are now. */
  readonly copied: readonly string[];
}

/** Returns whether a result is a failure. */
export const failed = <T>(result: readonly T[] | CopyFailure): result is CopyFailure => "code" in result;

/** Prints the policies of one audit's passages. */
export class PolicyPrinter {
  readonly boxes: BoxPrinter;
  private readonly parts: MatchParts;

  /** @param mayCall the rules may call chains of the owner's table filter; else bans are copied */
  constructor(
    private readonly audit: FamilyAudit,
    host: Host,
    private readonly mayCall: boolean,
  ) {
    this.boxes = new BoxPrinter(audit.domain, audit.family, outsidePorts(audit.full.program.host));
    this.parts = new MatchParts(audit, host);
  }

  /** Prints the policy of a passage. */
  print(passage: Passage, steps: readonly PolicyStep[]): PrintedPolicy {
    const printer = new PassagePrinter(this.audit, this.parts, this.boxes, passage, this.mayCall);
    const rules = printer.list(passage.all, steps);
    return {
      rules: failed(rules) ? rules : prune(rules),
      called: [...printer.called],
      copied: [...printer.copied],
    };
  }
}

class PassagePrinter {
  readonly called = new Set<string>();
  readonly copied = new Set<string>();

  constructor(
    private readonly audit: FamilyAudit,
    private readonly parts: MatchParts,
    private readonly boxes: BoxPrinter,
    private readonly passage: Passage,
    private readonly mayCall: boolean,
  ) {}

  /** @param packets packets of the passage that reach the steps */
  list(packets: Node, steps: readonly PolicyStep[]): PolicyRule[] | CopyFailure {
    const { diagrams } = this.audit.domain;
    const out: PolicyRule[] = [];
    let left = packets;
    for (const { calledChains } of steps.flatMap(({ callers }) => callers))
      for (const name of calledChains) if (banProgram(name) !== undefined) this.copied.add(name);
    // Accepts after the last step that stops or records packets need no rule: such packets leave the chain.
    const last = steps.findLastIndex(
      (step) => step.kind !== "accept" && (step.kind !== "note" || recordsAddress(step)),
    );
    for (const step of steps.slice(0, last + 1)) {
      if (diagrams.intersect(left, step.candidates ?? step.set) === EMPTY) continue;
      // Our rules are in the engine's table filter and can call its chains only.
      const mayCall = this.mayCall && step.rule?.table === "filter";
      let rules = step.kind === "call" && !mayCall ? this.copyBans(left, step) : this.step(left, step);
      // A rule that only logs may be left out: it stops nothing.
      if (failed(rules) && step.kind === "note" && !recordsAddress(step)) continue;
      if (failed(rules) && step.kind === "call" && mayCall) rules = this.copyBans(left, step);
      if (failed(rules)) return rules;
      out.push(...rules);
      left = diagrams.subtract(left, diagrams.unionAll(decidedBy(step)));
    }
    return out;
  }

  /** Copies the rules of a ban chain, where no match selects the packets that it is called for. */
  private copyBans(packets: Node, { rule, inner }: PolicyStep): PolicyRule[] | CopyFailure {
    const { diagrams } = this.audit.domain;
    const out: PolicyRule[] = [];
    let left = packets;
    for (const step of inner) {
      if (diagrams.intersect(left, step.set) === EMPTY) continue;
      const rules = this.step(left, step);
      if (failed(rules)) return rules;
      out.push(...rules);
      left = diagrams.subtract(left, diagrams.unionAll(decidedBy(step)));
    }
    this.copied.add(calledChain(rule!)!);
    return out;
  }

  private step(left: Node, step: PolicyStep): PolicyRule[] | CopyFailure {
    const { rule, kind } = step;
    if (kind === "unknown") return { code: "unknown-effect", rule: this.ruleText(rule) };
    const matches = this.setMatches(left, step) ?? this.matches(left, step);
    if (failed(matches)) return matches;
    if (kind === "call") {
      const chain = calledChain(rule!)!;
      this.called.add(chain);
      return matches.map((text) => ({ matches: text, kind, target: `-j ${chain}`, inner: [] }));
    }
    if (kind === "once") return this.once(step, matches);
    const target = this.target(step);
    const log = this.logTarget(step);
    return matches.flatMap((text): PolicyRule[] => [
      ...(log === null ? [] : [{ matches: text, kind: "note" as const, target: log, inner: [] }]),
      { matches: text, kind, target, inner: [] },
    ]);
  }

  /** Returns the target that logs the packets of a rule of nftables that logs and decides; `null` for other rules. */
  private logTarget({ rule, kind }: PolicyStep): string | null {
    const prefix = kind === "note" ? undefined : rule?.reading.logPrefix;
    return prefix === undefined ? null : logText(prefix);
  }

  /** Prints a jump whose condition is evaluated once, as a goto to a chain of its own. */
  private once({ rule, set, inner }: PolicyStep, matches: readonly string[]): PolicyRule[] | CopyFailure {
    const rules = this.list(set, inner);
    if (failed(rules)) return rules;
    const { diagrams } = this.audit.domain;
    const returning = diagrams.subtract(set, diagrams.unionAll(inner.flatMap(decidedBy)));
    // After a goto, packets continue in DOCKER-USER and not in this policy, so none may return.
    if (returning !== EMPTY || matches.length !== 1)
      return { code: "chain-returns", rule: this.ruleText(rule) };
    return [{ matches: matches[0]!, kind: "once", target: "", inner: prune(rules) }];
  }

  private ruleText(rule: Rule | null): string | null {
    if (rule === null) return null;
    const format = { family: this.audit.family };
    return isIptables(rule) ? printRule(rule, format) : rule.text(format);
  }

  private target({ rule, kind }: PolicyStep): string {
    if (kind === "accept") return "-j RETURN";
    if (rule === null || kind === "drop") return "-j DROP";
    const { family } = this.audit;
    if (isIptables(rule)) return rule.targetText({ family });
    const { icmpError, logPrefix = "", resets } = rule.reading;
    if (kind === "note") return logText(logPrefix);
    return resets === true ? "-j REJECT --reject-with tcp-reset" : rejectText(icmpError, family);
  }

  /**
   * Returns the matches that select a step's packets among the packets that are left, one text for each rule.
   * @param filter parts of rules that may be used
   */
  private matches(
    left: Node,
    step: PolicyStep,
    filter: (part: MatchPart) => boolean = () => true,
  ): string[] | CopyFailure {
    const { readPoint } = step;
    const set = this.audit.domain.diagrams.intersect(left, step.set);
    const records = recordsAddress(step);
    const protocol = protocolOfTarget(step);
    if (set === left && !records) return [protocolMatch(protocol)];
    const own = step.rule === null ? [] : this.parts.of(step.rule).filter(filter);
    const callers = step.callers.flatMap((rule) => this.parts.of(rule)).filter(filter);
    for (const parts of callers.length === 0 ? [own] : [own, [...callers, ...own]]) {
      const needed = parts.filter(
        (part) =>
          part.reading.recents !== undefined ||
          // Only packets that open a connection are recorded.
          (records && part.reading.states !== undefined) ||
          !this.parts.isImplied(readPoint, this.passage.all, part),
      );
      const texts = needed.map((part) => copiedText(part, readPoint, step.kind === "note"));
      if (texts.includes(null)) continue;
      if (!needed.every((part) => this.parts.holdsInForward(part, readPoint, left))) continue;
      if (this.parts.matching(readPoint, left, needed) === set) return [joinTexts(needed, texts, protocol)];
    }
    const boxes = this.boxes.select(set, left, readPoint.beforeNat, protocol);
    if (boxes !== null) return boxes;
    const rule = this.ruleText(step.rule);
    const stateful = [...own, ...callers].find((part) => this.parts.isUnknown(part));
    return stateful === undefined
      ? { code: "no-equivalent-match", rule }
      : { code: "stateful-match", match: stateful.name, rule };
  }

  /**
   * Returns the matches of a rule with ipsets, which holds for any elements of the sets. `null` if the step has no
   * ipsets, or if the other matches do not select its candidates.
   */
  private setMatches(left: Node, step: PolicyStep): string[] | null {
    const { candidates, readPoint } = step;
    if (candidates === undefined) return null;
    const setParts = (rules: readonly Rule[]): MatchPart[] =>
      rules.flatMap((rule) => this.parts.of(rule)).filter(({ reading }) => reading.sets !== undefined);
    const [jumps, own] = [setParts(step.setJumps ?? []), setParts([step.rule!])];
    const used = new Set([...jumps, ...own]);
    const others = this.matches(left, { ...step, set: candidates }, (part) => !used.has(part));
    const [first, last] = [jumps, own].map((parts) =>
      parts.map((part) => copiedText(part, readPoint, false)),
    ) as [(string | null)[], (string | null)[]];
    if (first.includes(null) || last.includes(null) || failed(others)) return step.set === EMPTY ? [] : null;
    // A limit counts only packets that satisfy the matches before it, and the jump is evaluated first.
    const joined = (texts: readonly (string | null)[]): string => texts.map((each) => ` ${each}`).join("");
    return others.map((text) => `${joined(first)}${text}${joined(last)}`);
  }
}

const logText = (prefix: string): string =>
  prefix === "" ? "-j LOG" : `-j LOG --log-prefix ${quote(prefix.slice(0, LONGEST_PREFIX))}`;

/** iptables takes 29 characters (xt_LOG.h). */
const LONGEST_PREFIX = 29;

/** Returns whether a step records addresses in a list, so that it must not be left out. */
const recordsAddress = ({ rule }: PolicyStep): boolean => rule?.reading.recents !== undefined;

/** Returns the protocol that a rule must match because of its target; `undefined` if it may match any. */
const protocolOfTarget = ({ rule, kind }: PolicyStep): number | undefined =>
  kind === "reject" && rule?.reading.resets === true ? PROTO.tcp : undefined;

/** Removes rules that decide nothing: accepts at the end, and stops in front of the same stop for all packets. */
function prune(rules: readonly PolicyRule[]): readonly PolicyRule[] {
  const out = [...rules];
  while (out.at(-1)?.kind === "accept") out.pop();
  const last = out.at(-1);
  if (last?.matches === "")
    while (out.length > 1 && out.at(-2)!.kind === last.kind && out.at(-2)!.target === last.target)
      out.splice(-2, 1);
  return out;
}

/** Returns a key of a policy: equal policies share a chain. */
export const policyKey = (rules: readonly PolicyRule[]): string => JSON.stringify(rules);

/** Returns a policy without the rules that only log. */
export const verdictsOf = (rules: readonly PolicyRule[]): readonly PolicyRule[] =>
  prune(
    rules
      .filter((rule) => rule.kind !== "note" || rule.target === "")
      .map((rule) => ({ ...rule, inner: verdictsOf(rule.inner) })),
  );
