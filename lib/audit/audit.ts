/**
 * Where the rules let packets through to or from a container that the owner's own rules block: over all packets, as
 * sets, each finding with one packet that proves it on the simulator.
 */
import { containerAt, fromOutside, type Host, outsideInterfaces } from "../host/host.ts";
import { headerOf } from "../host/infer.ts";
import { within as inRanges, prefixRange, printAddress, printAddressRange } from "../packet/address.ts";
import {
  type Address,
  CT,
  type Family,
  type Field,
  hasPorts,
  PROTO,
  protoName,
  type Range,
  type Scalar,
} from "../packet/field.ts";
import { type PacketJson, packetJson } from "../packet/packet.ts";
import { and, is, or, type Predicate, within } from "../packet/predicate.ts";
import { Program } from "../path/program.ts";
import type { Ending } from "../path/walk.ts";
import { BudgetExceeded, EMPTY, type Node } from "../reach/diagram.ts";
import { Domain, type Vocabulary } from "../reach/domain.ts";
import { Reach, vocabularyOf, type Witness, witness } from "../reach/reach.ts";
import { type SetState, valueIn } from "../reach/state.ts";
import { chainOf, type Rule, type Ruleset } from "../rules/ruleset.ts";
import { type Answer, Simulator } from "../simulate/simulate.ts";
import type { Step } from "../simulate/state.ts";
import { isDockerRule, withoutDocker } from "./docker.ts";
import { doubts, unpublished } from "./doubts.ts";
import { type Expectation, expected } from "./expect.ts";
import { type Lint, lint } from "./lint.ts";
import { type RuleNote, ruleNote } from "./note.ts";
import { hasUfw, ufwForwardChain } from "./ufw.ts";

export type FindingKind =
  | "ingress-bypass"
  | "egress-bypass"
  | "direct-bypass"
  | "loopback-bypass"
  | "forward-bypass"
  | "ineffective-allow";

/** What the owner's rules say, and which of them says it. */
export interface Intended {
  readonly verdict: Answer["verdict"];
  readonly rule: RuleNote | { readonly policy: string };
}

export interface Endpoint {
  readonly ip: string;
  readonly port: number | null;
  readonly name: string | null;
}

export interface Listen {
  /** The host address it is published on; `null` for all. */
  readonly address: string | null;
  readonly port: number | null;
}

export interface Finding {
  readonly id: string;
  readonly kind: FindingKind;
  readonly family: Family;
  readonly proto: string;
  readonly listen: Listen | null;
  readonly container: Endpoint | null;
  /** The interfaces its packets come in by. */
  readonly in: readonly string[];
  /** Who gets through although the owner's rules say no. */
  readonly from: string;
  /** Whom the owner's rules let through. */
  readonly allowed: string;
  readonly intended: Intended;
  readonly actual: { readonly verdict: Answer["verdict"]; readonly path: readonly Step[] };
  readonly witness: PacketJson;
  readonly certainty: "must" | "may";
  /** The unknowns it depends on. */
  readonly depends: readonly string[];
}

/** A published port that packets from outside reach. */
export interface Exposure {
  readonly family: Family;
  readonly proto: string;
  readonly endpoint: Endpoint;
  readonly listen: Listen;
  readonly in: readonly string[];
  readonly from: string;
  readonly witness: PacketJson;
  /** What of it no expectation speaks of; absent where there is nothing, or nothing was expected. */
  readonly unexpected?: {
    readonly in: readonly string[];
    readonly from: string;
    readonly witness: PacketJson;
  };
}

export interface AuditOptions {
  /** The published ports that may be open, and to whom: every other exposure is marked as unexpected. */
  readonly expect?: readonly Expectation[];
}

export interface Audit {
  readonly inferred: readonly string[];
  readonly exposures: readonly Exposure[];
  readonly findings: readonly Finding[];
  /** Rules in DOCKER-USER that do not do what they seem to. */
  readonly lint: readonly Lint[];
  /** What could not be settled, a sentence each: never to be read as "all clear". */
  readonly inconclusive: readonly string[];
}

/** One family's audit with its sets. */
export interface FamilyAudit {
  readonly family: Family;
  readonly domain: Domain;
  /**
   * Every packet, first of a connection or not, that passes to or from a container although the intent blocks it:
   * what a fix may change.
   */
  readonly blocked: Node;
  /** Each published or directly reached endpoint with the packets that come its way: what a fix is made of. */
  readonly ways: readonly Way[];
  readonly exposures: readonly Exposure[];
  readonly inconclusive: readonly string[];
}

/** One way for packets to reach an endpoint, or to leave from a bridge. */
export interface Way {
  readonly kind: FindingKind;
  readonly proto: number | null;
  /** The container's address and port; `null` for packets that leave. */
  readonly endpoint: { readonly ip: Address; readonly port: number | null } | null;
  /** Where it is published; `null` for a direct way. */
  readonly listen: Listen | null;
  /** The interface packets leave by or come in by, where the way is that of a bridge. */
  readonly bridge: string | null;
  /** All packets that go this way, as they were sent. */
  readonly all: Node;
  /** Those of them that the intent blocks. */
  readonly blocked: Node;
  /** The finding about it, where the intent blocks anything. */
  readonly finding: Finding | null;
}

/**
 * Audits a host.
 * @param rulesets at most one a family
 */
export function audit(rulesets: readonly Ruleset[], host: Host, { expect }: AuditOptions = {}): Audit {
  const inconclusive = [
    ...doubts(rulesets, host),
    ...rulesets.flatMap((ruleset) => unpublished(Program.of(ruleset, host), host)),
  ];
  const families = rulesets.flatMap((ruleset) => {
    try {
      return [auditFamily(ruleset, host, [], expect)];
    } catch (error) {
      if (!(error instanceof BudgetExceeded)) throw error;
      inconclusive.push(`IPv${ruleset.family}: ${error.message}; nothing is said of this family`);
      return [];
    }
  });
  return {
    inferred: host.inferred,
    exposures: families.flatMap((f) => f.exposures),
    findings: families.flatMap((f) => findingsOf(f)),
    lint: rulesets.flatMap((ruleset) => lint(Program.of(ruleset, host))),
    inconclusive: [...inconclusive, ...families.flatMap((f) => f.inconclusive)],
  };
}

/** Everything the analysis of one family needs to ask its questions. */
class Question {
  readonly outside: readonly string[];
  readonly owner: Ruleset;
  readonly domain: Domain;
  readonly full: Reach;
  readonly mine: Reach;
  readonly inconclusive = new Set<string>();
  /** Packets that come in by one of the interfaces that the host has. */
  readonly known: Node;
  /** Packets whose exposure is expected; `null` where nobody said what is. */
  readonly expected: Node | null;
  private readonly unknowns: ReadonlySet<number>;

  constructor(
    readonly ruleset: Ruleset,
    readonly host: Host,
    more: readonly Vocabulary[],
    expect: readonly Expectation[] | undefined,
  ) {
    this.outside = outsideInterfaces(host);
    this.owner = withoutDocker(ruleset, host);
    const full = Program.of(ruleset, host);
    const mine = Program.of(this.owner, host);
    const named = [fromOutside(host), ...[...this.outside, ...host.bridges].map((name) => is("in", name))];
    const protocols = Object.values(PROTO).map((number) => is("proto", number));
    this.domain = Domain.of(ruleset.family, [
      vocabularyOf(full),
      vocabularyOf(mine),
      { predicates: [...named, ...protocols, is("sport", 40000), is("flags", 2)], given: new Map() },
      { predicates: expect?.map((e) => expected(e, ruleset.family)) ?? [], given: new Map() },
      ...more,
    ]);
    this.full = new Reach(full, this.domain);
    this.mine = new Reach(mine, this.domain);
    this.unknowns = this.domain.unknownLevels;
    this.known = this.domain.diagrams.overAll(this.outside.map((name) => this.domain.set(is("in", name))));
    this.expected =
      expect === undefined ? null : this.domain.set(or(...expect.map((e) => expected(e, ruleset.family))));
  }

  set(...all: Predicate[]): Node {
    return this.domain.set(and(...all));
  }

  /** Only first packets of connections are asked about; what follows them goes where they went. */
  firsts(endings: readonly Ending<SetState>[]): Ending<SetState>[] {
    for (const { state } of endings)
      for (const why of state.unsure) this.inconclusive.add(`IPv${this.ruleset.family}: ${why}`);
    return endings.filter((e) => {
      const state = valueIn(e.state, "ctstate");
      return state === CT.NEW || state === CT.UNTRACKED || state === undefined;
    });
  }

  union(endings: readonly Ending<SetState>[], which: (e: Ending<SetState>) => boolean): Node {
    return this.domain.diagrams.overAll(endings.filter(which).map((e) => e.state.set));
  }

  /** In whatever way the unknowns turn out. */
  must(set: Node): Node {
    return this.domain.diagrams.forall(set, this.unknowns);
  }

  /** The unknowns a set depends on, by key. */
  depends(set: Node): string[] {
    return [...this.domain.diagrams.support(set)].flatMap((level) => {
      const variable = this.domain.variables[level]!;
      return variable.kind === "unknown" ? [variable.key] : [];
    });
  }

  /** Which of the interfaces a set's packets come in by. */
  inputs(set: Node, names: readonly string[]): string[] {
    return names.filter((name) => this.domain.diagrams.mask(set, this.set(is("in", name))) !== EMPTY);
  }

  /** Who the packets come from, in words. */
  sources(set: Node): string {
    if (set === EMPTY) return "nobody";
    const ranges = this.domain.spans(set, "src");
    if (ranges.length === 0) return "everyone";
    // What martian checks take away (own, loopback, multicast addresses) is not worth a word.
    const all = (ranges: readonly Range[]): bigint =>
      ranges.reduce(
        (sum, [a, b]) => sum + BigInt(b as number | bigint) - BigInt(a as number | bigint) + 1n,
        0n,
      );
    const total = this.ruleset.family === 4 ? 1n << 32n : 1n << 128n;
    if (all(ranges) * 100n >= total * 85n) return "everyone";
    const texts = ranges.slice(0, 6).map(printAddressRange);
    return ranges.length > 6 ? `${texts.join(", ")} and ${ranges.length - 6} more ranges` : texts.join(", ");
  }

  /** A packet of the set that a person would send. */
  witness(set: Node, input: string | null, target: Partial<Record<Field, readonly Scalar[]>>): Witness {
    const here = input === null ? set : this.domain.diagrams.mask(set, this.set(is("in", input)));
    const device = this.host.interfaces.find((i) => i.name === input);
    const own = device?.addresses.filter((a) => a.family === this.ruleset.family && !a.invented) ?? [];
    const neighbour = own.flatMap((a): Scalar[] => {
      const [first, last] = prefixRange(a.prefix) as readonly [Address, Address];
      const near = typeof first === "bigint" ? [first + 2n, first + 3n] : [first + 2, first + 3];
      return near.filter((n) => n < last && n !== a.address);
    });
    const stranger: Scalar =
      this.ruleset.family === 4 ? 0xc633_6407 : 0x2001_0db8_ffff_0000_0000_0000_0000_0007n;
    return witness(this.domain, here, {
      in: [input ?? "other0"],
      src: [...neighbour, stranger],
      proto: [PROTO.tcp, PROTO.udp],
      ttl: [64],
      sport: [40000],
      dport: [80],
      flags: [2],
      type: [this.ruleset.family === 4 ? 8 : 128],
      code: [0],
      ...target,
      dst: [...(target.dst ?? []), ...own.map((a) => a.address)],
    });
  }
}

/** The findings of a family's audit. */
export const findingsOf = (family: FamilyAudit): Finding[] =>
  family.ways.flatMap((way) => (way.finding === null ? [] : [way.finding]));

/**
 * Audits one family.
 * @param more what the domain must be able to tell apart besides, so that other rulesets can be held against this one
 * @throws BudgetExceeded when the diagrams outgrow their budget
 */
export function auditFamily(
  ruleset: Ruleset,
  host: Host,
  more: readonly Vocabulary[] = [],
  expect?: readonly Expectation[],
): FamilyAudit {
  const q = new Question(ruleset, host, more, expect);
  const exposures: Exposure[] = [];
  const inward = ingress(q, exposures);
  const outward = q.host.bridges.map((bridge) => egress(q, bridge));
  return {
    family: ruleset.family,
    domain: q.domain,
    ways: [inward, ...outward].flatMap((f) => f.ways),
    blocked: q.domain.diagrams.overAll([inward, ...outward].map((f) => f.blocked)),
    exposures,
    inconclusive: [...q.inconclusive],
  };
}

interface Flow {
  readonly ways: readonly Way[];
  readonly blocked: Node;
}

/** What the owner's `ufw route` rules say of the packets as FORWARD sees them: both sets over packets as sent. */
function explicit(
  q: Question,
  reach: Reach,
  walk: () => Ending<SetState>[],
): { endings: Ending<SetState>[]; allowed: Node; denied: Node } {
  const { diagrams } = q.domain;
  const chain = reach.program.chain("filter", ufwForwardChain(q.ruleset));
  const allowed: Node[] = [];
  const denied: Node[] = [];
  reach.observe = (state, table, hook) => {
    if (chain === undefined || table !== "filter" || hook !== "FORWARD") return;
    for (const part of reach.chains.chain(state, chain)) {
      const kind = part.outcome?.kind;
      if (kind === "accept") allowed.push(part.state.set);
      if (kind === "drop" || kind === "reject") denied.push(part.state.set);
    }
  };
  const endings = walk();
  reach.observe = undefined;
  return { endings, allowed: diagrams.overAll(allowed), denied: diagrams.overAll(denied) };
}

const isAccepted = (e: Ending<SetState>): boolean => e.verdict === "accept";
const passes = (e: Ending<SetState>): boolean => e.verdict === "accept" || e.verdict === "undecided";

/** Packets from outside: to published ports, to the containers' own addresses, and through Docker's rules elsewhere. */
function ingress(q: Question, exposures: Exposure[]): Flow {
  const { diagrams } = q.domain;
  const outside = fromOutside(q.host);
  const seen = explicit(q, q.full, () => q.full.arrive(q.full.start(outside)));
  const wanted = explicit(q, q.mine, () => q.mine.arrive(q.mine.start(outside)));
  // An explicit route rule about the translated packet overrides what INPUT says of the untranslated one.
  const input = q.union(q.mine.deliver(q.mine.start(outside)), isAccepted);
  const intent = diagrams.over(diagrams.minus(input, seen.denied), seen.allowed);
  const routed = q.union(wanted.endings, isAccepted);
  const through = seen.endings.filter((e) => passes(e) && e.delivery === "forward" && e.out !== null);
  const publisher = ({ state }: Ending<SetState>): Rule | undefined =>
    valueIn(state, "dst") === undefined
      ? undefined
      : state.translated.find((r) => r.chain !== "POSTROUTING" && isDockerRule(r, q.host));
  const direct: Ending<SetState>[] = [];
  const published = new Map<Rule, Ending<SetState>[]>();
  for (const ending of q.firsts(through)) {
    const rule = publisher(ending);
    if (rule === undefined) direct.push(ending);
    else published.set(rule, [...(published.get(rule) ?? []), ending]);
  }
  const ways: Way[] = [];
  const sets = [...published.values()].map((endings) => diagrams.overAll(endings.map((e) => e.state.set)));
  const { inside, outside: blockedSets } = q.domain.divide(sets, intent);
  [...published].forEach(([rule, [ending]], i) => {
    const part = { all: sets[i]!, allowed: inside[i]!, blocked: blockedSets[i]! };
    ways.push(publishedWay(q, rule, ending!, part, exposures));
  });
  ways.push(...directWays(q, direct, routed));
  ways.push(...ineffective(q, seen.endings, wanted));
  const blocked = diagrams.over(
    diagrams.minus(
      q.union(through, (e) => publisher(e) !== undefined),
      intent,
    ),
    diagrams.minus(
      q.union(through, (e) => publisher(e) === undefined),
      routed,
    ),
  );
  return { ways, blocked };
}

/** The packets of a way, and what of them the intent allows and blocks. */
interface Divided {
  readonly all: Node;
  readonly allowed: Node;
  readonly blocked: Node;
}

function publishedWay(
  q: Question,
  rule: Rule,
  { state, out }: Ending<SetState>,
  { all, allowed, blocked }: Divided,
  exposures: Exposure[],
): Way {
  const proto = headerOf(rule).proto?.value ?? PROTO.tcp;
  const ip = valueIn(state, "dst") as Address;
  const port = (valueIn(state, "dport") as number | undefined) ?? null;
  const listen = listenOf(q, rule, all);
  const target = { proto: [proto], ...(listen.port === null ? {} : { dport: [listen.port] }) };
  const unexpected =
    q.expected === null ? EMPTY : q.domain.diagrams.minus(q.domain.diagrams.mask(q.known, all), q.expected);
  const of = (set: Node): Pick<Exposure, "in" | "from" | "witness"> => {
    const by = q.inputs(set, q.outside);
    return {
      in: by,
      from: q.sources(set),
      witness: packetJson(q.witness(set, by[0] ?? null, target).packet),
    };
  };
  exposures.push({
    family: q.ruleset.family,
    proto: protoName(proto),
    endpoint: endpointOf(q, ip, port),
    listen,
    ...of(all),
    ...(unexpected === EMPTY ? {} : { unexpected: of(unexpected) }),
  });
  // Docker's rule takes a loopback address that comes from outside before the routing decision can refuse it.
  const loopback = listen.address !== null && isLoopback(headerOf(rule).dst!.value.address);
  const place = `${listen.address ?? "any"}/${listen.port ?? "any"}`;
  const group: Group = {
    kind: loopback ? "loopback-bypass" : "ingress-bypass",
    place,
    listen,
    container: endpointOf(q, ip, port),
    inputs: q.outside,
    target,
  };
  const finding = describe(q, group, blocked, allowed, "input");
  return { kind: group.kind, proto, endpoint: { ip, port }, listen, bridge: out, all, blocked, finding };
}

const isLoopback = (address: Address): boolean =>
  typeof address === "number" ? address >>> 24 === 127 : address === 1n;

/** Packets for the containers' own addresses, and those Docker's rules let through to somewhere else. */
function directWays(q: Question, endings: readonly Ending<SetState>[], intent: Node): Way[] {
  const { diagrams } = q.domain;
  const loopback = loopbackEndpoints(q);
  const ways: Way[] = [];
  for (const bridge of new Set(endings.map((e) => e.out!))) {
    const through = diagrams.overAll(endings.filter((e) => e.out === bridge).map((e) => e.state.set));
    const add = (
      kind: FindingKind,
      { all, allowed, blocked }: Divided,
      group: Omit<Group, "kind" | "inputs">,
      endpoint: Way["endpoint"],
      proto: number | null,
    ): void => {
      const finding = describe(q, { ...group, kind, inputs: q.outside }, blocked, allowed, "routed");
      ways.push({ kind, proto, endpoint, listen: null, bridge, all, blocked, finding });
    };
    if (!q.host.bridges.includes(bridge)) {
      const [allowed, blocked] = [diagrams.mask(through, intent), diagrams.minus(through, intent)];
      add(
        "forward-bypass",
        { all: through, allowed, blocked },
        { listen: null, container: null, target: {} },
        null,
        null,
      );
      continue;
    }
    const behind = endpointsBehind(q, bridge);
    const { parts, rest } = q.domain.partition(
      through,
      behind.map(({ ip, proto, port }) =>
        and(is("dst", ip), is("proto", proto), ...(port === null ? [] : [is("dport", port)])),
      ),
    );
    const sets = [...parts.values()];
    const { inside, outside } = q.domain.divide(sets, intent);
    for (const [i, index] of [...parts.keys()].entries()) {
      const { ip, proto, port } = behind[index]!;
      const published = loopback.get(`${ip} ${proto} ${port}`) ?? null;
      const target = { proto: [proto], dst: [ip], ...(port === null ? {} : { dport: [port] }) };
      const container = endpointOf(q, ip, port);
      add(
        published === null ? "direct-bypass" : "loopback-bypass",
        { all: sets[i]!, allowed: inside[i]!, blocked: outside[i]! },
        { place: `${container.ip}/${port ?? "any"}`, listen: published, container, target },
        { ip, port },
        proto,
      );
    }
    const blocked = diagrams.minus(rest, intent);
    if (blocked === EMPTY) continue;
    const { dst } = q.witness(blocked, q.inputs(blocked, q.outside)[0] ?? null, {}).packet;
    add(
      "direct-bypass",
      { all: rest, allowed: diagrams.mask(rest, intent), blocked },
      { listen: null, container: endpointOf(q, dst, null), target: { dst: [dst] } },
      null,
      null,
    );
  }
  return ways;
}

/** Rules of the owner's that allow what Docker drops before they can speak. */
function ineffective(
  q: Question,
  seen: readonly Ending<SetState>[],
  wanted: { endings: Ending<SetState>[]; allowed: Node },
): Way[] {
  const { diagrams } = q.domain;
  const stopped = q.union(q.firsts(seen), (e) => e.verdict === "drop" || e.verdict === "reject");
  const allowed = diagrams.mask(wanted.allowed, q.union(q.firsts(wanted.endings), isAccepted));
  const dead = diagrams.mask(allowed, stopped);
  return q.host.bridges.flatMap((bridge): Way[] => {
    const set = diagrams.mask(subnetsOf(q, bridge), dead);
    const group: Group = {
      kind: "ineffective-allow",
      listen: null,
      container: null,
      inputs: q.outside,
      target: {},
    };
    const finding = describe(q, group, set, set, "routed");
    return finding === null
      ? []
      : [
          {
            kind: group.kind,
            proto: null,
            endpoint: null,
            listen: null,
            bridge,
            all: set,
            blocked: EMPTY,
            finding,
          },
        ];
  });
}

/** Packets that containers behind a bridge send out of the host. */
function egress(q: Question, bridge: string): Flow {
  const { diagrams } = q.domain;
  const device = q.host.interfaces.find((i) => i.name === bridge);
  if (device === undefined) return { ways: [], blocked: EMPTY };
  const from = is("in", bridge);
  const seen = explicit(q, q.full, () => q.full.arrive(q.full.start(from)));
  const leaving = seen.endings.filter(
    (e) => passes(e) && e.delivery === "forward" && q.outside.includes(e.out ?? ""),
  );
  const sent = q.mine.send(q.mine.start(from));
  const intent = diagrams.over(diagrams.minus(q.union(sent, isAccepted), seen.denied), seen.allowed);
  const all = q.union(q.firsts(leaving), () => true);
  const blocked = diagrams.minus(all, intent);
  const subnets = device.addresses
    .filter((a) => a.family === q.ruleset.family)
    .map((a) => prefixRange(a.prefix));
  const container = q.host.containers.flatMap((c) => c.addresses).find((a) => inRanges(a, subnets));
  const target = { src: container === undefined ? [] : [container], dst: neighbours(q) };
  const group: Group = {
    kind: "egress-bypass",
    listen: null,
    container: container === undefined ? null : endpointOf(q, container, null),
    inputs: [bridge],
    target,
  };
  const finding = describe(q, group, blocked, intent, "output");
  const way: Way = {
    kind: "egress-bypass",
    proto: null,
    endpoint: null,
    listen: null,
    bridge,
    all,
    blocked,
    finding,
  };
  return {
    ways: all === EMPTY ? [] : [way],
    blocked: diagrams.minus(
      q.union(leaving, () => true),
      intent,
    ),
  };
}

interface Group {
  readonly kind: FindingKind;
  /** What the finding is called after, `any/8080` or `172.17.0.2/80`; the interfaces and the witness's port unless said. */
  readonly place?: string;
  readonly listen: Listen | null;
  readonly container: Endpoint | null;
  readonly inputs: readonly string[];
  readonly target: Partial<Record<Field, readonly Scalar[]>>;
}

/** Neighbours on the outside interfaces: where a container's packet would really go. */
const neighbours = (q: Question): Scalar[] =>
  q.host.interfaces
    .filter((i) => q.outside.includes(i.name))
    .flatMap((i) => i.addresses.filter((a) => a.family === q.ruleset.family))
    .map((a): Scalar => (typeof a.address === "number" ? a.address + 1 : a.address + 1n));

/** Turns a set of bypassing packets into a finding, or into something inconclusive; `null` when the set is empty. */
function describe(
  q: Question,
  group: Group,
  set: Node,
  allowed: Node,
  asked: "input" | "routed" | "output",
): Finding | null {
  if (set === EMPTY) return null;
  const must = q.must(set);
  const certain = must !== EMPTY;
  const about = certain ? must : set;
  const inputs = q.inputs(set, group.inputs);
  const { packet, assume } = q.witness(about, inputs[0] ?? null, group.target);
  const options = { assume };
  const actual = new Simulator([q.ruleset], q.host, options).packet(packet);
  const owner = new Simulator([q.owner], q.host, options);
  const wish =
    asked === "input"
      ? owner.delivered(packet)
      : owner.packet(asked === "output" ? { ...packet, in: null } : packet);
  const proto = protoName(packet.proto);
  const label = `${group.kind} ${proto} ${JSON.stringify(packetJson(packet))}`;
  const opens = group.kind !== "ineffective-allow";
  if ((actual.verdict === "accept") !== opens || (wish.verdict === "accept") === opens)
    q.inconclusive.add(
      `IPv${q.ruleset.family}: the sets and the simulator disagree about ${label}; please report this`,
    );
  return {
    id: `${group.kind}/${q.ruleset.family}/${proto}/${group.place ?? `${inputs.join("+")}/${packet.dport ?? "any"}`}`,
    kind: group.kind,
    family: q.ruleset.family,
    proto,
    listen: group.listen,
    container: group.container,
    in: inputs,
    from: q.sources(set),
    allowed: q.sources(allowed),
    intended: { verdict: wish.verdict, rule: decider(wish, q.owner) },
    actual: { verdict: actual.verdict, path: actual.path },
    witness: packetJson(packet),
    certainty: certain ? "must" : "may",
    depends: q.depends(set),
  };
}

/** The rule or policy that decided: the last step of a path. */
function decider(answer: Answer, ruleset: Ruleset): Intended["rule"] {
  const last = answer.path.at(-1);
  if (answer.reason !== undefined || last === undefined) return { policy: answer.reason ?? "no rule" };
  // ufw's rules end in chains of their own: the one that the owner wrote is the last in a ufw-user chain.
  const own = answer.path.findLast(
    (s) => s.step === "rule" && /^ufw6?-user-(input|output|forward)$/.test(s.chain),
  );
  const decisive = own !== undefined && last.step === "rule" && /^ufw6?-user-/.test(last.chain) ? own : last;
  if (decisive.step === "policy") {
    const where =
      { INPUT: "incoming", OUTPUT: "outgoing", FORWARD: "routed" }[decisive.chain] ?? decisive.chain;
    const verb = decisive.policy === "DROP" ? "deny" : "allow";
    const policy = `${decisive.table} ${decisive.chain} policy ${decisive.policy}`;
    return { policy: hasUfw(ruleset) ? `${policy} (ufw default ${verb} ${where})` : policy };
  }
  if (decisive.step === "return") return { policy: `end of chain ${decisive.chain}` };
  const rule = chainOf(ruleset, decisive.table, decisive.chain)?.rules.find((r) => r.index === decisive.rule);
  return rule === undefined ? { policy: `${decisive.chain} rule ${decisive.rule}` } : ruleNote(rule, ruleset);
}

/** The container at an address. */
function endpointOf(q: Question, ip: Address, port: number | null): Endpoint {
  return { ip: printAddress(ip), port, name: containerAt(q.host, ip)?.name ?? null };
}

/** Where a DNAT rule listens: its `-d` address, and the port it asks for. */
function listenOf(q: Question, rule: Rule, set: Node): Listen {
  const { dst } = headerOf(rule);
  const ports = q.domain.spans(set, "dport");
  const port = ports.length === 1 && ports[0]![0] === ports[0]![1] ? (ports[0]![0] as number) : null;
  return { address: dst === undefined || dst.not ? null : printAddress(dst.value.address), port };
}

/** Container endpoints that are published on a loopback address only, with where they listen. */
function loopbackEndpoints(q: Question): Map<string, Listen> {
  const out = new Map<string, Listen>();
  const open = new Set<string>();
  for (const { rule, effect } of q.full.program.chain("nat", "DOCKER")?.rules ?? []) {
    if (effect.kind !== "nat" || effect.to.kind !== "range") continue;
    const { dst, proto } = headerOf(rule);
    const key = `${effect.to.first} ${proto?.value ?? PROTO.tcp} ${effect.ports?.first ?? null}`;
    const local = dst !== undefined && !dst.not && isLoopback(dst.value.address);
    const port = rule.matches.flatMap((m) =>
      m.values.dport === undefined ? [] : [(m.values.dport.value as readonly [number, number])[0]],
    )[0];
    if (local) out.set(key, { address: printAddress(dst.value.address), port: port ?? null });
    else open.add(key);
  }
  for (const key of open) out.delete(key);
  return out;
}

interface Behind {
  readonly ip: Address;
  readonly proto: number;
  readonly port: number | null;
}

/** Endpoints that Docker's rules name behind a bridge. */
function endpointsBehind(q: Question, bridge: string): Behind[] {
  const out = new Map<string, Behind>();
  for (const rule of chainOf(q.ruleset, "filter", "DOCKER")?.rules ?? []) {
    const { dst, out: to, proto } = headerOf(rule);
    if (to?.value !== bridge || dst === undefined || dst.not || proto === undefined) continue;
    const port = rule.matches.flatMap((m) =>
      m.values.dport === undefined ? [] : [(m.values.dport.value as readonly [number, number])[0]],
    )[0];
    const each = {
      ip: dst.value.address,
      proto: proto.value,
      port: hasPorts(proto.value) ? (port ?? null) : null,
    };
    out.set(`${each.ip} ${each.proto} ${each.port}`, each);
  }
  return [...out.values()];
}

/** Packets for the addresses behind a bridge. */
function subnetsOf(q: Question, bridge: string): Node {
  const ranges = q.host.routes
    .filter((r) => r.family === q.ruleset.family && r.dev === bridge && r.type === "unicast")
    .map((r) => prefixRange(r.to));
  return ranges.length === 0 ? EMPTY : q.set(within("dst", ranges));
}
