/** The picture of a packet path: it agrees with the trace about hooks, rules and verdict. */
import { PATH_STYLE, type PacketJson, pathSvg, readHost, Simulator, type Trace } from "fwcheck";
import { describe, expect, test } from "vitest";
import { packetOf, rulesetsOf } from "../../builders.ts";
import { capture, examples } from "../../capture.ts";
import { Aim } from "../../kernel/aim.ts";
import { generate } from "../../kernel/generate.ts";
import { random } from "../../random.ts";
import { type Element, elements } from "../elements.ts";

const here = capture(`${examples}ufw-docker-20.10`);

function traceOf(packet: PacketJson): Trace {
  const read = packetOf(packet);
  return new Simulator(here.rulesets, here.host).trace(read);
}

/** The hooks on the path and the skipped ones, each with the text of its box. */
function hooksIn(svg: string): { met: Record<string, string>; unmet: Record<string, string> } {
  const out = { met: {} as Record<string, string>, unmet: {} as Record<string, string> };
  for (const { attributes, text } of elements(svg)) {
    const hook = attributes["data-hook"];
    if (hook !== undefined) out[attributes.class!.includes("unmet") ? "unmet" : "met"][hook] = text;
  }
  return out;
}

const CLIENT = { in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", proto: "tcp", sport: 40000 };
const CASES: readonly [
  title: string,
  packet: PacketJson,
  met: readonly string[],
  texts: Record<string, string>,
][] = [
  [
    "skips INPUT",
    { ...CLIENT, dport: 8080 },
    ["FORWARD", "POSTROUTING", "PREROUTING"],
    {
      PREROUTING: "dst 203.0.113.1:8080",
      INPUT: "skipped, with the rules of ufw",
      FORWARD:
        "DOCKER 1: -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT (line 70)",
      POSTROUTING: "no rule matched",
    },
  ],
  ["to the host", { ...CLIENT, dport: 22 }, ["INPUT", "PREROUTING"], { INPUT: "ufw allow 22/tcp" }],
  ["dropped by the policy", { ...CLIENT, dport: 23 }, ["INPUT", "PREROUTING"], { INPUT: "policy DROP" }],
  [
    "no route",
    { ...CLIENT, dst: "192.0.2.99", in: "docker0", src: "172.17.0.2", dport: 80 },
    ["PREROUTING"],
    { PREROUTING: "no route leads there", FORWARD: "skipped" },
  ],
  [
    "from the host",
    { ...CLIENT, in: null, src: "203.0.113.1", dst: "203.0.113.2", dport: 80 },
    ["OUTPUT", "POSTROUTING"],
    { OUTPUT: "1 ACCEPT", FORWARD: "skipped" },
  ],
  [
    "from the host to itself",
    { ...CLIENT, in: null, src: "127.0.0.1", dst: "127.0.0.1", dport: 25 },
    ["INPUT", "OUTPUT", "POSTROUTING", "PREROUTING"],
    { INPUT: "ACCEPT" },
  ],
];

test.each(CASES)("%s", (_, packet, met, texts) => {
  const svg = pathSvg(traceOf(packet), here);
  const drawn = hooksIn(svg);
  expect(Object.keys(drawn.met).sort()).toEqual(met);
  for (const [hook, text] of Object.entries(texts))
    expect({ ...drawn.met, ...drawn.unmet }[hook]).toContain(text);
});

describe("the intended verdict", () => {
  test("of INPUT is in its box although the packet skips it", () => {
    const { unmet } = hooksIn(pathSvg(traceOf({ ...CLIENT, dport: 8080 }), here));
    expect(unmet.INPUT).toContain("ufw deny 8080/tcp");
  });
  test("is not drawn if the packet passes INPUT", () => {
    expect(pathSvg(traceOf({ ...CLIENT, dport: 22 }), { ...here, bare: true })).not.toContain("intended-box");
  });
});

const numbers = (text: string | undefined): number[] => (text?.match(/-?[\d.]+/g) ?? []).map(Number);

/** Texts that leave the picture, with the widest characters of a fixed-width font. */
function tooWide(all: readonly Element[], width: number): string[] {
  return all.flatMap(({ tag, attributes, text }) => {
    if (tag !== "text" || !attributes.class?.split(" ").includes("m")) return [];
    const [x] = numbers(attributes.x);
    const long = text.length * 7;
    const [left, right] = { middle: [x! - long / 2, x! + long / 2], end: [x! - long, x!] }[
      attributes["text-anchor"] ?? ""
    ] ?? [x!, x! + long];
    return left! < 0 || right! > width ? [text] : [];
  });
}

test.each([4, 6] as const)("IPv%i: generated rulesets, with existing connections", (family) => {
  let branches = 0;
  for (let seed = 1; seed <= 12; seed++) {
    const next = random(seed);
    const { save } = generate(next, family, String(seed));
    const rulesets = rulesetsOf(save);
    const host = readHost({ complete: true }, rulesets);
    const simulator = new Simulator(rulesets, host);
    const aim = new Aim(next, family, rulesets[0]!, host, simulator);
    for (let i = 0; i < 25; i++) {
      const { seq: _, ack: __, ...drawn } = aim.draw();
      const packet = packetOf(drawn);
      const trace = simulator.trace(packet);
      const svg = pathSvg(trace, { rulesets, host });
      const all = elements(svg);
      expect(tooWide(all, 960)).toEqual([]);
      expect([...new Set(all.map((e) => e.tag))].filter((tag) => !TAGS.includes(tag))).toEqual([]);
      if (trace.answer.branches !== undefined) {
        branches++;
        continue;
      }
      const { met } = hooksIn(svg);
      const way = trace.branches[0]!;
      for (const { chain, ...step } of way.path)
        if (["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"].includes(chain))
          expect(met, `seed ${seed}, packet ${i}: ${JSON.stringify(step)}`).toHaveProperty(chain);
      if (way.delivery === "local") expect(met).toHaveProperty("INPUT");
      if (way.delivery === "forward" && way.reasonCode === undefined)
        expect(met).toHaveProperty("POSTROUTING");
    }
  }
  expect(branches).toBeGreaterThan(0);
});

const TAGS = ["svg", "title", "desc", "style", "rect", "text", "path", "circle", "g"];

/** The luminance of `#rgb` or `#rrggbb` (WCAG 2.2, relative luminance). */
function luminance(colour: string): number {
  const wide = colour.length === 4 ? [...colour.slice(1)].map((c) => c + c).join("") : colour.slice(1);
  const [r, g, b] = [0, 2, 4].map((at) => {
    const part = Number.parseInt(wide.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

test("every text colour has a contrast of 4.5 to 1: light, dark and printed", () => {
  const themes = [...PATH_STYLE.matchAll(/\.way\{(--ink[^}]*)\}/g)].map(
    ([, all]) => new Map([...all!.matchAll(/--(\w+):(#\w+)/g)].map(([, name, colour]) => [name!, colour!])),
  );
  expect(themes.length).toBe(3);
  for (const theme of themes)
    for (const name of ["ink", "dim", "go", "bad", "good", "warn", "intended"])
      for (const background of ["paper", "panel"]) {
        const [a, b] = [luminance(theme.get(name)!), luminance(theme.get(background)!)].sort(
          (x, y) => y - x,
        ) as [number, number];
        expect((a + 0.05) / (b + 0.05), `${name} on ${background}`).toBeGreaterThanOrEqual(4.5);
      }
});
