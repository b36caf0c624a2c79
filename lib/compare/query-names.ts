/** Names of an expression on a host: which interfaces, containers, networks and rules they are. */
import { outsidePorts } from "../host/bridge-ports.ts";
import type { Host } from "../host/host.ts";
import { interfacesInferred } from "../host/packet-origin.ts";
import type { Family } from "../packet/field.ts";
import { closestWord } from "../query-language/closest-word.ts";
import type {
  Expression,
  NameKind,
  QueryError,
  QueryFault,
  QueryName,
  QueryTest,
} from "../query-language/expression.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { type Zone, zonesOf } from "./zones.ts";

/** Returns all tests of an expression. */
export function testsOf(expression: Expression): readonly QueryTest[] {
  switch (expression.kind) {
    case "test":
      return [expression.test];
    case "not":
      return testsOf(expression.not);
    case "and":
      return expression.all.flatMap(testsOf);
    case "or":
      return expression.some.flatMap(testsOf);
  }
}

/** Returns the first name that the host does not have; `null` if it has all of them. */
export function nameError(
  expression: Expression,
  rulesets: readonly Ruleset[],
  host: Host,
): QueryError | null {
  for (const test of testsOf(expression)) {
    const error = faultOf(test, rulesets, host);
    if (error !== null) return error;
  }
  return null;
}

function faultOf(test: QueryTest, rulesets: readonly Ruleset[], host: Host): QueryError | null {
  switch (test.code) {
    case "container":
      return containerFault(test.name, host);
    case "network":
      return host.networks.some(({ name, bridge }) => name === test.name.name && bridge !== null)
        ? null
        : unknownName(
            "network",
            test.name,
            host.networks.map(({ name }) => name),
          );
    case "interface":
      return test.names.reduce<QueryError | null>(
        (error, name) => error ?? interfaceFault(name, test.field, host),
        null,
      );
    case "decided":
      return decidedFault(test, rulesets);
    default:
      return null;
  }
}

const at = ({ start, end }: QueryName, fault: QueryFault): QueryError => ({ start, end, ...fault });

const unknownName = (kind: NameKind, name: QueryName, known: readonly string[]): QueryError =>
  at(name, {
    code: "unknown-name",
    kind,
    name: name.name,
    suggestion: closestWord(name.name, known) ?? null,
  });

function containerFault(name: QueryName, host: Host): QueryError | null {
  const found = host.containers.filter((container) => container.name === name.name);
  if (found.length === 0)
    return unknownName(
      "container",
      name,
      host.containers.map((container) => container.name),
    );
  const zones = ([4, 6] as const).flatMap((family) => containerZones(host, family, name.name));
  if (zones.length > 0) return null;
  const code = found.some(({ hostNetwork }) => hostNetwork) ? "host-network" : "not-on-bridge";
  return at(name, { code, name: name.name });
}

function interfaceFault(name: QueryName, field: "in" | "out", host: Host): QueryError | null {
  const { name: text } = name;
  const known = host.interfaces.map((each) => each.name);
  if (text === "lo") return at(name, { code: "loopback", name: text });
  if (interfaceNames(text, field, host).length > 0) return null;
  const port = host.interfaces.find((each) => each.name === text && each.master !== null);
  if (port !== undefined) return at(name, { code: "bridge-port", name: text, bridge: port.master! });
  // The list may not be complete where no input has it.
  return interfacesInferred(host) && !text.endsWith("+") ? null : unknownName("interface", name, known);
}

/** Returns the names of interfaces, as the packets have them, for a name or a pattern (`br-+`) of an expression. */
export function interfaceNames(text: string, field: "in" | "out", host: Host): readonly string[] {
  const isMeant = (name: string): boolean =>
    /[+*]$/.test(text) ? name.startsWith(text.slice(0, -1)) : name === text;
  const ports = outsidePorts(host);
  const shared = new Set(ports.values());
  return host.interfaces.flatMap(({ name, master }) => {
    if (name === "lo") return [];
    // Packets of a container bridge with ports to the outside arrive on its ports.
    const onPort = field === "in" && master !== null && shared.has(master);
    if (onPort) return isMeant(name) || isMeant(master) ? [name] : [];
    if (field === "in" && shared.has(name)) return [];
    return master === null || isRouted(master, host) ? (isMeant(name) ? [name] : []) : [];
  });
}

/** A master that is no bridge leaves packets on the interface. */
const isRouted = (master: string, host: Host): boolean =>
  host.interfaces.find(({ name }) => name === master)?.kind === "vrf";

/** Returns the interfaces that a test names; a name that no input lists is one, too. */
export const testedInterfaces = (
  { field, names }: Extract<QueryTest, { code: "interface" }>,
  host: Host,
): readonly string[] =>
  names.flatMap(({ name }) => {
    const known = interfaceNames(name, field, host);
    return known.length > 0 ? known : [name];
  });

function decidedFault(
  { chain, rule }: Extract<QueryTest, { code: "decided" }>,
  rulesets: readonly Ruleset[],
): QueryError | null {
  const chains = rulesets.flatMap(({ tables }) =>
    [...tables.values()].flatMap((table) => [...table.chains.values()]),
  );
  const named = chains.filter(({ name }) => name === chain.name);
  if (named.length === 0)
    return unknownName(
      "chain",
      chain,
      chains.map(({ name }) => name),
    );
  const exists =
    rule === "policy"
      ? named.some(({ base }) => base !== null)
      : named.some(({ rules }) => rules.some(({ index }) => index === rule));
  return exists
    ? null
    : at(chain, { code: "unknown-name", kind: "rule", name: `${chain.name} ${rule}`, suggestion: null });
}

/** Returns the zones of a container's name: its addresses with their bridges. */
export const containerZones = (host: Host, family: Family, name: string): readonly Zone[] =>
  zonesOf(host, family, "container").filter((zone) => zone.kind === "container" && zone.name === name);

/** Returns the zone of a network's name. */
export const networkZones = (host: Host, family: Family, name: string): readonly Zone[] => {
  const bridges = host.networks.flatMap((network) =>
    network.name === name && network.bridge !== null ? [network.bridge] : [],
  );
  return zonesOf(host, family, "network").filter(
    (zone) => zone.kind === "network" && zone.bridges.some((bridge) => bridges.includes(bridge)),
  );
};
