/** Compares what `inspect` and `network inspect` print for the same containers. */
import { type HostDoubt, hostDoubtText, readHost } from "fwcheck";
import { describe, expect, test } from "vitest";

const [WEB, DB, NET, BUILD] = ["a", "b", "c", "d"].map((digit) => digit.repeat(64)) as [
  string,
  string,
  string,
  string,
];

interface Attached {
  readonly id?: string;
  readonly name: string;
  readonly ip: string;
  readonly network?: string;
}

const inspected = ({ id, name, ip, network = "app" }: Attached) => ({
  ...(id === undefined ? {} : { Id: id }),
  Name: `/${name}`,
  HostConfig: { NetworkMode: network },
  NetworkSettings: { Ports: {}, Networks: { "": null, [network]: { IPAddress: ip, GlobalIPv6Address: "" } } },
});

const network = (members: readonly Attached[], name = "app") => ({
  Id: NET,
  Name: name,
  Driver: "bridge",
  IPAM: { Config: [{ Subnet: "172.30.0.0/24" }] },
  Containers: Object.fromEntries(
    members.map((m) => [
      m.id ?? m.name,
      { Name: m.name, IPv4Address: m.ip === "" ? "" : `${m.ip}/24`, IPv6Address: "" },
    ]),
  ),
});

const web: Attached = { id: WEB, name: "web", ip: "172.30.0.2" };
const db: Attached = { id: DB, name: "db", ip: "172.30.0.3" };

/** Doubts about what an engine prints, one JSON document a line, as the collector writes it. */
const doubts = (...documents: readonly object[]): readonly HostDoubt[] =>
  readHost({ docker: [{ name: "docker", text: documents.map((d) => JSON.stringify(d)).join("\n") }] }, [])
    .doubts;

describe("docker inspect and docker network inspect", () => {
  test("of the same containers: no doubt", () => {
    expect(doubts(inspected(web), inspected(db), network([web, db]))).toEqual([]);
  });
  test("inspect without a container that a network lists", () => {
    const found = doubts(inspected(web), network([web, db]));
    expect(found).toEqual([{ code: "containers-not-inspected", engine: "docker", containers: ["db"] }]);
    expect(found.map(hostDoubtText)).toEqual([
      "docker network inspect lists db, and docker inspect does not have it: one of the two is not whole or of another time (containers start and stop), and its ports are not known; collect both again",
    ]);
  });
  test("inspect without any container", () => {
    expect(doubts(network([web, db]))).toEqual([
      { code: "containers-not-inspected", engine: "docker", containers: ["web", "db"] },
    ]);
  });
  test("a container without an address, on the host's network", () => {
    const host = { id: DB, name: "agent", ip: "" };
    expect(doubts(inspected(web), network([web]), network([host], "host"))).toEqual([
      { code: "containers-not-inspected", engine: "docker", containers: ["agent"] },
    ]);
  });
  test("a container in two networks is named once", () => {
    expect(doubts(inspected(web), network([web, db]), network([db], "other"))).toMatchObject([
      { containers: ["db"] },
    ]);
  });
  test("a container that was created again has another id", () => {
    const again = { ...web, id: BUILD };
    expect(doubts(inspected(web), network([again]))).toMatchObject([
      { code: "containers-not-inspected", containers: ["web"] },
    ]);
  });
  test("containers without ids are compared by name", () => {
    const short = { name: web.name, ip: web.ip };
    expect(doubts(inspected(short), network([web]))).toEqual([]);
    expect(doubts(inspected(short), network([web, db]))).toMatchObject([{ containers: ["db"] }]);
  });
  test.each(["ingress-sbox", "lb-app", `ep-${BUILD}`, "moby.buildkit.x1qv9u2", ""])(
    "an endpoint %s is not a container",
    (id) => {
      expect(doubts(inspected(web), network([web, { id, name: "x", ip: "172.30.0.9" }]))).toEqual([]);
    },
  );
  test("a network without a container that inspect attaches to it", () => {
    const found = doubts(inspected(web), inspected(db), network([web]));
    expect(found).toEqual([{ code: "containers-not-in-network", engine: "docker", containers: ["db"] }]);
    expect(found.map(hostDoubtText)).toEqual([
      "docker inspect has addresses of db that docker network inspect does not list: one of the two is not whole or of another time (containers start and stop), and other containers may be missing; collect both again",
    ]);
  });
  test("a container that got another address", () => {
    expect(doubts(inspected(web), network([{ ...web, ip: "172.30.0.7" }]))).toMatchObject([
      { code: "containers-not-in-network" },
    ]);
  });
  test("an endpoint whose sandbox Docker lost has the container's address", () => {
    expect(doubts(inspected(web), network([{ ...web, id: `ep-${BUILD}` }]))).toEqual([]);
  });
  test("network inspect without a network of a container", () => {
    const found = doubts(inspected(web), inspected({ ...db, network: "other" }), network([web]));
    expect(found).toEqual([{ code: "networks-not-inspected", engine: "docker", networks: ["other"] }]);
    expect(found.map(hostDoubtText)).toEqual([
      "docker inspect names network other, and docker network inspect does not have it: one of the two is not whole or of another time (containers start and stop), and its driver and subnets are not known; collect both again",
    ]);
  });
  test("a stopped container has no address", () => {
    expect(doubts(inspected(web), inspected({ ...db, ip: "" }), network([web]))).toEqual([]);
  });
  test("without network inspect nothing is compared", () => {
    expect(doubts(inspected(web))).toEqual([]);
  });
  test("a network without a list of containers is not compared", () => {
    const { Containers: _, ...bare } = network([]);
    expect(doubts(inspected(web), bare)).toEqual([]);
  });
  test("many names are counted", () => {
    const many = Array.from({ length: 9 }, (_, i) => ({
      id: String(i).repeat(64),
      name: `c${i}`,
      ip: `172.30.0.${i + 20}`,
    }));
    expect(hostDoubtText(doubts(network(many))[0]!)).toMatch(
      /^docker network inspect lists c0, c1, c2, c3, c4 and 4 more, and docker inspect does not have them: /,
    );
  });
});

describe("podman inspect and podman network inspect", () => {
  const container = { ...inspected({ ...web, network: "podman" }), OCIRuntime: {} };
  const podman = (members: readonly Attached[]) => ({
    name: "podman",
    driver: "bridge",
    network_interface: "podman0",
    subnets: [{ subnet: "172.30.0.0/24" }],
    containers: Object.fromEntries(
      members.map(({ id, name, ip }) => [
        id,
        { name, interfaces: { eth0: { subnets: [{ ipnet: `${ip}/24` }] } } },
      ]),
    ),
  });
  test("are compared by themselves", () => {
    expect(doubts(container, podman([web]))).toEqual([]);
    expect(doubts(container, podman([web, db]))).toEqual([
      { code: "containers-not-inspected", engine: "podman", containers: ["db"] },
    ]);
    expect(doubts(container, network([]))).toEqual([]);
  });
});
