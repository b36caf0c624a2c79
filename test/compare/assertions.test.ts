/** Policies against the simulator for drawn packets, against connections that were really tried, and their errors. */
import { join } from "node:path";
import { parseXml } from "@rgrove/parse-xml";
import {
  assertPolicy,
  audit,
  type Family,
  type Host,
  type PolicyCheck,
  policyJunit,
  policyOutcome,
  policySarif,
  policyText,
  type Ruleset,
  readExpectations,
  readPacket,
  readPolicy,
  Simulator,
} from "fwcheck";
import { describe, expect, test } from "vitest";
import { HostPaths } from "../../lib/compare/host-paths.ts";
import { zonesOf } from "../../lib/compare/zones.ts";
import { printAddress } from "../../lib/packet/address.ts";
import { packetJson } from "../../lib/packet/packet-json.ts";
import { sharedUnknowns } from "../../lib/reach/shared-unknowns.ts";
import { hostOf, rulesetsOf } from "../builders.ts";
import { capture, examples } from "../capture.ts";
import { random } from "../random.ts";
import { draw } from "../reach/draw.ts";
import { PAYLOADS } from "../report/hostile.ts";
import { ADDR } from "../two-interfaces.ts";
import { recorded, recordedHost, triedPackets } from "./recorded-hosts.ts";

const PACKETS = Number(process.env.LAW_PACKETS ?? 150);
const LONG = 7_200_000;

/** Ports that are asked about: some that rules open, and one that none mentions. */
const PORTS = [22, 8080, 9999];

/** Returns a policy that denies, and one that requires, each port from each zone to each other and to each address of the host. */
function policies(host: Host, family: Family): { readonly denied: string; readonly required: string } {
  const senders = [
    ...zonesOf(host, family, "network").map(({ kind, name }) =>
      kind === "host" ? "host" : `{${kind}: ${name}}`,
    ),
  ];
  const own = host.interfaces.flatMap((i) =>
    i.name === "lo" ? [] : i.addresses.filter((a) => a.family === family).map((a) => printAddress(a.address)),
  );
  const flows = senders.flatMap((from) => PORTS.map((port) => ({ from, port })));
  const line = ({ from, port }: (typeof flows)[number], more: string): string =>
    `  - {name: "${from} ${port} ${more}", from: ${from}, to: any, ports: tcp/${port}, family: ${family}${more}}`;
  return {
    denied: `denied:\n${flows.map((flow) => line(flow, "")).join("\n")}\n`,
    required: `required:\n${flows.flatMap((flow) => own.map((at) => line(flow, `, at: '${at}'`))).join("\n")}\n`,
  };
}

/** Draws packets and requires every check that holds to agree with the simulator. */
function law(rulesets: readonly Ruleset[], host: Host, packets: number): { checked: number; held: number } {
  let checked = 0;
  let held = 0;
  const next = random(23);
  for (const ruleset of rulesets) {
    const { family } = ruleset;
    const text = policies(host, family);
    const byName = (policy: string): Map<string, PolicyCheck> =>
      new Map(assertPolicy([ruleset], host, readPolicy(policy)).checks.map((check) => [check.name, check]));
    const [denied, required] = [byName(text.denied), byName(text.required)];
    held += [...denied.values(), ...required.values()].filter(({ outcome }) => outcome === "holds").length;
    const paths = new HostPaths(ruleset, host, zonesOf(host, family, "network"));
    const { domain, program, zones } = paths;
    const own = host.interfaces.flatMap((i) =>
      i.name === "lo" ? [] : i.addresses.filter((a) => a.family === family).map((a) => a.address),
    );
    const containers = host.containers.flatMap((c) =>
      c.addresses.filter((a) => (typeof a === "number" ? 4 : 6) === family),
    );
    const usual = { flags: [2], ttl: [64], proto: [6], dport: PORTS, dst: [...own, ...containers] };
    // Few drawn packets open a connection to one of the ports.
    for (let i = 0; i < packets * 20; i++) {
      const { packet, assume, ordinal } = draw(domain, host, family, sharedUnknowns(program), next, {
        usual,
      });
      const from = zones.find(
        (zone) =>
          (zone.kind === "host") === (packet.in === null) &&
          domain.diagrams.evaluate(paths.row(zone).sent, ordinal) === 1,
      );
      if (from === undefined || packet.proto !== 6 || !PORTS.includes(packet.dport!)) continue;
      // Packets with IPv6 extension headers are not asked about.
      if ([...domain.rareLevels].some((level) => ordinal(level) === 1)) continue;
      const answer = new Simulator([program.ruleset], host, { assume }).packet(packet);
      // From the host to itself nothing is asked.
      if (from.kind === "host" && (answer.out === "lo" || answer.delivery === "local")) continue;
      const name = from.kind === "host" ? "host" : `{${from.kind}: ${from.name}}`;
      const where = JSON.stringify([packetJson(packet), [...assume], answer]);
      const deny = denied.get(`${name} ${packet.dport} `);
      if (answer.verdict === "accept" && deny !== undefined) expect(deny.outcome, where).not.toBe("holds");
      const need = required.get(`${name} ${packet.dport} , at: '${printAddress(packet.dst)}'`);
      // A source that the kernel refuses is not required.
      const isRefused = domain.diagrams.evaluate(paths.row(from).possible, ordinal) !== 1;
      if (answer.verdict !== "accept" && need !== undefined && !isRefused)
        expect(need.outcome, where).not.toBe("holds");
      checked++;
    }
  }
  return { checked, held };
}

describe("a check that holds, holds for every packet", () => {
  test.each(["ufw-docker-20.10", "ufw-docker-28.5", "docker-29-nftables"])(
    "%s",
    { timeout: LONG },
    (name) => {
      const { rulesets, host } = capture(join(examples, name));
      const { checked, held } = law(rulesets, host, PACKETS);
      if (process.env.LAW_PACKETS !== undefined) console.log(`${name}: ${checked} packets, no difference`);
      expect(checked).toBeGreaterThan(PACKETS / 4);
      expect(held).toBeGreaterThan(10);
    },
  );
});

test.skipIf(recorded.length === 0)("a policy that denies what a client really reached does not hold", () => {
  const wrong: string[] = [];
  let open = 0;
  for (const name of recorded) {
    const { rulesets, host } = recordedHost(name);
    const tried = triedPackets(name).flatMap(({ packet: json, real }) => {
      const packet = readPacket(json);
      return typeof packet !== "string" && packet.in !== null && real === "open" ? [packet] : [];
    });
    const outside = zonesOf(host, 4, "network").filter(({ kind }) => kind === "interface");
    const asked = tried.filter(({ in: input }) => outside.some((zone) => zone.name === input));
    if (asked.length === 0) continue;
    const lines = asked.map(
      (p, i) =>
        `  - {name: '${i}', from: {interface: ${p.in}, addresses: '${printAddress(p.src)}'}, to: any, at: '${printAddress(p.dst)}', ports: ${p.proto === 6 ? "tcp" : "udp"}/${p.dport}}`,
    );
    const { checks } = assertPolicy(rulesets, host, readPolicy(`denied:\n${lines.join("\n")}\n`));
    open += checks.length;
    expect(checks.length).toBe(asked.length);
    for (const { name: number, outcome } of checks)
      if (outcome === "holds") wrong.push(`${name} ${JSON.stringify(packetJson(asked[Number(number)]!))}`);
  }
  expect(wrong).toEqual([]);
  expect(open).toBeGreaterThan(100);
});

describe("outcomes", () => {
  const rulesets = rulesetsOf(`*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -i eth0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.99.0.7:80
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i eth0 -s 198.51.100.0/24 -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -i eth1 -p tcp -m tcp --dport 53 -m recent --rcheck --name dns --rsource -j ACCEPT
-A INPUT -i eth1 -p tcp -m tcp --sport 1024:65535 --dport 25 -j ACCEPT
-A FORWARD -i eth0 -o eth1 -p tcp -m tcp --dport 80 -j ACCEPT
-A FORWARD -i eth1 -o eth0 -m conntrack --ctstate ESTABLISHED -j ACCEPT
COMMIT
`);
  const route = [
    { dst: "203.0.113.0/24", dev: "eth0", scope: "link" },
    { dst: "10.99.0.0/24", dev: "eth1", scope: "link" },
    { dst: "default", gateway: "203.0.113.254", dev: "eth0" },
  ];
  const host = hostOf(rulesets, { addr: ADDR, route }, { complete: true });
  const outcomes = (policy: string): string[] =>
    assertPolicy(rulesets, host, readPolicy(policy))
      .checks.filter(({ family }) => family === 4)
      .map(({ outcome, violations }) => [outcome, ...violations.map(({ cause }) => cause)].join(" "));

  test.each([
    [
      "what is reached",
      "required: [{from: {interface: eth0, addresses: 198.51.100.0/24}, to: host, ports: tcp/22, at: 203.0.113.1}]",
      ["holds"],
    ],
    [
      "some sources are missing",
      "required: [{from: {interface: eth0}, to: host, ports: tcp/22, at: 203.0.113.1}]",
      ["violated stopped"],
    ],
    [
      "some source ports are missing",
      "required: [{from: {interface: eth1}, to: host, ports: tcp/25, at: 10.99.0.1}]",
      ["violated stopped"],
    ],
    [
      "an unknown decides",
      "required: [{from: {interface: eth1}, to: host, ports: tcp/53, at: 10.99.0.1}]",
      ["unsettled stopped"],
    ],
    [
      "an unknown decides what is denied",
      "denied: [{from: {interface: eth1}, to: host, ports: tcp/53}]",
      ["unsettled passes"],
    ],
    [
      "by the port at the receiver",
      "required: [{from: {interface: eth0}, to: {addresses: 10.99.0.7}, containerPorts: tcp/80}]",
      ["holds"],
    ],
    [
      "not by the port as sent",
      "denied: [{from: outside, to: {addresses: 10.99.0.7}, ports: tcp/81}]",
      ["holds"],
    ],
    [
      "denied by the port at the receiver",
      "denied: [{from: {interface: eth0}, to: {addresses: 10.99.0.7}, containerPorts: tcp/80}]",
      ["violated passes passes"],
    ],
    [
      "no replies",
      "required: [{from: {interface: eth1, addresses: 10.99.0.9}, to: {interface: eth0}, ports: tcp/80}]",
      ["violated stopped"],
    ],
    [
      "nothing else",
      "allowed: [{from: outside, to: host, ports: [tcp/22, tcp/53, tcp/25]}, {from: outside, to: {addresses: 10.99.0.7}}]\nonly: [{interface: eth1}]",
      ["holds"],
    ],
    [
      "something else",
      "allowed: [{from: outside, to: host, ports: tcp/22}]\nonly: true",
      ["violated passes passes passes passes"],
    ],
    ["an interface that is not there", "denied: [{from: {interface: eth7}, to: host}]", ["unsettled"]],
    [
      "a misspelt container that is allowed something",
      "allowed: [{from: outside, to: {container: wbe}}]\ndenied: [{from: {interface: eth1}, to: host, ports: tcp/80}]",
      ["holds", "unsettled"],
    ],
    ["nothing but a missing zone", "only: [{interface: eth7}]", ["unsettled"]],
  ])("%s", (_, policy, expected) => {
    expect(outcomes(policy)).toEqual(expected);
  });

  test("replies that do not arrive", () => {
    const oneWay = rulesetsOf("*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT DROP [0:0]\nCOMMIT\n");
    const there = hostOf(oneWay, { addr: ADDR, route }, { complete: true });
    const policy = readPolicy(
      "required: [{from: {interface: eth0}, to: host, ports: tcp/22, at: 203.0.113.1}]",
    );
    const result = assertPolicy(oneWay, there, policy);
    expect(
      result.checks.map(({ outcome, violations }) => [outcome, ...violations.map((v) => v.cause)]),
    ).toEqual([["violated", "no-reply"]]);
    expect(policyText(result)).toContain("eth0 to host gets no reply: tcp 22, to 203.0.113.1");
  });

  test("the outcome of all: doubts make it unsettled", () => {
    const policy = readPolicy("denied: [{from: outside, to: host, ports: tcp/80}]");
    const result = assertPolicy(rulesets, host, policy);
    expect(result.checks.map(({ outcome }) => outcome)).toEqual(["holds"]);
    expect(result.doubts.map(({ code }) => code)).toContain("no-ruleset");
    expect(policyOutcome(result)).toBe("unsettled");
    expect(policyOutcome({ ...result, doubts: [] })).toBe("holds");
    expect(policyOutcome({ ...result, doubts: [], checks: [] })).toBe("unsettled");
  });

  test("as text, JUnit and SARIF", () => {
    const policy = readPolicy("denied:\n  - {from: outside, to: {addresses: 10.99.0.7}, ports: tcp/8080}\n");
    const result = assertPolicy(rulesets, host, policy);
    expect(policyText(result).split("\ninconclusive")[0]).toMatchInlineSnapshot(`
      "violated: denied 1, IPv4, line 2
          eth0 to eth1 gets through: tcp 8080 -> 10.99.0.7:80
              decided by: -A FORWARD -i eth0 -o eth1 -p tcp -m tcp --dport 80 -j
                  ACCEPT
              try: fwcheck simulate HOST --in eth0 --src 203.0.113.2 --dst 203.0.113.1
                  --proto tcp --sport 40000 --dport 8080 --flow
      "
    `);
    expect(policyJunit(result)).toContain(
      'name="denied 1, IPv4, line 2"><failure message="eth0 to eth1 gets through: ',
    );
    const log = JSON.stringify(policySarif(result, "policy.yaml", "0"));
    expect(log).toContain('"region":{"startLine":2}');
  });

  test("without markup or terminal codes of hostile names", () => {
    for (const payload of PAYLOADS) {
      const name = JSON.stringify(payload);
      const policy = readPolicy(
        `denied: [{name: ${name}, from: outside, to: {container: ${name}}}, {name: ${name}, from: outside, to: any}]`,
      );
      const result = assertPolicy(rulesets, host, policy);
      expect(() => parseXml(policyJunit(result))).not.toThrow();
      expect(policyText(result)).not.toMatch(
        /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u202e]|^INJECTED/m,
      );
    }
  });
});

describe("an expectations file: nothing else is open", () => {
  const OPEN = [
    "open: []",
    "open: [{port: 8080}]",
    "open: [{port: 8080-9999}]",
    "open: [{port: 8080, in: eth0}, {port: 8443-9080}]",
    "open: [{port: 8080, from: 0.0.0.0/1}, {port: 8443-9080}]",
    "open: [{port: 1-65535}, {port: 1-65535, proto: udp}]",
  ];
  const hosts: readonly (readonly [string, () => ReturnType<typeof capture>])[] = [
    ...["ufw-docker-20.10", "ufw-docker-28.5", "docker-29-nftables"].map(
      (name) => [name, () => capture(join(examples, name))] as const,
    ),
    ...recorded.slice(0, 4).map((name) => [name, () => recordedHost(name)] as const),
  ];

  test.each(hosts)("%s: no check holds where audit --expect lists a port", { timeout: LONG }, (_, load) => {
    const { rulesets, host } = load();
    for (const text of OPEN) {
      const { exposures } = audit(rulesets, host, { expect: readExpectations(text) });
      const { checks } = assertPolicy(rulesets, host, readPolicy(text));
      expect(checks.map(({ duty }) => duty)).toEqual(rulesets.map(() => "open"));
      for (const { family, outcome } of checks) {
        const isUnexpected = exposures.some((e) => e.family === family && e.unexpected !== undefined);
        if (isUnexpected) expect(outcome, `${text} IPv${family}`).not.toBe("holds");
      }
    }
  });

  test("the same ports as audit --expect, with the rule that opens them", () => {
    const { rulesets, host } = capture(join(examples, "ufw-docker-28.5"));
    const found = (text: string): string[] =>
      assertPolicy(rulesets, host, readPolicy(text)).checks.map(
        ({ outcome, violations }) =>
          `${outcome} ${[...new Set(violations.map(({ packets }) => packets.witness.dport))].join()}`,
      );
    expect(found("open: []")).toEqual(["violated 8080,8443,8444", "holds "]);
    expect(found("open: [{port: 8080-9999}]")).toEqual(["holds ", "holds "]);
    expect(found("open: [{port: 8080, in: eth0}, {port: 8443-9080}]")).toEqual(["violated 8080", "holds "]);
    expect(found("open: []\nonly: true").slice(0, 2)).toEqual([
      expect.stringMatching(/^violated/),
      expect.stringMatching(/^violated/),
    ]);
    expect(found("open: [{port: 8080-9999}]\ndenied: [{from: outside, to: containers}]")[0]).toMatch(
      /^violated/,
    );
  });

  test("open ports are permitted by only, to containers from outside alone", () => {
    const { rulesets, host } = capture(join(examples, "ufw-docker-28.5"));
    const outcomes = (only: string): string[] =>
      assertPolicy(
        rulesets,
        host,
        readPolicy(
          `open: [{port: 8080-9999}]\nonly: [${only}]\nallowed:\n  - {from: outside, to: host, ports: [tcp/22, udp/68, udp/546, ping]}\n  - {from: outside, to: outside, ports: ping}\n`,
        ),
      )
        .checks.filter(({ duty }) => duty === "only")
        .map(({ outcome }) => outcome);
    expect(outcomes("outside")).toEqual(["holds", "holds"]);
    expect(outcomes("containers")).toContain("violated");
  });
});

describe("a file with an error is refused, with its line", () => {
  test.each([
    ["required: [", "line 1: not YAML"],
    ["zones:\n  a: &x {interface: eth0}\nonly: [*x]\n", "aliases"],
    ["# nothing\n", "expected the keys required"],
    ["zones: {}\n", "the policy says nothing"],
    ["requred: []\n", 'line 1: unknown key "requred"; did you mean required?'],
    [
      "denied:\n  - {from: outside, to: host, port: tcp/1}\n",
      'line 2: unknown key "port"; did you mean ports?',
    ],
    ["denied:\n  - {from: outside}\n", "line 2: to is missing"],
    ["denied:\n  - {from: ouside, to: host}\n", 'line 2: unknown zone "ouside"'],
    ["denied:\n  - {from: outside, to: host, ports: 22}\n", "line 2: 22 is no service"],
    ["denied:\n  - {from: outside, to: host, ports: esp/22}\n", "line 2: esp has no ports"],
    ["denied:\n  - {from: outside, to: host, ports: tcp/70000}\n", "ports are 0 to 65535"],
    ["denied:\n  - {from: outside, to: host, ports: []}\n", "line 2: a port is missing"],
    ["denied:\n  - {from: outside, to: {addresses: nonsense}}\n", "is no address or network"],
    ["denied:\n  - {from: {interface: eth0, container: web}, to: host}\n", "not both"],
    ["denied:\n  - {from: outside, to: host, ports: tcp/1, containerPorts: tcp/1}\n", "not both"],
    ["required:\n  - {from: outside, to: host, containerPorts: tcp/1-2}\n", "must be single ports"],
    ["denied:\n  - {from: outside, to: host, family: 5}\n", "family must be 4 or 6"],
    ["zones: {any: {interface: eth0}}\nonly: true\n", 'zone "any" has a meaning already'],
    ["open: {port: 80}\n", "line 1: expected a list under the key open"],
    ["open:\n  - port: 80\n  - {prt: 80}\n", 'line 3: entry 2 of open: unknown key "prt"'],
    ["open:\n  - {port: 80, from: nonsense}\n", "line 2: entry 1 of open: from must be"],
    ["zones: {a: {}}\nonly: true\n", "a zone without a key"],
  ])("%s", (text, message) => {
    expect(() => readPolicy(text)).toThrow(message);
  });
});
