/** Addresses of an interface that MASQUERADE and REDIRECT choose. */
import { readHost, simulate } from "fwcheck";
import { describe, expect, test } from "vitest";
import { packetOf, rulesetsOf } from "../builders.ts";
import { nat6, run } from "../two-interfaces.ts";

/** A packet from outside to an IPv6 address. */
const udpTo = (dst: string) => ({
  in: "eth0",
  src: "2001:db8:1::7",
  dst,
  proto: "udp",
  sport: 5,
  dport: 443,
});

describe("IPv6 addresses that end like IPv4's", () => {
  test("REDIRECT finds no address with their scope", () => {
    const to = (dst: string) =>
      run(nat6("-A PREROUTING -p udp -j REDIRECT --to-ports 40000"), udpTo(dst)).verdict;
    expect(to("::2")).toBe("drop");
    expect(to("2001:db8:5::2")).toBe("accept");
  });
});

describe("MASQUERADE for IPv6", () => {
  const from = (dst: string) => run(nat6("-A POSTROUTING -j MASQUERADE"), udpTo(dst));

  test("chooses the address with the label of the destination", () => {
    expect(from("fd00:99::9").sent?.src).toBe("fd00:99::1");
  });

  test("chooses a preferred address, and a temporary one if the interface is configured so", () => {
    const info = (local: string, more = {}) => ({ family: "inet6", local, prefixlen: 64, ...more });
    const addr_info = [
      info("2001:db8:1::7", { deprecated: true }),
      ...[info("2001:db8:1::1:5"), info("2001:db8:1::1:6", { temporary: true })],
    ];
    const source = (tempaddr: number) => {
      const rulesets = rulesetsOf(nat6("-A POSTROUTING -j MASQUERADE"));
      const sources = {
        addr: [{ name: "addr", text: JSON.stringify([{ ifname: "eth0", addr_info }]) }],
        sysctl: [{ name: "sysctl", text: `net.ipv6.conf.eth0.use_tempaddr = ${tempaddr}\n` }],
      };
      const packet = packetOf({
        in: "eth1",
        src: "fd00:99::7",
        dst: "2001:db8:1::9",
        proto: "udp",
        sport: 5,
        dport: 443,
      });
      return simulate(rulesets, readHost(sources, rulesets), packet).sent?.src;
    };
    expect([0, 1, 2].map(source)).toEqual(["2001:db8:1::1:5", "2001:db8:1::1:5", "2001:db8:1::1:6"]);
  });
});
