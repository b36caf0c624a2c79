/** Escaping of hostile names on stdout and stderr, into a pipe and on a terminal. */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { safeLines } from "../../lib/index.ts";
import { hostile, raw } from "../report/hostile.ts";
import { Program, type Run } from "./program.ts";

const program = new Program();
beforeAll(() => program.build(), 60_000);
afterAll(() => program.remove());

/** Hostile text that is short enough for a file name. */
const NAME = [
  "\u001b[2J",
  "\u001b]8;;http:x\u0007x\u001b]8;;\u0007",
  "\u001b]0;t\u0007",
  "\b\u007f",
  "\u009b31m",
  "\u0085",
  "\rINJECTED",
  "\nINJECTED",
  "\u2028INJECTED",
  "\u202e",
  "\u2066",
  "\u200b",
  "\u00ad",
  "\u{e0041}",
  "\u3164",
  "<b>",
  "[x](1)",
  "{0}",
  "$(id)",
  "`id`",
  "'\"",
].join("");

const host = (name: string): string => {
  const folder = join(program.folder, name);
  mkdirSync(folder, { recursive: true });
  const files = hostile(name);
  const write = (what: string, text: string) => writeFileSync(join(folder, what), text);
  write(`${name}.save`, files.rules);
  write(`addr${name}.json`, files.addr);
  write("docker.json", files.docker);
  write("networks.json", files.networks);
  write("sets", files.ipset);
  write("routes.json", files.route);
  return folder;
};
const PACKET = ["--in", "eth0", "--src", "198.51.100.9", "--dst", "203.0.113.1", "--dport", "8080"];

const policy = (n: string): string =>
  program.file(
    `${n}.policy`,
    `denied: [{name: ${JSON.stringify(n)}, from: outside, to: {container: ${JSON.stringify(n)}}}, {from: outside, to: any}]\n`,
  );

/** Calls with the hostile name; `verbatim` calls print text for programs, which a pipe gets unchanged. */
const CALLS: readonly [what: string, args: (name: string) => string[], verbatim?: boolean][] = [
  ["audit", (n) => ["audit", host(n)]],
  ["audit --json", (n) => ["audit", host(n), "--json"]],
  ["audit --sarif", (n) => ["audit", host(n), "--sarif"]],
  [
    "audit of several hosts",
    (n) => ["audit", host(n), host("tame"), program.file(`${n}.snap`, `fwcheck-snapshot 1 ${n}\n`)],
  ],
  [
    "audit of several hosts, --json",
    (n) => ["audit", host(n), program.file(`${n}.snap`, `fwcheck-snapshot 9 x\n`), "--json"],
  ],
  [
    "audit --expect",
    (n) => [
      "audit",
      host(n),
      "--expect",
      program.file(`${n}.yaml`, `open:\n  - {port: ${JSON.stringify(n)}}\n`),
    ],
  ],
  [
    "audit --expect of what is no YAML",
    (n) => ["audit", host(n), "--expect", program.file(`${n}.yaml`, `open: [${n}: {\n`)],
  ],
  ["assert", (n) => ["assert", host(n), "--policy", policy(n)]],
  ["assert --json", (n) => ["assert", host(n), "--policy", policy(n), "--json"]],
  ["assert --junit", (n) => ["assert", host(n), "--policy", policy(n), "--junit"]],
  ["assert --sarif", (n) => ["assert", host(n), "--policy", policy(n), "--sarif"]],
  [
    "assert of what is no policy",
    (n) => [
      "assert",
      host(n),
      "--policy",
      program.file(`${n}.yaml`, `denied: [{${JSON.stringify(n)}: 1}]\n`),
    ],
  ],
  ["diff", (n) => ["diff", host(n), host("tame")]],
  ["diff --json", (n) => ["diff", host(n), host("tame"), "--json"]],
  ["diff --sarif", (n) => ["diff", host("tame"), host(n), "--sarif"]],
  ["diff --markdown", (n) => ["diff", host("tame"), host(n), "--markdown"]],
  ["query", (n) => ["query", host(n), "new"]],
  ["query --json", (n) => ["query", host(n), "new", "--json"]],
  ["lint", (n) => ["lint", host(n)]],
  ["lint --all --json", (n) => ["lint", host(n), "--all", "--correlated", "--json"]],
  ["lint --sarif", (n) => ["lint", host(n), "--all", "--sarif"]],
  ["lint --fail-on", (n) => ["lint", host(n), "--fail-on", n]],
  ["matrix", (n) => ["matrix", host(n)]],
  ["matrix --json", (n) => ["matrix", host(n), "--json"]],
  ["matrix --format markdown", (n) => ["matrix", host(n), "--format", "markdown"]],
  ["matrix --format svg", (n) => ["matrix", host(n), "--format", "svg"]],
  ["matrix --format csv", (n) => ["matrix", host(n), "--by", "container", "--format", "csv"]],
  ["audit of nothing", (n) => ["audit", join(program.folder, `no${n}`)]],
  ["audit of what is no JSON", (n) => ["audit", host(n), "--addr", program.file(`${n}.addr`, `[${n}`)]],
  [
    "audit of a cut snapshot",
    (n) => ["audit", program.file(`${n}.snap`, `fwcheck-snapshot 1 b\nb begin rules ${n}\n`)],
  ],
  ["an unknown flag", (n) => ["audit", host(n), `--${n}`]],
  ["an unknown command", (n) => [n]],
  ["an unknown choice", (n) => ["fix", host(n), "--format", n]],
  ["simulate", (n) => ["simulate", host(n), ...PACKET]],
  ["simulate -v", (n) => ["simulate", host(n), ...PACKET, "-v"]],
  ["simulate --short", (n) => ["simulate", host(n), ...PACKET, "--short"]],
  ["simulate --flow", (n) => ["simulate", host(n), ...PACKET, "--flow"]],
  ["simulate --flow --json", (n) => ["simulate", host(n), ...PACKET, "--flow", "--json"]],
  ["simulate by an unknown interface", (n) => ["simulate", host(n), ...PACKET.slice(2), "--in", `q${n}`]],
  ["simulate of no protocol", (n) => ["simulate", host(n), ...PACKET, "--proto", n]],
  ["simulate of no address", (n) => ["simulate", host(n), ...PACKET.slice(4), "--in", "eth0", "--src", n]],
  ["simulate --assume", (n) => ["simulate", host(n), ...PACKET, "--assume", `${n}=match`]],
  ["simulate --assume nothing", (n) => ["simulate", host(n), ...PACKET, "--assume", n]],
  [
    "simulate --packets",
    (n) => [
      "simulate",
      host(n),
      "--packets",
      program.file(`${n}.ndjson`, `${JSON.stringify({ in: n, src: "192.0.2.1", dst: "203.0.113.1" })}\n`),
    ],
  ],
  [
    "simulate --packets of none",
    (n) => [
      "simulate",
      host(n),
      "--packets",
      program.file(`${n}.ndjson`, `{"src":"192.0.2.1","dst":${JSON.stringify(n)}}\n`),
    ],
  ],
  [
    "simulate --packets of what is no JSON",
    (n) => ["simulate", host(n), "--packets", program.file(`${n}.ndjson`, n)],
  ],
  [
    "simulate --packets of an unknown field",
    (n) => [
      "simulate",
      host(n),
      "--packets",
      program.file(`${n}.ndjson`, `{"src":"192.0.2.1","dst":"192.0.2.2",${JSON.stringify(n)}:1}\n`),
    ],
  ],
  ["fix", (n) => ["fix", host(n)], true],
  ["fix --json", (n) => ["fix", host(n), "--json"]],
  ["fix --format script", (n) => ["fix", host(n), "--format", "script"], true],
  ["fix --format ufw", (n) => ["fix", host(n), "--format", "ufw"], true],
  ["fix --format systemd", (n) => ["fix", host(n), "--format", "systemd"], true],
  ["fix --format save", (n) => ["fix", host(n), "--format", "save"], true],
  ["parse", (n) => ["parse", join(host(n), `${n}.save`)], true],
  ["parse --json", (n) => ["parse", join(host(n), `${n}.save`), "--json"]],
];

test.each(CALLS)("%s", async (what, args, verbatim) => {
  const words = args(NAME);
  const { code, out, err } = what.includes("several hosts") ? program.spawn(words) : await program.run(words);
  expect(code === 0 || code === 1 || code === 2).toBe(true);
  expect(out + err).not.toBe("");
  expect(err).not.toMatch(/^\s+at |should not have happened/m);
  expect(raw(err)).toEqual([]);
  if (verbatim !== true) expect(raw(out)).toEqual([]);
  else if (raw(out).length > 0) expect(err).toMatch(/^warning: the output contains control characters/m);
});

/** Runs the program on a terminal and returns its output. */
const onTerminal = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Run => {
  const script = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
  const run = spawnSync(
    "python3",
    ["-c", script, process.execPath, join(program.folder, "cli/main.js"), ...args],
    { encoding: "utf8", input: "", env: { ...process.env, NO_COLOR: "1", ...env } },
  );
  return { code: run.status, out: run.stdout.replaceAll("\r\n", "\n"), err: run.stderr };
};
const python = spawnSync("python3", ["-c", "import pty"]).status === 0;

describe.skipIf(!python)(`on a terminal${python ? "" : " (skipped: it needs python3)"}`, () => {
  test.each(CALLS.filter(([, , verbatim]) => verbatim === true))("%s", async (_what, args) => {
    const { out } = onTerminal(args(NAME));
    expect(out.length).toBeGreaterThan(100);
    expect(raw(out)).toEqual([]);
  });
  test("parse prints the same as into a pipe, with escapes", async () => {
    const file = program.file("tame.save", hostile("tame").rules);
    expect(onTerminal(["parse", file]).out).toContain((await program.run(["parse", file])).out);
    const evil = program.file("evil.save", hostile(NAME).rules);
    const piped = (await program.run(["parse", evil])).out;
    expect(piped).toContain("\u001b[2J");
    expect(onTerminal(["parse", evil]).out).toContain(safeLines(piped));
  });
  test("collect --live escapes the output of programs", async () => {
    const bin = join(program.folder, "bin");
    mkdirSync(bin);
    writeFileSync(join(bin, "ipset"), "#!/bin/sh\nprintf 'create \\033[2Jx hash:ip\\n'\n", { mode: 0o755 });
    const { out } = onTerminal(["collect", "--live"], { PATH: `${bin}:${process.env.PATH}` });
    expect(out).toContain("create \\u001b[2Jx hash:ip");
    expect(raw(out)).toEqual([]);
  });
});
