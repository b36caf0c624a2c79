/** Groups of packets of an answer in words. The texts hold names from the inputs; escape them before printing. */
import { type PartList, partList, type SetDescription } from "../../audit/set-description.ts";
import type { PacketBox } from "../../compare/packet-boxes.ts";
import type { QueryGroup } from "../../compare/query.ts";
import { servicesText } from "../matrix/entry-text.ts";
import { at } from "../text/packet-text.ts";
import { endReasonText, uncertaintyText } from "../text/reason-text.ts";
import { destinationsText, protocolsText, sourcesText } from "../text/set-text.ts";

/** Returns what becomes of the packets: `accepted, forwarded out of docker0 as 172.17.0.2:80`. */
export function outcomeText({ verdict, delivery, out, translated, origin }: QueryGroup): string {
  const as = translated === null ? "" : ` as ${translationText(translated)}`;
  switch (verdict) {
    case "drop":
      return "dropped";
    case "reject":
      return "rejected";
    case "undecided":
      return "undecided";
    case "accept":
      switch (delivery) {
        case "local":
          return `accepted for the host itself${as}`;
        case "forward":
          return `accepted, forwarded out of ${out}${as}`;
        default:
          return origin === "sent" && out !== null ? `accepted, sent out of ${out}${as}` : `accepted${as}`;
      }
  }
}

function translationText({ dst, dport }: NonNullable<QueryGroup["translated"]>): string {
  return dst === null ? `port ${dport}` : at(dst, dport);
}

/** Returns what is not known about a group; `null` if all is known. */
export function certaintyText({ certainty, unknowns, unsure, reason }: QueryGroup): string | null {
  switch (certainty) {
    case "certain":
      return null;
    case "depends":
      return `if ${unknowns.join(", ")}`;
    case "undecided": {
      const reasons = [...unsure.map(uncertaintyText), ...(reason === null ? [] : [endReasonText(reason)])];
      return `not followed to the end${reasons.length === 0 ? "" : `: ${reasons.join("; ")}`}`;
    }
  }
}

/** Shortens a list to the first members, for text. */
function short(set: SetDescription): SetDescription {
  if (set.kind === "none" || set.kind === "all") return set;
  const { parts, more }: PartList = partList(set.parts);
  return { kind: set.kind, parts, more: more + set.more };
}

function interfacesText({ in: names, otherInterfaces }: PacketBox): string {
  if (names === null) return "";
  const others = otherInterfaces ? ["others"] : [];
  const all = [...names, ...others];
  return all.length === 0 ? "" : ` in ${all.join(", ")}`;
}

/** Returns protocols with their ports; ports of one protocol together. */
function servicesOf({ services }: PacketBox): string {
  const set = short(services);
  if (set.kind !== "only") return protocolsText(set);
  return `${servicesText(set.parts)}${set.more === 0 ? "" : ` and ${set.more} more`}`;
}

/** Returns a box in words: `tcp 22 from 198.51.100.0/24 to 203.0.113.1 in eth0`. */
export function boxText(box: PacketBox, { origin }: Pick<QueryGroup, "origin">): string {
  const sources = sourcesText(
    short(box.sources),
    origin === "sent" ? "any address of the host" : "any address",
  );
  const fields = box.fields.map(({ field, values }) => {
    const ranges = values.map(([first, last]) => (first === last ? first : `${first}-${last}`));
    return `, ${field} ${ranges.slice(0, 6).join(", ")}${ranges.length > 6 ? ` and ${ranges.length - 6} more` : ""}`;
  });
  const partly = box.partly.length === 0 ? "" : `, only some packets by ${box.partly.join(", ")}`;
  return `${servicesOf(box)} from ${sources} to ${destinationsText(short(box.destinations))}${interfacesText(box)}${fields.join("")}${partly}`;
}

/** Returns a share as a percentage; a share that is not 0 is at least `under 0.1 %`. */
export function shareText(share: number): string {
  if (share >= 0.9995) return "100 %";
  return share < 0.001 ? "under 0.1 %" : `${(share * 100).toFixed(1).replace(/\.0$/, "")} %`;
}
