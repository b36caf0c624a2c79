/** Sentences of what was inferred about a host. */
import { expect, test } from "vitest";
import type { HostInference } from "../../../lib/host/inference.ts";
import { inferenceText } from "../../../lib/report/text/inference-text.ts";

const OUTSIDE = {
  code: "outside-interfaces",
  interfaces: ["eth0"],
  named: ["eth0"],
  namedBy: "rules",
  main: "eth0",
  addresses: ["192.0.2.1", "2001:db8::1"],
} as const satisfies HostInference;

const CASES: readonly (readonly [HostInference, string])[] = [
  [
    {
      code: "bridge-subnet",
      bridge: "docker0",
      subnet: "172.17.0.0/16",
      source: "docker-network",
      address: "172.17.0.1",
    },
    "docker0 is a container bridge with 172.17.0.0/16 (from docker network inspect), its own address taken to be 172.17.0.1",
  ],
  [
    { code: "bridge-without-subnet", bridge: "br-1", containers: [] },
    "br-1 is a container bridge (from Docker's rules); its subnet is not known",
  ],
  [
    { code: "bridge-without-subnet", bridge: "br-1", containers: ["172.18.0.2", "172.18.0.3"] },
    "br-1 is a container bridge (from Docker's rules); its subnet is not known, only 172.18.0.2, 172.18.0.3 behind it",
  ],
  [
    OUTSIDE,
    "outside interfaces: eth0 (named by the rules); eth0 has the default route and an address of the host's, written 192.0.2.1 and 2001:db8::1 because none was given",
  ],
  [
    { ...OUTSIDE, interfaces: ["wg0", "eth0"], named: ["wg0"], namedBy: "rules-or-packet" },
    "outside interfaces: wg0, eth0 (wg0 named by the rules or the packet, eth0 the usual name); eth0 has the default route and an address of the host's, written 192.0.2.1 and 2001:db8::1 because none was given",
  ],
  [
    { code: "own-address", address: "203.0.113.5", interface: "ens3" },
    "203.0.113.5 is taken to be an address of this host, on ens3 (no --addr was given)",
  ],
  [{ code: "interface-down", interface: "eth0" }, "eth0 is down: nothing is routed by it"],
  [
    { code: "vrf-port", interface: "eth1", vrf: "blue" },
    "eth1 is a port of the VRF blue: its subnets are in the table of the VRF",
  ],
  [
    { code: "default-route", interface: "eth0", family: 4 },
    "the default route of IPv4 leads out of eth0 (no --route of IPv4 was given)",
  ],
  [
    { code: "default-route", interface: "eth0", family: null },
    "the default route leads out of eth0 (no --route was given)",
  ],
  [
    { code: "policy-rules-ipv6" },
    "the rules of policy routing are taken for IPv6's (no address in them and no table default)",
  ],
  [
    { code: "table-not-looked-up", table: "7" },
    "table 7 and other tables are not looked up (no ip rule was given)",
  ],
  [{ code: "forwarding" }, "the host forwards packets (net.ipv4.ip_forward = 1; no --sysctl was given)"],
];

test.each(CASES)("%j", (inference, text) => {
  expect(inferenceText(inference)).toBe(text);
});
