/** `podman network inspect` (netavark; podman-network-inspect(1)), and the mark of `podman inspect`. */
import { familyOf, type Prefix, parseAddress, parseAnyPrefix } from "../../packet/address.ts";
import type { Network } from "../host.ts";
import { entries, listOf, property, stringOf } from "./json.ts";
import { membersOf } from "./network-members.ts";

/** Returns true for a container of `podman inspect`: Docker's output has no runtime by this name. */
export const isPodmanContainer = (entry: unknown): boolean => property(entry, "OCIRuntime") !== undefined;

/** Returns true for a network of `podman network inspect`, whose names are in lower case. */
export const isPodmanNetwork = (entry: unknown): boolean =>
  stringOf(property(entry, "driver")) !== undefined &&
  (property(entry, "network_interface") !== undefined || property(entry, "subnets") !== undefined);

/** Reads a network. */
export function podmanNetwork(entry: unknown): Network {
  const driver = stringOf(property(entry, "driver")) ?? "?";
  const containers = property(entry, "containers");
  const subnets = listOf(property(entry, "subnets")).flatMap((each): Prefix[] => {
    const read = parseAnyPrefix(stringOf(property(each, "subnet")) ?? "");
    return read === undefined ? [] : [read.prefix];
  });
  return {
    engine: "podman",
    name: stringOf(property(entry, "name")) ?? "?",
    driver,
    bridge: driver === "bridge" ? (stringOf(property(entry, "network_interface")) ?? null) : null,
    subnets,
    internal: property(entry, "internal") === true,
    gateway: { 4: "nat", 6: "nat" },
    ...membersOf(containers, "name"),
    endpoints: entries(containers).flatMap(([, container]) => {
      const name = stringOf(property(container, "name"));
      const interfaces = entries(property(container, "interfaces")).map(([, each]) => each);
      return interfaces
        .flatMap((each) => listOf(property(each, "subnets")))
        .flatMap((subnet) => {
          const [value] = (stringOf(property(subnet, "ipnet")) ?? "").split("/") as [string];
          const family = familyOf(value);
          return name === undefined || family === undefined
            ? []
            : [{ name, address: parseAddress(value, family)! }];
        });
    }),
  };
}
