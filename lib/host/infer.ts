/**
 * What can be worked out of the rules where nothing was said of the host: Docker's bridges and subnets from its
 * MASQUERADE and DNAT rules, the outside interfaces from the rules that name them. Each inference is a sentence.
 */

import {
  isInRanges,
  type Prefix,
  parsePrefix,
  prefixRange,
  printAddress,
  printPrefix,
} from "../packet/address.ts";
import type { Address, Family } from "../packet/field.ts";
import { plain } from "../rules/reading.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { type Interface, type InterfaceAddress, mastersOf, type Network, type Route } from "./host.ts";

/** Addresses of documentation (RFC 5737, RFC 3849) that stand for the host's own when nobody said what those are. */
const STAND_IN = { 4: "192.0.2.1", 6: "2001:db8::1" } as const;

/** Bridges that Docker's rules speak of, with the subnets behind them where the rules tell. */
export function dockerBridges(
  rulesets: readonly Ruleset[],
): Map<string, { subnets: Map<string, Prefix>; endpoints: Map<string, Prefix> }> {
  const bridges = new Map<string, { subnets: Map<string, Prefix>; endpoints: Map<string, Prefix> }>();
  const bridge = (name: string) => {
    let found = bridges.get(name);
    if (found === undefined) bridges.set(name, (found = { subnets: new Map(), endpoints: new Map() }));
    return found;
  };
  for (const ruleset of rulesets) {
    const nat = ruleset.tables.get("nat")?.chains;
    const filter = ruleset.tables.get("filter")?.chains;
    for (const rule of nat?.get("DOCKER")?.rules ?? []) {
      // `-i br -j RETURN` up to 28, `! -i br ... -j DNAT` in all.
      const { in: input } = rule.reading;
      if (input !== undefined && !input.value.endsWith("+")) bridge(input.value);
    }
    for (const rule of filter?.get("DOCKER")?.rules ?? []) {
      const { in: input, out, dst } = rule.reading;
      const name = plain(out);
      if (name === undefined || input?.value !== name || !input.not) continue;
      const of = bridge(name);
      const endpoint = plain(dst);
      if (endpoint !== undefined) of.endpoints.set(printPrefix(endpoint), endpoint);
    }
    for (const chain of [
      "DOCKER-ISOLATION-STAGE-1",
      "DOCKER-INTERNAL",
      "DOCKER-FORWARD",
      "DOCKER-BRIDGE",
      "DOCKER-CT",
    ])
      for (const rule of filter?.get(chain)?.rules ?? []) {
        const { in: input, out } = rule.reading;
        const name = plain(input) ?? plain(out);
        if (name !== undefined && !name.endsWith("+")) bridge(name);
      }
    for (const rule of nat?.get("POSTROUTING")?.rules ?? []) {
      const { src, out } = rule.reading;
      const subnet = plain(src);
      if (rule.target.kind !== "extension" || rule.target.extension.name !== "MASQUERADE") continue;
      if (subnet !== undefined && out?.not && (bridges.has(out.value) || /^(docker|br-)/.test(out.value)))
        bridge(out.value).subnets.set(printPrefix(subnet), subnet);
    }
  }
  return bridges;
}

/** Hosts that packets speak of: where one arrives for an address nobody knows, the address is the host's own. */
export interface Hint {
  /** Interface it arrives on; `null` for a packet of the host itself. */
  readonly in: string | null;
  /** Source address. */
  readonly src: Address;
  /** Destination address. */
  readonly dst: Address;
  /** 4 or 6. */
  readonly family: Family;
}

/** Names of interfaces that are no way to the world of their own (ip-link(8), wg(8), zerotier, tailscaled(8)). */
const TUNNEL =
  /^(tailscale|wg|tun|tap|zt|nordlynx|ppp|ipsec|gre|sit|veth|virbr|lxc|lxd|cni|flannel|cali|kube|weave|vmnet|vboxnet)/;

/**
 * Returns the interfaces that the rules name as a way to the world, the best evidence first: what leaves by them is
 * translated (`-o X -j MASQUERADE` or SNAT), what comes in by them is (`-i X -j DNAT`), or ufw has rules for them.
 */
function uplinks(rulesets: readonly Ruleset[], bridges: ReadonlySet<string>): string[] {
  const found: [Set<string>, Set<string>, Set<string>] = [new Set(), new Set(), new Set()];
  for (const { tables } of rulesets)
    for (const { chains } of tables.values())
      for (const { rules } of chains.values())
        for (const rule of rules) {
          const { in: input, out, action } = rule.reading;
          if (action === "masquerade" || action === "snat") found[0].add(plain(out) ?? "");
          if (action === "dnat") found[1].add(plain(input) ?? "");
          if (/^ufw6?-user-input$/.test(rule.chain)) found[2].add(plain(input) ?? "");
        }
  return found
    .flatMap((names) => [...names])
    .filter(
      (name) =>
        name !== "" && name !== "lo" && !/[+]$/.test(name) && !bridges.has(name) && !TUNNEL.test(name),
    );
}

/** Interfaces and addresses where no `ip addr` was given. */
export function inferInterfaces(
  rulesets: readonly Ruleset[],
  networks: readonly Network[],
  hints: readonly Hint[],
  say: (sentence: string) => void,
): Interface[] {
  const made = new Map<string, InterfaceAddress[]>();
  const add = (name: string): InterfaceAddress[] => {
    let list = made.get(name);
    if (list === undefined) made.set(name, (list = []));
    return list;
  };
  add("lo");
  const bridges = dockerBridges(rulesets);
  for (const network of networks)
    if (network.bridge !== null) {
      const known = bridges.get(network.bridge) ?? { subnets: new Map(), endpoints: new Map() };
      for (const subnet of network.subnets) known.subnets.set(printPrefix(subnet), subnet);
      bridges.set(network.bridge, known);
    }
  for (const [name, { subnets, endpoints }] of bridges) {
    const list = add(name);
    for (const prefix of subnets.values()) {
      const [first] = prefixRange(prefix) as readonly [Address, Address];
      const gateway = (typeof first === "number" ? first + 1 : first + 1n) as Address;
      list.push({
        family: typeof first === "number" ? 4 : 6,
        address: gateway,
        prefix,
        broadcast: null,
        invented: true,
      });
      say(
        `${name} is a container bridge with ${printPrefix(prefix)} (from ${networks.some((n) => n.bridge === name) ? "docker network inspect" : "its MASQUERADE rule"}), its own address taken to be ${printAddress(gateway)}`,
      );
    }
    if (subnets.size === 0)
      say(
        `${name} is a container bridge (from Docker's rules); its subnet is not known${endpoints.size > 0 ? `, only ${[...endpoints.keys()].join(", ")} behind it` : ""}`,
      );
  }
  const outside = new Set<string>();
  for (const ruleset of rulesets)
    for (const table of ruleset.tables.values())
      for (const chain of table.chains.values())
        for (const rule of chain.rules) {
          const { in: input, out } = rule.reading;
          for (const name of [input?.value, out?.value])
            if (name !== undefined && name !== "lo" && !name.endsWith("+") && !bridges.has(name))
              outside.add(name);
        }
  for (const { in: name } of hints)
    if (name !== null && name !== "lo" && !bridges.has(name)) outside.add(name);
  const named = [...outside];
  const by = hints.length === 0 ? "named by the rules" : "named by the rules or the packet";
  // Rules that name tunnels only say nothing of the interface that the tunnels themselves go through.
  if (named.every((name) => TUNNEL.test(name))) outside.add("eth0");
  const main =
    uplinks(rulesets, new Set(bridges.keys())).find((name) => outside.has(name)) ??
    [...outside].find((name) => !TUNNEL.test(name));
  const families = new Set(rulesets.map((r) => r.family));
  for (const name of outside) add(name);
  for (const family of families) {
    const address = parsePrefix(STAND_IN[family], family)!;
    add(main!).push({ family, address: address.address, prefix: address, broadcast: null, invented: true });
  }
  say(
    `outside interfaces: ${[...outside].join(", ")} (${named.length === 0 ? "the usual name" : named.includes(main!) ? by : `${named.join(", ")} ${by}, ${main} the usual name`}); ${main} has the default route and an address of the host's, written ${[...families].map((f) => STAND_IN[f]).join(" and ")} because none was given`,
  );
  // Whatever arrives from outside for an address that no known subnet holds is meant for this host.
  const subnets = [...made.values()].flat();
  for (const hint of hints) {
    if (hint.in === null || bridges.has(hint.in) || hint.in === "lo") continue;
    const known = subnets.some((a) => a.family === hint.family && inside(hint.dst, a.prefix));
    if (
      known ||
      (typeof hint.dst === "number"
        ? hint.dst >>> 28 === 14 || hint.dst >>> 24 === 127
        : hint.dst >> 120n === 0xffn)
    )
      continue;
    const prefix = parsePrefix(printAddress(hint.dst), hint.family)!;
    if ((made.get(hint.in) ?? []).some((a) => a.address === hint.dst)) continue;
    add(hint.in).push({ family: hint.family, address: hint.dst, prefix, broadcast: null, invented: true });
    say(
      `${printAddress(hint.dst)} is taken to be an address of this host, on ${hint.in} (no --addr was given)`,
    );
  }
  return [...made].map(([name, addresses]) => ({ name, addresses, master: null }));
}

const inside = (address: Address, prefix: Prefix): boolean => isInRanges(address, [prefixRange(prefix)]);

/** Routes of the families of which no `ip route` was given: the subnets of the interfaces, single containers, and a default route. */
export function inferRoutes(
  rulesets: readonly Ruleset[],
  interfaces: readonly Interface[],
  bridges: readonly string[],
  families: readonly Family[],
  say: (sentence: string) => void,
): Route[] {
  const routes: Route[] = [];
  const route = (family: Family, to: Prefix, dev: string, source: Address | null = null): void => {
    if (!families.includes(family)) return;
    const inferred = true;
    routes.push({ family, type: "unicast", to, dev, table: "main", metric: 0, source, inferred });
  };
  const vrfs = mastersOf(interfaces, "vrf");
  for (const each of interfaces) {
    const within = vrfs.find((name) => name === each.master);
    const why =
      each.down === true
        ? "is down: nothing is routed by it"
        : within === undefined
          ? null
          : `is a port of the VRF ${within}: its subnets stand in that one's table`;
    if (why === null) {
      for (const a of each.addresses)
        if (!a.invented || bridges.includes(each.name)) route(a.family, a.prefix, each.name, a.address);
    } else if (each.addresses.length > 0) say(`${each.name} ${why}`);
  }
  for (const [name, { subnets, endpoints }] of dockerBridges(rulesets))
    if (subnets.size === 0)
      for (const endpoint of endpoints.values())
        route(typeof endpoint.address === "number" ? 4 : 6, endpoint, name);
  const ways = interfaces.filter(
    (i) =>
      i.name !== "lo" &&
      !TUNNEL.test(i.name) &&
      !bridges.includes(i.name) &&
      i.master === null &&
      i.down !== true &&
      i.masters !== "vrf",
  );
  const [uplink] = uplinks(rulesets, new Set(bridges)).filter((name) => ways.some((i) => i.name === name));
  // Where no addresses were given, the interface that got one is the one that the rules name.
  const main =
    ways.find((i) => i.name === uplink) ??
    ways.find((i) => i.addresses.some((a) => a.invented === true)) ??
    ways[0];
  if (main !== undefined) {
    for (const family of [4, 6] as const)
      route(
        family,
        parsePrefix(family === 4 ? "0.0.0.0/0" : "::/0", family)!,
        main.name,
        main.addresses.find((a) => a.family === family)?.address ?? null,
      );
    const which = families.length === 1 ? ` of IPv${families[0]}` : "";
    say(`the default route${which} leads out of ${main.name} (no --route${which} was given)`);
  }
  return routes;
}
