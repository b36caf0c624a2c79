/** Results of an audit about packets: findings, exposures, and the paths to endpoints that fixes are made from. */
import type { Address, Family } from "../packet/field.ts";
import type { PacketJson } from "../packet/packet-json.ts";
import type { Step } from "../path/program.ts";
import type { Node } from "../reach/node-store.ts";
import type { Answer } from "../simulate/answer.ts";
import type { BanList } from "./bans.ts";
import type { Decider } from "./decision.ts";
import type { SourceGroup, Sources, Traffic } from "./set-description.ts";

/** Kind of bypass of the owner's rules; `ineffective-allow`: they allow packets that other rules drop. */
export type FindingKind =
  | "ingress-bypass"
  | "egress-bypass"
  | "direct-bypass"
  | "loopback-bypass"
  | "forward-bypass"
  | "ineffective-allow";

/** Verdict of the owner's rules on a packet, and the rule that decides it. */
export interface Intended {
  /** Verdict of the owner's rules; `undecided` where only a firewall that was not read may block the packet. */
  readonly verdict: Answer["verdict"];
  /** Rule or policy that decides. */
  readonly rule: Decider;
  /** Steps of the packet through the owner's rules, in order. */
  readonly path: readonly Step[];
}

/** Address and port of a container. */
export interface Endpoint {
  /** Address as text. */
  readonly ip: string;
  /** Port; `null` for a protocol without ports. */
  readonly port: number | null;
  /** Last port of a range that starts with `port`; absent for one port. */
  readonly portEnd?: number;
  /** Name of the container; `null` where it is unknown. */
  readonly name: string | null;
  /** Compose project; absent where Docker names none. */
  readonly project?: string;
  /** Service of Compose or of a swarm; absent where Docker names none. */
  readonly service?: string;
}

/** Address and port of the host that clients connect to. */
export interface ListenAddress {
  /** Address of the host; `null` for all. */
  readonly address: string | null;
  /** Port; `null` for a protocol without ports. */
  readonly port: number | null;
  /** Last port of a range that starts with `port`; absent for one port. */
  readonly portEnd?: number;
}

/** Packets that the owner's rules let through. */
export type Permitted =
  | { readonly kind: "sources"; readonly by: readonly SourceGroup[] }
  /** For `egress-bypass`; `null` where nothing is let through. */
  | { readonly kind: "traffic"; readonly traffic: Traffic | null };

/** Packets that pass to or from a container although the owner's rules block them, or the reverse. */
export interface Finding {
  /** Stable id: the next audit of the same host gives the same one. */
  readonly id: string;
  /** Code of the finding. */
  readonly kind: FindingKind;
  /** 4 or 6. */
  readonly family: Family;
  /** Name of the protocol. */
  readonly proto: string;
  /** Address and port that clients connect to; `null` for packets that containers send. */
  readonly listen: ListenAddress | null;
  /** Endpoint that is reached or sends. */
  readonly container: Endpoint | null;
  /** Interfaces that the packets arrive on; empty where the interface is not on the host. */
  readonly in: readonly string[];
  /** Sources that get through although the owner's rules block them. */
  readonly sources: Sources;
  /** The same by interface. */
  readonly by: readonly SourceGroup[];
  /** Packets that the owner's rules let through. */
  readonly permitted: Permitted;
  /** Packets that get through, where one port does not describe them. */
  readonly traffic?: Traffic;
  /** Bans that are bypassed. */
  readonly bans?: BypassedBans;
  /** Verdict of the owner's rules. */
  readonly intended: Intended;
  /** Verdict of all rules. */
  readonly actual: {
    readonly verdict: Answer["verdict"];
    /** Rule or policy that lets the packet through or stops it. */
    readonly rule: Decider;
    readonly path: readonly Step[];
  };
  /** A packet that proves the finding: `simulate` returns the actual verdict for it. */
  readonly witness: PacketJson;
  /** Values of `--assume` for the unknowns on the witness's path; absent where it meets none. */
  readonly assume?: readonly string[];
  /** True if the expectations cover all its packets that can arrive; absent otherwise, and without expectations. */
  readonly expected?: true;
  /** `may` where the finding depends on unknowns. */
  readonly certainty: "must" | "may";
  /** Keys of the unknowns that the finding depends on; where `by` is empty, it also depends on an interface that is not listed. */
  readonly depends: readonly string[];
  /**
   * Firewalls that the finding depends on and that were not read: tables of nftables, the other backend of iptables, a
   * missing table. With `intended.verdict` `undecided` they alone may block these packets. Absent where there is none.
   */
  readonly unread?: readonly string[];
}

/** Bans that packets bypass. */
export interface BypassedBans {
  /** Lists that ban the sources. */
  readonly lists: readonly BanList[];
  /** Banned sources. */
  readonly sources: Sources;
  /** True if only banned sources are blocked. */
  readonly only: boolean;
}

/**
 * Mechanism that publishes a port: DNAT, a swarm's ingress network, the container's own address (routed networks), or
 * docker-proxy, a process of the host. `direct`: nothing publishes the container's own address, and packets reach it.
 */
export type PublishedBy = "dnat" | "ingress" | "routed" | "proxy" | "direct";

/** Packets that reach a port: interfaces, sources, and one packet. */
export interface ReachedBy {
  /** Interfaces that the packets arrive on. */
  readonly in: readonly string[];
  /** Sources of the packets. */
  readonly sources: Sources;
  /** The same by interface. */
  readonly by: readonly SourceGroup[];
  /** One such packet. */
  readonly witness: PacketJson;
}

/** Packets that no expectation covers. */
export interface UnexpectedPackets extends ReachedBy {
  /** Rule that opens the port to the witness: the translation, else the rule or policy that accepts. */
  readonly rule: Decider;
}

/** A published port that packets from outside reach. */
export interface Exposure extends ReachedBy {
  /** Mechanism that publishes it. */
  readonly means: PublishedBy;
  /** 4 or 6. */
  readonly family: Family;
  /** Name of the protocol. */
  readonly proto: string;
  /** Endpoint that receives the packets. */
  readonly endpoint: Endpoint;
  /** Address and port that clients connect to. */
  readonly listen: ListenAddress;
  /** Bridge of the container, for `direct`; else absent. */
  readonly bridge?: string;
  /** Firewalls that were not read and may block some of these packets; absent where there is none. */
  readonly unread?: readonly string[];
  /** Packets that no expectation covers; absent without expectations, and where all are covered. */
  readonly unexpected?: UnexpectedPackets;
}

/** Packets that reach one endpoint, or leave from one bridge. */
export interface Passage {
  readonly kind: FindingKind;
  readonly proto: number | null;
  /** Address and port of the container; `null` for packets that leave. */
  readonly endpoint: { readonly ip: Address; readonly port: number | null } | null;
  /** Address and port that clients connect to; `null` for packets to the container's own address. */
  readonly listen: ListenAddress | null;
  /** Bridge or other interface that the packets leave by; for packets that containers send, the bridge they come from. */
  readonly bridge: string | null;
  /** All these packets, as sent. */
  readonly all: Node;
  /** Those that the intent blocks. */
  readonly blocked: Node;
  /** Reason why no rule can match these packets, so that no fix closes the passage; absent where rules can. */
  readonly beyond?: Unmatchable;
  /** Finding about it, where the intent blocks some packets. */
  readonly finding: Finding | null;
}

/** Packets from ports of container bridges that iptables cannot match separately. */
export interface Unmatchable {
  /**
   * `several-ports`: a bridge has several outside ports, and frames between them look like frames for containers.
   * `no-br-netfilter`: the bridge does not pass its frames to iptables.
   */
  readonly code: "several-ports" | "no-br-netfilter";
  /** The ports. */
  readonly inputs: readonly string[];
  /** The sysctl that passes frames of this family to iptables. */
  readonly sysctl: string;
}

/** Passages of one direction, with all packets that pass there. */
export interface Passages {
  readonly passages: readonly Passage[];
  /** Packets that pass, first of a connection or not. */
  readonly passing: Node;
  /** Those that the intent blocks. */
  readonly blocked: Node;
  /** Those that no rule of Docker's translates, by the interface they leave by. */
  readonly straight: ReadonlyMap<string, Node>;
}
