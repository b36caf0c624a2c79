/** Tests `fwcheck diff`: its text, its exit codes, its formats, and where it takes the host from. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { DiffJson } from "../../../lib/index.ts";
import { ADDR } from "../../two-interfaces.ts";
import { Program } from "../program.ts";

const program = new Program();
afterAll(() => program.remove());

const save = (...rules: string[]): string =>
  [
    "*filter",
    ":INPUT DROP [0:0]",
    ":FORWARD DROP [0:0]",
    ":OUTPUT ACCEPT [0:0]",
    ...rules,
    "COMMIT",
    "",
  ].join("\n");
const SSH = "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT";
const WEB = "-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT";

let [old, now, host] = ["", "", ""];
beforeAll(() => {
  old = program.file("old.v4", save(SSH));
  now = program.file("new.v4", save(SSH, WEB));
  program.file("addr.json", ADDR);
  host = program.folder;
});

const run = (...args: string[]) => program.run(["diff", ...args, "--family", "4", "--assume", "complete"]);

test("a difference exits with 1, none with 0, and --fail-on selects", async () => {
  const { code, out } = await run(old, now);
  expect(code).toBe(1);
  expect(out).toMatch(/^2 differences: 2 opened\n\nopened: IPv4 tcp 80 from everyone to /);
  expect(out).toMatch(/^ {2}after: accepted for the host itself: -A INPUT -p tcp -m tcp --dport 80 -j\n/m);
  expect((await run(old, old)).out).toMatch(
    /^No difference: all IPv4 packets without a known connection fare alike$/m,
  );
  expect((await run(old, old)).code).toBe(0);
  expect((await run(old, now, "--fail-on", "closed")).code).toBe(0);
  expect((await run(now, old, "--fail-on", "closed,delivered-elsewhere")).code).toBe(1);
  expect((await run(old, now, "--fail-on", "none")).code).toBe(0);
});

test("without --assume complete, other rules are unknown: nothing is proved", async () => {
  const { code, out } = await program.run(["diff", old, old, "--family", "4"]);
  expect(code).toBe(2);
  expect(out).toMatch(/^No difference found, but the comparison is not complete$/m);
});

test("wrong values of flags are named", async () => {
  const { code, err } = await run(old, now, "--fail-on", "opend");
  expect([code, err]).toEqual([
    2,
    expect.stringMatching(/--fail-on takes any, none, or some of opened, closed/),
  ]);
  expect((await run("-", "-")).err).toMatch(/standard input can be one of both/);
});

test("JSON, SARIF and Markdown contain each change", async () => {
  const json = JSON.parse((await run(old, now, "--json")).out) as DiffJson;
  expect(json.version).toBe(1);
  expect(json.summary).toMatchObject({ outcome: "different", exit: 1, kinds: { opened: 2 } });
  expect(json.changes[0]!.because.after).toMatch(/--dport 80 -j ACCEPT \(line 6\)$/);
  const { runs } = JSON.parse((await run(old, now, "--sarif")).out) as {
    runs: { results: { ruleId: string; locations: unknown[] }[] }[];
  };
  expect(runs[0]!.results[0]).toMatchObject({
    ruleId: "opened",
    locations: [{ physicalLocation: { region: { startLine: 6 } } }],
  });
  expect((await run(old, now, "--markdown")).out).toMatch(/^\| \*\*opened\*\* \| IPv4 tcp 80 from /m);
});

test("rules without a host are evaluated on the host of the other side", async () => {
  const folder = await run(host, now);
  // The folder contains both rulesets, which are not those of one host.
  expect(folder.code).toBe(2);
  expect(folder.err).toMatch(/given twice, with different rules/);
});
