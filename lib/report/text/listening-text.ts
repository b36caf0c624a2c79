/** The exposure of the host itself in words: a table of open sockets, and lists of the others. */
import type { Audit } from "../../audit/audit.ts";
import type { Decider } from "../../audit/decision.ts";
import type { ListeningSocket, Reachability } from "../../audit/listening.ts";
import { deciderLabel, published, sourcesByInterface } from "./finding-text.ts";
import { sourcesText } from "./set-text.ts";
import { indented, LINE_WIDTH, type Style, safe, table, wrapped } from "./terminal.ts";

/** Sockets of one list that are named; the others are counted. */
const MOST_LISTED = 24;

/** A socket that packets from outside reach or may reach, as a row of the table. */
export interface ListeningRow {
  readonly port: string;
  readonly process: string;
  readonly openTo: string;
  readonly firewall: string;
  readonly certain: boolean;
}

/** Sockets that no packet from outside reaches, for one reason. */
export interface ListeningList {
  readonly heading: string;
  readonly items: readonly string[];
}

const CLOSED: readonly (readonly [Reachability, string])[] = [
  ["no", "Closed by the firewall"],
  ["translated", "A translation redirects these packets elsewhere"],
  ["local", "No packet from outside has this address"],
];

/** Returns the rows of open sockets. */
export function openRows(sockets: readonly ListeningSocket[]): readonly ListeningRow[] {
  const open = sockets
    .filter((l) => l.open === "yes" || l.open === "maybe")
    .sort((a, b) => a.family - b.family || a.listen.port! - b.listen.port!);
  const all = [...new Set(open.flatMap((l) => l.in))];
  return open.map((l) => ({
    port: portText(l),
    process: processText(l),
    openTo: l.by.length === 0 ? listeningSourcesText(l) : sourcesByInterface(l, all),
    firewall: l.rule === null ? "not known" : ruleText(l.rule),
    certain: l.open === "yes",
  }));
}

/** Returns the sources that reach a socket, over all interfaces. */
export const listeningSourcesText = ({ family, sources }: ListeningSocket): string =>
  sources.kind === "unknown" ? `not known (no IPv${family} rules were audited)` : sourcesText(sources);

/** Returns the lists of sockets that are not open. */
export const closedLists = (sockets: readonly ListeningSocket[]): readonly ListeningList[] =>
  CLOSED.flatMap(([open, heading]) => {
    const texts = [
      ...new Set(sockets.filter((l) => l.open === open).map((l) => `${portText(l)} (${processText(l)})`)),
    ];
    if (texts.length === 0) return [];
    const more =
      texts.length > MOST_LISTED ? [`and ${texts.length - MOST_LISTED} more, which --json lists`] : [];
    return [{ heading, items: [...texts.slice(0, MOST_LISTED), ...more] }];
  });

/** Returns the part of the audit's text about the host itself; nothing where the inputs list no sockets. */
export function listeningText({ listening }: Audit, style: Style): string[] {
  if (listening === null) return [];
  const rows = openRows(listening);
  const title = wrapped(
    "Sockets of the host itself (by ss): open to, and the rule that lets them in",
    LINE_WIDTH,
  );
  const lines = title.map((line) => style.bold(line));
  if (rows.length === 0) lines.push("No socket of the host itself is reached from outside.");
  else {
    const [head, ...body] = table([
      ["", "PORT", "PROCESS", "OPEN TO", "FIREWALL"],
      ...rows.map((r) => [r.certain ? "" : "?", r.port, r.process, r.openTo, r.firewall]),
    ]);
    lines.push(...head!.map((line) => style.dim(line)), ...body.flat());
  }
  for (const { heading, items } of closedLists(listening))
    lines.push(...indented(style.dim(`${heading}:`), items.join(", ")));
  return [...lines, ""];
}

/** Returns a rule as its ufw command, a policy, or its position, since its text would fill the table. */
const ruleText = (rule: Decider): string =>
  rule.code === "rule" && rule.ufw === undefined
    ? `${safe(rule.chain)} rule ${rule.rule} (line ${rule.line})`
    : deciderLabel(rule);

function portText({ proto, family, listen, device, redirectedPorts }: ListeningSocket): string {
  const port = published({ proto, family, listen });
  const also = redirectedPorts === undefined ? "" : ` (also sent to ${redirectedPorts.join(", ")})`;
  return `${port}${device === undefined ? "" : ` on ${safe(device)}`}${also}`;
}

function processText({ processes, container }: ListeningSocket): string {
  const names = processes.length === 0 ? "not named" : processes.map((name) => safe(name)).join(", ");
  return container === null ? names : `${names}, container ${safe(container)}`;
}
