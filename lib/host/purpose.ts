/**
 * Who fills a chain, what for, and where its owner changes it: told by the names that programs give their chains (moby's
 * bridge driver from 17.06 to 29, ufw 0.36, jail.conf(5) and the like). A chain with no such name is the owner's own.
 */
import { chainOf, type Ruleset, type TableName } from "../rules/ruleset.ts";

/** What is known of a chain by its name. */
export interface Purpose {
  /** The program that fills it, or `you`. */
  readonly by: string;
  /** What the chain is for, a clause without a subject: `publishes the ports of containers`. */
  readonly what: string;
  /** Where to change its rules, a sentence; absent where there is nothing to change. */
  readonly change?: string;
  /** A container engine (or pod network) fills it, or a program that bans senders; absent for other programs. */
  readonly role?: "engine" | "bans";
}

const DOCKER =
  "Docker writes this chain and changes it whenever it starts, and whenever a container does: do not edit it. Your own rules belong in DOCKER-USER.";

/** Docker's chains by (table, name). */
const DOCKERS: Readonly<Partial<Record<TableName, Readonly<Record<string, string>>>>> = {
  nat: {
    DOCKER:
      "publishes the ports of containers: for each it rewrites the destination to the container's own address and port (DNAT)",
    "DOCKER-INGRESS": "publishes the ports of a swarm's services: it sends them on to the ingress network",
  },
  filter: {
    DOCKER: "says what gets into containers from outside their network: the ports that they publish",
    "DOCKER-FORWARD": "calls Docker's other chains, and lets out what containers send",
    "DOCKER-CT": "lets packets of connections that are there into containers",
    "DOCKER-BRIDGE": "sends what is about to enter a container network to the chain DOCKER",
    "DOCKER-INTERNAL": "closes internal networks (docker network create --internal)",
    "DOCKER-INGRESS": "lets through what is for the published ports of a swarm's services",
    "DOCKER-ISOLATION": "keeps Docker's networks apart from each other",
    "DOCKER-ISOLATION-STAGE-1":
      "keeps Docker's networks apart, first half: it picks what leaves one container network for elsewhere",
    "DOCKER-ISOLATION-STAGE-2":
      "keeps Docker's networks apart, second half: it drops what would enter another container network",
  },
};

/** Ufw's chains by what stands behind `ufw-` and in front of the direction. */
const UFWS: Readonly<Record<string, readonly [what: string, change?: string]>> = {
  before: [
    "holds the rules of /etc/ufw/before.rules (loopback, ICMP and the like) and then asks your own",
    "Change /etc/ufw/before.rules (before6.rules for IPv6) and run ufw reload.",
  ],
  user: [
    "holds what you said with ufw commands about packets",
    "Change it with ufw commands: ufw status numbered lists them.",
  ],
  after: [
    "holds the rules of /etc/ufw/after.rules: what is not worth a line in the log goes straight to the default",
    "Change /etc/ufw/after.rules (after6.rules for IPv6) and run ufw reload.",
  ],
  "before-logging": ["logs packets before any rule is asked, where ufw logging is high enough for that"],
  "after-logging": ["logs what the default is about to block, a few lines a minute"],
  "user-logging": ["logs packets of commands that say log"],
  reject: ["refuses what nothing allowed, where the default is reject; else it is empty"],
  track: ["lets conntrack remember the connections that the default allows; else it is empty"],
  "skip-to-policy": ["does at once what the default of ufw says"],
};

const DIRECTIONS: Readonly<Record<string, string>> = {
  input: "to this host",
  output: "that this host sends",
  forward: "that this host routes (ufw route)",
};

/** Ufw's chains that have no direction. */
const UFW_OTHERS: Readonly<Record<string, string>> = {
  "logging-allow": "writes a line to the log, [UFW ALLOW]",
  "logging-deny": "writes a line to the log, [UFW BLOCK]",
  "not-local":
    "lets go on what is for this host, for a group or for everybody, and drops what only came by the same wire",
  "user-limit": "refuses and logs who connects too often (ufw limit)",
  "user-limit-accept": "lets in who does not connect too often (ufw limit)",
};

/** Other programs by the names of their chains; the first that fits. */
const OTHERS: readonly { readonly name: RegExp; readonly purpose: Purpose }[] = [
  {
    name: /^FWCHECK(-\d+)?$/,
    purpose: {
      by: "fwcheck fix",
      what: "makes the firewall's own policy hold for containers",
      change: "Do not edit it: run fwcheck fix again when the policy or the containers change.",
    },
  },
  {
    name: /^(f2b|fail2ban)-/i,
    purpose: {
      by: "fail2ban",
      what: "drops or rejects whom a jail has banned",
      change: "Use fail2ban-client.",
      role: "bans",
    },
  },
  {
    name: /^crowdsec/i,
    purpose: {
      by: "CrowdSec",
      what: "drops whom CrowdSec has banned",
      change: "Use cscli decisions.",
      role: "bans",
    },
  },
  { name: /^sshguard/i, purpose: { by: "SSHGuard", what: "drops whom SSHGuard has banned", role: "bans" } },
  {
    name: /^ufw-docker-/,
    purpose: { by: "the script ufw-docker", what: "logs and drops what it keeps from containers" },
  },
  { name: /^ts-/, purpose: { by: "Tailscale", what: "lets in and out what belongs to the tailnet" } },
  {
    name: /^KUBE-/,
    purpose: {
      by: "Kubernetes",
      what: "is kube-proxy's or the kubelet's, for services and pods",
      role: "engine",
    },
  },
  {
    name: /^(CNI-|FLANNEL)/,
    purpose: {
      by: "a network plugin (CNI)",
      what: "connects and publishes pods or containers",
      role: "engine",
    },
  },
  {
    name: /^cali-/,
    purpose: { by: "Calico", what: "is Calico's, for the policies and addresses of pods", role: "engine" },
  },
  {
    name: /^(WEAVE|CILIUM)/,
    purpose: { by: "a network plugin", what: "is the pod network's", role: "engine" },
  },
  {
    name: /^NETAVARK/,
    purpose: { by: "Podman (netavark)", what: "connects and publishes Podman's containers", role: "engine" },
  },
  { name: /^LIBVIRT_/, purpose: { by: "libvirt", what: "connects virtual machines" } },
  {
    name: /^neutron-/,
    purpose: { by: "OpenStack (Neutron)", what: "is OpenStack's, for the ports of its virtual machines" },
  },
  {
    name: /^zone_\w+/,
    purpose: { by: "OpenWrt", what: "holds the rules of a zone", change: "Change /etc/config/firewall." },
  },
  { name: /^nm-sh-/, purpose: { by: "NetworkManager", what: "shares a connection" } },
  {
    name: /^((INPUT|FORWARD|PREROUTING|POSTROUTING|OUTPUT)_(direct|ZONES|IN_ZONES|OUT_ZONES)|(IN|FWDI|FWDO|FWD|PRE|POST)_\w+)/,
    purpose: { by: "firewalld", what: "holds the rules of a zone", change: "Use firewall-cmd." },
  },
];

/** Who fills a chain and what for; `null` where its name does not tell. */
export function purposeOf(table: TableName, chain: string): Purpose | null {
  const docker = DOCKERS[table];
  if (docker !== undefined && Object.hasOwn(docker, chain))
    return { by: "Docker", what: docker[chain]!, change: DOCKER, role: "engine" };
  if (table === "filter" && chain === "DOCKER-USER")
    return {
      by: "you",
      what: "is yours: Docker makes it, calls it before its own chains, and leaves alone what you put there",
    };
  const ufw = /^ufw6?-(.+)$/.exec(chain)?.[1];
  if (ufw !== undefined && table === "filter") {
    if (Object.hasOwn(UFW_OTHERS, ufw)) return { by: "ufw", what: UFW_OTHERS[ufw]! };
    const m = /^(.+)-(input|output|forward)$/.exec(ufw);
    if (m !== null && Object.hasOwn(UFWS, m[1]!)) {
      const [what, change] = UFWS[m[1]!]!;
      return {
        by: "ufw",
        what: m[1] === "user" ? `${what} ${DIRECTIONS[m[2]!]}` : what,
        ...(change === undefined ? {} : { change }),
      };
    }
  }
  return OTHERS.find(({ name }) => name.test(chain))?.purpose ?? null;
}

/** The versions of Docker that lay their rules out as these are, `null` where there is none of it. */
export function dockerLayout(ruleset: Ruleset): string | null {
  const has = (chain: string): boolean => chainOf(ruleset, "filter", chain) !== undefined;
  if (has("DOCKER-INTERNAL")) return "29 or newer";
  if (has("DOCKER-FORWARD")) return "28";
  if (has("DOCKER-ISOLATION-STAGE-1")) return matchesBridges(ruleset) ? "28.0.0" : "27 or older";
  return has("DOCKER-ISOLATION") ? "older than 20.10" : null;
}

/** Docker 28.0.0, and no other, matches the set of its bridges in FORWARD. */
const matchesBridges = (ruleset: Ruleset): boolean =>
  (chainOf(ruleset, "filter", "FORWARD")?.rules ?? []).some(({ reading }) =>
    reading.sets?.some(({ value }) => value.set.startsWith("docker-ext-bridges")),
  );

/** The rules are of Docker 28.0 or later, which protects containers in table raw. */
export const isSince28 = (ruleset: Ruleset): boolean =>
  chainOf(ruleset, "filter", "DOCKER-FORWARD") !== undefined || matchesBridges(ruleset);

/** Direction of packets that a chain of ufw commands holds rules for. */
export type UfwDirection = "input" | "output" | "forward";

/** Returns the direction of a chain with the rules of ufw commands; `null` for any other chain. */
export const ufwCommandDirection = (chain: string): UfwDirection | null =>
  (/^ufw6?-user-(input|output|forward)$/.exec(chain)?.[1] as UfwDirection | undefined) ?? null;

/** Role of a chain that rules of ufw commands jump to: the limit of `ufw limit`, or logging; `null` for any other. */
export const ufwHelperRole = (chain: string): "limit" | "logging" | null =>
  /^ufw6?-user-limit(-accept)?$/.test(chain)
    ? "limit"
    : /^ufw6?-user-logging-/.test(chain)
      ? "logging"
      : null;

/** Returns true for the name of a VPN program's chain other than Tailscale's. */
export const isVpnChain = (chain: string): boolean =>
  /^(nm-|nordvpn|PROTONVPN|mullvad|wg|WG|wireguard|vpn|VPN|openvpn|OPENVPN)/.test(chain);

/** Returns true for the name of Docker 28.0.0's set of bridge networks. */
export const isDockerBridgeSet = (set: string): boolean => set.startsWith("docker-ext-bridges");

/** Returns the program that fills a set of banned addresses; `null` where the name shows none. */
export const banSetProgram = (set: string): string | null => (/crowdsec/i.test(set) ? "CrowdSec" : null);

/** Returns true for the name of a bridge that every Docker host or swarm node has. */
export const isDefaultDockerBridge = (name: string): boolean => /^docker(0|_gwbridge)$/.test(name);
