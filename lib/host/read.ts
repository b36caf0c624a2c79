/** Puts a host together from what was given, and infers the rest. */
import type { Family } from "../packet/field.ts";
import type { Backend, MissingRules, Ruleset } from "../rules/ruleset.ts";
import type { TableId } from "../rules/table-name.ts";
import { type SourceKind, sourceKind } from "./classify.ts";
import type { Container, Host, Interface, Network } from "./host.ts";
import type { HostDoubt } from "./host-doubt.ts";
import { type AddressHint, inferInterfaces } from "./infer-interfaces.ts";
import { inferRoutes } from "./infer-routes.ts";
import type { HostInference } from "./inference.ts";
import { inspectDifferences } from "./inspect-differences.ts";
import { declaredBridges } from "./known/declared-bridges.ts";
import { dockerBridges, isDefaultDockerBridge } from "./known/docker.ts";
import { isPodmanBridge } from "./known/interfaces.ts";
import { netavarkBridges, podmanBridges } from "./known/podman.ts";
import type { RoutingRule } from "./routes.ts";
import { readDocker } from "./sources/docker-inspect.ts";
import { familyOfRules, readAddresses, readRoutes, readRules } from "./sources/ip.ts";
import { readIpsets } from "./sources/ipset.ts";
import { readSockets } from "./sources/ss.ts";
import { readSysctls } from "./sources/sysctl.ts";
import { listDoubts } from "./unread.ts";

/** A file's text under the name that messages use. */
export interface Source {
  /** Name of the source in messages. */
  readonly name: string;
  /** The whole text. */
  readonly text: string;
  /** Family of a text that does not show it: policy routing rules look alike, and a list of routes may be empty. */
  readonly family?: Family;
  /** Backend of iptables that printed a dump without comments. */
  readonly backend?: Backend;
  /** Of a dump in a snapshot: rules that the dump lacks, as far as the snapshot shows them. */
  readonly missing?: MissingRules;
  /** Of a listing of nft in a snapshot: it has all elements of the sets. */
  readonly complete?: boolean;
}

/** Inputs about a host; missing ones are inferred. */
export interface HostSources {
  /** `ip -j addr`. */
  readonly addr?: readonly Source[];
  /** `ip -j route show table all`, IPv4 and IPv6. */
  readonly route?: readonly Source[];
  /** `ip -j rule`, a source for each family. */
  readonly rule?: readonly Source[];
  /** `ipset save`. */
  readonly ipset?: readonly Source[];
  /** `docker inspect`, `docker network inspect`, and `docker info --format json` or daemon.json. */
  readonly docker?: readonly Source[];
  /** `sysctl -a`. */
  readonly sysctl?: readonly Source[];
  /** `ss -H -l -n -t -u -p`; an empty text where nothing listens. */
  readonly listening?: readonly Source[];
  /** `nft list tables`: with it, rules of both families count as complete. Give it to `withTables`, too. */
  readonly tables?: readonly Source[];
  /** Tables of nftables that a container engine fills of which fwcheck knows no name, by family and name: `ip myengine`. */
  readonly engineTables?: readonly TableId[];
  /** Reasons why the inputs may be incomplete; a snapshot contains them. */
  readonly doubts?: readonly HostDoubt[];
  /**
   * The given rules are all that filters on this host: no nftables tables, no rules of the other iptables backend, none
   * of a family that is not given. A snapshot names each of these that it could not read, and counts as complete.
   */
  readonly complete?: boolean;
}

/** Thrown for a source that cannot be read, or that contains nothing of its kind. */
export class SourceError extends Error {
  /** Name of this class of errors. */
  override readonly name = "SourceError";
  constructor(source: Source, program: string, cause: unknown) {
    super(`${source.name}: not what ${program} prints: ${reasonOf(source.text, program, cause)}`);
  }
}

/** The reason. A likely mistake of the caller says more than the parser's error. */
function reasonOf(text: string, program: string, cause: unknown): string {
  if (text.trim() === "") return "it is empty";
  const json = /^\s*[[{]/.test(text);
  if (program.startsWith("ip -j") && !json) return "it is no JSON; was -j left out?";
  if (program.startsWith("docker") && !json) return "it is no JSON";
  return cause instanceof Error ? cause.message : String(cause);
}

/** The program that prints each kind of text. */
const PROGRAMS: Readonly<Record<SourceKind, string>> = {
  rules: "iptables-save",
  addr: "ip -j addr",
  route: "ip -j route",
  rule: "ip -j rule",
  docker: "docker inspect",
  ipset: "ipset save",
  sysctl: "sysctl -a",
  listening: "ss -H -l -n -t -u -p",
  tables: "nft list tables",
};

/**
 * Reads each source of a kind.
 * @param isNothing whether a source that was read holds nothing of its kind
 * @throws SourceError for one that cannot be read, or holds nothing
 */
function each<T>(
  sources: readonly Source[] | undefined,
  kind: SourceKind,
  read: (text: string) => T,
  isNothing: (value: T, source: Source) => boolean,
): T[] {
  return (sources ?? []).map((source) => {
    let value: T;
    try {
      value = read(source.text);
    } catch (error) {
      throw new SourceError(source, PROGRAMS[kind], error);
    }
    if (!isNothing(value, source)) return value;
    const other = sourceKind(source.text);
    const of = source.family === undefined ? "" : ` of IPv${source.family}`;
    const why =
      other === undefined || other === kind
        ? `it lists nothing${of}`
        : `it is what ${PROGRAMS[other]} prints`;
    throw new SourceError(source, PROGRAMS[kind], why);
  });
}

/**
 * Reads the host from its inputs, and infers facts that no input contains.
 * @param hints packets that will be simulated; they show addresses of the host that no other input contains
 * @throws SourceError when a source is not what its program prints
 */
export function readHost(
  sources: HostSources,
  rulesets: readonly Ruleset[],
  hints: readonly AddressHint[] = [],
): Host {
  const inferences: HostInference[] = [];
  const note = (inference: HostInference): void => {
    inferences.push(inference);
  };
  const docker = each(sources.docker, "docker", readDocker, ({ nothing }) => nothing);
  const known = docker.flatMap((d) => d.networks);
  const containers = docker.flatMap((d) => d.containers);
  const ipsets = readSets(sources.ipset ?? []);
  const sysctls = new Map(
    each(sources.sysctl, "sysctl", readSysctls, (map) => ![...map.keys()].some(isNetSetting)).flatMap(
      (map) => [...map],
    ),
  );
  const listed = merged(each(sources.addr, "addr", readAddresses, (list) => list.length === 0).flat());
  // A list of links alone shows no addresses: without them none of the host's own would be known.
  const isListed = listed.some(({ addresses }) => addresses.length > 0);
  const interfaces = isListed ? listed : inferInterfaces(rulesets, known, hints, note);
  const networks = isListed ? known.filter((each) => isSetUp(each, interfaces)) : known;
  const engines = containerBridges(rulesets, containers, networks, interfaces);
  const declared = declaredBridges(sources.engineTables ?? [], rulesets, interfaces).filter(
    (name) => !engines.includes(name),
  );
  const bridges = [...engines, ...declared];
  const { routes, routed } = hostRoutes(sources, rulesets, interfaces, bridges, note);
  const rules = policyRules(sources.rule ?? [], note);
  const unusedTable = routes.find((r) => !["local", "main", "default"].includes(r.table))?.table;
  if (sources.rule === undefined && unusedTable !== undefined)
    note({ code: "table-not-looked-up", table: unusedTable });
  if (!sysctls.has("net.ipv4.ip_forward")) note({ code: "forwarding" });
  return {
    interfaces,
    routes,
    routed,
    rules,
    sysctls,
    networks,
    containers,
    daemon: Object.assign({}, ...docker.map((d) => d.daemon)),
    ...(sources.listening === undefined
      ? {}
      : { listening: each(sources.listening, "listening", readSockets, () => false).flat() }),
    bridges,
    ...(sources.engineTables === undefined ? {} : { engineTables: sources.engineTables }),
    ...(declared.length === 0 ? {} : { declaredBridges: declared }),
    member: (set, sides, family) => ipsets.sets.member(set, sides, family),
    parts: (set) => ipsets.sets.parts(set),
    inferences,
    doubts: [
      ...(sources.doubts ?? []),
      ...cutOff(sources),
      ...listDoubts(sources.tables ?? [], rulesets),
      ...(isListed ? missingBridges(bridges, interfaces) : []),
      ...inspectDifferences(containers, known),
      ...foreign(interfaces),
    ],
    complete: sources.complete === true || ((sources.tables ?? []).length > 0 && rulesets.length === 2),
    diagnostics: ipsets.diagnostics.map((d) => ({ ...d, source: sources.ipset?.[0]?.name ?? "" })),
  };
}

/** Returns false for a network of Podman without an interface: netavark creates the bridge for the first container. */
const isSetUp = ({ bridge, engine }: Network, interfaces: readonly Interface[]): boolean =>
  engine !== "podman" || bridge === null || interfaces.some(({ name }) => name === bridge);

/** Reads ipsets. Sets may name one another across files, so the files are read as one text. */
function readSets(sources: readonly Source[]): ReturnType<typeof readIpsets> {
  each(
    sources,
    "ipset",
    (text) => text,
    (text) => text.trim() !== "" && !/^(create|add) \S+ \S/m.test(text),
  );
  return readIpsets(sources.map((source) => source.text).join("\n"));
}

/** Returns the names of the bridges of known engines. Engines create the default bridges even if no rule names them. */
const containerBridges = (
  rulesets: readonly Ruleset[],
  containers: readonly Container[],
  networks: readonly Network[],
  interfaces: readonly Interface[],
): string[] => [
  ...new Set([
    ...dockerBridges(rulesets).keys(),
    ...networks.flatMap((n) => (n.bridge === null ? [] : [n.bridge])),
    ...interfaces.flatMap((i) => (isDefaultDockerBridge(i.name) || isPodmanBridge(i.name) ? [i.name] : [])),
    ...netavarkBridges(rulesets, interfaces),
    ...podmanBridges(containers, interfaces),
  ]),
];

/** Reads the routes, and infers those of a family that is not given. */
function hostRoutes(
  sources: HostSources,
  rulesets: readonly Ruleset[],
  interfaces: readonly Interface[],
  bridges: readonly string[],
  note: (inference: HostInference) => void,
): Pick<Host, "routes" | "routed"> {
  const listed = each(
    sources.route,
    "route",
    readRoutes,
    // A host without IPv6 has no IPv6 routes: a snapshot records the family of an empty list.
    (list, { family }) =>
      list.length === 0
        ? family === undefined
        : family !== undefined && list.every((r) => r.family !== family),
  ).flat();
  const routed = ([4, 6] as const).filter((f) => listed.some((r) => r.family === f));
  const unrouted = ([4, 6] as const).filter(
    (f) =>
      !routed.includes(f) &&
      sources.route?.some((s) => s.family === f) !== true &&
      (sources.route === undefined || rulesets.some((r) => r.family === f)),
  );
  const inferred = unrouted.length === 0 ? [] : inferRoutes(rulesets, interfaces, bridges, unrouted, note);
  return { routes: [...listed, ...inferred], routed };
}

/** Reads the rules of policy routing. A listing of unknown family gets the remaining one: default IPv6 rules look like that. */
function policyRules(
  sources: readonly Source[],
  note: (inference: HostInference) => void,
): readonly RoutingRule[] {
  const families = each(sources, "rule", familyOfRules, (_, { text }) => sourceKind(text) !== "rule").map(
    (f, i) => sources[i]!.family ?? f,
  );
  const left = ([4, 6] as const).filter((f) => !families.includes(f));
  const [only] = families;
  if (families.length === 1 && only === undefined) note({ code: "policy-rules-ipv6" });
  return sources.flatMap(({ text }, i) => {
    const family = families[i] ?? (families.length === 1 ? 6 : (left.shift() ?? 6));
    return readRules(text, family);
  });
}

const isNetSetting = (name: string): boolean => name.startsWith("net.");

/** Line-based texts that end inside a line: the rest is lost, and nothing else shows it. */
const cutOff = ({ ipset, sysctl, tables }: HostSources): HostDoubt[] =>
  [...(ipset ?? []), ...(sysctl ?? []), ...(tables ?? [])]
    .filter(({ text }) => text.trim() !== "" && !text.endsWith("\n"))
    .map(({ name }) => ({ code: "cut-off", source: name }));

/** Returns a doubt for each container bridge that the list of interfaces does not have. */
const missingBridges = (bridges: readonly string[], interfaces: readonly Interface[]): HostDoubt[] =>
  bridges
    .filter((name) => interfaces.every((i) => i.name !== name))
    .map((bridge) => ({ code: "bridge-not-listed", bridge }));

/** Merges several listings of one interface; a field missing in one may come from another. */
function merged(interfaces: readonly Interface[]): Interface[] {
  const known = new Map<string, Interface>();
  for (const each of interfaces) {
    const before = known.get(each.name);
    known.set(
      each.name,
      before === undefined
        ? each
        : {
            ...each,
            ...before,
            master: before.master ?? each.master,
            ...(each.masters === undefined ? {} : { masters: each.masters }),
            addresses: [
              ...before.addresses,
              ...each.addresses.filter((a) => before.addresses.every((b) => b.address !== a.address)),
            ],
          },
    );
  }
  return [...known.values()];
}

/** Returns a doubt for each master whose ports are not followed. */
const foreign = (interfaces: readonly Interface[]): HostDoubt[] =>
  interfaces.flatMap(({ name, masters }) =>
    (masters === "vrf" || masters === "other") && interfaces.some((i) => i.master === name)
      ? [{ code: "unknown-master", interface: name, kind: masters }]
      : [],
  );
