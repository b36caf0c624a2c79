/** A batch returns the verdicts that a new simulator returns for each packet. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import {
  type Family,
  type Host,
  type PacketColumns,
  packetAt,
  packetJson,
  type Ruleset,
  readHost,
  Simulator,
  VERDICTS,
  verdicts,
} from "fwcheck";
import { describe, expect, test } from "vitest";
import { type Field, fieldRange, type Scalar } from "../../lib/packet/field.ts";
import { visitLeaves } from "../../lib/packet/predicate.ts";
import { Program } from "../../lib/path/program.ts";
import { hostOf, rulesetsOf } from "../builders.ts";
import { capture, examples, shared } from "../capture.ts";
import { generate } from "../kernel/generate.ts";
import { random } from "../random.ts";

/** Fields of conntrack with the same value as a field of the header. */
const LIKE: Partial<Record<Field, Field>> = {
  ctorigsrc: "src",
  ctorigdst: "dst",
  ctreplsrc: "dst",
  ctrepldst: "src",
  ctorigsrcport: "sport",
  ctorigdstport: "dport",
  ctproto: "proto",
};

/** Packets at the bounds of the ranges in rules and routes. */
function draw(ruleset: Ruleset, host: Host, count: number, next: () => number): PacketColumns {
  const { family } = ruleset;
  const program = Program.of(ruleset, host);
  const bounds = new Map<Field, Scalar[]>();
  const see = (when: Parameters<typeof visitLeaves>[0]): void =>
    visitLeaves(when, (leaf) => {
      if (leaf.kind === "opaque") return;
      const field = LIKE[leaf.field] ?? leaf.field;
      const list = bounds.get(field) ?? [];
      bounds.set(field, list);
      if (leaf.kind === "bits") list.push(leaf.value);
      else
        for (const [lo, hi] of leaf.ranges.slice(0, 50)) {
          list.push(lo, hi);
          if (typeof lo === "bigint") list.push(lo - 1n, (hi as bigint) + 1n);
          if (typeof lo === "number") list.push(lo - 1, (hi as number) + 1);
        }
    });
  for (const table of ruleset.tables.values())
    for (const chain of table.chains.values())
      for (const { when } of program.chain(chain.table, chain.name)!.rules) see(when);
  for (const cases of [program.routesIn, program.routesOut]) for (const { when } of cases) see(when);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!;
  const values = <T>(make: () => T): T[] => Array.from({ length: count }, make);
  const numbers = (field: Field, usual: readonly number[]): number[] => {
    const top = fieldRange(field, family)[1] as number;
    const list = (bounds.get(field) ?? []).filter(
      (v) => typeof v === "number" && v >= 0 && v <= (top as number),
    );
    return values(() => (list.length === 0 || next() < 0.4 ? pick(usual) : (pick(list) as number)));
  };
  const own = host.interfaces.flatMap((i) =>
    i.addresses.filter((a) => a.family === family).map((a) => a.address),
  );
  const addresses = (field: "src" | "dst"): number[] => {
    const top = fieldRange(field, family)[1];
    const list = [...(bounds.get(field) ?? []), ...own].filter(
      (v) => typeof v !== "string" && v >= 0 && v <= (top as number),
    );
    return values(() => (list.length === 0 ? (top as number) : (pick(list) as number)));
  };
  const names = [...host.interfaces.map((i) => i.name), "eth7", null, null];
  return {
    family,
    in: values(() => pick(names)),
    src: addresses("src"),
    dst: addresses("dst"),
    proto: numbers("proto", [6, 6, 17, 17, family === 4 ? 1 : 58, 47]),
    sport: numbers("sport", [40000]),
    dport: numbers("dport", [80]),
    ...(next() < 0.7 ? { flags: numbers("flags", [2, 2, 16, 18, 4, 0]) } : {}),
    ...(next() < 0.7 ? { type: numbers("type", [8, 0, 3, 128, 135]), code: numbers("code", [0, 1]) } : {}),
    ...(next() < 0.5 ? { mark: numbers("mark", [0, 1, 2]) } : {}),
    ...(next() < 0.5 ? { ttl: numbers("ttl", [64, 1, 2]), tos: numbers("tos", [0, 16]) } : {}),
    ...(next() < 0.5 ? { length: numbers("length", [40, 60, 1500]) } : {}),
  };
}

/** Compares a batch with simulators, and counts the verdicts. */
function compare(
  rulesets: readonly Ruleset[],
  host: Host,
  count: number,
  seed: number,
  assume: ReadonlyMap<string, boolean> = new Map(),
): Map<string, number> {
  const next = random(seed);
  const seen = new Map<string, number>();
  for (const ruleset of rulesets) {
    const packets = draw(ruleset, host, count, next);
    const codes = verdicts(rulesets, host, packets, { assume });
    expect(codes.length).toBe(count);
    for (let i = 0; i < count; i++) {
      const packet = packetAt(packets, i);
      const { verdict, path } = new Simulator(rulesets, host, { assume }).packet(packet);
      const said = VERDICTS[codes[i]!]!;
      if (said !== verdict)
        expect.fail(`${JSON.stringify({ seed, i, said, verdict, packet: packetJson(packet), path })}`);
      seen.set(said, (seen.get(said) ?? 0) + 1);
    }
  }
  return seen;
}

describe("a batch returns the verdicts of one simulator per packet", () => {
  test.each(["ufw-docker-20.10", "ufw-docker-28.5"])("%s", (name) => {
    const { rulesets, host } = capture(`${examples}${name}`);
    expect([...compare(rulesets, host, 2000, 1).keys()].sort()).toEqual(["accept", "drop", "undecided"]);
  });

  const folder = `${shared}rulesets/`;
  const files = existsSync(folder) ? readdirSync(folder).filter((f) => f !== "README.md") : [];
  test.skipIf(files.length === 0)(
    `${files.length} rulesets from other projects`,
    { timeout: 600_000 },
    () => {
      for (const [i, name] of files.entries()) {
        const text = readFileSync(folder + name, "utf8");
        if (text.length > 200_000) continue;
        const rulesets = rulesetsOf(text, { name });
        const assume = new Map(
          i % 3 === 0 ? [["recent", i % 2 === 0] as const, ["limit", false] as const] : [],
        );
        compare(rulesets, readHost({}, rulesets), 300, i, assume);
      }
    },
  );

  test.each([4, 6] as const)("generated rulesets, IPv%i", { timeout: 600_000 }, (family) => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 60; seed++) {
      const { rulesets, host } = scenario(random(seed), family);
      for (const word of compare(rulesets, host, 300, seed).keys()) seen.add(word);
    }
    expect([...seen].sort()).toEqual(["accept", "drop", "reject", "undecided"]);
  });
});

describe("a long chain is evaluated by its index", () => {
  /** Overlapping rules: each kind is indexed by another field, and some kinds by none. */
  function long(family: Family, size: number, next: () => number): string {
    const below = (n: number): number => Math.floor(next() * n);
    const net = (): string =>
      family === 4
        ? `10.${below(4)}.${below(256)}.${below(256)}/${[32, 32, 30, 24, 16, 9][below(6)]}`
        : `2001:db8::${below(4)}:${below(65_536).toString(16)}/${[128, 128, 126, 112, 64][below(5)]}`;
    const rules = Array.from({ length: size }, () => {
      const target = ["DROP", "DROP", "ACCEPT", "ACCEPT", "MORE"][below(5)];
      const kinds = [
        () => `-s ${net()}`,
        () => `-s ${net()} -p tcp -m tcp --dport ${below(2000)}`,
        () => `-p udp -m udp --sport ${below(300)}:${300 + below(60_000)} --dport ${below(2000)}`,
        () => `-p tcp -m multiport --dports ${below(2000)},${below(2000)},${below(2000)}:2000`,
        () => `-m conntrack --ctorigdstport ${below(2000)}`,
        () => `-p udp -m udp --sport 0:${below(9)}`,
        () => `! -s ${net()} -i eth${below(9)}`,
        () => `-m mark --mark 0x${below(8)}/0x6 -m length --length ${below(1500)}:1500 -d ${net()}`,
        () => `-s ${net()} -m recent --rcheck --name DEFAULT --rsource`,
        () =>
          `-i eth${below(3)} -p ${family === 4 ? "icmp -m icmp --icmp-type" : "ipv6-icmp -m icmp6 --icmpv6-type"} ${below(20)}`,
      ];
      return `-A FORWARD ${kinds[below(kinds.length)]!()} -j ${target}`;
    });
    return [
      "*filter",
      ":FORWARD ACCEPT [0:0]",
      ":MORE - [0:0]",
      ...rules,
      "-A MORE -p udp -j REJECT",
      "COMMIT",
      "",
    ].join("\n");
  }
  test.each([4, 6] as const)("IPv%i", { timeout: 600_000 }, (family) => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 6; seed++) {
      const next = random(seed);
      const rulesets = rulesetsOf(long(family, 150 * seed, next));
      const addr = [0, 1, 2].map((i) => ({
        ifname: `eth${i}`,
        addr_info: [
          family === 4
            ? { family: "inet", local: `10.${i}.0.1`, prefixlen: 16 }
            : { family: "inet6", local: `2001:db8::${i}:1`, prefixlen: 112 },
        ],
      }));
      const host = hostOf(rulesets, {
        addr,
        sysctl: "net.ipv4.ip_forward = 1\nnet.ipv6.conf.all.forwarding = 1\n",
      });
      for (const word of compare(rulesets, host, 1500, seed).keys()) seen.add(word);
    }
    expect([...seen].sort()).toEqual(["accept", "drop", "reject", "undecided"]);
  });
});

/** A random host with random rules, as in the kernel tests, some with routes for a mark. */
function scenario(next: () => number, family: Family): { rulesets: readonly Ruleset[]; host: Host } {
  const { save, interfaces, sysctls, routes } = generate(next, family, "drawn");
  const addr = interfaces.map(({ name, addresses }) => ({
    ifname: name,
    addr_info: addresses.map((each) => ({
      family: family === 4 ? "inet" : "inet6",
      local: each.split("/")[0],
      prefixlen: Number(each.split("/")[1]),
    })),
  }));
  const route = routes.map((words) => {
    const kind = /^(blackhole|unreachable|throw) /.exec(words)?.[1];
    const [dst] = words.replace(/^(blackhole|unreachable|throw) /, "").split(" ");
    const dev = /dev (\S+)/.exec(words)?.[1];
    const table = /table (\S+)/.exec(words)?.[1] ?? "main";
    return {
      dst,
      table,
      ...(kind === undefined ? {} : { type: kind }),
      ...(dev === undefined ? {} : { dev }),
    };
  });
  const rule = [
    { priority: 0, src: "all", table: "local" },
    { priority: 100, src: "all", fwmark: "0x1", fwmask: "0x1", table: "100" },
    { priority: 32766, src: "all", table: "main" },
  ];
  const source = (name: string, value: unknown) => [{ name, text: JSON.stringify(value) }];
  const rulesets = rulesetsOf(save);
  const host = readHost(
    {
      addr: source("addr", addr),
      route: source("route", route),
      ...(routes.some((r) => r.includes("table 100")) && family === 4 ? { rule: source("rule", rule) } : {}),
      sysctl: [
        {
          name: "sysctl",
          text: Object.entries(sysctls)
            .map((e) => e.join(" = "))
            .join("\n"),
        },
      ],
    },
    rulesets,
  );
  return { rulesets, host };
}

describe("columns", () => {
  const { rulesets, host } = capture(`${examples}ufw-docker-20.10`);
  const packets = {
    family: 4,
    in: "eth0",
    src: Uint32Array.of(0xcb007102, 0xcb007102, 0xcb007102),
    dst: 0xcb007101,
    proto: 6,
    sport: 40000,
    dport: [22, 23, 8080],
  } as const;

  test("a column can be one value for all packets", () => {
    const words = [...verdicts(rulesets, host, packets)].map((code) => VERDICTS[code]);
    const alone = packets.dport.map(
      (_, i) => new Simulator(rulesets, host).packet(packetAt(packets, i)).verdict,
    );
    expect(words).toEqual(alone);
    expect(new Set(words).size).toBeGreaterThan(1);
  });
  test("packets do not affect each other", () => {
    const flow = { ...packets, dport: 8080, flags: [16, 2, 16], src: packets.src };
    const [before, , after] = verdicts(rulesets, host, flow);
    expect(before).toBe(after);
  });
  test("more packets than a batch, and no packet", () => {
    const src = Uint32Array.from({ length: 5001 }, (_, i) => 0xcb007102 + (i % 7));
    const codes = verdicts(rulesets, host, { ...packets, src, dport: 8080 });
    expect(new Set(codes).size).toBe(1);
    expect(verdicts(rulesets, host, { ...packets, src: [], dport: 8080 })).toEqual(new Uint8Array(0));
  });
  test("a family without rules accepts everything", () => {
    const codes = verdicts([], host, { ...packets, dport: 8080 });
    expect([...codes].map((code) => VERDICTS[code])).toEqual(["accept", "accept", "accept"]);
  });
  test.each([
    [{ dport: [1, 2] }, /column dport has 2 values, others have 3/],
    [{ src: 1, dport: 1 }, /one of the columns must be a list/],
    [{ dport: [1, 2, 65536] }, /dport of packet 2 cannot be 65536/],
    [{ dport: [1, 2, 1.5] }, /dport of packet 2 cannot be 1.5/],
    [{ proto: -1 }, /proto of packet 0 cannot be -1/],
    [{ in: ["eth0", undefined, null] as never }, /in of packet 1 cannot be undefined/],
    [{ src: [1n, 2n, 3n] as never }, /src of packet 0 cannot be 1/],
    [{ family: 6 as const, src: [1n, -1n, 3n], dst: 1n }, /src of packet 1 cannot be -1/],
  ])("invalid columns throw: %#", (change, said) => {
    expect(() => verdicts(rulesets, host, { ...packets, ...change } as PacketColumns)).toThrow(said);
    expect(() => verdicts(rulesets, host, { ...packets, ...change } as PacketColumns)).toThrow(RangeError);
  });
});
