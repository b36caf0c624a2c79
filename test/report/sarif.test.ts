/**
 * The SARIF log against the schema of SARIF 2.1.0, which Microsoft's package ships, and, stricter, by sections 3.13 to 3.58
 * of the standard: only members that fwcheck writes are listed here, so any other member fails the test.
 */
import schema from "@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json" with { type: "json" };
import Ajv from "ajv";
import draft from "ajv/lib/refs/json-schema-draft-04.json" with { type: "json" };
import { lintRules, lintRulesSarif, sarif } from "fwcheck";
import { describe, expect, test } from "vitest";
import { auditOf } from "../audit/json.ts";
import { LAYOUTS, read } from "../audit/layout.ts";
import { capture, examples } from "../capture.ts";

type Check = (value: unknown, path: string) => string[];

const that =
  (what: string, holds: (value: unknown) => boolean): Check =>
  (value, path) =>
    holds(value) ? [] : [`${path}: ${JSON.stringify(value)} is no ${what}`];
const text = that("text", (v) => typeof v === "string" && v.trim() !== "");
const one = (...values: unknown[]): Check => that(values.join(" or "), (v) => values.includes(v));
const positive = that("number from 1", (v) => Number.isInteger(v) && (v as number) >= 1);
/** RFC 3986, a relative reference without a scheme. */
const reference = that("URI reference", (v) =>
  /^(?!\w+:)([\w.~!$&'()*+,;=@/-]|%[\dA-F]{2})+$/.test(String(v)),
);
const list =
  (each: Check): Check =>
  (value, path) =>
    Array.isArray(value) ? value.flatMap((v, i) => each(v, `${path}[${i}]`)) : [`${path} is no array`];
const object =
  (must: Record<string, Check>, may: Record<string, Check> = {}): Check =>
  (value, path) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return [`${path} is no object`];
    const all = new Map(Object.entries({ ...must, ...may }));
    const missing = Object.keys(must).filter((key) => !Object.hasOwn(value, key));
    return [
      ...missing.map((key) => `${path}.${key} is missing`),
      ...Object.entries(value).flatMap(
        ([key, v]) => all.get(key)?.(v, `${path}.${key}`) ?? [`${path}.${key} is unknown`],
      ),
    ];
  };
const dictionary =
  (each: Check): Check =>
  (value, path) =>
    Object.entries(value as object).flatMap(([key, v]) => each(v, `${path}.${key}`));

const message = object({ text });
const level = one("none", "note", "warning", "error");
const location = object({
  physicalLocation: object({
    artifactLocation: object({ uri: reference }),
    region: object({ startLine: positive }),
  }),
});
const result = object(
  { ruleId: text, level, message, locations: list(location) },
  { partialFingerprints: dictionary(text) },
);
const notification = object({ level, message });
const run = object({
  tool: object({
    driver: object({
      name: text,
      version: text,
      rules: list(object({ id: text, shortDescription: message })),
    }),
  }),
  results: list(result),
  columnKind: one("utf16CodeUnits", "unicodeCodePoints"),
  invocations: list(
    object({ executionSuccessful: one(true, false) }, { toolExecutionNotifications: list(notification) }),
  ),
});
const log = object({ version: one("2.1.0"), runs: list(run) }, { $schema: text });

const ajv = new Ajv({ schemaId: "auto", allErrors: true });
ajv.addMetaSchema(draft);
const validate = ajv.compile(schema);
/** Returns the faults of a log by the schema. */
const faults = (made: unknown): string[] =>
  validate(made) === true ? [] : (validate.errors ?? []).map((e) => `${e.dataPath} ${e.message}`);

interface Run {
  readonly results: readonly {
    readonly ruleId: string;
    readonly partialFingerprints?: Record<string, string>;
  }[];
  readonly tool: { readonly driver: { readonly rules: readonly { readonly id: string }[] } };
}

const hosts = {
  ...Object.fromEntries(Object.entries(LAYOUTS).map(([name, layout]) => [name, () => read(layout)])),
  "Docker 20.10": () => capture(`${examples}ufw-docker-20.10`),
};

describe("a log of SARIF 2.1.0", () => {
  test("of anomalies of rules", () => {
    const { rulesets, host } = capture(`${examples}ufw-docker-20.10`);
    const lint = lintRules(rulesets, host, { all: true });
    const made = JSON.parse(
      JSON.stringify(lintRulesSarif(lint, new Map([[4, "a b/v4"]]), ["a [doubt](x)"], "1.0.0")),
    );
    expect(faults(made)).toEqual([]);
    expect(log(made, "log")).toEqual([]);
    expect(made.runs[0].results.length).toBe(lint.anomalies.length);
    expect(lint.anomalies.length).toBeGreaterThan(10);
  });
  test.each(Object.entries(hosts))("%s", (_name, host) => {
    const { rulesets, host: of } = host();
    const result = auditOf(rulesets, of);
    const made = JSON.parse(
      JSON.stringify(sarif(result, new Map([[4, "a folder/it's 100%/v4?x#y.save"]]), "1.0.0")),
    );
    expect(faults(made)).toEqual([]);
    expect(log(made, "log")).toEqual([]);
    const [{ results, tool }] = made.runs as [Run];
    const ids = tool.driver.rules.map((rule) => rule.id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(results.map((r) => r.ruleId).filter((id) => !ids.includes(id))).toEqual([]);
    expect(results.length).toBe(result.findings.length + result.lint.length);
    // Code scanning identifies a finding by its fingerprint, which must be unique.
    const prints = results.flatMap((r) => r.partialFingerprints?.["fwcheck/v1"] ?? []);
    expect(new Set(prints).size).toBe(prints.length);
  });
  test("the checks find a planted fault", () => {
    const wrong = { version: "2.0.0", runs: [], more: 1 };
    expect(log(wrong, "log").length).toBe(2);
    expect(faults(wrong).length).toBe(2);
  });
});
