/** Traces of Podman's netavark in rules: `netavark firewall` of 1.0 to 2, with iptables and with nftables. */
import { isInRanges, type Prefix, prefixRange } from "../../packet/address.ts";
import { plain } from "../../rules/reading.ts";
import { chainOf, type Ruleset } from "../../rules/ruleset.ts";
import type { Container, Interface } from "../host.ts";
import { isContainerLink } from "./interfaces.ts";

/** Podman, as results name it. */
export const PODMAN = "Podman (netavark)";

/** Chains that accept packets to and from each network, by its subnet. */
const FORWARD_CHAINS = [
  ["inet netavark", "FORWARD"],
  ["filter", "NETAVARK_FORWARD"],
] as const;

/** Returns the bridges whose addresses are in a subnet that netavark's rules name. */
export function netavarkBridges(rulesets: readonly Ruleset[], interfaces: readonly Interface[]): string[] {
  const subnets = rulesets.flatMap((ruleset) =>
    FORWARD_CHAINS.flatMap(([table, chain]) =>
      (chainOf(ruleset, table, chain)?.rules ?? []).flatMap(({ reading }) => plain(reading.src) ?? []),
    ),
  );
  const known = new Set(subnets.map(keyOf));
  return interfaces.flatMap(({ name, addresses }) =>
    addresses.some(({ prefix }) => known.has(keyOf(prefix))) ? [name] : [],
  );
}

/**
 * Returns the bridges whose subnet contains a container of Podman, for networks that are not listed. A bridge with a port other
 * than links of containers is a network of the owner.
 */
export const podmanBridges = (containers: readonly Container[], interfaces: readonly Interface[]): string[] =>
  interfaces.flatMap(({ name, addresses }) => {
    const ports = interfaces.filter(({ master }) => master === name);
    const subnets = addresses.map(({ prefix }) => prefixRange(prefix));
    const hasContainer = containers.some(
      ({ addresses: own, engine }) => engine === "podman" && own.some((each) => isInRanges(each, subnets)),
    );
    const areLinks = ports.length > 0 && ports.every((port) => isContainerLink(port.name, "podman"));
    return hasContainer && areLinks ? [name] : [];
  });

const keyOf = (prefix: Prefix): string => prefixRange(prefix).join("-");
