/** Compares fwcheck with recorded connections: each line of truth.ndjson against simulate, audit and fix. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { shared } from "../capture.ts";
import { Program } from "../cli/program.ts";
import { HEAD, judge, type Line, row } from "./judge.ts";

// HOSTS_FOLDER: hosts that `HOSTS_KEEP=FOLDER npm run test:hosts` kept.
const folder = process.env.HOSTS_FOLDER ?? join(shared, "hosts");
const hosts = existsSync(folder)
  ? readdirSync(folder).filter((name) => existsSync(join(folder, name, "truth.ndjson")))
  : [];

describe.skipIf(hosts.length === 0)("hosts where clients really connected", () => {
  const program = new Program();
  const rows: string[] = [];
  beforeAll(() => program.build(), 60_000);
  afterAll(() => {
    program.remove();
    process.stdout.write(`${HEAD}\n${rows.join("\n")}\n`);
  });

  test.each(hosts)("%s", (name) => {
    const truth = readFileSync(join(folder, name, "truth.ndjson"), "utf8")
      .trim()
      .split("\n");
    const lines = truth.map((text) => JSON.parse(text) as Line);
    const result = judge(join(folder, name, "host.snap"), lines, (args, input) =>
      program.spawn(args, input === undefined ? {} : { input }),
    );
    rows.push(row(name, result));
    expect(result.wrong).toEqual([]);
  });
});
