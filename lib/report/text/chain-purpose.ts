/** Purposes of known chains as sentences. */
import type { KnownChain, PurposeCode } from "../../host/known/chains.ts";

/** Purposes, each a clause without a subject: `publishes the ports of containers`. */
const PURPOSES: Readonly<Record<PurposeCode, string>> = {
  "docker-publish":
    "publishes the ports of containers: it rewrites the destination to the container's address and port (DNAT)",
  "docker-publish-swarm": "publishes the ports of a swarm's services: it sends them to the ingress network",
  "docker-accept-published": "accepts packets from outside for the published ports of containers",
  "docker-forward": "calls Docker's other chains and accepts packets that containers send",
  "docker-established": "accepts packets of established connections to containers",
  "docker-bridge": "sends packets that enter a container network to the chain DOCKER",
  "docker-internal": "closes internal networks (docker network create --internal)",
  "docker-accept-swarm": "accepts packets for the published ports of a swarm's services",
  "docker-isolation": "isolates Docker's networks from each other",
  "docker-isolation-1":
    "isolates Docker's networks from each other, first half: it selects packets that leave a container network",
  "docker-isolation-2":
    "isolates Docker's networks from each other, second half: it drops packets that enter another container network",
  "docker-table": "belongs to Docker's networks",
  "docker-table-publish":
    "publishes the ports of containers: it rewrites the destination to the container's address and port (DNAT)",
  "docker-table-guard": "drops packets from outside that are addressed to a container itself",
  "docker-table-in":
    "accepts packets for the published ports of a network's containers, and drops others from outside",
  "docker-table-out": "accepts packets that a network's containers send",
  "docker-table-source": "gives packets that a network's containers send the host's source address",
  "docker-user":
    "is yours: Docker creates it, calls it before its own chains, and leaves the rules that you add unchanged",
  "ufw-before":
    "contains the rules of /etc/ufw/before.rules (loopback, ICMP and others) and then calls yours",
  "ufw-user-input": "contains the rules of your ufw commands about packets to this host",
  "ufw-user-output": "contains the rules of your ufw commands about packets that this host sends",
  "ufw-user-forward":
    "contains the rules of your ufw commands about packets that this host routes (ufw route)",
  "ufw-after":
    "contains the rules of /etc/ufw/after.rules: packets that should not be logged go to the default policy",
  "ufw-before-logging": "logs packets before any other rule, if the level of ufw logging is high enough",
  "ufw-after-logging": "logs packets that the default policy is about to block, a few lines a minute",
  "ufw-user-logging": "logs packets of ufw commands with log",
  "ufw-reject": "rejects packets that no rule allowed if the default is reject; else it is empty",
  "ufw-track": "tracks connections that the default policy allows; else it is empty",
  "ufw-skip-to-policy": "applies the default policy of ufw at once",
  "ufw-logging-allow": "writes a line to the log, [UFW ALLOW]",
  "ufw-logging-deny": "writes a line to the log, [UFW BLOCK]",
  "ufw-not-local":
    "returns packets for this host, multicast and broadcast, and drops other packets that only passed on the link",
  "ufw-user-limit": "logs and rejects sources that connect too often (ufw limit)",
  "ufw-user-limit-accept": "accepts sources that do not connect too often (ufw limit)",
  "fwcheck-policy": "applies the firewall's own policy to containers",
  "fail2ban-jail": "drops or rejects the sources that a jail has banned",
  "crowdsec-bans": "drops the sources that CrowdSec has banned",
  "sshguard-bans": "drops the sources that SSHGuard has banned",
  "ufw-docker-drops": "logs and drops packets to containers that no rule allows",
  "cni-user": "is yours: the network plugin calls it before its own chains",
  tunnel: "drops packets for the tunnel's address that arrive outside the tunnel",
  tailnet: "accepts packets of the tailnet",
  kubernetes: "belongs to kube-proxy or the kubelet, for services and pods",
  cni: "connects pods or containers and publishes their ports",
  calico: "belongs to Calico, for the policies and addresses of pods",
  "pod-network": "belongs to the pod network",
  podman: "connects Podman's containers and publishes their ports",
  "virtual-machines": "connects virtual machines",
  "openstack-ports": "belongs to OpenStack, for the ports of its virtual machines",
  "openwrt-zone": "contains the rules of a zone",
  "shared-connection": "shares a connection",
  "firewalld-zone": "contains the rules of a zone",
};

const DOCKER =
  "Docker writes this chain and changes it whenever Docker or a container starts: do not edit it. Put your own rules in DOCKER-USER.";
const DOCKER_TABLE =
  "Docker writes this table and changes it whenever Docker or a container starts: do not edit it. Put your own rules in a table of your own.";
const UFW_COMMANDS = "Change it with ufw commands; ufw status numbered lists them.";

/** Advice where to change the rules of a chain. */
const CHANGES: Readonly<Partial<Record<PurposeCode, string>>> = {
  "ufw-before": "Change /etc/ufw/before.rules (before6.rules for IPv6) and run ufw reload.",
  "ufw-after": "Change /etc/ufw/after.rules (after6.rules for IPv6) and run ufw reload.",
  "ufw-user-input": UFW_COMMANDS,
  "ufw-user-output": UFW_COMMANDS,
  "ufw-user-forward": UFW_COMMANDS,
  "fwcheck-policy": "Do not edit it: run fwcheck fix again when the policy or the containers change.",
  "fail2ban-jail": "Use fail2ban-client.",
  "crowdsec-bans": "Use cscli decisions.",
  "openwrt-zone": "Change /etc/config/firewall.",
  "firewalld-zone": "Use firewall-cmd.",
};

/** Returns the purpose of a chain, a clause without a subject. */
export const purposeText = ({ purpose }: KnownChain): string => PURPOSES[purpose];

/** Returns where to change the rules of a chain; `undefined` if there is nothing to change. */
export const changeAdvice = ({ by, purpose }: KnownChain): string | undefined =>
  by !== "Docker" ? CHANGES[purpose] : purpose.startsWith("docker-table") ? DOCKER_TABLE : DOCKER;
