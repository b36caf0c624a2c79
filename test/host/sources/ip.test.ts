/** Reads `ip -j rule`. */
import { expect, test } from "vitest";
import { readRules } from "../../../lib/host/sources/ip.ts";

test.each(["fwmark", "uid_start", "sport", "fwmask", "suppress_prefixlength", "suppress_prefixlen"])(
  "a rule with a value of %s that is no number is not followed",
  (key) => {
    const listing = JSON.stringify([{ priority: 100, src: "all", table: "main", [key]: "?" }]);
    expect(readRules(listing, 4)).toMatchObject([{ priority: 100, beyond: key }]);
  },
);
