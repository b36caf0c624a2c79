/** A packet's way as stations: what each hook of netfilter has to say of it, and which hooks it never meets. */
import { hasUfw, ufwCommand } from "../../audit/ufw-rules.ts";
import type { Step } from "../../path/program.ts";
import { STOPS } from "../../path/program.ts";
import { HOOKS, type Hook } from "../../rules/base-chain.ts";
import type { TableName } from "../../rules/ruleset.ts";
import type { Outcome, TracedBranch } from "../../simulate/answer.ts";
import type { FieldChange, TraceEvent } from "../../simulate/trace.ts";
import { safe } from "../text/terminal.ts";
import { changeText, type Page, routeText, ruleAt, ruleText, trackText } from "./trace-text.ts";

/**
 * What a line says: a table's name; a rule that matched; that rules did not; what changed; what let the packet on or
 * ended its way; anything else.
 */
export type LineKind = "table" | "rule" | "quiet" | "change" | "pass" | "stop" | "note";

export interface Line {
  readonly kind: LineKind;
  readonly text: string;
  /** Line in the input; `null` where it is none. */
  readonly at: number | null;
  /** All of it, where the text leaves something out. */
  readonly whole: string;
  /** How many chains deep in its table. */
  readonly depth: number;
}

/** A table, or connection tracking, that a hook asks. */
export interface Stop {
  readonly name: string;
  /** A rule of it matched, or it changed something. */
  readonly said: boolean;
}

export interface Station {
  readonly hook: Hook;
  readonly met: boolean;
  readonly stops: readonly Stop[];
  /** What happened; of a hook that is never asked, who stands there. */
  readonly lines: readonly Line[];
  /** What the owner's own rules would have said here, where that is another way. */
  readonly wish: readonly Line[];
}

/** How a packet goes, hook by hook. */
export interface Course {
  readonly stations: Readonly<Record<Hook, Station>>;
  /** The hooks that it meets, in order; what comes back in by the loopback interface begins with OUTPUT. */
  readonly hooks: readonly Hook[];
  /** The same of what was meant; none where nothing else was. */
  readonly wish: readonly Hook[];
  /** The hook that decides what was meant; `null` where nothing else was. */
  readonly decides: Hook | null;
}

/** A verdict and the steps to it, through other rules or another hook. */
export type Meant = Pick<Outcome, "verdict" | "path">;

/** One table's chain as it was run. */
interface Run {
  readonly table: TableName;
  readonly hook: Hook;
  readonly steps: readonly Step[];
}

type Said = Extract<TraceEvent, { kind: "table" }>["steps"][number];

const plain = (kind: LineKind, text: string, at: number | null = null): Line => ({
  ...{ kind, text, at, whole: text, depth: 0 },
});

/**
 * The stations of one way.
 * @param sent the host itself sends the packet
 * @param meant what the owner's own rules say of it; `null` where that is not told apart
 */
export function course(way: TracedBranch, sent: boolean, meant: Meant | null, on: Page): Course {
  const hooks = met(way, sent);
  const first = sent ? "OUTPUT" : "PREROUTING";
  const wishes = meant === null ? [] : runs(meant.path);
  const last = wishes.at(-1);
  // What lets a packet on is the word of table filter, whatever it meets behind.
  const word =
    meant?.verdict === "accept" ? (wishes.findLast((run) => run.table === "filter") ?? last) : last;
  const station = (hook: Hook): Station => {
    const moments = way.events.filter((m) => (m.kind === "table" ? m.hook : first) === hook);
    return {
      hook,
      met: hooks.includes(hook),
      stops: STOPS[hook].flatMap((stop): Stop[] => {
        const name = stop.kind === "track" ? "conntrack" : stop.chain.table;
        if (name !== "conntrack" && on.ruleset?.tables.has(name) !== true) return [];
        const said = moments.some((m) =>
          m.kind === "table" ? m.table === name && !isQuiet(m) : m.kind === "track" && name === "conntrack",
        );
        return [{ name, said }];
      }),
      lines: hooks.includes(hook)
        ? orNothing(moments.flatMap((m) => momentLines(m, m === way.events.at(-1) ? way : null, on)))
        : unmet(hook, on),
      wish: wishes.flatMap((run) => {
        if (run.hook !== hook || (run !== word && run.steps.every(isPolicy))) return [];
        const steps = run.steps.map((step) => ({ step, changes: [] }));
        return [
          plain("table", run.table),
          ...stepLines(steps, run === last ? (meant?.verdict ?? null) : null, on),
        ];
      }),
    };
  };
  return {
    stations: Object.fromEntries(HOOKS.map((hook) => [hook, station(hook)])) as Record<Hook, Station>,
    hooks,
    decides: word?.hook ?? null,
    wish:
      last === undefined
        ? []
        : before(last.hook, last.hook === "OUTPUT" || (sent && last.hook !== "FORWARD")),
  };
}

const orNothing = (lines: readonly Line[]): readonly Line[] =>
  lines.length > 0 ? lines : [plain("quiet", "no rule matched")];

/** Who stands in a hook that is never asked, where anybody does. */
function unmet(hook: Hook, { ruleset }: Page): Line[] {
  const filter = ruleset?.tables.get("filter")?.chains.get(hook);
  if (
    ruleset === undefined ||
    filter === undefined ||
    (filter.rules.length === 0 && filter.policy !== "DROP")
  )
    return [plain("quiet", "never asked")];
  return [plain("quiet", `${hasUfw(ruleset) ? "ufw stands" : "rules stand"} here; never asked`)];
}

/** The hooks up to one, as a packet comes to it that the host sent or did not. */
function before(hook: Hook | null, sent: boolean): Hook[] {
  switch (hook) {
    case null:
      return [];
    case "OUTPUT":
      return ["OUTPUT"];
    case "PREROUTING":
      return sent ? ["OUTPUT", "POSTROUTING", "PREROUTING"] : ["PREROUTING"];
    case "INPUT":
    case "FORWARD":
      return [...before("PREROUTING", sent), hook];
    case "POSTROUTING":
      return [...before(sent ? "OUTPUT" : "FORWARD", sent), hook];
  }
}

/** The hooks that a way met. Not all of them say something: one without rules is met in silence. */
function met(way: TracedBranch, sent: boolean): Hook[] {
  const spoke = way.events.map((m) => (m.kind === "table" ? m.hook : sent ? null : "PREROUTING"));
  const ways = [way.hook, ...spoke].map((hook) => before(hook, sent));
  return ways.reduce((longest, each) => (each.length > longest.length ? each : longest), []);
}

/** The steps of each table's chain by themselves. */
function runs(path: readonly Step[]): Run[] {
  const out: { table: TableName; hook: Hook; steps: Step[] }[] = [];
  let ended = true;
  for (const step of path) {
    const hook = HOOKS.find((name) => name === step.chain);
    const now = out.at(-1);
    if (now === undefined || ended || now.table !== step.table || (hook !== undefined && hook !== now.hook))
      out.push({ table: step.table, hook: hook ?? now?.hook ?? "PREROUTING", steps: [step] });
    else now.steps.push(step);
    ended = step.step === "policy";
  }
  return out;
}

const isPolicy = (step: Step): boolean => step.step === "policy";

/** A table that let the packet pass without a rule that matched. */
const isQuiet = (m: Extract<TraceEvent, { kind: "table" }>): boolean =>
  m.changes.length === 0 && m.steps.every(({ step }) => step.step === "policy" && step.policy === "ACCEPT");

/** @param ended the way, where this is the last that happened on it */
function momentLines(moment: TraceEvent, ended: TracedBranch | null, on: Page): Line[] {
  switch (moment.kind) {
    case "aged":
      return [];
    case "track": {
      const [word, ...rest] = trackText(moment).split(", ");
      return [{ ...plain("note", word!), whole: [word, ...rest].join(", ") }];
    }
    case "route":
      return [
        plain(ended === null || ended.reason === undefined ? "note" : "stop", routeText(moment.decision)),
      ];
    case "table": {
      const changes = changeText(moment.changes);
      if (moment.steps.length === 0)
        return [
          plain("table", moment.table),
          ...changes.map((text) => plain("change", `${text} (by its connection)`)),
        ];
      if (isQuiet(moment)) return [];
      const stops = ended !== null && ended.reason === undefined ? ended.verdict : null;
      return [
        plain("table", moment.table),
        ...stepLines(moment.steps, stops, on),
        ...changes.map((text) => plain("change", text)),
      ];
    }
  }
}

/** A step with what it called: chains in which nothing matched are no more than a word. */
interface Item extends Said {
  readonly depth: number;
  /** The chain that was called, and in which nothing matched. */
  readonly empty: boolean;
}

/** More rules than this of one table are counted. */
const MOST = 12;

/** @param verdict where the way ends here */
function stepLines(steps: readonly Said[], verdict: Outcome["verdict"] | null, on: Page): Line[] {
  const items: Item[] = [];
  let stack: string[] = [];
  for (const said of steps) {
    const { step } = said;
    if (stack.includes(step.chain)) stack = stack.slice(0, stack.lastIndexOf(step.chain) + 1);
    else stack.push(step.chain);
    if (step.step !== "return") {
      items.push({ ...said, depth: stack.length, empty: false });
      continue;
    }
    const call = items.findLastIndex(
      ({ step: s, empty }) => s.step === "rule" && s.target === step.chain && !empty,
    );
    if (call < 0 || !items.slice(call + 1).every((i) => i.empty)) continue;
    items.splice(call, items.length - call, { ...items[call]!, empty: true });
  }
  const out: Line[] = [];
  let silent: Item[] = [];
  const flush = (): void => {
    if (silent.length > 0) out.push(quietLine(silent));
    silent = [];
  };
  for (const [i, item] of items.entries()) {
    if (item.empty) {
      silent.push(item);
      continue;
    }
    flush();
    const final = i === items.length - 1;
    if (item.step.step === "policy" && item.step.policy === "ACCEPT" && !final) continue;
    out.push(...itemLines(item, final ? verdict : null, final, on));
  }
  flush();
  if (out.length <= MOST) return out;
  const cut = out.slice(4, out.length - MOST + 5);
  return [...out.slice(0, 4), plain("quiet", `${cut.length} more`), ...out.slice(out.length - MOST + 5)];
}

const quietLine = (items: readonly Item[]): Line => {
  const called = items.map(({ step }) => (step.step === "rule" ? safe(step.target) : ""));
  const text = called.length === 1 ? `→ ${called[0]}` : `→ ${called.length} chains`;
  return {
    ...plain("quiet", `${text}: no match`),
    whole: `${called.join(", ")}: nothing matched`,
    depth: items[0]!.depth,
  };
};

function itemLines(
  { step, changes, depth }: Item,
  verdict: Outcome["verdict"] | null,
  final: boolean,
  on: Page,
): Line[] {
  if (step.step === "return") return [];
  const chain = safe(step.chain);
  if (step.step === "policy") {
    const text = `policy ${step.policy}`;
    const kind = step.policy === "DROP" ? "stop" : step.table === "filter" ? "pass" : "quiet";
    return [{ ...plain(kind, text), whole: `${chain} ${text}`, depth }];
  }
  const rule = ruleAt(step.table, step.chain, step.rule, on);
  const ufw = rule === undefined || on.ruleset === undefined ? null : ufwCommand(rule, on.ruleset);
  const calls = rule?.target.kind === "jump" || rule?.target.kind === "goto";
  const target = safe(step.target);
  const kind =
    verdict === "drop" || verdict === "reject"
      ? "stop"
      : final && !calls && step.target === "ACCEPT"
        ? "pass"
        : "rule";
  const text = `${step.rule} ${calls ? `→ ${target}` : target === "" ? "counts" : target}`;
  const line = step.line > 0 ? step.line : null;
  return [
    { ...plain(kind, text, line), whole: `${chain} ${ruleText(step, rule, on)}`, depth },
    ...(ufw === null
      ? []
      : [{ ...plain(kind === "rule" ? "note" : kind, `ufw ${safe(ufw)}`), depth: depth + 1 }]),
    ...changed(changes),
  ];
}

const changed = (changes: readonly FieldChange[]): Line[] =>
  changeText(changes).map((text) => plain("change", text));
