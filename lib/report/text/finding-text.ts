/** Findings and exposures in words, as the text, HTML and SARIF outputs share them. */
import type { Decider } from "../../audit/decision.ts";
import type { Exposure, Finding, ReachedBy } from "../../audit/finding.ts";
import type { RuleStep, Step } from "../../path/program.ts";
import { iptablesName } from "../../rules/ruleset.ts";
import { banListText, deciderText } from "./audit-sentences.ts";
import { at, packetText, portsText } from "./packet-text.ts";
import {
  hostDestinationsText,
  interfacesText,
  permitsNoSource,
  permittedText,
  sourcesText,
  trafficText,
} from "./set-text.ts";
import { safe } from "./terminal.ts";

type KindTexts = Readonly<Record<Finding["kind"], string>>;

/** Each kind of finding, in a clause. */
export const KINDS: KindTexts = {
  "ingress-bypass": "a published port is open although the firewall blocks it",
  "loopback-bypass": "a port published on a loopback address is reached from outside",
  "direct-bypass": "a container is reached by its own address although the firewall blocks it",
  "egress-bypass": "a container sends what the firewall forbids the host",
  "forward-bypass": "the rules of a container engine forward what the firewall blocks",
  "ineffective-allow": "the firewall allows what other rules drop",
};

/** The same for several findings. */
const PLURAL_KINDS: KindTexts = {
  "ingress-bypass": "published ports are open although the firewall blocks them",
  "loopback-bypass": "ports published on a loopback address are reached from outside",
  "direct-bypass": "containers are reached by their own addresses, which the firewall blocks",
  "egress-bypass": "containers send what the firewall forbids the host",
  "forward-bypass": KINDS["forward-bypass"],
  "ineffective-allow": KINDS["ineffective-allow"],
};

/** The same where only a firewall that was not read may block the packets. */
const NOT_READ_KINDS: KindTexts = {
  "ingress-bypass": "a published port is open, and a firewall for it is not read",
  "loopback-bypass": "a loopback port is reached from outside, and a firewall for it is not read",
  "direct-bypass": "a container is reached by its own address, and a firewall is not read",
  "egress-bypass": "a container sends packets, and a firewall for the host's own is not read",
  "forward-bypass": "a container engine forwards packets, and a firewall for them is not read",
  "ineffective-allow": "a firewall that is not read may allow what other rules drop",
};

const STOPPED = "the firewall lets a published port in, and drops it at the forward hook";

const BANNED = "banned sources still reach a published port";

/** Returns true if only a firewall that was not read may block the packets of a finding. */
export const isNotRead = (f: Finding): boolean =>
  f.unread !== undefined && f.intended.verdict === "undecided";

const kindText = (f: Finding): string =>
  f.bans?.only === true
    ? BANNED
    : f.kind === "ineffective-allow" && f.listen !== null
      ? STOPPED
      : isNotRead(f)
        ? NOT_READ_KINDS[f.kind]
        : KINDS[f.kind];

/** Returns the title of a group of similar findings. */
export function groupTitle(group: readonly Finding[]): string {
  const [f] = group as [Finding];
  const title =
    f.bans?.only === true || isNotRead(f) || group.length === 1 || f.kind === "ineffective-allow"
      ? kindText(f)
      : PLURAL_KINDS[f.kind];
  return `${title[0]!.toUpperCase()}${title.slice(1)}`;
}

/** Returns the port or ports of an endpoint; `null` where it has none. */
const portsOf = ({ port, portEnd }: Exposure["listen"] | Exposure["endpoint"]): string | null =>
  port === null ? null : portsText(port, portEnd);

type Published = Pick<Exposure, "listen" | "proto" | "family">;

/** Returns a published port or range: `8080/tcp`, `192.0.2.1:8080/tcp`, `9000-9010/udp`. */
export const published = ({ listen, proto, family }: Published): string => {
  const any = family === 6 ? "[::]:" : "";
  const ports = portsOf(listen);
  const place = listen.address === null ? `${any}${ports ?? "any"}` : at(listen.address, ports);
  return `${place}/${proto}`;
};

/** Returns a container by its name, address, and service of Compose or a swarm. */
export function container(c: Finding["container"]): string {
  if (c === null) return "";
  const service = [c.project, c.service].filter((name) => name !== undefined).map(safe);
  const name = c.name === null ? "" : `${safe(c.name)} `;
  return `${name}${at(c.ip, portsOf(c))}${service.length === 0 ? "" : ` (${service.join("/")})`}`;
}

/** Returns the word for all sources of a finding. */
export const everySource = (kind: Finding["kind"] | undefined): string =>
  kind === "egress-bypass" ? "every container" : "everyone";

/**
 * Returns sources by interface.
 * @param inputs interfaces that need no mention where all sources arrive on them
 */
export function sourcesByInterface(
  { by, sources, kind }: Pick<ReachedBy, "by" | "sources"> & { readonly kind?: Finding["kind"] },
  inputs: readonly string[] = [],
): string {
  const all = everySource(kind);
  if (by.length === 0) return `${sourcesText(sources, all)}, by an interface that is not listed`;
  const texts = by.map((group) => {
    const isKnown = group.in.join() === inputs.join() && group.ports === undefined;
    const via = isKnown ? "" : ` via ${safe(interfacesText(group))}`;
    const to = group.destinations === undefined ? "" : ` for ${hostDestinationsText(group.destinations)}`;
    return `${sourcesText(group.sources, all)}${via}${to}`;
  });
  return texts.join("; ");
}

/** Returns the packets that the owner's rules let through. */
export const allowedText = ({ permitted, in: inputs, kind }: Finding): string =>
  `${safe(permittedText(permitted, inputs))}${kind === "egress-bypass" ? " (outwards)" : ""}`;

/** Returns true if it is useful to name the packets that the owner's rules let through. */
export const namesAllowed = (f: Finding): boolean =>
  !permitsNoSource(f.permitted) && f.kind !== "ineffective-allow" && !isNotRead(f);

/** Returns a rule as its ufw command or its text; a policy as the ufw default that sets it, or with its chain. */
export function deciderLabel(rule: Decider): string {
  switch (rule.code) {
    case "rule":
      return rule.ufw !== undefined ? `ufw ${safe(rule.ufw)}` : safe(rule.command ?? rule.text);
    case "policy":
      return rule.ufw !== undefined
        ? `ufw ${safe(rule.ufw)}`
        : `${rule.table === "filter" ? "" : `${rule.table} `}${safe(rule.chain)} policy ${rule.verdict}`;
    default:
      return safe(deciderText(rule));
  }
}

/** Returns the position of a rule, or the policy that a ufw default sets, in parentheses; else nothing. */
export function placeOf(rule: Decider): string {
  if (rule.code === "rule")
    return ` (line ${rule.line}${rule.ufw === undefined ? "" : `: ${safe(rule.text)}`})`;
  if (rule.code !== "policy" || rule.ufw === undefined) return "";
  const { ufw: _, ...policy } = rule;
  return ` (${safe(deciderText(policy))})`;
}

/** Returns a finding in one sentence. */
export function findingSentence(f: Finding): string {
  const listen = f.listen === null ? "" : `, published as ${published({ ...f, listen: f.listen })}`;
  const subject = f.container === null ? "" : ` (container ${container(f.container)}${listen})`;
  const all = everySource(f.kind);
  const through =
    f.by.length === 0
      ? [`${sourcesText(f.sources, all)}, by an interface that is not listed`]
      : f.by.map((group) => {
          const to =
            group.destinations === undefined ? "" : ` for ${hostDestinationsText(group.destinations)}`;
          return `${sourcesText(group.sources, all)} gets through via ${safe(interfacesText(group))}${to}`;
        });
  const rule = deciderLabel(f.intended.rule);
  const intent = isNotRead(f)
    ? `the firewall is ${rule}`
    : `the verdict of the firewall is ${f.intended.verdict} (${rule})`;
  const traffic = f.traffic === undefined ? "" : ` with ${trafficText(f.traffic)}`;
  return `${kindText(f)}${subject}: ${intent}, but ${through.join("; ")}${traffic}; for instance ${packetText(f.witness)}`;
}

/** Returns the lists whose bans a finding bypasses. */
export const banLists = ({ lists }: NonNullable<Finding["bans"]>): string =>
  lists.map((list) => safe(banListText(list))).join(", ");

/** Returns the firewall's decision about a published port, in a few words. */
function decision(f: Finding): string {
  if (f.bans?.only === true) return `ban by ${banLists(f.bans)}`;
  const rule = deciderLabel(f.intended.rule);
  return namesAllowed(f) ? `${rule}; lets in ${safe(permittedText(f.permitted, f.in))}` : rule;
}

/** Returns the firewall's decision about an exposure and the finding about it. */
export const firewall = (e: Exposure, finding: Finding | undefined): string =>
  finding !== undefined
    ? decision(finding)
    : e.unread === undefined
      ? "allows"
      : `not read: ${e.unread.map(safe).join(", ")}`;

/** Mechanism that publishes a port, after the firewall's decision; empty for Docker's DNAT. */
export const MEANS: Readonly<Record<Exposure["means"], string>> = {
  dnat: "",
  ingress: "",
  routed: " (routed)",
  proxy: " (proxy)",
  direct: " (own address)",
};

/** Returns the sentence about packets to an open port that no expectation covers. */
export const unexpectedSentence = (e: Exposure, unexpected: ReachedBy): string =>
  `${published(e)} (${container(e.endpoint)}) is open to ${sourcesByInterface(unexpected)}; for instance ${packetText(unexpected.witness)}`;

/** Returns the finding about a published port. */
export const aboutPort = (e: Exposure, findings: readonly Finding[]): Finding | undefined =>
  e.means === "direct" ? aboutNetwork(e, findings) : aboutEndpoint(e, findings);

/** Returns the finding about all containers of the bridge that an endpoint is on. */
const aboutNetwork = (e: Exposure, findings: readonly Finding[]): Finding | undefined =>
  findings.find(
    ({ family, kind, traffic }) =>
      kind === "direct-bypass" &&
      family === e.family &&
      traffic?.to.kind === "network" &&
      traffic.to.bridge === e.bridge,
  );

const aboutEndpoint = (e: Exposure, findings: readonly Finding[]): Finding | undefined =>
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

/** Returns what a finding that is `may` depends on: its unknowns, and an interface if no listed one leads to it. */
export const dependencies = ({ by, depends }: Finding): string[] => [
  ...depends,
  ...(by.length === 0 ? ["an interface that is not on the host now, such as a VPN that comes up later"] : []),
];

/** Groups findings that differ only in their endpoint, in the order of the first of each group. */
export function grouped(findings: readonly Finding[]): Finding[][] {
  const groups = new Map<string, Finding[]>();
  for (const f of findings) {
    const { rule } = f.intended;
    const alike = [
      f.kind,
      f.family,
      rule.code === "rule" ? [rule.table, rule.chain, rule.rule] : rule,
      permittedText(f.permitted, f.in),
      f.certainty,
      f.expected,
      f.by,
      f.traffic,
      f.bans,
      f.depends,
      lastFilterRule(f.actual.path)?.chain,
    ];
    const key = JSON.stringify(alike);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [f]);
    else group.push(f);
  }
  return [...groups.values()];
}

/** Returns the last rule of table filter on a path: the one that let the packet through. */
const lastFilterRule = (path: readonly Step[]): RuleStep | undefined =>
  path.findLast((s): s is RuleStep => s.step === "rule" && iptablesName(s.table) === "filter");

/** Returns the rules that translated a finding's packet and let it through or stopped it. */
export function pathSummary({ actual: { path, rule, verdict } }: Finding): string {
  const place = (s: RuleStep): string => `${safe(s.table)} ${safe(s.chain)} ${s.rule} (line ${s.line})`;
  const isRule = (s: Step): s is RuleStep => s.step === "rule";
  const dnat = path.filter(isRule).find((s) => iptablesName(s.table) === "nat" && s.target === "DNAT");
  const last = verdict === "accept" ? lastFilterRule(path) : path.findLast(isRule);
  const decides = "table" in rule && isNative(rule.table) ? nativeDecider(rule) : undefined;
  const by = decides ?? (last === undefined ? "the policy of FORWARD" : place(last));
  const result = `${verdict === "accept" ? "accepted" : "stopped"} by ${by}`;
  return dnat === undefined ? result : `translated by ${place(dnat)}, ${result}`;
}

/** Returns true for a table of nftables, or of the other backend of iptables. */
const isNative = (table: string): boolean => table.includes(" ");

/** Returns a rule or policy by its position, with its table. */
const nativeDecider = (rule: Extract<Decider, { table: string }>): string =>
  rule.code === "rule"
    ? `${safe(rule.table)} ${safe(rule.chain)} ${rule.rule} (line ${rule.line})`
    : `the policy of ${safe(rule.table)} ${safe(rule.chain)}`;
