/** Purposes of chains, as codes: lib/report/text/chain-purpose.ts has the sentences. */

/** Purposes of the chains of Docker's tables of nftables. */
export type TablePurpose =
  | "docker-table"
  | "docker-table-publish"
  | "docker-table-guard"
  | "docker-table-in"
  | "docker-table-out"
  | "docker-table-source";

/** Purposes of Docker's chains. */
export type DockerPurpose =
  | "docker-publish"
  | "docker-publish-swarm"
  | "docker-accept-published"
  | "docker-forward"
  | "docker-established"
  | "docker-bridge"
  | "docker-internal"
  | "docker-accept-swarm"
  | "docker-isolation"
  | "docker-isolation-1"
  | "docker-isolation-2";

/** Purposes of ufw's chains. */
export type UfwPurpose =
  | "ufw-before"
  | "ufw-user-input"
  | "ufw-user-output"
  | "ufw-user-forward"
  | "ufw-after"
  | "ufw-before-logging"
  | "ufw-after-logging"
  | "ufw-user-logging"
  | "ufw-reject"
  | "ufw-track"
  | "ufw-skip-to-policy"
  | "ufw-logging-allow"
  | "ufw-logging-deny"
  | "ufw-not-local"
  | "ufw-user-limit"
  | "ufw-user-limit-accept";

/** Purpose of a chain. */
export type PurposeCode =
  | DockerPurpose
  | TablePurpose
  | UfwPurpose
  | "docker-user"
  | "cni-user"
  | "tunnel"
  | "fwcheck-policy"
  | "fail2ban-jail"
  | "crowdsec-bans"
  | "sshguard-bans"
  | "ufw-docker-drops"
  | "tailnet"
  | "kubernetes"
  | "cni"
  | "calico"
  | "pod-network"
  | "podman"
  | "virtual-machines"
  | "openstack-ports"
  | "openwrt-zone"
  | "shared-connection"
  | "firewalld-zone";

/** Chain of a known program. */
export interface KnownChain {
  /** Program that fills the chain; `you` for the owner. */
  readonly by: string;
  readonly purpose: PurposeCode;
  /**
   * `engine`: a container engine fills it, and its rules are no intent of the owner. `cluster`: a pod network fills it, whose
   * rules are not audited. `bans`: a program that bans sources fills it.
   */
  readonly role?: "engine" | "cluster" | "bans";
}
