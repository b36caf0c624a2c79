/** Names in keys of unknowns. */
import { expect, test } from "vitest";
import { assumedName, unknownName, unknownSubject } from "../../lib/path/unknown-key.ts";
import { sharedKey, siteKey } from "../../lib/rules/facts.ts";

test.each([
  [siteKey("recent", { table: "filter", chain: "INPUT", index: 3 }), "recent", "recent", "recent"],
  [sharedKey("time", "--weekdays Mon"), "time(--weekdays Mon)", "time", "time"],
  ["set:bad(src)", "set", "set:bad", "set"],
  ["packet:length", "packet", "packet:length", "packet"],
])("%s", (key, assumed, name, subject) => {
  expect([assumedName(key), unknownName(key), unknownSubject(key)]).toEqual([assumed, name, subject]);
});
