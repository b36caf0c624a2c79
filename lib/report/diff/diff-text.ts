/** A comparison as text, and as Markdown for a pull request. */
import type { Diff, PacketChange, PacketFate } from "../../compare/difference.ts";
import { counted } from "../text/list.ts";
import { markdown } from "../text/markdown.ts";
import { packetFlags } from "../text/packet-text.ts";
import { indented, PLAIN, type Style, safe } from "../text/terminal.ts";
import {
  decidersText,
  fateText,
  limitText,
  packetClassText,
  remarksOf,
  sideDoubtText,
} from "./change-text.ts";

/** Returns the result in one sentence. */
export function diffSummary({ changes, doubts, families }: Diff): string {
  if (changes.length > 0) {
    const kinds = new Map<string, number>();
    for (const { kind } of changes) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    return `${counted(changes.length, "difference")}: ${[...kinds].map(([kind, count]) => `${count} ${kind}`).join(", ")}`;
  }
  const compared = families.map((family) => `IPv${family}`).join(" and ");
  if (doubts.length > 0) return "No difference found, but the comparison is not complete";
  return `No difference: all ${compared} packets without a known connection fare alike`;
}

/** Returns a comparison as text, at 80 columns where names allow it. */
export function diffText(diff: Diff, style: Style = PLAIN): string {
  const colour = diff.changes.length > 0 ? style.red : diff.doubts.length > 0 ? style.yellow : style.green;
  const lines = [
    colour(diffSummary(diff)),
    "",
    ...diff.changes.flatMap((change) => [...changeLines(change, style), ""]),
    ...diff.doubts.flatMap((doubt) => indented(style.yellow("inconclusive:"), safe(sideDoubtText(doubt)))),
    ...interfaceLines(diff, style),
    ...indented(style.dim("not compared:"), diff.limits.map(limitText).join("; ")),
  ];
  return `${lines.join("\n")}\n`;
}

function interfaceLines({ interfaces }: Diff, style: Style): string[] {
  return (["before", "after"] as const).flatMap((side) =>
    interfaces[side].length === 0
      ? []
      : indented(style.dim(`interfaces only ${side}:`), safe(interfaces[side].join(", "))),
  );
}

function changeLines(change: PacketChange, style: Style): string[] {
  const { kind, family, packets, certainty, witness } = change;
  const label = certainty === "must" ? kind : `may be ${kind}`;
  const paint = kind === "opened" ? style.red : kind === "closed" ? style.green : style.yellow;
  const sides = (["before", "after"] as const).flatMap((side) =>
    indented(`  ${style.dim(`${side}:`)}`, fateLine(change[side]), 6),
  );
  return [
    ...indented(paint(`${label}:`), `IPv${family} ${safe(packetClassText(packets))}`),
    ...sides,
    ...indented(`  ${style.dim("why:")}`, safe(remarksOf(change).join("; ")), 6),
    ...indented(`  ${style.dim("packet:")}`, packetFlags(witness), 6),
  ];
}

const fateLine = (fate: PacketFate): string => safe(`${fateText(fate)}: ${decidersText(fate)}`);

/** Returns a comparison as Markdown, such as for a comment on a pull request. */
export function diffMarkdown(diff: Diff): string {
  const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const fate = (each: PacketFate): string => markdown(`${fateText(each)}: ${decidersText(each)}`);
  const table = [
    row(["change", "packets", "before", "after", "cause"]),
    row(["---", "---", "---", "---", "---"]),
    ...diff.changes.map((change) =>
      row([
        `**${markdown(change.kind)}**${change.certainty === "must" ? "" : " (may)"}`,
        markdown(`IPv${change.family} ${packetClassText(change.packets)}`),
        fate(change.before),
        fate(change.after),
        markdown(remarksOf(change).join("; ")),
      ]),
    ),
    "",
  ];
  const lines = [
    `**${markdown(diffSummary(diff))}**`,
    "",
    ...(diff.changes.length === 0 ? [] : table),
    ...diff.doubts.map((doubt) => `- inconclusive: ${markdown(sideDoubtText(doubt))}`),
    `- not compared: ${markdown(diff.limits.map(limitText).join("; "))}`,
  ];
  return `${lines.join("\n")}\n`;
}
