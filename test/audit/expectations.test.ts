/** Expectations: ports that may be open, and their sources; any other exposure is unexpected. */
import { ExpectationError, readExpectations } from "fwcheck";
import { describe, expect, test } from "vitest";
import { capture, examples } from "../capture.ts";
import { auditOf } from "./json.ts";

const { rulesets, host } = capture(`${examples}ufw-docker-28.5`);
const unexpected = (yaml: string) =>
  auditOf(rulesets, host, { expect: readExpectations(yaml) }).exposures.flatMap((e) =>
    e.unexpected === undefined ? [] : [`${e.listen.port} ${e.unexpected.from} ${e.unexpected.in.join()}`],
  );

const REST = ["8443 everyone eth0,eth1", "8444 everyone eth0,eth1", "9080 everyone eth0,eth1"];

// One line for each case: the file, and the unexpected exposures.
test.each([
  ["open: []", ["8080 everyone eth0,eth1", ...REST]],
  ["open:\n  - port: 8080", REST],
  ["open:\n  - port: 8080-9999", []],
  ["open:\n  - {port: 8080, in: [eth0, eth1]}\n  - {port: 8443-9080}", []],
  ["open:\n  - {port: 8080, in: eth0}\n  - {port: 8443-9080}", ["8080 everyone eth1"]],
  ["open:\n  - {port: 8080, proto: udp}\n  - {port: 8443-9080}", ["8080 everyone eth0,eth1"]],
  [
    "open:\n  - {port: 8080, from: 0.0.0.0/1}\n  - {port: 8443-9080}",
    ["8080 128.0.0.0-223.255.255.255, 240.0.0.0-255.255.255.254 eth0,eth1"],
  ],
] as const)("%s", (yaml, lines) => {
  const found = unexpected(yaml);
  // The host's own addresses and other martians are exceptions that no expectation needs to name.
  if (yaml.includes("from"))
    expect(found.map((l) => l.split(" ")[0])).toEqual(lines.map((l) => l.split(" ")[0]));
  else expect(found.sort()).toEqual([...lines].sort());
});

describe("an invalid file is refused, and the message names the entry", () => {
  test.each([
    ["open", /expected a list under the key open/],
    ["open:\n  - port: 70000", /entry 1 of open: port must be/],
    ["open:\n  - port: 80\n  - {port: 81, from: nowhere}", /entry 2 of open: from must be/],
    ["open:\n  - {port: 80, form: 1.2.3.4}", /unknown key "form"/],
    ["open: [", /not YAML/],
    ["open:\n  - {port: 80, __proto__: 1}", /unknown key "__proto__"/],
  ])("%s", (yaml, message) => {
    expect(() => readExpectations(yaml)).toThrow(ExpectationError);
    expect(() => readExpectations(yaml)).toThrow(message);
  });
});
