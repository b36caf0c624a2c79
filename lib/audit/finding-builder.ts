/** Builds a finding from a set of bypassing packets: descriptions, certainty, and one packet that proves it. */
import { containerAt } from "../host/host.ts";
import { parseAddress, printAddress } from "../packet/address.ts";
import { type Address, type Field, protoName, type Scalar } from "../packet/field.ts";
import type { Packet } from "../packet/packet.ts";
import { packetJson } from "../packet/packet-json.ts";
import { printAssumption } from "../path/unknown-key.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import type { Witness } from "../reach/witness.ts";
import type { Answer } from "../simulate/answer.ts";
import { type SimulateOptions, Simulator } from "../simulate/simulator.ts";
import type { BanList } from "./bans.ts";
import { deciderOf, outcomesOf, sharedVerdict } from "./decision.ts";
import type { FamilyModel } from "./family-model.ts";
import type {
  BypassedBans,
  Endpoint,
  Finding,
  FindingKind,
  Intended,
  ListenAddress,
  Permitted,
} from "./finding.ts";
import type { Destination, SourceGroup, Sources, Traffic } from "./set-description.ts";
import type { Unsettled } from "./unsettled.ts";

/**
 * Hook of the owner's rules that gives the intent: `input` for published ports (the packet before DNAT), `forward` for
 * packets to other addresses, `output` for packets that containers send.
 */
export type IntentHook = "input" | "forward" | "output";

/** Packets that one finding is about, apart from the sets. */
export interface FindingSubject {
  readonly kind: FindingKind;
  /** Last part of the id, such as `any/8080`; without it the interfaces and the witness's port. */
  readonly place?: string;
  readonly listen: ListenAddress | null;
  readonly container: Endpoint | null;
  /** Interfaces that the packets arrive on. */
  readonly inputs: readonly string[];
  /** Destination where no port describes the packets; `among` describes their addresses within a set. */
  readonly to?: Exclude<Destination, { kind: "addresses" }> | { readonly among: Node };
  /** Packets that only a ban blocks, and the lists that ban their sources. */
  readonly banned?: { readonly set: Node; readonly lists: readonly BanList[] };
  /** Preferred values of the witness. */
  readonly target: Partial<Record<Field, readonly Scalar[]>>;
}

/**
 * Returns the finding about a set of packets; `null` where the set has no ordinary packet, or no finding is wanted.
 * @param bypassing packets that bypass the intent
 * @param permitted packets of the same subject that the intent lets through
 */
export function buildFinding(
  model: FamilyModel,
  unsettled: Unsettled,
  subject: FindingSubject,
  bypassing: Node,
  permitted: Node,
  hook: IntentHook,
): Finding | null {
  if (bypassing === EMPTY || model.detail === "sets") return null;
  const { certainty, describer, family, inputs } = model;
  // Rules against IPv6 extension headers do not concern ordinary packets, so only ordinary packets make findings.
  const set = certainty.ordinaryPart(bypassing);
  if (set === EMPTY) return null;
  const { kind, listen, place } = subject;
  model.progress(place === undefined ? kind : `${kind} ${place}`);
  const parts = partsOf(model, unsettled, subject, set);
  const unread = certainty.unreadOf(set);
  // The members of a list that is not given are unknown.
  const unlisted = subject.banned !== undefined && certainty.unknownsOf(parts.banned).length > 0;
  const sourcesOf = (sources: Sources): Sources =>
    parts.bansOnly && unlisted ? { kind: "listed" } : sources;
  // A port published on all addresses can be open on some addresses only.
  const withDestinations = hook === "input" && listen?.address === null;
  const groups = describer.sourceGroups(set, subject.inputs, withDestinations);
  const names = inputs.namesIn(subject.inputs, groups);
  const witness = pickWitness(model, subject, parts.candidates, withDestinations);
  const { packet, assume } = witness;
  const { actual, intent } = simulateWitness(model, unsettled, kind, hook, witness);
  const proto = protoName(packet.proto);
  return {
    id: `${kind}/${family}/${proto}/${place ?? `${names.join("+")}/${packet.dport ?? "any"}`}`,
    kind,
    family,
    proto,
    listen,
    container: subject.container,
    in: names,
    sources: sourcesOf(describer.sources(set)),
    by: groups.map((group) => ({ ...group, sources: sourcesOf(group.sources) })),
    permitted: permittedOf(model, subject, certainty.ordinaryPart(permitted), hook),
    ...(subject.to === undefined ? {} : { traffic: trafficOf(model, set, subject.to) }),
    ...(subject.banned === undefined
      ? {}
      : {
          bans: {
            lists: subject.banned.lists,
            sources: unlisted ? { kind: "listed" } : describer.sources(parts.banned),
            only: parts.bansOnly,
          } satisfies BypassedBans,
        }),
    intended: intendedOf(model, intent, parts.onlyUnreadBlocks ? unread : []),
    actual: {
      verdict: sharedVerdict(actual),
      rule: deciderOf(actual, model.ruleset),
      path: actual.path,
    },
    witness: packetJson(packet),
    ...(assume.size === 0 ? {} : { assume: [...assume].map(([key, truth]) => printAssumption(key, truth)) }),
    ...(hook === "input" && isExpected(model, set) ? { expected: true } : {}),
    certainty: parts.certain ? "must" : "may",
    depends: certainty.unknownsOf(set),
    ...(unread.length === 0 ? {} : { unread }),
  };
}

/** Returns true if the expectations cover all packets of a set that arrive on an interface of the host. */
function isExpected({ domain: { diagrams }, sets: { expected, known } }: FamilyModel, set: Node): boolean {
  const arriving = diagrams.intersect(known, set);
  return expected !== null && arriving !== EMPTY && diagrams.subtract(arriving, expected) === EMPTY;
}

/** Parts of the packets that bypass the intent. */
interface FindingParts {
  /** Packets that only a ban blocks. */
  readonly banned: Node;
  /** All packets are banned. */
  readonly bansOnly: boolean;
  /** Some packets bypass the intent for all values of the unknowns. */
  readonly certain: boolean;
  /** No packet is blocked by the owner's rules themselves; a firewall that was not read may block. */
  readonly onlyUnreadBlocks: boolean;
  /** Packets among which the witness is chosen. */
  readonly candidates: Node;
}

function partsOf(model: FamilyModel, unsettled: Unsettled, subject: FindingSubject, set: Node): FindingParts {
  const { diagrams } = model.domain;
  const banned = subject.banned === undefined ? EMPTY : model.certainty.ordinaryPart(subject.banned.set);
  // Banned sources are the smaller part; the finding is about the others unless there are none.
  const unbanned = subject.banned === undefined ? set : diagrams.subtract(set, banned);
  const bansOnly = unbanned === EMPTY;
  const part = bansOnly ? set : unbanned;
  const certain = certainPart(model, unsettled, part, subject.kind);
  // The witness should be blocked by the owner's rules themselves, not by a firewall that was not read.
  const untouched = diagrams.intersect(part, model.sets.untouched);
  const usual = certain !== EMPTY ? certain : untouched === EMPTY ? part : untouched;
  return {
    banned,
    bansOnly,
    certain: certain !== EMPTY,
    onlyUnreadBlocks: untouched === EMPTY,
    candidates: openingPart(model, usual),
  };
}

function pickWitness(
  { certainty, describer, domain, inputs, witnesses }: FamilyModel,
  subject: FindingSubject,
  candidates: Node,
  withDestinations: boolean,
): Witness {
  const groups = describer.sourceGroups(candidates, subject.inputs, withDestinations);
  const input = inputs.pick(domain, candidates, subject.inputs, groups);
  const ordinary = domain.diagrams.intersect(certainty.ordinary, candidates);
  return witnesses.pick(ordinary, input, subject.target);
}

/** Simulates the witness with all rules and with the owner's alone, and checks that both engines agree. */
function simulateWitness(
  model: FamilyModel,
  unsettled: Unsettled,
  kind: FindingKind,
  hook: IntentHook,
  { packet, assume }: Witness,
): { readonly actual: Answer; readonly intent: Answer } {
  const options = { assume };
  const actual = new Simulator([model.ruleset], model.host, options).packet(packet);
  const intent = intendedAnswer(model, packet, actual, hook, options, kind);
  const passes = kind !== "ineffective-allow";
  if (contradicts(actual, passes) || contradicts(intent, !passes))
    unsettled.doubts.add({
      code: "engines-disagree",
      family: model.family,
      kind,
      proto: protoName(packet.proto),
      packet: packetJson(packet),
    });
  return { actual, intent };
}

/**
 * Returns the verdict of the intent on the witness.
 * @param unread firewalls that were not read, where nothing else blocks the packets
 */
const intendedOf = (model: FamilyModel, intent: Answer, unread: readonly string[]): Intended =>
  unread.length > 0
    ? { verdict: "undecided", rule: { code: "not-read", by: unread }, path: intent.path }
    : {
        verdict: sharedVerdict(intent),
        rule: deciderOf(intent, model.ownerRuleset),
        path: intent.path,
      };

/** Returns the packets of a set that bypass the intent for all values of the unknowns, on an interface that receives. */
function certainPart(model: FamilyModel, unsettled: Unsettled, set: Node, kind: FindingKind): Node {
  const { diagrams } = model.domain;
  const { known, receiving } = model.sets;
  const arriving =
    kind === "egress-bypass"
      ? set
      : diagrams.intersect(set, known) === EMPTY
        ? EMPTY
        : diagrams.intersect(set, receiving);
  return model.certainty.certainPart(diagrams.subtract(arriving, unsettled.undecided));
}

/** Returns the packets of a set that can open a connection, or the whole set where none can. */
function openingPart({ domain, sets }: FamilyModel, set: Node): Node {
  const opening = domain.diagrams.intersect(set, sets.opening);
  return opening === EMPTY ? set : opening;
}

/** Returns true if a branch of an answer has the opposite verdict of the sets; an undecided branch has neither. */
const contradicts = (answer: Answer, accepted: boolean): boolean =>
  outcomesOf(answer).some(({ verdict }) => verdict !== "undecided" && (verdict === "accept") !== accepted);

/** Simulates a packet on the owner's rules, as if Docker had written none. */
function intendedAnswer(
  { ownerHost, ownerRuleset }: FamilyModel,
  packet: Packet,
  actual: Answer,
  hook: IntentHook,
  options: SimulateOptions,
  kind: FindingKind,
): Answer {
  const simulator = (): Simulator => new Simulator([ownerRuleset], ownerHost, options);
  const answer =
    hook === "input"
      ? simulator().delivered(packet)
      : simulator().packet(hook === "output" ? { ...packet, in: null } : packet);
  const sent = outcomesOf(actual).find((outcome) => outcome.sent !== null)?.sent ?? null;
  const overridden = sharedVerdict(answer) === "accept" && kind !== "ineffective-allow";
  if (hook === "forward" || !overridden || sent === null) return answer;
  // A `ufw route` rule blocks the packet: simulate it with the header that FORWARD matches.
  const { dport } = sent;
  const dst = hook === "input" ? (parseAddress(sent.dst, packet.family) ?? packet.dst) : packet.dst;
  return simulator().packet({ ...packet, dst, ...(hook === "input" && dport !== null ? { dport } : {}) });
}

function trafficOf({ describer }: FamilyModel, set: Node, to: NonNullable<FindingSubject["to"]>): Traffic {
  if (!("among" in to)) return { protocols: describer.protocols(set), to };
  return {
    protocols: describer.protocols(set, to.among),
    to: { kind: "addresses", addresses: describer.destinations(set, to.among) },
  };
}

function permittedOf(
  model: FamilyModel,
  { inputs, to }: FindingSubject,
  set: Node,
  hook: IntentHook,
): Permitted {
  if (hook === "output")
    return {
      kind: "traffic",
      traffic: to === undefined || set === EMPTY ? null : trafficOf(model, set, to),
    };
  const by: readonly SourceGroup[] = model.describer.sourceGroups(set, inputs);
  return by.length === 0 && set !== EMPTY
    ? { kind: "sources", by: [{ in: [], sources: model.describer.sources(set) }] }
    : { kind: "sources", by };
}

/** Returns the endpoint with an address: a container, or another endpoint of Docker's networks. */
export function endpointAt({ host }: FamilyModel, ip: Address, port: number | null): Endpoint {
  const container = containerAt(host, ip);
  const other = host.networks.flatMap((n) => n.endpoints).find((e) => e.address === ip);
  return {
    ip: printAddress(ip),
    port,
    name: container?.name ?? other?.name ?? null,
    ...(container?.project == null ? {} : { project: container.project }),
    ...(container?.service == null ? {} : { service: container.service }),
  };
}
