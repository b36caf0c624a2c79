/** Hostile text in everything that people, terminals and viewers read: escaped and visible. */

import fc from "fast-check";
import {
  type Audit,
  audit,
  auditText,
  COLOUR,
  type Fix,
  fix,
  fixText,
  flow,
  flowText,
  type Host,
  type Packet,
  type Ruleset,
  readHost,
  readPacket,
  Simulator,
  safe,
  safeLines,
  sarif,
  traceText,
} from "fwcheck";
import { describe, expect, test } from "vitest";
import { rulesetsOf } from "../../builders.ts";
import { hostile, PAYLOADS, payload, raw } from "../hostile.ts";

interface Inspected {
  readonly rulesets: readonly Ruleset[];
  readonly host: Host;
  readonly found: Audit;
  readonly repair: Fix;
}

function inspect(name: string): Inspected {
  const files = hostile(name);
  const source = (text: string) => [{ name, text }];
  const rulesets = rulesetsOf(files.rules, { name, family: 4 });
  const host = readHost(
    {
      addr: source(files.addr),
      docker: [...source(files.docker), ...source(files.networks)],
      ipset: source(files.ipset),
      route: source(files.route),
      doubts: [{ code: "file-ignored", file: name, fault: "empty" }],
    },
    rulesets,
  );
  return { rulesets, host, found: audit(rulesets, host), repair: fix(rulesets, host) };
}

const packets = (host: Host): Packet[] =>
  host.interfaces
    .filter((i) => i.name !== "lo")
    .flatMap((i) => {
      const packet = readPacket({
        in: i.name,
        src: "198.51.100.9",
        dst: "203.0.113.1",
        dport: 8080,
        flags: "S",
      });
      return typeof packet === "string" ? [] : [packet];
    });

const uncoloured = (text: string): string => text.replaceAll(/\u001b\[(?:0|1|2|3[1-6])m/g, "");

/** Texts about a host, by name. */
const TEXTS: Readonly<Record<string, (inspected: Inspected) => readonly string[]>> = {
  audit: ({ found }) => [auditText(found), uncoloured(auditText(found, COLOUR))],
  fix: ({ repair }) => [fixText(repair), uncoloured(fixText(repair, COLOUR))],
  simulate: ({ rulesets, host }) =>
    packets(host).flatMap((packet) =>
      (["short", "usual", "all"] as const).map((detail) =>
        traceText(new Simulator(rulesets, host).trace(packet), { rulesets, host, detail, width: 80 }),
      ),
    ),
  flow: ({ rulesets, host }) =>
    packets(host).map((packet) =>
      flowText(flow(new Simulator(rulesets, host), host, packet), {
        rulesets,
        host,
        detail: "usual",
        width: 80,
      }),
    ),
};

describe("hostile text in every name", () => {
  test("is in the texts", () => {
    const inspected = inspect("\u001b[7mz");
    expect(inspected.found.findings.length).toBeGreaterThan(5);
    for (const [name, texts] of Object.entries(TEXTS))
      expect([name, texts(inspected).join("").includes("\\u001b[7mz")]).toEqual([name, true]);
    expect(JSON.stringify(sarif(inspected.found, new Map(), "1"))).toContain("\\\\u001b[7mz");
  });

  test.each(Object.entries(TEXTS))("controls no terminal: %s", { timeout: 240_000 }, (_name, texts) => {
    fc.assert(
      fc.property(payload, (name) => {
        expect(texts(inspect(name)).flatMap(raw)).toEqual([]);
      }),
      { numRuns: 12, examples: [[PAYLOADS.join("x")]] },
    );
  });

  test("is plain text in SARIF: no links, no placeholders, relative URIs only", {
    timeout: 240_000,
  }, () => {
    fc.assert(
      fc.property(payload, (name) => {
        const { found } = inspect(name);
        const log = sarif(found, new Map([[4, name]]), "1.0.0");
        const texts: string[] = [];
        JSON.stringify(log, (key, value) => {
          if (key === "text" || key === "fwcheck/v1") texts.push(value);
          if (key === "uri") expect(value).toMatch(/^(?!\/\/|[^/]*:)(?:[\w.~!$&'()*+,;=@/-]|%[\dA-F]{2})+$/);
          return value;
        });
        expect(texts.length).toBeGreaterThan(8);
        expect(texts.flatMap((text) => raw(text).concat(text.includes("\n") ? ["a line feed"] : []))).toEqual(
          [],
        );
        expect(texts.filter((text) => /\]\(|\{\d/.test(text))).toEqual([]);
      }),
      {
        numRuns: 12,
        examples: [[""], [PAYLOADS.join("x")], ["//evil.test/x"], ["http://evil.test"], ["[x](1) {0}"]],
      },
    );
  });
});

describe("safe", () => {
  test("escapes control characters and keeps printable text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(raw(safe(text))).toEqual([]);
        expect(safe(text)).not.toContain("\n");
        expect(safe(safe(text))).toBe(safe(text));
      }),
    );
    const people = "plain, [UFW BLOCK] é 防火牆 brandmüür файл → 10€ <b>&amp;</b>";
    expect(safe(people)).toBe(people);
    expect(safe("\u001b[2J\u009b\u{e0041}\n")).toBe("\\u001b[2J\\u009b\\udb40\\udc41\\u000a");
  });
  test("keeps the value of JSON", () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: "binary" }), (value) => {
        const plain = JSON.stringify(value, null, 2);
        const text = safeLines(plain);
        expect(JSON.parse(text)).toEqual(JSON.parse(plain));
        expect(raw(text)).toEqual([]);
      }),
      { examples: [["\u009b31m\u2028\u{e0041}\u202e"]] },
    );
  });
});
