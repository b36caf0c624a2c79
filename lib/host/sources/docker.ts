/** `docker inspect` and `docker network inspect`: names and addresses, and nothing else of them. */
import { familyOf, type Prefix, parseAddress } from "../../packet/address.ts";
import { type Address, protoNumber } from "../../packet/field.ts";
import { type Container, type Network, readPrefix } from "../host.ts";
import { arrays, entries, list, property, text } from "./json.ts";

export interface Docker {
  readonly containers: readonly Container[];
  readonly networks: readonly Network[];
}

/** Reads either array, or both in one; entries that are neither are skipped. @throws SyntaxError when it is no JSON */
export function readDocker(source: string): Docker {
  const containers: Container[] = [];
  const networks: Network[] = [];
  for (const entry of arrays(source)) {
    if (property(entry, "NetworkSettings") !== undefined) containers.push(container(entry));
    else if (property(entry, "IPAM") !== undefined) networks.push(network(entry));
  }
  return { containers, networks };
}

function container(entry: unknown): Container {
  const settings = property(entry, "NetworkSettings");
  const endpoints = entries(property(settings, "Networks")).map(([, endpoint]) => endpoint);
  const addresses = [settings, ...endpoints].flatMap((e) =>
    ["IPAddress", "GlobalIPv6Address"].flatMap((key): Address[] => {
      const value = text(property(e, key)) ?? "";
      const family = familyOf(value);
      return family === undefined ? [] : [parseAddress(value, family)!];
    }),
  );
  const asked = endpoints.some((e) => {
    const config = property(e, "IPAMConfig");
    return (
      text(property(config, "IPv4Address")) !== undefined ||
      text(property(config, "IPv6Address")) !== undefined
    );
  });
  return {
    name: (text(property(entry, "Name")) ?? text(property(entry, "Id")) ?? "?").replace(/^\//, ""),
    project:
      text(property(property(property(entry, "Config"), "Labels"), "com.docker.compose.project")) ?? null,
    hostNetwork: property(property(entry, "HostConfig"), "NetworkMode") === "host",
    addresses: [...new Set(addresses)],
    published: entries(property(settings, "Ports")).flatMap(([port, bindings]) =>
      published(port, list(bindings)),
    ),
    fixed: asked,
  };
}

/** `80/tcp` and where it is bound: `[{ HostIp: "0.0.0.0", HostPort: "8080" }]`. */
function published(port: string, bindings: readonly unknown[]): Container["published"][number][] {
  const proto = protoNumber(port.split("/")[1] ?? "tcp");
  return bindings.flatMap((binding) => {
    const hostPort = Number(text(property(binding, "HostPort")) ?? Number.NaN);
    if (proto === undefined || !Number.isInteger(hostPort)) return [];
    return [
      { family: (text(property(binding, "HostIp")) ?? "").includes(":") ? 6 : 4, proto, hostPort } as const,
    ];
  });
}

function network(entry: unknown): Network {
  const name = text(property(entry, "Name")) ?? "?";
  const driver = text(property(entry, "Driver")) ?? "?";
  const id = text(property(entry, "Id")) ?? "";
  const named = text(property(property(entry, "Options"), "com.docker.network.bridge.name"));
  const subnets = list(property(property(entry, "IPAM"), "Config")).flatMap((config): Prefix[] => {
    const read = readPrefix(text(property(config, "Subnet")) ?? "");
    return read === undefined ? [] : [read.prefix];
  });
  return {
    name,
    driver,
    bridge: driver === "bridge" ? (named ?? (name === "bridge" ? "docker0" : `br-${id.slice(0, 12)}`)) : null,
    subnets,
    internal: property(entry, "Internal") === true,
  };
}
