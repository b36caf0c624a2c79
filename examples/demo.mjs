#!/usr/bin/env node
/**
 * Runs the CLI on the capture of a real host: the audit, one packet that reaches a blocked port, the rules that close the
 * port, and the audit of the ruleset with those rules. Prints each command before its output.
 * Usage: demo.mjs [CLI], by default the built one.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const cli = process.argv[2] ?? join(root, "dist", "cli", "main.js");
const HOST = "examples/ufw-docker-20.10";
const scratch = mkdtempSync(join(tmpdir(), "fwcheck-demo-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

/** Runs the CLI from the repository's root; prints the command, its output and its exit code. */
function fwcheck(args, { expected, save } = {}) {
  const shown = args.map((arg) => (arg.startsWith(scratch) ? relative(scratch, arg) : arg)).join(" ");
  console.log(`$ fwcheck ${shown}${save === undefined ? "" : ` > ${save}`}`);
  const run = spawnSync(process.execPath, [cli, ...args], {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
  });
  if (run.error !== undefined) throw run.error;
  if (save !== undefined) writeFileSync(join(scratch, save), run.stdout);
  process.stdout.write(((save === undefined ? run.stdout : "") + run.stderr).replaceAll(`${scratch}/`, ""));
  console.log(`[exit ${run.status}]\n`);
  if (run.status !== expected) {
    console.error(`expected exit ${expected}`);
    process.exit(1);
  }
}

const say = (text) => console.log(`--- ${text}\n`);

say("A host with ufw (deny incoming, deny 8080) and Docker 20.10. What is open although ufw denies it?");
fwcheck(["audit", HOST], { expected: 1 });

say(
  "One packet for port 8080, through all tables: after DNAT it passes FORWARD, not INPUT, where ufw would drop it.",
);
const packet = ["--in", "eth0", "--src", "203.0.113.2", "--dst", "203.0.113.1", "--dport", "8080"];
fwcheck(["simulate", HOST, ...packet], { expected: 0 });

say(
  "Rules for DOCKER-USER that apply ufw's rules to containers. They are printed only if their proof holds.",
);
fwcheck(["fix", HOST, "--format", "restore"], { expected: 0 });

say("The audit of the ruleset with the fix: no findings.");
fwcheck(["fix", HOST, "--format", "save"], { expected: 0, save: "fixed.save" });
const host = [
  "addr.json",
  "route4.json",
  "route6.json",
  "docker-inspect.json",
  "docker-network-inspect.json",
  "sysctl.txt",
];
const flags = {
  addr: "--addr",
  route4: "--route",
  route6: "--route",
  docker: "--docker",
  sysctl: "--sysctl",
};
const known = host.flatMap((file) => [flags[file.split(/[.-]/)[0]], `${HOST}/${file}`]);
// The capture lists the tables of nftables, and a ruleset alone does not: nothing else filters on this host.
fwcheck(["audit", join(scratch, "fixed.save"), ...known, "--assume", "complete"], { expected: 0 });

say("And the packet again: dropped by the new rule.");
fwcheck(["simulate", join(scratch, "fixed.save"), ...packet, ...known, "--expect", "drop"], { expected: 0 });
