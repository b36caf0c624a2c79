/** Sentences of an audit's codes. The texts hold names from the inputs; escape them before printing. */
import type { BanList } from "../../audit/bans.ts";
import type { Decider } from "../../audit/decision.ts";
import type { Doubt, PublishedEndpoint } from "../../audit/doubt.ts";
import type { Unmatchable } from "../../audit/finding.ts";
import type { Lint, PrecedingRule } from "../../audit/lint.ts";
import type { AuditNote } from "../../audit/notes.ts";
import type { RuleNote } from "../../audit/rule-note.ts";
import { DOCKER_USER } from "../../host/known/docker.ts";
import { BudgetExceeded } from "../../reach/budget.ts";
import { programOf } from "../../rules/ruleset.ts";
import { hostDoubtText, rulesetDoubtText } from "./doubt-text.ts";
import { commaList, counted, listText, plural } from "./list.ts";
import { endReasonText, uncertaintyText } from "./reason-text.ts";

/** Longer lists of lines, chains or ports are counted. */
const MOST_LISTED = 6;

const listed = (items: readonly (string | number)[]): string =>
  commaList(items.slice(0, MOST_LISTED).map(String), items.length - MOST_LISTED);

/** Returns why an audit is inconclusive. */
export function doubtText(doubt: Doubt): string {
  switch (doubt.code) {
    case "not-followed":
      return `IPv${doubt.family}: ${uncertaintyText(doubt.reason)}`;
    case "docker-nftables":
      return "Docker uses its nftables backend, and these rules have none of its tables: add the output of nft list ruleset, or restart Docker if flush ruleset has removed them; the exposure of containers is unknown";
    case "docker-without-iptables":
      return 'Docker is configured to write no iptables rules ("iptables": false): docker-proxy serves the published ports, and other forwarding to containers is unknown';
    case "no-docker-chain":
      if (doubt.engine === "podman")
        return `${doubt.evidence === "published-ports" ? "containers of Podman publish ports" : "the host has a bridge of Podman"} but the rules have none of netavark or CNI: the rules of another backend, or of a user's own namespace, may publish them; add the output of nft list ruleset; the exposure of containers is unknown`;
      return `${doubt.evidence === "published-ports" ? "containers publish ports" : "the host has Docker's bridges"} but the rules have no DOCKER chain: Docker may use its nftables backend, or the other of iptables-legacy and iptables-nft holds its rules; the exposure of containers is unknown`;
    case "no-docker-nat":
      return `IPv${doubt.family}: the rules hold Docker's chains of table filter but not those of table nat, where ports are published: the open ports are unknown (was the whole of iptables-save given?)`;
    case "no-filter-table":
      return `IPv${doubt.family}: the rules have no table filter, so the firewall's verdicts are unknown (was the whole of iptables-save given?)`;
    case "no-raw-table":
      return `IPv${doubt.family}: the rules have no table raw, in which the Docker that wrote them drops packets to the containers' own addresses: whether it does is not known (was the whole of iptables-save given?)`;
    case "other-publisher":
      return `IPv${doubt.family}: ${doubt.engine} publishes ports by its own rules, and only those of container engines are audited: the exposure of its pods is unknown`;
    case "translates-to-containers":
      return `IPv${doubt.family}: table ${doubt.table} of nftables translates packets to containers, and no known engine wrote it: whether the owner wants these ports open is unknown; if a container engine wrote it, pass --engine-table "${doubt.table}"`;
    case "other-engine":
      return `the rules hold chains of ${doubt.engine}, and only those of container engines are audited: the exposure of its pods is unknown`;
    case "no-engine":
      return "no container engine was found in these rules, so nothing was audited for containers: give a snapshot of the host that runs them (fwcheck collect)";
    case "unfiltered-network":
      return `network ${doubt.network} is ${doubt.driver}: its containers are attached to the wire, and no iptables rule of this host governs them`;
    case "container-off-bridge":
      return `container ${doubt.container} has the address ${doubt.ip}, which is on none of this host's bridges: it may be on a macvlan, ipvlan or overlay network, whose containers no iptables rule of this host governs; add docker network inspect to the inputs`;
    case "rules-only":
      return rulesOnlyText(doubt);
    case "unreachable-endpoint":
      return `IPv${doubt.family}: ${endpointText(doubt.endpoint)} is published, and no route or container bridge of the host leads to ${doubt.endpoint.ip}: addresses, routes and rules are from different times, or incomplete; its exposure is unknown`;
    case "no-containers":
      return `IPv${doubt.family}: the rules publish ${endpointText(doubt.endpoint)}, and no container is named: docker inspect or podman inspect is missing or empty; names, and ports that docker-proxy serves, are unknown`;
    case "port-without-rule":
      return `${doubt.engine === "podman" ? "Podman" : "Docker"} publishes port ${doubt.port} of ${doubt.container}, but no DNAT rule does: other rules than these serve it`;
    case "no-ruleset":
      return doubt.family === 4
        ? "there is no IPv4 ruleset among the inputs"
        : "there is no IPv6 ruleset among the inputs, and the host or its containers have IPv6 addresses: open ports in IPv6 are unknown";
    case "unaudited-sockets":
      return `IPv${doubt.family}: ${doubt.count === 1 ? "a socket listens" : `${doubt.count} sockets listen`} on the host, and no IPv${doubt.family} rules were audited: their exposure is unknown`;
    case "undecided-packets":
      return `IPv${doubt.family}: some packets have no verdict; fwcheck simulate names the reason for each`;
    case "routes-inferred":
      return `IPv${doubt.family}: no routes were given, so it is a guess which sources are behind which interface; audit a snapshot (fwcheck collect), or pass --route`;
    case "budget-exceeded": {
      const error = new BudgetExceeded(doubt.budget, doubt.by, doubt.unit);
      return `IPv${doubt.family}: ${error.message}, so this family was not audited: ${budgetAdvice(doubt.unit)}`;
    }
    case "large-cluster":
      return `IPv${doubt.family}: there are ${doubt.rules} rules with those of a pod network, more than ${doubt.limit}, and none of a container engine, so this family was not audited; simulate and explain accept such rules`;
    case "engines-disagree":
      return `IPv${doubt.family}: the sets and the simulator disagree about ${doubt.kind} ${doubt.proto} ${JSON.stringify(doubt.packet)}; please report this`;
    case "legacy-rules-missing":
    case "nft-rules-missing":
    case "unnamed-table":
    case "no-commit":
    case "table-given-twice":
    case "unreadable-lines":
    case "open-quote":
    case "rule-errors":
    case "set-elements-missing":
    case "listings-differ":
    case "table-not-followed":
      return `IPv${doubt.family}: ${rulesetDoubtText(doubt)}`;
    default:
      return hostDoubtText(doubt);
  }
}

function rulesOnlyText({ listed, missing }: Extract<Doubt, { code: "rules-only" }>): string {
  const parts = [
    ...(listed === true
      ? ["rules of iptables-legacy (nft does not list them)"]
      : ["tables of nftables", "rules of the other iptables backend"]),
    ...missing.map((family) => `rules of IPv${family}`),
  ];
  return `only ${listed === true ? "rules that nft lists" : "iptables rules"} were given: ${listText(parts, "and")} may filter or open more, and are not known; audit a snapshot (fwcheck collect), or pass --assume complete if there are none`;
}

function endpointText({ ip, port, proto }: PublishedEndpoint): string {
  const address = ip.includes(":") ? `[${ip}]` : ip;
  return `${address}${port === null ? "" : `:${port}`}${proto === null ? "" : `/${proto}`}`;
}

/** Returns a fact that is no finding. */
export function noteText(note: AuditNote): string {
  switch (note.code) {
    case "host-network":
      return `container ${note.container} uses the host's own network: INPUT governs its ports as any program's`;
    case "internal-network": {
      const { bridge, network, state, subnets } = note;
      const name = `${network === null ? "a network" : `network ${network}`} (${bridge}, ${subnets.join(", ")})`;
      if (state === "closed")
        return `${name} is internal and closed: nothing from outside gets in, nothing gets out`;
      return `${name} is internal, and yet ${state === "entered" ? "packets from outside get in" : "its containers get out"}`;
    }
    case "proxy-closed":
      return `docker-proxy serves ${note.ports.join(", ")} in IPv${note.family}, and INPUT governs it: closed`;
    case "shadow-search-skipped":
      return `IPv${note.family}: rules that never match were not searched, since there are too many rules; fwcheck lint searches them with a limit of its own (--budget)`;
    case "egress-cut":
      return `IPv${note.family}: nothing that containers on ${note.bridge} send leaves the host: rules at the forward hook drop it, and an accept of the engine in its own table does not override them; if containers should reach outside, allow it there (nft add rule ... iifname ${JSON.stringify(note.bridge)} accept, or ufw route allow in on ${note.bridge})`;
    case "not-forwarding":
      return `IPv${note.family}: the host forwards no packets (${note.sysctl} = 0), so the ports that Docker's rules publish reach no container; docker-proxy, a process of the host, still serves its own`;
    case "no-sockets-given":
      return "the sockets of the host were not given, so the exposure of the host itself is unknown: fwcheck collect gathers them, --listening takes them";
  }
}

/** Returns what a rule does instead, and what to write. */
export function lintText(lint: Lint): string {
  switch (lint.kind) {
    case "host-port-after-dnat": {
      const chain = lint.chain === DOCKER_USER ? lint.chain : `${lint.chain}, which DOCKER-USER calls,`;
      return `${chain} matches packets after DNAT, with the container's port: port ${lint.ports.join(", ")} of the host never occurs here; match the container's port, or use -m conntrack --ctorigdstport ${lint.ports[0]} --ctdir ORIGINAL`;
    }
    case "original-port-unguarded":
      return lint.drops === "own-connections"
        ? "without --ctdir ORIGINAL and a guard (--ctstate DNAT, --ctorigdst or -i) this also drops the containers' own connections to that port of other hosts"
        : "without --ctdir ORIGINAL, or a RELATED,ESTABLISHED return in front, this also drops the replies of established flows";
    case "behind-return": {
      const [before] = lint.by;
      return `rule ${before?.rule} (line ${before?.line}) in front of this one is unconditional, so no packet reaches this rule`;
    }
    case "docker-user-not-first":
      return `${precedingText(lint.preceding)} precedes DOCKER-USER in FORWARD and can accept packets that DOCKER-USER would drop`;
    case "docker-user-not-called":
      return "FORWARD never jumps to DOCKER-USER, so its rules are never evaluated";
    case "ban-misses-containers": {
      const { list, ports } = lint;
      const open =
        ports.length > MOST_LISTED
          ? counted(ports.length, "published port")
          : `published ${plural(ports.length, "port")} ${ports.join(", ")}`;
      return `${banListText(list)} bans on INPUT alone: sources in ${list.name} still reach ${open}; evaluate it in DOCKER-USER, too`;
    }
    case "shadowed": {
      const { alsoLines, by, chain, verdict } = lint;
      const also =
        alsoLines.length === 0
          ? ""
          : `, nor the rules of ${plural(alsoLines.length, "line")} ${listed(alsoLines)}`;
      return `no packet ever matches this ${verdict}${also}: earlier rules in ${chain} match all of its packets, and ${by.map(ruleNoteText).join(", ")} ${by.length > 1 ? "decide" : "decides"} otherwise; move it up or remove it`;
    }
    case "chain-not-called": {
      const { bans, chains, table } = lint;
      return `no rule of table ${table} calls ${plural(chains.length, "chain")} ${listed(chains)}: no packet ever reaches these rules${bans ? ", and bans in them have no effect" : ""}; call them or remove them`;
    }
    case "engine-table-torn":
      return `no hook reaches ${plural(lint.chains.length, "chain")} ${listed(lint.chains)} of Docker's table ${lint.table}: flush ruleset, the first line of Debian's nftables.conf, removed its base chains or the elements of its maps; published ports reach no container, and nothing guards the containers' addresses; restart Docker`;
    case "docker-user-left-behind":
      return lint.called
        ? "Docker uses nftables and does not maintain DOCKER-USER any more, but FORWARD still evaluates these rules, and what they drop stays dropped; fwcheck fix --migrate prints them as rules of nftables"
        : "Docker uses nftables and does not call DOCKER-USER any more: these rules have no effect; fwcheck fix --migrate prints them as rules of nftables";
    case "docker-user-in-other-backend":
      return lint.called
        ? `Docker's rules are in ${lint.backend}, which does not maintain this DOCKER-USER, but FORWARD evaluates these rules, and what they drop stays dropped; move them to DOCKER-USER of ${lint.backend}`
        : `Docker's rules are in ${lint.backend}, and nothing calls this DOCKER-USER: these rules have no effect; add them with ${programOf(lint.backend, lint.family)}`;
    case "dnat-past-deny":
      return `this translation opens port ${lint.port} although ${lint.by.map(ruleNoteText).join(", ")} denies it: packets that it rewrites pass FORWARD and never INPUT; deny them in FORWARD by their new destination, or remove the translation`;
  }
}

const ruleNoteText = ({ command, line, text, ufw }: RuleNote): string =>
  `line ${line} (${ufw === undefined ? (command ?? text) : `ufw ${ufw}`})`;

function precedingText(preceding: PrecedingRule): string {
  switch (preceding.kind) {
    case "tailscale":
      return `Tailscale's chain ${preceding.chain}`;
    case "vpn":
      return `the VPN's chain ${preceding.chain}`;
    case "chain":
      return `the chain ${preceding.chain}`;
    case "rule":
      return "this rule";
  }
}

/** Returns a ban list with the program that fills it: `fail2ban (f2b-sshd)`. */
export const banListText = ({ kind, name, program }: BanList): string =>
  `${program ?? "a blocklist"} (${kind === "ipset" ? `ipset ${name}` : name})`;

/** Returns what decides a packet, where no rule does: a policy with its chain, or the reason. */
export function deciderText(decider: Exclude<Decider, { code: "rule" }>): string {
  switch (decider.code) {
    case "policy": {
      const { chain, table, ufw, verdict } = decider;
      return `${table} ${chain} policy ${verdict}${ufw === undefined ? "" : ` (ufw ${ufw})`}`;
    }
    case "end-of-chain":
      return `end of chain ${decider.chain}`;
    case "unlisted-rule":
      return `${decider.chain} rule ${decider.number}`;
    case "no-rule":
      return "no rule";
    case "outside-rules":
      return endReasonText(decider.reason);
    case "not-read":
      return `not read: ${decider.by.join(", ")}`;
  }
}

/** Returns the advice for an exceeded limit: `--budget` sets only the limit of intervals and steps. */
const budgetAdvice = (unit: BudgetExceeded["unit"]): string =>
  unit === "intervals" || unit === "steps"
    ? "raise --budget, or move long lists of addresses from rules to ipsets"
    : "this limit is fixed; simulate and explain accept such rules";

/** Returns why no rule can match packets from these ports, and the remedy. */
export function unmatchableText({ code, inputs, sysctl }: Unmatchable): string {
  const ports = inputs.join(", ");
  switch (code) {
    case "several-ports":
      return `its bridge has several ports that belong to no container (${ports}), and no rule distinguishes frames for a container from frames between those ports: remove all but one from the bridge, and run fwcheck fix again`;
    case "no-br-netfilter":
      return `it arrives on a port of a container bridge (${ports}) that does not pass its frames to iptables (${sysctl} is 0 or br_netfilter is not loaded): frames for containers pass no rule. Remove the port from the bridge, or load br_netfilter, set ${sysctl} to 1 and run fwcheck fix again`;
  }
}
