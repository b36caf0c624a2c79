/** Snapshots: collected by the script in real shells, parsed, and audited like the files that they consist of; audits of several hosts. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AuditJson } from "../../../lib/index.ts";
import { examples } from "../../capture.ts";
import { Program } from "../program.ts";
import { BOUNDARY, type Part, partsOf, snapshot } from "../snapshot.ts";

const program = new Program();
beforeAll(() => program.build(), 60_000);
afterAll(() => program.remove());
const fwcheck = (args: readonly string[], input = "") => program.spawn(args, { input });
const file = (name: string, text: string) => program.file(name, text);
const HOST = `${examples}ufw-docker-20.10`;
const parts = partsOf(HOST);

const audited = async (path: string): Promise<AuditJson> =>
  JSON.parse((await program.run(["audit", path, "--json"])).out);
/** Removes line numbers: a snapshot and its files number lines differently. */
const lineless = (audit: AuditJson): unknown =>
  JSON.parse(JSON.stringify(audit, (key, value) => (key === "line" ? undefined : value)));

describe("a snapshot is read like its files", () => {
  test("the audit equals that of the folder, with the line numbers of the snapshot", async () => {
    const path = file("host.snap", snapshot(parts));
    const audit = await audited(path);
    expect(audit.findings.length).toBe(9);
    expect(lineless(audit)).toEqual(lineless(await audited(HOST)));
    const lines = readFileSync(path, "utf8").split("\n");
    for (const { intended } of audit.findings)
      if ("line" in intended.rule)
        expect(lines[intended.rule.line - 1]!.replace(/^\[\d+:\d+\] /, "")).toBe(intended.rule.text);
  });

  test("with the CRLF of a terminal", async () => {
    const path = file("crlf.snap", snapshot(parts).replaceAll("\n", "\r\n"));
    expect(lineless(await audited(path))).toEqual(lineless(await audited(HOST)));
  });

  test("from standard input", async () => {
    expect(fwcheck(["audit", "-"], snapshot(parts)).out).toBe(
      (await program.run(["audit", file("a", snapshot(parts))])).out,
    );
  });

  test("after the message of a login shell", async () => {
    const path = file("banner.snap", `Welcome to web1!\nstdin: is not a tty\n${snapshot(parts)}`);
    expect(lineless(await audited(path))).toEqual(lineless(await audited(HOST)));
  });

  test("no text in a part ends the part", async () => {
    const rules = parts.map((p) =>
      p.kind === "rules"
        ? {
            ...p,
            text: p.text.replace(
              "COMMIT",
              `-A INPUT -m comment --comment "x\n${"0".repeat(36)} done" -j DROP\nCOMMIT`,
            ),
          }
        : p,
    );
    expect((await audited(file("hostile.snap", snapshot(rules)))).findings.length).toBe(9);
  });
});

describe("missing and contradictory parts are reported", () => {
  const replaced = (kind: string, ...by: Part[]): string =>
    snapshot([...parts.filter((p) => p.kind !== kind), ...by]);
  const v4 = parts.find((p) => p.title.startsWith("iptables"))!;
  const table: readonly [name: string, text: string, code: number, words: string][] = [
    ["cut off", snapshot(parts, ""), 2, "it is cut off; take it again"],
    [
      "with another snapshot after it",
      snapshot(parts) + snapshot(parts),
      2,
      "begins other rules, outside the snapshot; give each host a file of its own",
    ],
    ["with a dump after it", `${snapshot(parts)}${v4.text}`, 2, "begins other rules, outside the snapshot"],
    ["with a dump in front", `*filter\nCOMMIT\n${snapshot(parts)}`, 2, "line 1 begins other rules"],
    ["of a later version", snapshot(parts).replace("snapshot 1", "snapshot 2"), 2, "version 2 is not read"],
    [
      "without any rules",
      snapshot([]),
      2,
      "the snapshot has no output of iptables-save, ip6tables-save, nft list tables",
    ],
    [
      "where iptables-save failed",
      replaced(
        "rules",
        { ...v4, text: "", code: 4 },
        { kind: "errors", title: v4.title, text: "Permission denied (you must be root)" },
      ),
      2,
      "iptables-save -c failed on the host: Permission denied (you must be root)",
    ],
    [
      "of a host without ip6tables",
      `${snapshot(
        parts.filter((p) => !p.title.startsWith("ip6")),
        "",
      )}${BOUNDARY} missing rules ip6tables-save\n${BOUNDARY} done\n`,
      1,
      "ip6tables-save is not on the host: what becomes of IPv6 packets is not known",
    ],
    [
      "with sets of nft in iptables' tables",
      replaced("native", {
        kind: "native",
        title: "chains of iptables with sets of nft",
        text: "ip filter INPUT\nip nat OUTPUT",
      }),
      1,
      "rules in ip filter INPUT, ip nat OUTPUT look up sets or maps of nft, and iptables-save prints them without that condition",
    ],
    [
      "with tables of nftables",
      snapshot(
        parts.map((p) => (p.kind === "tables" ? { ...p, text: `${p.text}table inet fw\u001b[2J\n` } : p)),
      ),
      1,
      "nftables holds tables of its own, which are not read and may drop what these rules accept: inet fw\\u001b[2J",
    ],
    [
      "of an older collector",
      snapshot(parts.filter((p) => p.kind !== "expressions")),
      1,
      "the snapshot was taken with an older fwcheck: conditions that nft added",
    ],
    [
      "of a host without nft",
      snapshot(parts, `${BOUNDARY} missing tables nft\n${BOUNDARY} done\n`),
      1,
      "nft is not on the host: whether tables of nftables filter beside iptables is not known",
    ],
    [
      "where nft failed",
      snapshot([...parts, { kind: "tables", title: "nft list tables", text: "", code: 137 }]),
      1,
      "nft list tables failed on the host: it took longer than a minute",
    ],
    [
      "with Docker's nftables backend",
      snapshot([
        ...parts,
        { kind: "docker", title: "docker info", text: `{"FirewallBackend":{"Driver":"nftables"}}` },
      ]),
      1,
      "",
    ],
  ];
  test.each(table)("a snapshot %s", async (_, text, code, words) => {
    const ran = await program.run(["audit", file("doubt.snap", text)]);
    expect(`${ran.err}${ran.out.replaceAll(/\s+/g, " ")}`).toContain(words);
    expect(ran.code).toBe(code);
    if (code === 1)
      expect(
        JSON.parse((await program.run(["audit", file("doubt.snap", text), "--json"])).out).inconclusive
          .length,
      ).toBeGreaterThan(0);
  });
});

/** Ruleset that takes longer to read than a process to start. */
const SLOW = `*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n${Array.from({ length: 400_000 }, (_, i) => `-A INPUT -s 10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}/32 -j DROP\n`).join("")}COMMIT\n`;

describe("several hosts: one line each, in the given order", () => {
  test("a failure does not affect other hosts", () => {
    const good = file("web.snap", snapshot(parts));
    const bad = file("db.snap", snapshot(parts, ""));
    const ran = fwcheck(["audit", good, bad, `${examples}ufw-docker-28.5`]);
    const lines = ran.out.trimEnd().split("\n");
    expect(lines).toHaveLength(3);
    expect(lines).toEqual([
      expect.stringMatching(
        /web\.snap +9 findings \(4 ingress-bypass, 2 loopback-bypass, 3 direct-bypass\), 5 exposures$/,
      ),
      expect.stringMatching(/db\.snap +failed: .*it is cut off; take it again$/),
      expect.stringMatching(/ufw-docker-28\.5 +4 findings \(4 ingress-bypass\), 4 exposures$/),
    ]);
    expect(ran.code).toBe(1);
  });

  test("an empty or missing file, an error message and a plain ruleset count as hosts", () => {
    const good = file("web.snap", snapshot(parts));
    const other = file("other.snap", snapshot(parts));
    const broken: readonly [path: string, says: RegExp][] = [
      [file("empty.snap", ""), /failed: .*it is empty\. /],
      [
        file("ssh.snap", "ssh: connect to host db port 22: Connection refused\n"),
        /failed: .*this is neither output of iptables-save nor a snapshot/,
      ],
      [join(program.folder, "missing.snap"), /failed: .*missing\.snap: no such file\./],
      [
        file("rules.save", "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\nCOMMIT\n"),
        /no findings so far, no container engine, 2 inconclusive$/,
      ],
    ];
    const paths = [...broken.map(([path]) => path), good, other];
    const { code, out } = fwcheck(["audit", ...paths]);
    const lines = out.trimEnd().split("\n");
    expect(lines).toHaveLength(paths.length);
    for (const [, says] of broken) expect(lines.filter((line) => says.test(line))).toHaveLength(1);
    expect(lines.filter((line) => line.includes("9 findings"))).toHaveLength(2);
    expect(code).toBe(1);
    const ndjson = fwcheck(["audit", ...paths, "--json"])
      .out.trimEnd()
      .split("\n")
      .map((l) => JSON.parse(l));
    expect(ndjson).toHaveLength(paths.length);
    expect(new Map(ndjson.map((h) => [h.host, [h.exit, h.findings?.length ?? 0]]))).toEqual(
      new Map([
        ...broken.map(([path]): [string, [number, number]] => [path, [2, 0]]),
        [good, [1, 9]],
        [other, [1, 9]],
      ]),
    );
    expect(fwcheck(["audit", "-", good, other], snapshot(parts))).toMatchObject({ code: 2, out: "" });
  });

  test("with --expect only findings that it does not cover are counted, in red", () => {
    const [good, other] = [file("web.snap", snapshot(parts)), `${examples}ufw-docker-28.5`];
    const color = { NO_COLOR: "", FORCE_COLOR: "1" };
    const lines = (open: string): string[] =>
      program
        .spawn(["audit", good, other, "--expect", file("open.yaml", `open: [${open}]`)], { env: color })
        .out.trimEnd()
        .split("\n");
    const [green, red] = ["\u001b[32m", "\u001b[31m"];
    expect(lines("{port: 1-65535}")).toEqual([
      expect.stringContaining(`${red}4 unexpected findings (3 direct-bypass, 1 loopback-bypass)`),
      expect.stringContaining(`${green}no unexpected findings`),
    ]);
    expect(lines("{port: 8443-9080}")[1]).toContain(
      `${red}1 unexpected finding (1 ingress-bypass)\u001b[0m, ${red}1 unexpected exposure`,
    );
  });

  test("a folder of snapshots: a ruleset next to them is a host", () => {
    const path = join(program.folder, "dump-beside");
    mkdirSync(path);
    for (const name of ["a.snap", "b.snap"]) writeFileSync(join(path, name), snapshot(parts));
    writeFileSync(join(path, "mail.txt"), parts.find((p) => p.title.startsWith("iptables"))!.text);
    expect(fwcheck(["audit", path]).out).toMatch(/mail\.txt +9 findings/);
  });

  test("a folder of snapshots: an empty one is reported, a note is ignored", () => {
    const folder = join(program.folder, "fleet");
    mkdirSync(folder);
    writeFileSync(join(folder, "a.snap"), snapshot(parts));
    writeFileSync(join(folder, "b.snap"), "");
    writeFileSync(join(folder, "README"), "taken by hand\n");
    const { code, out } = fwcheck(["audit", folder]);
    expect(out.trimEnd().split("\n")).toEqual([
      expect.stringMatching(/^\S+a\.snap +9 findings/),
      expect.stringMatching(/^\S+b\.snap +failed: /),
    ]);
    expect(code).toBe(1);
  });

  test("an audit that exceeds its memory fails alone", { timeout: 120_000 }, () => {
    const many = Array.from(
      { length: 200_000 },
      (_, i) =>
        `-A INPUT -s 10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}/32 -p tcp -m tcp --dport ${(i % 60_000) + 1} -j DROP`,
    );
    const huge = `*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n${many.join("\n")}\nCOMMIT\n`;
    const path = file("huge.snap", snapshot([{ kind: "rules", title: "iptables-nft-save -c", text: huge }]));
    const hosts = [path, file("web.snap", snapshot(parts)), file("db.snap", snapshot(parts))];
    const { code, out } = fwcheck(["audit", ...hosts, "--memory", "60"]);
    expect(out.trimEnd().split("\n")).toEqual([
      expect.stringMatching(/^\S+huge\.snap +inconclusive: needs more memory than 60 MB \(--memory\)$/),
      expect.stringMatching(/^\S+web\.snap +9 findings/),
      expect.stringMatching(/^\S+db\.snap +9 findings/),
    ]);
    expect(code).toBe(1);
    expect(fwcheck(["audit", ...hosts, "--memory", "1"])).toMatchObject({ code: 2, out: "" });
  });

  test("an audit that exceeds --timeout is killed and delays no other", { timeout: 120_000 }, () => {
    const slow = file("slow.snap", snapshot([{ kind: "rules", title: "iptables-nft-save -c", text: SLOW }]));
    const good = file("web.snap", snapshot(parts));
    const { code, out, err } = fwcheck(["audit", slow, good, "--timeout", "0.2", "--json"]);
    const lines = new Map(
      out
        .trimEnd()
        .split("\n")
        .map((text) => [JSON.parse(text).host, JSON.parse(text)]),
    );
    const error = "not finished within 0.2 s (--timeout)";
    const doubts = [{ code: "time-limit", seconds: 0.2 }];
    expect(lines.get(slow)).toEqual({ host: slow, exit: 2, error, inconclusive: [error], doubts });
    expect([lines.size, err]).toEqual([2, ""]);
    expect([1, 2]).toContain(code);
    expect(fwcheck(["audit", slow, good, "--timeout", "0"])).toMatchObject({ code: 2, out: "" });
  });
});

/** Creates an interface, Docker's bridge and the rules of a capture in a namespace, then runs the collector in a shell. */
const LIVE = `
  set -e
  echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
  ip link set lo up
  ip link add eth0 type veth peer name wire; ip link set wire up; ip addr add 203.0.113.1/24 dev eth0; ip link set eth0 up
  ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0; ip link set docker0 up
  iptables-nft-restore "$1"; ip6tables-nft-restore "$2"
  exec $3 "$4"`;
const live = (shell: string) => {
  const run = spawnSync(
    "unshare",
    [
      ...["-n", "sh", "-c", LIVE, "sh"],
      ...[join(HOST, "iptables-save.txt"), join(HOST, "ip6tables-save.txt"), shell, "cli/collect.sh"],
    ],
    { encoding: "utf8", timeout: 60_000 },
  );
  return { code: run.status, out: run.stdout ?? "", err: run.stderr ?? "" };
};
const able = (command: string): boolean =>
  spawnSync("unshare", ["-n", "sh", "-c", `command -v ${command} && iptables-nft-save && ip -j addr`])
    .status === 0;

describe("the script in a network namespace", () => {
  for (const shell of ["dash", "busybox sh", "bash --posix"]) {
    const here = able(shell.split(" ")[0]!);
    test.skipIf(!here)(
      `${shell}${here ? "" : " (skipped: it needs root, iptables, iproute2 and this shell)"}`,
      async () => {
        const { code, out, err } = live(shell);
        expect({ code, err }).toEqual({ code: 0, err: "" });
        const audit = await audited(file("live.snap", out));
        // No daemon runs in the namespace, and bridge br-app of the rules does not exist.
        const other = /docker version|the bridge br-app/;
        expect(audit.inconclusive.filter((doubt: string) => !other.test(doubt))).toEqual([]);
        expect(audit.inferred).toEqual([]);
        const ports = audit.findings.filter((f) => f.kind === "ingress-bypass").map((f) => f.listen?.port);
        expect(ports).toEqual([8080, 8443, 8444, 9080]);
      },
    );
  }
});

describe("rules that nft added to iptables' tables", () => {
  const RULES = `
    set -e
    iptables-nft -A FORWARD -i eth0 -p tcp -m tcp --sport 1024:65535 --dport 22 -m conntrack --ctstate NEW -j ACCEPT
    iptables-nft -A FORWARD -s 10.0.0.0/9 ! -d 10.1.0.0/16 -m mark --mark 1 -m mark ! --mark 2 -m limit --limit 3/min -j LOG
    nft add rule ip filter FORWARD udp dport 53 udp length '>' 512 drop
    nft add rule ip filter FORWARD ip saddr 10.0.0.0/8 ip saddr != 10.1.0.0/16 drop
    nft add rule ip filter FORWARD 'iifname { "eth0", "eth1" }' drop
    nft add rule ip filter FORWARD ip daddr set 192.0.2.1
    exec sh cli/collect.sh`;
  const here = able("nft");
  test.skipIf(!here)(`are listed${here ? "" : " (skipped: it needs root, iptables and nft)"}`, () => {
    const { stdout } = spawnSync("unshare", ["-n", "sh", "-c", RULES], { encoding: "utf8", timeout: 60_000 });
    const part = /begin expressions .*\n([\s\S]*?)\n\S+ end 0/.exec(stdout)?.[1] ?? "";
    expect(part.split("\n").filter((line) => line.startsWith("ip"))).toEqual([
      ...["ip filter FORWARD 3", "ip filter FORWARD 4", "ip filter FORWARD 5", "ip filter FORWARD 6"],
      "ip filter FORWARD of 6",
    ]);
    expect(stdout).toContain("begin nft nft list ruleset");
  });
});
