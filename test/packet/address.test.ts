/** Addresses against a library that is made for them. */
import fc from "fast-check";
import { IPv6 } from "ip-num";
import { describe, expect, test } from "vitest";
import { parseAddress, printAddress } from "../../lib/packet/address.ts";

describe("IPv6", () => {
  test("what anybody may write is read as ip-num reads it", () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        // ip-num reads no dotted tail.
        fc.pre(!text.includes("."));
        expect(parseAddress(text, 6)).toBe(IPv6.fromString(text).getValue());
      }),
    );
  });
  test("what is printed is read again as the same", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, (1n << 128n) - 1n), fc.bigInt(0n, (1n << 128n) - 1n), (a, mask) => {
        for (const address of [a, a & mask & (mask >> 16n)])
          expect(parseAddress(printAddress(address), 6)).toBe(address);
      }),
    );
  });
  test.each([
    ["::", 0n],
    ["::1", 1n],
    ["1::", 1n << 112n],
    ["1:2:3:4:5:6:7::", (0x0001_0002_0003_0004_0005_0006_0007n << 16n) as bigint],
    ["::ffff:192.0.2.1", 0xffff_c000_0201n],
    ["64:ff9b::192.0.2.33", (0x64_ff9bn << 96n) | 0xc000_0221n],
    ["ABCD::", 0xabcdn << 112n],
  ])("%s", (text, value) => {
    expect(parseAddress(text, 6)).toBe(value);
  });
  test.each([
    ...[
      "",
      ":",
      ":::",
      "1",
      "1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9",
      "1::2::3",
      "1:2:3:4:5:6:7:8::",
      ":1::2",
      "1::2:",
    ],
    ...[
      "12345::",
      "g::",
      "::1%eth0",
      "::1/64",
      " ::1",
      "::256.0.0.1",
      "::1.2.3",
      "1.2.3.4",
      "::1.2.3.4:5",
      "0x1::",
    ],
  ])("%j is none", (text) => {
    expect(parseAddress(text, 6)).toBeUndefined();
  });
});
