/** Text of strangers in all that people, terminals and viewers read: visible, and never obeyed. */

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
  readRuleset,
  Simulator,
  safe,
  safeLines,
  sarif,
  traceText,
} from "fwcheck";
import { describe, expect, test } from "vitest";
import { hostile, PAYLOADS, payload, raw } from "./hostile.ts";

interface Seen {
  readonly rulesets: readonly Ruleset[];
  readonly host: Host;
  readonly found: Audit;
  readonly repair: Fix;
}

function look(name: string): Seen {
  const files = hostile(name);
  const source = (text: string) => [{ name, text }];
  const { rulesets } = readRuleset([{ name, text: files.rules, family: 4 }]);
  const host = readHost(
    {
      addr: source(files.addr),
      docker: [...source(files.docker), ...source(files.networks)],
      ipset: source(files.ipset),
      route: source(files.route),
      doubts: [`a doubt about ${name}`],
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

/** The texts that are made of a host, by name. */
const TEXTS: Readonly<Record<string, (seen: Seen) => readonly string[]>> = {
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

describe("a hostile name in every place that takes one", () => {
  test("gets into the texts at all", () => {
    const seen = look("\u001b[7mz");
    expect(seen.found.findings.length).toBeGreaterThan(5);
    for (const [name, texts] of Object.entries(TEXTS))
      expect([name, texts(seen).join("").includes("\\u001b[7mz")]).toEqual([name, true]);
    expect(JSON.stringify(sarif(seen.found, new Map(), "1"))).toContain("\\\\u001b[7mz");
  });

  test.each(Object.entries(TEXTS))("speaks to no terminal: %s", { timeout: 240_000 }, (_name, texts) => {
    fc.assert(
      fc.property(payload, (name) => {
        expect(texts(look(name)).flatMap(raw)).toEqual([]);
      }),
      { numRuns: 12, examples: [[PAYLOADS.join("x")]] },
    );
  });

  test("is plain text in SARIF: no link, no placeholder, no URI but a relative one", {
    timeout: 240_000,
  }, () => {
    fc.assert(
      fc.property(payload, (name) => {
        const { found } = look(name);
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
  test("leaves nothing that a terminal obeys, and all that people write", () => {
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
  test("of JSON is JSON that says the same", () => {
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
