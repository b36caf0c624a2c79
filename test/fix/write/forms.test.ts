/** Content of the printed forms. Text of the input never becomes syntax of a shell, iptables-restore or a unit. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { type Fix, fix, type Host, leftOutRuleText, readRuleset } from "fwcheck";
import { quote } from "iptables-parser-ts";
import { afterAll, describe, expect, test } from "vitest";
import { asIptables } from "../../../lib/iptables/rule.ts";
import { capture, examples } from "../../capture.ts";

const folder = mkdtempSync(join(tmpdir(), "fwcheck-forms-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const has = (program: string): boolean => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;

/** Returns a script without the lines of its here-documents. */
function outside(script: string): string {
  const out: string[] = [];
  let end: string | null = null;
  for (const line of script.split("\n")) {
    if (end === null) out.push(line);
    if (line === end) end = null;
    else if (end === null) end = /<<'([A-Z-]+)'$/.exec(line)?.[1] ?? null;
  }
  expect(end).toBeNull();
  return out.join("\n");
}

/** Text that is special to a shell, to iptables-restore, in a unit or on a terminal. */
const hostile = fc
  .array(
    fc.constantFrom(
      ...[
        "$(touch pwned)",
        "`touch pwned`",
        "'",
        '"',
        "\\",
        "; touch pwned;",
        "&& id",
        "|",
        "%n%s",
        "%h",
        // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own.
        "${IFS}",
      ],
      ...[
        "END-OF-FWCHECK",
        "RULES",
        "COMMIT",
        "-j ACCEPT",
        "#",
        "\u001b[31m",
        "[Service]",
        "ExecStart=/bin/id",
        "*nat",
        "é",
        " ",
      ],
    ),
    { minLength: 1, maxLength: 3 },
  )
  // A log's prefix has 29 bytes at most.
  .map((parts) =>
    Buffer.from(parts.join(" "))
      .subarray(0, 29)
      .toString()
      .replace(/\ufffd$/, ""),
  );

/** A host on which everything that can have a name has a hostile one. */
function named(name: string): { fix: Fix; host: Host; save: string } {
  let save = "";
  const { rulesets, host } = capture(`${examples}ufw-docker-28.5`, (text) => {
    save = text
      .replaceAll(/--log-prefix "\[UFW BLOCK\] "/g, `--log-prefix ${quote(name)}`)
      .replace(
        /^((\[\d+:\d+\] )?-A ufw-user-input -p tcp -m tcp --dport 22 )/m,
        `-A ufw-user-input -s 198.51.100.0/24 -p tcp -m tcp --dport 8443 -m comment --comment ${quote(name)} -j ACCEPT\n$1`,
      )
      .replace(
        "COMMIT\n*nat",
        `-A DOCKER-USER -s 192.0.2.1/32 -m comment --comment ${quote(name)} -j DROP\nCOMMIT\n*nat`,
      );
    return save;
  });
  const worse: Host = { ...host, containers: host.containers.map((c) => ({ ...c, name, project: name })) };
  const inputs = rulesets.map((r) => ({ name: r.source, text: save }));
  return { fix: fix(rulesets, worse, { inputs }), host: worse, save };
}

test("hostile names are data in every form", { timeout: 240_000 }, () => {
  fc.assert(
    fc.property(hostile, (name) => {
      const { fix: result } = named(name);
      expect([result.holds, result.left]).toEqual([true, []]);
      // For all names the script is equal, except its here-documents and two digests.
      const plain = named("plain").fix;
      const bare = (script: string): string => outside(script).replaceAll(/[0-9a-f]{64}/g, "D");
      expect(bare(result.script)).toBe(bare(plain.script));
      expect(result.unit.replaceAll(/[0-9a-f]{64}/g, "D")).toBe(plain.unit.replaceAll(/[0-9a-f]{64}/g, "D"));
      expect(result.undo).toEqual(plain.undo);
      expect(result.ufw.undo).toEqual(plain.ufw.undo);
      // In iptables-restore's words each line is one of ours, and reads back as the rule it was written for.
      for (const line of result.restore.trimEnd().split("\n"))
        expect(line).toMatch(
          /^(# (fwcheck: |Apply: |Holds only )|\*filter$|COMMIT$|(:|-X )FWCHECK|-I DOCKER-USER 1 -j FWCHECK$|-A FWCHECK(-\d+)? )/,
        );
      const text = result.restore.replace("*filter\n", "*filter\n:DOCKER-USER - [0:0]\n");
      const { rulesets, diagnostics } = readRuleset([{ name: "back", text, family: 4 }]);
      expect(diagnostics).toEqual([]);
      const prefixes = [...rulesets[0]!.tables.get("filter")!.chains.values()]
        .flatMap((chain) => chain.rules)
        .map((rule) => asIptables(rule).target)
        .flatMap((target) =>
          target.kind === "extension" && target.extension.name === "LOG" ? [target.values.prefix?.value] : [],
        );
      expect(new Set(prefixes)).toEqual(new Set([name]));
      expect(result.ufw.after.split("\n").filter((l) => /^\*|^COMMIT$|^#/.test(l))).toEqual([
        "# BEGIN fwcheck IPv4",
        expect.stringMatching(/^# fwcheck: /),
        expect.stringMatching(/^# Append to /),
        "*filter",
        "COMMIT",
        "# END fwcheck IPv4",
      ]);
    }),
    { numRuns: 12, examples: [["$(touch pwned)"], ["END-OF-FWCHECK"], ["`touch pwned`' \""]] },
  );
});

const real = spawnSync("unshare", ["-n", "iptables", "-w", "-L", "-n"]).status === 0;

test.skipIf(!real)("run for real, a hostile name does nothing", () => {
  const { save, host } = named("'$(touch pwned)`touch pwned`\"");
  writeFileSync(join(folder, "before"), save);
  const taken = spawnSync("unshare", ["-n", "sh", "-euc", "iptables-restore < before; iptables-save"], {
    cwd: folder,
    encoding: "utf8",
  });
  const input = { name: "taken", text: taken.stdout };
  const result = fix(readRuleset([input]).rulesets, host, { inputs: [input] });
  writeFileSync(join(folder, "fix.sh"), result.script);
  const run = spawnSync(
    "unshare",
    [
      "-n",
      "sh",
      "-euc",
      "iptables-restore < before; sh fix.sh >/dev/null; sh fix.sh --check; iptables-save; sh fix.sh --undo",
    ],
    { cwd: folder, encoding: "utf8" },
  );
  expect([run.status, run.stderr]).toEqual([0, ""]);
  expect(run.stdout).toMatch(/^in force$/m);
  expect(existsSync(join(folder, "pwned"))).toBe(false);
});

const forms = (): Map<string, Fix> => {
  const { rulesets, host } = capture(`${examples}ufw-docker-20.10`);
  return new Map(
    (["internal-ip", "conntrack", "ipset"] as const).map((strategy) => [
      strategy,
      fix(rulesets, host, { strategy }),
    ]),
  );
};

test.skipIf(!has("shellcheck"))("shellcheck accepts every script", () => {
  for (const [strategy, { script }] of forms()) {
    const run = spawnSync("shellcheck", ["-"], {
      input: script,
      encoding: "utf8",
    });
    expect([strategy, run.stdout]).toEqual([strategy, ""]);
  }
});

describe("the heading of each form", () => {
  const { rulesets, host } = capture(`${examples}ufw-docker-20.10`);
  const inputs = rulesets.map((r) => ({ name: r.source, text: `text of ${r.source}` }));
  const result = fix(rulesets, host, { inputs });
  const digest = createHash("sha256").update(`text of ${rulesets[0]!.source}`).digest("hex");

  test.each([
    ["restore", result.restore, 0, 1],
    ["script", result.script, 1, 0],
    ["ufw", result.ufw.after, 1, 0],
    ["systemd", result.unit, 0, 0],
  ] as const)(
    "%s: what it does, from which input, how to check and undo it",
    (_form, text, first, limits) => {
      const lines = text.split("\n");
      expect(lines[first]).toBe(
        `# fwcheck: the firewall's own policy, made to hold for containers (iptables-save of sha256 ${digest}).`,
      );
      expect(lines[first + 1]).toMatch(/^# .*Check: .*Undo: /);
      expect(lines.slice(first + 2).findIndex((line) => !line.startsWith("# "))).toBe(limits);
    },
  );
  test("the block brings the owner's other rules in DOCKER-USER with it", () => {
    expect(result.ufw.after).toMatch(
      /^:DOCKER-USER - \[0:0\]$[\s\S]*^-A DOCKER-USER -j FWCHECK\n-A DOCKER-USER -j RETURN$/m,
    );
    expect(result.ufw.undo[0]).toBe(
      "sed -i '/^# BEGIN fwcheck IPv4$/,/^# END fwcheck IPv4$/d' /etc/ufw/after.rules",
    );
  });
  test("ufw cannot load a fix that needs an ipset", () => {
    expect(fix(rulesets, host, { strategy: "ipset" }).ufw).toMatchObject({
      after: "",
      refusals: [{ code: "sets-needed", family: 4 }],
    });
  });
});

describe("what is not there at boot", () => {
  /** The host with more rules in DOCKER-USER, and with chains and rules that those name. */
  const withRules = (chains: string, rules: string): Fix => {
    const { rulesets, host } = capture(`${examples}ufw-docker-20.10`, (save) =>
      save
        .replace(/^:DOCKER-USER .*\n/m, (line) => `${line}${chains}`)
        .replace(/^(\[\d+:\d+\] )?-A DOCKER-USER -j RETURN\n/m, (line) => `${rules}${line}`),
    );
    return fix(rulesets, host);
  };
  const carried = (block: string): string[] =>
    block.split("\n").filter((line) => line.startsWith("-A DOCKER-USER "));

  test("a rule that names a chain or a set is left out by name, and the rest stays", () => {
    const { ufw } = withRules(
      ":f2b-web - [0:0]\n:MINE - [0:0]\n",
      [
        "-A DOCKER-USER -p tcp -m multiport --dports 80,443 -j f2b-web",
        "-A DOCKER-USER -m set --match-set blk src -j DROP",
        "-A DOCKER-USER -m set ! --match-set friends src -g MINE",
        "-A DOCKER-USER -s 192.0.2.0/24 -j RETURN",
        "-A DOCKER-USER -m nfacct --nfacct-name all",
        "-A f2b-web -s 192.0.2.7/32 -j REJECT --reject-with icmp-port-unreachable",
        "-A MINE -s 192.0.2.8/32 -j ACCEPT",
        "",
      ].join("\n"),
    );
    expect(carried(ufw.after)).toEqual([
      "-A DOCKER-USER -j FWCHECK",
      "-A DOCKER-USER -s 192.0.2.0/24 -j RETURN",
      "-A DOCKER-USER -j RETURN",
    ]);
    expect(ufw.after).not.toMatch(/^[^#]*(f2b-web|blk|friends|MINE|nfacct)/m);
    const owners = ufw.leftOut.filter(({ rule }) => rule.startsWith("-A DOCKER-USER "));
    expect(owners.map(({ needs, effect, by }) => [needs.join(), effect, by])).toEqual([
      ["chain f2b-web", "denies", "fail2ban"],
      ["ipset blk", "denies", null],
      ["ipset friends,chain MINE", "allows", null],
      ["accounting object all", "other", null],
    ]);
    for (const each of ufw.leftOut) expect(ufw.after).toContain(`\n# Left out: ${leftOutRuleText(each)}\n`);
    expect(leftOutRuleText(owners[0]!)).toContain("until fail2ban adds it again");
    expect(leftOutRuleText(owners[1]!)).toContain("what it denies passes until you add it again");
    // The lifted policy names the set, too.
    const ours = ufw.leftOut.filter((each) => !owners.includes(each));
    expect(ours.every(({ rule }) => /^-A FWCHECK(-\d+)? /.test(rule))).toBe(true);
    expect(ours.flatMap(({ needs }) => needs)).toContain("ipset friends");
    expect(leftOutRuleText(ours[0]!)).toContain("use --format systemd");
  });

  test("a chain of ufw that comes later is declared, one of an add-on is brought along", () => {
    const { ufw } = withRules(
      ":ufw-docker-logging-deny - [0:0]\n",
      [
        "-A DOCKER-USER -j ufw-user-forward",
        "-A DOCKER-USER -d 10.0.0.0/8 -p tcp -j ufw-docker-logging-deny",
        "-A ufw-docker-logging-deny -j DROP",
        "",
      ].join("\n"),
    );
    expect(ufw.leftOut).toEqual([]);
    expect(carried(ufw.after)).toHaveLength(4);
    expect(ufw.after).toMatch(/^:ufw-user-forward - \[0:0\]$/m);
    expect(ufw.after).toMatch(/^:ufw-docker-logging-deny - \[0:0\]$/m);
    expect(ufw.after).toMatch(/^-A ufw-docker-logging-deny -j DROP$/m);
    expect(ufw.after).not.toMatch(/^-A ufw-user-forward/m);
  });
});
