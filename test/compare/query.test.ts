/** Answers of queries against the simulator for drawn packets, and answers on hosts that are known. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Answer,
  type Host,
  type Packet,
  type Ruleset,
  readHost,
  readRuleset,
  readSnapshot,
  Simulator,
} from "fwcheck";
import { describe, expect, test } from "vitest";
import { Certainty } from "../../lib/audit/certainty.ts";
import { deciderOf } from "../../lib/audit/decision.ts";
import { proxyPorts } from "../../lib/audit/exposure.ts";
import { withMissing } from "../../lib/audit/missing-tables.ts";
import type { SetDescription } from "../../lib/audit/set-description.ts";
import type { PacketBox } from "../../lib/compare/packet-boxes.ts";
import { query } from "../../lib/compare/query.ts";
import { QueryPaths, type QueryWalk } from "../../lib/compare/query-paths.ts";
import { firstPacketsOf } from "../../lib/compare/query-tests.ts";
import { outsidePorts } from "../../lib/host/bridge-ports.ts";
import { isInRanges, parseAddress, prefixRange, printAddress } from "../../lib/packet/address.ts";
import { type Address, hasPorts, PROTO, protoNumber, type Range } from "../../lib/packet/field.ts";
import { packetJson } from "../../lib/packet/packet-json.ts";
import { type Expression, isQueryError, type QueryTest } from "../../lib/query-language/expression.ts";
import { parseExpression } from "../../lib/query-language/parse-expression.ts";
import { readAddresses } from "../../lib/query-language/values.ts";
import { sharedUnknowns } from "../../lib/reach/shared-unknowns.ts";
import { rulesetsOf } from "../builders.ts";
import { capture, examples, shared } from "../capture.ts";
import { random } from "../random.ts";
import { draw } from "../reach/draw.ts";

const PACKETS = Number(process.env.LAW_PACKETS ?? 40);
const LONG = 7_200_000;

/** A packet, and what the simulator answers. */
interface Case {
  readonly packet: Packet;
  readonly answer: Answer;
  readonly host: Host;
  readonly ruleset: Ruleset;
}

const inside = (value: string | number | bigint | undefined, ranges: readonly Range[]): boolean =>
  value !== undefined && ranges.some(([low, high]) => value >= low && value <= high);

const addressesOf = (host: Host, name: string) =>
  host.containers.filter((c) => c.name === name).flatMap((c) => c.addresses);
const bridgesOf = (host: Host, name: string) =>
  host.networks.filter((n) => n.name === name).flatMap((n) => n.bridge ?? []);

/** Returns the bridge of a port, and the name of any other interface. */
const bridgeOf = (host: Host, input: string | null): string | null =>
  host.interfaces.find(({ name }) => name === input)?.master ?? input;

/**
 * Returns true if the source is an address of a neighbour on the interface, and not one of the host. Containers are not at the
 * ports of their bridge that lead outside.
 */
const isNeighbour = ({ in: input, src }: Packet, host: Host): boolean =>
  !outsidePorts(host).has(input ?? "") &&
  host.interfaces.some(
    ({ name, addresses }) =>
      name === bridgeOf(host, input) && addresses.some(({ prefix }) => inside(src, [prefixRange(prefix)])),
  ) &&
  !host.interfaces.some(({ addresses }) => addresses.some(({ address }) => address === src));

/** Returns true if a text of a set contains a value: ranges of addresses, or protocols with ports. */
function describes(set: SetDescription, contains: (part: string) => boolean): boolean {
  if (set.kind === "none" || set.kind === "all") return set.kind === "all";
  expect(set.more).toBe(0);
  return set.parts.some(contains) === (set.kind === "only");
}

const isOfAddresses =
  (value: Address) =>
  (part: string): boolean => {
    const read = readAddresses(part);
    if (read === null || read === "empty") throw new Error(part);
    return inside(value, [read.range]);
  };

const isOfService =
  ({ proto, dport }: Packet) =>
  (part: string): boolean => {
    const [, name, low, high] = /^(protocols \S+|\S+)(?: (\d+)(?:-(\d+))?)?$/.exec(part)!;
    const [from, to = from] = name!.startsWith("protocols ")
      ? name!.slice(10).split("-").map(Number)
      : [protoNumber(name!)];
    return (
      proto >= from! &&
      proto <= to! &&
      (low === undefined || inside(dport, [[Number(low), Number(high ?? low)]]))
    );
  };

/** Returns true if a box contains a packet, as far as the box lists its fields. */
const isInBox = (packet: Packet, box: PacketBox): boolean =>
  (packet.in === null || box.in === null || box.in.includes(packet.in)) &&
  describes(box.sources, isOfAddresses(packet.src)) &&
  describes(box.destinations, isOfAddresses(packet.dst)) &&
  describes(box.services, isOfService(packet)) &&
  box.fields.every(({ field, values }) => {
    const value = packet[field as keyof Packet] as number | undefined;
    return value === undefined || values.some(([a, b]) => value >= Number(a) && value <= Number(b));
  });

/** Returns the addresses of containers in the subnets of bridges. */
const onBridges = (host: Host, bridges: readonly string[]): readonly Address[] =>
  host.containers
    .flatMap(({ addresses }) => addresses)
    .filter((address) =>
      host.routes.some((r) => bridges.includes(r.dev ?? "") && isInRanges(address, [prefixRange(r.to)])),
    );

/** Returns true if docker-proxy listens on a port that a packet is sent to. */
const isServedBy = (
  packet: Packet,
  { proto, port, address }: { proto: number; port: number; address: Address | null },
): boolean => proto === packet.proto && port === packet.dport && (address === null || address === packet.dst);

/** Returns true if docker-proxy listens where a packet is sent to, for one of the containers' addresses. */
const isProxied = (packet: Packet, host: Host, addresses: readonly Address[]): boolean =>
  proxyPorts({ family: packet.family, host }).some(
    ({ ip, ...served }) => addresses.includes(ip) && isServedBy(packet, served),
  );

/** Evaluates a test for one packet, by its fields and the answer alone. */
function holdsTest(test: QueryTest, { packet, answer, host, ruleset }: Case): boolean {
  const leavesTo = answer.verdict === "accept" && answer.delivery !== "local" ? answer.out : null;
  switch (test.code) {
    case "addresses":
      return inside(
        packet[test.side],
        test.ranges.filter((r) => r.family === packet.family).map((r) => r.range),
      );
    case "container":
      if (test.side === "src")
        return (
          packet.in !== null &&
          isNeighbour(packet, host) &&
          addressesOf(host, test.name.name).includes(packet.src) &&
          host.bridges.includes(bridgeOf(host, packet.in)!)
        );
      if (answer.verdict === "accept" && answer.delivery === "local")
        return isProxied(packet, host, addressesOf(host, test.name.name));
      return (
        leavesTo !== null &&
        host.bridges.includes(leavesTo) &&
        addressesOf(host, test.name.name).map(printAddress).includes(answer.sent!.dst)
      );
    case "network":
      if (test.side === "src" && !isNeighbour(packet, host)) return false;
      if (test.side === "dst" && answer.verdict === "accept" && answer.delivery === "local")
        return isProxied(packet, host, onBridges(host, bridgesOf(host, test.name.name)));
      return bridgesOf(host, test.name.name).includes(
        (test.side === "src" ? bridgeOf(host, packet.in) : leavesTo) ?? "",
      );
    case "interface":
      return test.names.some(({ name }) => name === (test.field === "in" ? packet.in : leavesTo));
    case "protocol":
      return packet.proto === test.number;
    case "ports":
      return hasPorts(packet.proto) && inside(packet[test.field], test.ranges);
    case "container-ports":
      if (answer.verdict === "accept" && answer.delivery === "local")
        return proxyPorts({ family: packet.family, host }).some(
          ({ containerPort, ...served }) =>
            isServedBy(packet, served) && containerPort !== null && inside(containerPort, test.ranges),
        );
      return (
        hasPorts(packet.proto) &&
        host.bridges.includes(leavesTo ?? "") &&
        inside(answer.sent!.dport ?? undefined, test.ranges)
      );
    case "family":
      return packet.family === test.family;
    case "verdict":
      return answer.verdict === test.verdict;
    case "delivery":
      return answer.verdict === "accept" && answer.delivery === test.delivery;
    case "sent":
      return packet.in === null;
    case "new":
      return true;
    case "decided": {
      const by = deciderOf(answer, ruleset);
      return test.rule === "policy"
        ? by.code === "policy" && by.chain === test.chain.name
        : by.code === "rule" && by.chain === test.chain.name && by.rule === test.rule;
    }
  }
}

function holds(e: Expression, one: Case): boolean {
  switch (e.kind) {
    case "test":
      return holdsTest(e.test, one);
    case "not":
      return !holds(e.not, one);
    case "and":
      return e.all.every((part) => holds(part, one));
    case "or":
      return e.some.some((part) => holds(part, one));
  }
}

/** Draws packets, and requires the set of an expression and the simulator to agree. Returns the packets in and outside of it. */
function law(
  ruleset: Ruleset,
  rulesets: readonly Ruleset[],
  host: Host,
  text: string,
  packets: number,
): { readonly inside: number; readonly outside: number } {
  const expression = parseExpression(text);
  if (isQueryError(expression)) throw new Error(text);
  const { family } = ruleset;
  const paths = new QueryPaths(withMissing(ruleset, host), host, expression);
  const { domain, program } = paths;
  const sets = new Map(paths.walks.map((walk) => [walk, paths.satisfying(walk)]));
  const certainty = new Certainty(domain, program.ruleset);
  const answered = query(rulesets, host, text);
  if (isQueryError(answered)) throw new Error(answered.code);
  expect(answered.doubts.filter(({ code }) => code === "engines-disagree")).toEqual([]);
  const groups = answered.families.filter((each) => each.family === family).flatMap((each) => each.groups);
  const next = random(16);
  const own = host.interfaces.flatMap((i) =>
    i.addresses.filter((a) => a.family === family).map((a) => a.address),
  );
  const containers = host.containers.flatMap((c) =>
    c.addresses.filter((a) => (typeof a === "number" ? 4 : 6) === family),
  );
  const remote = parseAddress(family === 4 ? "198.51.100.9" : "2001:db8:5::9", family)!;
  const usual = {
    flags: [2],
    type: [family === 4 ? 8 : 128],
    ttl: [64],
    dst: [...own, ...containers],
    src: [...own, ...containers, remote],
  };
  const counts = { inside: 0, outside: 0 };
  for (let i = 0; i < packets; i++) {
    const { packet, assume, ordinal } = draw(domain, host, family, sharedUnknowns(program), next, { usual });
    const walk = paths.walks.find(({ asked }) => (asked.origin === "sent") === (packet.in === null))!;
    const isIn = (set: number): boolean => domain.diagrams.evaluate(set as never, ordinal) === 1;
    if (!isIn(domain.set(firstPacketsOf(walk.asked)))) continue;
    const answer = new Simulator([program.ruleset], host, { assume }).packet(packet);
    const where = JSON.stringify([text, packetJson(packet), [...assume], answer]);
    const { yes, maybe } = sets.get(walk as QueryWalk)!;
    const isHeld = holds(expression, { packet, answer, host, ruleset: program.ruleset });
    if (!isIn(walk.universe)) {
      expect(isIn(maybe) || isHeld, where).toBe(false);
      continue;
    }
    if (isIn(yes) === isIn(maybe)) expect(isIn(yes), where).toBe(isHeld);
    // Boxes leave out ICMP of the other family.
    if (packet.proto === (family === 4 ? PROTO.icmpv6 : PROTO.icmp)) continue;
    const possible = domain.diagrams.project(certainty.ordinaryPart(maybe), domain.unknownLevels);
    const boxes = groups.filter((g) => g.origin === walk.asked.origin).flatMap((g) => g.packets);
    const found = boxes.filter((box) => isInBox(packet, box));
    if (isIn(possible)) expect(found.length, where).toBeGreaterThan(0);
    else
      expect(
        found.filter(({ partly }) => partly.length === 0),
        where,
      ).toEqual([]);
    counts[isHeld ? "inside" : "outside"]++;
  }
  return counts;
}

const EXPRESSIONS = [
  "verdict accept",
  "not verdict accept",
  "local tcp or forwarded not udp",
  "verdict drop and not in eth0",
  "from 198.51.100.0/24 tcp dport 22,80-8080 not sent",
  "not (sent or dport 0-1023) not verdict reject",
  "out eth0 or (verdict accept not forwarded)",
  "containerport 80,7 or containerport 1024-65535 in docker0",
  "by INPUT policy or by FORWARD policy or by FORWARD 1 or by ufw-user-input 1",
];

function expressionsOf(rulesets: readonly Ruleset[], host: Host): readonly string[] {
  const names = host.containers
    .filter((c) => !c.hostNetwork && c.addresses.length > 0)
    .slice(0, 2)
    .map((c) => `to container "${c.name}" or from container "${c.name}" verdict drop`);
  const bridges = host.networks
    .filter((n) => n.bridge !== null)
    .slice(0, 1)
    .map((n) => `to network "${n.name}" not from network "${n.name}"`);
  return [...EXPRESSIONS, ...names, ...bridges].filter((text) => !isQueryError(query(rulesets, host, text)));
}

const folder = join(shared, "hosts");
const recorded = existsSync(folder)
  ? readdirSync(folder).filter((name) => existsSync(join(folder, name, "truth.ndjson")))
  : [];

function snapshot(name: string): { readonly rulesets: readonly Ruleset[]; readonly host: Host } {
  const text = readFileSync(join(folder, name, "host.snap"), "utf8");
  const { rules, sources, doubts } = readSnapshot({ name, text });
  const { rulesets } = readRuleset(rules);
  return { rulesets, host: readHost({ ...sources, doubts, complete: true }, rulesets) };
}

describe("a packet is in the set of an expression if and only if the simulator's answer satisfies it", () => {
  const total = (rulesets: readonly Ruleset[], host: Host, packets: number, every = 1, first = 0) => {
    let [members, others] = [0, 0];
    for (const text of expressionsOf(rulesets, host).filter((_, i) => i % every === first % every))
      for (const ruleset of rulesets) {
        const counts = law(ruleset, rulesets, host, text, packets);
        members += counts.inside;
        others += counts.outside;
      }
    return { members, others };
  };
  test.each(["ufw-docker-20.10", "ufw-docker-28.5", "docker-29-nftables"])(
    "%s",
    { timeout: LONG },
    (name) => {
      const { rulesets, host } = capture(join(examples, name));
      const { members, others } = total(rulesets, host, PACKETS);
      if (process.env.LAW_PACKETS !== undefined)
        console.log(`${name}: ${members} in, ${others} outside, no difference`);
      expect(Math.min(members, others)).toBeGreaterThan(PACKETS / 10);
    },
  );

  test.skipIf(recorded.length === 0).each(recorded)("%s", { timeout: LONG }, (name) => {
    const { rulesets, host } = snapshot(name);
    const { members, others } = total(
      rulesets,
      host,
      PACKETS,
      process.env.LAW_PACKETS === undefined ? 5 : 1,
      recorded.indexOf(name),
    );
    if (process.env.LAW_PACKETS !== undefined)
      console.log(`${name}: ${members} in, ${others} outside, no difference`);
    expect(members + others).toBeGreaterThan(0);
  });
});

test("a container that docker-proxy serves over IPv6 is reached, though no packet is forwarded to it", () => {
  const { host } = capture(join(examples, "ufw-docker-28.5"));
  const open = rulesetsOf("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\nCOMMIT\n", { family: 6 });
  const asked = (text: string) => {
    const answer = query(open, host, text);
    if (isQueryError(answer)) throw new Error(text);
    return answer.families.flatMap(({ groups }) =>
      groups.map(({ delivery, packets }) => [delivery, packets.map(({ services }) => services)]),
    );
  };
  const found = [["local", [{ kind: "only", parts: ["tcp 8080", "tcp 9080"], more: 0 }]]];
  expect(asked("to container web in eth0 ipv6")).toEqual(found);
  expect(asked("to container app in eth0 ipv6")).toEqual([]);
});

describe("ports of containers", () => {
  const { rulesets, host } = capture(join(examples, "ufw-docker-28.5"));
  const groupsOf = (text: string, from = rulesets, on = host) => {
    const answer = query(from, on, text);
    if (isQueryError(answer)) throw new Error(text);
    return answer.families;
  };
  const servicesOf = (text: string, from = rulesets, on = host) =>
    groupsOf(text, from, on).flatMap(({ groups }) =>
      groups.map(({ certainty, packets }) => [
        certainty,
        packets.flatMap(({ services }) => (services.kind === "only" ? services.parts : services.kind)),
      ]),
    );

  test("containerport is the port after translation, dport the one before", () => {
    const found = [["certain", ["tcp 8080", "tcp 9080"]]];
    expect(servicesOf("to container web containerport 80 in eth0 ipv4")).toEqual(found);
    expect(servicesOf("to container web dport 8080,9080 in eth0 ipv4")).toEqual(found);
    expect(servicesOf("to container web containerport 8080 in eth0 ipv4")).toEqual([]);
  });

  test("an empty answer says that another port is meant, and only then", () => {
    const remarks = (text: string) => groupsOf(text).map(({ asContainerPorts }) => asContainerPorts);
    expect(remarks("to container web tcp dport 80 in eth0 ipv4")).toEqual([true]);
    expect(remarks("to container web tcp (dport 79 or not not dport 80) in eth0 ipv4")).toEqual([true]);
    expect(remarks("to container web tcp dport 81 in eth0 ipv4")).toEqual([undefined]);
    expect(remarks("to container web tcp dport 8080 in eth0 ipv4")).toEqual([undefined]);
    expect(remarks("to container web tcp sport 80 dport 8081 in eth0 ipv4")).toEqual([undefined]);
  });

  test("docker-proxy leads to the port that docker inspect names; without one it may lead to any", () => {
    const open = rulesetsOf("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\nCOMMIT\n", { family: 6 });
    const text = "containerport 80 in eth0 ipv6 tcp dport 8080,8443,8444";
    expect(servicesOf(text, open)).toEqual([["certain", ["tcp 8080", "tcp 8443"]]]);
    const unnamed = host.containers.map((container) => ({
      ...container,
      published: container.published.map(({ containerPort: _, ...rest }) => rest),
    }));
    expect(servicesOf(text, open, { ...host, containers: unnamed })).toEqual([
      ["undecided", ["tcp 8080", "tcp 8443-8444"]],
    ]);
  });
});
