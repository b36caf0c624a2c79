/** Lookups among many routes, which are merged by their result: each packet takes its longest prefix. */
import { Simulator } from "fwcheck";
import { expect, test } from "vitest";
import { hostOf, rulesetsOf, synOf } from "../builders.ts";
import { random } from "../random.ts";

const RULES = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";

/** A route as `ip -j route` lists it, and its destination as bits. */
interface Listed {
  readonly dst: string;
  readonly type?: string;
  readonly dev?: string;
  readonly metric?: number;
  readonly bits: string;
}

/** Prints bits as an address, with the prefix length if it is less than all. */
function printed(bits: string, family: 4 | 6): string {
  const [width, group] = family === 4 ? [32, 8] : [128, 16];
  const all = bits.padEnd(width, "0");
  const groups = Array.from({ length: width / group }, (_, i) =>
    Number.parseInt(all.slice(i * group, (i + 1) * group), 2).toString(family === 4 ? 10 : 16),
  );
  return groups.join(family === 4 ? "." : ":") + (bits.length < width ? `/${bits.length}` : "");
}

/** Returns a function that draws numbers below n. */
function numbers(seed: number): (n: number) => number {
  const next = random(seed);
  return (n) => Math.floor(next() * n);
}

/** Nested prefixes within one network, on three interfaces, some of them refused and some listed twice. */
function drawRoutes(family: 4 | 6, count: number, seed: number): Listed[] {
  const r = numbers(seed);
  const start = family === 4 ? "00001010" : "0010000000000001";
  const routes = new Map<string, Listed[]>();
  while (routes.size < count) {
    const bits = start + Array.from({ length: 1 + r(9) }, () => r(2)).join("");
    const dev = `eth${r(3)}`;
    const at = { dst: printed(bits, family), bits, metric: 5 };
    const refused = r(200) === 0 ? "throw" : ["blackhole", "prohibit", "unreachable"][r(60)];
    const first: Listed = refused === undefined ? { ...at, dev } : { ...at, type: refused };
    routes.set(bits, r(10) === 0 ? [first, { ...at, dev: `eth${r(3)}`, metric: 9 }] : [first]);
  }
  return [...routes.values()].flat();
}

test.each([4, 6] as const)("IPv%d: the longest prefix, then the lowest metric", (family) => {
  const rulesets = rulesetsOf(RULES, { family });
  const address = { 4: ["192.0.2.1", 24], 6: ["2a00::1", 64] } as const;
  const routes = drawRoutes(family, 700, family);
  const host = hostOf(rulesets, {
    addr: [0, 1, 2].map((i) => ({
      ifname: `eth${i}`,
      flags: ["UP"],
      addr_info:
        i > 0
          ? []
          : [
              {
                family: family === 4 ? "inet" : "inet6",
                local: address[family][0],
                prefixlen: address[family][1],
                scope: "global",
              },
            ],
    })),
    route: routes.map(({ bits: _, ...route }) => ({ ...route, ...(family === 6 ? { pref: "medium" } : {}) })),
  });
  const simulator = new Simulator(rulesets, host);
  const r = numbers(9);
  const width = family === 4 ? 32 : 128;
  const seen = new Set<string>();
  for (let n = 0; n < 400; n++) {
    const start = routes[r(routes.length)]!.bits;
    const bits = start + Array.from({ length: width - start.length }, () => r(2)).join("");
    const expected = routes
      .filter((route) => bits.startsWith(route.bits) && route.type !== "throw")
      .sort((a, b) => b.bits.length - a.bits.length || a.metric! - b.metric!)
      .find((route) => !thrown(route, bits));
    const trace = simulator.trace(synOf({ src: address[family][0], dst: printed(bits, family), dport: 80 }));
    const event = trace.branches[0]!.events.find(({ kind }) => kind === "route");
    const decision = event?.kind === "route" ? event.decision : undefined;
    const name = decision?.kind === "none" ? decision.reason.code : decision?.kind;
    seen.add(`${name}`);
    if (expected?.dev === undefined) expect(decision?.kind).toBe("none");
    else
      expect(decision).toMatchObject({ kind: "via", out: expected.dev, route: { metric: expected.metric } });
  }
  expect(seen).toContain("via");
  expect(seen).toContain("route-type");

  /** A `throw` route of a longer prefix ends the lookup in the table; a shorter one is not reached. */
  function thrown({ bits }: Listed, of: string): boolean {
    return routes.some((o) => o.type === "throw" && o.bits.length > bits.length && of.startsWith(o.bits));
  }
});
