import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { sourceKind } from "../../../lib/host/classify.ts";
import { readSnapshot } from "../../../lib/host/snapshot.ts";
import { networkPart, readDocker } from "../../../lib/host/sources/docker-inspect.ts";
import { shared } from "../../capture.ts";

const folder = `${shared}captures-nft/podman-netavark-nft/`;
const text = (name: string): string => readFileSync(folder + name, "utf8");

describe.skipIf(!existsSync(folder))("a capture of Podman", () => {
  test("containers and networks are read with their addresses, ports and bridges", () => {
    const { containers } = readDocker(text("podman-inspect.json"));
    expect(containers.map(({ engine, name, published }) => [engine, name, published.length])).toEqual([
      ["podman", "web", 1],
      ["podman", "app", 2],
    ]);
    const { networks, nothing } = readDocker(text("podman-network-inspect.json"));
    expect(nothing).toBe(false);
    expect(networks.map(({ bridge, driver, engine, name }) => [engine, name, driver, bridge])).toEqual([
      ["podman", "podman", "bridge", "podman0"],
      ["podman", "podnet", "bridge", "br-pod"],
    ]);
    expect(networks[1]!.endpoints.map(({ name }) => name)).toEqual(["app"]);
  });

  test.each(["podman-inspect.json", "podman-network-inspect.json"])(
    "%s: the part about the network reads the same, without environment and commands",
    (name) => {
      const part = networkPart(text(name));
      expect(sourceKind(part)).toBe("docker");
      expect(readDocker(part)).toEqual(readDocker(text(name)));
      expect(part).not.toMatch(/Env|CreateCommand|Mounts|httpd/);
    },
  );
});

test("parts of a snapshot about Podman are read; no container is an empty part", () => {
  const part = (title: string, output: string): string =>
    `B begin podman podman ${title}\n${output}\nB end 0\n`;
  const container = `{"Id":"c","OCIRuntime":{},"Name":"web","NetworkSettings":{"Networks":{"":null}}}`;
  const network = `{"name":"podman","id":"n","driver":"bridge",\n"network_interface":"podman0","internal":false,"subnets":[{"subnet":"10.88.0.0/16"}]}`;
  const snapshot = (inspect: string) =>
    readSnapshot({
      name: "host.snap",
      text: `fwcheck-snapshot 1 B\n${part("inspect, network fields", inspect)}${part("network inspect", network)}B done\n`,
    });
  const read = (inspect: string) =>
    (snapshot(inspect).sources.docker ?? []).map((each) => readDocker(each.text));
  expect(read(container).flatMap(({ containers }) => containers)).toMatchObject([
    { engine: "podman", name: "web" },
  ]);
  expect(read("")).toMatchObject([{ containers: [], networks: [{ engine: "podman", bridge: "podman0" }] }]);
});

test("a container of Docker has no engine named, and a network of another driver no bridge", () => {
  const { containers, networks } = readDocker(
    JSON.stringify([
      { Id: "d", Name: "/web", NetworkSettings: {} },
      { name: "wire", id: "m", driver: "macvlan", network_interface: "eth0", subnets: null },
    ]),
  );
  expect(containers[0]).not.toHaveProperty("engine");
  expect(networks).toMatchObject([{ driver: "macvlan", bridge: null, subnets: [] }]);
});
