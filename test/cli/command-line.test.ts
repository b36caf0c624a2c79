/** The command line: its output on both streams, its exit codes, and its messages for bad input. */
import { chmodSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { examples } from "../capture.ts";
import { Program } from "./program.ts";

const program = new Program();
beforeAll(() => program.build(), 60_000);
afterAll(() => program.remove());

const HOST = `${examples}ufw-docker-20.10`;
const { folder } = program;
const fwcheck = (args: string[]) => program.run(args);
const file = (name: string, text: string): string => program.file(name, text);

const SAVE = `*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n`;
const PACKET = ["--in", "eth0", "--src", "198.51.100.7", "--dst", "192.0.2.1"];

describe("exit codes and streams", () => {
  test("an audit beyond its budget exits 2 and is inconclusive", async () => {
    const run = await fwcheck(["audit", HOST, "--budget", "3000"]);
    expect(run.code).toBe(2);
    expect(run.out).toMatch(/inconclusive: IPv4: the packet sets of [^:]* need more than 3000\s+intervals/s);
    expect(run.out).toContain("not everything could be settled");
    expect(await fwcheck(["audit", HOST, "--budget", "0"])).toMatchObject({ code: 2, out: "" });
  });

  test("an audit with findings exits 1, and its JSON is one document", async () => {
    const run = await fwcheck(["audit", HOST, "--json"]);
    expect([run.code, run.err]).toEqual([1, ""]);
    expect(Object.keys(JSON.parse(run.out))).toEqual([
      "version",
      "summary",
      "looked",
      "expectations",
      "inferred",
      "inferences",
      "exposures",
      "listening",
      "findings",
      "lint",
      "inconclusive",
      "doubts",
      "remarks",
      "notes",
    ]);
    expect(JSON.parse(run.out)).toMatchObject({
      version: 1,
      summary: { outcome: "findings", exit: { code: 1 } },
    });
  });
  test("--fail-on selects the findings that exit 1", async () => {
    const code = async (wanted: string) => (await fwcheck(["audit", HOST, "--fail-on", wanted])).code;
    const wanted = ["any", "must", "direct-bypass", "egress-bypass,lint", "none"];
    expect(await Promise.all(wanted.map(code))).toEqual([1, 1, 1, 0, 0]);
    expect((await fwcheck(["audit", HOST, "--fail-on", "frob"])).err).toContain(
      "--fail-on takes any, must, none, or some of",
    );
    const rules = join(HOST, "iptables-save.txt");
    expect((await fwcheck(["audit", rules, "--fail-on", "none"])).code).toBe(2);
  });
  test("--expect fails only on an exposure that the file does not list", async () => {
    const yaml = (name: string, ports: string): string =>
      file(name, `open:\n  - {port: ${ports}}\n  - {port: 9090}\n`);
    expect((await fwcheck(["audit", HOST, "--expect", yaml("all.yaml", "8000-9080")])).code).toBe(0);
    const run = await fwcheck(["audit", HOST, "--expect", yaml("some.yaml", "8443-9080")]);
    expect(run.code).toBe(1);
    expect(run.out).toContain("unexpected: 8080/tcp (web 172.17.0.2:80) is open to everyone via eth0, eth1");
    expect(await fwcheck(["audit", HOST, "--expect", file("bad.yaml", "open: 3")])).toMatchObject({
      code: 2,
      out: "",
    });
  });
  test("--sarif prints one result per finding, at the line of the rule that should have decided", async () => {
    const log = JSON.parse((await fwcheck(["audit", HOST, "--sarif"])).out);
    expect([log.version, log.runs.length, log.runs[0].tool.driver.name]).toEqual(["2.1.0", 1, "fwcheck"]);
    const { results, tool } = log.runs[0];
    const ids = tool.driver.rules.map((r: { id: string }) => r.id);
    expect(results.length).toBe(9);
    for (const r of results) {
      expect(ids).toContain(r.ruleId);
      expect(r.message.text).toMatch(/^[a-zD].* gets through via eth0, eth1; for instance tcp /);
      expect(r.locations[0].physicalLocation.region.startLine).toBeGreaterThan(0);
    }
    const deny = results.find(
      (r: { partialFingerprints: Record<string, string> }) =>
        r.partialFingerprints["fwcheck/v1"] === "ingress-bypass/4/tcp/any/8080",
    );
    expect(deny.locations[0].physicalLocation.region.startLine).toBe(126);
  });
  test("simulate --json has the documented fields", async () => {
    const run = await fwcheck([
      "simulate",
      HOST,
      "--in",
      "eth0",
      "--src",
      "203.0.113.2",
      "--dst",
      "203.0.113.1",
      "--dport",
      "8080",
      "--json",
    ]);
    const answer = JSON.parse(run.out);
    expect(run.code).toBe(0);
    expect(answer).toMatchObject({
      verdict: "accept",
      delivery: "forward",
      out: "docker0",
      sent: { src: "203.0.113.2", dst: "172.17.0.2", proto: "tcp", sport: 40000, dport: 80, mark: 0 },
    });
    expect(answer.path[1]).toEqual({
      table: "nat",
      chain: "DOCKER",
      step: "rule",
      rule: 4,
      target: "DNAT",
      line: 150,
    });
    expect(answer.path.at(-1)).toEqual({
      table: "nat",
      chain: "POSTROUTING",
      step: "policy",
      policy: "ACCEPT",
    });
  });
  test("an unmet --expect exits 1", async () => {
    expect(
      (await fwcheck(["simulate", file("a.save", SAVE), ...PACKET, "--dport", "22", "--expect", "accept"]))
        .code,
    ).toBe(0);
    expect(
      (await fwcheck(["simulate", file("a.save", SAVE), ...PACKET, "--dport", "23", "--expect", "accept"]))
        .code,
    ).toBe(1);
  });
  test("--packets: packets share one connection table, answers are NDJSON", async () => {
    const packets = file(
      "p.ndjson",
      `{"in":null,"src":"192.0.2.1","dst":"198.51.100.7","proto":"udp","sport":5000,"dport":53}\n{"in":"eth0","src":"198.51.100.7","dst":"192.0.2.1","proto":"udp","sport":53,"dport":5000}\n`,
    );
    const rules = file(
      "b.save",
      SAVE.replace("-A INPUT", "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT"),
    );
    const run = await fwcheck(["simulate", rules, "--packets", packets]);
    expect(
      run.out
        .trimEnd()
        .split("\n")
        .map((l) => JSON.parse(l).verdict),
    ).toEqual(["accept", "accept"]);
  });
  test("- reads standard input", async () => {
    expect(program.spawn(["simulate", "-", ...PACKET, "--dport", "22"], { input: SAVE }).code).toBe(0);
  });
  test("parse prints the canonical form", async () => {
    expect(
      await fwcheck(["parse", file("c.save", SAVE.replace("-p tcp -m tcp --dport 22", "-p 6 --dport ssh"))]),
    ).toEqual({ code: 0, out: SAVE, err: "" });
  });
  test("fix prints rules on stdout and the proof on stderr", async () => {
    const run = await fwcheck(["fix", HOST]);
    expect(run.code).toBe(0);
    expect(run.out).toContain("-A FWCHECK -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j DROP");
    expect(run.err).toMatch(/^9 findings closed\.\n/);
    expect(run.err).toContain("The proof holds");
  });
  test("the first line of fix names what is inconclusive, before all warnings; exit code 1", async () => {
    const v4 = join(HOST, "iptables-save.txt");
    const unknown = "-A ufw-user-input -m frob -j ACCEPT\n";
    const broken = file(
      "broken.save",
      readFileSync(v4, "utf8").replace(/^(\[0:0\] )?-A ufw-user-input /m, `${unknown}$&`),
    );
    for (const args of [
      [v4, "--addr", join(HOST, "addr.json")],
      [broken, join(HOST, "addr.json")],
    ]) {
      const run = await fwcheck(["fix", ...args]);
      expect(run.code).toBe(1);
      expect(run.err.split("\n")[0]).toContain("Not settled: ");
      expect(JSON.parse((await fwcheck(["fix", ...args, "--json"])).out).failed.length).toBeGreaterThan(0);
    }
  });
  test("a fix that leaves something open names it, prints the other rules, and exits 1", async () => {
    const wanted = file(
      "d.save",
      (await fwcheck(["fix", HOST, "--format", "save"])).out
        .replaceAll(/^.*FWCHECK.*\n/gm, "")
        .replace(
          "-A ufw-user-input",
          "-A ufw-user-input -p tcp -m tcp --dport 9080 -j ACCEPT\n-A ufw-user-input",
        ),
    );
    const run = await fwcheck(["fix", wanted, "--strategy", "internal-ip"]);
    expect(run.code).toBe(1);
    expect(run.out).toContain("-A FWCHECK -d 172.17.0.3/32");
    expect(run.out).not.toContain("172.17.0.2");
    expect(run.err).toContain("a rule by internal address matches them all");
    expect(run.err).toContain("for the closed findings; the lines above list what stays open");
  });
});

test("files of one host can be passed one by one", async () => {
  const names = ["iptables-save.txt", "ip6tables-save.txt", "addr.json", "docker-inspect.json", "sysctl.txt"];
  names.push("docker-network-inspect.json", "route4.json", "route6.json", "nft-tables.txt");
  const run = await fwcheck(["audit", ...names.map((name) => join(HOST, name)), "--json"]);
  expect([run.code, run.err]).toEqual([1, ""]);
  expect(run.out.replaceAll(HOST, "")).toBe(
    (await fwcheck(["audit", HOST, "--json"])).out.replaceAll(HOST, ""),
  );
});

test.each([["help"], ["frobnicate", "--help"]])("help for %s %s", async (...words) => {
  expect(await fwcheck(words)).toMatchObject({
    code: 0,
    out: expect.stringContaining("fwcheck COMMAND"),
    err: "",
  });
});

test("an unreadable file", async () => {
  const path = file("secret.save", SAVE);
  chmodSync(path, 0);
  // Root may read every file, so run as another user.
  chmodSync(program.folder, 0o755);
  const uid = process.getuid?.() === 0 ? 65534 : undefined;
  expect(program.spawn(["audit", path], { uid, cwd: program.folder })).toMatchObject({
    code: 2,
    err: expect.stringContaining("no permission to read it. Run"),
  });
});

describe("bad input: a message with file, line, column and text, and no stack trace", () => {
  // Title, arguments, exit code, pattern on stderr.
  const cases: [string, () => string[], number, RegExp][] = [
    ["a missing file", () => ["audit", join(folder, "nothing-here")], 2, /nothing-here: no such file/],
    [
      "an empty file",
      () => ["audit", file("empty.save", "")],
      2,
      /empty\.save:1:1: error: .*\n.*it is empty\. iptables-save prints nothing unless it runs as root: sudo/,
    ],
    [
      "a file that is no ruleset",
      () => ["audit", file("poem.txt", "Shall I compare thee\nto a summer's day?\n")],
      2,
      /poem\.txt:\d+:\d+: error: no table found/,
    ],
    [
      "no file at all",
      () => ["audit"],
      2,
      /audit needs rules to work on: .* or - for standard input.*--live/,
    ],
    ["no file for parse", () => ["parse"], 2, /parse needs a file/],
    ["no command", () => [], 2, /a command is missing: audit, .* --help describes each command/],
    ["no command, but the end of the flags", () => ["--"], 2, /a command is missing/],
    ["no command, and a flag that is switched off", () => ["--help=false"], 2, /a command is missing/],
    [
      "an unknown command",
      () => ["frobnicate"],
      2,
      /there is no command "frobnicate"\. fwcheck --help lists them/,
    ],
    [
      "a typo in a command",
      () => ["simulte", HOST],
      2,
      /there is no command "simulte"\. Did you mean simulate\?/,
    ],
    [
      "an unknown flag",
      () => ["audit", HOST, "--frob"],
      2,
      /audit has no flag --frob\. fwcheck audit --help lists/,
    ],
    [
      "a typo in a flag",
      () => ["audit", HOST, "--jsno=1"],
      2,
      /audit has no flag --jsno\. Did you mean --json\?/,
    ],
    ["a flag with one dash", () => ["audit", HOST, "-json"], 2, /two dashes: --json, not -json/],
    ["a flag without its value", () => ["audit", HOST, "--addr"], 2, /--addr needs a value \(interfaces and/],
    [
      "a value that is none of the choices",
      () => ["fix", HOST, "--strategy", "contrack"],
      2,
      /--strategy takes auto, internal-ip, conntrack or ipset, not "contrack"\. Did you mean conntrack\?/,
    ],
    [
      "a value that is not the only choice",
      () => ["audit", HOST, "--assume", "all"],
      2,
      /--assume takes complete, not "all"\./,
    ],
    [
      "a flag given twice",
      () => ["simulate", HOST, "--in", "a", "--in", "b"],
      2,
      /--in is given 2 times, and takes one value/,
    ],
    [
      "an interface that is none",
      () => ["simulate", HOST, "--in", "null", "--src", "192.0.2.1", "--dst", "192.0.2.2"],
      2,
      /--in null is not an interface; use --local for a packet that the host itself sends/,
    ],
    ["a word too many", () => ["parse", HOST, "more"], 2, /parse takes no argument "more" here/],
    [
      "a typo in a file's name",
      () => ["audit", join(HOST, "iptables-save.text")],
      2,
      /no such file\. Did you mean iptables-save\.txt\?/,
    ],
    [
      "a folder where a file is needed",
      () => ["audit", HOST, "--addr", HOST],
      2,
      /is a folder; a file is needed here/,
    ],
    [
      "files of a host without its rules",
      () => ["audit", join(HOST, "addr.json")],
      2,
      /no rules found in .*addr\.json; .* Add the output of iptables-save or nft list ruleset/,
    ],
    [
      "what iptables -L prints",
      () => ["audit", file("l.txt", "Chain INPUT (policy ACCEPT)\ntarget prot opt source destination\n")],
      2,
      /output of iptables -L, which shows one table and not all of each rule\. Pass the output of iptables-save/,
    ],
    [
      "what ufw status prints",
      () => ["audit", file("u.txt", "Status: active\n\nTo Action From\n")],
      2,
      /this is output of ufw status/,
    ],
    [
      "what nft prints, cut off",
      () => ["audit", file("n.txt", "table ip filter {\n\tchain INPUT {\n")],
      2,
      /n\.txt:\d+:\d+: error: /,
    ],
    [
      "a compressed file",
      () => ["audit", file("z.gz", "\u001f\u0000\u0000x")],
      2,
      /this is not text\. Is it compressed\?/,
    ],
    [
      "what iptables -S prints",
      () => ["audit", file("S.txt", "-P INPUT DROP\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n")],
      2,
      /warning: .*output of iptables -S, which shows one table; published ports are in table nat/,
    ],
    [
      "an unknown match",
      () => ["audit", file("m.save", SAVE.replace("-m tcp", "-m frobnicate"))],
      2,
      /m\.save:5:\d+: error: unknown match "frobnicate"/,
    ],
    [
      "a chain that is never declared",
      () => ["audit", file("j.save", SAVE.replace("-j ACCEPT\nCOMMIT", "-j NOWHERE\nCOMMIT"))],
      2,
      /j\.save:5:\d+: error: "NOWHERE" is neither a chain of table filter nor a known target/,
    ],
    [
      "a loop of jumps",
      () => [
        "audit",
        file(
          "l.save",
          SAVE.replace("-A INPUT", ":A - [0:0]\n:B - [0:0]\n-A A -j B\n-A B -j A\n-A INPUT -j A\n-A INPUT"),
        ),
      ],
      2,
      /l\.save:8:\d+: error: loop of jumps: .* leads back to A/,
    ],
    [
      "a port that is none",
      () => ["audit", file("p.save", SAVE.replace("--dport 22", "--dport 70000"))],
      2,
      /p\.save:5:32: error: --dport needs a port.*: "70000"/,
    ],
    [
      "an address that is none",
      () => ["audit", file("s.save", SAVE.replace("-p tcp", "-s 300.1.2.3 -p tcp"))],
      2,
      /s\.save:5:13: error: -s needs an address.*: "300\.1\.2\.3"/,
    ],
    [
      "addresses that are no JSON",
      () => ["audit", file("ok.save", SAVE), "--addr", file("addr.txt", "1: lo: <LOOPBACK>")],
      2,
      /addr\.txt: not what ip -j addr prints: it is no JSON; was -j left out\?/,
    ],
    [
      "a packet with a wrong address",
      () => ["simulate", file("ok.save", SAVE), "--in", "eth0", "--src", "nobody", "--dst", "192.0.2.1"],
      2,
      /--src must be an IPv4 address/,
    ],
    [
      "a packet without an interface",
      () => ["simulate", file("ok.save", SAVE), "--src", "192.0.2.9", "--dst", "192.0.2.1"],
      2,
      /--in INTERFACE, or --local/,
    ],
    [
      "a packet line that is no JSON",
      () => ["simulate", file("ok.save", SAVE), "--packets", file("bad.ndjson", "{}\nhello\n")],
      2,
      /bad\.ndjson:1:1: error: "dst" must be/,
    ],
  ];
  test.each(cases)("%s", async (_title, args, code, message) => {
    const run = await fwcheck(args());
    expect(run.err).toMatch(message);
    expect(run.err).not.toMatch(/^\s+at /m);
    expect(run.code).toBe(code);
  });

  test("an unknown match is named, and the other rules are analysed", async () => {
    const rules = file(
      "u.save",
      SAVE.replace("-A INPUT", "-A INPUT -m frobnicate --frob 3 -j DROP\n-A INPUT"),
    );
    const answer = JSON.parse((await fwcheck(["simulate", rules, ...PACKET, "--dport", "22", "--json"])).out);
    expect(answer.verdict).toBe("undecided");
    expect(answer.branches.map((b: { verdict: string }) => b.verdict).sort()).toEqual(["accept", "drop"]);
    expect(answer.assumptions.join()).toContain("frobnicate");
    expect(
      JSON.parse((await fwcheck(["simulate", rules, ...PACKET, "--dport", "23", "--json"])).out).verdict,
    ).toBe("drop");
  });
  test("control characters in a chain name are escaped", async () => {
    const rules = file(
      "t.save",
      SAVE.replace("-A INPUT", ":\u001b[31mred - [0:0]\n-A INPUT -j \u001b[31mred\n-A INPUT"),
    );
    const run = await fwcheck(["simulate", rules, ...PACKET, "--dport", "22"]);
    expect(run.out).toContain("\\u001b[31mred");
    expect(run.out + run.err).not.toContain("\u001b");
  });
});
