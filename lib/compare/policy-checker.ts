/** Checks the flows of a policy against the rules of one family. */
import { type Decider, deciderOf } from "../audit/decision.ts";
import type { DoubtCollector } from "../audit/doubt.ts";
import { expected } from "../audit/expectations.ts";
import type { Host } from "../host/host.ts";
import { type Family, PROTO } from "../packet/field.ts";
import { readPacket } from "../packet/packet-json.ts";
import { ANY, and, between, is, or, type Predicate, within } from "../packet/predicate.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { Simulator } from "../simulate/simulator.ts";
import { EntryWriter, type MatrixEntry } from "./entry-writer.ts";
import { HostPaths, type TranslatedPart } from "./host-paths.ts";
import type { FlowDuty, NamedZone, Policy, PolicyFlow, PolicyService } from "./policy.ts";
import { isOnHost, zonesIn } from "./policy-zones.ts";
import { HOST_ZONE, interfaceZones, networkZones, type Zone } from "./zones.ts";

/** Packets that a policy forbids and that get through, or that it requires and that do not. */
export interface PolicyViolation {
  /** Zone that sends them, by its name on the host. */
  readonly from: string;
  /** Zone that they are for. */
  readonly to: string;
  /** `passes`: they get through; `stopped`: they do not; `no-reply`: replies to the example do not arrive. */
  readonly cause: "passes" | "stopped" | "no-reply";
  /** `must` if it holds whatever the unknowns are. */
  readonly certainty: "must" | "may";
  /** The packets, with an example. */
  readonly packets: MatrixEntry;
  /** Rule or policy that decides the example. */
  readonly decider: Decider;
}

/** Result of one flow of a policy in one family. */
export interface PolicyCheck {
  /** `only` for "nothing else", `open` for "nothing else is open". */
  readonly duty: FlowDuty | "only" | "open";
  /** Name of the flow. */
  readonly name: string;
  /** Its line in the policy, from 1. */
  readonly line: number;
  /** 4 or 6. */
  readonly family: Family;
  /**
   * `holds` is a proof over all packets; `violated` for every value of the unknowns; `unsettled` if unknowns decide, or if the
   * host has no such zone.
   */
  readonly outcome: "holds" | "violated" | "unsettled";
  /** Zones of the flow that the host does not have. */
  readonly missing: readonly string[];
  /** Packets that violate it, or may. */
  readonly violations: readonly PolicyViolation[];
}

/** A check that permits nothing but what other parts of the policy list. */
export interface NothingElse extends PolicyFlow {
  /** Part of the policy. */
  readonly name: "only" | "open";
}

/** Returns the flows of `only` and `open`: anything from their zones. */
export const nothingElse = ({ only, open }: Policy): NothingElse[] => [
  ...(only === null ? [] : [anythingFrom("only", only.from, only.line)]),
  ...(open === null ? [] : [anythingFrom("open", [{ name: "outside", zone: "outside" }], open.line)]),
];

const anythingFrom = (name: NothingElse["name"], from: readonly NamedZone[], line: number): NothingElse => ({
  duty: "denied",
  name,
  line,
  from,
  to: [],
  services: null,
  translatedServices: null,
  at: null,
  family: null,
});

/** Returns the names of zones that the host does not have. */
export const missingZones = (zones: readonly NamedZone[], host: Host): string[] =>
  zones.filter(({ zone }) => !isOnHost(host, zone)).map(({ name }) => name);

const untranslated = (set: Node): TranslatedPart => ({ translated: null, proxied: false, set });

/** A flow with its zones on the host. */
interface HostFlow {
  readonly flow: PolicyFlow;
  readonly from: readonly Zone[];
  readonly to: readonly Zone[];
}

/** Packets of one zone that another one receives. */
interface Passing extends TranslatedPart {
  readonly from: Zone;
  readonly to: Zone;
}

/** Checks of one family. */
export class PolicyChecker {
  private readonly family: Family;
  private readonly paths: HostPaths;
  private readonly writer: EntryWriter;
  private readonly flows: readonly HostFlow[];
  private readonly nothingElse: readonly (HostFlow & { readonly flow: NothingElse })[];

  constructor(
    private readonly ruleset: Ruleset,
    private readonly host: Host,
    private readonly policy: Policy,
    doubts: DoubtCollector,
    budget: number | undefined,
  ) {
    const { family } = ruleset;
    this.family = family;
    const zones = (named: readonly NamedZone[]): Zone[] =>
      named.flatMap(({ zone }) => zonesIn(host, family, zone));
    this.flows = policy.flows
      .filter((flow) => flow.family === null || flow.family === family)
      .map((flow) => ({ flow, from: zones(flow.from), to: zones(flow.to) }))
      .filter(({ from, to }) => from.length > 0 && to.length > 0);
    const containers = networkZones(host, family);
    const everywhere = [...interfaceZones(host), ...containers, HOST_ZONE];
    this.nothingElse = nothingElse(policy)
      .map((flow) => ({
        flow,
        from: zones(flow.from),
        to: flow.name === "open" ? containers : everywhere,
      }))
      .filter(({ from }) => from.length > 0);
    const used = new Set([
      ...this.flows.flatMap(({ from, to }) => [...from, ...to]),
      ...this.nothingElse.flatMap(({ from }) => from),
      ...everywhere,
    ]);
    this.paths = new HostPaths(ruleset, host, [...used], {
      budget,
      asked: [
        ...policy.flows.flatMap((flow) => this.askedBy(flow)),
        ...this.openPredicates(),
        is("proto", PROTO.icmp),
        is("proto", PROTO.icmpv6),
      ],
    });
    doubts.add(...this.paths.doubts());
    this.writer = new EntryWriter(this.paths, doubts);
  }

  checks(): PolicyCheck[] {
    const checks = this.flows.flatMap((each): PolicyCheck[] =>
      each.flow.duty === "allowed"
        ? []
        : [each.flow.duty === "required" ? this.required(each) : this.denied(each)],
    );
    if (this.nothingElse.length === 0) return checks;
    const permitted = this.permitted();
    // An open port has a protocol with ports: no entry could permit a ping.
    const isPing = or(is("proto", PROTO.icmp), is("proto", PROTO.icmpv6));
    const permittedOf = {
      only: permitted,
      open: this.paths.domain.diagrams.union(permitted, this.paths.domain.set(isPing)),
    };
    return [
      ...checks,
      ...this.nothingElse.map(
        (each): PolicyCheck => ({
          ...this.deniedBut(each, permittedOf[each.flow.name]),
          duty: each.flow.name,
        }),
      ),
    ];
  }

  private openPredicates(): Predicate[] {
    return (this.policy.open?.entries ?? []).map((entry) => expected(entry, this.family));
  }

  /** Predicates that the domain must distinguish. */
  private askedBy({ services, translatedServices, at }: PolicyFlow): Predicate[] {
    const all = [...(services ?? []), ...(translatedServices ?? [])];
    return [
      ...all.map(({ proto }) => is("proto", proto)),
      ...all.flatMap(({ ports }) => (ports === null ? [] : [between("dport", ...ports)])),
      within("dst", this.rangesOf(at)),
    ];
  }

  private rangesOf = (addresses: PolicyFlow["at"]) =>
    (addresses ?? []).filter((each) => each.family === this.ruleset.family).map(({ range }) => range);

  private serviceSet(services: readonly PolicyService[] | null): Predicate {
    if (services === null) return ANY;
    const icmp = this.family === 4 ? PROTO.icmpv6 : PROTO.icmp;
    return or(
      ...services
        .filter(({ proto }) => proto !== icmp)
        .map(({ proto, ports }) =>
          and(is("proto", proto), ports === null ? ANY : between("dport", ...ports)),
        ),
    );
  }

  /** Returns the packets of a flow that get through. */
  private passing({ flow, from, to }: HostFlow): Passing[] {
    const { domain } = this.paths;
    const { diagrams } = domain;
    const asked = domain.set(
      and(this.serviceSet(flow.services), flow.at === null ? ANY : within("dst", this.rangesOf(flow.at))),
    );
    return from.flatMap((sender) =>
      to
        .filter((receiver) => sender.kind !== "host" || receiver.kind !== "host")
        .flatMap((receiver) =>
          this.paths.reaching(receiver, sender).flatMap((part): Passing[] => {
            const own = diagrams.intersect(this.paths.row(sender).sent, asked);
            const set = diagrams.intersect(own, this.atReceiver(part, flow.translatedServices));
            return set === EMPTY ? [] : [{ ...part, from: sender, to: receiver, set }];
          }),
        ),
    );
  }

  /** Restricts packets to those with a service at the receiver, after translation. */
  private atReceiver(part: TranslatedPart, services: readonly PolicyService[] | null): Node {
    const { translated, proxied, set } = part;
    if (services === null) return set;
    const { domain } = this.paths;
    // No input names the port of the container that docker-proxy connects to.
    if (proxied)
      return domain.diagrams.intersect(
        set,
        domain.set(or(...services.map(({ proto }) => is("proto", proto)))),
      );
    const port = translated?.dport ?? null;
    if (port === null) return domain.diagrams.intersect(set, domain.set(this.serviceSet(services)));
    const matching = services.filter(({ ports }) => ports === null || (port >= ports[0] && port <= ports[1]));
    const protocols = or(...matching.map(({ proto }) => is("proto", proto)));
    return domain.diagrams.intersect(set, domain.set(protocols));
  }

  private denied(each: HostFlow): PolicyCheck {
    return this.check(each.flow, this.openPackets(this.passing(each), each.flow), this.mayBeUndecided(each));
  }

  /** Returns the packets that are required or allowed, and those from outside to open ports of containers. */
  private permitted(): Node {
    const { domain } = this.paths;
    const flows = this.flows
      .filter(({ flow }) => flow.duty !== "denied")
      .flatMap((each) => this.passing(each).map(({ set }) => set));
    const atOpenPort = domain.set(or(...this.openPredicates()));
    const opened = this.nothingElse
      .filter(({ flow }) => flow.name === "open")
      .flatMap((each) => this.passing(each))
      .map(({ set }) => domain.diagrams.intersect(set, atOpenPort));
    return domain.diagrams.unionAll([...flows, ...opened]);
  }

  /** Nothing but what is permitted gets through. */
  private deniedBut(each: HostFlow, permitted: Node): PolicyCheck {
    const { diagrams } = this.paths.domain;
    const others = this.passing(each).flatMap((part): Passing[] => {
      const set = diagrams.subtract(part.set, permitted);
      return set === EMPTY ? [] : [{ ...part, set }];
    });
    return this.check(each.flow, this.openPackets(others, each.flow), this.mayBeUndecided(each));
  }

  /** Returns the packets that get through as violations. */
  private openPackets(parts: readonly Passing[], { translatedServices }: PolicyFlow): PolicyViolation[] {
    const { certainty, domain } = this.paths;
    const isCertain = ({ proxied, set }: TranslatedPart): boolean =>
      !(proxied && translatedServices !== null) &&
      certainty.certainPart(domain.diagrams.intersect(set, certainty.ordinary)) !== EMPTY;
    return parts.flatMap(({ from, to, ...part }) =>
      this.writer.entries(from, to, part).map(
        (packets): PolicyViolation => ({
          from: from.name,
          to: to.name,
          cause: "passes",
          certainty: isCertain(part) ? "must" : "may",
          packets,
          decider: this.decider(packets),
        }),
      ),
    );
  }

  /** Every packet of a required flow gets through to some destination, or to each of the given ones. */
  private required(each: HostFlow): PolicyCheck {
    const { flow, from } = each;
    const passing = this.passing(each).filter(({ proxied }) => !proxied || flow.translatedServices === null);
    const failures = from.flatMap((sender) =>
      this.serviceParts(flow).flatMap(({ asked, arriving }) =>
        this.failures(each, sender, asked, arriving(passing)),
      ),
    );
    const silent = failures.length > 0 ? [] : this.withoutReply(passing);
    return this.check(flow, [...failures, ...silent], false);
  }

  /** Splits a required flow into services, each of which must get through. */
  private serviceParts({ services, translatedServices }: PolicyFlow): {
    readonly asked: Predicate;
    readonly arriving: (passing: readonly Passing[]) => readonly Passing[];
  }[] {
    if (translatedServices === null)
      return [{ asked: this.serviceSet(services), arriving: (passing) => passing }];
    const { diagrams } = this.paths.domain;
    return translatedServices
      .filter(({ proto }) => proto !== (this.family === 4 ? PROTO.icmpv6 : PROTO.icmp))
      .map((service) => ({
        asked: is("proto", service.proto),
        arriving: (passing) =>
          passing.map((part) => ({
            ...part,
            set: diagrams.intersect(part.set, this.atReceiver(part, [service])),
          })),
      }));
  }

  private failures(
    { flow, to }: HostFlow,
    sender: Zone,
    asked: Predicate,
    passing: readonly Passing[],
  ): PolicyViolation[] {
    const { domain } = this.paths;
    const { diagrams } = domain;
    const row = this.paths.row(sender);
    const own = diagrams.unionAll(passing.filter((part) => part.from === sender).map((part) => part.set));
    // Sources that the kernel refuses from this zone cannot be required.
    const sources = domain.projectOnto(row.possible, "in", "src");
    const wanted = diagrams.intersect(
      diagrams.intersect(row.sent, sources),
      domain.set(and(asked, flow.at === null ? ANY : within("dst", this.rangesOf(flow.at)))),
    );
    const free = this.levelsOf(
      ...(flow.at === null ? (["dst"] as const) : []),
      ...(flow.translatedServices === null ? [] : (["dport"] as const)),
    );
    const arrives = (set: Node): Node => (free.size === 0 ? set : diagrams.project(set, free));
    const ordinary = this.paths.certainty.ordinaryPart(own);
    const possibly = diagrams.project(ordinary, domain.unknownLevels);
    const never = diagrams.subtract(wanted, arrives(possibly));
    const perhaps = diagrams.subtract(wanted, arrives(this.paths.certainty.certainPart(ordinary)));
    const [set, certainty] = never !== EMPTY ? ([never, "must"] as const) : ([perhaps, "may"] as const);
    if (set === EMPTY) return [];
    const receiver = to[0]!;
    return this.writer
      .entries(sender, receiver, untranslated(this.towards(set, sender, receiver, flow)), false)
      .map(
        (packets): PolicyViolation => ({
          from: sender.name,
          to: to.map(({ name }) => name).join(", "),
          cause: "stopped",
          certainty: certainty,
          packets,
          decider: this.decider(packets),
        }),
      );
  }

  /** Restricts packets to destinations from which a reader expects the receiver to answer, if there are such. */
  private towards(set: Node, sender: Zone, receiver: Zone, flow: PolicyFlow): Node {
    const { diagrams } = this.paths.domain;
    const row = this.paths.row(sender);
    if (flow.at !== null) return set;
    const near = [
      diagrams.intersect(set, row.routed(HOST_ZONE)),
      diagrams.intersect(set, row.routed(receiver)),
    ];
    return near.find((each) => each !== EMPTY) ?? set;
  }

  /** Returns the packets that get through and whose replies do not. */
  private withoutReply(passing: readonly Passing[]): PolicyViolation[] {
    return passing.flatMap(({ from, to, ...part }) =>
      this.writer
        .entries(from, to, part)
        .filter(({ replies }) => replies !== "accept")
        .map(
          (packets): PolicyViolation => ({
            from: from.name,
            to: to.name,
            cause: "no-reply",
            certainty: packets.replies === "undecided" ? "may" : "must",
            packets,
            decider: this.decider(packets),
          }),
        ),
    );
  }

  private check(flow: PolicyFlow, violations: readonly PolicyViolation[], undecided: boolean): PolicyCheck {
    const { duty, name, line } = flow;
    const missing = missingZones([...flow.from, ...flow.to], this.host);
    const outcome = violations.some(({ certainty }) => certainty === "must")
      ? "violated"
      : violations.length > 0 || undecided || missing.length > 0
        ? "unsettled"
        : "holds";
    return { duty, name, line, family: this.family, outcome, missing, violations };
  }

  /** Returns true if packets of a flow have no verdict. */
  private mayBeUndecided({ flow, from }: HostFlow): boolean {
    const { domain } = this.paths;
    const asked = domain.set(this.serviceSet(flow.services));
    return from.some((zone) => domain.diagrams.intersect(this.paths.undecided(zone), asked) !== EMPTY);
  }

  private decider({ witness }: MatrixEntry): Decider {
    const packet = readPacket(witness);
    if (typeof packet === "string") return { code: "no-rule" };
    return deciderOf(new Simulator([this.paths.program.ruleset], this.host).packet(packet), this.ruleset);
  }

  private levelsOf(...fields: readonly ("dst" | "dport")[]): ReadonlySet<number> {
    return new Set(fields.flatMap((field) => this.paths.domain.levelOf(field) ?? []));
  }
}
