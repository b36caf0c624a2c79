/**
 * Output of `fwcheck simulate`: common paths of a real host, recorded in `examples/*.simulate.txt` (UPDATE=1 records them
 * again), and rarer ones here.
 */
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { examples } from "../../capture.ts";
import { Program } from "../program.ts";

const program = new Program();
afterAll(() => program.remove());

const HOST = `${examples}ufw-docker-20.10`;
const words = (line: string): string[] => line.split(" ").filter((w) => w !== "");

const FROM = "--src 203.0.113.2 --dst 203.0.113.1";
/** Recorded calls and their exit codes. */
const CALLS: readonly [title: string, args: string, code: number][] = [
  ["A published port, reachable although ufw denies it", `--in eth0 ${FROM} --dport 8080`, 0],
  ["A port that nobody opened", `--in eth0 ${FROM} --dport 23`, 0],
  ["A port that ufw allows", `--in eth0 ${FROM} --dport 22 --short`, 0],
  ["A container on its way out", "--in docker0 --src 172.17.0.2 --dst 203.0.113.9 --dport 443", 0],
  [
    "A container calls the host's published port",
    `--in docker0 --src 172.17.0.3 --dst 203.0.113.1 --dport 8080`,
    0,
  ],
  ["From one network to another, which ufw does not route", "--in eth1 --src 10.99.0.2 --dst 203.0.113.2", 0],
  ["What the host sends", "--local --src 203.0.113.1 --dst 203.0.113.9 --proto udp --dport 53", 0],
  ["What the host sends to itself", "--local --src 127.0.0.1 --dst 127.0.0.1 --dport 8080 --short", 0],
  ["No way there", "--in docker0 --src 172.17.0.2 --dst 198.51.100.9 --expect accept", 1],
  ["A second packet without a first", `--in eth0 ${FROM} --dport 22 --tcp-flags SA`, 0],
  ["A whole connection, translated there and back", `--in eth0 ${FROM} --dport 8080 --flow`, 0],
  ["A ping and its answer", `--in eth0 ${FROM} --proto icmp --flow --short`, 0],
  ["A connection that ufw drops", `--in eth0 ${FROM} --dport 23 --flow --short --expect accept`, 1],
  ["IPv6", "--in eth0 --src 2001:db8:1::2 --dst 2001:db8:1::1 --dport 8080", 0],
  ["Every step", `--in eth0 ${FROM} --dport 22 -v`, 0],
];

test("common paths of a real host", async () => {
  const sections = CALLS.map(async ([title, args, code]) => {
    const run = await program.run(["simulate", "ufw-docker-20.10", ...words(args)], { cwd: examples });
    expect(run.code, title).toBe(code);
    expect(run.out).not.toMatch(/[^\n]{81}/);
    return `--- ${title}\n\n$ fwcheck simulate ufw-docker-20.10 ${args}\n${run.out}${run.err}`;
  });
  const text = (await Promise.all(sections)).join("\n");
  const path = `${HOST}.simulate.txt`;
  if (process.env.UPDATE === "1") writeFileSync(path, text);
  expect(text).toBe(readFileSync(path, "utf8"));
}, 120_000);

test("the examples of --help run and show what they claim", async () => {
  const help = (await program.run(["simulate", "--help"])).out;
  const shown = [...help.matchAll(/^ +fwcheck (simulate host\/ --(?:in|local) .*?)(?: > \S+)?$/gm)].map((m) =>
    words(m[1]!),
  );
  expect(shown.length).toBe(6);
  symlinkSync(HOST, join(program.folder, "host"));
  const runs = await Promise.all(shown.map((args) => program.run(args, { cwd: program.folder })));
  for (const run of runs) expect([run.code, run.err]).toEqual([0, ""]);
  const [published, whole, out, asked, picture, six] = runs as [(typeof runs)[0], ...typeof runs] &
    typeof runs;
  expect(published.out).toContain("The packet skips INPUT, where ufw deny 8080/tcp");
  expect(whole!.out.match(/^\d\. /gm)?.length).toBe(8);
  expect(out!.out).toContain("ACCEPT: forwarded out of eth0");
  expect(asked!.out).toContain("policy ACCEPT");
  expect(picture!.out).toMatch(/^<svg [\s\S]*The packet skips INPUT[\s\S]*<\/svg>\n$/);
  expect(JSON.parse(six!.out).verdict).toBe("accept");
}, 60_000);

test("--svg draws one packet and excludes other outputs", async () => {
  const packet = words(`--in eth0 ${FROM} --dport 8080 --svg`);
  for (const other of ["--flow", "--json", "--short", "--packets=x"]) {
    const run = await program.run([
      "simulate",
      HOST,
      ...(other.startsWith("--packets") ? ["--svg"] : packet),
      other,
    ]);
    expect([run.code, run.out]).toEqual([2, ""]);
    expect(run.err).toContain("--svg draws the path of one packet");
  }
  const run = await program.run(["simulate", HOST, ...packet, "--expect", "drop"]);
  expect(run.code).toBe(1);
  expect(run.err).toBe("expected drop, but the verdict is accept\n");
});

const PACKET = words("--in eth0 --src 198.51.100.7 --dst 192.0.2.1 --dport 22");
const FILTER = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n";

describe("unknown matches", () => {
  const rules = `${FILTER}:guard - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j guard
-A guard -m recent --update --seconds 60 --hitcount 4 --name ssh --mask 255.255.255.255 --rsource -j DROP
-A guard -p tcp -m string --string "a b" --algo bm --to 65535 -j REJECT --reject-with tcp-reset
-A guard -j ACCEPT
COMMIT
`;
  test("each path with its rules, and the --assume that selects it", async () => {
    const run = await program.run(["simulate", program.file("open.save", rules), ...PACKET]);
    expect(
      run.out.replaceAll(`${program.folder}/`, ""),
    ).toBe(`tcp 198.51.100.7:40000 -> 192.0.2.1:22 [S] in eth0
line numbers of open.save

    routing: to the host itself (192.0.2.1 on eth0)
    filter INPUT
 6    1: -p tcp -m tcp --dport 22 -j guard

A. if recent matches in filter guard rule 1 (line 7)
    filter INPUT (continued)
 7      1: -m recent --update --seconds 60 --hitcount 4 --name ssh
           --mask 255.255.255.255 --rsource -j DROP

B. if recent does not match in filter guard rule 1 (line 7), and string matches
  in filter guard rule 2 (line 8)
    filter INPUT (continued)
 8      2: -p tcp -m string --string "a b" --algo bm -j REJECT
           --reject-with tcp-reset

C. if recent does not match in filter guard rule 1 (line 7), and string does not
  match in filter guard rule 2 (line 8)
    filter INPUT (continued)
 9      3: -j ACCEPT

inferred: outside interfaces: eth0 (named by the rules or the packet); eth0 has
  the default route and an address of the host's, written 192.0.2.1 because none
  was given
inferred: the default route leads out of eth0 (no --route was given)
inferred: the host forwards packets (net.ipv4.ip_forward = 1; no --sysctl was
  given)

UNDECIDED: drop, reject or accept, depending on facts that the inputs do not
  contain. Decide with --assume:
  A. DROP by filter guard rule 1 (line 7):
    --assume 'recent@filter/guard/1=match'
  B. REJECT by filter guard rule 2 (line 8):
    --assume 'recent@filter/guard/1=no-match'
    --assume 'string@filter/guard/2=match'
  C. ACCEPT: delivered to the host itself, by filter guard rule 3 (line 9):
    --assume 'recent@filter/guard/1=no-match'
    --assume 'string@filter/guard/2=no-match'
  recent: the list of recent addresses is not known
  string: the bytes of a packet are not modelled
`);
  });
  test("the printed --assume selects the path", async () => {
    const file = program.file("open.save", rules);
    const said = (await program.run(["simulate", file, ...PACKET])).out;
    const arms = [...said.matchAll(/^ {2}[A-C]\. ([A-Z]+)[^\n]*(?:\n {4}[^\n]*)*/gm)];
    expect(arms.map((m) => m[1])).toEqual(["DROP", "REJECT", "ACCEPT"]);
    for (const [text, verdict] of arms) {
      const assume = [...text.matchAll(/--assume '([^']*)'/g)].flatMap((m) => ["--assume", m[1]!]);
      const settled = await program.run(["simulate", file, ...PACKET, ...assume, "--json"]);
      expect(JSON.parse(settled.out).verdict.toUpperCase()).toBe(verdict);
    }
  });
  test("the printed --assume of a field that the packet lacks selects the path", async () => {
    const file = program.file(
      "mac.save",
      "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m mac --mac-source 02:00:00:00:00:01 -j ACCEPT\n-A INPUT -m mac --mac-source 02:00:00:00:00:02 -j DROP\nCOMMIT\n",
    );
    const said = JSON.parse((await program.run(["simulate", file, ...PACKET, "--json"])).out);
    expect(said.verdict).toBe("undecided");
    for (const { verdict, assume } of said.branches) {
      const given = assume.flatMap((each: string) => ["--assume", each]);
      const settled = await program.run(["simulate", file, ...PACKET, ...given, "--json"]);
      expect(JSON.parse(settled.out).verdict).toBe(verdict);
    }
  });
  test("JSON contains the --assume of each branch", async () => {
    const run = await program.run(["simulate", program.file("open.save", rules), ...PACKET, "--json"]);
    const { branches } = JSON.parse(run.out) as { branches: { verdict: string; assume: string[] }[] };
    expect(branches.map((b) => [b.verdict, ...b.assume])).toEqual([
      ["drop", "recent@filter/guard/1=match"],
      ["reject", "recent@filter/guard/1=no-match", "string@filter/guard/2=match"],
      ["accept", "recent@filter/guard/1=no-match", "string@filter/guard/2=no-match"],
    ]);
  });
  test("an unknown without effect is noted", async () => {
    const save = `${FILTER}-A INPUT -m recent --update --name x --mask 255.255.255.255 --rsource -j DROP\nCOMMIT\n`;
    const run = await program.run(["simulate", program.file("same.save", save), ...PACKET]);
    expect(run.out).toContain(
      "noted: the result is the same whether or not recent matches in filter INPUT\n  rule 1 (line 5)\n\nEither way drop; as shown, DROP by filter INPUT rule 1 (line 5).\n",
    );
  });
  test("a family without rules is named in the answer", async () => {
    const file = program.file("open.save", rules);
    const six = words("--in eth0 --src 2001:db8::7 --dst 2001:db8::1");
    expect((await program.run(["simulate", file, ...six, "--short"])).out).toContain(
      "since no rules for its family were given",
    );
    const answer = JSON.parse((await program.run(["simulate", file, ...six, "--json"])).out);
    expect(answer.assumptions).toContain("no rules for IPv6 were given: they are assumed to be empty");
    expect(answer.assumptionCodes).toContainEqual({ code: "no-rules", family: 6 });
    expect(answer.assumptionCodes.length).toBe(answer.assumptions.length);
  });
  test("four outcomes are shown, the others counted", async () => {
    const many = Array.from(
      { length: 6 },
      (_, i) =>
        `-A PREROUTING -p tcp -m string --string s${i} --algo bm --to 65535 -j DNAT --to-destination 10.0.0.${i}`,
    );
    const nat = `*nat\n:PREROUTING ACCEPT [0:0]\n${many.join("\n")}\nCOMMIT\n`;
    const run = await program.run([
      "simulate",
      program.file("many.save", `${nat}${FILTER}COMMIT\n`),
      ...PACKET,
    ]);
    expect(run.code).toBe(0);
    const forward = `${nat}${FILTER.replace("FORWARD DROP", "FORWARD ACCEPT")}COMMIT\n`;
    const open = (await program.run(["simulate", program.file("many.save", forward), ...PACKET])).out;
    expect(open.match(/^ {2}[A-Z]\. /gm)?.length).toBe(4);
    expect(open).toContain("and 3 more outcomes, not shown");
  });
});

test("control characters in names and comments are escaped", async () => {
  const rules = `${FILTER}:\u001b[31mred - [0:0]
-A INPUT -p tcp -j \u001b[31mred
-A \u001b[31mred -m comment --comment "x\u202ey \u0007 \u061c\u200b" -j DROP
COMMIT
`;
  const run = await program.run(["simulate", program.file("hostile.save", rules), ...PACKET]);
  expect(run.out + run.err).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200b\u202e]/);
  expect(run.out).toContain("\\u001b[31mred");
  expect(run.out).toContain("\\u202ey");
});

describe("colours", () => {
  const coloured = async (env: NodeJS.ProcessEnv): Promise<boolean> => {
    const rules = program.file("c.save", `${FILTER}COMMIT\n`);
    const run = await program.run(["simulate", rules, ...PACKET], { env });
    return run.out.includes("\u001b[");
  };
  test.each([
    ["none without a terminal", { NO_COLOR: "", FORCE_COLOR: "" }, false],
    ["FORCE_COLOR", { NO_COLOR: "", FORCE_COLOR: "1" }, true],
    ["FORCE_COLOR=0", { NO_COLOR: "", FORCE_COLOR: "0" }, false],
    ["NO_COLOR above all", { NO_COLOR: "1", FORCE_COLOR: "1" }, false],
  ])("%s", async (_what, env, expected) => expect(await coloured(env)).toBe(expected));
});

describe("JSON", () => {
  const simulateJson = async (
    args: string,
  ): Promise<{ code: number | null; json: ReturnType<typeof JSON.parse> }> => {
    const run = await program.run(["simulate", HOST, ...words(args), "--json"]);
    return { code: run.code, json: JSON.parse(run.out) };
  };
  test("--flow is one document of answers, equal to those of --packets", async () => {
    const { code, json } = await simulateJson(`--in eth0 ${FROM} --dport 8080 --flow --expect accept`);
    expect(code).toBe(0);
    expect(Object.keys(json)).toEqual([
      "version",
      "verdict",
      "broken",
      "brokenCode",
      "notes",
      "noteCodes",
      "packets",
    ]);
    const lines = json.packets.map((p: { packet: unknown }) => JSON.stringify(p.packet)).join("\n");
    const batch = (await program.run(["simulate", HOST, "--packets", program.file("flow.ndjson", lines)])).out
      .trimEnd()
      .split("\n");
    const answers = json.packets.map(({ step, from, ...answer }: { step: string; from: string }) => {
      expect([step, from].every((w) => w.length > 0)).toBe(true);
      return answer;
    });
    expect(batch.map((l) => JSON.parse(l))).toEqual(answers);
  });
  test("the verdict is that of the connection", async () => {
    const { code, json } = await simulateJson(`--in eth0 ${FROM} --dport 23 --flow --expect accept`);
    expect([code, json.verdict, json.packets.length]).toEqual([1, "drop", 1]);
  });
});

describe("bad input", () => {
  const cases: [string, string, RegExp][] = [
    ["a port that is no number", `--in eth0 ${FROM} --dport http`, /--dport must be a whole number/],
    [
      "a port too high",
      `--in eth0 ${FROM} --dport 70000`,
      /--dport must be a whole number from 0 to 65535, not 70000/,
    ],
    [
      "a port for ICMP",
      `--in eth0 ${FROM} --proto icmp --dport 80`,
      /--dport applies to tcp, udp .* not to --proto icmp/,
    ],
    ["flags for UDP", `--in eth0 ${FROM} --proto udp --tcp-flags S`, /--tcp-flags applies to tcp/],
    ["flags that are none", `--in eth0 ${FROM} --tcp-flags SX`, /--tcp-flags must be TCP flag letters/],
    ["a protocol that is none", `--in eth0 ${FROM} --proto tpc`, /--proto must be tcp, udp, icmp/],
    ["ICMP of the other family", "--in eth0 --src ::2 --dst ::1 --proto icmp", /it is icmpv6/],
    [
      "a flow out of its state",
      `--in eth0 ${FROM} --flow --state ESTABLISHED`,
      /--flow .* --state cannot be combined with it/,
    ],
    ["a flow out of a file", "--packets p --flow", /--packets .* --flow cannot be combined with it/],
    [
      "a packet besides a file",
      `--packets p --tcp-flags S`,
      /--packets .* --tcp-flags cannot be combined with it/,
    ],
    [
      "an assumption that is none",
      `--in eth0 ${FROM} --assume recent`,
      /--assume takes NAME=match or NAME=no-match/,
    ],
  ];
  test.each(cases)("%s", async (_title, args, message) => {
    const run = await program.run(["simulate", HOST, ...words(args)]);
    expect(run.err).toMatch(message);
    expect([run.code, run.out]).toEqual([2, ""]);
    expect(run.err).not.toMatch(/^\s+at /m);
  });
  test("a line of --packets: file, line and column", async () => {
    const line = async (text: string): Promise<string> => {
      const run = await program.run(["simulate", HOST, "--packets", program.file("p.ndjson", text)]);
      return run.err.replace(/^.*\//, "");
    };
    const good = `{"in":"eth0","src":"203.0.113.2","dst":"203.0.113.1"}`;
    expect(await line(`${good}\n\n{"in":"eth0","src":"203.0.113.2","dst":"nobody"}\n`)).toMatch(
      /^p\.ndjson:3:34: error: "dst" must be an IPv4 or IPv6 address, not "nobody"/,
    );
    expect(await line(`${good}\n[1]\n`)).toMatch(/^p\.ndjson:2:1: error: a packet is a JSON object/);
    expect(await line(`${good}\n{"in":\n`)).toMatch(/^p\.ndjson:2:\d+: error: a packet is a JSON object/);
  });
  test("an interface that the host does not have gets a warning", async () => {
    const run = await program.run(["simulate", HOST, ...words(`--in eth9 ${FROM} --short`)]);
    expect(run.err).toBe(
      `warning: the host has no interface "eth9", so rules that name its interfaces do not match. Did you mean eth0? Its interfaces: lo, eth0, eth1, docker0, veth08363b9, veth37efffb, vethb85bf38, br-app, vethca5276d, veth57a5126\n`,
    );
    expect(run.code).toBe(0);
  });
});
