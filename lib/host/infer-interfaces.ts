/** Interfaces and addresses of a host without `ip addr`, inferred from rules, Docker networks and packets. */
import {
  addressFamily,
  isInRanges,
  parsePrefix,
  prefixRange,
  printAddress,
  printPrefix,
} from "../packet/address.ts";
import type { Address, Family } from "../packet/field.ts";
import { plain } from "../rules/reading.ts";
import { allRules, type Ruleset } from "../rules/ruleset.ts";
import type { Interface, InterfaceAddress, Network } from "./host.ts";
import type { HostInference } from "./inference.ts";
import { type DockerBridge, dockerBridges } from "./known/docker.ts";
import { isTunnel } from "./known/interfaces.ts";
import { ufwCommandDirection } from "./known/ufw.ts";

/** Documentation addresses (RFC 5737, RFC 3849) for a host whose addresses are unknown. */
const STAND_IN = { 4: "192.0.2.1", 6: "2001:db8::1" } as const;

/** A packet that will be simulated. If it arrives for an unknown address, that address is assumed to be one of the host. */
export interface AddressHint {
  /** Input interface; `null` for a packet of the host. */
  readonly in: string | null;
  /** Source address. */
  readonly src: Address;
  /** Destination address. */
  readonly dst: Address;
  /** 4 or 6. */
  readonly family: Family;
}

/**
 * Returns the interfaces that the rules show to lead outside, the best evidence first: MASQUERADE or SNAT by the output
 * interface, DNAT by the input interface, and ufw rules.
 */
export function uplinks(rulesets: readonly Ruleset[], bridges: ReadonlySet<string>): string[] {
  const sources = new Set<string | undefined>();
  const destinations = new Set<string | undefined>();
  const ufw = new Set<string | undefined>();
  for (const ruleset of rulesets)
    for (const rule of allRules(ruleset)) {
      const { action, chain } = rule;
      if (action === "masquerade" || action === "snat") sources.add(plain(rule.reading.out));
      if (action === "dnat") destinations.add(plain(rule.reading.in));
      if (ufwCommandDirection(chain) === "input") ufw.add(plain(rule.reading.in));
    }
  return [...sources, ...destinations, ...ufw].filter(
    (name): name is string => name !== undefined && isUplink(name) && !bridges.has(name) && !isTunnel(name),
  );
}

const isUplink = (name: string): boolean => name !== "" && name !== "lo" && !name.endsWith("+");

/** Returns the inferred interfaces. `note` receives each inference. */
export function inferInterfaces(
  rulesets: readonly Ruleset[],
  networks: readonly Network[],
  hints: readonly AddressHint[],
  note: (inference: HostInference) => void,
): Interface[] {
  const inference = new Inference(note);
  const bridges = withNetworks(dockerBridges(rulesets), networks);
  for (const [name, bridge] of bridges) inference.addBridge(name, bridge, networks);
  inference.addOutside(rulesets, new Set(bridges.keys()), hints);
  inference.addHintedAddresses(hints, new Set(bridges.keys()));
  return inference.interfaces();
}

/** Adds the bridges and subnets of Docker networks. */
function withNetworks(
  bridges: Map<string, DockerBridge>,
  networks: readonly Network[],
): ReadonlyMap<string, DockerBridge> {
  for (const { bridge, subnets } of networks) {
    if (bridge === null) continue;
    const known = bridges.get(bridge) ?? { subnets: new Map(), endpoints: new Map() };
    for (const subnet of subnets) known.subnets.set(printPrefix(subnet), subnet);
    bridges.set(bridge, known);
  }
  return bridges;
}

/** Interfaces under construction, in the order in which they were added. */
class Inference {
  private readonly addresses = new Map<string, InterfaceAddress[]>([["lo", []]]);

  constructor(private readonly note: (inference: HostInference) => void) {}

  interfaces(): Interface[] {
    return [...this.addresses].map(([name, addresses]) => ({ name, addresses, master: null }));
  }

  private add(name: string): InterfaceAddress[] {
    let addresses = this.addresses.get(name);
    if (addresses === undefined) this.addresses.set(name, (addresses = []));
    return addresses;
  }

  /** Adds a container bridge. Docker gives the first address of a subnet to the bridge. */
  addBridge(name: string, { subnets, endpoints }: DockerBridge, networks: readonly Network[]): void {
    const addresses = this.add(name);
    const source = networks.some((n) => n.bridge === name) ? "docker-network" : "masquerade-rule";
    for (const prefix of subnets.values()) {
      const [first] = prefixRange(prefix) as readonly [Address, Address];
      const gateway: Address = typeof first === "number" ? first + 1 : first + 1n;
      const family = addressFamily(first);
      addresses.push({ family, address: gateway, prefix, broadcast: null, invented: true });
      this.note({
        code: "bridge-subnet",
        bridge: name,
        subnet: printPrefix(prefix),
        source,
        address: printAddress(gateway),
      });
    }
    if (subnets.size === 0)
      this.note({ code: "bridge-without-subnet", bridge: name, containers: [...endpoints.keys()] });
  }

  /** Adds the other interfaces that rules and packets name, and gives addresses to one of them. */
  addOutside(
    rulesets: readonly Ruleset[],
    bridges: ReadonlySet<string>,
    hints: readonly AddressHint[],
  ): void {
    const named = namedInterfaces(rulesets, hints).filter((name) => !bridges.has(name));
    // Tunnels need an interface that carries them.
    const outside = named.every(isTunnel) ? [...new Set([...named, "eth0"])] : named;
    const main =
      uplinks(rulesets, bridges).find((name) => outside.includes(name)) ??
      outside.find((name) => !isTunnel(name))!;
    for (const name of outside) this.add(name);
    const families = [...new Set(rulesets.map((r) => r.family))];
    for (const family of families) {
      const prefix = parsePrefix(STAND_IN[family], family)!;
      this.add(main).push({ family, address: prefix.address, prefix, broadcast: null, invented: true });
    }
    this.note({
      code: "outside-interfaces",
      interfaces: outside,
      named,
      namedBy: hints.length === 0 ? "rules" : "rules-or-packet",
      main,
      addresses: families.map((family) => STAND_IN[family]),
    });
  }

  /** Adds destinations of inbound packets that no known subnet contains. */
  addHintedAddresses(hints: readonly AddressHint[], bridges: ReadonlySet<string>): void {
    const known = [...this.addresses.values()].flat();
    for (const { in: input, dst, family } of hints) {
      if (input === null || input === "lo" || bridges.has(input) || isNoHostAddress(dst)) continue;
      if (known.some((a) => a.family === family && isInRanges(dst, [prefixRange(a.prefix)]))) continue;
      const own = this.add(input);
      if (own.some((a) => a.address === dst)) continue;
      const prefix = parsePrefix(printAddress(dst), family)!;
      own.push({ family, address: dst, prefix, broadcast: null, invented: true });
      this.note({ code: "own-address", address: printAddress(dst), interface: input });
    }
  }
}

/** Interfaces that rules and packets name, except loopback. */
function namedInterfaces(rulesets: readonly Ruleset[], hints: readonly AddressHint[]): string[] {
  const names = new Set<string>();
  for (const ruleset of rulesets)
    for (const { reading } of allRules(ruleset))
      for (const name of [reading.in?.value, reading.out?.value])
        if (name !== undefined && name !== "lo" && !name.endsWith("+")) names.add(name);
  for (const { in: name } of hints) if (name !== null && name !== "lo") names.add(name);
  return [...names];
}

/** Multicast and IPv4 loopback addresses. */
const isNoHostAddress = (address: Address): boolean =>
  typeof address === "number" ? address >>> 28 === 14 || address >>> 24 === 127 : address >> 120n === 0xffn;
