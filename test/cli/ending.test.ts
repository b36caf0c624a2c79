/** Calls that cannot write their output, and internal errors: one sentence, exit code 2, no stack trace. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { examples } from "../capture.ts";
import { Program } from "./program.ts";

const program = new Program();
beforeAll(() => program.build(), 60_000);
afterAll(() => program.remove());

const HOST = `${examples}ufw-docker-20.10`;
const PACKET = ["--in", "eth0", "--src", "203.0.113.2", "--dst", "203.0.113.1"];

/** Runs a shell command with the program as `$0` and its arguments as `$@`. */
const shell = (script: string, args: readonly string[]) => {
  const run = spawnSync("bash", ["-c", script, join(program.folder, "cli/main.js"), ...args], {
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1", NODE: process.execPath },
  });
  return { code: run.status, out: run.stdout, err: run.stderr };
};
const able = existsSync("/dev/full") && spawnSync("bash", ["-c", "true"]).status === 0;

test
  .skipIf(!able)
  .each([
    [["audit", HOST]],
    [["audit", HOST, "--json"]],
    [["audit", HOST, `${examples}ufw-docker-28.5`]],
    [["fix", HOST]],
    [["simulate", HOST, ...PACKET]],
    [["explain", HOST]],
    [["graph", HOST]],
    [["report", HOST]],
    [["parse", join(HOST, "iptables-save.txt")]],
    [["collect"]],
    [["completion", "bash"]],
    [["--help"]],
    [["--version"]],
  ])("%j > /dev/full", (args) => {
  const { code, err } = shell('"$NODE" "$0" "$@" > /dev/full', args);
  expect(err).toContain(
    "fwcheck: standard output cannot be written (ENOSPC); what was printed is incomplete\n",
  );
  expect(err).not.toMatch(/^\s+at /m);
  expect(code).toBe(2);
});

test.skipIf(!able)("a reader that stops early ends the call without a message", () => {
  const { out, err } = shell('"$NODE" "$0" "$@" | head -n 1; echo "$PIPESTATUS"', ["audit", HOST]);
  expect([out.trimEnd().split("\n").at(-1), err]).toEqual(["1", ""]);
});

test.skipIf(!able)("lost notes on stderr exit with 2", () => {
  const save = program.file("v4.save", "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\nCOMMIT\n");
  expect(shell('"$NODE" "$0" "$@" 2> /dev/full', ["audit", save]).code).toBe(2);
});

/** Runs a command after replacing a function of Node. */
const broken = (how: string, args: readonly string[]) => {
  const file = program.file("broken.mjs", how);
  return program.spawn(args, { env: { NODE_OPTIONS: `--import ${file}` } });
};

test.each([
  ["an error", 'JSON.stringify = () => { throw new Error("the cat\\nwas here"); };'],
  ["a thrown string", 'JSON.stringify = () => { throw "the cat"; };'],
  [
    "an error in a callback",
    'JSON.stringify = () => { setImmediate(() => { throw new Error("the cat"); }); return ""; };',
  ],
  ["a rejected promise", 'JSON.stringify = () => { Promise.reject(new TypeError("the cat")); return ""; };'],
])("internal error: %s", (_what, how) => {
  const { code, err } = broken(how, ["audit", HOST, "--json"]);
  expect(err).toMatch(
    /^fwcheck: internal error: the cat.*; there is no answer\. Please report it with the input\n$/,
  );
  expect(code).toBe(2);
});

test("a text beyond the limits of V8 has advice in its message", () => {
  const how = 'JSON.stringify = () => "x".repeat(2 ** 29).repeat(2);';
  const { code, out, err } = broken(how, ["audit", HOST, "--json"]);
  expect([code, out]).toEqual([2, ""]);
  expect(err).toMatch(
    /^fwcheck: the input is too large for this machine \(Invalid string length\), so there is no answer\. /,
  );
});
