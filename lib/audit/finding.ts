/** What an audit finds: its shapes, and how a set of packets becomes a finding with one packet that proves it. */
import { containerAt } from "../host/host.ts";
import { printAddress } from "../packet/address.ts";
import { type Address, type Family, type Field, protoName, type Scalar } from "../packet/field.ts";
import { type PacketJson, packetJson } from "../packet/packet.ts";
import { EMPTY, type Node } from "../reach/diagram.ts";
import { chainOf, type Ruleset } from "../rules/ruleset.ts";
import { type Answer, Simulator } from "../simulate/simulate.ts";
import type { Step } from "../simulate/state.ts";
import { type RuleNote, ruleNote } from "./note.ts";
import type { Question } from "./question.ts";
import { hasUfw } from "./ufw.ts";

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
}

/** An address and port of a container. */
export interface Endpoint {
  /** The address as text. */
  readonly ip: string;
  /** The port; `null` for a protocol without ports. */
  readonly port: number | null;
  /** Name of the container; `null` where nothing tells it. */
  readonly name: string | null;
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
  /** The interfaces its packets come in by. */
  readonly in: readonly string[];
  /** Who gets through although the owner's rules say no. */
  readonly from: string;
  /** Whom the owner's rules let through. */
  readonly allowed: string;
  /** What the owner's rules say. */
  readonly intended: Intended;
  /** What happens instead. */
  readonly actual: { readonly verdict: Answer["verdict"]; readonly path: readonly Step[] };
  /** One packet that shows it; `simulate` gives it this verdict. */
  readonly witness: PacketJson;
  /** Whether it depends on what the inputs do not tell. */
  readonly certainty: "must" | "may";
  /** The unknowns it depends on. */
  readonly depends: readonly string[];
}

/** A published port that packets from outside reach. */
export interface Exposure {
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
  /** One such packet. */
  readonly witness: PacketJson;
  /** What of it no expectation speaks of; absent where there is nothing, or nothing was expected. */
  readonly unexpected?: {
    readonly in: readonly string[];
    readonly from: string;
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
  /** The finding about it, where the intent blocks anything. */
  readonly finding: Finding | null;
}

/** The packets of a way, and what of them the intent allows and blocks. */
export interface Divided {
  readonly all: Node;
  readonly allowed: Node;
  readonly blocked: Node;
}

export interface Flow {
  readonly ways: readonly Way[];
  readonly blocked: Node;
}

export interface Group {
  readonly kind: FindingKind;
  /** What the finding is called after, `any/8080` or `172.17.0.2/80`; the interfaces and the witness's port unless said. */
  readonly place?: string;
  readonly listen: Listen | null;
  readonly container: Endpoint | null;
  readonly inputs: readonly string[];
  readonly target: Partial<Record<Field, readonly Scalar[]>>;
}

/** Turns a set of bypassing packets into a finding, or into something inconclusive; `null` when the set is empty. */
export function describe(
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
export function endpointOf(q: Question, ip: Address, port: number | null): Endpoint {
  return { ip: printAddress(ip), port, name: containerAt(q.host, ip)?.name ?? null };
}
