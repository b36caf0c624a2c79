/** Interfaces by the names that programs give them. */

/** Interfaces that run over another one or serve guests (ip-link(8), wg(8), zerotier, tailscaled(8)). */
const TUNNEL =
  /^(tailscale|wg|tun|tap|zt|nordlynx|ppp|ipsec|gre|sit|veth|virbr|lxc|lxd|cni|flannel|cali|kube|weave|vmnet|vboxnet)/;

/** Returns true for the name of a tunnel or of a guest's link, which has no connection to the outside of its own. */
export const isTunnel = (name: string): boolean => TUNNEL.test(name);
