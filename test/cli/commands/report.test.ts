/** `fwcheck report`: the written file, errors and exit codes. */
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import manifest from "../../../package.json" with { type: "json" };
import { examples } from "../../capture.ts";
import { Program } from "../program.ts";

const program = new Program();
beforeAll(() => program.build(), 60_000);
afterAll(() => program.remove());

const HOST = `${examples}ufw-docker-20.10`;

test("the examples of --help run, with the documented exit codes", async () => {
  const help = (await program.run(["report", "--help"])).out;
  const shown = [...help.matchAll(/^ +fwcheck (report host\/ .*)$/gm)].map((m) => m[1]!.split(" "));
  expect(shown.length).toBe(2);
  symlinkSync(HOST, join(program.folder, "host"));
  const runs = await Promise.all(shown.map((args) => program.run(args, { cwd: program.folder })));
  expect(runs.map(({ code, out, err }) => [code, out, err])).toEqual([
    [1, "", ""],
    [0, "", ""],
  ]);
  const [one, two] = ["report.html", "web-1.html"].map((file) =>
    readFileSync(join(program.folder, file), "utf8"),
  );
  expect(one).toMatch(/^<!doctype html>\n<html lang="en">/);
  expect(one).toContain("<h1>host</h1>");
  expect(two).toContain("<h1>web-1</h1>");
  expect(one).toContain(`fwcheck ${manifest.version}, 20`);
});

test("an existing file is replaced; standard output works too", async () => {
  const file = program.file("old.html", "old");
  expect((await program.run(["report", HOST, "-o", file])).code).toBe(1);
  const text = readFileSync(file, "utf8");
  const run = await program.run(["report", HOST]);
  const undated = (html: string): string => html.replace(/20\d\d-\d\d-\d\d \d\d:\d\d UTC/, "");
  expect(undated(run.out)).toBe(undated(text));
  expect(run.err).toBe("");
});

test("a path that cannot be written has a message of one line", async () => {
  mkdirSync(join(program.folder, "folder"));
  for (const [path, why] of [
    ["none/report.html", "no such folder"],
    ["folder", "is a folder"],
  ] as const) {
    const run = await program.run(["report", HOST, "-o", join(program.folder, path)]);
    expect([run.code, run.out, run.err]).toEqual([2, "", `fwcheck: ${join(program.folder, path)}: ${why}\n`]);
  }
});

describe("a file is written completely or not at all", () => {
  const report = (path: string, options = {}) => program.run(["report", HOST, "-o", path], options);

  test("keeps permissions and links, and leaves no temporary file", async () => {
    const folder = join(program.folder, "whole");
    mkdirSync(folder);
    const [old, link, dangling] = ["old.html", "link.html", "dangling.html"].map((name) =>
      join(folder, name),
    );
    writeFileSync(old!, "old");
    chmodSync(old!, 0o640);
    symlinkSync("old.html", link!);
    symlinkSync("new.html", dangling!);
    expect((await report(link!)).code).toBe(1);
    expect(lstatSync(link!).isSymbolicLink()).toBe(true);
    expect(readFileSync(old!, "utf8")).toMatch(/^<!doctype html>/);
    expect(statSync(old!).mode & 0o7777).toBe(0o640);
    expect((await report(dangling!)).code).toBe(1);
    expect(readFileSync(join(folder, "new.html"), "utf8")).toMatch(/^<!doctype html>/);
    expect(readdirSync(folder).sort()).toEqual(["dangling.html", "link.html", "new.html", "old.html"]);
  });

  test("a device is written directly; a full one has a message", async () => {
    expect(await report("/dev/null")).toMatchObject({ code: 1, err: "" });
    expect(await report("/dev/full")).toMatchObject({
      code: 2,
      err: "fwcheck: /dev/full: no space left on its file system; an existing file is unchanged\n",
    });
  });
});

test("only the report contains the page", async () => {
  const files = [
    "cli/main.js",
    ...readdirSync(join(program.folder, "cli/commands")).map((name) => `cli/commands/${name}`),
  ];
  const carriers = files.filter((file) =>
    readFileSync(join(program.folder, file), "utf8").includes("requestAnimationFrame"),
  );
  // A chunk of its own, which nothing but the report imports when it runs.
  expect(carriers).toEqual([expect.stringMatching(/^cli\/commands\/chunk-\w+\.js$/)]);
  const [carrier] = carriers;
  const importers = files.filter((file) =>
    new RegExp(`from"[^"]*${basename(carrier!)}"`).test(readFileSync(join(program.folder, file), "utf8")),
  );
  expect(importers).toEqual([]);
  expect(files.length).toBeGreaterThan(5);
});

test("several hosts are refused", async () => {
  const run = await program.run(["report", HOST, `${examples}ufw-docker-28.5`]);
  expect([run.code, run.out]).toEqual([2, ""]);
  expect(run.err).toMatch(/^fwcheck: report works on one host, but several are named: .*\n$/);
});

test("an inconclusive audit without findings exits 2, as with audit", async () => {
  const rules = program.file(
    "open.save",
    "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n",
  );
  const addr = program.file(
    "addr.json",
    JSON.stringify([
      { ifname: "docker0", addr_info: [{ family: "inet", local: "172.17.0.1", prefixlen: 16 }] },
    ]),
  );
  const args = [rules, "--addr", addr];
  const audit = await program.run(["audit", ...args]);
  const report = await program.run(["report", ...args, "-o", join(program.folder, "open.html")]);
  expect([audit.code, report.code]).toEqual([2, 2]);
  expect(readFileSync(join(program.folder, "open.html"), "utf8")).toContain("This is no “all clear”");
});
