/** Expectations: ports that may be open, and their sources; any other exposure is unexpected. */
import { audit, auditText, ExpectationError, readExpectations, sarif } from "fwcheck";
import { describe, expect, test } from "vitest";
import { auditOutcome } from "../../lib/report/text/audit-text.ts";
import { capture, examples } from "../capture.ts";
import { auditOf } from "./json.ts";
import { type Layout, read, save } from "./layout.ts";

/** The parts of a SARIF log that the tests read. */
interface SarifLog {
  readonly runs: readonly {
    readonly results: readonly {
      readonly ruleId: string;
      readonly suppressions?: unknown;
      readonly locations: readonly {
        readonly physicalLocation: { readonly region: { readonly startLine: number } };
      }[];
    }[];
  }[];
}

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

describe("the text, the exit code and SARIF agree", () => {
  const judged = (yaml: string, name = "ufw-docker-28.5") => {
    const { rulesets, host } = capture(`${examples}${name}`);
    const expect = readExpectations(yaml);
    const result = audit(rulesets, host, { expect });
    const { results } = (sarif(result, new Map(), "0") as SarifLog).runs[0]!;
    return {
      last: auditText(result).trimEnd().split("\n").at(-1),
      expected: result.findings.filter((f) => f.expected === true).length,
      findings: result.findings.length,
      unexpected: results.filter((r) => r.ruleId === "unexpected-exposure").length,
      shown: results.filter((r) => r.ruleId.endsWith("-bypass") && r.suppressions === undefined).length,
    };
  };
  const PORTS = "{port: 8080}, {port: 8443-9080}";
  test("an unexpected port is a result, and the last line counts it", () =>
    expect(judged("open: [{port: 8443-9080}]")).toMatchObject({
      last: "1 open port of 4 is not expected.",
      unexpected: 1,
    }));
  test("with all ports expected, their findings are suppressed", () => {
    const { expected, ...all } = judged(`open: [${PORTS}]`);
    expect(expected).toBe(4);
    expect(all).toEqual({ last: "Every open port is expected.", findings: 4, unexpected: 0, shown: 0 });
  });
  test("findings about other packets are counted in the last line and are results", () => {
    const { findings, expected, last, shown } = judged("open: [{port: 1-65535}]", "ufw-docker-20.10");
    const others = findings - expected;
    expect([others > 0, expected > 0]).toEqual([true, true]);
    expect(last).toBe(
      `Every open port is expected, but ${others} findings are about other packets: see above.`,
    );
    expect(shown).toBe(others);
  });
});

describe("an unexpected port is at the line of the rule that opens it", () => {
  const opened = (layout: Layout): (string | undefined)[] => {
    const { rulesets, host } = read(layout);
    const { runs } = sarif(audit(rulesets, host, { expect: [] }), new Map(), "0") as SarifLog;
    const lines = save(layout).split("\n");
    return runs[0]!.results
      .filter((r) => r.ruleId === "unexpected-exposure")
      .map((r) => lines[r.locations[0]!.physicalLocation.region.startLine - 1]);
  };
  test("the translation of a published port", () =>
    expect(
      opened({ nets: [{ bridge: "docker0", prefix: "172.17.0", ports: { 8080: 80, 8081: 81 } }] }),
    ).toEqual([
      expect.stringMatching(/^-A DOCKER .* --dport 8080 -j DNAT/),
      expect.stringMatching(/^-A DOCKER .* --dport 8081 -j DNAT/),
    ]));
  test("the accept of a routed port", () =>
    expect(
      opened({ nets: [{ bridge: "docker0", prefix: "172.17.0", mode: "routed", ports: { 8080: 80 } }] }),
    ).toEqual([expect.stringMatching(/^-A DOCKER .* --dport 80 -j ACCEPT/)]));
});

test("an unexpected port is bad news where no engine is known, too", () => {
  const result = audit(rulesets, host, { expect: [] });
  const looked = { ...result.looked, engines: [] };
  expect(auditOutcome({ ...result, looked })).toMatchObject({
    mood: "bad",
    sentence: "4 open ports of 4 are not expected.",
  });
  expect(auditOutcome({ ...result, looked, exposures: [], findings: [] }).mood).toBe("unsure");
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
