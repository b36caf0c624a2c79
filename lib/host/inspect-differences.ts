/**
 * Compares the containers of `inspect` with the networks of `network inspect`. Both print a sequence of JSON documents, so a
 * text that is cut off between two documents looks whole.
 */
import type { Container, Engine, Network } from "./host.ts";
import type { HostDoubt } from "./host-doubt.ts";

/** Returns a doubt for each engine and kind of difference. */
export const inspectDifferences = (
  containers: readonly Container[],
  networks: readonly Network[],
): HostDoubt[] =>
  (["docker", "podman"] as const).flatMap((engine) => {
    const isOwn = (each: Container | Network): boolean => (each.engine ?? "docker") === engine;
    const own = networks.filter(isOwn);
    // Without any network, `network inspect` was not given.
    return own.length === 0 ? [] : differencesOf(engine, containers.filter(isOwn), own);
  });

function differencesOf(
  engine: Engine,
  containers: readonly Container[],
  networks: readonly Network[],
): HostDoubt[] {
  const lost = membersWithout(containers, networks);
  const unlisted = new Set<string>();
  const unknown = new Set<string>();
  for (const { name: container, attached = [] } of containers)
    for (const { network, addresses } of attached) {
      const known = networks.filter(({ name }) => name === network);
      if (known.length === 0) unknown.add(network);
      else if (!known.some((each) => mayHold(each, addresses))) unlisted.add(container);
    }
  const doubts: HostDoubt[] = [];
  if (lost.length > 0) doubts.push({ code: "containers-not-inspected", engine, containers: lost });
  if (unlisted.size > 0)
    doubts.push({ code: "containers-not-in-network", engine, containers: [...unlisted] });
  if (unknown.size > 0) doubts.push({ code: "networks-not-inspected", engine, networks: [...unknown] });
  return doubts;
}

/** Returns the names of the members of networks that `inspect` lacks. */
function membersWithout(containers: readonly Container[], networks: readonly Network[]): string[] {
  const ids = new Set(containers.map(({ id }) => id));
  // A container without an id is of a text that was shortened by hand.
  const names = new Set(containers.filter(({ id }) => id === undefined).map(({ name }) => name));
  const lost = networks
    .flatMap(({ members = [] }) => members)
    .filter(({ id, name }) => !ids.has(id) && !names.has(name));
  return [...new Map(lost.map(({ id, name }) => [id, name])).values()];
}

/** Returns true if a network has endpoints with these addresses, or if its endpoints are not known. */
const mayHold = ({ members, endpoints }: Network, addresses: Container["addresses"]): boolean =>
  members === undefined ||
  addresses.every((address) => endpoints.some((endpoint) => endpoint.address === address));
