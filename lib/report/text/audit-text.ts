/** The audit as people read it: a table of what is published, then the findings, those alike together. */
import type { Audit } from "../../audit/audit.ts";
import type { Looked } from "../../audit/coverage.ts";
import type { Exposure, Finding } from "../../audit/finding.ts";
import type { Listening, Open } from "../../audit/listening.ts";
import type { Step } from "../../path/program.ts";
import { at, packetFlags, packetText } from "./packet-text.ts";
import { indented, PLAIN, type Style, safe, table, WIDTH, wrapped } from "./terminal.ts";

/** What each kind of finding means, in a clause. */
export const KINDS: Readonly<Record<Finding["kind"], string>> = {
  "ingress-bypass": "a published port is open although the firewall blocks it",
  "loopback-bypass": "a port published on a loopback address is reached from outside",
  "direct-bypass": "a container is reached by its own address although the firewall blocks it",
  "egress-bypass": "a container sends what the firewall forbids the host",
  "forward-bypass": "Docker's rules forward what the firewall blocks",
  "ineffective-allow": "the firewall allows what Docker drops before it is asked",
};

/** The same of many. */
const PLURAL: Readonly<Record<Finding["kind"], string>> = {
  "ingress-bypass": "published ports are open although the firewall blocks them",
  "loopback-bypass": "ports published on a loopback address are reached from outside",
  "direct-bypass": "containers are reached by their own addresses, which the firewall blocks",
  "egress-bypass": "containers send what the firewall forbids the host",
  "forward-bypass": KINDS["forward-bypass"],
  "ineffective-allow": KINDS["ineffective-allow"],
};

/** The same where only a firewall that was not read may block it. */
const NOT_READ: Readonly<Record<Finding["kind"], string>> = {
  "ingress-bypass": "a published port is open, and a firewall for it is not read",
  "loopback-bypass": "a loopback port is reached from outside, and a firewall for it is not read",
  "direct-bypass": "a container is reached by its own address, and a firewall is not read",
  "egress-bypass": "a container sends packets, and a firewall for the host's own is not read",
  "forward-bypass": "Docker's rules forward packets, and a firewall for them is not read",
  "ineffective-allow": "a firewall that is not read may allow what Docker drops",
};

/** Whether only a firewall that was not read may block the packets of a finding. */
export const isNotRead = (f: Finding): boolean =>
  f.unread !== undefined && f.intended.verdict === "undecided";

/** Endpoints of one group, and sockets that are closed, that are listed one by one. */
const MOST = 24;

const BANNED = "whoever is banned still reaches a published port";

type Published = Pick<Exposure, "listen" | "proto" | "family">;

export const published = ({ listen, proto, family }: Published): string => {
  const any = family === 6 ? "[::]:" : "";
  const place = listen.address === null ? `${any}${listen.port ?? "any"}` : at(listen.address, listen.port);
  return `${place}/${proto}`;
};

/** A container by its name and address, and what Compose or a swarm calls it. */
export function container(c: Finding["container"]): string {
  if (c === null) return "";
  const service = [c.project, c.service].filter((word) => word !== undefined).map((word) => safe(word));
  const name = c.name === null ? "" : `${safe(c.name)} `;
  return `${name}${at(c.ip, c.port)}${service.length === 0 ? "" : ` (${service.join("/")})`}`;
}

/** The interfaces of a group of sources, with the ports of bridges that they come by. */
const inputsText = ({ in: names, ports = [] }: Finding["by"][number]): string =>
  `${names.map(safe).join(", ")}${ports.length === 0 ? "" : ` (port ${ports.map(safe).join(", ")})`}`;

/** Who gets through, by interface where that matters: where it is not every one that is spoken of anyway. */
export function who({ by, from }: Pick<Finding, "by" | "from">, spoken: readonly string[] = []): string {
  if (by.length === 0) return `${from}, by an interface that is not listed`;
  const each = by.map((group) => {
    const known = group.in.join() === spoken.join() && group.ports === undefined;
    const via = known ? "" : ` via ${inputsText(group)}`;
    return `${group.from}${via}${group.to === undefined ? "" : ` for ${group.to}`}`;
  });
  return each.join("; ");
}

/** What the owner's rules say, as a ufw command where it is one. */
export function intendedText({ rule }: Pick<Finding["intended"], "rule">): string {
  if ("policy" in rule)
    return safe(/\((ufw default .*)\)$/.exec(rule.policy)?.[1] ?? rule.policy.replace(/^filter /, ""));
  return rule.ufw !== undefined ? `ufw ${safe(rule.ufw)}` : safe(rule.text);
}

/** A finding in one sentence. */
export function findingSentence(f: Finding): string {
  const about =
    f.container === null
      ? ""
      : ` (container ${container(f.container)}${f.listen === null ? "" : `, published as ${published({ ...f, listen: f.listen })}`})`;
  const what = f.what === undefined ? "" : ` with ${f.what}`;
  const through =
    f.by.length === 0
      ? `${f.from}, by an interface that is not listed`
      : f.by.map(
          (g) => `${g.from} gets through via ${inputsText(g)}${g.to === undefined ? "" : ` for ${g.to}`}`,
        );
  const says = isNotRead(f)
    ? `the firewall is ${intendedText(f.intended)}`
    : `the firewall says ${f.intended.verdict} (${intendedText(f.intended)})`;
  return `${kind(f)}${about}: ${says}, but ${[through].flat().join("; ")}${what}; for instance ${packetText(f.witness)}`;
}

const kind = (f: Finding): string =>
  f.bans?.only === true ? BANNED : isNotRead(f) ? NOT_READ[f.kind] : KINDS[f.kind];

/** What the firewall says of a published port, in a few words. */
export function says(f: Finding): string {
  const word = intendedText(f.intended);
  if (f.bans?.only === true) return `ban by ${f.bans.by.map(safe).join(", ")}`;
  if (f.allowed === "nobody" || f.kind === "ineffective-allow" || isNotRead(f)) return word;
  return `${word}; lets in ${f.allowed}`;
}

/** What the firewall says of an exposure, with the finding about it. */
export const firewall = (e: Exposure, finding: Finding | undefined): string =>
  finding !== undefined
    ? says(finding)
    : e.unread === undefined
      ? "allows"
      : `not read: ${e.unread.map(safe).join(", ")}`;

/** The finding about a published port. */
export const aboutPort = (e: Exposure, findings: readonly Finding[]): Finding | undefined =>
  findings.find(
    (f) =>
      f.family === e.family &&
      f.proto === e.proto &&
      (e.means === "routed"
        ? f.kind === "direct-bypass" &&
          f.container?.ip === e.endpoint.ip &&
          f.container.port === e.endpoint.port
        : f.listen !== null && f.listen.port === e.listen.port && f.listen.address === e.listen.address),
  );

/** The audit as a person reads it, at 80 columns. */
export function auditText(audit: Audit, style: Style = PLAIN): string {
  const { findings, inconclusive, inferred, remarks } = audit;
  const out = [...portsText(audit, style), ...unexpectedText(audit, style), ...listeningText(audit, style)];
  const groups = grouped(findings);
  let number = 0;
  for (const group of groups) {
    out.push(...groupText(group, number + 1, style), "");
    number += group.length;
  }
  for (const l of audit.lint) {
    const where = l.rule === null ? "" : ` (line ${l.rule.line}: ${safe(l.rule.text)})`;
    out.push(...indented(style.yellow("lint:"), `${l.kind}${where}: ${safe(l.message)}`));
  }
  for (const sentence of inconclusive) out.push(...indented(style.yellow("inconclusive:"), safe(sentence)));
  for (const sentence of remarks) out.push(...indented(style.green("note:"), safe(sentence)));
  for (const sentence of inferred) out.push(...indented(style.dim("inferred:"), safe(sentence)));
  if (findings.length === 0) out.push(...indented(style.dim("looked at:"), lookedText(audit.looked)));
  if (inconclusive.length + inferred.length + remarks.length + audit.lint.length > 0 || findings.length === 0)
    out.push("");
  out.push(verdict(audit, style));
  return `${out.join("\n")}\n`;
}

/** How an audit came out, and the sentence that says so; what could not be settled is never `good`. */
export function summary({ findings, inconclusive, exposures, looked }: Audit): {
  readonly mood: "bad" | "unsure" | "good";
  readonly sentence: string;
  /** Whether something could not be settled. */
  readonly open: boolean;
} {
  const open = inconclusive.length > 0;
  const count = `${findings.length} finding${findings.length === 1 ? "" : "s"}`;
  if (findings.length > 0) {
    const what = findings.every(isNotRead)
      ? "the firewall that may govern these packets is not read."
      : "the firewall does not govern these packets.";
    return { mood: "bad", sentence: `${count}: ${what}`, open };
  }
  if (looked.engines.length === 0)
    return {
      mood: "unsure",
      sentence: "No container engine was found in these rules, so nothing was audited for containers",
      open,
    };
  if (open) return { mood: "unsure", sentence: "No findings, but not everything could be settled", open };
  const sentence =
    exposures.length === 0
      ? "No findings: no packet reaches a container without the firewall's consent."
      : "No findings: every packet that reaches a container does so with the firewall's consent.";
  return { mood: "good", sentence, open };
}

/** What there was to be audited, in a line. */
export function lookedText({ families, engines, bridges, containers, published }: Looked): string {
  const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;
  const rules = families.map(
    (f) =>
      `IPv${f.family} (INPUT ${f.input ?? "ACCEPT"}, FORWARD ${f.forward ?? "ACCEPT"}, ${f.forwards ? "forwards packets" : "forwards no packets"})`,
  );
  const engine =
    engines.length === 0
      ? "no container engine (no chain, bridge, network or container of one)"
      : `${engines.map(safe).join(", ")}: ${bridges.length === 0 ? "no bridges" : `bridge${bridges.length === 1 ? "" : "s"} ${bridges.map(safe).join(", ")}`}, ${count(containers, "container")}, ${count(published, "rule")} that publish${published === 1 ? "es" : ""} ports`;
  return `${rules.join(", ")}; ${engine}`;
}

function verdict(audit: Audit, style: Style): string {
  const { mood, sentence, open } = summary(audit);
  if (mood === "bad")
    return style.red(open ? `${sentence}\nNot everything could be settled: see above.` : sentence);
  if (mood === "unsure") return style.yellow(`${sentence}: see above.`);
  return style.green(wrapped(sentence, WIDTH).join("\n"));
}

function portsText({ exposures, findings }: Audit, style: Style): string[] {
  if (exposures.length === 0) return [];
  const all = [...new Set(exposures.flatMap((e) => e.in))];
  const rows = exposures.map((e) => {
    const finding = aboutPort(e, findings);
    const means = { dnat: "", ingress: "", routed: " (routed)", proxy: " (proxy)" }[e.means];
    const mark = finding === undefined ? "" : finding.certainty === "must" ? "!" : "?";
    return {
      cells: [mark, published(e), container(e.endpoint), who(e, all), `${firewall(e, finding)}${means}`],
      bad: finding !== undefined,
    };
  });
  const [head, ...lines] = table([
    ["", "PUBLISHED", "CONTAINER", "OPEN TO", "FIREWALL"],
    ...rows.map((r) => r.cells),
  ]);
  return [
    ...wrapped(
      `What is published, who reaches it${all.length === 0 ? "" : ` by ${all.map(safe).join(", ")}`}, what the firewall says`,
      WIDTH,
    ).map((line) => style.bold(line)),
    ...head!.map((line) => style.dim(line)),
    ...lines.flatMap((row, i) => (rows[i]!.bad ? row.map((line) => style.red(line)) : row)),
    ...(rows.some((r) => r.bad)
      ? ["", style.dim("! open although the firewall blocks it   ? possibly so")]
      : []),
    "",
  ];
}

function unexpectedText({ exposures }: Audit, style: Style): string[] {
  const out = exposures.flatMap((e) => {
    if (e.unexpected === undefined) return [];
    const { witness } = e.unexpected;
    const text = `${published(e)} (${container(e.endpoint)}) is open to ${who(e.unexpected)}; for instance ${packetText(witness)}`;
    return indented(style.red("unexpected:"), text);
  });
  return out.length === 0 ? [] : [...out, ""];
}

/** Findings that differ in nothing but their endpoint, together and in the order of the first. */
export function grouped(findings: readonly Finding[]): Finding[][] {
  const groups = new Map<string, Finding[]>();
  for (const f of findings) {
    const { rule } = f.intended;
    const said = "policy" in rule ? rule.policy : `${rule.table} ${rule.chain} ${rule.rule}`;
    const alike = [
      f.kind,
      f.family,
      said,
      f.allowed,
      f.certainty,
      f.by,
      f.what,
      f.bans,
      f.depends,
      through(f.actual.path)?.chain,
    ];
    const key = JSON.stringify(alike);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [f]);
    else group.push(f);
  }
  return [...groups.values()];
}

/** The rule that let a packet into the container, or out of it: the last of table filter that accepted. */
const through = (path: readonly Step[]): Extract<Step, { step: "rule" }> | undefined =>
  path.findLast((s): s is Extract<Step, { step: "rule" }> => s.step === "rule" && s.table === "filter");

/** How a packet went: what translated it, and what let it through or stopped it. */
export function way(f: Finding): string {
  const dnat = f.actual.path.find((s) => s.step === "rule" && s.table === "nat" && s.target === "DNAT");
  const last =
    f.actual.verdict === "accept" ? through(f.actual.path) : f.actual.path.findLast((s) => s.step === "rule");
  const place = (s: Step): string =>
    s.step === "rule"
      ? `${s.table} ${safe(s.chain)} ${s.rule} (line ${s.line})`
      : `${s.table} ${safe(s.chain)}`;
  const verb = f.actual.verdict === "accept" ? "accepted" : "stopped";
  const by = last?.step === "rule" ? `${verb} by ${place(last)}` : `${verb} by the policy of FORWARD`;
  return dnat === undefined ? by : `translated by ${place(dnat)}, ${by}`;
}

/** Where a rule or a policy stands, in brackets. */
export function place(rule: Finding["intended"]["rule"]): string {
  if (!("policy" in rule))
    return ` (line ${rule.line}${rule.ufw === undefined ? "" : `: ${safe(rule.text)}`})`;
  const own = / \(ufw default .*$/.exec(rule.policy);
  return own === null ? "" : ` (${safe(rule.policy.slice(0, own.index))})`;
}

/** What findings that are alike have in common. */
export function groupTitle(group: readonly Finding[]): string {
  const [f] = group as [Finding];
  const title = f.bans?.only === true || isNotRead(f) || group.length === 1 ? kind(f) : PLURAL[f.kind];
  return `${title[0]!.toUpperCase()}${title.slice(1)}`;
}

function groupText(group: readonly Finding[], number: number, style: Style): string[] {
  const [f] = group as [Finding];
  const many = group.length > 1;
  const numbers = many ? `${number}-${number + group.length - 1}.` : `${number}.`;
  const title = groupTitle(group);
  const sure = f.certainty === "may" ? style.yellow(" (possible)") : "";
  const { rule } = f.intended;
  const line = place(rule);
  const label = (name: string, text: string): string[] =>
    indented(`   ${style.dim(name.padEnd(10))}`, text, 14);
  return [
    `${style.bold(`${numbers} ${title}`)}${sure}`,
    `   ${style.dim(f.kind)}${f.family === 6 ? style.dim(", IPv6") : ""}`,
    ...label(
      "firewall",
      `${isNotRead(f) ? "" : `${f.intended.verdict}: `}${intendedText(f.intended)}${line}`,
    ),
    ...(f.allowed === "nobody" || f.kind === "ineffective-allow" || isNotRead(f)
      ? []
      : label("lets in", f.kind === "egress-bypass" ? `${f.allowed} (outwards)` : f.allowed)),
    ...(f.bans === undefined ? [] : label("bans", `${f.bans.from}, by ${f.bans.by.map(safe).join(", ")}`)),
    ...label(
      f.actual.verdict === "accept" ? "but" : "though",
      `${f.actual.verdict === "accept" ? "gets through: " : "is stopped: "}${who(f)}${f.what === undefined ? "" : `, with ${safe(f.what)}`}`,
    ),
    ...group.slice(0, MOST).flatMap((each) => endpointText(each, label)),
    ...(group.length > MOST ? label("", `and ${group.length - MOST} more, which --json lists`) : []),
    ...(f.depends.length === 0 ? [] : label("depends", f.depends.map(safe).join(", "))),
    ...label(many ? "example" : "proof", packetText(f.witness)),
    ...indented("             ", `fwcheck simulate HOST ${packetFlags(f.witness)}`, 17, " \\"),
  ];
}

function endpointText(f: Finding, label: (name: string, text: string) => string[]): string[] {
  const place = f.listen === null ? "" : `${published({ ...f, listen: f.listen })} -> `;
  const name =
    f.container === null
      ? ""
      : `${place}${container(f.container)}${f.listen === null ? `/${f.proto}` : ""}: `;
  return label(f.container === null ? "way" : "container", `${name}${way(f)}`);
}

/** A socket that packets from outside reach, or may reach, in the words of a table. */
export interface ListeningRow {
  readonly port: string;
  readonly process: string;
  readonly openTo: string;
  readonly firewall: string;
  readonly certain: boolean;
}

/** Sockets that are not open, by why. */
export interface ListeningList {
  readonly heading: string;
  readonly items: readonly string[];
}

const CLOSED: readonly (readonly [Open, string])[] = [
  ["no", "Closed by the firewall"],
  ["translated", "A translation takes these packets elsewhere"],
  ["local", "No packet from outside has this address"],
];

/** What is open on the host itself. */
export function openRows(sockets: readonly Listening[]): readonly ListeningRow[] {
  const open = sockets
    .filter((l) => l.open === "yes" || l.open === "maybe")
    .sort((a, b) => a.family - b.family || a.listen.port! - b.listen.port!);
  const all = [...new Set(open.flatMap((l) => l.in))];
  return open.map((l) => ({
    port: portText(l),
    process: processText(l),
    openTo: l.by.length === 0 ? l.from : who(l, all),
    firewall: l.rule === null ? "not known" : ruleText(l.rule),
    certain: l.open === "yes",
  }));
}

/** What is not. */
export const closedLists = (sockets: readonly Listening[]): readonly ListeningList[] =>
  CLOSED.flatMap(([open, heading]) => {
    const texts = [
      ...new Set(sockets.filter((l) => l.open === open).map((l) => `${portText(l)} (${processText(l)})`)),
    ];
    if (texts.length === 0) return [];
    const more = texts.length > MOST ? [`and ${texts.length - MOST} more, which --json lists`] : [];
    return [{ heading, items: [...texts.slice(0, MOST), ...more] }];
  });

/** The part of the audit's text about the host itself; nothing where the inputs do not say what listens. */
export function listeningText({ listening }: Audit, style: Style): string[] {
  if (listening === null) return [];
  const rows = openRows(listening);
  const out = wrapped(
    "What the host itself exposes (by ss), who reaches it, and which rule lets them",
    WIDTH,
  );
  const lines = out.map((line) => style.bold(line));
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

/** A rule as its ufw command, a policy, or its place: its text would fill the table. */
const ruleText = (rule: Finding["intended"]["rule"]): string =>
  "policy" in rule || rule.ufw !== undefined
    ? intendedText({ rule })
    : `${safe(rule.chain)} rule ${rule.rule} (line ${rule.line})`;

function portText({ proto, family, listen, device, as }: Listening): string {
  const at = published({ proto, family, listen });
  return `${at}${device === undefined ? "" : ` on ${safe(device)}`}${as === undefined ? "" : ` (also sent to ${as})`}`;
}

function processText({ processes, container }: Listening): string {
  const names = processes.length === 0 ? "not named" : processes.map((name) => safe(name)).join(", ");
  return container === null ? names : `${names}, container ${safe(container)}`;
}
