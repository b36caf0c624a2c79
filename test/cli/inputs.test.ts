/** Inputs that the command line refuses, that it ignores, and that make an audit inconclusive. */
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { run as runSimulate } from "../../cli/commands/simulate.ts";
import { auditExitCode } from "../../cli/exit-code.ts";
import { type HostArgs, inputs } from "../../cli/inputs.ts";
import { fix, fixJson } from "../../lib/index.ts";
import { auditOf } from "../audit/json.ts";
import { examples } from "../capture.ts";
import { partsOf, snapshot } from "./snapshot.ts";

const HOST = `${examples}ufw-docker-20.10`;
const root = mkdtempSync(join(tmpdir(), "fwcheck-inputs-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const file = (name: string, text: string): string => {
  writeFileSync(join(root, name), text);
  return join(root, name);
};
const of = (name: string): string => join(HOST, name);
const textAt = (path: string): string => readFileSync(path, "utf8");
const textOf = (name: string): string => textAt(of(name));
let folders = 0;
/** Creates a folder with some files of the host, and others. */
const folder = (names: readonly string[], more: Readonly<Record<string, string>> = {}): string => {
  const path = join(root, `host${folders++}`);
  mkdirSync(path);
  for (const name of names) copyFileSync(of(name), join(path, name));
  for (const [name, text] of Object.entries(more)) writeFileSync(join(path, name), text);
  return path;
};

let stderr = "";
beforeEach(() => {
  stderr = "";
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    stderr += String(text);
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** Returns the reasons why an audit of the inputs is inconclusive. */
const doubts = (args: HostArgs): string => {
  const { rulesets, host } = inputs(args);
  const result = auditOf(rulesets, host);
  if (result.inconclusive.length > 0) expect(auditExitCode(result, undefined, undefined)).not.toBe(0);
  return result.inconclusive.join("\n");
};
const RULES = ["iptables-save.txt", "ip6tables-save.txt"];
const FILES = [...RULES, "addr.json", "route4.json", "route6.json", "sysctl.txt"];
const whole: HostArgs = { rules: RULES.map(of), assume: ["complete"] };

describe("a source of the wrong kind is refused, and its kind is named", () => {
  test.each<[what: string, args: HostArgs, says: RegExp]>([
    ["--addr: empty file", { addr: [file("empty", "")] }, /not what ip -j addr prints: it is empty/],
    ["--addr: []", { addr: [file("list", "[]\n")] }, /ip -j addr prints: it lists nothing/],
    ["--addr: {}", { addr: [file("object", "{}\n")] }, /ip -j addr prints: it lists nothing/],
    ["--addr: routes", { addr: [of("route4.json")] }, /ip -j addr prints: it is what ip -j route prints/],
    ["--addr: containers", { addr: [of("docker-inspect.json")] }, /it is what docker inspect prints/],
    ["--route: []", { route: [file("list", "[]\n")] }, /ip -j route prints: it lists nothing/],
    ["--route: addresses", { route: [of("addr.json")] }, /ip -j route prints: it is what ip -j addr prints/],
    ["--rule: routes", { rule: [of("route4.json")] }, /ip -j rule prints: it is what ip -j route prints/],
    ["--docker: []", { docker: [file("list", "[]\n")] }, /docker inspect prints: it lists nothing/],
    ["--docker: addresses", { docker: [of("addr.json")] }, /docker inspect prints: it is what ip -j addr/],
    [
      "--sysctl: sets",
      { sysctl: [file("sets", "create a hash:ip\n")] },
      /sysctl -a prints: it is what ipset save/,
    ],
    ["--ipset: settings", { ipset: [of("sysctl.txt")] }, /ipset save prints: it is what sysctl -a prints/],
  ])("%s", (_, args, says) => {
    expect(() => inputs({ ...whole, ...args })).toThrow(says);
  });
});

describe("a missing part of the host makes the audit inconclusive", () => {
  const addr = (edit: (name: string) => boolean): string =>
    JSON.stringify(
      (JSON.parse(textOf("addr.json")) as { ifname: string }[]).filter(({ ifname }) => edit(ifname)),
    );
  test("no reason if nothing is missing", () => {
    expect(doubts({ rules: [HOST] })).toBe("");
  });
  test("the list of interfaces without docker0: the bridge, and each port published on it", () => {
    const args = {
      ...whole,
      addr: [
        file(
          "addr.json",
          addr((name) => name !== "docker0"),
        ),
      ],
    };
    expect(doubts(args)).toMatch(
      /bridge docker0, and the list of interfaces \(ip -j addr\) does not have it/,
    );
    expect(doubts(args)).toMatch(
      /IPv4: 172\.17\.0\.2:80\/tcp is published, and no route or container bridge/,
    );
    const { rulesets, host } = inputs(args);
    expect(fixJson(fix(rulesets, host)).failed.join()).toContain("172.17.0.2:80/tcp is published");
  });
  test("routes without one to a container", () => {
    const route = file("default.json", '[{"dst":"default","gateway":"203.0.113.254","dev":"eth0"}]');
    expect(doubts({ ...whole, addr: [of("addr.json")], route: [route] })).toMatch(
      /172\.17\.0\.2:80\/tcp is published/,
    );
  });
  test("routes of only one family: those of the other are inferred", () => {
    const { host } = inputs({ ...whole, addr: [of("addr.json")], route: [of("route6.json")] });
    expect(host.inferences).toContainEqual({ code: "default-route", interface: "eth0", family: 4 });
  });
  test("only rules, and the inputs that complete them", () => {
    expect(doubts({ rules: [of("iptables-save.txt")] })).toMatch(
      /only iptables rules were given: tables of nftables, rules of the other iptables backend and rules of IPv6/,
    );
    expect(doubts({ rules: [folder(FILES)] })).toMatch(
      /only iptables rules were given: .*backend may filter/,
    );
    expect(doubts({ rules: [folder(FILES)], assume: ["complete"] })).toBe("");
    expect(doubts({ rules: [folder([...FILES, "nft-tables.txt"])] })).toBe("");
    const tables = { rules: [folder(FILES, { tables: "table ip nat\ntable inet fw\n" })] };
    expect(doubts(tables)).toContain("inet fw");
    const { rulesets, host } = inputs(tables);
    const { findings } = auditOf(rulesets, host);
    expect(findings.length).toBeGreaterThan(0);
    for (const { certainty, unread } of findings)
      expect([certainty, unread]).toEqual(["may", ["nftables table inet fw"]]);
  });
  test("a missing table raw, which this version of Docker fills", () => {
    const at28 = (name: string): string => `${examples}ufw-docker-28.5/${name}`;
    const { rulesets, host } = inputs({ rules: [at28("iptables-save.txt")] });
    expect(auditOf(rulesets, host).inconclusive.join()).not.toContain("table raw");
    const filter = file("cut.save", textAt(at28("iptables-save.txt")).replace(/^\*raw[\s\S]*?^COMMIT$/m, ""));
    expect(doubts({ rules: [filter] })).toMatch(/IPv4: the rules have no table raw, in which the Docker/);
    expect(doubts({ rules: [of("iptables-save.txt")] })).not.toContain("table raw");
  });
  test.each<[what: string, text: string, says: string]>([
    ["empty", "", "addr.json is ignored, and its contents are unknown: it is empty"],
    [
      "cut off",
      '[{"ifname":"lo"',
      "addr.json is ignored, and its contents are unknown: it looks like JSON and cannot be parsed",
    ],
    ["of iptables -L", "Chain INPUT (policy ACCEPT)\n", "this is output of iptables -L"],
  ])("a file of a folder that is %s", (_, text, says) => {
    expect(doubts({ rules: [folder(RULES, { "addr.json": text })], assume: ["complete"] })).toContain(says);
  });
  test("a list of sets that ends within a line", () => {
    const ipset = [file("sets", "create a hash:ip\nadd a 192.0.2")];
    expect(doubts({ ...whole, ipset })).toContain("the text ends inside a line, so it is cut off");
  });
});

describe("missing parts of a snapshot", () => {
  const parts = partsOf(HOST);
  const shot = (edit: (part: (typeof parts)[number]) => object | null): string =>
    file("host.snap", snapshot(parts.flatMap((p) => edit(p) ?? []) as typeof parts));
  const said = (edit: Parameters<typeof shot>[0]): string => doubts({ rules: [shot(edit)] });
  test("no reason if nothing is missing", () => {
    expect(said((p) => p)).toBe("");
  });
  test.each<[what: string, kind: string, by: object | null, says: RegExp]>([
    [
      "routes that took too long",
      "route",
      { code: 137, text: "" },
      /ip -j -4 route .* took longer than a minute/,
    ],
    ["addresses that are missing", "addr", null, /the snapshot has no output of ip -j addr/],
    ["an empty list of addresses", "addr", { text: "[]" }, /ip -j addr printed nothing on the host/],
    ["no list of nft's tables", "tables", { code: 1, text: "" }, /nft list tables failed on the host/],
    [
      "an empty list of nft's tables",
      "tables",
      { text: "" },
      /nft list tables does not have table ip filter/,
    ],
    ["sets that failed", "ipset", { code: 1 }, /ipset save failed on the host/],
  ])("%s", (_, kind, by, says) => {
    expect(said((p) => (p.kind !== kind ? p : by === null ? null : { ...p, ...by }))).toMatch(says);
  });
  test("a family without output", () => {
    expect(said((p) => (p.title.startsWith("ip6tables") ? { ...p, text: "" } : p))).toMatch(
      /the host has no IPv6 rules/,
    );
  });
  test("the ruleset of the other family", () => {
    const v4 = parts.find((p) => p.title.startsWith("iptables"))!.text;
    expect(said((p) => (p.title.startsWith("ip6tables") ? { ...p, text: v4 } : p))).toMatch(
      /table filter contains rules of IPv4, but the text is of IPv6/,
    );
  });
});

describe("one host per call", () => {
  const save = (port: number): string =>
    `*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport ${port} -j ACCEPT\nCOMMIT\n`;
  const snap = (): string => file("a.snap", snapshot(partsOf(HOST)));
  test.each<[what: string, rules: () => string[], says: RegExp]>([
    [
      "two dumps",
      () => [file("a", save(1)), file("b", save(2))],
      /table filter of IPv4 is given twice, .*a:1 and .*b:1/,
    ],
    ["two dumps in one file", () => [file("ab", save(1) + save(2))], /table filter of IPv4 is given twice/],
    [
      "a snapshot and rules",
      () => [snap(), file("a", save(1))],
      /come from two hosts, or from one host at two times/,
    ],
    [
      "rules and a snapshot",
      () => [file("a", save(1)), snap()],
      /come from two hosts, or from one host at two times/,
    ],
    [
      "a snapshot with ufw's own files among the files of a host",
      () => [
        folder(FILES, {
          "web.snap": snapshot([
            ...partsOf(HOST),
            { kind: "text", title: "/etc/ufw/user.rules", text: "*filter\n:ufw-user-input - [0:0]\nCOMMIT" },
          ]),
        }),
      ],
      /come from two hosts, or from one host at two times/,
    ],
    ["two snapshots", () => [snap(), file("b.snap", snapshot(partsOf(HOST)))], /come from two hosts/],
  ])("%s are refused", (_, rules, says) => {
    expect(() => inputs({ rules: rules() })).toThrow(says);
  });
  test("the same ruleset twice is accepted", () => {
    expect(inputs({ rules: [file("a", save(1)), file("b", save(1))] }).rulesets[0]!.doubts).toEqual([]);
    expect(stderr).toContain("is given twice, first at");
  });
  test("ufw's own files next to a ruleset are ignored with a note", () => {
    const user =
      "*filter\n:ufw-user-input - [0:0]\n### RULES ###\n-A ufw-user-input -p tcp --dport 22 -j ACCEPT\nCOMMIT\n";
    const { rulesets } = inputs({ rules: [folder(FILES, { "user.rules": user, "zz.rules": user })] });
    expect(rulesets[0]!.tables.get("filter")!.chains.size).toBeGreaterThan(20);
    expect(rulesets[0]!.doubts).toEqual([]);
    expect(stderr).toMatch(/user\.rules is ignored: it is a file for iptables-restore --noflush/);
  });
});

describe("only regular files and pipes of the shell are accepted", () => {
  const fifo = join(root, "fifo");
  const made = spawnSync("mkfifo", [fifo]).status === 0;
  test.skipIf(!made)("a named pipe is refused at once, also through a symbolic link in a folder", () => {
    expect(() => inputs({ rules: [fifo] })).toThrow(/fifo: is a named pipe; only regular files are read/);
    const path = folder(FILES);
    symlinkSync(fifo, join(path, "ipset.txt"));
    expect(() => inputs({ rules: [path] })).toThrow(/ipset\.txt: is a named pipe/);
  });
  test("a device is refused", () => {
    expect(() => inputs({ rules: ["/dev/zero"] })).toThrow(/\/dev\/zero: is a device/);
  });
  test("a file over 512 MB is refused by its size", () => {
    truncateSync(file("large", ""), 2 ** 40);
    expect(() => inputs({ rules: [join(root, "large")] })).toThrow(/large: is larger than 512 MB/);
  });
});

describe("simulate", () => {
  const packet = { in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", proto: "tcp", dport: 22 };
  const simulated = (text: string, more: object = {}): { code: number; out: string } => {
    let out = "";
    vi.spyOn(process.stdout, "write").mockImplementation((part) => {
      out += String(part);
      return true;
    });
    const code = runSimulate({ rules: [file("s.save", text)], ...packet, ...more });
    return { code, out };
  };
  const save =
    "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -m recent --rcheck --name x -j ACCEPT\nCOMMIT\n";
  const assume = ["recent=match"];
  test("doubts are on stderr, in JSON, and in the exit code if --expect is met", () => {
    const cut = save.replace("COMMIT\n", "");
    const { code, out } = simulated(cut, { json: true, assume, expect: "accept" });
    const { doubts: texts, doubtCodes } = JSON.parse(out);
    expect([code, texts]).toEqual([2, [expect.stringContaining("has no COMMIT")]]);
    expect(doubtCodes).toMatchObject([{ code: "no-commit", table: "filter", family: 4 }]);
    expect(stderr).toContain("warning: IPv4: ");
    expect(simulated(cut, { short: true, assume }).code).toBe(0);
    expect(simulated(cut, { short: true, assume, expect: "drop" }).code).toBe(1);
    expect(simulated(save, { short: true, assume, expect: "accept" }).code).toBe(0);
  });
  test("--assume accepts unknowns of these rules and of others", () => {
    expect(() => simulated(save, { assume: ["recnt=match"] })).toThrow(
      /there is no unknown "recnt"\. Did you mean recent\? Unknowns in these rules: .*recent@filter\/INPUT\/1/,
    );
    for (const name of ["recent", "recent@filter/INPUT/1", "limit"])
      expect(simulated(save, { short: true, assume: [`${name}=match`] }).code).toBe(0);
  });
});

describe("rules before or after a snapshot belong to another host", () => {
  const shot = snapshot(partsOf(HOST));
  const dump = textOf("iptables-save.txt");
  test.each<[what: string, text: string]>([
    ["two snapshots in one file", `${shot}${shot}`],
    ["a ruleset after a snapshot", `${shot}${dump}`],
    ["a ruleset before a snapshot", `*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n${shot}`],
  ])("%s", (_, text) => {
    expect(() => inputs({ rules: [file("two.snap", text)] })).toThrow(/outside the snapshot/);
  });
  test("blank lines and a login message are ignored", () => {
    expect(inputs({ rules: [file("one.snap", `Welcome to web-1\n${shot}\n\n`)] }).rulesets).toHaveLength(2);
  });
  test("a snapshot in a folder of captured files is refused, even with ufw's own files in it", () => {
    const ufw = "*filter\n:ufw-user-input - [0:0]\n### RULES ###\nCOMMIT\n";
    const withUfw = snapshot([
      ...partsOf(HOST),
      { kind: "text", title: "/etc/ufw/user.rules", text: ufw, code: 0 },
    ]);
    expect(() => inputs({ rules: [folder(FILES, { "z.snap": withUfw })] })).toThrow(/two hosts/);
  });
});

test("an empty list of sockets is refused", () => {
  const sockets = file("some", "tcp LISTEN 0 128 0.0.0.0:80 0.0.0.0:*\n");
  expect(() => inputs({ ...whole, listening: [file("none", "\n"), sockets] })).toThrow(/none: it is empty/);
  expect(() => inputs({ ...whole, listening: [sockets, file("none", "\n")] })).toThrow(/none: it is empty/);
});

test("sockets of a family without rules make the audit inconclusive", () => {
  const sockets = file("ss", "tcp LISTEN 0 128 [::]:80 [::]:*\n");
  const four: HostArgs = { rules: [of("iptables-save.txt")], assume: ["complete"], listening: [sockets] };
  expect(doubts(four)).toContain("IPv6: a socket listens on the host, and no IPv6 rules were audited");
  expect(doubts({ ...four, rules: RULES.map(of) })).not.toContain("socket");
});

test("a no-break space is escaped", () => {
  const rules = file("page", `*filter\n:FORWARD ACCEPT [0:0]\n-A\u00a0FORWARD -j ACCEPT\nCOMMIT\n`);
  expect(doubts({ rules: [rules] })).not.toBe("");
  expect(stderr).toContain("-A\\u00a0FORWARD");
});
