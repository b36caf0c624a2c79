/** The answer of a query as text: for each outcome the packets, what decides them, and an example. */
import type { DecidedShare, QueryAnswer, QueryFamily, QueryGroup } from "../../compare/query.ts";
import { doubtText } from "../text/audit-sentences.ts";
import { deciderLabel, placeOf } from "../text/finding-text.ts";
import { inferenceText } from "../text/inference-text.ts";
import { packetText } from "../text/packet-text.ts";
import { indented, PLAIN, type Style, safe } from "../text/terminal.ts";
import { changeText } from "./change-text.ts";
import { boxText, certaintyText, outcomeText, shareText } from "./group-text.ts";

/** Most lines about the packets of a group, and about what decides them; fewer for packets that no rule decides. */
const MOST_LINES = 8;
const FEW_LINES = 2;
/** Most groups of a family. */
const MOST_GROUPS = 50;

/** Returns an answer as text, at 80 columns where names allow it. */
export function queryText(answer: QueryAnswer, style: Style = PLAIN): string {
  const remarks = [
    ...answer.doubts.flatMap((doubt) => indented(style.yellow("inconclusive:"), safe(doubtText(doubt)))),
    ...answer.inferences.flatMap((each) => indented(style.dim("inferred:"), safe(inferenceText(each)))),
  ];
  const families = answer.families.flatMap((family) => familyText(family, style));
  const none = answer.families.length === 0 && answer.doubts.length === 0 ? ["no packet", ""] : [];
  return `${[...families, ...none, ...remarks].join("\n").trimEnd()}\n`;
}

/** The remark on an empty answer. */
const AS_CONTAINER_PORTS =
  "dport is the port as it is sent; with containerport, the port as a container receives it, there are packets";

function familyText({ family, groups, asContainerPorts, change }: QueryFamily, style: Style): string[] {
  const changes = change === undefined ? [] : [...changeText(change, `IPv${family}`, style), ""];
  if (groups.length === 0)
    return [
      `${style.bold(`IPv${family}`)}: no packet`,
      ...(asContainerPorts === true ? indented(" ", AS_CONTAINER_PORTS) : []),
      "",
      ...changes,
    ];
  const more = groups.length - MOST_GROUPS;
  return [
    ...groups.slice(0, MOST_GROUPS).flatMap((group) => [...groupText(family, group, style), ""]),
    ...(more > 0 ? [`IPv${family}: ${more} more outcomes (--json lists all)`, ""] : []),
    ...changes,
  ];
}

function groupText(family: number, group: QueryGroup, style: Style): string[] {
  const certainty = certaintyText(group);
  const share = group.share < 0.9995 ? ` (${shareText(group.share)})` : "";
  const origin = group.origin === "sent" ? " from the host" : "";
  const heading = `${safe(outcomeText(group))}${share}${certainty === null ? "" : `, ${safe(certainty)}`}`;
  const assume = group.assume.length === 0 ? "" : `, assuming ${group.assume.join(", ")}`;
  return [
    ...indented(style.bold(`IPv${family}${origin}:`), heading),
    ...limited(
      group.packets.map((box) => indented(" ", safe(boxText(box, group)), 6)),
      group.reason === null ? MOST_LINES : FEW_LINES,
    ),
    ...limited(group.deciders.map((each, i) => deciderText(each, i, style))),
    ...(group.witness === null
      ? []
      : indented(`  ${style.dim("example:")}`, `${packetText(group.witness)}${safe(assume)}`, 6)),
  ];
}

function deciderText({ decider, share }: DecidedShare, index: number, style: Style): string[] {
  const label = index === 0 ? `  ${style.dim("decided by:")}` : "             ";
  return indented(
    label,
    `${deciderLabel(decider)}${placeOf(decider)}${share < 0.9995 ? `: ${shareText(share)}` : ""}`,
    6,
  );
}

function limited(entries: readonly (readonly string[])[], most = MOST_LINES): string[] {
  const more = entries.length - most;
  return [
    ...entries.slice(0, most).flat(),
    ...(more > 0 ? [`      and ${more} more (--json lists all)`] : []),
  ];
}
