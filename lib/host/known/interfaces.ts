/** Interfaces by the names that programs give them. */

/** Interfaces that run over another one or serve guests (ip-link(8), wg(8), zerotier, tailscaled(8)). */
const TUNNEL =
  /^(tailscale|wg|tun|tap|zt|nordlynx|ppp|ipsec|gre|sit|veth|virbr|lxc|lxd|cni|flannel|cali|kube|weave|vmnet|vboxnet)/;

/** Returns true for the name of a tunnel or of a guest's link, which has no connection to the outside of its own. */
export const isTunnel = (name: string): boolean => TUNNEL.test(name);

/** Names of the bridges that Podman creates by itself, with netavark or CNI. */
const PODMAN_BRIDGE = /^(cni-)?podman\d+$/;

/** Returns true for the name of a bridge that Podman creates by itself. */
export const isPodmanBridge = (name: string): boolean => PODMAN_BRIDGE.test(name);

/**
 * Names of the host's end of a container's link: Docker's (libnetwork/netutils GenerateIfaceName, 1.7 to 29), those of CNI's
 * plugin bridge, and netavark's, which the kernel numbers.
 */
const LINKS = { docker: /^veth[0-9a-f]{7}$/, podman: /^veth([0-9a-f]{8}|\d+)$/ };

/** Returns true for the name of the host's end of a container's link on a bridge of an engine. */
export const isContainerLink = (name: string, engine: keyof typeof LINKS): boolean =>
  LINKS[engine].test(name);
