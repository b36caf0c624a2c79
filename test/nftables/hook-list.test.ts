import { expect, test } from "vitest";
import { isHookList, readHookList } from "../../lib/nftables/hook-list.ts";

const LISTING = `family ip {
	hook prerouting {
		-0000000400 ipv4_conntrack_defrag [nf_defrag_ipv4]
		-0000000300 chain ip raw PREROUTING [nf_tables]
		-0000000200 ipv4_conntrack_in [nf_conntrack]
	}
	hook forward {
		 0000000000 chain inet firewall forward [nf_tables]
		 0000000000 ipt_do_table [ip_tables]
		+0000000010 chain inet firewalld filter_FORWARD [nf_tables]
	}
}
family ip6 {
	hook forward {
		 0000000000 chain inet firewall forward [nf_tables]
	}
}
family bridge {
	hook forward {
		 0000000000 chain bridge x y [nf_tables]
	}
}
`;

test("the order of a hook is the order of the lines", () => {
  const list = readHookList(LISTING);
  expect([...list.keys()]).toEqual([4, 6]);
  expect(list.get(4)!.get("FORWARD")).toEqual([
    { priority: 0, chain: { family: "inet", table: "firewall", name: "forward" }, function: "" },
    { priority: 0, chain: null, function: "ipt_do_table [ip_tables]" },
    { priority: 10, chain: { family: "inet", table: "firewalld", name: "filter_FORWARD" }, function: "" },
  ]);
  expect(
    list
      .get(4)!
      .get("PREROUTING")!
      .map(({ priority, chain }) => [priority, chain?.table]),
  ).toEqual([
    [-400, undefined],
    [-300, "raw"],
    [-200, undefined],
  ]);
  expect([...list.get(6)!.keys()]).toEqual(["FORWARD"]);
});

test("a listing is recognized by its first lines", () => {
  expect(isHookList(LISTING)).toBe(true);
  expect(isHookList("table inet x {\n\tchain y {\n\t}\n}\n")).toBe(false);
  expect(readHookList("").size).toBe(0);
});
