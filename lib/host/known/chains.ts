/**
 * Registry of chains by the names that programs give them: moby's bridge driver from 17.06 to 29, ufw 0.36, jail.conf(5) and
 * others. A chain that is not in the registry is the owner's. lib/report/text/chain-purpose.ts has the sentences.
 */
import { iptablesName, type TableId, type TableName } from "../../rules/table-name.ts";
import {
  DOCKER_BRIDGE,
  DOCKER_CHAIN,
  DOCKER_CT,
  DOCKER_FORWARD,
  DOCKER_INGRESS,
  DOCKER_INTERNAL,
  DOCKER_ISOLATION,
  DOCKER_ISOLATION_STAGES,
  DOCKER_USER,
} from "./docker.ts";
import { PODMAN } from "./podman.ts";
import type { DockerPurpose, KnownChain, UfwPurpose } from "./purposes.ts";
import { knownTable } from "./tables.ts";

export type { KnownChain, PurposeCode } from "./purposes.ts";

/** Purposes of Docker's chains by table and name. */
const DOCKER: Readonly<Partial<Record<TableName, Readonly<Record<string, DockerPurpose>>>>> = {
  nat: { [DOCKER_CHAIN]: "docker-publish", [DOCKER_INGRESS]: "docker-publish-swarm" },
  filter: {
    [DOCKER_CHAIN]: "docker-accept-published",
    [DOCKER_FORWARD]: "docker-forward",
    [DOCKER_CT]: "docker-established",
    [DOCKER_BRIDGE]: "docker-bridge",
    [DOCKER_INTERNAL]: "docker-internal",
    [DOCKER_INGRESS]: "docker-accept-swarm",
    [DOCKER_ISOLATION]: "docker-isolation",
    [DOCKER_ISOLATION_STAGES[0]]: "docker-isolation-1",
    [DOCKER_ISOLATION_STAGES[1]]: "docker-isolation-2",
  },
};

/** Names of ufw's chains after `ufw-` or `ufw6-`. */
const UFW =
  /^ufw6?-(?:((?:before|after|user)-logging|before|after|reject|track|skip-to-policy)-(?:input|output|forward)|(user-(?:input|output|forward))|(logging-allow|logging-deny|not-local|user-limit|user-limit-accept))$/;

/** Other programs by the names of their chains; the first match counts. */
const OTHERS: readonly (readonly [name: RegExp, chain: KnownChain])[] = [
  [/^FWCHECK(-\d+)?$/, { by: "fwcheck fix", purpose: "fwcheck-policy" }],
  [/^(f2b|fail2ban)-/i, { by: "fail2ban", purpose: "fail2ban-jail", role: "bans" }],
  [/^crowdsec/i, { by: "CrowdSec", purpose: "crowdsec-bans", role: "bans" }],
  [/^sshguard/i, { by: "SSHGuard", purpose: "sshguard-bans", role: "bans" }],
  [/^ufw-docker-/, { by: "the script ufw-docker", purpose: "ufw-docker-drops" }],
  [/^ts-/, { by: "Tailscale", purpose: "tailnet" }],
  [/^KUBE-/, { by: "Kubernetes", purpose: "kubernetes", role: "cluster" }],
  [/^CNI-ADMIN$/, { by: "you", purpose: "cni-user" }],
  [/^CNI-/, { by: "a network plugin (CNI)", purpose: "cni", role: "engine" }],
  [/^FLANNEL/, { by: "a network plugin (CNI)", purpose: "cni", role: "cluster" }],
  [/^cali-/, { by: "Calico", purpose: "calico", role: "cluster" }],
  [/^(WEAVE|CILIUM)/, { by: "a network plugin", purpose: "pod-network", role: "cluster" }],
  [/^NETAVARK/, { by: PODMAN, purpose: "podman", role: "engine" }],
  [/^LIBVIRT_/, { by: "libvirt", purpose: "virtual-machines" }],
  [/^neutron-/, { by: "OpenStack (Neutron)", purpose: "openstack-ports" }],
  [/^zone_\w+/, { by: "OpenWrt", purpose: "openwrt-zone" }],
  [/^nm-sh-/, { by: "NetworkManager", purpose: "shared-connection" }],
  [
    /^((INPUT|FORWARD|PREROUTING|POSTROUTING|OUTPUT)_(direct|ZONES|IN_ZONES|OUT_ZONES)|(IN|FWDI|FWDO|FWD|PRE|POST)_\w+)/,
    { by: "firewalld", purpose: "firewalld-zone" },
  ],
];

/** Returns the program that fills a chain, and the chain's purpose; `null` if its name is not in the registry. */
export function knownChain(table: TableId, chain: string): KnownChain | null {
  const name = iptablesName(table);
  const docker = name === null ? undefined : DOCKER[name];
  if (docker !== undefined && Object.hasOwn(docker, chain))
    return { by: "Docker", purpose: docker[chain]!, role: "engine" };
  if (name === "filter" && chain === DOCKER_USER) return { by: "you", purpose: "docker-user" };
  const [, staged, user, other] = (name === "filter" ? UFW.exec(chain) : null) ?? [];
  const ufw = staged ?? user ?? other;
  if (ufw !== undefined) return { by: "ufw", purpose: `ufw-${ufw}` as UfwPurpose };
  const known = OTHERS.find(([pattern]) => pattern.test(chain))?.[1] ?? null;
  if (name !== null) return known;
  // In nftables the table shows the program; a chain of the owner may have any name.
  const isMine = known?.role === "engine" || known?.role === "cluster" || known?.by === "firewalld";
  return knownTable(table, chain) ?? (isMine ? null : known);
}

/** Returns the engine that fills a chain; `null` for a chain of the owner or of another program. */
export function engineOfChain(table: TableId, chain: string): string | null {
  const known = knownChain(table, chain);
  return known?.role === "engine" ? known.by : null;
}

/** Returns true for a name that VPN programs other than Tailscale give their chains. */
export const isVpnChain = (chain: string): boolean =>
  /^(nm-|nordvpn|PROTONVPN|mullvad|wg|WG|wireguard|vpn|VPN|openvpn|OPENVPN)/.test(chain);

/** Returns the program that fills a set of banned addresses; `null` if its name shows none. */
export const banSetProgram = (set: string): string | null => (/crowdsec/i.test(set) ? "CrowdSec" : null);
