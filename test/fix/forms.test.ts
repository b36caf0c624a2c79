/** The forms: what stands in them, and that text of the input never becomes shell, restore or unit syntax. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { type Fix, fix, type Host, readRuleset } from "fwcheck";
import { afterAll, describe, expect, test } from "vitest";
import { quote } from "../../grammar/index.ts";
import { capture, examples } from "../capture.ts";

const folder = mkdtempSync(join(tmpdir(), "fwcheck-forms-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const has = (program: string): boolean => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;

/** The script without what stands in its here-documents. */
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

/** What makes trouble somewhere: in a shell, in iptables-restore's language, in a unit, on a terminal. */
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
      expect([result.holds, result.failed]).toEqual([true, []]);
      // The script is the same whatever the names, but for its here-documents and two digests.
      const plain = named("plain").fix;
      const bare = (script: string): string => outside(script).replaceAll(/[0-9a-f]{64}/g, "D");
      expect(bare(result.script)).toBe(bare(plain.script));
      expect(result.unit.replaceAll(/[0-9a-f]{64}/g, "D")).toBe(plain.unit.replaceAll(/[0-9a-f]{64}/g, "D"));
      expect(result.undo).toEqual(plain.undo);
      expect(result.ufw.undo).toEqual(plain.ufw.undo);
      // In iptables-restore's words each line is one of ours, and reads back as the rule it was written for.
      for (const line of result.restore.trimEnd().split("\n"))
        expect(line).toMatch(
          /^(# (fwcheck|Apply): |\*filter$|COMMIT$|-N FWCHECK|-I DOCKER-USER 1 -j FWCHECK$|-A FWCHECK(-\d+)? )/,
        );
      const text = result.restore.replace("*filter\n", "*filter\n:DOCKER-USER - [0:0]\n");
      const { rulesets, diagnostics } = readRuleset([{ name: "back", text, family: 4 }]);
      expect(diagnostics).toEqual([]);
      const prefixes = [...rulesets[0]!.tables.get("filter")!.chains.values()]
        .flatMap((chain) => chain.rules)
        .flatMap(({ target }) =>
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

test.skipIf(!has("shellcheck"))("shellcheck finds nothing to say of any script", () => {
  for (const [strategy, { script }] of forms()) {
    const run = spawnSync("shellcheck", ["-"], {
      input: script,
      encoding: "utf8",
    });
    expect([strategy, run.stdout]).toEqual([strategy, ""]);
  }
});

describe("what stands above each form", () => {
  const { rulesets, host } = capture(`${examples}ufw-docker-20.10`);
  const inputs = rulesets.map((r) => ({ name: r.source, text: `text of ${r.source}` }));
  const result = fix(rulesets, host, { inputs });
  const digest = createHash("sha256").update(`text of ${rulesets[0]!.source}`).digest("hex");

  test.each([
    ["restore", result.restore, 0],
    ["script", result.script, 1],
    ["ufw", result.ufw.after, 1],
    ["systemd", result.unit, 0],
  ] as const)("%s: what it does, from which input, how to check and undo it", (_form, text, first) => {
    const lines = text.split("\n");
    expect(lines[first]).toBe(
      `# fwcheck: the firewall's own policy, made to hold for containers (iptables-save of sha256 ${digest}).`,
    );
    expect(lines[first + 1]).toMatch(/^# .*Check: .*Undo: /);
    expect(lines[first + 2]).not.toMatch(/^# /);
  });
  test("the block brings the owner's other rules in DOCKER-USER with it", () => {
    expect(result.ufw.after).toMatch(
      /^:DOCKER-USER - \[0:0\]$[\s\S]*^-A DOCKER-USER -j FWCHECK\n-A DOCKER-USER -j RETURN$/m,
    );
    expect(result.ufw.undo[0]).toBe(
      "sed -i '/^# BEGIN fwcheck IPv4$/,/^# END fwcheck IPv4$/d' /etc/ufw/after.rules",
    );
  });
  test("ufw cannot bring an ipset", () => {
    expect(fix(rulesets, host, { strategy: "ipset" }).ufw).toMatchObject({
      after: "",
      cannot: [expect.stringContaining("ufw loads its rules when no ipset is there yet")],
    });
  });
});
