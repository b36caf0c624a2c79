/** Firewalls that are not read: tables of nftables, the other backend, conditions that iptables-save does not print. */
import {
  type AuditJson,
  type FindingJson,
  fix,
  fixJson,
  type Host,
  type Ruleset,
  readHost,
  readRuleset,
  readSnapshot,
  simulate,
  withTables,
} from "fwcheck";
import { describe, expect, test } from "vitest";
import { auditOf } from "../audit/json.ts";
import { synOf } from "../builders.ts";
import { capture, examples } from "../capture.ts";
import { type Part, partsOf, snapshot } from "../cli/snapshot.ts";

/** The recorded host, and a published port that ufw allows: 8443. */
const allowing = (save: string): string =>
  save.replace(/^(?=\S+ -A ufw-user-input )/m, "-A ufw-user-input -p tcp -m tcp --dport 8443 -j ACCEPT\n");
const parts = partsOf(`${examples}ufw-docker-20.10`).map((p) =>
  p.title.startsWith("iptables") ? { ...p, text: allowing(p.text) } : p,
);
function read(all: readonly Part[]): { readonly rulesets: readonly Ruleset[]; readonly host: Host } {
  const { rules, sources, doubts } = readSnapshot({ name: "host.snap", text: snapshot(all) });
  // A report embeds the rules as JSON, so nothing of them may be lost there.
  const { rulesets } = readRuleset(JSON.parse(JSON.stringify(rules)) as typeof rules);
  return { rulesets, host: readHost({ ...sources, doubts }, rulesets) };
}
const plain = (({ rulesets, host }) => auditOf(rulesets, host))(read(parts));
function audited(...more: readonly Part[]): AuditJson {
  const { rulesets, host } = read([...parts, ...more]);
  return auditOf(rulesets, host);
}
const tables = (text: string): Part => ({ kind: "tables", title: "nft list tables", text });
const listing = (text: string): Part => ({ kind: "nft", title: "nft list ruleset", text });
const certain = (findings: readonly FindingJson[]): string[] =>
  findings.filter((f) => f.certainty === "must").map((f) => f.id);
const ids = ({ findings }: AuditJson): string[] => findings.map((f) => f.id);

/** A table of nftables with one base chain. */
const table = (name: string, hook: string, rules: string, type = "filter", policy = "accept"): string =>
  `table ${name} {\n\tchain own {\n\t\ttype ${type} hook ${hook} priority 0; policy ${policy};\n${rules
    .split("\n")
    .map((rule) => `\t\t${rule}\n`)
    .join("")}\t}\n}\n`;

test("a table known by name only may drop at every hook", () => {
  const found = audited(tables("table ip filter\ntable inet filter"));
  expect(ids(found)).toEqual(expect.arrayContaining(ids(plain)));
  for (const f of found.findings)
    expect([f.certainty, f.unread]).toEqual(["may", ["nftables table inet filter"]]);
  for (const e of found.exposures) expect(e.unread).toEqual(["nftables table inet filter"]);
  expect(found.inconclusive).toEqual([
    "nftables holds tables of its own, which are not read and may drop what these rules accept: inet filter",
  ]);
  // Only the other table may block packets that the rules accept.
  const open = found.findings.filter((f) => !ids(plain).includes(f.id));
  expect(open.map((f) => f.kind)).toContain("ingress-bypass");
  for (const f of open)
    expect(f.intended).toMatchObject({
      verdict: "undecided",
      rule: { policy: "not read: nftables table inet filter" },
    });
  for (const f of found.findings.filter((each) => ids(plain).includes(each.id)))
    expect(f.intended.verdict).not.toBe("undecided");
});

describe("tables with a listing", () => {
  const withTable = (text: string): AuditJson => {
    const names = [...text.matchAll(/^table \S+ \S+/gm)].map(([name]) => name).join("\n");
    return audited(tables(names), listing(text));
  };

  const ingress = ({ findings }: AuditJson): FindingJson[] =>
    findings.filter((f) => f.kind === "ingress-bypass");

  test("bans at input: no finding changes", () => {
    const found = withTable(table("inet f2b-table", "input", "ip saddr 198.51.100.7 drop"));
    expect(certain(found.findings)).toEqual(expect.arrayContaining(certain(plain.findings)));
    expect(found.inconclusive).toEqual([]);
  });

  test.each([
    ["forward", table("inet fw", "forward", "tcp dport 22 accept", "filter", "drop")],
    ["postrouting", table("inet out", "postrouting", "oifname docker0 drop")],
  ])("%s: what it drops is not open", (_, text) => {
    expect(ingress(plain).length).toBeGreaterThan(0);
    const found = withTable(text);
    expect(ingress(found)).toEqual([]);
    expect(found.inconclusive).toEqual([]);
  });

  test.each([
    ["ingress", table("netdev edge", 'ingress device "eth0"', "ip saddr 198.51.100.0/24 drop")],
    ["a bridge's output", table("bridge guard", "output", "oifname veth0 drop")],
  ])("%s: no finding is certain", (_, text) => {
    const found = withTable(text);
    expect(ids(found)).toEqual(expect.arrayContaining(ids(plain)));
    expect(certain(found.findings)).toEqual([]);
    expect(found.inconclusive).toContainEqual(expect.stringContaining("is not followed, and it may drop"));
  });

  test("what is not listed: no finding is certain", () => {
    const found = audited(tables("table ip6 other\ntable inet gone"), listing("table ip6 other {\n}\n"));
    expect(certain(found.findings)).toEqual([]);
    expect(found.inconclusive).toHaveLength(1);
    expect(found.inconclusive[0]).toContain("inet gone");
  });

  test("a translation of another table at the same priority may come first", () => {
    const text = table("ip own", "prerouting", "tcp dport 8080 dnat to 172.17.0.9:80", "nat");
    const own = text.replace("priority 0", "priority dstnat");
    const { rulesets, host } = read([...parts, tables("table ip own"), listing(own)]);
    const packet = synOf({ in: "eth0", src: "203.0.113.7", dst: "203.0.113.1", dport: 8080 });
    const { branches } = simulate(rulesets, host, packet);
    // No rule of FORWARD accepts 172.17.0.9.
    expect(branches?.map(({ verdict, sent }) => [verdict, sent?.dst])).toEqual([
      ["drop", undefined],
      ["accept", "172.17.0.2"],
    ]);
    expect(branches?.[0]?.assume).toEqual(["order(PREROUTING: ip own own, nat PREROUTING)=match"]);
  });

  test.each([
    ["no base chain", "table inet own {\n\tchain idle {\n\t\tdrop\n\t}\n}\n"],
    ["empty base chains", table("inet own", "forward", "").replace("\t\t\n", "")],
    ["ARP", table("arp own", "input", "drop")],
  ])("%s: the table is passed by", (_, text) => {
    const found = withTable(text);
    expect(found.findings).toEqual(
      plain.findings.map((f) => expect.objectContaining({ id: f.id, certainty: f.certainty })),
    );
    expect(found.inconclusive).toEqual([]);
  });

  test("a table of IPv6 does not affect IPv4", () => {
    const found = withTable(table("ip6 fw", "forward", "drop"));
    expect(certain(found.findings.filter((f) => f.family === 4))).toEqual(certain(plain.findings));
    expect(found.inconclusive).toEqual([]);
  });

  test("a comment in quotes is no statement", () => {
    const text = table("inet own", "input", 'tcp dport 22 counter accept comment "meta mark set 5"');
    expect(certain(withTable(text).findings)).toEqual(certain(plain.findings));
  });
});

describe("the other backend", () => {
  const legacy = (text: string): Part => ({ kind: "rules", title: "iptables-legacy-save -c", text });

  const filter = (...lines: string[]): Part =>
    legacy(`*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n${lines.join("\n")}\nCOMMIT\n`);
  /** The host with a program of each backend. */
  const beside = (...more: readonly Part[]): AuditJson => {
    const ofNft = parts.map((p) => ({ ...p, title: p.title.replace(/^(ip6?tables)-save/, "$1-nft-save") }));
    const none: Part = { kind: "rules", title: "ip6tables-legacy-save -c", text: "" };
    const { rulesets, host } = read([...ofNft, none, ...more]);
    return auditOf(rulesets, host);
  };

  test("its INPUT is a part of what the owner allows", () => {
    const found = beside(filter("-P INPUT DROP", "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"));
    expect(found.inconclusive).toEqual([]);
    // ufw allows 8443, and the policy of the other INPUT drops it.
    const open = found.findings.filter((f) => !ids(plain).includes(f.id));
    expect(
      open.map((f) => [f.id, f.certainty, "policy" in f.intended.rule && f.intended.rule.policy]),
    ).toEqual([["ingress-bypass/4/tcp/any/8443", "must", "iptables-legacy filter INPUT policy DROP"]]);
    expect(ids(found)).toEqual(expect.arrayContaining(ids(plain)));
  });

  test("its FORWARD drops what Docker accepts", () => {
    const found = beside(filter("-A FORWARD -j DROP"));
    expect(found.findings.filter((f) => f.kind === "ingress-bypass")).toEqual([]);
    expect(found.inconclusive).toEqual([]);
  });

  test("a rule that cannot be read is a doubt", () => {
    const found = beside(filter("-A FORWARD -j FROB"));
    expect(certain(found.findings)).toEqual([]);
    expect(found.inconclusive).toContainEqual(expect.stringContaining("FROB"));
  });

  test("a mark of its mangle table is matched by rules of iptables-nft", () => {
    const mark =
      "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -i eth0 -j MARK --set-xmark 0x7/0xffffffff\nCOMMIT\n";
    const marked = parts.map((p) =>
      p.title.startsWith("iptables")
        ? {
            ...p,
            text: p.text.replace(/^(?=\S+ -A DOCKER-USER )/m, "-A DOCKER-USER -m mark --mark 0x7 -j DROP\n"),
          }
        : p,
    );
    const { rulesets, host } = read([...marked, legacy(mark)]);
    const packet = synOf({ in: "eth0", src: "203.0.113.7", dst: "203.0.113.1", dport: 8080 });
    expect(simulate(rulesets, host, packet).path.map(({ table, chain }) => `${table} ${chain}`)).toEqual(
      expect.arrayContaining(["iptables-legacy mangle PREROUTING", "filter DOCKER-USER"]),
    );
    expect(simulate(rulesets, host, packet).verdict).toBe("drop");
    expect(simulate(rulesets, host, { ...packet, in: "eth1" }).verdict).toBe("accept");
  });

  test("nft list hooks in a snapshot without a listing of nft shows the order of both backends", () => {
    const hooks = [
      "family ip {",
      "\thook input {",
      "\t\t 0000000000 ipt_do_table [ip_tables]",
      "\t\t 0000000000 chain ip filter INPUT [nf_tables]",
      "\t}",
      "}\n",
    ].join("\n");
    const part: Part = { kind: "hooks", title: "nft list hooks", text: hooks };
    const [ruleset] = read([...parts, filter("-A INPUT -j DROP"), part]).rulesets;
    expect(ruleset!.hookOrder?.get("INPUT")).toEqual(["iptables-legacy filter INPUT", "filter INPUT"]);
  });

  test("has no effect without rules and with policies ACCEPT", () => {
    const found = beside(filter());
    expect(found.findings).toEqual(
      plain.findings.map((f) => expect.objectContaining({ id: f.id, certainty: f.certainty })),
    );
    expect(found.inconclusive).toEqual([]);
  });

  test("a warning of tables that no program printed is a doubt", () => {
    const warning = "# Warning: iptables-legacy tables present, use iptables-legacy-save to see them";
    const errors: Part = { kind: "errors", title: "iptables-save -c", text: warning };
    const found = audited(errors);
    expect(certain(found.findings)).toEqual([]);
    for (const f of found.findings) expect(f.unread).toEqual(["iptables-legacy"]);
    expect(found.inconclusive).toEqual([
      "iptables-save -c warned that iptables-legacy has tables of IPv4, too, and no program printed them: the kernel evaluates both; install iptables-legacy-save and take the snapshot again",
    ]);
    expect(beside({ ...errors, title: "iptables-nft-save -c" }, filter()).inconclusive).toEqual([]);
  });

  test("tables of iptables-nft that only nft lists are followed, or named", () => {
    const saved = parts
      .filter((p) => p.kind !== "tables")
      .map((p) =>
        p.title.startsWith("iptables")
          ? {
              ...p,
              text: p.text.replace(/^# Generated by .*/gm, "# Generated by iptables-save v1.8.9 on Mon"),
            }
          : p,
      );
    const of = (...more: readonly Part[]): AuditJson => {
      const { rulesets, host } = read([...saved, ...more]);
      return auditOf(rulesets, host);
    };
    const named = of(tables("table ip filter"));
    expect(named.inconclusive).toContainEqual(expect.stringContaining("which are not read"));
    expect(certain(named.findings)).toEqual([]);
    const text =
      "table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy accept;\n\t\tcounter packets 0 bytes 0 drop\n\t}\n}\n";
    const followed = of(tables("table ip filter\ntable ip6 filter\ntable ip6 nat"), listing(text));
    expect(followed.inconclusive).toEqual([]);
    expect(followed.findings.filter((f) => f.family === 4 && f.kind === "ingress-bypass")).toEqual([]);
  });
});

describe("conditions that iptables-save does not print", () => {
  const dropped = (rule: string): readonly Part[] =>
    parts.map((p) =>
      p.title.startsWith("iptables")
        ? { ...p, text: p.text.replace(/^(?=\S+ -A DOCKER-USER )/m, `${rule}\n`) }
        : p,
    );
  const expressions = (text: string): Part => ({ kind: "expressions", title: "expressions", text });
  const without = (all: readonly Part[]): Part[] => all.filter((p) => p.kind !== "expressions");
  const LOST =
    "  [ meta load l4proto => reg 1 ]\n  [ cmp eq reg 1 0x00000006 ]\n  [ payload load 2b @ transport header + 14 => reg 1 ]\n  [ cmp eq reg 1 0x00000000 ]\n  [ immediate reg 0 drop ]\n";
  const of = (all: readonly Part[]): AuditJson => {
    const { rulesets, host } = read(all);
    return auditOf(rulesets, host);
  };

  test("the rule is printed as if it dropped everything, and hides no finding", () => {
    const all = without(dropped("-A DOCKER-USER -p tcp -j DROP"));
    expect(of([...all, expressions("")]).findings.filter((f) => f.proto === "tcp")).toEqual([]);
    const found = of([...all, expressions(`ip filter DOCKER-USER 1\n${LOST}ip filter DOCKER-USER of 2\n`)]);
    expect(ids(found)).toEqual(ids(plain));
    for (const f of found.findings.filter((each) => each.proto === "tcp"))
      expect([f.certainty, f.depends]).toEqual([
        "may",
        ["nft condition that iptables-save omits@filter/DOCKER-USER/1"],
      ]);
  });

  test("no rule of a chain that changed between the two programs is certain", () => {
    const all = without(dropped("-A DOCKER-USER -p tcp -j DROP"));
    const found = of([...all, expressions(`ip filter DOCKER-USER 7\n${LOST}ip filter DOCKER-USER of 9\n`)]);
    expect(ids(found)).toEqual(ids(plain));
  });

  test("a statement that changes packets leaves no certain finding", () => {
    const write = "  [ immediate reg 1 0x04030201 ]\n  [ payload write reg 1 => 4b @ network header + 16 ]\n";
    const found = of([...without(parts), expressions(`ip filter INPUT 1\n${write}ip filter INPUT of 6\n`)]);
    expect(certain(found.findings)).toEqual([]);
  });

  test("an older snapshot lacks them: a rule that matches only a protocol may have one", () => {
    const found = of(without(dropped("-A DOCKER-USER -p tcp -j DROP")));
    expect(ids(found)).toEqual(ids(plain));
    expect(found.inconclusive).toEqual([expect.stringContaining("taken with an older fwcheck")]);
    // A rule with a port has no hidden condition.
    const ports = of(without(dropped("-A DOCKER-USER -p tcp -m tcp --dport 80 -j DROP")));
    expect(ids(ports)).not.toEqual(ids(plain));
  });
});

test("simulate is undecided about packets that an unread table may drop, and --assume decides them", () => {
  const { rulesets, host } = read([
    ...parts,
    tables("table bridge fw"),
    listing(table("bridge fw", "forward", "drop")),
  ]);
  const packet = synOf({ in: "eth0", src: "203.0.113.7", dst: "203.0.113.1", dport: 8080 });
  const answer = simulate(rulesets, host, packet);
  expect(answer.verdict).toBe("undecided");
  expect(answer.branches?.map((b) => [b.verdict, b.assume])).toEqual([
    ["drop", ["unread(FORWARD: nftables table bridge fw)=match"]],
    ["accept", ["unread(FORWARD: nftables table bridge fw)=no-match"]],
  ]);
  const assume = new Map([["unread(FORWARD: nftables table bridge fw)", true]]);
  expect(simulate(rulesets, host, packet, { assume }).verdict).toBe("drop");
  const out = synOf({ src: "203.0.113.1", dst: "203.0.113.7", dport: 443 });
  expect(simulate(rulesets, host, out)).toMatchObject({ verdict: "accept" });
});

test("simulate follows a table of nftables with its number of the rule and its line", () => {
  const text = table("inet fw", "forward", 'tcp dport 22 accept\niifname "eth0" drop');
  const { rulesets, host } = read([...parts, tables("table inet fw"), listing(text)]);
  const packet = synOf({ in: "eth0", src: "203.0.113.7", dst: "203.0.113.1", dport: 8080 });
  const answer = simulate(rulesets, host, packet);
  expect(answer.verdict).toBe("drop");
  expect(answer.path.at(-1)).toMatchObject({ table: "inet fw", chain: "own", rule: 2, target: "drop" });
});

describe("simulate of a packet that the known rules drop", () => {
  const packet = synOf({ in: "eth0", src: "203.0.113.7", dst: "203.0.113.1", dport: 9999 });
  const of = (text: string): ReturnType<typeof read> => {
    const [name = "", ...chains] = text.split(" {");
    return read([...parts, tables(name), ...(chains.length === 0 ? [] : [listing(text)])]);
  };

  test.each([["a table of which only the name is known", "table ip own"]])(
    "%s: it is undecided, and --assume settles it",
    (_, text) => {
      const { rulesets, host } = of(text);
      const answer = simulate(rulesets, host, packet);
      expect(answer.verdict).toBe("undecided");
      expect(answer.branches).toContainEqual(
        expect.objectContaining({
          verdict: "undecided",
          reasonCode: { code: "may-change", by: "nftables table ip own" },
          assume: [
            "unread(PREROUTING: nftables table ip own)=no-match",
            "changed(nftables table ip own)=match",
          ],
        }),
      );
      const assume = new Map([["changed(nftables table ip own)", false]]);
      expect(simulate(rulesets, host, packet, { assume }).verdict).toBe("drop");
    },
  );

  test.each([
    ["drops at forward", table("ip own", "forward", "drop")],
    ["drops at input", table("ip own", "input", "tcp dport 22 drop")],
    ["masquerading", table("ip own", "postrouting", 'oifname "eth0" masquerade', "nat")],
  ])("%s: it is dropped", (_, text) => {
    const { rulesets, host } = of(text);
    expect(simulate(rulesets, host, packet).verdict).toBe("drop");
  });

  test("DNAT of the other backend translates it", () => {
    const dump =
      "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp -j DNAT --to-destination 172.17.0.2:80\nCOMMIT\n";
    const { rulesets, host } = read([
      ...parts,
      { kind: "rules", title: "iptables-legacy-save -c", text: dump },
    ]);
    expect(simulate(rulesets, host, packet)).toMatchObject({
      verdict: "accept",
      sent: { dst: "172.17.0.2", dport: 80 },
    });
  });
});

test("a fix closes ports that the known rules block, and names the unread firewall", () => {
  const { rulesets, host } = read([...parts, tables("table inet fw")]);
  const fixed = fix(rulesets, host);
  expect(fixed.holds).toBe(true);
  expect(fixed.proof.closed).toEqual(ids(plain));
  const { failed } = fixJson(fixed);
  for (const sentence of failed) expect(sentence).toContain("inet fw");
  expect(failed).toContain(
    "ingress-bypass/4/tcp/any/8443: only nftables table inet fw may block these packets, and its policy was not read",
  );
});

test("comments of iptables-nft-save name tables that it does not print", () => {
  const { rulesets, host } = capture(
    `${examples}ufw-docker-20.10`,
    (text) =>
      `# Warning: iptables-legacy tables present, use iptables-legacy-save to see them\n${allowing(text)}`,
  );
  const found = auditOf(rulesets, host);
  expect(ids(found)).toEqual(expect.arrayContaining(ids(plain)));
  expect(certain(found.findings)).toEqual([]);
});

describe("table raw, which Docker fills since 28", () => {
  const HOST = `${examples}ufw-docker-28.5`;
  const cut = (save: string): string => save.replace(/^\*raw\n[\s\S]*?^COMMIT\n/m, "");
  const of = (edit?: (save: string) => string): AuditJson => {
    const { rulesets, host } = capture(HOST, edit);
    return auditOf(rulesets, host);
  };

  test("packets that it may drop are possible findings if it is missing; the others stay certain", () => {
    const found = of(cut);
    const direct = found.findings.filter((f) => f.unread !== undefined);
    expect(direct.length).toBeGreaterThan(0);
    for (const f of direct) {
      expect(f.kind).toMatch(/^(direct|loopback)-bypass$/);
      expect([f.certainty, f.unread]).toEqual(["may", ["table raw, which is missing"]]);
      expect(f.intended.verdict).toBe("drop");
    }
    const known = of();
    expect(certain(found.findings)).toEqual(certain(known.findings));
    expect(known.findings.every((f) => f.unread === undefined)).toBe(true);
  });

  test("Docker 20.10 has none", () => {
    const { rulesets, host } = capture(`${examples}ufw-docker-20.10`);
    expect(rulesets[0]!.tables.has("raw")).toBe(false);
    expect(auditOf(rulesets, host).findings.every((f) => f.certainty === "must")).toBe(true);
  });
});

test("the script of a fix compares rules of iptables only, which is what iptables-save prints", () => {
  const text = table("inet fw", "input", "ip saddr 198.51.100.7 drop");
  const script = (all: readonly Part[]): string => {
    const { rulesets, host } = read(all);
    return fix(rulesets, host).script;
  };
  const digest = (all: readonly Part[]): string | undefined => /\b[0-9a-f]{64}\b/.exec(script(all))?.[0];
  expect(digest(parts)).toBeDefined();
  expect(digest([...parts, tables("table inet fw"), listing(text)])).toBe(digest(parts));
});

test("a listed table of iptables-nft that no save program printed may drop at every hook", () => {
  const doubtsOf = (save: string): readonly unknown[] =>
    read([
      ...parts.filter((p) => p.kind !== "tables" && !(p.kind === "rules" && p.title.startsWith("iptables"))),
      { kind: "rules", title: "iptables-legacy-save -c", text: "*filter\n:INPUT DROP [0:0]\nCOMMIT\n" },
      { kind: "rules", title: "iptables-nft-save -c", text: save },
      tables("table ip filter\ntable ip nat"),
    ]).host.doubts;
  const unread = (...names: string[]) => ({ code: "nftables-tables", tables: names });
  const filter = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n";
  expect(doubtsOf("")).toContainEqual(unread("ip filter", "ip nat"));
  expect(doubtsOf(filter)).toContainEqual(unread("ip nat"));
  expect(doubtsOf(`${filter}*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n`)).not.toContainEqual(
    expect.objectContaining({ code: "nftables-tables" }),
  );
  const { rulesets } = readRuleset([{ name: "rules.v4", text: filter }]);
  const list = [{ name: "tables.txt", text: "table ip filter\ntable ip nat\n" }];
  expect(readHost({ tables: list }, rulesets).doubts).toContainEqual(unread("ip nat"));
});

test("a list of tables adds nothing to tables whose text is read, bridges included", () => {
  const text = `${table("inet fw", "forward", "tcp dport 22 drop")}${table("bridge guard", "output", "accept")}`;
  const save = "*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n";
  const { rulesets } = readRuleset([
    { name: "rules.v4", text: save },
    { name: "nft.txt", text },
  ]);
  const source = (list: string) => [{ name: "tables.txt", text: list }];
  const known = source("table ip filter\ntable inet fw\ntable bridge guard\n");
  expect(withTables(rulesets, known)).toEqual(rulesets);
  expect(readHost({ tables: known }, rulesets).doubts).toEqual([]);
  const more = source("table inet fw\ntable inet other\n");
  expect(withTables(rulesets, more).map(({ unread }) => new Set(unread?.map(({ by }) => by)))).toEqual([
    new Set(["nftables table inet other"]),
    new Set(["nftables table inet other"]),
  ]);
  expect(readHost({ tables: more }, rulesets).doubts).toEqual([
    { code: "nftables-tables", tables: ["inet other"] },
  ]);
});
