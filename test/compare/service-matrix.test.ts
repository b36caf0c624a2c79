/** The service matrix against the simulator for drawn packets, and against connections that were really tried. */
import { join } from "node:path";
import { parseXml } from "@rgrove/parse-xml";
import {
  type Answer,
  assertPolicy,
  type Host,
  type MatrixEntry,
  matrixCsv,
  matrixMarkdown,
  matrixSvg,
  matrixText,
  protoNumber,
  type Ruleset,
  readPacket,
  readPolicy,
  type ServiceMatrix,
  Simulator,
  serviceMatrix,
} from "fwcheck";
import { describe, expect, test } from "vitest";
import { HostPaths } from "../../lib/compare/host-paths.ts";
import { type Zone, zonesOf } from "../../lib/compare/zones.ts";
import { containerInputs, outsidePorts } from "../../lib/host/bridge-ports.ts";
import { isInRanges, maskBits, parseAddress, prefixRange, printAddress } from "../../lib/packet/address.ts";
import type { Address, Family } from "../../lib/packet/field.ts";
import { packetJson } from "../../lib/packet/packet-json.ts";
import type { Node } from "../../lib/reach/node-store.ts";
import { sharedUnknowns } from "../../lib/reach/shared-unknowns.ts";
import { hostOf, rulesetsOf } from "../builders.ts";
import { capture, examples } from "../capture.ts";
import { random } from "../random.ts";
import { draw } from "../reach/draw.ts";
import { PAYLOADS } from "../report/hostile.ts";
import { ADDR } from "../two-interfaces.ts";
import { recorded, recordedHost, triedPackets } from "./recorded-hosts.ts";

const PACKETS = Number(process.env.LAW_PACKETS ?? 400);
const LONG = 7_200_000;

/** Returns the zones that an accepted packet arrives in; outside ports of a bridge cannot be told apart from its containers. */
const arrivesIn = (host: Host, zone: Zone, { verdict, delivery, out, sent, packet }: Answer): boolean => {
  if (verdict !== "accept") return false;
  if (delivery === "local" && zone.kind !== "host")
    return zone.proxied.some(
      ({ proto, port, address }) =>
        proto === protoNumber(String(packet.proto)) &&
        port === packet.dport &&
        (address === null || printAddress(address) === packet.dst),
    );
  if (zone.kind === "host") return delivery === "local";
  if (out === null || delivery === "local") return false;
  if (zone.kind === "interface") return out === zone.name || outsidePorts(host).get(zone.name) === out;
  return (
    zone.bridges.includes(out) &&
    (zone.kind === "network" || zone.addresses!.some(([a]) => printAddress(a as Address) === sent!.dst))
  );
};

const names = new Map([["ping", [1, 58]]]);

/** Returns true if a service of the matrix contains a protocol and port. */
function covers(service: string, proto: number, dport: number | undefined): boolean {
  if (service === "all") return true;
  if (service.startsWith("all but ")) return !covers(service.slice("all but ".length), proto, dport);
  const [, name, low, high] = /^(.+?)(?: (\d+)(?:-(\d+))?)?$/.exec(service)!;
  if (name === "protocol") return proto === Number(low);
  if (name === "protocols") return proto >= Number(low) && proto <= Number(high);
  const numbers = names.get(name!) ?? [protoNumber(name!)];
  return (
    numbers.includes(proto) && (low === undefined || (dport! >= Number(low) && dport! <= Number(high ?? low)))
  );
}

const entryCovers = ({ services }: MatrixEntry, proto: number, dport: number | undefined): boolean =>
  services[0]?.startsWith("all but ") === true
    ? services.every((service) => covers(service, proto, dport))
    : services.some((service) => covers(service, proto, dport));

const cellOf = (matrix: ServiceMatrix, family: Family, from: string, to: string) =>
  matrix.families.find((f) => f.family === family)!.cells.find((c) => c.from === from && c.to === to)!;

/** Draws packets and requires the sets and the printed entries to agree with the simulator. */
function law(
  rulesets: readonly Ruleset[],
  host: Host,
  by: "network" | "container",
  packets: number,
  sources: "own" | "spoofed" = "own",
): number {
  const matrix = serviceMatrix(rulesets, host, { by, sources });
  const next = random(17);
  let checked = 0;
  for (const ruleset of rulesets) {
    const { family } = ruleset;
    const paths = new HostPaths(ruleset, host, zonesOf(host, family, by), { sources });
    const { domain, program, zones } = paths;
    const own = host.interfaces.flatMap((i) => i.addresses.filter((a) => a.family === family));
    const containers = host.containers.flatMap((c) =>
      c.addresses.filter((a) => (typeof a === "number" ? 4 : 6) === family),
    );
    const usual = {
      flags: [2],
      type: [family === 4 ? 8 : 128],
      ttl: [64],
      dst: [...own.map((a) => a.address), ...containers],
      src: [
        ...own.map((a) => a.address),
        ...containers,
        parseAddress(family === 4 ? "198.51.100.9" : "2001:db8:5::9", family)!,
      ],
    };
    for (let i = 0; i < packets; i++) {
      const { packet, assume, ordinal } = draw(domain, host, family, sharedUnknowns(program), next, {
        usual,
      });
      const from = zones.find(
        (zone) =>
          (zone.kind === "host") === (packet.in === null) &&
          domain.diagrams.evaluate(paths.row(zone).sent, ordinal) === 1,
      );
      if (from === undefined) continue;
      const answer = new Simulator([program.ruleset], host, { assume }).packet(packet);
      for (const to of zones) {
        if (to === from && to.kind === "host") continue;
        const parts = paths
          .reaching(to, from)
          .filter(({ set }) => domain.diagrams.evaluate(set, ordinal) === 1);
        const reached = arrivesIn(host, to, answer);
        const where = JSON.stringify([from.name, to.name, packetJson(packet), [...assume], answer]);
        expect(parts.length, where).toBe(reached ? 1 : 0);
        const [part] = parts;
        if (part !== undefined && part.translated !== null) {
          const { dst, dport } = part.translated;
          if (dst !== null) expect(dst, where).toBe(answer.sent!.dst);
          if (dport !== null && packet.dport !== undefined) expect(dport, where).toBe(answer.sent!.dport);
        }
        if (sources === "spoofed" && from.kind === "interface" && family === 4)
          expect(routeOut(host, packet.src as number), where).not.toBe(
            outsidePorts(host).get(from.name) ?? from.name,
          );
        const entries = cellOf(matrix, family, from.name, to.name).entries.filter((entry) =>
          entryCovers(entry, packet.proto, packet.dport),
        );
        const listed =
          parts.length > 0 || domain.diagrams.evaluate(servicesTo(paths, from, to), ordinal) === 1;
        expect(entries.length > 0, where).toBe(listed);
        checked++;
      }
    }
  }
  return checked;
}

/** Returns the interface of the longest route of table main to an address, without policy routing. */
function routeOut(host: Host, address: number): string | null {
  const routes = host.routes
    .filter(
      (r) =>
        r.family === 4 &&
        r.table === "main" &&
        r.type === "unicast" &&
        isInRanges(address, [prefixRange(r.to)]),
    )
    .sort((a, b) => maskBits(b.to.mask)! - maskBits(a.to.mask)!);
  return host.rules === undefined ? (routes[0]?.dev ?? null) : null;
}

const memo = new WeakMap<HostPaths, Map<string, Node>>();

/** Returns the services that a zone reaches another by: its packets by protocol and port alone. */
function servicesTo(paths: HostPaths, from: Zone, to: Zone): Node {
  const known = memo.get(paths) ?? new Map<string, Node>();
  memo.set(paths, known);
  const key = JSON.stringify([from.name, to.name]);
  let services = known.get(key);
  if (services === undefined) {
    const { domain } = paths;
    const { diagrams } = domain;
    const kept = [domain.levelOf("proto"), domain.levelOf("dport")];
    const others = new Set(
      domain.variables.map((_, level) => level).filter((level) => !kept.includes(level)),
    );
    const sets = paths.reaching(to, from).map(({ set }) => diagrams.intersect(set, paths.row(from).sent));
    const ordinary = sets.map((set) => paths.certainty.ordinaryPart(set));
    services = diagrams.project(diagrams.unionAll(ordinary), others);
    known.set(key, services);
  }
  return services;
}

describe("a packet is in a cell if and only if the simulator lets it through", () => {
  test.each(["ufw-docker-20.10", "ufw-docker-28.5", "docker-29-nftables"])(
    "%s",
    { timeout: LONG },
    (name) => {
      const { rulesets, host } = capture(join(examples, name));
      let checked = 0;
      for (const by of ["network", "container"] as const) checked += law(rulesets, host, by, PACKETS);
      checked += law(rulesets, host, "network", PACKETS, "spoofed");
      if (process.env.LAW_PACKETS !== undefined) console.log(`${name}: ${checked} cells, no difference`);
      expect(checked).toBeGreaterThan(PACKETS);
    },
  );

  test.skipIf(recorded.length === 0).each(recorded)("%s", { timeout: LONG }, (name) => {
    const { rulesets, host } = recordedHost(name);
    const checked =
      law(rulesets, host, "container", PACKETS / 4) + law(rulesets, host, "network", PACKETS / 4, "spoofed");
    if (process.env.LAW_PACKETS !== undefined) console.log(`${name}: ${checked} cells, no difference`);
    expect(checked).toBeGreaterThan(0);
  });
});

test.skipIf(recorded.length === 0)("every connection that a client really made is in the matrix", () => {
  let open = 0;
  const missing: string[] = [];
  for (const name of recorded) {
    const { rulesets, host } = recordedHost(name);
    const matrix = serviceMatrix(rulesets, host);
    for (const { packet: json, real } of triedPackets(name)) {
      const packet = readPacket(json);
      if (typeof packet === "string") throw new Error(packet);
      const family = matrix.families.find((f) => f.family === packet.family);
      if (real !== "open" || packet.in === null || family === undefined) continue;
      const from = zoneOf(host, packet.in!);
      const cells = family.cells.filter((cell) => cell.from === from);
      const found = cells.some(({ entries }) =>
        entries.some((e) => entryCovers(e, packet.proto, packet.dport)),
      );
      open++;
      if (!found) missing.push(`${name} ${JSON.stringify(json)}`);
    }
  }
  expect(missing).toEqual([]);
  expect(open).toBeGreaterThan(100);
});

/** Returns the name of the zone that packets of an interface come from. */
function zoneOf(host: Host, input: string): string {
  const bridge = host.bridges.find((b) => b === input || containerInputs(host, b).includes(input));
  return bridge === undefined ? input : (host.networks.find((n) => n.bridge === bridge)?.name ?? bridge);
}

test("a container that docker-proxy serves over IPv6 is reached, though no packet is forwarded to it", () => {
  const { rulesets, host } = capture(join(examples, "ufw-docker-28.5"), (save) => save);
  const open = rulesetsOf("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\nCOMMIT\n", { family: 6 });
  const matrix = serviceMatrix([...rulesets.filter((r) => r.family === 4), ...open], host, {
    by: "container",
  });
  const { entries } = cellOf(matrix, 6, "eth0", "web");
  expect(entries.map(({ services, proxied }) => [services, proxied])).toEqual([
    [["tcp 8080", "tcp 9080"], true],
  ]);
  expect(matrixText(matrix)).toContain("tcp 8080, 9080, by docker-proxy");
  const policy = readPolicy("denied: [{from: outside, to: {container: web}, family: 6}]");
  expect(assertPolicy(open, host, policy).checks.map(({ outcome }) => outcome)).toEqual(["violated"]);
  const byPort = readPolicy(
    "denied: [{from: outside, to: {container: web}, containerPorts: tcp/80, family: 6}]",
  );
  expect(assertPolicy(open, host, byPort).checks.map(({ outcome }) => outcome)).toEqual(["unsettled"]);
});

describe("spoofed sources", () => {
  const open = rulesetsOf("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\nCOMMIT\n");
  const ROUTES = [
    { dst: "203.0.113.0/24", dev: "eth0", scope: "link" },
    { dst: "10.99.0.0/24", dev: "eth1", scope: "link" },
    { dst: "default", gateway: "203.0.113.254", dev: "eth0" },
  ];
  const spoofed = (sysctl: string, rulesets = open, route: object = ROUTES): string => {
    const host = hostOf(rulesets, { addr: ADDR, sysctl, route }, { complete: true });
    return matrixText(serviceMatrix(rulesets, host, { sources: "spoofed" }));
  };
  const FORWARDS =
    "net.ipv4.ip_forward = 1\nnet.ipv4.conf.eth0.rp_filter = 0\nnet.ipv4.conf.eth1.rp_filter = 0\n";

  test("get in where neither rp_filter nor a rule stops them", () => {
    const text = spoofed(FORWARDS, open, [{ dst: "fe80::/64", dev: "eth0" }]);
    expect(text).toMatch(/^IPv4 with sources that are not behind eth0$/m);
    expect(text).toMatch(/^ {2}to eth0, eth1, host:\n {4}all, from 10\.99\.0\.0\/24$/m);
    // Which sources are behind an interface is a guess without routes.
    expect(text).toMatch(/^inconclusive: IPv4: no routes were given/m);
  });

  test("do not get in with a strict rp_filter", () => {
    expect(spoofed(FORWARDS.replaceAll("rp_filter = 0", "rp_filter = 1"))).toMatch(
      /^IPv4 with sources that are not behind eth0, eth1: nothing gets in$/m,
    );
  });

  test("do not get in where the owner's rules drop them", () => {
    const rules = rulesetsOf(
      "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m rpfilter --invert -j DROP\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n",
    );
    expect(spoofed(FORWARDS, rules)).toMatch(/not behind eth0, eth1: nothing gets in$/m);
  });
});

describe("printed", () => {
  const rules = (name: string): readonly Ruleset[] =>
    rulesetsOf(`*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i eth0 -s 198.51.100.0/24 -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -i eth0 -p udp -m udp --sport 67 --dport 68 -j ACCEPT
-A INPUT -i eth1 -p tcp -m tcp --dport 80:81 -m recent --rcheck --name ${name} --rsource -j ACCEPT
-A FORWARD -i eth1 -o eth0 ! -p tcp -j ACCEPT
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
COMMIT
`);
  const matrixOf = (name = "list"): ServiceMatrix => {
    const rulesets = rules(name);
    return serviceMatrix(rulesets, hostOf(rulesets, { addr: ADDR }, { complete: true }));
  };

  test("as text", () => {
    expect(matrixText(matrixOf()).split("\ninconclusive")[0]).toMatchInlineSnapshot(`
      "IPv4 from eth0
        to eth0, eth1: nothing
        to host:
          tcp 22, from 198.51.100.0/24
          udp 68, only some packets: the rules test more than addresses and ports

      IPv4 from eth1
        to eth0:
          all but tcp
        to eth1: nothing
        to host:
          tcp 80-81, if recent@filter/INPUT/3

      IPv4 from host
        to eth0, eth1:
          all, the replies to its example do not arrive
      "
    `);
  });

  test("as CSV", () => {
    expect(matrixCsv(matrixOf())).toMatchInlineSnapshot(`
      "family,from,to,services,sources,destinations,translated,partly,unknowns,replies
      IPv4,eth0,eth0,,,,,,,
      IPv4,eth0,eth1,,,,,,,
      IPv4,eth0,host,tcp 22,198.51.100.0/24,anywhere,,no,,accept
      IPv4,eth0,host,udp 68,everyone,anywhere,,yes,,accept
      IPv4,eth1,eth0,all but tcp,everyone,anywhere,,no,,accept
      IPv4,eth1,eth1,,,,,,,
      IPv4,eth1,host,tcp 80-81,everyone,anywhere,,no,recent@filter/INPUT/3,accept
      IPv4,host,eth0,all,everyone,anywhere,,no,,drop
      IPv4,host,eth1,all,everyone,anywhere,,no,,drop
      "
    `);
  });

  test("without markup, terminal codes or formulas of hostile names", () => {
    for (const payload of PAYLOADS) {
      const docker = [
        {
          Id: "1".repeat(64),
          Name: payload,
          Driver: "bridge",
          Options: { "com.docker.network.bridge.name": "br0" },
          IPAM: { Config: [{ Subnet: "172.18.0.0/16" }] },
          Containers: {},
        },
      ];
      const addr = [
        ...JSON.parse(ADDR),
        { ifname: "br0", addr_info: [{ family: "inet", local: "172.18.0.1", prefixlen: 16 }] },
      ];
      const rulesets = rules("list");
      const matrix = serviceMatrix(rulesets, hostOf(rulesets, { addr, docker }, { complete: true }));
      expect(matrix.families[0]!.zones.map((zone) => zone.name)).toContain(payload);
      expect(() => parseXml(matrixSvg(matrix))).not.toThrow();
      for (const text of [matrixText(matrix), matrixCsv(matrix), matrixMarkdown(matrix), matrixSvg(matrix)])
        expect(text).not.toMatch(
          /[\u0000-\u0009\u000b\u000c\u000e-\u001f\u007f-\u009f\u2028\u202e]|\r(?!\n)|^INJECTED/m,
        );
      expect(matrixMarkdown(matrix)).not.toMatch(/<(?!br>)|(?<!\\)[[\]`!]|(?<!\\):\/\/|^\| a/m);
      expect(matrixCsv(matrix)).not.toMatch(/(^|,)"?[=+@-]/m);
    }
  });
});
