/** Keys of unknowns: parsed by `unknownSubject`. */
import { expect, test } from "vitest";
import { changedKey, unknownName, unknownSubject, unreadKey } from "../../lib/path/unknown-key.ts";
import { sharedKey, siteKey } from "../../lib/rules/facts.ts";

test("a base chain that was not read", () => {
  const by = "nftables table inet a) (b:\nc";
  expect(unknownSubject(unreadKey("INPUT", by))).toEqual({ kind: "unread", hook: "INPUT", by });
  expect(unknownSubject(changedKey(by))).toEqual({ kind: "changed", by });
});

test("a match, and a missing field of the packet", () => {
  const site = { table: "filter", chain: "INPUT", index: 3 };
  expect(unknownSubject(siteKey("recent", site))).toEqual({ kind: "match", name: "recent" });
  expect(unknownSubject(sharedKey("time", "--weekdays Mon"))).toEqual({ kind: "match", name: "time" });
  expect(unknownSubject("packet:length")).toEqual({ kind: "field", field: "length" });
  expect(unknownName(siteKey("recent", site))).toBe("recent");
  expect(unknownName("packet:length")).toBe("packet:length");
});
