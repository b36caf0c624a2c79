/** Changes of a comparison in words. The texts hold names from the inputs; escape them before printing. */
import type { Decider } from "../../audit/decision.ts";
import type { SetDescription } from "../../audit/set-description.ts";
import type {
  ChangeCause,
  ChangeKind,
  CompareDoubt,
  DiffLimit,
  FieldRanges,
  PacketChange,
  PacketClass,
  PacketFate,
  SideDoubt,
} from "../../compare/difference.ts";
import { servicesText } from "../matrix/entry-text.ts";
import { doubtText } from "../text/audit-sentences.ts";
import { deciderLabel, placeOf } from "../text/finding-text.ts";
import { listText, shortList } from "../text/list.ts";
import { at, packetText } from "../text/packet-text.ts";
import { endReasonText } from "../text/reason-text.ts";
import { destinationsText, sourcesText } from "../text/set-text.ts";

/** What each kind of change means. */
export const CHANGE_KINDS: Readonly<Record<ChangeKind, string>> = {
  opened: "Packets that were stopped are accepted.",
  closed: "Packets that were accepted are stopped.",
  "delivered-elsewhere": "Packets go to another destination or interface.",
  "translated-otherwise": "Packets get another source address or port.",
  "stopped-otherwise": "Packets are rejected instead of dropped, or dropped instead of rejected.",
  unsettled: "The verdict on one side is not known.",
};

const CAUSES: Readonly<Record<ChangeCause, string>> = {
  rules: "the rules differ",
  host: "the host differs: interfaces, addresses, routes, sets, containers or sysctls",
  both: "rules and host differ together",
};

/** Parts of a set that a sentence lists; JSON lists all. */
const MOST_PARTS = 12;
/** Rules that a sentence lists. */
const MOST_RULES = 3;

/** Returns a set with few enough parts for a sentence. */
const shortened = (set: SetDescription): SetDescription =>
  set.kind === "all" || set.kind === "none"
    ? set
    : {
        ...set,
        parts: set.parts.slice(0, MOST_PARTS),
        more: set.more + Math.max(0, set.parts.length - MOST_PARTS),
      };

/** Returns packets in words: `tcp 80 from everyone to 203.0.113.1, in eth0`. */
export function packetClassText({
  in: input,
  sources,
  destinations,
  services,
  fields,
  opening,
}: PacketClass): string {
  const what = serviceText(services);
  const who = opening ? what : `${what}, packets that open no connection,`;
  const conditions = fields.map(fieldsText).filter((text) => text !== "");
  const limits = conditions.length === 0 ? "" : `, only ${listText(conditions)}`;
  const from = sourcesText(shortened(sources));
  const to = destinationsText(shortened(destinations));
  return `${who} from ${from} to ${to}, ${originText(input)}${limits}`;
}

function serviceText(services: SetDescription): string {
  if (services.kind === "all") return "everything";
  if (services.kind === "none") return "nothing";
  const { parts, more } = services;
  const shown = servicesText(parts.slice(0, MOST_PARTS));
  const rest = more + Math.max(0, parts.length - MOST_PARTS);
  const list = rest === 0 ? shown : `${shown} and ${rest} more`;
  return services.kind === "only" ? list : `everything but ${list}`;
}

function originText(input: SetDescription | null): string {
  if (input === null) return "sent by the host";
  switch (input.kind) {
    case "all":
      return "in any interface";
    case "all-but":
      return `in any interface but ${shortList(input.parts, MOST_PARTS)}`;
    case "only":
      return `in ${shortList(input.parts, MOST_PARTS)}`;
    case "none":
      return "in no interface";
  }
}

/** Returns one alternative of other fields. TCP flags of packets that open no connection are left out: they are many. */
const fieldsText = (fields: FieldRanges): string =>
  Object.entries(fields)
    .filter(([field]) => field !== "flags")
    .map(([field, ranges]) => `${field} ${shortList(ranges, MOST_PARTS)}`)
    .join(" with ");

/** Returns what becomes of packets: `forwarded to 172.17.0.2:80 (web) out of docker0`. */
export function fateText(fate: PacketFate): string {
  const { verdict, delivery, out, header, container } = fate;
  if (verdict === "drop") return "dropped";
  if (verdict === "reject") return "rejected";
  if (verdict === "undecided") return "not known";
  const to = header.dst !== undefined || header.dport !== undefined ? ` to ${newDestination(header)}` : "";
  const name = container === undefined ? "" : ` (${container})`;
  const as = header.src === undefined && header.sport === undefined ? "" : `, from ${newSource(header)}`;
  const how = { forward: "forwarded", local: "accepted for the host itself", out: "sent", none: "accepted" };
  return `${how[delivery]}${to}${name}${out === null ? "" : ` out of ${out}`}${as}`;
}

const newDestination = ({ dst, dport }: PacketFate["header"]): string =>
  dst === undefined ? `port ${dport}` : at(dst, dport);

const newSource = ({ src, sport }: PacketFate["header"]): string =>
  src === undefined ? `port ${sport}` : at(src, sport);

/** Returns the rules that decide packets, and those that give them the header that `fateText` names. */
export function decidersText({ deciders, translations, header }: PacketFate): string {
  const list = (rules: readonly Decider[]): string =>
    shortList(
      rules.map((rule) => `${deciderLabel(rule)}${placeOf(rule)}`),
      MOST_RULES,
    );
  if (translations.length === 0 || Object.keys(header).length === 0) return list(deciders);
  return `${list(deciders)}; translated by ${list(translations.map((rule) => ({ code: "rule", ...rule })))}`;
}

/** Returns a change in one sentence, without the deciding rules. */
export const changeText = (change: PacketChange): string =>
  `IPv${change.family} ${packetClassText(change.packets)}: ${fateText(change.before)} before, ${fateText(change.after)} after`;

/** Returns the remarks on a change: cause, unknowns, other packets. */
export function remarksOf({ cause, depends, packets }: PacketChange): string[] {
  return [
    CAUSES[cause],
    ...(depends.length === 0 ? [] : [`only for some values of ${listText(depends, "and")}`]),
    ...(packets.groups ? ["so may packets to multicast groups that the host has joined"] : []),
    ...(packets.others ? ["so do packets there that open no connection"] : []),
  ];
}

/** Returns the sentence of a doubt, with its side. */
export const sideDoubtText = ({ side, doubt }: SideDoubt): string => `${side}: ${anyDoubtText(doubt)}`;

function anyDoubtText(doubt: SideDoubt["doubt"]): string {
  return isCompareDoubt(doubt) ? compareDoubtText(doubt) : doubtText(doubt);
}

const COMPARE_DOUBTS: readonly string[] = [
  "family-missing",
  "packets-undecided",
  "later-packets-differ",
  "simulator-disagrees",
  "packets-lost",
] satisfies CompareDoubt["code"][];

const isCompareDoubt = (doubt: SideDoubt["doubt"]): doubt is CompareDoubt =>
  COMPARE_DOUBTS.includes(doubt.code);

function compareDoubtText(doubt: CompareDoubt): string {
  const family = `IPv${doubt.family}`;
  switch (doubt.code) {
    case "family-missing":
      return `no ruleset of ${family} is given, so that family is not compared`;
    case "packets-undecided": {
      const why =
        doubt.reason === null ? "a rule decides that fwcheck cannot evaluate" : endReasonText(doubt.reason);
      return `${family}: what becomes of some packets is not known (${why}), such as ${packetText(doubt.packet)}`;
    }
    case "later-packets-differ":
      return `${family}: packets of state ${doubt.state} fare differently, though the first packets of their connections fare alike, such as ${packetText(doubt.packet)}`;
    case "simulator-disagrees":
      return `${family}: the packet sets and the simulator disagree about ${packetText(doubt.packet)}; please report this bug`;
    case "packets-lost":
      return `${family}: some packets have no result; please report this bug`;
  }
}

/** Returns what a comparison leaves out. */
export function limitText(limit: DiffLimit): string {
  switch (limit.code) {
    case "established-flows":
      return "later packets of connections (ESTABLISHED, RELATED) that NAT translates";
    case "link-local-addresses":
      return `IPv${limit.family} packets to or from ${limit.count} link-local addresses that only one side has`;
    case "header-fields":
      return "marks, TOS and time to live of delivered packets";
    case "logging":
      return "logging";
    case "outside-ip-hooks":
      return "tables of families bridge and netdev";
  }
}
