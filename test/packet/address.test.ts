import { isIPv6 } from "node:net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { parseAddress, printAddress } from "../../lib/packet/address.ts";

/** Parses an IPv6 address with the URL parser, for comparison. */
const hexOf = (text: string): string =>
  new URL(`http://[${text}]/`).hostname
    .slice(1, -1)
    .replace("::", ":!:")
    .split(":")
    .filter((g) => g !== "")
    .flatMap((g, _, all) => (g === "!" ? Array<string>(9 - all.length).fill("0") : [g]))
    .map((g) => g.padStart(4, "0"))
    .join("");

const group = fc.stringMatching(/^[0-9a-fA-F]{1,4}$/);
const quad = fc.ipV4();
const likely = fc.oneof(
  fc.ipV6(),
  fc
    .tuple(fc.array(group, { maxLength: 7 }), fc.array(group, { maxLength: 7 }))
    .map((sides) => sides.map((side) => side.join(":")).join("::")),
  fc.tuple(fc.array(group, { maxLength: 6 }), quad).map(([head, tail]) => [...head, tail].join(":")),
  fc.tuple(fc.array(group, { maxLength: 5 }), quad).map(([head, tail]) => `${head.join(":")}::${tail}`),
  fc.stringMatching(/^[0-9a-f:.]{2,20}$/),
);

test("an IPv6 address is accepted if inet_pton(3) accepts it, and has the same value as in a URL", () => {
  fc.assert(
    fc.property(likely, (text) => {
      const address = parseAddress(text, 6);
      expect(address !== undefined).toBe(isIPv6(text));
      if (address === undefined) return;
      expect((address as bigint).toString(16).padStart(32, "0")).toBe(hexOf(text));
      expect(parseAddress(printAddress(address), 6)).toBe(address);
    }),
    { numRuns: 20_000 },
  );
});

test.each([
  "",
  ":",
  ":::",
  "1",
  "::1%eth0",
  "::ffff:010.0.0.1",
  "::1.2.3",
  "::0x1",
  "1::2::3",
  "::1 ",
  "::g",
])("%j is not an IPv6 address", (text) => {
  expect(parseAddress(text, 6)).toBeUndefined();
  expect(isIPv6(text) && !text.includes("%")).toBe(false);
});

test.each([
  ["::", "::"],
  ["0:0:0:0:0:0:0:1", "::1"],
  ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["::ffff:192.0.2.1", "::ffff:192.0.2.1"],
  ["::c000:201", "::192.0.2.1"],
])("%s is printed as %s, as inet_ntop(3) does", (text, printed) => {
  expect(printAddress(parseAddress(text, 6)!)).toBe(printed);
});
