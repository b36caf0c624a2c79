/** `fwcheck lint`: exit codes and formats. */
import { afterAll, expect, test } from "vitest";
import { examples } from "../../capture.ts";
import { Program } from "../program.ts";

const program = new Program();
afterAll(() => program.remove());

const lint = (...args: string[]) => program.run(["lint", ...args], { cwd: examples });

const file = (name: string, rule: string): string =>
  program.file(name, `*filter\n:INPUT DROP [0:0]\n${rule}\nCOMMIT\n`);

test("1 if rules are listed, 0 if none is or --fail-on selects none of them", async () => {
  const codes = await Promise.all([
    lint("dead-rules.v4"),
    lint("dead-rules.v4", "--fail-on", "none"),
    lint("dead-rules.v4", "--fail-on", "redundant"),
    lint(file("drop", "-A INPUT -p tcp -j DROP"), "--fail-on", "dead,shadowed"),
    lint("ufw-docker-20.10"),
    lint("ufw-docker-20.10", "--all"),
  ]);
  expect(codes.map(({ code }) => code)).toEqual([1, 0, 1, 0, 0, 1]);
  expect(codes[4]!.out).toMatch(
    /^\d+ rules: 0 dead, 0 shadowed, 0 redundant\.\n\d+ rules that programs wrote/,
  );
});

test("2 if none is listed and a rule is unreadable, or a table was not compared", async () => {
  const unreadable = await lint(file("unreadable", "-A INPUT -p tcp --dprt 22 -j ACCEPT"));
  expect(unreadable.code).toBe(2);
  expect(unreadable.err).toContain("warning: ");
  const small = await lint("ufw-docker-20.10", "--budget", "10");
  expect([small.code, small.err]).toEqual([2, ""]);
  expect(small.out).toContain("inconclusive: table filter of IPv4 was not compared");
});

test("a wrong call", async () => {
  for (const args of [
    ["--fail-on", "unused"],
    ["--budget", "0"],
  ]) {
    const { code, err, out } = await lint("dead-rules.v4", ...args);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain(args[0]);
  }
});

test("--json has codes and sentences, --sarif one result for each rule", async () => {
  const { code, out } = await lint("dead-rules.v4", "--json");
  const { anomalies, ...rest } = JSON.parse(out);
  expect([code, rest]).toEqual([1, { version: 1, omitted: 0, rules: 10, unsettled: [], doubts: [] }]);
  expect(anomalies[0]).toEqual({
    kind: "shadowed",
    by: [
      {
        rule: {
          table: "filter",
          chain: "INPUT",
          rule: 3,
          line: 10,
          text: "-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -j ACCEPT",
        },
        decides: "otherwise",
      },
    ],
    families: [4],
    rule: {
      table: "filter",
      chain: "INPUT",
      rule: 4,
      line: 11,
      text: "-A INPUT -s 10.1.0.0/16 -p tcp -m tcp --dport 22 -j DROP",
    },
    program: null,
    message: expect.stringContaining("decides otherwise; move it up or remove it"),
  });
  const log = JSON.parse((await lint("dead-rules.v4", "--sarif")).out);
  const results: { ruleId: string; locations: { physicalLocation: { region: object } }[] }[] =
    log.runs[0].results;
  expect(results.map((r) => [r.ruleId, r.locations[0]!.physicalLocation.region])).toEqual([
    ["shadowed", { startLine: 11 }],
    ["redundant", { startLine: 12 }],
    ["dead", { startLine: 14 }],
    ["redundant", { startLine: 15 }],
    ["dead", { startLine: 17 }],
  ]);
});
