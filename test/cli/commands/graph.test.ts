/** `fwcheck graph`: the picture on stdout, notes and errors on stderr. */
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { examples } from "../../capture.ts";
import { Program } from "../program.ts";

const root = new URL("../../..", import.meta.url).pathname;
const program = new Program();
afterAll(() => program.remove());

const HOST = "ufw-docker-28.5";
const graph = (...args: string[]) => program.run(["graph", HOST, ...args], { cwd: examples });
const PACKET = '{"in":"eth0","src":"203.0.113.2","dst":"203.0.113.1","dport":8080}';

test("each format, with notes about omissions on stderr", async () => {
  const notes =
    "note: not drawn: 13 chains without rules and 8 uncalled chains (--all draws them)\n" +
    "note: there are also rules for IPv6; run again with --family 6 to draw them\n";
  for (const [args, start] of [
    [[], "<svg "],
    [["--format", "dot"], "digraph fwcheck {\n"],
    [["--format", "mermaid"], "%%{init: "],
  ] as const) {
    const { code, out, err } = await graph(...args);
    expect([code, err]).toEqual([0, notes]);
    expect(out.startsWith(start)).toBe(true);
    expect(out).toContain("DOCKER-ISOLATION-STAGE-1");
  }
});

test("--family, --all and --chain", async () => {
  const six = await graph("--family", "6");
  expect(six.out).toContain("Chain graph, IPv6: ");
  expect(six.err).not.toContain("run again");
  expect((await graph("--all", "--family", "4")).err).toBe("");
  expect((await graph("--all")).out).toContain('data-chain="ufw-logging-allow"');
  const one = await graph("--chain", "DOCKER-USER", "--family", "4");
  expect([one.code, one.err]).toEqual([0, ""]);
  expect([...one.out.matchAll(/data-chain="([^"]*)"/g)].map((m) => m[1])).toEqual(["FORWARD", "DOCKER-USER"]);
});

test("--packet marks its path and draws its family", async () => {
  const { code, out } = await graph("--packet", PACKET);
  expect(code).toBe(0);
  expect(out).toContain("tcp 203.0.113.2 -&gt; 203.0.113.1:8080 in eth0: accept, out of docker0");
  const six = '{"in":"eth0","src":"2001:db8:1::2","dst":"2001:db8:1::1","dport":22}';
  expect((await graph("--packet", six)).out).toContain("Chain graph, IPv6: ");
});

test.each([
  [
    ["--chain", "nope"],
    "there is no chain nope in ufw-docker-28.5/iptables-save.txt; --chain takes TABLE/CHAIN",
  ],
  [["--chain", "nat/DOCKER-USER"], "there is no chain nat/DOCKER-USER in"],
  [["--chain", "DOCKER"], "there is a chain DOCKER in tables nat and filter; name one: nat/DOCKER"],
  [["--chain", "a\u001b[31m"], "there is no chain a\\u001b[31m in"],
  [["--packet", "{"], "--packet takes a packet as JSON, in the form of simulate --packets, not {"],
  [["--packet", '{"src":"1.2.3.4"}'], '--packet: "dst"'],
  [["--packet", PACKET, "--family", "6"], "the packet of --packet is not IPv6"],
] as const)("%j is refused", async (args, why) => {
  const { code, out, err } = await graph(...args);
  expect([code, out]).toEqual([2, ""]);
  expect(err).toContain(`fwcheck: ${why}`);
});

test("a family without rules", async () => {
  const rules = program.file("v4.save", "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n");
  const { code, err } = await program.run(["graph", rules, "--family", "6"]);
  expect([code, err]).toEqual([2, "fwcheck: there are no rules for IPv6\n"]);
});

test("several hosts in one call are refused", async () => {
  const { code, err } = await program.run(["graph", "ufw-docker-20.10", HOST], { cwd: examples });
  const why = `graph works on one host, but several are named: ufw-docker-20.10, ${HOST}. Call it once for each.`;
  expect([code, err]).toEqual([2, `fwcheck: ${why}\n`]);
});

test("a flowchart beyond the limits of Mermaid has a note", async () => {
  const chains = Array.from({ length: 450 }, (_, i) => `${"abcdefgh"[i % 8]}${i}x`);
  const rules = program.file(
    "wide.save",
    `*filter\n:FORWARD DROP [0:0]\n${chains.map((c) => `:${c} - [0:0]\n`).join("")}${chains
      .map(
        (c, i) =>
          `-A FORWARD -s 10.0.0.${i % 256} -j ${c}\n-A ${c} -p tcp -m tcp --dport ${i + 1} -j DROP\n-A ${c} -s 198.51.100.0/24 -d 203.0.113.0/24 -j ACCEPT\n-A ${c} -j LOG\n`,
      )
      .join("")}COMMIT\n`,
  );
  const { code, err } = await program.run(["graph", rules, "--all", "--format", "mermaid"]);
  expect(code).toBe(0);
  expect(err).toContain("this exceeds the default limits of Mermaid");
});

/** Splits a command line as a shell does, without quotes and redirections. */
const words = (line: string): string[] =>
  [...line.replace(/ > .*$/, "").matchAll(/'([^']*)'|(\S+)/g)].map((m) => m[1] ?? m[2]!);

test("the examples of --help run", async () => {
  const { out: help } = await program.run(["graph", "--help"]);
  const shown = [...help.matchAll(/^ +fwcheck (graph host\/ .*)$/gm)].map((m) => words(m[1]!));
  expect(shown.length).toBe(5);
  symlinkSync(join(examples, HOST), join(program.folder, "host"));
  for (const args of shown) {
    const { code, out } = await program.run(args, { cwd: program.folder });
    expect([args, code]).toEqual([args, 0]);
    expect(out.length).toBeGreaterThan(500);
  }
});

test("docs/graph.svg is up to date", async () => {
  const folder = `examples/${HOST}`;
  const { out } = await program.run(["graph", folder, "--packet", PACKET], { cwd: root });
  const path = join(root, "docs/graph.svg");
  if (process.env.UPDATE === "1") writeFileSync(path, out);
  expect(out).toBe(readFileSync(path, "utf8"));
});
