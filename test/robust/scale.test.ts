/**
 * Every command gives an answer, or a reason for none, within limits of CPU time and memory, for all rules.
 * `SCALE=full` takes all hosts in full size (tens of minutes), `SCALE=TEXT` those whose name contains the text.
 */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Program } from "../cli/program.ts";
import { FULL, SMALL, writeHost } from "./hosts.ts";

const SECONDS = 20;
const MEGABYTES = 2048;

const scale = process.env.SCALE;
const HOSTS =
  scale === undefined
    ? SMALL
    : Object.fromEntries(Object.entries(FULL).filter(([name]) => scale === "full" || name.includes(scale)));

const PACKET = ["--in", "eth0", "--src", "203.0.113.2", "--dst", "203.0.113.1", "--dport", "8080"];
const COMMANDS: Readonly<Record<string, (host: string) => string[]>> = {
  audit: (host) => ["audit", host, "--json"],
  fix: (host) => ["fix", host],
  simulate: (host) => ["simulate", host, ...PACKET, "--short"],
  explain: (host) => ["explain", host],
  graph: (host) => ["graph", host],
  report: (host) => ["report", host, "-o", `${host}.html`],
  parse: (host) => ["parse", join(host, "iptables-save.txt")],
};

const program = new Program();
let usage = "";
beforeAll(() => {
  program.build();
  usage = program.file(
    "usage.mjs",
    `import { writeFileSync } from "node:fs";
     process.on("exit", () => writeFileSync(process.env.USAGE, JSON.stringify(process.resourceUsage())));`,
  );
}, 60_000);
afterAll(() => program.remove());

describe.each(Object.entries(HOSTS))("%s", (name, extra) => {
  const host = join(program.folder, name.replaceAll(/\W+/g, "-"));
  beforeAll(() => {
    mkdirSync(host);
    writeHost(host, extra());
  });
  afterAll(() => rmSync(host, { recursive: true }));

  test.each(Object.entries(COMMANDS))("%s", { timeout: 600_000 }, (command, args) => {
    const file = join(program.folder, "usage.json");
    const env = { NODE_OPTIONS: `--import ${usage}`, USAGE: file };
    const { code, out, err } = program.spawn(args(host), { env });
    expect(err).not.toMatch(/internal error|too large for this machine|heap out of memory|^\s+at /m);
    expect([0, 1, 2]).toContain(code);
    const { userCPUTime, systemCPUTime, maxRSS } = JSON.parse(readFileSync(file, "utf8"));
    const [seconds, megabytes] = [(userCPUTime + systemCPUTime) / 1e6, maxRSS / 1024];
    if (scale !== undefined)
      console.log(
        `${name} | ${command} | exit ${code} | ${seconds.toFixed(1)} s | ${megabytes.toFixed(0)} MB`,
      );
    expect(seconds).toBeLessThan(SECONDS);
    expect(megabytes).toBeLessThan(MEGABYTES);
    if (command === "audit" && code === 0) {
      const { findings, inconclusive } = JSON.parse(out);
      expect([findings, inconclusive]).toEqual([[], []]);
    }
  });
});
