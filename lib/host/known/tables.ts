/**
 * Registry of tables of nftables by family and name: Docker 29 (moby's bridge driver), netavark 1.10 to 2, CNI's portmap,
 * kube-proxy, libvirt 10.4, Incus, firewalld, wg-quick(8), fail2ban's and CrowdSec's actions. Any other table is the owner's.
 */
import type { TableId } from "../../rules/table-name.ts";
import { PODMAN } from "./podman.ts";
import type { KnownChain, TablePurpose } from "./purposes.ts";

/** Programs by family and name of their table. */
const TABLES: readonly (readonly [table: RegExp, program: KnownChain])[] = [
  [/^ip6? docker-(overlay|dns)$/, { by: "Docker", purpose: "docker-table", role: "engine" }],
  [/^inet netavark$/, { by: PODMAN, purpose: "podman", role: "engine" }],
  [/^ip6? cni_hostport$/, { by: "a network plugin (CNI)", purpose: "cni", role: "engine" }],
  [/^ip6? kube-proxy$/, { by: "Kubernetes", purpose: "kubernetes", role: "cluster" }],
  [/^ip6? calico$/, { by: "Calico", purpose: "calico", role: "cluster" }],
  [/^ip6? libvirt_network$/, { by: "libvirt", purpose: "virtual-machines" }],
  [/^(inet|ip6?|bridge) (incus|lxd)$/, { by: "Incus or LXD", purpose: "virtual-machines" }],
  [/^(inet|ip6?) firewalld$/, { by: "firewalld", purpose: "firewalld-zone" }],
  [/^ip6? wg-quick-/, { by: "WireGuard (wg-quick)", purpose: "tunnel" }],
  [/^(inet|ip6?) f2b-table$/, { by: "fail2ban", purpose: "fail2ban-jail", role: "bans" }],
  [/^ip6? crowdsec6?$/, { by: "CrowdSec", purpose: "crowdsec-bans", role: "bans" }],
  [/^ip6? fwcheck$/, { by: "fwcheck fix", purpose: "fwcheck-policy" }],
];

/** Chains of Docker's table for bridge networks; the name of a bridge follows `__`. */
const DOCKER_BRIDGES: readonly (readonly [chain: RegExp, purpose: TablePurpose])[] = [
  [/^nat-prerouting-and-output$/, "docker-table-publish"],
  [/^raw-PREROUTING$/, "docker-table-guard"],
  [/^filter-forward-in__/, "docker-table-in"],
  [/^filter-forward-out__/, "docker-table-out"],
  [/^nat-postrouting-/, "docker-table-source"],
];

/** Returns true for a table of Docker's nftables backend (since 29), by family and name. */
export const isDockerTable = (table: TableId): boolean => /^ip6? docker-bridges$/.test(table);

/** Returns the chain of Docker's table with the rules about packets into a bridge. */
export const dockerTableChain = (bridge: string): string => `filter-forward-in__${bridge}`;

/** Returns true for netavark's table. */
export const isNetavarkTable = (table: TableId): boolean => table === "inet netavark";

/** Returns the program that fills a chain of a table of nftables; `null` if the table is not in the registry. */
export function knownTable(table: TableId, chain: string): KnownChain | null {
  if (isDockerTable(table)) {
    const purpose = DOCKER_BRIDGES.find(([name]) => name.test(chain))?.[1] ?? "docker-table";
    return { by: "Docker", purpose, role: "engine" };
  }
  return TABLES.find(([name]) => name.test(table))?.[1] ?? null;
}
