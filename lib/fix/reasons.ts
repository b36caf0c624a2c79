/** Codes of everything that a fix reports; `lib/report/text/fix-text.ts` makes the sentences. */
import type { Doubt } from "../audit/doubt.ts";
import type { Unmatchable } from "../audit/finding.ts";
import type { Family } from "../packet/field.ts";
import type { PacketJson } from "../packet/packet-json.ts";
import type { BudgetExceeded } from "../reach/budget.ts";

/** A limit of the analysis that was exceeded. */
export type ExceededLimit = Pick<BudgetExceeded, "budget" | "by" | "unit">;

/** Returns the data of an exceeded limit. */
export const limitOf = ({ budget, by, unit }: BudgetExceeded): ExceededLimit => ({ budget, by, unit });

/** Difference between the rulesets without and with the fix that breaks the proof. */
export type Difference =
  /** A packet that the intent blocks still passes. */
  | { readonly code: "not-stopped"; readonly direction: Direction }
  /** A packet that the intent allows gets another outcome. */
  | { readonly code: "allowed-changed"; readonly direction: Direction }
  /** A packet that the intent blocks gets another outcome than being stopped. */
  | { readonly code: "blocked-redirected"; readonly direction: Direction }
  /** A packet of an existing flow gets another verdict. */
  | { readonly code: "flow-changed"; readonly state: FlowState };

/** `in` for packets that arrive at an interface, `out` for packets that the host sends. */
export type Direction = "in" | "out";

/** Connection states of flows that exist already. */
export type FlowState = "ESTABLISHED" | "RELATED";

/** Reason why a rule cannot be copied to FORWARD, after address translation; `rule` is `null` for a policy. */
export type CopyFailure =
  /** The effect of the rule is unknown. */
  | { readonly code: "unknown-effect"; readonly rule: string | null }
  /** The rule jumps to a chain that packets return from. */
  | { readonly code: "chain-returns"; readonly rule: string | null }
  /** No match in FORWARD selects the same packets. */
  | { readonly code: "no-equivalent-match"; readonly rule: string | null }
  /** nftables has no expression for a match or a target of the policy; `part` is its name. */
  | { readonly code: "no-nft-form"; readonly part: string; readonly rule: string | null }
  /** A match keeps state of its own, which a copy would not share. */
  | { readonly code: "stateful-match"; readonly match: string; readonly rule: string | null };

/** Reason why a finding stays open. */
export type OpenReason =
  | CopyFailure
  /** Only firewalls that were not read may block the packets. */
  | { readonly code: "policy-not-read"; readonly unread: readonly string[] }
  /** The proof fails for the rules of this finding. */
  | { readonly code: "proof-failed"; readonly difference: Difference; readonly packet: PacketJson }
  /** The proof fails for the rules as a whole. */
  | { readonly code: "proof-failed-overall"; readonly difference: Difference; readonly packet: PacketJson }
  /** The audit of the fixed rules still finds it, for no known reason. */
  | { readonly code: "still-found" }
  /** A rule of FORWARD accepts the packets before it calls DOCKER-USER; `line` is 0 where unknown. */
  | {
      readonly code: "accepted-before-docker-user";
      readonly chain: string;
      readonly rule: number;
      readonly line: number;
    }
  /** A character of an interface's name is not safe in a rule. */
  | { readonly code: "unsafe-interface-name"; readonly name: string }
  /** The interface that the packets leave by is unknown or its name is not safe in a rule. */
  | { readonly code: "unsafe-output-interface" }
  /** Docker's rules drop packets that the owner allows; a rule in DOCKER-USER cannot accept them. */
  | { readonly code: "dropped-by-docker" }
  /** The owner's rules let a published port in and drop it at the forward hook; a fix only adds drops. */
  | { readonly code: "dropped-at-forward" }
  /** Some of the packets are not followed to the end of their path. */
  | { readonly code: "not-followed"; readonly doubts: readonly Doubt[] }
  /** No rule can match the packets. */
  | { readonly code: "not-matchable"; readonly ports: Unmatchable }
  /** Paths to the endpoint have different intents, and a match by internal address covers all. */
  | { readonly code: "different-intents"; readonly endpoint: string }
  /** Packets that the model does not know may be translated to the endpoint's address. */
  | { readonly code: "unknown-translations"; readonly endpoint: string };

/** Reason why a part of a fix is in doubt. */
export type FixDoubt =
  /** A doubt of the audit. */
  | { readonly code: "audit"; readonly doubt: Doubt }
  /** Findings that only an unread firewall may block were not searched for. */
  | { readonly code: "unread-not-searched"; readonly family: Family; readonly limit: ExceededLimit }
  | FamilyRefusal;

/** Reason why no rules are printed for a family. */
export type FamilyRefusal =
  /** Rules may be missing from the input, so the policy could close ports that they allow. */
  | { readonly code: "damaged-ruleset"; readonly family: Family }
  /** Docker's chains of table nat are missing, so a rule by container address could close allowed ports. */
  | { readonly code: "docker-nat-missing"; readonly family: Family }
  /** Table filter is missing, so the intent is unknown. */
  | { readonly code: "filter-missing"; readonly family: Family }
  /** A limit of the analysis was exceeded. */
  | { readonly code: "limit-exceeded"; readonly family: Family; readonly limit: ExceededLimit };

/** Reason why an endpoint is matched by one strategy and not by another. */
export type StrategyReason =
  /** The caller chose `conntrack`. */
  | { readonly code: "conntrack-requested"; readonly keepsAddress: boolean }
  /** Unknown packets may be translated to the endpoint. */
  | { readonly code: "unknown-translations"; readonly keepsAddress: boolean }
  /** Paths to the endpoint have different intents. */
  | { readonly code: "different-intents"; readonly paths: number; readonly keepsAddress: boolean }
  /** The caller chose `ipset`. */
  | { readonly code: "ipset-requested" }
  /** One set is cheaper than a rule for each of many endpoints. */
  | { readonly code: "many-endpoints" }
  /** The endpoint has no port, so a set of type hash:ip,port cannot contain it. */
  | { readonly code: "no-port" }
  /** All passages to the endpoint have one intent. */
  | { readonly code: "one-intent"; readonly paths: number };

/** Reason why `--cut` does not end some flows. */
export type CutFailure =
  /** The blocked senders depend on unknown matches. */
  | { readonly code: "unknown-senders" }
  /** The flows have no port to select them by. */
  | { readonly code: "no-port" }
  /** Senders are blocked on one interface and allowed on another; conntrack does not record the interface. */
  | { readonly code: "blocked-by-interface" }
  /** The blocked senders need too many prefixes. */
  | { readonly code: "too-many-prefixes" };

/** Remark on the use of a fix. */
export type FixNote =
  /** Docker may assign other addresses to these containers. */
  | { readonly code: "addresses-may-change"; readonly family: Family; readonly containers: readonly string[] }
  /** Existing connections stay open until `--cut`. */
  | { readonly code: "flows-stay"; readonly family: Family }
  /** The rules copy the bans of a chain, and later bans are missing from the copy. */
  | { readonly code: "bans-copied"; readonly family: Family; readonly chain: string }
  /** `--cut` does not end some flows of a finding. */
  | {
      readonly code: "flows-not-cut";
      readonly family: Family;
      readonly finding: string;
      readonly reason: CutFailure;
    };
