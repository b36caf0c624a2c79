/** Writes the steps of a decision list as rules that hold where Docker's packets pass: in FORWARD, after translation. */
import { quote } from "iptables-parser-ts";
import type { FamilyAudit, Way } from "../audit/audit.ts";
import { bannerOf } from "../audit/bans.ts";
import { comesIn, type Host, outsidePorts, readPrefix } from "../host/host.ts";
import type { Options, Values } from "../iptables/extension.ts";
import { printMatch, printRule, printTarget, ruleProtocol } from "../iptables/print.ts";
import type { Match } from "../iptables/rule.ts";
import { prefixRange, printAddressRange } from "../packet/address.ts";
import {
  type Family,
  type Field,
  LAST_NAME,
  PROTO,
  protoName,
  type Range,
  successor,
} from "../packet/field.ts";
import { EMPTY, FULL, type Node } from "../reach/node-store.ts";
import type { SetState } from "../reach/set-state.ts";
import { type Rule, targetName } from "../rules/ruleset.ts";
import { endedBy, type Place, type Step, seen } from "./decision-lists.ts";
import { cover } from "./established-flows.ts";
import type { CopyFailure } from "./reasons.ts";

/** Interface names that mean nothing to a shell, to iptables-restore, or to a reader. */
export const PLAIN = /^[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,14}$/;

/** More rules than this for one step are a sign that something is not understood. */
const MOST_BOXES = 128;

/** More prefixes than this for one range of destinations make too many rules. */
const MOST_PREFIXES = 16;

/** A rule of a policy, without the chain and without what tells the endpoint. */
export interface Line {
  /** Its matches, each with a blank in front; `""` for all packets. */
  readonly when: string;
  readonly does: "note" | "accept" | "drop" | "reject" | "ask" | "call";
  /** `-j ...`, or `""` where the matches do all there is to do. */
  readonly action: string;
  /** `ask`: the rules behind the jump, which let nothing come back. */
  readonly inner: readonly Line[];
}

/** Result for a rule that cannot be copied. */
export class Unspelled {
  constructor(readonly reason: CopyFailure) {}
}

/** A part of a rule's matches that can stand by itself. */
interface Piece {
  readonly match: Match;
  readonly node: Node;
  /** Whether it asks the same of a packet before and after translation, is about where the packet goes, or neither. */
  readonly about: "sender" | "target" | "other";
  /** Its own text, and what asks the same of the packet as it was before translation. */
  readonly text: string;
  readonly original: string | null;
  /** The protocol that the rule has to name for it. */
  readonly proto: number | undefined;
}

export class Speller {
  /** The owner's chains that lines call. */
  readonly called = new Set<string>();
  /** Chains of bans that are copied as they are now. */
  readonly copied = new Set<string>();
  private readonly pieces = new Map<Rule, readonly Piece[]>();

  constructor(
    private readonly audit: FamilyAudit,
    private readonly host: Host,
  ) {}

  /** A way's list as the rules of a policy; what the last rule lets through falls off its end. */
  lines(way: Way, steps: readonly Step[]): readonly Line[] | Unspelled {
    const lines = this.list(way, way.all, steps);
    return lines instanceof Unspelled ? lines : pruned(lines);
  }

  private list(way: Way, all: Node, steps: readonly Step[]): Line[] | Unspelled {
    const { diagrams } = this.audit.domain;
    const out: Line[] = [];
    let left = all;
    for (const rule of steps.flatMap(({ by }) => by))
      if (bannerOf(targetName(rule)) !== undefined) this.copied.add(targetName(rule));
    // What is only let through behind the last rule that stops anything falls off the end.
    const last = steps.findLastIndex(
      (step) => step.does !== "accept" && (step.does !== "note" || isEntry(step)),
    );
    for (const step of steps.slice(0, last + 1)) {
      if (diagrams.intersect(left, step.asked ?? step.set) === EMPTY) continue;
      const lines = this.step(way, left, step);
      if (lines instanceof Unspelled) {
        // What only logs may be left out: it stops nobody.
        if (step.does === "note" && !isEntry(step)) continue;
        if (step.does !== "call") return lines;
        const copy = this.copy(way, left, step);
        if (copy instanceof Unspelled) return copy;
        out.push(...copy);
        left = diagrams.subtract(left, diagrams.unionAll(endedBy(step)));
        continue;
      }
      out.push(...lines);
      left = diagrams.subtract(left, diagrams.unionAll(endedBy(step)));
    }
    return out;
  }

  /** What a chain of bans does now, where the lines cannot tell whom it is called for. */
  private copy(way: Way, left: Node, { rule, inner }: Step): Line[] | Unspelled {
    const { diagrams } = this.audit.domain;
    const out: Line[] = [];
    let rest = left;
    for (const step of inner) {
      if (diagrams.intersect(rest, step.set) === EMPTY) continue;
      const lines = this.step(way, rest, step);
      if (lines instanceof Unspelled) return lines;
      out.push(...lines);
      rest = diagrams.subtract(rest, diagrams.unionAll(endedBy(step)));
    }
    this.copied.add(targetName(rule!));
    return out;
  }

  private step(way: Way, left: Node, step: Step): Line[] | Unspelled {
    const { rule, does, inner } = step;
    if (does === "unclear") return new Unspelled({ code: "unknown-effect", rule: this.text(rule) });
    const whens = this.bySet(way, left, step) ?? this.whens(way, left, step);
    if (whens instanceof Unspelled) return whens;
    if (does === "call") {
      const chain = targetName(rule!);
      this.called.add(chain);
      return whens.map((when) => ({ when, does, action: `-j ${chain}`, inner: [] }));
    }
    if (does !== "ask") {
      const action = this.action(step);
      const proto = action.includes("tcp-reset") ? " -p tcp" : "";
      return whens.map((when) => ({
        when: proto !== "" && !when.includes(" -p tcp") ? `${proto}${when}` : when,
        does,
        action,
        inner: [],
      }));
    }
    const behind = this.list(way, step.set, inner);
    if (behind instanceof Unspelled) return behind;
    const { diagrams } = this.audit.domain;
    const back = diagrams.subtract(step.set, diagrams.unionAll(endedBy(step)));
    // Behind a goto, what falls off goes on with DOCKER-USER: nothing may be left that has to come back to this list.
    if (back !== EMPTY || whens.length !== 1)
      return new Unspelled({ code: "chain-returns", rule: this.text(rule) });
    return [{ when: whens[0]!, does, action: "", inner: pruned(behind) }];
  }

  private text(rule: Rule | null): string | null {
    return rule === null ? null : printRule(rule, { family: this.audit.family });
  }

  private action({ rule, does }: Step): string {
    if (does === "accept") return "-j RETURN";
    if (rule === null || does === "drop") return "-j DROP";
    return printTarget(rule.target, { family: this.audit.family, proto: ruleProtocol(rule.matches) });
  }

  /** The matches that take, of the packets that are left, exactly those of the step. */
  private whens(
    way: Way,
    left: Node,
    step: Step,
    may: (piece: Piece) => boolean = () => true,
  ): string[] | Unspelled {
    const { diagrams } = this.audit.domain;
    const set = diagrams.intersect(left, step.set);
    if (set === left && !isEntry(step)) return [""];
    const own = step.rule === null ? [] : this.of(step.rule).filter(may);
    const callers = step.by.flatMap((rule) => this.of(rule)).filter(may);
    const counts = step.does === "note";
    for (const tried of callers.length === 0 ? [own] : [own, [...callers, ...own]]) {
      const needed = tried.filter(
        (piece) =>
          isCounted(piece.match) ||
          // Only what opens a connection is counted, whatever else comes by.
          (isEntry(step) && piece.match.extension.name === "conntrack") ||
          !this.implied(step.place, way.all, piece),
      );
      const texts = needed.map((piece) => this.spelled(piece, step.place, counts));
      if (texts.some((t) => t === null)) continue;
      if (!needed.every((piece) => this.holdsThere(piece, step.place, left))) continue;
      if (this.all(step.place, left, needed) !== set) continue;
      const proto = needed.map((p) => p.proto).find((p) => p !== undefined);
      const named = needed.some((p) => p.match.extension.name === "" && p.match.values.proto !== undefined);
      const lead = proto === undefined || named ? "" : ` -p ${protoName(proto)}`;
      return [`${lead}${[...new Set(texts)].map((t) => ` ${t}`).join("")}`];
    }
    // Where the rule's own words do not tell them, the set itself may: a list of boxes.
    const boxes = this.told(set, left, step.place.before);
    if (boxes !== null) return boxes;
    const counting = [...own, ...callers].find(({ node }) => this.isUnknown(node));
    const rule = this.text(step.rule);
    return new Unspelled(
      counting === undefined
        ? { code: "no-equivalent-match", rule }
        : { code: "stateful-match", match: counting.match.extension.name, rule },
    );
  }

  /**
   * The matches of a rule that looks senders up in ipsets: the sets are matched whatever they hold now. `null` where the
   * other matches do not tell whom it looks up.
   */
  private bySet(way: Way, left: Node, step: Step): string[] | null {
    if (step.asked === undefined) return null;
    const setsOf = (rules: readonly Rule[]): Piece[] =>
      rules.flatMap((rule) => this.of(rule)).filter(({ match }) => match.extension.name === "set");
    const [jumps, own] = [setsOf(step.lookups ?? []), setsOf([step.rule!])];
    const sets = [...jumps, ...own];
    const [first, last] = [jumps, own].map((pieces) =>
      pieces.map((piece) => this.spelled(piece, step.place, false)),
    ) as [(string | null)[], (string | null)[]];
    const { asked } = step;
    const others = this.whens(way, left, { ...step, set: asked }, (piece) => !sets.includes(piece));
    if ([...first, ...last].includes(null) || others instanceof Unspelled)
      return step.set === EMPTY ? [] : null;
    // A limit counts only what matches in front of it, and the jump is in front.
    const text = (texts: readonly (string | null)[]): string => texts.map((each) => ` ${each}`).join("");
    return others.map((when) => `${text(first)}${when}${text(last)}`);
  }

  /** The packets of a set for which all pieces hold, said of them as they were sent. */
  private all({ states, reach }: Place, set: Node, pieces: readonly Piece[]): Node {
    const { diagrams } = this.audit.domain;
    return diagrams.unionAll(
      states.map((state) =>
        pieces.reduce(
          (rest, piece) =>
            rest === EMPTY ? EMPTY : reach.chains.intersectCurrent({ ...state, set: rest }, piece.node),
          diagrams.intersect(this.flat(state), set),
        ),
      ),
    );
  }

  /** The packets as FORWARD's rules see them, where the lines are matched. */
  private get forward(): readonly SetState[] {
    const { full } = this.audit;
    this.arrived ??= seen(full, "FORWARD", (observe) => full.arrive(full.start(comesIn(this.host)), observe));
    return this.arrived;
  }

  private arrived: readonly SetState[] | undefined;

  /** Whether a match of what rules write onto packets (marks, TOS) holds in FORWARD for the packets for which it holds here. */
  private holdsThere({ node, about }: Piece, place: Place, set: Node): boolean {
    const { domain } = this.audit;
    const written = domain.diagrams.support(node).some((level) => {
      const variable = domain.variables[level]!;
      return variable.kind === "field" && WRITTEN.has(variable.field);
    });
    if (about !== "sender" || !written) return true;
    const holds = (states: readonly SetState[]): Node =>
      this.all({ ...place, reach: this.audit.full, states }, set, [{ node } as Piece]);
    return this.all(place, set, [{ node } as Piece]) === holds(this.forward);
  }

  private readonly flats = new WeakMap<SetState, Node>();

  private flat(state: SetState): Node {
    let flat = this.flats.get(state);
    if (flat === undefined) {
      flat = this.audit.domain.diagrams.mapTerminals(state.set, (value) => Math.min(value, 1));
      this.flats.set(state, flat);
    }
    return flat;
  }

  private implied(place: Place, set: Node, piece: Piece): boolean {
    if (piece.match.extension.name === "comment") return true;
    const { diagrams } = this.audit.domain;
    const here = diagrams.unionAll(place.states.map((state) => diagrams.intersect(this.flat(state), set)));
    return this.all(place, set, [piece]) === here;
  }

  private spelled(
    { about, text, original, match }: Piece,
    { before }: Place,
    counts: boolean,
  ): string | null {
    const { name } = match.extension;
    // A bucket of its own for a copy: it counts otherwise, which matters only where it decides.
    if (name === "limit") return counts ? text : null;
    if (about === "sender") return text;
    if (about === "other") return null;
    return before ? original : text;
  }

  private isUnknown(node: Node): boolean {
    const { diagrams, unknownLevels } = this.audit.domain;
    return [...diagrams.support(node)].some((level) => unknownLevels.has(level));
  }

  /** A rule's matches, option by option where each can stand alone. */
  private of(rule: Rule): readonly Piece[] {
    let pieces = this.pieces.get(rule);
    if (pieces === undefined) {
      pieces = rule.matches.flatMap((match) =>
        (SPLIT.has(match.extension.name)
          ? Object.entries(match.values).map(([key, value]) => ({ ...match, values: { [key]: value } }))
          : [match]
        ).map((part) => this.piece(part as Match, rule)),
      );
      this.pieces.set(rule, pieces);
    }
    return pieces;
  }

  private piece(match: Match, rule: Rule): Piece {
    const { family, domain } = this.audit;
    const { extension, values } = match;
    const site = { table: rule.table, chain: rule.chain, index: rule.index };
    const spelling = { family, proto: ruleProtocol(rule.matches) };
    return {
      match,
      node: domain.set(extension.ask(values, this.audit.full.program.facts, site)),
      about: aboutOf(match),
      text: printMatch(match, spelling),
      original: originalOf(match, spelling),
      proto: extension.needs === undefined ? undefined : spelling.proto,
    };
  }

  /** Matches by the fewest fields that tell a set from the rest of what is left. */
  private told(set: Node, left: Node, before: boolean): string[] | null {
    const { diagrams } = this.audit.domain;
    const rest = diagrams.subtract(left, set);
    for (const others of this.projections) {
      const [yes, no] = [diagrams.project(set, others), diagrams.project(rest, others)];
      if (diagrams.intersect(yes, no) !== EMPTY) continue;
      // What is neither in the one nor in the other may be taken either way: the shorter list wins.
      const [a, b] = [this.boxes(yes, before, left), this.boxes(diagrams.complement(no), before, left)];
      if (a !== null || b !== null) return a === null ? b : b === null || a.length <= b.length ? a : b;
    }
    return null;
  }

  /** Levels to forget, for each list of fields to keep. */
  private get projections(): readonly ReadonlySet<number>[] {
    this.forgotten ??= TOLD.map((fields) => {
      const kept = new Set(fields.map((field) => this.audit.domain.levelOf(field)));
      return new Set(this.audit.domain.variables.map((_, i) => i).filter((i) => !kept.has(i)));
    });
    return this.forgotten;
  }

  private forgotten: readonly ReadonlySet<number>[] | undefined;

  /** Outside ports with their bridges: FORWARD sees the bridge, and br_netfilter remembers the port. */
  private get ports(): ReadonlyMap<string, string> {
    return outsidePorts(this.audit.full.program.host);
  }

  /**
   * A set as a list of matches, each one path of the diagram; `null` when they are too many or cannot be spelled.
   * @param among the packets that the matches are asked of
   */
  boxes(set: Node, before: boolean, among: Node): string[] | null {
    const { domain, family } = this.audit;
    const { diagrams } = domain;
    const out: string[] = [];
    const walk = (node: Node, asked: ReadonlyMap<Field, Asked>): boolean => {
      if (node === EMPTY) return true;
      if (node === FULL) {
        const texts = spell(asked, family, before, this.ports);
        out.push(...(texts ?? []));
        return texts !== null && out.length <= MOST_BOXES;
      }
      const level = diagrams.levelOf(node);
      const variable = domain.variables[level]!;
      if (variable.kind !== "field") return false;
      const { field } = variable;
      const named = field === "in" || field === "out" ? this.allBut(node, field, among) : new Map();
      for (const [kid, but] of named) if (!walk(kid, new Map([...asked, [field, { but }]]))) return false;
      let fine = true;
      diagrams.edges(node, (kid, first, last) => {
        if (!fine || kid === EMPTY || named.has(kid)) return;
        const range: Range = [domain.interval(level, first)[0], domain.interval(level, last)[1]];
        fine = walk(kid, new Map([...asked, [field, range]]));
      });
      return fine;
    };
    return walk(set, new Map()) ? out : null;
  }

  /** The parts below a node on names where all names that can occur lead but one, with that one. */
  private allBut(node: Node, field: "in" | "out", among: Node): Map<Node, string> {
    const { domain } = this.audit;
    const { diagrams } = domain;
    const level = domain.levelOf(field)!;
    const at = (of: Node): Node[] => {
      const kids = new Array<Node>(diagrams.domains[level]!).fill(of);
      if (of !== FULL && of !== EMPTY && diagrams.levelOf(of) === level)
        diagrams.edges(of, (kid, first, last) => void kids.fill(kid, first, last + 1));
      return kids;
    };
    const occurs = at(domain.projectOnto(among, field)).map((kid) => kid !== EMPTY);
    const kids = at(node);
    const out = new Map<Node, string>();
    for (const kid of new Set(kids)) {
      const others = kids.flatMap((k, i) => (k !== kid && occurs[i] ? [i] : []));
      if (kid === EMPTY || others.length !== 1) continue;
      const [name, next] = domain.interval(level, others[0]!);
      if (next === successor(name)) out.set(kid, String(name));
    }
    return out;
  }
}

/** Fields that rules may write, so that INPUT and FORWARD may see different values. */
const WRITTEN: ReadonlySet<Field> = new Set(["mark", "ctmark", "tos"]);

/** Matches whose options ask each for themselves. */
const SPLIT = new Set(["", "tcp", "udp", "udplite", "dccp", "sctp", "multiport", "iprange"]);

/** Matches that ask a packet the same before and behind the translation, and in FORWARD as in INPUT and OUTPUT. */
const SENDER = new Set([
  ...[
    "icmp",
    "icmp6",
    "mac",
    "length",
    "mark",
    "connmark",
    "time",
    "state",
    "dscp",
    "tos",
    "limit",
    "tcpmss",
  ],
  // IPv6's extension headers, the one that is named dst among them.
  ...["rt", "hbh", "dst", "frag", "mh", "ipv6header", "srh"],
]);

function aboutOf({ extension: { name }, values }: Match): Piece["about"] {
  const keys = Object.keys(values);
  const only = (...allowed: string[]): boolean => keys.every((key) => allowed.includes(key));
  switch (name) {
    case "":
      if (only("in") || only("out")) {
        const given = String((values.in ?? values.out)!.value);
        if (!PLAIN.test(given.replace(/\+$/, ""))) return "other";
        return only("in") ? "sender" : "target";
      }
      return only("src", "proto") ? "sender" : only("dst") ? "target" : "other";
    case "tcp":
    case "udp":
    case "udplite":
    case "dccp":
    case "sctp":
      return keys.includes("dport") ? "target" : "sender";
    case "multiport":
      return only("sports") ? "sender" : "target";
    case "iprange":
      return only("src") ? "sender" : "target";
    case "conntrack":
      return only("state") && !(values.state!.value as readonly string[]).some((s) => /NAT/.test(s))
        ? "sender"
        : "other";
    case "set": {
      const { sides } = values.set!.value as { sides: readonly string[] };
      return sides.every((side) => side === "src") ? "sender" : "target";
    }
    case "recent":
      return values.rdest === undefined ? "sender" : "other";
    case "addrtype":
      return "target";
    default:
      return SENDER.has(name) ? "sender" : "other";
  }
}

/** What asks conntrack for the header as the packet came with it. */
function originalOf(match: Match, spelling: Parameters<typeof printMatch>[1]): string | null {
  const { dst, dport } = match.values as Values<Options>;
  const given = dst ?? dport;
  if (given === undefined || !["", "tcp", "udp"].includes(match.extension.name)) return null;
  const words = printMatch(match, spelling).split(" ").at(-1)!;
  const option = dst !== undefined ? "--ctorigdst" : "--ctorigdstport";
  return `-m conntrack ${given.not ? "! " : ""}${option} ${words} --ctdir ORIGINAL`;
}

/** A step that enters addresses into a list, which must not be left out. */
const isEntry = ({ rule }: Step): boolean => rule?.matches.some(isCounted) ?? false;

/** A match that has to be asked even where its answer is known, since it counts who asks. */
const isCounted = (match: Match): boolean => match.extension.name === "recent";

/** Without the rules that never decide, and without those that only say what happens anyway. */
function pruned(lines: readonly Line[]): readonly Line[] {
  const out = [...lines];
  while (out.at(-1)?.does === "accept") out.pop();
  const last = out.at(-1);
  if (last?.when === "")
    while (out.length > 1 && out.at(-2)!.does === last.does && out.at(-2)!.action === last.action)
      out.splice(-2, 1);
  return out;
}

/** A policy as one text: equal policies share their rules. */
export const policyKey = (lines: readonly Line[]): string => JSON.stringify(lines);

/** A policy without what it logs. */
export const verdicts = (lines: readonly Line[]): readonly Line[] =>
  pruned(
    lines
      .filter((line) => line.does !== "note" || line.action === "")
      .map((line) => ({ ...line, inner: verdicts(line.inner) })),
  );

/** What a box asks of a field: a range, or, of an interface's name, any but one. */
type Asked = Range | { readonly but: string };

/** One box as matches, with one text for each protocol where ports need one named; `null` when it cannot be spelled. */
function spell(
  box: ReadonlyMap<Field, Asked>,
  family: Family,
  before: boolean,
  ports: ReadonlyMap<string, string>,
): string[] | null {
  let text = "";
  const asked = new Map<Field, Range>();
  for (const [field, one] of box) {
    if (!SPELLED.has(field)) return null;
    if (!("but" in one)) asked.set(field, one);
  }
  // Conntrack compares the original destination with a prefix, not with a range.
  const aimed = before ? asked.get("dst") : undefined;
  if (aimed !== undefined && printAddressRange(aimed).includes("-")) {
    const prefixes = cover(aimed, family);
    if (prefixes.length > MOST_PREFIXES) return null;
    const lines = prefixes.map((prefix) =>
      spell(new Map([...box, ["dst", prefixRange(readPrefix(prefix)!.prefix)]]), family, before, ports),
    );
    return lines.includes(null) ? null : lines.flatMap((texts) => texts!);
  }
  for (const [field, option] of [
    ["in", "-i"],
    ["out", "-o"],
  ] as const) {
    const one = box.get(field);
    if (one === undefined) continue;
    if (!("but" in one) && one[0] === "" && one[1] === LAST_NAME) continue;
    const name = String("but" in one ? one.but : one[0]);
    if (!PLAIN.test(name) || !("but" in one || one[1] === successor(name))) return null;
    const bridge = field === "in" ? ports.get(name) : undefined;
    if (bridge === undefined) text += `${"but" in one ? " !" : ""} ${option} ${quote(name)}`;
    else if (!PLAIN.test(bridge)) return null;
    else if ("but" in one) text += ` -m physdev ! --physdev-in ${quote(name)}`;
    else text += ` -i ${quote(bridge)} -m physdev --physdev-in ${quote(name)}`;
  }
  for (const [field, short, long] of [
    ["src", "-s", "--src-range"],
    ["dst", "-d", "--dst-range"],
  ] as const) {
    const range = asked.get(field);
    if (range === undefined) continue;
    const printed = printAddressRange(range);
    if (field === "dst" && before) text += ` -m conntrack --ctorigdst ${printed} --ctdir ORIGINAL`;
    else text += printed.includes("-") ? ` -m iprange ${long} ${printed}` : ` ${short} ${printed}`;
  }
  const span = ([first, last]: Range): string => (first === last ? String(first) : `${first}:${last}`);
  const original = asked.get("dport");
  if (before && original !== undefined)
    text += ` -m conntrack --ctorigdstport ${span(original)} --ctdir ORIGINAL`;
  const numbers = (before ? (["sport"] as const) : (["sport", "dport"] as const)).flatMap((field) => {
    const range = asked.get(field);
    return range === undefined ? [] : [` --${field} ${span(range)}`];
  });
  const type = asked.get("type");
  const proto = asked.get("proto");
  if (proto === undefined) return numbers.length === 0 && type === undefined ? [text] : null;
  const [lo, hi] = proto as readonly [number, number];
  if (lo !== hi) {
    // Some protocols without a name between two that have one: spelled only where few and nothing more is asked.
    if (numbers.length > 0 || type !== undefined || hi - lo > 8) return null;
    return Array.from({ length: hi - lo + 1 }, (_, i) => `${text} -p ${lo + i}`);
  }
  if (numbers.length > 0)
    return lo === PROTO.tcp || lo === PROTO.udp
      ? [`${text} -p ${protoName(lo)} -m ${protoName(lo)}${numbers.join("")}`]
      : null;
  if (type !== undefined) {
    if (lo !== (family === 4 ? PROTO.icmp : PROTO.icmpv6)) return null;
    const option = family === 4 ? "-m icmp --icmp-type" : "-m icmp6 --icmpv6-type";
    const [first, last] = type as readonly [number, number];
    if (last - first > 16) return null;
    return Array.from(
      { length: last - first + 1 },
      (_, i) => `${text} -p ${protoName(lo)} ${option} ${first + i}`,
    );
  }
  return [`${text} -p ${protoName(lo)}`];
}

/** By which fields a set is told from another one: the fewest first. */
const TOLD: readonly (readonly Field[])[] = [
  ["in"],
  ["src"],
  ["in", "src"],
  ["dst"],
  ["proto", "dport", "type"],
  ["dst", "proto", "dport", "type"],
  ["src", "dst"],
  ["in", "src", "dst"],
  ["dst", "proto", "sport"],
  ["in", "src", "dst", "proto", "sport", "dport", "type"],
];

const SPELLED: ReadonlySet<Field> = new Set(["in", "out", "src", "dst", "proto", "sport", "dport", "type"]);
