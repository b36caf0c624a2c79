/** Findings of the captures are exactly the ports that clients reached although ufw blocks them. */
import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { shared } from "../capture.ts";
import { tableOf, truth } from "./truth.ts";

describe.runIf(existsSync(`${shared}captures`))("the records of real clients", () => {
  const rows = truth();
  test.each(rows.map((row) => [row.name, row] as const))("%s", (_name, row) => {
    expect(row.probes).toBeGreaterThan(7);
    expect([row.missed, row.wrong]).toEqual([[], []]);
  });
  test("has findings in each record until a fix closes them", () => {
    console.log(tableOf(rows));
    expect(rows.map((row) => row.found).reduce((a, b) => a + b)).toBeGreaterThan(40);
  });
});
