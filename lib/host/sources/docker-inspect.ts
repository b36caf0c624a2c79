/** `inspect` and `network inspect` of Docker and Podman: names and addresses only. */
import { familyOf, type Prefix, parseAddress, parseAnyPrefix } from "../../packet/address.ts";
import { type Address, protoNumber } from "../../packet/field.ts";
import type { Container, Daemon, Network } from "../host.ts";
import { arrays, entries, listOf, property, stringOf } from "./json.ts";
import { membersOf } from "./network-members.ts";
import { isPodmanContainer, isPodmanNetwork, podmanNetwork } from "./podman-network.ts";

export interface Docker {
  readonly containers: readonly Container[];
  readonly networks: readonly Network[];
  readonly daemon: Daemon;
  /** No entry is a container, a network, or what says something of the daemon. */
  readonly nothing: boolean;
}

/**
 * Reads the arrays of `inspect` and `network inspect` of both engines, and what `docker info --format json` or daemon.json
 * say of the daemon, each by itself or together; entries that are none of these are skipped.
 * @throws SyntaxError when it is no JSON
 */
export function readDocker(source: string): Docker {
  const containers: Container[] = [];
  const networks: Network[] = [];
  let daemon: Daemon = {};
  let nothing = true;
  for (const entry of arrays(source)) {
    if (isDocker(entry)) nothing = false;
    if (property(entry, "NetworkSettings") !== undefined) containers.push(container(entry));
    else if (property(entry, "IPAM") !== undefined) networks.push(network(entry));
    else if (isPodmanNetwork(entry)) networks.push(podmanNetwork(entry));
    else daemon = { ...daemon, ...settings(entry) };
  }
  return { containers, networks, daemon, nothing };
}

/** Keys that only Docker prints: of a container, a network, the daemon, and daemon.json. */
const NAMES = [
  "NetworkSettings",
  "IPAM",
  "DockerRootDir",
  "FirewallBackend",
  "firewall-backend",
  "userland-proxy",
  "iptables",
];

/** Returns true if an entry of a JSON text is Docker's or Podman's. */
export const isDocker = (entry: unknown): boolean =>
  NAMES.some((key) => property(entry, key) !== undefined) || isPodmanNetwork(entry);

/** `docker info` contains the backend in use, daemon.json the configured one (dockerd(8)). */
function settings(entry: unknown): Daemon {
  const backend =
    stringOf(property(property(entry, "FirewallBackend"), "Driver")) ??
    stringOf(property(entry, "firewall-backend"));
  const iptables = property(entry, "iptables");
  const proxy = property(entry, "userland-proxy");
  return {
    ...(backend === undefined ? {} : { backend: backend.split("+")[0]! }),
    ...(typeof iptables === "boolean" ? { iptables } : {}),
    ...(typeof proxy === "boolean" ? { proxy } : {}),
  };
}

function container(entry: unknown): Container {
  const settings = property(entry, "NetworkSettings");
  const networks = entries(property(settings, "Networks"));
  const endpoints = networks.map(([, endpoint]) => endpoint);
  const addresses = [settings, ...endpoints].flatMap(addressesOf);
  const attached = networks
    .map(([network, endpoint]) => ({ network, addresses: addressesOf(endpoint) }))
    .filter((each) => each.addresses.length > 0);
  const asked = endpoints.some((e) => {
    const config = property(e, "IPAMConfig");
    return (
      stringOf(property(config, "IPv4Address")) !== undefined ||
      stringOf(property(config, "IPv6Address")) !== undefined
    );
  });
  const label = (name: string): string | null =>
    stringOf(property(property(property(entry, "Config"), "Labels"), name)) ?? null;
  const id = stringOf(property(entry, "Id"));
  return {
    ...(isPodmanContainer(entry) ? { engine: "podman" } : {}),
    ...(id === undefined ? {} : { id }),
    name: (stringOf(property(entry, "Name")) ?? stringOf(property(entry, "Id")) ?? "?").replace(/^\//, ""),
    project: label("com.docker.compose.project"),
    service: label("com.docker.compose.service") ?? label("com.docker.swarm.service.name"),
    hostNetwork: property(property(entry, "HostConfig"), "NetworkMode") === "host",
    addresses: [...new Set(addresses)],
    ...(attached.length === 0 ? {} : { attached }),
    published: entries(property(settings, "Ports")).flatMap(([port, bindings]) =>
      published(port, listOf(bindings)),
    ),
    fixed: asked,
  };
}

/** Returns the addresses of an endpoint. */
const addressesOf = (endpoint: unknown): Address[] =>
  ["IPAddress", "GlobalIPv6Address"].flatMap((key): Address[] => {
    const value = stringOf(property(endpoint, key)) ?? "";
    const family = familyOf(value);
    return family === undefined ? [] : [parseAddress(value, family)!];
  });

/** `80/tcp` and where it is bound: `[{ HostIp: "0.0.0.0", HostPort: "8080" }]`. */
function published(port: string, bindings: readonly unknown[]): Container["published"][number][] {
  const [inside = "", name = "tcp"] = port.split("/");
  const proto = protoNumber(name);
  const containerPort = /^[1-9]\d{0,4}$/.test(inside) ? { containerPort: Number(inside) } : {};
  return bindings.flatMap((binding) => {
    const hostPort = Number(stringOf(property(binding, "HostPort")) ?? Number.NaN);
    if (proto === undefined || !Number.isInteger(hostPort)) return [];
    const ip = stringOf(property(binding, "HostIp")) ?? "";
    const family = ip.includes(":") ? 6 : 4;
    // 0.0.0.0 and :: are every address.
    const address = parseAddress(ip, family) || null;
    return [{ family, proto, hostPort, ...containerPort, address }];
  });
}

function network(entry: unknown): Network {
  const name = stringOf(property(entry, "Name")) ?? "?";
  const driver = stringOf(property(entry, "Driver")) ?? "?";
  const id = stringOf(property(entry, "Id")) ?? "";
  const options = property(entry, "Options");
  const named = stringOf(property(options, "com.docker.network.bridge.name"));
  const containers = property(entry, "Containers");
  const subnets = listOf(property(property(entry, "IPAM"), "Config")).flatMap((config): Prefix[] => {
    const read = parseAnyPrefix(stringOf(property(config, "Subnet")) ?? "");
    return read === undefined ? [] : [read.prefix];
  });
  return {
    name,
    driver,
    bridge: driver === "bridge" ? (named ?? (name === "bridge" ? "docker0" : `br-${id.slice(0, 12)}`)) : null,
    subnets,
    internal: property(entry, "Internal") === true,
    gateway: {
      4: stringOf(property(options, "com.docker.network.bridge.gateway_mode_ipv4")) ?? "nat",
      6: stringOf(property(options, "com.docker.network.bridge.gateway_mode_ipv6")) ?? "nat",
    },
    ...membersOf(containers, "Name"),
    endpoints: entries(containers).flatMap(([, endpoint]) => {
      const name = stringOf(property(endpoint, "Name"));
      return ["IPv4Address", "IPv6Address"].flatMap((key) => {
        const [value] = (stringOf(property(endpoint, key)) ?? "").split("/") as [string];
        const family = familyOf(value);
        return name === undefined || family === undefined
          ? []
          : [{ name, address: parseAddress(value, family)! }];
      });
    }),
  };
}

/** Members of an object that are kept: `true` keeps a value unchanged, a shape filters its members; `*` is every other name. */
type Kept = true | { readonly [name: string]: Kept };

const ADDRESSES: Kept = {
  IPAddress: true,
  GlobalIPv6Address: true,
  IPAMConfig: { IPv4Address: true, IPv6Address: true },
};
/** All that `readDocker` looks at. */
const READ: Kept = {
  Id: true,
  Name: true,
  // Identifies a container of Podman.
  OCIRuntime: {},
  NetworkSettings: {
    IPAddress: true,
    GlobalIPv6Address: true,
    Ports: { "*": { "*": { HostIp: true, HostPort: true } } },
    Networks: { "*": ADDRESSES },
  },
  HostConfig: { NetworkMode: true },
  Config: {
    Labels: {
      "com.docker.compose.project": true,
      "com.docker.compose.service": true,
      "com.docker.swarm.service.name": true,
    },
  },
  Driver: true,
  Internal: true,
  IPAM: { Config: { "*": { Subnet: true } } },
  Options: {
    "com.docker.network.bridge.name": true,
    "com.docker.network.bridge.gateway_mode_ipv4": true,
    "com.docker.network.bridge.gateway_mode_ipv6": true,
  },
  Containers: { "*": { Name: true, IPv4Address: true, IPv6Address: true } },
  name: true,
  id: true,
  driver: true,
  network_interface: true,
  internal: true,
  subnets: { "*": { subnet: true } },
  containers: { "*": { name: true, interfaces: { "*": { subnets: { "*": { ipnet: true } } } } } },
  // Identifies the text.
  DockerRootDir: {},
  FirewallBackend: { Driver: true },
  "firewall-backend": true,
  iptables: true,
  "userland-proxy": true,
};

/**
 * The same text without what fwcheck does not read: no environment, no command line, no mounts, no other labels. What
 * it gives reads as the whole does, and can be handed on.
 * @throws SyntaxError when it is no JSON
 */
export const networkPart = (source: string): string =>
  JSON.stringify(arrays(source).map((entry) => kept(entry, READ)));

/** Replaces values of another shape by `null`: their presence may matter, their value does not. */
function kept(value: unknown, shape: Kept): unknown {
  if (typeof value !== "object" || value === null) return shape === true ? value : null;
  if (shape === true) return null;
  if (Array.isArray(value)) return value.map((each) => kept(each, shape["*"] ?? {}));
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, each]) => {
      const of = Object.hasOwn(shape, name) ? shape[name] : shape["*"];
      return of === undefined ? [] : [[name, kept(each, of)]];
    }),
  );
}
