/** What an audit finds: its shapes, and how a set of packets becomes a finding with one packet that proves it. */
import { containerAt } from "../host/host.ts";
import { parseAddress, printAddress } from "../packet/address.ts";
import { type Address, type Family, type Field, protoName, type Scalar } from "../packet/field.ts";
import { type Packet, type PacketJson, packetJson } from "../packet/packet.ts";
import type { Step } from "../path/program.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import { chainOf, type Ruleset } from "../rules/ruleset.ts";
import type { Answer, Outcome } from "../simulate/answer.ts";
import { type SimulateOptions, Simulator } from "../simulate/simulator.ts";
import type { Question } from "./context.ts";
import { type RuleNote, ruleNote } from "./rule-note.ts";
import type { Who } from "./set-description.ts";
import { hasUfw } from "./ufw-rules.ts";

/** Which way the owner's rules are bypassed; `ineffective-allow`: they allow what Docker drops. */
export type FindingKind =
  | "ingress-bypass"
  | "egress-bypass"
  | "direct-bypass"
  | "loopback-bypass"
  | "forward-bypass"
  | "ineffective-allow";

/** What the owner's rules say, and which of them says it. */
export interface Intended {
  /** What the owner wrote, or what the policy says. */
  readonly verdict: Answer["verdict"];
  /** The rule that says so, or the chain whose policy does. */
  readonly rule: RuleNote | { readonly policy: string };
  /** What the packet would have met, in order: the steps through the owner's own rules. */
  readonly path: readonly Step[];
}

/** An address and port of a container. */
export interface Endpoint {
  /** The address as text. */
  readonly ip: string;
  /** The port; `null` for a protocol without ports. */
  readonly port: number | null;
  /** Name of the container; `null` where nothing tells it. */
  readonly name: string | null;
  /** Its Compose project; absent where Docker does not say. */
  readonly project?: string;
  /** Its service, of Compose or of a swarm; absent where Docker does not say. */
  readonly service?: string;
}

/** Where a published port is asked for. */
export interface Listen {
  /** The host address it is published on; `null` for all. */
  readonly address: string | null;
  /** The port as a client asks for it; `null` for a protocol without ports. */
  readonly port: number | null;
}

/** Packets that pass to or from a container although the owner's rules say no, or the other way round. */
export interface Finding {
  /** Stable name of the finding: the same on the same host next time. */
  readonly id: string;
  /** What is wrong. */
  readonly kind: FindingKind;
  /** 4 or 6. */
  readonly family: Family;
  /** Name of the protocol. */
  readonly proto: string;
  /** Where the packets knock; `null` for what containers send. */
  readonly listen: Listen | null;
  /** The endpoint that is reached or sends. */
  readonly container: Endpoint | null;
  /** The interfaces its packets come in by; none where only one that nobody listed does. */
  readonly in: readonly string[];
  /** Who gets through although the owner's rules say no. */
  readonly from: string;
  /** The same, told apart by interface. */
  readonly by: readonly Who[];
  /** Whom the owner's rules let through; for `egress-bypass`, what. */
  readonly allowed: string;
  /** What gets through, where no port is the whole of it: `tcp 25 to anywhere`. */
  readonly what?: string;
  /** Bans that it goes past. */
  readonly bans?: Banned;
  /** What the owner's rules say. */
  readonly intended: Intended;
  /** What happens instead. */
  readonly actual: { readonly verdict: Answer["verdict"]; readonly path: readonly Step[] };
  /** One packet that shows it; `simulate` gives it this verdict. */
  readonly witness: PacketJson;
  /** What `--assume` has to be told of the unknowns that the packet meets; absent where it meets none. */
  readonly assume?: readonly string[];
  /** Whether it depends on what the inputs do not tell. */
  readonly certainty: "must" | "may";
  /** The unknowns it depends on. */
  readonly depends: readonly string[];
  /**
   * Firewalls that it depends on and that were not read: tables of nftables, the other backend of iptables, a missing
   * table. Where `intended.verdict` is `undecided`, they alone may block these packets. Absent where there is none.
   */
  readonly unread?: readonly string[];
}

/** Who is banned and gets through. */
export interface Banned {
  /** Who bans, and in which chain or set. */
  readonly by: readonly string[];
  /** Whom they ban, in words: addresses, networks, or how many. */
  readonly from: string;
  /** Whether nobody else is blocked. */
  readonly only: boolean;
}

/**
 * How a port comes to be published: by Docker's DNAT, by a swarm's ingress network, at the container's own address
 * (routed networks), or by docker-proxy, which listens as any program of the host does.
 */
export type Means = "dnat" | "ingress" | "routed" | "proxy";

/** A published port that packets from outside reach. */
export interface Exposure {
  /** How it comes to be published. */
  readonly means: Means;
  /** 4 or 6. */
  readonly family: Family;
  /** Name of the protocol. */
  readonly proto: string;
  /** Where the packets end. */
  readonly endpoint: Endpoint;
  /** Where they knock. */
  readonly listen: Listen;
  /** Interfaces that they come in by. */
  readonly in: readonly string[];
  /** Who can send them, in words: `everyone`, or prefixes and ranges. */
  readonly from: string;
  /** The same, told apart by interface. */
  readonly by: readonly Who[];
  /** One such packet. */
  readonly witness: PacketJson;
  /** Firewalls that were not read and that may block some of these packets; absent where there is none. */
  readonly unread?: readonly string[];
  /** What of it no expectation speaks of; absent where there is nothing, or nothing was expected. */
  readonly unexpected?: {
    readonly in: readonly string[];
    readonly from: string;
    readonly by: readonly Who[];
    readonly witness: PacketJson;
  };
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
  /** Interfaces that its packets come in by and why no rule can tell them, so that no fix closes it; absent where one can. */
  readonly beyond?: { readonly inputs: readonly string[]; readonly why: string };
  /** The finding about it, where the intent blocks anything. */
  readonly finding: Finding | null;
}

export interface Flow {
  readonly ways: readonly Way[];
  /** Every packet, first of a connection or not, that passes, and those of them that the intent blocks. */
  readonly passing: Node;
  readonly blocked: Node;
  /** Those that pass at the address they were sent to or by the owner's own translation, by the interface they leave by. */
  readonly straight: ReadonlyMap<string, Node>;
}

export interface Group {
  readonly kind: FindingKind;
  /** What the finding is called after, `any/8080` or `172.17.0.2/80`; the interfaces and the witness's port unless said. */
  readonly place?: string;
  readonly listen: Listen | null;
  readonly container: Endpoint | null;
  readonly inputs: readonly string[];
  /** Where no port is the whole of it: where its packets go, in words, or all of its way to tell it from. */
  readonly to?: string | { readonly among: Node };
  /** Packets that nothing but a ban blocks, and the lists that ban them. */
  readonly banned?: { readonly set: Node; readonly by: readonly string[] };
  readonly target: Partial<Record<Field, readonly Scalar[]>>;
}

/** What a finding depends on that none of the host's interfaces has. */
const LATER = "an interface that is not on the host now, such as a VPN that comes up later";

/** Turns a set of bypassing packets into a finding, or into something inconclusive; `null` when the set is empty. */
export function describe(
  q: Question,
  whole: Group,
  found: Node,
  granted: Node,
  asked: "input" | "routed" | "output",
): Finding | null {
  if (found === EMPTY || q.detail === "sets") return null;
  // What only packets with extension headers do is no finding: a rule against those decides nothing of ordinary packets.
  const [set, allowed] = [q.plain(found), q.plain(granted)];
  if (set === EMPTY) return null;
  const group =
    whole.banned === undefined
      ? whole
      : { ...whole, banned: { ...whole.banned, set: q.plain(whole.banned.set) } };
  q.progress(group.place === undefined ? group.kind : `${group.kind} ${group.place}`);
  // Whoever is banned is the smaller part of those who are blocked, unless nobody else is.
  const rest = group.banned === undefined ? set : q.domain.diagrams.subtract(set, group.banned.set);
  const part = rest === EMPTY ? set : rest;
  const named = group.kind === "egress-bypass" || q.domain.diagrams.intersect(part, q.known) !== EMPTY;
  const sure =
    group.kind === "egress-bypass" ? part : named ? q.domain.diagrams.intersect(part, q.sure) : EMPTY;
  const must = q.must(q.domain.diagrams.subtract(sure, q.undecided));
  const certain = must !== EMPTY;
  // A packet that the rules themselves block, if there is one: not one that only an unread firewall may block.
  const untouched = q.domain.diagrams.intersect(part, q.untouched);
  const about = opening(q, certain ? must : untouched === EMPTY ? part : untouched);
  const unread = q.unread(set);
  // Of a list that is not given nobody knows whom it holds.
  const listed =
    group.banned !== undefined && q.depends(group.banned.set).length > 0
      ? "whoever is on the list"
      : undefined;
  // A published port is one of all the host's addresses, unless it was asked for on one.
  const aimed = asked === "input" && group.listen?.address === null;
  const by = q.words.who(set, group.inputs, aimed);
  const inputs = q.seen(group.inputs, by);
  const first = q.input(about, group.inputs, q.words.who(about, group.inputs, aimed));
  const { packet, assume } = q.witness(q.domain.diagrams.intersect(q.ordinary, about), first, group.target);
  const options = { assume };
  const actual = new Simulator([q.ruleset], q.host, options).packet(packet);
  const wish = wished(q, packet, actual, asked, options, group.kind !== "ineffective-allow");
  const proto = protoName(packet.proto);
  const tell = (from: string): string =>
    asked === "output"
      ? from.replace(/^everyone/, "every container")
      : rest === EMPTY && listed !== undefined
        ? listed
        : from;
  const opens = group.kind !== "ineffective-allow";
  if (contradicts(actual, opens) || contradicts(wish, !opens))
    q.inconclusive.add(
      `IPv${q.ruleset.family}: the sets and the simulator disagree about ${group.kind} ${proto} ${JSON.stringify(packetJson(packet))}; please report this`,
    );
  return {
    id: `${group.kind}/${q.ruleset.family}/${proto}/${group.place ?? `${inputs.join("+")}/${packet.dport ?? "any"}`}`,
    kind: group.kind,
    family: q.ruleset.family,
    proto,
    listen: group.listen,
    container: group.container,
    in: inputs,
    from: tell(q.words.from(set)),
    by: by.map((who) => ({ ...who, from: tell(who.from) })),
    allowed: asked === "output" ? outwards(q, allowed, group) : q.words.whom(allowed, group.inputs, inputs),
    ...(group.to === undefined ? {} : { what: outwards(q, set, group) }),
    ...(group.banned === undefined
      ? {}
      : {
          bans: { by: group.banned.by, from: listed ?? q.words.from(group.banned.set), only: rest === EMPTY },
        }),
    intended:
      untouched === EMPTY && unread.length > 0
        ? { verdict: "undecided", rule: { policy: `not read: ${unread.join(", ")}` }, path: wish.path }
        : { verdict: verdictOf(wish), rule: decider(wish, q.owner), path: wish.path },
    actual: { verdict: verdictOf(actual), path: actual.path },
    witness: packetJson(packet),
    ...(assume.size === 0
      ? {}
      : { assume: [...assume].map(([key, truth]) => `${key}=${truth ? "match" : "no-match"}`) }),
    certainty: certain ? "must" : "may",
    depends: [...q.depends(set), ...(by.length === 0 ? [LATER] : [])],
    ...(unread.length === 0 ? {} : { unread }),
  };
}

/** Those packets of a set that can open a connection, where there are any. */
function opening(q: Question, set: Node): Node {
  const opens = q.domain.diagrams.intersect(set, q.opening);
  return opens === EMPTY ? set : opens;
}

/** The branches of an answer, or the answer itself where nothing divides it. */
const outcomesOf = (answer: Answer): readonly Outcome[] => answer.branches ?? [answer];

/**
 * The verdict of all branches where they share one. An unknown that decides only how the packet is translated makes an
 * answer undecided, but not its verdict.
 */
function verdictOf(answer: Answer): Answer["verdict"] {
  const [first, ...others] = outcomesOf(answer);
  return first !== undefined && others.every(({ verdict }) => verdict === first.verdict)
    ? first.verdict
    : answer.verdict;
}

/** Whether a branch has the other verdict than the sets give. A branch that the simulator does not decide has neither. */
const contradicts = (answer: Answer, accepted: boolean): boolean =>
  outcomesOf(answer).some(({ verdict }) => verdict !== "undecided" && (verdict === "accept") !== accepted);

/** What the owner's rules say of a packet, as if Docker had written none. */
function wished(
  q: Question,
  packet: Packet,
  actual: Answer,
  asked: "input" | "routed" | "output",
  options: SimulateOptions,
  blocked: boolean,
): Answer {
  const owner = (): Simulator => new Simulator([q.owner], q.asked, options);
  const said =
    asked === "input"
      ? owner().delivered(packet)
      : owner().packet(asked === "output" ? { ...packet, in: null } : packet);
  const sent = outcomesOf(actual).find((outcome) => outcome.sent !== null)?.sent ?? null;
  if (asked === "routed" || verdictOf(said) !== "accept" || !blocked || sent === null) return said;
  // It is a `ufw route` rule that says no: of the packet as FORWARD sees it.
  const { dport } = sent;
  const dst = asked === "input" ? (parseAddress(sent.dst, packet.family) ?? packet.dst) : packet.dst;
  return owner().packet({ ...packet, dst, ...(asked === "input" && dport !== null ? { dport } : {}) });
}

/** What a way's packets are and where they go. */
function outwards(q: Question, set: Node, { to }: Group): string {
  if (typeof to === "string") return `${q.words.traffic(set)} ${to}`;
  if (set === EMPTY || to === undefined) return "nothing";
  return `${q.words.traffic(set, to.among)} to ${q.words.to(set, to.among)}`;
}

/** The rule or policy that decided: the last step of a path. */
export function decider(answer: Answer, ruleset: Ruleset): Intended["rule"] {
  // What is accepted was decided by the last step of table filter; nat and mangle only follow it.
  const last =
    answer.verdict === "accept"
      ? (answer.path.findLast((s) => s.table === "filter") ?? answer.path.at(-1))
      : answer.path.at(-1);
  if (answer.reason !== undefined || last === undefined) return { policy: answer.reason ?? "no rule" };
  // ufw's rules end in chains of their own: the one that the owner wrote is the last in a ufw-user chain.
  const own = answer.path.findLast(
    (s) => s.step === "rule" && /^ufw6?-user-(input|output|forward)$/.test(s.chain),
  );
  const decisive = own !== undefined && last.step === "rule" && /^ufw6?-user-/.test(last.chain) ? own : last;
  if (decisive.step === "policy") {
    const where = { INPUT: "incoming", OUTPUT: "outgoing", FORWARD: "routed" }[decisive.chain];
    const verb = decisive.policy === "DROP" ? "deny" : "allow";
    const policy = `${decisive.table} ${decisive.chain} policy ${decisive.policy}`;
    const ufw = hasUfw(ruleset) && decisive.table === "filter" && where !== undefined;
    return { policy: ufw ? `${policy} (ufw default ${verb} ${where})` : policy };
  }
  if (decisive.step === "return") return { policy: `end of chain ${decisive.chain}` };
  const rule = chainOf(ruleset, decisive.table, decisive.chain)?.rules.find((r) => r.index === decisive.rule);
  return rule === undefined ? { policy: `${decisive.chain} rule ${decisive.rule}` } : ruleNote(rule, ruleset);
}

/** Who has an address: a container, or what else Docker connects to its networks. */
export function endpointOf(q: Question, ip: Address, port: number | null): Endpoint {
  const container = containerAt(q.host, ip);
  const other = q.host.networks.flatMap((n) => n.endpoints).find((e) => e.address === ip);
  return {
    ip: printAddress(ip),
    port,
    name: container?.name ?? other?.name ?? null,
    ...(container?.project == null ? {} : { project: container.project }),
    ...(container?.service == null ? {} : { service: container.service }),
  };
}
