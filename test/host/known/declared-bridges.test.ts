/** Bridges of engines of which the caller names the table, and lists of links. */
import { audit, fix, type Host, readHost, readRuleset, sourceKind } from "fwcheck";
import { describe, expect, test } from "vitest";

const ENGINE = `table ip gantry {
	map jumps {
		type ifname : verdict
		elements = { "gan2" : jump out }
	}

	chain translate {
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local tcp dport 8080 dnat to 10.20.0.2:80
	}

	chain sources {
		type nat hook postrouting priority srcnat; policy accept;
		iifname { "gan1", "lan0" } oifname != "eth0" masquerade
		iifname vmap @jumps
	}

	chain out {
		masquerade
	}
}
`;
const OWNER = `table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
	}
}
`;

const link = (ifname: string, kind: string | null, master?: string) => ({
  ifname,
  link_type: "ether",
  ...(master === undefined ? {} : { master }),
  ...(kind === null ? {} : { linkinfo: { info_kind: kind } }),
});
const LINKS = [
  link("eth0", null),
  link("gan0", "bridge"),
  link("gan-a", "veth", "gan0"),
  link("gan1", "bridge"),
  link("gan2", "bridge"),
  link("gan3", "bridge"),
  link("lan0", "bridge"),
  link("eth1", null, "lan0"),
];
const ADDRESSES = ["203.0.113.1", "10.20.0.1", "10.21.0.1", "10.22.0.1", "10.23.0.1", "10.99.0.1"];
const NAMES = ["eth0", "gan0", "gan1", "gan2", "gan3", "lan0"];
const addr = NAMES.map((ifname, i) => ({
  ifname,
  addr_info: [{ family: "inet", local: ADDRESSES[i], prefixlen: 24, scope: "global" }],
}));
const source = (name: string, value: unknown) => ({ name, text: JSON.stringify(value) });

const { rulesets } = readRuleset([{ name: "nft.txt", text: OWNER + ENGINE, complete: true }]);
const hostOf = (...lists: unknown[]): Host =>
  readHost(
    { addr: lists.map((list, i) => source(`${i}`, list)), engineTables: ["ip gantry"], complete: true },
    rulesets,
  );

describe("bridges of an engine that is known by its table", () => {
  const host = hostOf(addr, LINKS);

  test("are those that its rules and maps name or translate to; one with a device of the owner's is the owner's", () => {
    expect(host.bridges).toEqual(["gan0", "gan1", "gan2"]);
    expect(host.declaredBridges).toEqual(host.bridges);
  });

  test("are suggested where the caller names no table", () => {
    const unnamed = readHost(
      { addr: [source("addr", addr), source("link", LINKS)], complete: true },
      rulesets,
    );
    const doubt = { code: "translates-to-containers", family: 4, table: "ip gantry" };
    expect(audit(rulesets, unnamed).doubts).toContainEqual(doubt);
  });

  test("need the kinds of the links", () => {
    expect(hostOf(addr).bridges).toEqual([]);
  });

  test("are no way in from outside, and the fix does not govern what their containers send", () => {
    const { exposures, looked } = audit(rulesets, host);
    expect(looked.engines).toEqual(["the engine of table ip gantry"]);
    // The engine drops no packets to the container's own address, and the owner's forward hook accepts them.
    expect(exposures.map(({ listen }) => listen.port)).toEqual([8080, 80]);
    const { holds, left, rules4 } = fix(rulesets, host, { language: "nftables" });
    expect([holds, left]).toEqual([true, []]);
    const passing = rules4.filter((rule) => /iifname "gan\d" accept/.test(rule));
    expect(passing.map((rule) => /"(.*)"/.exec(rule)?.[1])).toEqual(["gan0", "gan1", "gan2"]);
  });
});

test("a list of links is recognized, and alone it shows no addresses", () => {
  expect(sourceKind(JSON.stringify(LINKS))).toBe("addr");
  const { inferences } = hostOf(LINKS);
  expect(inferences.map(({ code }) => code)).toContain("outside-interfaces");
});
