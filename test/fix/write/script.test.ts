/**
 * The forms on the real iptables, both backends, in every state of the live rules: the fix is in force afterwards, or the
 * form fails and changes nothing; `--check` and `--undo` report the actual state.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Fix, fix } from "fwcheck";
import { afterAll, describe, expect, test } from "vitest";
import { needsOf } from "../../../lib/fix/write/needs.ts";
import { script } from "../../../lib/fix/write/script.ts";
import { rulesetOf, rulesetsOf } from "../../builders.ts";
import { capture, examples } from "../../capture.ts";
import { backends } from "../backend.ts";

const folder = mkdtempSync(join(tmpdir(), "fwcheck-states-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const inside = backends(folder);

const { rulesets, host } = capture(`${examples}ufw-docker-28.5`);
const result: Fix = fix(rulesets, host);
/** The fix that is made where this one is in force, and one with more chains. */
const put = (name: string, text: string): void => writeFileSync(join(folder, name), text);
put("save", readFileSync(`${examples}ufw-docker-28.5/iptables-save.txt`, "utf8"));
put("first", result.restore);
put("fix.sh", result.script);

const STATES = {
  "nothing there": "iptables-restore <save",
  "in force": "iptables-restore <save; sh fix.sh >/dev/null",
  "not called": "iptables-restore <save; sh fix.sh >/dev/null; iptables -D DOCKER-USER -j FWCHECK",
  "DOCKER-USER flushed": "iptables-restore <save; sh fix.sh >/dev/null; iptables -F DOCKER-USER",
  "DOCKER-USER missing": "iptables -N mine; iptables -A INPUT -j mine",
  "an older fix":
    "iptables-restore <save; sh fix.sh >/dev/null; iptables -N FWCHECK-9; iptables -A FWCHECK -s 192.0.2.9 -g FWCHECK-9; iptables -A FWCHECK-9 -j DROP; iptables -A FWCHECK -j LOG",
  "called twice": "iptables-restore <save; sh fix.sh >/dev/null; iptables -A DOCKER-USER -j FWCHECK",
  "an exception before it":
    "iptables-restore <save; sh fix.sh >/dev/null; iptables -I DOCKER-USER -s 192.0.2.1 -j RETURN",
} as const;
type State = keyof typeof STATES;

/** The filter table without counters and comments. */
const TABLE = "iptables-save -t filter | sed 's/ \\[[0-9]*:[0-9]*\\]$//; /^#/d'";

describe.each(["nft", "legacy"])("iptables-%s", (backend) => {
  const able =
    inside(backend, "iptables -w 5 -L -n >/dev/null && iptables-restore --version && iptables -t raw -L -n")
      .code === 0;
  /** Runs a command in a state: how it ends, what it prints, and the table before and after it. */
  const inState = (state: State, command: string) => {
    const run = inside(
      backend,
      `{ ${STATES[state]}; ${TABLE} >before; } >&2; ${command}; code=$?; ${TABLE} >after; exit $code`,
    );
    const [before, then] = ["before", "after"].map((name) => readFileSync(join(folder, name), "utf8"));
    return { ...run, before: before!, after: then! };
  };
  const clean = able ? inState("nothing there", "sh fix.sh >/dev/null").after : "";
  put("second", able ? fixed(clean) : "");

  test.skipIf(!able)("the script where /proc is empty, so that iptables-legacy-save lists no table", () => {
    const bare = "unshare -m sh -c 'mount -t tmpfs tmpfs /proc && exec sh fix.sh --force'";
    const run = inState("nothing there", bare);
    expect(run.code).toBe(0);
    expect(run.after).toBe(clean);
  });

  test.skipIf(!able).each([
    ["nothing there", 1, 0],
    ["in force", 0, 0],
    ["not called", 1, 0],
    ["DOCKER-USER flushed", 1, 0],
    ["DOCKER-USER missing", 1, 3],
    ["an older fix", 1, 0],
    ["called twice", 1, 0],
    ["an exception before it", 1, 3],
  ] as const)("the script where the state is: %s", (state, check, apply) => {
    const checked = inState(state, "sh fix.sh --check");
    expect([checked.code, checked.out]).toEqual([check, check === 0 ? "in force\n" : "not in force\n"]);
    expect(checked.after).toBe(checked.before);

    const applied = inState(state, "sh fix.sh");
    expect(applied.code).toBe(apply);
    if (apply === 0) expect(applied.after).toBe(clean);
    else expect(applied.after).toBe(applied.before);

    const forced = inState(state, "sh fix.sh --force; echo $?; sh fix.sh --check");
    if (state === "DOCKER-USER missing") {
      expect(forced.out).toMatch(
        /^iptables: loaded; in force as soon as Docker starts.*\n.*\n0\nnot in force\n$/,
      );
      const started = inState(
        state,
        "sh fix.sh --force >&2; iptables -I FORWARD -j DOCKER-USER; sh fix.sh --check",
      );
      expect([started.code, started.out]).toEqual([0, "in force\n"]);
    } else expect(forced.out).toMatch(/^iptables: in force\n.*\n0\nin force\n$/);

    // What is not ours stays as it was.
    const undone = inState(state, "sh fix.sh --undo && sh fix.sh --undo");
    const others = undone.before.split("\n").filter((line) => !line.includes("FWCHECK"));
    expect([undone.code, undone.err, undone.after.split("\n")]).toEqual([0, "", others]);
  });

  test.skipIf(!able).each([
    ["nothing there", true, false],
    ["in force", false, true],
    ["not called", true, false],
    ["DOCKER-USER flushed", true, false],
    ["DOCKER-USER missing", false, false],
    ["an older fix", false, true],
  ] as const)("the restore files where the state is: %s", (state, first, second) => {
    for (const [name, holds] of [
      ["first", first],
      ["second", second],
    ] as const) {
      const run = inState(state, `iptables-restore --wait=5 --noflush <${name}`);
      expect([name, run.code === 0]).toEqual([name, holds]);
      if (!holds) expect(run.after).toBe(run.before);
      else {
        const checked = inState(state, `iptables-restore --noflush <${name} && sh fix.sh --check`);
        expect([name, checked.code, checked.out]).toEqual([name, 0, "in force\n"]);
      }
    }
  });

  test.skipIf(!able)("what a rule calls and is not there is left out until it is", () => {
    const part = {
      family: 4,
      chains: new Map([
        ["FWCHECK", ["-j f2b-web", "-m set --match-set blk src -j DROP", "-s 192.0.2.1/32 -j DROP"]],
      ]),
      sets: [],
      banChains: [],
      ruleset: rulesetOf(
        "*filter\n:FORWARD ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n:f2b-web - [0:0]\n-A FORWARD -j DOCKER-USER\nCOMMIT\n",
        { family: 4 },
      ),
      input: null,
      cuts: [],
    } as const;
    put("needs.sh", script([part]));
    const start = "iptables -N DOCKER-USER; iptables -A FORWARD -j DOCKER-USER";
    const { code, out, err } = inside(
      backend,
      `${start}; sh needs.sh --force; iptables -S FWCHECK; sh needs.sh --check
       iptables -N f2b-web; ipset create blk hash:ip; sh needs.sh --check; sh needs.sh --force; iptables -S FWCHECK; sh needs.sh --check`,
    );
    const all = ["-N FWCHECK", ...part.chains.get("FWCHECK")!.map((rule) => `-A FWCHECK ${rule}`)];
    expect(out.split("\n")).toEqual([
      ...["iptables: in force", all[0], all[3], "in force"],
      ...["not in force", "iptables: in force", ...all, "in force", ""],
    ]);
    expect(err).toContain("rule 1 of ours is left out: chain f2b-web is not there; apply again when it is");
    expect(err).toContain("rule 2 of ours is left out: ipset blk is not there; apply again when it is");
    expect(code).toBe(0);
  });

  test.skipIf(!able)("iptables is missing or fails: nothing is claimed", () => {
    put("none.sh", result.script.replace(/^PATH=.*$/m, "PATH=/run/none"));
    const tools = ["sh", "awk", "sed", "sort", "sha256sum", "tr", "cat"];
    const start = `mkdir /run/none; for p in ${tools.join(" ")}; do ln -s "$(command -v $p)" /run/none/$p; done`;
    const all = "for a in --check '' --force --undo; do sh none.sh $a; echo \"$a $?\"; done";
    const said = "unknown\n--check 2\n 1\n--force 1\n--undo 1\n";
    expect(inside(backend, `${start}; ${all}`).out).toBe(said);
    const fails = "printf '#!/bin/sh\\nexit 4\\n' >/run/none/iptables-save; chmod +x /run/none/iptables-save";
    expect(inside(backend, `${start}; ${fails}; ${all}`).out).toBe(said);
  });

  // iptables-nft has no lock.
  if (backend === "legacy")
    test.skipIf(!able)("the lock is held: it fails in the time it names", () => {
      put("short.sh", result.script.replaceAll(" -w 30 ", " -w 1 "));
      const run = inState(
        "nothing there",
        'flock /run/xtables.lock sleep 4 & sleep 0.3; sh short.sh; c=$?; sh short.sh --check; kill $!; sh -c "exit $c"',
      );
      expect([run.code, run.out]).toEqual([1, "not in force\n"]);
      expect(run.err).toContain("fwcheck: iptables-restore failed; it changed nothing");
    });
});

/** The restore file that is made where the fix is in force. */
function fixed(filter: string): string {
  const save = readFileSync(`${examples}ufw-docker-28.5/iptables-save.txt`, "utf8");
  const text = save.replace(/^\*filter\n[\s\S]*?^COMMIT\n/m, () => `${filter.trimEnd()}\n`);
  const live = rulesetsOf(text, { family: 4 });
  return fix(live, host).restore;
}

test("every wait is bounded", () => {
  for (const text of [result.script, result.restore, result.unit, ...result.undo, ...result.ufw.undo])
    for (const line of text.split("\n")) expect(line).not.toMatch(/(-w|--wait)(?![ =]\d)( |$)/);
  expect(result.unit).toMatch(/^TimeoutStartSec=\d+$/m);
});

test("what rules name that has to be there", () => {
  const text = `*filter\n:A - [0:0]\n:B - [0:0]
-A A -m set ! --match-set x src -m cgroup --path y -g B
-A A -j SET --add-set z src
-A A -m bpf --object-pinned /sys/fs/bpf/q -j DROP
-A A -m rateest --rateest e --rateest-lt --rateest-bps 1000bit -j B
COMMIT\n`;
  const [ruleset] = rulesetsOf(text, { family: 4 });
  const named = ruleset!.tables
    .get("filter")!
    .chains.get("A")!
    .rules.map((rule) => needsOf(rule).map(({ kind, name }) => `${kind} ${name}`));
  expect(named).toEqual([
    ["ipset x", "cgroup y", "chain B"],
    ["ipset z"],
    ["BPF object /sys/fs/bpf/q"],
    ["rate estimator e", "chain B"],
  ]);
});
