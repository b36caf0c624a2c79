/** Results of a comparison of two rulesets on their hosts, as data. `lib/report/text` has the sentences. */
import type { Decider } from "../audit/decision.ts";
import type { Doubt } from "../audit/doubt.ts";
import type { RuleNote } from "../audit/rule-note.ts";
import type { SetDescription } from "../audit/set-description.ts";
import type { Family, Field } from "../packet/field.ts";
import type { PacketJson } from "../packet/packet-json.ts";
import type { EndReason } from "../path/end-reason.ts";
import type { Decision } from "../path/walk.ts";
import type { KnownState } from "../reach/set-engine.ts";
import type { Origin } from "./packet-paths.ts";

/** Way in which packets fare differently. */
export type ChangeKind =
  /** They are stopped before and accepted after. */
  | "opened"
  /** They are accepted before and stopped after. */
  | "closed"
  /** They are accepted on both sides, and another host, container, port or interface gets them. */
  | "delivered-elsewhere"
  /** They are delivered alike with another source address or port. */
  | "translated-otherwise"
  /** They are dropped on one side and rejected on the other. */
  | "stopped-otherwise"
  /** Their verdict is not known on one side. */
  | "unsettled";

/** Part of the inputs that makes the difference; `both` where neither change alone gives the new result. */
export type ChangeCause = "rules" | "host" | "both";

/** Ruleset and host before the change, or after it. */
export type DiffSide = "before" | "after";

/** Packets that differ in the same way: the product of these sets. */
export interface PacketClass {
  /** Interfaces they arrive on; `null` for packets that the host sends. `all-but` contains interfaces that are not listed. */
  readonly in: SetDescription | null;
  /** Source addresses, within those that can arrive there. */
  readonly sources: SetDescription;
  /** Destination addresses, within those that can arrive there. */
  readonly destinations: SetDescription;
  /** Protocols with their destination ports, such as `tcp 80`. */
  readonly services: SetDescription;
  /** Values of other fields: each entry is one alternative. Empty if they make no difference. */
  readonly fields: readonly FieldRanges[];
  /** True for packets that can open a connection; false for TCP packets without a SYN alone. */
  readonly opening: boolean;
  /** TCP packets that open no connection, with such addresses and ports, fare alike; some of them at least. */
  readonly others: boolean;
  /** Packets to multicast groups, otherwise like these, fare alike if the host has joined the group, which is not known. */
  readonly groups: boolean;
}

/** Ranges of values as text, by field. */
export type FieldRanges = Readonly<Partial<Record<Field, readonly string[]>>>;

/** Result for packets on one side. */
export interface PacketFate {
  /** Verdict of all rules. */
  readonly verdict: Decision;
  /** Forwarded, delivered to the host, sent by the host; `none` if stopped. */
  readonly delivery: "forward" | "local" | "out" | "none";
  /** Output interface; `null` if the packets do not leave. */
  readonly out: string | null;
  /** New values in the header; a field without one is unchanged. */
  readonly header: NewHeader;
  /** Container with the new destination address; absent where it is none or unknown. */
  readonly container?: string;
  /** Rules, policies and other causes that decide the packets. */
  readonly deciders: readonly Decider[];
  /** Rules that translate the packets. */
  readonly translations: readonly RuleNote[];
}

/** Values that translations give to the header. */
export interface NewHeader {
  /** Source address. */
  readonly src?: string;
  /** Source port. */
  readonly sport?: number;
  /** Destination address. */
  readonly dst?: string;
  /** Destination port. */
  readonly dport?: number;
}

/** Packets that fare differently. */
export interface PacketChange {
  /** Way in which they fare differently. */
  readonly kind: ChangeKind;
  /** 4 or 6. */
  readonly family: Family;
  /** They arrive on an interface, or the host sends them. */
  readonly origin: Origin;
  /** Part of the inputs that makes the difference. */
  readonly cause: ChangeCause;
  /** `may` where the difference depends on unknowns. */
  readonly certainty: "must" | "may";
  /** Keys of the unknowns that the difference depends on. */
  readonly depends: readonly string[];
  /** The packets. */
  readonly packets: PacketClass;
  /** Result before the change. */
  readonly before: PacketFate;
  /** Result after the change. */
  readonly after: PacketFate;
  /** One of the packets: `simulate` gives both results for it. */
  readonly witness: PacketJson;
  /** Values of `--assume` for the unknowns on its path, by side; absent where there are none. */
  readonly assume?: { readonly before: readonly string[]; readonly after: readonly string[] };
}

/** Reason why a comparison is not complete. */
export type CompareDoubt =
  /** No ruleset of a family was given for one side. */
  | { readonly code: "family-missing"; readonly family: Family }
  /** Packets have no certain result on this side; one of them. */
  | {
      readonly code: "packets-undecided";
      readonly family: Family;
      readonly origin: Origin;
      readonly reason: EndReason | null;
      readonly packet: PacketJson;
    }
  /** A packet of an established connection, which NAT does not translate, fares differently; the packet that opens it does not. */
  | {
      readonly code: "later-packets-differ";
      readonly family: Family;
      readonly origin: Origin;
      readonly state: KnownState;
      readonly packet: PacketJson;
    }
  /** The simulator contradicts the sets: a bug of fwcheck. */
  | { readonly code: "simulator-disagrees"; readonly family: Family; readonly packet: PacketJson }
  /** The paths of the two sides do not cover the same packets: a bug of fwcheck. */
  | { readonly code: "packets-lost"; readonly family: Family; readonly origin: Origin };

/** Doubt about one side. */
export interface SideDoubt {
  /** The side. */
  readonly side: DiffSide;
  /** The doubt. */
  readonly doubt: Doubt | CompareDoubt;
}

/** Part that a comparison leaves out. */
export type DiffLimit =
  /** Later packets of connections, which the rules see as ESTABLISHED or RELATED, are not compared. */
  | { readonly code: "established-flows" }
  /** Marks, TOS and time to live of delivered packets are not compared. */
  | { readonly code: "header-fields" }
  /** Packets to or from link-local addresses that only one side has are not compared: bridges get new ones each time. */
  | { readonly code: "link-local-addresses"; readonly family: Family; readonly count: number }
  /** Log statements are not compared. */
  | { readonly code: "logging" }
  /** Rules of bridge and netdev families, and services behind open ports, are not compared. */
  | { readonly code: "outside-ip-hooks" };

/** Result of a comparison. */
export interface Diff {
  /** Packets that fare differently; those that open connections first. */
  readonly changes: readonly PacketChange[];
  /** Interfaces that only one side has. */
  readonly interfaces: { readonly before: readonly string[]; readonly after: readonly string[] };
  /** Families that were compared. */
  readonly families: readonly Family[];
  /** Reasons why the comparison is not complete; while there are any, no change does not mean "no difference". */
  readonly doubts: readonly SideDoubt[];
  /** What was not compared. */
  readonly limits: readonly DiffLimit[];
}
