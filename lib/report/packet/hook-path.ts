/** The path of a packet hook by hook, for the picture: the tables, the effective rules, the hooks that it skips. */
import { hasUfw, ufwCommand } from "../../audit/ufw-rules.ts";
import { hookStages } from "../../path/hook-stages.ts";
import type { Step } from "../../path/program.ts";
import { HOOKS, type Hook } from "../../rules/base-chain.ts";
import { calledChain, chainOf, filterTables, iptablesName, type TableId } from "../../rules/ruleset.ts";
import type { Outcome, TracedBranch } from "../../simulate/answer.ts";
import type { TraceEvent } from "../../simulate/trace.ts";
import { safe } from "../text/terminal.ts";
import {
  changeTexts,
  hasNoEffect,
  routeText,
  ruleStepText,
  type TableEvent,
  trackStateText,
  trackText,
} from "./event-text.ts";
import { ruleAt, type TextContext } from "./text-context.ts";

/**
 * Kind of a line: the name of a table; a rule that matched; rules that did not match; a change; what accepted the
 * packet; what ended its path; anything else. The kinds are classes of the style sheet.
 */
export type HookLineKind = "table" | "rule" | "quiet" | "change" | "pass" | "stop" | "note";

/** A line of text in the box of a hook. */
export interface HookLine {
  readonly kind: HookLineKind;
  /** The text, shortened. */
  readonly text: string;
  /** The whole text. */
  readonly full: string;
  /** Line in the input; `null` if the text is not about a rule. */
  readonly line: number | null;
  /** Nesting depth of the chain in its table. */
  readonly depth: number;
}

/** A table, or connection tracking, of a hook. */
export interface HookTable {
  readonly name: TableId | "conntrack";
  /** One of its rules matched, or it changed the packet. */
  readonly hadEffect: boolean;
}

/** A hook and what happened there. */
export interface HookVisit {
  readonly hook: Hook;
  /** The packet passed the hook. */
  readonly isOnPath: boolean;
  readonly tables: readonly HookTable[];
  /** Events; for a hook that the packet skips, a line about its rules. */
  readonly lines: readonly HookLine[];
  /** The verdict of the owner's rules at this hook; empty if it is the same. */
  readonly intended: readonly HookLine[];
}

/** The path of a packet through the hooks. */
export interface HookPath {
  readonly visits: Readonly<Record<Hook, HookVisit>>;
  /** The hooks on the path, in order; for a packet over the loopback interface, OUTPUT is the first. */
  readonly hooks: readonly Hook[];
  /** The hooks on the intended path; empty if it is the same. */
  readonly intendedHooks: readonly Hook[];
  /** The hook that decides the intended verdict; `null` if it is the same. */
  readonly decidingHook: Hook | null;
}

/** Verdict of the owner's rules, and the steps to it. */
export type IntendedOutcome = Pick<Outcome, "verdict" | "path">;

type TableStep = TableEvent["steps"][number];

/** Steps of one table at one hook. */
interface TableRun {
  readonly table: TableId;
  readonly hook: Hook;
  readonly steps: readonly Step[];
}

const plainLine = (kind: HookLineKind, text: string, line: number | null = null): HookLine => ({
  kind,
  text,
  line,
  full: text,
  depth: 0,
});

/**
 * Returns the path of a branch.
 * @param isSent true if the host itself sends the packet
 * @param intended verdict of the owner's rules; `null` if it is not known or the same
 */
export function hookPath(
  branch: TracedBranch,
  isSent: boolean,
  intended: IntendedOutcome | null,
  context: TextContext,
): HookPath {
  const hooks = hooksOnPath(branch, isSent);
  const runs = intended === null ? [] : tableRuns(intended.path);
  const last = runs.at(-1);
  // The verdict of table filter decides; later tables do not accept a packet.
  const deciding =
    intended?.verdict === "accept"
      ? (runs.findLast((run) => iptablesName(run.table) === "filter") ?? last)
      : last;
  const visit = (hook: Hook): HookVisit => {
    const isOnPath = hooks.includes(hook);
    const events = eventsAt(hook, branch, isSent);
    return {
      hook,
      isOnPath,
      tables: tablesOf(hook, events, context),
      lines: isOnPath
        ? lineOrNone(
            events.flatMap((event) =>
              eventLines(event, event === branch.events.at(-1) ? branch : null, context),
            ),
          )
        : skippedLines(hook, context),
      intended: runs
        .filter((run) => run.hook === hook && (run === deciding || !run.steps.every(isPolicy)))
        .flatMap((run) => runLines(run, run === last ? (intended?.verdict ?? null) : null, context)),
    };
  };
  const intendedIsSent = last?.hook === "OUTPUT" || (isSent && last?.hook !== "FORWARD");
  return {
    visits: Object.fromEntries(HOOKS.map((hook) => [hook, visit(hook)])) as Record<Hook, HookVisit>,
    hooks,
    intendedHooks: last === undefined ? [] : hooksUpTo(last.hook, intendedIsSent),
    decidingHook: deciding?.hook ?? null,
  };
}

/** Events at a hook. Tracking, routing and aging belong to the first hook of the path. */
function eventsAt(hook: Hook, { events }: TracedBranch, isSent: boolean): TraceEvent[] {
  const first = isSent ? "OUTPUT" : "PREROUTING";
  return events.filter((event) => (event.kind === "table" ? event.hook : first) === hook);
}

function tablesOf(hook: Hook, events: readonly TraceEvent[], { ruleset }: TextContext): HookTable[] {
  return hookStages(ruleset, hook).flatMap((base): HookTable[] => {
    if (base === null) return [{ name: "conntrack", hadEffect: events.some(({ kind }) => kind === "track") }];
    const { table } = base;
    if (ruleset?.tables.has(table) !== true) return [];
    const hadEffect = events.some(
      (event) => event.kind === "table" && event.table === table && !hasNoEffect(event),
    );
    return [{ name: table, hadEffect }];
  });
}

const lineOrNone = (lines: readonly HookLine[]): readonly HookLine[] =>
  lines.length > 0 ? lines : [plainLine("quiet", "no rule matched")];

/** Lines of a hook that the packet skips: whether table filter has rules there. */
function skippedLines(hook: Hook, { ruleset }: TextContext): HookLine[] {
  const hasRules =
    ruleset !== undefined &&
    filterTables(ruleset).some((table) => {
      const filter = chainOf(ruleset, table, hook);
      return filter !== undefined && (filter.rules.length > 0 || filter.policy === "DROP");
    });
  if (!hasRules) return [plainLine("quiet", "skipped")];
  return [plainLine("quiet", `skipped, with ${hasUfw(ruleset) ? "the rules of ufw" : "its rules"}`)];
}

/** The hooks up to one, for a packet that the host sends or receives. */
function hooksUpTo(hook: Hook | null, isSent: boolean): Hook[] {
  switch (hook) {
    case null:
      return [];
    case "OUTPUT":
      return ["OUTPUT"];
    case "PREROUTING":
      return isSent ? ["OUTPUT", "POSTROUTING", "PREROUTING"] : ["PREROUTING"];
    case "INPUT":
    case "FORWARD":
      return [...hooksUpTo("PREROUTING", isSent), hook];
    case "POSTROUTING":
      return [...hooksUpTo(isSent ? "OUTPUT" : "FORWARD", isSent), hook];
  }
}

/** The hooks of a branch. A hook without rules has no event, so the longest path to any event is the path. */
function hooksOnPath({ hook, events }: TracedBranch, isSent: boolean): Hook[] {
  const last = events.map((event) => (event.kind === "table" ? event.hook : isSent ? null : "PREROUTING"));
  const paths = [hook, ...last].map((each) => hooksUpTo(each, isSent));
  return paths.reduce((longest, each) => (each.length > longest.length ? each : longest), []);
}

/** Splits a path into the runs of its tables: a run ends with a policy, or where another base chain begins. */
function tableRuns(path: readonly Step[]): TableRun[] {
  const out: { table: TableId; hook: Hook; steps: Step[] }[] = [];
  let isEnded = true;
  for (const step of path) {
    const hook = HOOKS.find((name) => name === step.chain);
    const run = out.at(-1);
    const begins =
      run === undefined || isEnded || run.table !== step.table || (hook !== undefined && hook !== run.hook);
    if (begins) out.push({ table: step.table, hook: hook ?? run?.hook ?? "PREROUTING", steps: [step] });
    else run.steps.push(step);
    isEnded = isPolicy(step);
  }
  return out;
}

const isPolicy = (step: Step): boolean => step.step === "policy";

function runLines(run: TableRun, verdict: Outcome["verdict"] | null, context: TextContext): HookLine[] {
  const steps = run.steps.map((step) => ({ step, changes: [] }));
  return [plainLine("table", run.table), ...stepLines(steps, verdict, context)];
}

/** @param ended the branch, if this is its last event */
function eventLines(event: TraceEvent, ended: TracedBranch | null, context: TextContext): HookLine[] {
  switch (event.kind) {
    case "aged":
      return [];
    case "track":
      return [{ ...plainLine("note", trackStateText(event)), full: trackText(event) }];
    case "route":
      return [plainLine(ended?.reasonCode === undefined ? "note" : "stop", routeText(event))];
    case "table": {
      if (event.steps.length > 0 && hasNoEffect(event)) return [];
      const name = plainLine("table", event.table);
      const changes = changeTexts(event.changes);
      if (event.steps.length === 0)
        return [name, ...changes.map((text) => plainLine("change", `${text} (by its connection)`))];
      const verdict = ended !== null && ended.reasonCode === undefined ? ended.verdict : null;
      return [
        name,
        ...stepLines(event.steps, verdict, context),
        ...changes.map((text) => plainLine("change", text)),
      ];
    }
  }
}

/** A step with its depth. `isEmptyCall`: a call of a chain in which nothing matched, its return left out. */
interface NestedStep extends TableStep {
  readonly depth: number;
  readonly isEmptyCall: boolean;
}

/** More lines of one table are counted. */
const MOST_LINES = 12;
const FIRST_LINES = 4;

/** @param verdict the verdict, if the path ends here */
function stepLines(
  steps: readonly TableStep[],
  verdict: Outcome["verdict"] | null,
  context: TextContext,
): HookLine[] {
  const nested = nestedSteps(steps);
  const out: HookLine[] = [];
  let emptyCalls: NestedStep[] = [];
  const flush = (): void => {
    if (emptyCalls.length > 0) out.push(emptyCallsLine(emptyCalls));
    emptyCalls = [];
  };
  for (const [i, each] of nested.entries()) {
    if (each.isEmptyCall) {
      emptyCalls.push(each);
      continue;
    }
    flush();
    const isLast = i === nested.length - 1;
    const { step } = each;
    if (step.step === "policy" && step.policy === "ACCEPT" && !isLast) continue;
    out.push(...nestedStepLines(each, isLast ? verdict : null, isLast, context));
  }
  flush();
  if (out.length <= MOST_LINES) return out;
  const tail = out.length - MOST_LINES + FIRST_LINES + 1;
  const hidden = plainLine("quiet", `${tail - FIRST_LINES} more`);
  return [...out.slice(0, FIRST_LINES), hidden, ...out.slice(tail)];
}

/** Adds depths, and replaces calls of chains in which nothing matched by a single step. */
function nestedSteps(steps: readonly TableStep[]): NestedStep[] {
  const out: NestedStep[] = [];
  let stack: string[] = [];
  for (const each of steps) {
    const { step } = each;
    if (stack.includes(step.chain)) stack = stack.slice(0, stack.lastIndexOf(step.chain) + 1);
    else stack.push(step.chain);
    if (step.step !== "return") {
      out.push({ ...each, depth: stack.length, isEmptyCall: false });
      continue;
    }
    const call = out.findLastIndex(
      ({ step: s, isEmptyCall }) => s.step === "rule" && s.target === step.chain && !isEmptyCall,
    );
    if (call < 0 || !out.slice(call + 1).every((s) => s.isEmptyCall)) continue;
    out.splice(call, out.length - call, { ...out[call]!, isEmptyCall: true });
  }
  return out;
}

function emptyCallsLine(calls: readonly NestedStep[]): HookLine {
  const chains = calls.map(({ step }) => (step.step === "rule" ? safe(step.target) : ""));
  const text = chains.length === 1 ? `→ ${chains[0]}` : `→ ${chains.length} chains`;
  return {
    kind: "quiet",
    text: `${text}: no match`,
    full: `${chains.join(", ")}: nothing matched`,
    line: null,
    depth: calls[0]!.depth,
  };
}

function nestedStepLines(
  { step, changes, depth }: NestedStep,
  verdict: Outcome["verdict"] | null,
  isLast: boolean,
  context: TextContext,
): HookLine[] {
  if (step.step === "return") return [];
  const chain = safe(step.chain);
  if (step.step === "policy") {
    const text = `policy ${step.policy}`;
    const kind = step.policy === "DROP" ? "stop" : iptablesName(step.table) === "filter" ? "pass" : "quiet";
    return [{ kind, text, full: `${chain} ${text}`, line: null, depth }];
  }
  const rule = ruleAt(step.table, step.chain, step.rule, context);
  const isCall = rule !== undefined && calledChain(rule) !== null;
  const isStop = verdict === "drop" || verdict === "reject";
  const kind = isStop ? "stop" : isLast && !isCall && step.target === "ACCEPT" ? "pass" : "rule";
  const target = safe(step.target);
  const ruleLine: HookLine = {
    kind,
    text: `${step.rule} ${isCall ? `→ ${target}` : target === "" ? "counts" : target}`,
    full: `${chain} ${ruleStepText(step, rule, context)}`,
    line: step.line > 0 ? step.line : null,
    depth,
  };
  const ufw = rule === undefined || context.ruleset === undefined ? null : ufwCommand(rule, context.ruleset);
  const ufwLine = {
    ...plainLine(kind === "rule" ? "note" : kind, `ufw ${safe(ufw ?? "")}`),
    depth: depth + 1,
  };
  return [
    ruleLine,
    ...(ufw === null ? [] : [ufwLine]),
    ...changeTexts(changes).map((text) => plainLine("change", text)),
  ];
}
