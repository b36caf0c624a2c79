/**
 * Parser of policy files: which services must, may and must not get from where to where.
 *
 *     zones:
 *       office: {interface: eth0, addresses: [198.51.100.0/24, 2001:db8:5::/64]}
 *       web: {service: web}
 *     required:
 *       - {from: outside, to: web, ports: [tcp/80, tcp/443]}
 *     allowed:
 *       - {from: office, to: host, ports: tcp/22}
 *     denied:
 *       - {from: outside, to: {network: backend}}
 *     only: [outside]
 *     open:
 *       - {port: 443, from: 198.51.100.0/24}
 */
import { LineCounter, parseDocument } from "yaml";
import { type Expectation, ExpectationError, readExpectation } from "../audit/expectations.ts";
import { parseAnyPrefix, prefixRange } from "../packet/address.ts";
import { type Family, hasPorts, protoNumber, type Range } from "../packet/field.ts";
import { closestWord } from "../query-language/closest-word.ts";

/** Part of the host or of its surroundings that a policy names. All keys that are given must hold. */
export interface PolicyZone {
  /** Interface that leads outside. */
  readonly interface?: string;
  /** Network of a container engine, by its name or its bridge. */
  readonly network?: string;
  /** Container, by name. */
  readonly container?: string;
  /** Service of Compose or of a swarm (`com.docker.compose.service`). */
  readonly service?: string;
  /** Compose project (`com.docker.compose.project`). */
  readonly project?: string;
  /** Addresses of the zone. */
  readonly addresses?: readonly { readonly family: Family; readonly range: Range }[];
}

/**
 * Zones that need no definition: `outside` are all interfaces that lead outside, `containers` all networks, `host` the host
 * itself, `any` all of them.
 */
export const KNOWN_ZONES = ["any", "outside", "containers", "host"] as const;

/** A zone of a flow: a known one or a definition. */
export type FlowZone = (typeof KNOWN_ZONES)[number] | PolicyZone;

/** Services: a protocol, and its ports. */
export interface PolicyService {
  /** Protocol number; of ICMP echo requests count. */
  readonly proto: number;
  /** First and last destination port; `null` for all. */
  readonly ports: readonly [number, number] | null;
}

/** What a policy says about a flow. */
export type FlowDuty = "required" | "allowed" | "denied";

/** Packets from some zones to others. */
export interface PolicyFlow {
  /** What the policy says about it. */
  readonly duty: FlowDuty;
  /** Its place in the file: `denied 2`, or its `name`. */
  readonly name: string;
  /** Line in the file, from 1. */
  readonly line: number;
  /** Zones that open the connections. */
  readonly from: readonly NamedZone[];
  /** Zones that receive them. */
  readonly to: readonly NamedZone[];
  /** Services as the sender addresses them; `null` for all. */
  readonly services: readonly PolicyService[] | null;
  /** Services by the port of the receiver, after translation; `null` where `services` say what is meant. */
  readonly translatedServices: readonly PolicyService[] | null;
  /** Destination addresses as sent: each must be reached by a required flow; `null` where one suffices. */
  readonly at: readonly { readonly family: Family; readonly range: Range }[] | null;
  /** `null` for both families. */
  readonly family: Family | null;
}

/** A zone with the name that the file gives it. */
export interface NamedZone {
  /** Name in the file; a definition in place is its own name, as JSON. */
  readonly name: string;
  /** Its definition. */
  readonly zone: FlowZone;
}

/** A policy. */
export interface Policy {
  /** Flows, required ones first, denied ones last. */
  readonly flows: readonly PolicyFlow[];
  /** Zones from which nothing may get through but what is required or allowed; `null` if that is not asked. */
  readonly only: { readonly from: readonly NamedZone[]; readonly line: number } | null;
  /**
   * Ports through which containers may be reached from outside, as in the file of `audit --expect`; nothing else may reach them
   * but what is required or allowed. `null` if that is not asked.
   */
  readonly open: { readonly entries: readonly Expectation[]; readonly line: number } | null;
}

/** Error in a policy file. */
export class PolicyError extends Error {
  /** Name of the error class. */
  override readonly name = "PolicyError";

  /** @param line line in the file, from 1; `null` if it is about the whole file */
  constructor(
    message: string,
    readonly line: number | null,
  ) {
    super(line === null ? message : `line ${line}: ${message}`);
  }
}

const TOP_KEYS = ["zones", "required", "allowed", "denied", "only", "open"];
const FLOW_KEYS = ["name", "from", "to", "ports", "containerPorts", "at", "family"];
const ZONE_KEYS = ["interface", "network", "container", "service", "project", "addresses"] as const;
const DUTIES: readonly FlowDuty[] = ["required", "allowed", "denied"];

/** Parses a policy file, YAML or JSON. @throws PolicyError */
export function readPolicy(text: string): Policy {
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter, uniqueKeys: true });
  const [error] = document.errors;
  if (error !== undefined)
    throw new PolicyError(
      `not YAML: ${error.message.split("\n")[0]!.replace(/ at line \d+.*$/, "")}`,
      counter.linePos(error.pos[0]).line,
    );
  let data: unknown;
  try {
    data = document.toJS({ maxAliasCount: 0 });
  } catch {
    throw new PolicyError("aliases (*name) are not allowed", null);
  }
  const lineOf = (...path: (string | number)[]): number => {
    for (let length = path.length; length > 0; length--) {
      const node = document.getIn(path.slice(0, length), true) as
        | { range?: [number, number, number] }
        | undefined;
      if (node?.range !== undefined && node.range !== null) return counter.linePos(node.range[0]).line;
    }
    return 1;
  };
  return new PolicyReader(lineOf).read(data);
}

type LineOf = (...path: (string | number)[]) => number;

/** Returns the entries of an object of YAML; `undefined` for anything else. */
const mapOf = (value: unknown): ReadonlyMap<string, unknown> | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? new Map(Object.entries(value))
    : undefined;

const listOf = (value: unknown): readonly unknown[] =>
  value === undefined || value === null ? [] : Array.isArray(value) ? value : [value];

class PolicyReader {
  private readonly zones = new Map<string, FlowZone>(KNOWN_ZONES.map((name) => [name, name]));

  constructor(private readonly lineOf: LineOf) {}

  read(data: unknown): Policy {
    const top = mapOf(data);
    if (top === undefined)
      throw new PolicyError("expected the keys required, allowed, denied, only or open", null);
    this.refuseOthers(top, TOP_KEYS, []);
    const zones = top.get("zones") ?? {};
    for (const [name, definition] of mapOf(zones) ?? this.fail("zones must be an object", ["zones"])) {
      if (this.zones.has(name))
        this.fail(`zone ${JSON.stringify(name)} has a meaning already`, ["zones", name]);
      this.zones.set(name, this.definition(definition, ["zones", name]));
    }
    const flows = DUTIES.flatMap((duty) =>
      listOf(top.get(duty)).map((entry, i) => this.flow(duty, entry, i, [duty, i])),
    );
    const only = top.get("only");
    const open = this.open(top.get("open"));
    if (flows.length === 0 && only === undefined && open === null)
      throw new PolicyError("the policy says nothing", null);
    const from = only === true ? ["outside"] : only === false ? undefined : only;
    return {
      flows,
      only: from === undefined ? null : { from: this.named(from, ["only"]), line: this.lineOf("only") },
      open,
    };
  }

  /** Reads the entries of an expectations file. An empty list allows nothing. */
  private open(value: unknown): Policy["open"] {
    if (value === undefined) return null;
    if (!Array.isArray(value)) return this.fail("expected a list under the key open", ["open"]);
    const entries = value.map((entry, i) => {
      try {
        return readExpectation(entry, i + 1);
      } catch (error) {
        if (error instanceof ExpectationError) return this.fail(error.message, ["open", i]);
        throw error;
      }
    });
    return { entries, line: this.lineOf("open") };
  }

  private fail(message: string, path: (string | number)[]): never {
    throw new PolicyError(message, this.lineOf(...path));
  }

  private refuseOthers(
    given: ReadonlyMap<string, unknown>,
    known: readonly string[],
    path: (string | number)[],
  ): void {
    for (const key of given.keys())
      if (!known.includes(key))
        this.fail(`unknown key ${JSON.stringify(key)}${suggestion(key, known)}`, [...path, key]);
  }

  private flow(duty: FlowDuty, entry: unknown, index: number, path: (string | number)[]): PolicyFlow {
    const given = mapOf(entry) ?? this.fail(`an entry of ${duty} must be an object with from and to`, path);
    this.refuseOthers(given, FLOW_KEYS, path);
    for (const key of ["from", "to"])
      if (given.get(key) === undefined || given.get(key) === null) this.fail(`${key} is missing`, path);
    const family = given.get("family");
    if (family !== undefined && family !== 4 && family !== 6)
      this.fail("family must be 4 or 6", [...path, "family"]);
    const name = given.get("name");
    const services = this.services(given.get("ports"), [...path, "ports"]);
    const translatedServices = this.services(given.get("containerPorts"), [...path, "containerPorts"]);
    if (services !== null && translatedServices !== null)
      this.fail(
        "give ports (as the sender addresses them) or containerPorts (after translation), not both",
        path,
      );
    if (
      duty === "required" &&
      translatedServices?.some(({ ports }) => ports === null || ports[0] !== ports[1])
    )
      this.fail("containerPorts of a required flow must be single ports", [...path, "containerPorts"]);
    const at = given.get("at");
    return {
      duty,
      name: typeof name === "string" && name !== "" ? name : `${duty} ${index + 1}`,
      line: this.lineOf(...path),
      from: this.named(given.get("from"), [...path, "from"]),
      to: this.named(given.get("to"), [...path, "to"]),
      services,
      translatedServices,
      at: at === undefined ? null : this.addresses(at, [...path, "at"]),
      family: (family as Family | undefined) ?? null,
    };
  }

  /** Reads zones by name, or as definitions in place. */
  private named(value: unknown, path: (string | number)[]): NamedZone[] {
    const list = listOf(value);
    if (list.length === 0) this.fail("a zone is missing", path);
    return list.map((each): NamedZone => {
      if (typeof each !== "string") return { name: JSON.stringify(each), zone: this.definition(each, path) };
      const zone = this.zones.get(each);
      if (zone === undefined)
        return this.fail(
          `unknown zone ${JSON.stringify(each)}: define it under zones, or write {interface: ...}, {container: ...}, {service: ...}${suggestion(each, [...this.zones.keys()])}`,
          path,
        );
      return { name: each, zone };
    });
  }

  private definition(value: unknown, path: (string | number)[]): PolicyZone {
    const given =
      mapOf(value) ?? this.fail(`a zone must be an object with some of ${ZONE_KEYS.join(", ")}`, path);
    this.refuseOthers(given, ZONE_KEYS, path);
    if (given.size === 0) this.fail("a zone without a key", path);
    const zone: { -readonly [K in keyof PolicyZone]: PolicyZone[K] } = {};
    for (const key of ZONE_KEYS) {
      const text = given.get(key);
      if (text === undefined) continue;
      if (key === "addresses") zone.addresses = this.addresses(text, [...path, key]);
      else if (typeof text === "string" && text !== "") zone[key] = text;
      else this.fail(`${key} must be a name`, [...path, key]);
    }
    if (
      zone.interface !== undefined &&
      (zone.network ?? zone.container ?? zone.service ?? zone.project) !== undefined
    )
      this.fail("a zone is an interface, or containers, not both", path);
    return zone;
  }

  private addresses(value: unknown, path: (string | number)[]): NonNullable<PolicyZone["addresses"]> {
    const list = listOf(value);
    if (list.length === 0) this.fail("addresses are missing", path);
    return list.map((each) => {
      const read = parseAnyPrefix(String(each));
      if (read === undefined) return this.fail(`${JSON.stringify(each)} is no address or network`, path);
      return { family: read.family, range: prefixRange(read.prefix) };
    });
  }

  /** Reads `tcp/80`, `udp/5000-5010`, `ping`, `tcp`. */
  private services(value: unknown, path: (string | number)[]): readonly PolicyService[] | null {
    if (value === undefined || value === null) return null;
    const list = listOf(value);
    if (list.length === 0) this.fail("a port is missing", path);
    return list.flatMap((each): PolicyService[] => {
      const [, name = "", first, last] =
        /^([a-z0-9-]+)(?:\/(\d{1,5})(?:-(\d{1,5}))?)?$/i.exec(String(each)) ?? [];
      if (name === "ping")
        return [
          { proto: 1, ports: null },
          { proto: 58, ports: null },
        ];
      const proto = /^\d+$/.test(name) && first === undefined ? undefined : protoNumber(name);
      if (proto === undefined)
        return this.fail(
          `${JSON.stringify(each)} is no service: write tcp/80, udp/5000-5010, tcp or ping`,
          path,
        );
      if (first === undefined) return [{ proto, ports: null }];
      const ports = [Number(first), Number(last ?? first)] as const;
      if (!hasPorts(proto)) this.fail(`${name} has no ports`, path);
      if (ports[0] > ports[1] || ports[1] > 0xffff)
        this.fail(`${JSON.stringify(each)}: ports are 0 to 65535`, path);
      return [{ proto, ports }];
    });
  }
}

function suggestion(word: string, known: readonly string[]): string {
  const closest = closestWord(word, known);
  return closest === undefined ? "" : `; did you mean ${closest}?`;
}
