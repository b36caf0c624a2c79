/** The V8 flag of the command line: set only for versions that know it, since others print an error at every call. */
import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { optimizationFlag } from "../../cli/v8-flags.ts";

describe("V8's flag", () => {
  test.each([
    ["11.3.244.8-node.33", "--interrupt-budget=500000"],
    ["11.8.172.17-node.19", null],
    ["12.4.254.21-node.26", null],
    ["13.6.233.10-node.18", null],
    ["113.0.0", null],
  ])("of V8 %s is %s", (version, flag) => {
    expect(optimizationFlag(version)).toBe(flag);
  });

  test("the running V8 knows the flag", () => {
    const printed = (flag: string): string => {
      const code = `require("node:v8").setFlagsFromString(${JSON.stringify(flag)})`;
      const { stdout, stderr } = spawnSync(process.execPath, ["-e", code], { encoding: "utf8" });
      return stdout + stderr;
    };
    expect(printed(optimizationFlag(process.versions.v8) ?? "")).toBe("");
    expect(printed("--no-such-flag=1")).toContain("unrecognized flag");
  });
});
