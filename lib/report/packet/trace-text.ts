/** The way of a packet, or of a whole connection, as a person reads it: hook by hook, then the verdict in a sentence. */
import { hasUfw, ufwCommand } from "../../audit/ufw-rules.ts";
import { containerAt, type Host } from "../../host/host.ts";
import { printBody } from "../../iptables/print.ts";
import { familyOf, maskBits, parseAddress, printAddress, printPrefix } from "../../packet/address.ts";
import {
  type Address,
  CT_STATUS,
  PREPARED,
  protoName,
  type Scalar,
  tracksPorts,
} from "../../packet/field.ts";
import type { Step } from "../../path/program.ts";
import { chainOf, type Rule, type Ruleset } from "../../rules/ruleset.ts";
import type { Outcome, Trace, TracedBranch } from "../../simulate/answer.ts";
import type { Connection } from "../../simulate/connection-table.ts";
import type { Flow, FlowPacket } from "../../simulate/flow.ts";
import type { Supposition } from "../../simulate/packet-state.ts";
import type { FieldChange, TraceEvent } from "../../simulate/trace.ts";
import { at, packetText } from "../text/packet-text.ts";
import { columns, PLAIN, type Style, safe } from "../text/terminal.ts";
import { wrap } from "../text/wrap.ts";

/** How much is said: the verdict alone; the way, with what did nothing folded; everything. */
export type Detail = "short" | "usual" | "all";

/** What a text about packets is made with. */
export interface TraceOptions {
  /** The rules that the steps speak of. */
  readonly rulesets: readonly Ruleset[];
  /** Whose inferences are named, and whose containers. */
  readonly host: Host;
  /** Colours; none by default. */
  readonly style?: Style;
  /** Columns to wrap at; 80 by default. */
  readonly width?: number;
  /** How much is said; `usual` by default. */
  readonly detail?: Detail;
}

/** What the lines of one packet are made with. */
export interface Page {
  readonly ruleset: Ruleset | undefined;
  readonly host: Host;
  readonly style: Style;
  readonly width: number;
  readonly detail: Detail;
}

/** A line of the way before it is wrapped and painted. */
interface Row {
  /** Line in the input, shown in the margin. */
  readonly line: number | null;
  readonly depth: number;
  readonly text: string;
  /** How much further in its second line begins. */
  readonly hang?: number;
  readonly paint: (text: string) => string;
  /** Blanks in front, beyond the depth. */
  readonly shift?: number;
  /** A headline: what stands below it belongs to it. */
  readonly head?: boolean;
}

/** More outcomes than this of one packet are counted, not shown. */
const MOST_OUTCOMES = 4;

export const page = (dst: string, options: TraceOptions): Page => ({
  ruleset: options.rulesets.find((r) => r.family === familyOf(dst)),
  host: options.host,
  style: options.style ?? PLAIN,
  width: options.width ?? 80,
  detail: options.detail ?? "usual",
});

/** One packet: its way hook by hook, what had to be assumed, and the verdict with its reason. */
export function traceText(trace: Trace, options: TraceOptions): string {
  const { answer } = trace;
  const on = page(answer.packet.dst, options);
  const out = paragraph(packetText(answer.packet), on, on.style.bold);
  if (on.detail !== "short") {
    out.push(...sourceOf(on), "", ...body(trace, on), "");
    for (const sentence of options.host.inferred) out.push(...labelled("inferred:", sentence, on));
    for (const sentence of noted(trace, on)) out.push(...labelled("noted:", sentence, on));
    if (options.host.inferred.length + noted(trace, on).length > 0) out.push("");
  }
  out.push(...conclusion(trace, on));
  return `${out.join("\n")}\n`;
}

/**
 * A whole connection: the way of each packet that goes another way than those before it, then a line a packet, and
 * whether it works.
 */
export function flowText(flow: Flow, options: TraceOptions): string {
  const [first] = flow.packets;
  if (first === undefined) return "";
  const on = page(first.trace.answer.packet.dst, options);
  const { style, detail } = on;
  const out = paragraph(`${packetText(first.trace.answer.packet)}, and all that follows`, on, style.bold);
  if (detail !== "short") {
    out.push(...sourceOf(on), "");
    const seen = new Set<string>();
    flow.packets.forEach((packet, i) => {
      const way = body(packet.trace, on);
      const known = seen.has(way.join("\n"));
      seen.add(way.join("\n"));
      if (known && detail !== "all") return;
      const { trace } = packet;
      const said = packetText(trace.answer.packet);
      out.push(...paragraph(`${i + 1}. ${title(packet)}: ${said}`, on, style.bold), "", ...way);
      out.push(...noted(trace, on).flatMap((sentence) => labelled("noted:", sentence, on)), "");
    });
    for (const sentence of options.host.inferred) out.push(...labelled("inferred:", sentence, on));
    if (options.host.inferred.length > 0) out.push("");
  }
  out.push(...table(flow, on));
  for (const note of flow.notes) out.push(...labelled("note:", note, on));
  out.push("", ...flowConclusion(flow, on));
  return `${out.join("\n")}\n`;
}

/** The verdict in sentences, without the way: what `traceText` ends in, a line a sentence. */
export const verdictText = (trace: Trace, options: TraceOptions): string =>
  conclusion(trace, page(trace.answer.packet.dst, { ...options, width: Number.POSITIVE_INFINITY })).join(
    "\n",
  );

const title = ({ step, from }: FlowPacket): string => `${step} from the ${from}`;

/** A line a packet: who sends what, from where to where, what conntrack takes it for, and what is translated. */
function table({ packets }: Flow, { style }: Page): string[] {
  const lines = columns(
    packets.map(({ step, from, trace: { answer, branches } }, i) => {
      const { packet: p, verdict, delivery, out } = answer;
      const header = branches[0]?.header;
      const source = p.in === null || p.in === undefined ? "the host" : safe(p.in);
      const goal = delivery === "local" ? "the host" : safe(out ?? "");
      const become = (side: string, before: string, after: string): string[] =>
        before === after ? [] : [`${side} becomes ${after}`];
      const translated =
        verdict !== "accept" || header === undefined
          ? []
          : [
              ...become("src", at(p.src, p.sport), ends(header.src, header.sport)),
              ...become("dst", at(p.dst, p.dport), ends(header.dst, header.dport)),
            ];
      return [
        `${i + 1}.`,
        from,
        step,
        verdict === "accept" ? `${source} -> ${goal}` : `${source} -> ${verdict.toUpperCase()}`,
        branches[0]?.events.find((m) => m.kind === "track")?.state ?? "",
        translated.join(", "),
      ];
    }),
  );
  return lines.map((text, i) => colourOf(packets[i]!.trace.answer.verdict, style)(text));
}

function flowConclusion(flow: Flow, on: Page): string[] {
  const { packets, verdict, broken } = flow;
  const last = packets.at(-1)!;
  const where = `packet ${packets.length}, the ${title(last)}`;
  const paint = colourOf(verdict, on.style);
  if (broken !== null) return paragraph(`BREAKS at ${where}: it comes through, but ${broken}.`, on, paint);
  if (verdict !== "accept") {
    const lead = verdict === "undecided" ? `NOT KNOWN from ${where} on` : `BREAKS at ${where}`;
    return [...paragraph(`${lead}:`, on, paint), ...conclusion(last.trace, on)];
  }
  const works =
    packets.length === 1
      ? "ARRIVES: nothing answers such a packet."
      : `WORKS, if ${serverText(packets[0]!.trace, on)} answers: ${packets.length === 2 ? "both" : `all ${packets.length}`} packets arrive.`;
  return [...paragraph(works, on, paint), ...passedBy(packets[0]!.trace, on)];
}

/** Who gets the first packet: an address, and whose it is. */
function serverText({ answer, branches }: Trace, { host }: Page): string {
  const header = branches[0]?.header;
  if (header === undefined) return "the server";
  const container = containerAt(host, header.dst);
  const who =
    answer.delivery === "local"
      ? "the host itself"
      : container === null
        ? null
        : `container ${safe(container.name)}`;
  return `${ends(header.dst, header.dport)}${who === null ? "" : ` (${who})`}`;
}

const colourOf = (verdict: Outcome["verdict"], style: Style): ((text: string) => string) =>
  verdict === "accept" ? style.green : verdict === "undecided" ? style.yellow : style.red;

const sourceOf = ({ ruleset, style }: Page): string[] =>
  ruleset === undefined || ruleset.source === ""
    ? []
    : [style.dim(`line numbers of ${safe(ruleset.source)}`)];

/** The way or the ways: where they part, what they have in common stands first and once. */
function body(trace: Trace, on: Page): string[] {
  const shown = trace.answer.branches === undefined ? trace.branches.slice(0, 1) : outcomes(trace.branches);
  const all = shown.map((way) => rows(way, on));
  const margin = Math.max(2, ...all.flat().map((r) => (r.line === null ? 0 : String(r.line).length)));
  const print = (list: readonly Row[]): string[] => list.flatMap((row) => printed(row, margin, on));
  if (all.length < 2) return print(all[0] ?? []);
  let common = 0;
  while (all.every((r) => r[common] !== undefined && same(r[common]!, all[0]![common]!))) common++;
  const shared = all[0]!.slice(0, common);
  const head = shared.findLast((r) => r.head === true);
  const out = print(shared);
  all.forEach((list, i) => {
    const way = shown[i]!;
    const rest = list.slice(common);
    out.push("", ...paragraph(`${letter(i)}. ${when(way, trace.branches, on)}`, on, on.style.yellow));
    if (head !== undefined && rest[0]?.head !== true)
      out.push(...printed({ ...head, text: `${head.text} (continued)`, paint: on.style.dim }, margin, on));
    out.push(...print(rest));
  });
  return out;
}

export const letter = (i: number): string => String.fromCharCode(65 + i);
const same = (a: Row, b: Row): boolean => a.line === b.line && a.depth === b.depth && a.text === b.text;

/** One way for each outcome, the one that had to suppose least. */
export function outcomes(ways: readonly TracedBranch[]): TracedBranch[] {
  const found = new Map<string, TracedBranch>();
  for (const way of ways) {
    const key = outcomeKey(way);
    const before = found.get(key);
    if (before === undefined || way.suppositions.length < before.suppositions.length) found.set(key, way);
  }
  return [...found.values()].slice(0, MOST_OUTCOMES);
}

const outcomeKey = ({ verdict, delivery, out, sent }: Outcome): string =>
  JSON.stringify([verdict, delivery, out, sent]);

/** What was supposed on this way and otherwise on another: what decides. */
const deciding = (way: TracedBranch, ways: readonly TracedBranch[]): Supposition[] =>
  way.suppositions.filter(({ key, truth }) =>
    ways.some((other) => other.suppositions.some((s) => s.key === key && s.truth !== truth)),
  );

/** `recent matches in filter INPUT rule 3 (line 12)`. */
function supposedText({ key, truth, at: site }: Supposition, on: Page): string {
  const name = safe(key.replace(/[@(:].*$/s, "")) || "it";
  const what = key.startsWith("packet:") ? `what the packet says of its ${safe(key.slice(7))}` : name;
  const [, hook, by] = UNREAD.exec(key) ?? [];
  if (hook !== undefined)
    return `${safe(by!)}, which is not read, ${truth ? "drops" : "does not drop"} it in ${hook}`;
  const [, changer] = CHANGED.exec(key) ?? [];
  if (changer !== undefined)
    return `${safe(changer)}, which is not read, ${truth ? "changes" : "does not change"} it`;
  if (site === null) return `${what} ${truth ? "holds" : "does not hold"}`;
  const rule = ruleAt(site.table, site.chain, site.rule, on);
  const place = `${site.table} ${safe(site.chain)} rule ${site.rule}${rule === undefined || rule.line === 0 ? "" : ` (line ${rule.line})`}`;
  return `${what} ${truth ? "matches" : "does not match"} in ${place}`;
}

/** The key that `unreadKey` gives. */
const UNREAD = /^unread\((\w+): (.*)\)$/s;
/** The key that `changedKey` gives. */
const CHANGED = /^changed\((.*)\)$/s;

/** The condition on which it goes this way. */
export function when(way: TracedBranch, ways: readonly TracedBranch[], on: Page): string {
  const parts = deciding(way, ways).map((s) => supposedText(s, on));
  return parts.length === 0 ? "otherwise" : `if ${parts.join(", and ")}`;
}

/** The arguments that settle it this way. */
function assumeText(way: TracedBranch, ways: readonly TracedBranch[]): string {
  const more = ways.filter((w) => outcomeKey(w) === outcomeKey(way)).length - 1;
  const settled = deciding(way, ways).map(
    ({ key, truth }) => `--assume ${quoted(`${key}=${truth ? "match" : "no-match"}`)}`,
  );
  const others = more > 0 ? ` (and ${more} more way${more === 1 ? "" : "s"} to the same end)` : "";
  return `${settled.join(" ")}${others}`;
}

/** As one word of a shell, and harmless to a terminal. */
const quoted = (text: string): string => `'${safe(text).replaceAll("'", "'\\''")}'`;

/**
 * What was assumed or is to be noted, apart from the unknowns that part the ways: they are shown with them, or make no
 * difference.
 */
export function noted({ answer, branches }: Trace, on: Page): string[] {
  const asked = new Map(branches.flatMap((w) => w.suppositions.map((s) => [s.key, s] as const)));
  const rest = answer.assumptions.filter((sentence) => ![...asked.keys()].some((k) => sentence.includes(k)));
  if (answer.branches !== undefined) return rest;
  return [
    ...rest,
    ...[...asked.values()].map(
      (s) => `it makes no difference whether ${supposedText({ ...s, truth: true }, on)}`,
    ),
  ];
}

export function conclusion(trace: Trace, on: Page): string[] {
  const { answer, branches } = trace;
  if (answer.branches !== undefined) return undecided(trace, on);
  const said = sentence(branches[0] ?? answer, on);
  const lead = branches.length > 1 ? `Either way ${answer.verdict}; as shown, ${said}` : said;
  const out = paragraph(`${lead}.`, on, colourOf(answer.verdict, on.style));
  return [...out, ...passedBy(trace, on)];
}

function undecided({ branches }: Trace, on: Page): string[] {
  const shown = outcomes(branches);
  const hidden = new Set(branches.map(outcomeKey)).size - shown.length;
  const verdicts = [...new Set(branches.map((w) => w.verdict))];
  const what =
    verdicts.length === 1
      ? `${verdicts[0]}, but how it ends`
      : `${verdicts.slice(0, -1).join(", ")} or ${verdicts.at(-1)}, which`;
  const lead = `UNDECIDED: ${what} depends on what the inputs do not tell. --assume settles it:`;
  const out = paragraph(lead, on, on.style.yellow);
  shown.forEach((way, i) => {
    const how = assumeText(way, branches);
    const lead = `${letter(i)}. ${sentence(way, on)}${how === "" ? "" : `: ${how}`}`;
    out.push(...paragraph(lead, on, on.style.yellow, "  "));
  });
  if (hidden > 0) out.push(`  and ${hidden} more outcome${hidden === 1 ? "" : "s"}, not shown`);
  const why = new Set(
    shown.flatMap((w) =>
      deciding(w, branches).map(({ key, why: reason }) => `${key.replace(/[@(].*$/s, "")}: ${reason}`),
    ),
  );
  for (const reason of why) out.push(...paragraph(safe(reason), on, on.style.dim, "  "));
  return out;
}

/** That INPUT was not asked, what it would have said, and what took the packet past it. */
function passedBy({ answer, branches, skippedInput }: Trace, on: Page): string[] {
  const [way] = branches;
  if (skippedInput === null || way === undefined || skippedInput.verdict === "undecided") return [];
  if ((skippedInput.verdict === "accept") === (answer.verdict === "accept")) return [];
  const said = { accept: "let it in", drop: "dropped it", reject: "rejected it" }[skippedInput.verdict];
  const nat = way.events.find(
    (m) => m.kind === "table" && m.table === "nat" && m.hook === "PREROUTING" && m.changes.length > 0,
  );
  const last = nat?.kind === "table" ? nat.steps.at(-1)?.step : undefined;
  const by = last?.step === "rule" ? `${safe(last.target)} (line ${last.line})` : "a translation";
  const text = `INPUT is not asked: there, ${decider(skippedInput, on)} would have ${said}, but ${by} sends it on to FORWARD.`;
  return paragraph(text, on, on.style.yellow);
}

/** The verdict and its reason. */
function sentence(outcome: Outcome | TracedBranch, on: Page): string {
  const { verdict, delivery, out, sent, reason, assumptions } = outcome;
  if (verdict === "undecided") {
    const why = assumptions.at(-1);
    return `UNDECIDED by ${decider(outcome, on)}${why === undefined ? "" : `: ${safe(why)}`}`;
  }
  const routing = "events" in outcome && outcome.hook === null && outcome.events.at(-1)?.kind === "route";
  const because =
    reason === undefined
      ? ` by ${decider(outcome, on)}`
      : `${routing ? ` by the routing decision for ${printAddress(outcome.header.dst)}` : ""}: ${safe(reason)}`;
  if (verdict !== "accept") return `${verdict.toUpperCase()}${because}`;
  const by = filtered(outcome);
  const after =
    reason !== undefined ? `: ${safe(reason)}` : by === undefined ? "" : `, by ${stepText(by, outcome, on)}`;
  const bare = on.ruleset === undefined ? ", since no rules for its family were given" : after;
  if (delivery === "local") return `ACCEPT: delivered to the host itself${bare}`;
  const header = sent === null ? "" : ` as ${at(sent.src, sent.sport)} -> ${at(sent.dst, sent.dport)}`;
  const who = sent === null ? null : containerAt(on.host, addressOf(sent.dst));
  return `ACCEPT: ${delivery === "forward" ? "forwarded" : "sent"} out of ${safe(out ?? "?")}${header}${who === null ? "" : ` (container ${safe(who.name)})`}${bare}`;
}

const addressOf = (text: string): Address => parseAddress(text, familyOf(text) ?? 4) ?? 0;

/** The last word of the filter table on the packet's way: what let it through. */
const filtered = ({ path }: Outcome): Step | undefined =>
  path.findLast((s) => s.table === "filter" && s.step !== "return");

/** What ended a way that was stopped. */
export function decider(outcome: Outcome, on: Page): string {
  const last = outcome.verdict === "accept" ? filtered(outcome) : outcome.path.at(-1);
  return last === undefined ? "no rule at all" : stepText(last, outcome, on);
}

/** `ufw deny 8080/tcp (filter ufw-user-input rule 4, line 126)`. */
function stepText(step: Step, { path }: Outcome, on: Page): string {
  if (step.step === "policy") {
    const where = { INPUT: "incoming", OUTPUT: "outgoing", FORWARD: "routed" }[step.chain];
    const ufw =
      where !== undefined && step.table === "filter" && on.ruleset !== undefined && hasUfw(on.ruleset)
        ? ` (ufw default ${step.policy === "DROP" ? "deny" : "allow"} ${where})`
        : "";
    return `the policy of ${step.table} ${safe(step.chain)}${ufw}`;
  }
  const line = step.step === "rule" && step.line > 0 ? ` (line ${step.line})` : "";
  const place =
    step.step === "rule"
      ? `${step.table} ${safe(step.chain)} rule ${step.rule}${line}`
      : `the end of ${step.table} ${safe(step.chain)}`;
  // ufw's rules may end in chains of their own: the owner's is the last in a ufw-user chain.
  const own = /^ufw6?-user-/.test(step.chain)
    ? path.findLast((s) => s.step === "rule" && /^ufw6?-user-(input|output|forward)$/.test(s.chain))
    : undefined;
  const rule = own?.step === "rule" ? ruleAt(own.table, own.chain, own.rule, on) : undefined;
  const command = rule === undefined || on.ruleset === undefined ? null : ufwCommand(rule, on.ruleset);
  return command === null ? place : `ufw ${safe(command)} (${place.replace(/ \((line \d+)\)$/, ", $1")})`;
}

export function ruleAt(
  table: Step["table"],
  chain: string,
  index: number,
  { ruleset }: Page,
): Rule | undefined {
  return ruleset === undefined
    ? undefined
    : chainOf(ruleset, table, chain)?.rules.find((r) => r.index === index);
}

/** The lines of one way. */
function rows(way: TracedBranch, on: Page): Row[] {
  const out: Row[] = [];
  const { style } = on;
  let quiet: string[] = [];
  const flush = (): void => {
    if (quiet.length > 0)
      out.push({ ...line(0, `${quiet.join(", ")}: no rule matched`, style.dim), hang: 2 });
    quiet = [];
  };
  for (const moment of way.events) {
    if (moment.kind === "aged") {
      if (on.detail === "all")
        out.push(...moment.changes.map((c) => line(0, changeText([c])[0]!, style.dim)));
      continue;
    }
    if (moment.kind === "table" && on.detail !== "all" && isQuiet(moment)) {
      quiet.push(`${moment.table} ${moment.hook}`);
      continue;
    }
    flush();
    if (moment.kind === "track") out.push({ ...line(0, trackText(moment), style.cyan), hang: 2 });
    else if (moment.kind === "route")
      out.push({ ...line(0, routeText(moment.decision), style.cyan), hang: 2 });
    else out.push(...tableRows(moment, on));
  }
  flush();
  return out;
}

const line = (depth: number, text: string, paint: Row["paint"], of: number | null = null): Row => ({
  ...{ line: of, depth, text, paint },
});

/** A table that let the packet pass without a rule that matched. */
const isQuiet = (m: Extract<TraceEvent, { kind: "table" }>): boolean =>
  m.changes.length === 0 && m.steps.every(({ step }) => step.step === "policy" && step.policy === "ACCEPT");

function tableRows(moment: Extract<TraceEvent, { kind: "table" }>, on: Page): Row[] {
  const { style } = on;
  const { steps } = moment;
  const translated = changeText(moment.changes);
  if (steps.length === 0)
    return [
      {
        ...line(
          0,
          `${moment.table} ${moment.hook}: ${translated.join(", ")} (by its connection)`,
          style.cyan,
        ),
        hang: 2,
      },
    ];
  const out: Row[] = [{ ...line(0, `${moment.table} ${moment.hook}`, style.cyan), head: true }];
  let stack: string[] = [moment.hook];
  for (let i = 0; i < steps.length; i++) {
    const { step, changes } = steps[i]!;
    if (!stack.includes(step.chain)) stack.push(step.chain);
    while (stack.at(-1) !== step.chain) stack.pop();
    const depth = stack.length;
    if (step.step === "policy") {
      out.push(line(depth, `policy ${step.policy}`, step.policy === "DROP" ? style.red : style.dim));
      stack = [];
      continue;
    }
    if (step.step === "return") {
      out.push(line(depth, `end of ${safe(step.chain)}`, style.dim));
      stack.pop();
      continue;
    }
    const rule = ruleAt(step.table, step.chain, step.rule, on);
    const next = steps[i + 1]?.step;
    const empty =
      on.detail !== "all" &&
      rule?.target.kind === "jump" &&
      next?.step === "return" &&
      next.chain === rule.target.chain;
    const text = ruleText(step, rule, on);
    out.push({
      ...line(depth, `${text}${empty ? " (nothing matched)" : ""}`, empty ? style.dim : paintOf(rule, style)),
      line: step.line > 0 ? step.line : null,
      hang: String(step.rule).length + 2,
    });
    for (const change of changeText(changes)) out.push(changed(depth, step.rule, change, on));
    if (empty) i++;
  }
  const last = steps.findLast(({ step }) => step.step === "rule")?.step;
  for (const change of translated)
    out.push(changed(stack.length || 1, last?.step === "rule" ? last.rule : 0, change, on));
  return out;
}

/** Stands where the rule's text begins. */
const changed = (depth: number, rule: number, change: string, { style }: Page): Row => ({
  ...line(depth, `=> ${change}`, style.bold),
  shift: rule === 0 ? 0 : String(rule).length + 2,
});

export function ruleText(step: Extract<Step, { step: "rule" }>, rule: Rule | undefined, on: Page): string {
  const { ruleset } = on;
  if (rule === undefined || ruleset === undefined) return `${step.rule}: -j ${safe(step.target)}`;
  const text = safe(printBody(rule, ruleset).trim());
  const ufw = ufwCommand(rule, ruleset);
  return `${step.rule}: ${text === "" ? "(every packet, no target)" : text}${ufw === null ? "" : ` (ufw ${safe(ufw)})`}`;
}

/** What ends the way stands out. */
function paintOf(rule: Rule | undefined, style: Style): (text: string) => string {
  if (rule?.target.kind !== "extension") return (text) => text;
  const { name } = rule.target.extension;
  return name === "ACCEPT" ? style.green : name === "DROP" || name === "REJECT" ? style.red : (text) => text;
}

const ends = (address: Address, port: number | undefined): string => at(printAddress(address), port);

function connectionText({ original: o }: Connection): string {
  const [sport, dport] = tracksPorts(o.proto) ? [o.sport, o.dport] : [undefined, undefined];
  return `${protoName(o.proto)} ${ends(o.src, sport)} -> ${ends(o.dst, dport)}`;
}

export function trackText({ state, connection, reply }: Extract<TraceEvent, { kind: "track" }>): string {
  const about = connection === null ? "" : connectionText(connection);
  const known = connection !== null && (connection.status & CT_STATUS.CONFIRMED) !== 0;
  const what = {
    NEW: known ? `of ${about}, which nobody has answered yet` : "the first packet of a connection",
    ESTABLISHED: `${reply ? "a reply of" : "of"} ${about}`,
    RELATED: `to ${about}`,
    INVALID: "of no connection that it knows or would open",
    UNTRACKED: "not looked at",
  }[state];
  return `conntrack: ${state}, ${what}`;
}

export function routeText(decision: Extract<TraceEvent, { kind: "route" }>["decision"]): string {
  if (decision.kind === "none") return `routing: ${safe(decision.why)}`;
  const { route } = decision;
  if (decision.kind === "local") {
    const own =
      route === undefined
        ? ""
        : ` (${printPrefix(route.to).replace(/\/(32|128)$/, "")}${route.dev === null ? "" : ` on ${safe(route.dev)}`})`;
    return `routing: for the host itself${own}`;
  }
  const what =
    route === undefined
      ? ""
      : ` (${maskBits(route.to.mask) === 0 ? "default route" : `route ${printPrefix(route.to)}`}${route.table === "main" || route.table === "local" ? "" : `, table ${safe(route.table)}`}${route.inferred === true ? ", inferred" : ""})`;
  return `routing: out of ${safe(decision.out)}${what}`;
}

const hex = (value: Scalar | undefined): string =>
  typeof value !== "number" ? "?" : value < 10 ? String(value) : `0x${value.toString(16)}`;

/** Changes as a person says them: an address with its port where both changed. */
export function changeText(changes: readonly FieldChange[]): string[] {
  const of = new Map(changes.map((c) => [c.field, c]));
  const out: string[] = [];
  for (const [address, port] of [
    ["src", "sport"],
    ["dst", "dport"],
  ] as const) {
    const [a, p] = [of.get(address), of.get(port)];
    if (a !== undefined)
      out.push(
        `${address} ${ends(a.from as Address, p?.from as number | undefined)} -> ${ends(a.to as Address, p?.to as number | undefined)}`,
      );
    else if (p !== undefined) out.push(`${port} ${p.from} -> ${p.to}`);
  }
  for (const { field, from, to } of changes) {
    if (field === "src" || field === "dst" || field === "sport" || field === "dport") continue;
    if (field === "ctstate")
      out.push(`conntrack: told ${to === PREPARED ? "how to keep the connection" : "not to track it"}`);
    else if (field === "ttl") out.push(`ttl ${from} -> ${to}`);
    else out.push(`${field === "ctmark" ? "mark of the connection" : field} ${hex(from)} -> ${hex(to)}`);
  }
  return out;
}

/** A row in its columns: the line in the margin, the text wrapped behind its indentation. */
function printed(row: Row, margin: number, on: Page): string[] {
  const lead = " ".repeat(margin + 2 + row.depth * 2 + (row.shift ?? 0));
  const room = Math.max(24, on.width - lead.length);
  const number = row.line === null ? "" : String(row.line);
  return wrap(row.text, room, row.hang ?? 0).map((text, i) =>
    i === 0
      ? `${on.style.dim(number.padStart(margin))}${lead.slice(margin)}${row.paint(text)}`
      : `${lead}${row.paint(text)}`,
  );
}

function labelled(label: string, text: string, on: Page): string[] {
  const [first, ...rest] = wrap(`${label} ${safe(text)}`, on.width, 2);
  return [`${on.style.dim(label)}${first!.slice(label.length)}`, ...rest];
}

function paragraph(text: string, on: Page, paint: (text: string) => string, lead = ""): string[] {
  return text === "" ? [] : wrap(text, on.width - lead.length, 2).map((l) => `${lead}${paint(l)}`);
}
