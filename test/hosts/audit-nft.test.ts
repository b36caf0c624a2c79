/** Audits of captured hosts with nftables: what they list as open beside what a client outside reached there. */
import { existsSync } from "node:fs";
import { type AuditJson, audit, auditText } from "fwcheck";
import { describe, expect, test } from "vitest";
import { auditOf } from "../audit/json.ts";
import { readCapture, root, textOf } from "./nft-capture.ts";
import { answered, resultLines } from "./nft-results.ts";

/** A connection that a client outside tried. */
interface Tried {
  readonly dst: string;
  readonly dport: number;
  readonly proto: string;
  readonly reached: boolean;
}

/** Names that the records use for addresses. */
const NAMES: readonly (readonly [name: string, address: string])[] = [
  ["host:", "203.0.113.1:"],
  ["[v6 host]:", "[2001:db8:1::1]:"],
  ["web container by direct routing", "172.17.0.2:80"],
  ["rt1 ", ""],
];

/** Returns the connections from outside that a record lists before any fix. */
const tried = (record: string): Tried[] =>
  resultLines(textOf(record)).flatMap(({ section, label, value }) => {
    const [, place] = /^outside -> (.*)$/.exec(label) ?? [];
    if (place === undefined || (section !== "" && section !== "no fix")) return [];
    const named = NAMES.reduce(
      (text, [name, address]) => (text.startsWith(name) ? text.replace(name, address) : text),
      place,
    );
    const [, v6, v4, dport, proto = "tcp"] = /^(?:\[(.+?)\]|([\d.]+)):(\d+)(?:\/(udp))?/.exec(named) ?? [];
    if (dport === undefined) throw new Error(`not read: ${label}`);
    return [{ dst: (v6 ?? v4)!, dport: Number(dport), proto, reached: answered(value) }];
  });

/** Returns true if an exposure covers a connection. */
const lists = ({ exposures }: AuditJson, { dst, dport, proto }: Tried): boolean =>
  exposures.some(
    (e) =>
      e.family === (dst.includes(":") ? 6 : 4) &&
      e.proto === proto &&
      e.listen.port === dport &&
      (e.listen.address === dst || (e.listen.address === null && !dst.startsWith("172."))),
  );

/** Connections that an audit of the capture cannot know, with the reason. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  "203.0.113.1:8443": "nothing listens in the container",
  "203.0.113.1:8085": "the network was created after the capture",
};

/** Captures with the record of their connections, the ids of the findings, and the number of connections. */
const CAPTURES: readonly (readonly [capture: string, record: string, tried: number, findings: string[]])[] = [
  [
    "plain-docker-29.7-nft",
    "plain-docker-29.7-nft/results.txt",
    6,
    ["8080", "8443", "8444", "9080"].map((port) => `ingress-bypass/4/tcp/any/${port}`),
  ],
  [
    "ufw-routed-docker-29.7-nft",
    "ufw-routed-docker-29.7-nft/results.txt",
    6,
    ["8080", "8443", "8444", "9080"].map((port) => `ingress-bypass/4/tcp/any/${port}`),
  ],
  [
    "podman-netavark-nft",
    "podman-netavark-nft/results.txt",
    7,
    [
      "ingress-bypass/4/tcp/203.0.113.1/8090",
      "ingress-bypass/4/tcp/any/8080",
      // Nothing guards 127.0.0.1: a neighbour on the link reaches it (no client of the record was one).
      "loopback-bypass/4/tcp/127.0.0.1/9090",
    ],
  ],
  ["docker-29.7-nft/08-routed", "docker-29.7-nft/reachability.txt", 23, []],
  ["swarm-docker-29.7-nft", "swarm-docker-29.7-nft/results.txt", 1, []],
];

describe.skipIf(!existsSync(root))("captures", () => {
  test.each(CAPTURES)("%s", (name, record, count, findings) => {
    const { rulesets, host } = readCapture(name);
    const result = auditOf(rulesets, host);
    expect(result.inconclusive).toEqual([]);
    expect(result.findings.map(({ id }) => id).sort()).toEqual(findings);
    expect(result.findings.every(({ certainty }) => certainty === "must")).toBe(true);
    const connections = tried(record);
    expect(connections).toHaveLength(count);
    const differing = connections.filter((each) => lists(result, each) !== each.reached);
    const known = name.startsWith("docker-29.7") ? Object.keys(EXCEPTIONS) : [];
    expect(differing.map(({ dst, dport }) => `${dst}:${dport}`).sort()).toEqual(known.sort());
  });

  test("no text about a host of Podman names Docker", () => {
    const { rulesets, host } = readCapture("podman-netavark-nft");
    const text = auditText(audit(rulesets, host));
    expect(text).toContain("web 10.88.0.2:80");
    expect(text).not.toMatch(/docker/i);
  });

  test("firewalld alone has no container: its own forward-port is no published port", () => {
    const { rulesets, host } = readCapture("firewalld");
    const { exposures, findings, doubts } = audit(rulesets, host);
    expect([exposures, findings]).toEqual([[], []]);
    expect(doubts).toEqual([{ code: "no-engine" }]);
  });
});
