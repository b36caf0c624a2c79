/** Sections about open ports: published ports of containers, and sockets of the host itself. */
import type { Audit } from "../../audit/audit.ts";
import type { Exposure, Finding } from "../../audit/finding.ts";
import {
  aboutPort,
  container,
  firewall,
  isNotRead,
  MEANS,
  published,
  sourcesByInterface,
} from "../text/finding-text.ts";
import { closedLists, openRows } from "../text/listening-text.ts";
import { type Markup, markup } from "./markup.ts";
import { cardTable, section } from "./page-elements.ts";

/** Class and text of the state of a published port. */
type PortState = readonly [kind: "good" | "bad" | "unsure", text: string];

function portState(exposure: Exposure, finding: Finding | undefined): PortState {
  if (finding === undefined) {
    if (exposure.unread !== undefined) return ["unsure", "firewall not read"];
    return exposure.unexpected === undefined ? ["good", "allowed"] : ["bad", "not expected"];
  }
  if (finding.certainty === "must") return ["bad", "open although blocked"];
  return isNotRead(finding) ? ["unsure", "firewall not read"] : ["unsure", "possibly open although blocked"];
}

/** Published ports: who can reach them, and the verdict of the firewall. */
export function exposuresSection({ exposures, findings }: Audit): Markup | null {
  if (exposures.length === 0) return null;
  const inputs = [...new Set(exposures.flatMap((e) => e.in))];
  const rows = exposures.map((e) => {
    const finding = aboutPort(e, findings);
    const [kind, state] = portState(e, finding);
    const verdict = firewall(e, finding);
    const means = MEANS[e.means];
    return {
      kind,
      cells: [
        markup`<code>${published(e)}</code>`,
        container(e.endpoint),
        sourcesByInterface(e, inputs),
        finding === undefined ? `${verdict}${means}` : markup`<code>${verdict}</code>${means}`,
        markup`<span class="state ${kind}">${state}</span>`,
      ],
    };
  });
  const caption = `Published ports, and who can reach them${inputs.length === 0 ? "" : ` from ${inputs.join(", ")}`}`;
  const headings = ["Published", "Container", "Open to", "Verdict of your firewall", "State"];
  return section("open", "Open ports of containers", cardTable(caption, headings, rows));
}

/** Listening sockets of the host itself, and who can reach them. */
export function listeningSection({ listening }: Audit): Markup | null {
  if (listening === null) return null;
  const rows = openRows(listening).map(({ port, process, openTo, firewall: rule, certain }) => ({
    kind: certain ? "" : "unsure",
    cells: [
      markup`<code>${port}</code>`,
      process,
      `${openTo}${certain ? "" : " (possibly)"}`,
      markup`<code>${rule}</code>`,
    ],
  }));
  const caption = "Listening sockets of the host itself, and who can reach them";
  return section(
    "host",
    "Open ports of the host itself",
    rows.length === 0
      ? markup`<p class="none">No socket of the host itself can be reached from outside.</p>`
      : cardTable(caption, ["Port", "Process", "Open to", "Accepted by"], rows),
    closedLists(listening).map(({ heading, items }) => markup`<p>${heading}: ${items.join(", ")}</p>`),
  );
}
