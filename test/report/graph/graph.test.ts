/** The chain graph agrees with the ruleset: every rule is in one row, every drawn call exists, and a trace is marked. */
import { join } from "node:path";
import {
  type ChainGraph,
  chainGraph,
  type GraphChain,
  type GraphOptions,
  type Host,
  type Ruleset,
  type RulesetDoubt,
  readHost,
  rulesetDoubtText,
  Simulator,
  type Trace,
} from "fwcheck";
import { describe, expect, test } from "vitest";
import { asIptables } from "../../../lib/iptables/rule.ts";
import { packetOf, rulesetsOf } from "../../builders.ts";
import { capture, examples } from "../../capture.ts";
import { generate } from "../../kernel/generate.ts";
import { random } from "../../random.ts";

const chainsOf = (graph: ChainGraph): GraphChain[] =>
  graph.hooks.flatMap(({ stops }) => stops.flatMap(({ chains }) => chains));
const find = (graph: ChainGraph, id: string): GraphChain => {
  const found = chainsOf(graph).find((chain) => chain.id === id);
  if (found === undefined) throw new Error(`${id} is not drawn`);
  return found;
};
const read = (text: string): { ruleset: Ruleset; host: Host } => {
  const rulesets = rulesetsOf(text);
  return { ruleset: rulesets[0]!, host: readHost({ complete: true }, rulesets) };
};
const filter = (lines: readonly string[], chains: readonly string[] = []): string =>
  `${["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]", ...chains.map((c) => `:${c} - [0:0]`), ...lines, "COMMIT"].join("\n")}\n`;

/** Checks what is true of every graph. */
function checkGraph(graph: ChainGraph, ruleset: Ruleset): void {
  const chains = chainsOf(graph);
  const ids = new Set(chains.map(({ id }) => id));
  expect(ids.size).toBe(chains.length);
  for (const chain of chains) {
    const { rules } = ruleset.tables.get(chain.table)!.chains.get(chain.name)!;
    expect(chain.size).toBe(rules.length);
    // Each rule is in one row, in order.
    let next = 1;
    for (const row of chain.rows) {
      expect(row.first).toBe(next);
      expect(row.last).toBeGreaterThanOrEqual(row.first);
      next = row.last + 1;
      if (row.to === null) continue;
      const to = chains.find(({ id }) => id === row.to)!;
      expect([to.hook, to.table]).toEqual([chain.hook, chain.table]);
      for (const rule of rules.slice(row.first - 1, row.last))
        expect(asIptables(rule).target).toEqual({ kind: row.action, chain: to.name });
    }
    expect(next).toBe(rules.length + 1);
  }
  for (const { from, to, row, rules, kind } of graph.calls) {
    const of = find(graph, from).rows[row]!;
    expect([of.to, of.last - of.first + 1, of.action]).toEqual([to, rules, kind]);
  }
  // Every other chain of a hook is called.
  const called = new Set(graph.calls.map(({ to }) => to));
  for (const { id, policy, hook } of chains)
    if (hook !== null) expect(policy !== null || called.has(id)).toBe(true);
}

describe.each(["ufw-docker-20.10", "ufw-docker-28.5"])("%s", (name) => {
  const { rulesets, host } = capture(join(examples, name));
  test.each(rulesets)("IPv$family: rows and calls agree with the rules", (ruleset) => {
    for (const all of [false, true]) checkGraph(chainGraph(ruleset, host, { all }), ruleset);
  });

  test.each(rulesets)("IPv$family: --all draws every chain and a row per rule", (ruleset) => {
    const graph = chainGraph(ruleset, host, { all: true });
    const drawn = new Set(chainsOf(graph).map((c) => `${c.table}/${c.name}`));
    const there = [...ruleset.tables].flatMap(([t, { chains }]) =>
      [...chains.keys()].map((c) => `${t}/${c}`),
    );
    expect([...drawn].sort()).toEqual(there.sort());
    for (const { rows, size } of chainsOf(graph)) expect(rows.length).toBe(size);
    expect(graph.notes).toEqual([]);
  });
});

test("tables of each hook, and authors of rules, of Docker 28 and ufw", () => {
  const { rulesets, host } = capture(join(examples, "ufw-docker-28.5"));
  const graph = chainGraph(rulesets[0]!, host);
  expect(graph.hooks.map(({ hook, stops }) => [hook, stops.map(({ table }) => table)])).toEqual([
    ["PREROUTING", ["raw", null, "nat"]],
    ["INPUT", ["filter"]],
    ["FORWARD", ["filter"]],
    ["OUTPUT", [null, "nat", "filter"]],
    ["POSTROUTING", ["nat"]],
  ]);
  expect(graph.rewrites).toBe(true);
  const forward = find(graph, "FORWARD/filter/FORWARD");
  expect(forward.policy).toBe("DROP");
  expect(forward.rows.map(({ author, target, to }) => [author, target, to !== null])).toEqual([
    ["docker", "DOCKER-USER ∅", true],
    ["docker", "DOCKER-FORWARD", true],
    ["ufw", "ufw-before-logging-forward ∅", false],
    ["ufw", "ufw-before-forward", true],
    ["ufw", "ufw-after-forward ∅", false],
    ["ufw", "ufw-after-logging-forward", true],
    ["ufw", "ufw-reject-forward ∅", false],
    ["ufw", "ufw-track-forward ∅", false],
  ]);
  // A chain that two hooks reach names the other hook.
  expect(find(graph, "PREROUTING/nat/DOCKER").also).toEqual(["OUTPUT"]);
  expect(find(graph, "OUTPUT/nat/DOCKER").also).toEqual(["PREROUTING"]);
  expect(find(graph, "PREROUTING/nat/DOCKER").rows.at(-1)).toMatchObject({
    condition: "! -i docker0 tcp dport 8444",
    action: "nat",
    target: "DNAT 172.17.0.5:7",
    author: "docker",
  });
  expect(
    find(graph, "INPUT/filter/ufw-user-input").rows.map(({ condition, action }) => [condition, action]),
  ).toEqual([
    ["ufw allow 22/tcp", "accept"],
    ["ufw deny 8080/tcp", "drop"],
  ]);
  expect(find(graph, "FORWARD/filter/DOCKER-USER").author).toBe("owner");
  expect(graph.notes).toEqual([
    "not drawn: 13 chains without rules and 8 uncalled chains (--all draws them)",
  ]);
});

test("the packet path between the hooks", () => {
  const { ruleset, host } = read(filter([]));
  expect(chainGraph(ruleset, host).way.map(({ from, to }) => `${from} ${to}`)).toEqual([
    "network PREROUTING",
    "PREROUTING routing",
    "routing INPUT",
    "routing FORWARD",
    "INPUT programs",
    "programs OUTPUT",
    "FORWARD POSTROUTING",
    "OUTPUT POSTROUTING",
    "POSTROUTING out",
  ]);
});

test("a chain of fwcheck, and one with the same name in another table", () => {
  const { ruleset, host } = read(
    `*nat\n:PREROUTING ACCEPT [0:0]\n:FWCHECK - [0:0]\n-A PREROUTING -j FWCHECK\n-A FWCHECK -j RETURN\nCOMMIT\n${filter(
      ["-A FORWARD -j DOCKER-USER", "-A DOCKER-USER -j FWCHECK", "-A FWCHECK -d 172.17.0.2 -j DROP"],
      ["DOCKER-USER", "FWCHECK"],
    )}`,
  );
  const graph = chainGraph(ruleset, host);
  expect(find(graph, "FORWARD/filter/FWCHECK").author).toBe("fwcheck");
  expect(find(graph, "FORWARD/filter/DOCKER-USER").rows[0]!.author).toBe("fwcheck");
  expect(find(graph, "PREROUTING/nat/FWCHECK").author).toBe("owner");
});

test("doubts about the rules are notes", () => {
  const { ruleset, host } = read(filter([]));
  const doubts: readonly RulesetDoubt[] = [{ code: "legacy-rules-missing" }];
  expect(chainGraph({ ...ruleset, doubts }, host, { all: true }).notes).toEqual(doubts.map(rulesetDoubtText));
});

test("a user chain with the name of a hook is not a base chain", () => {
  const { ruleset, host } = read(
    "*raw\n:PREROUTING ACCEPT [0:0]\n:FORWARD - [0:0]\n-A FORWARD -j DROP\nCOMMIT\n",
  );
  expect(chainsOf(chainGraph(ruleset, host)).map(({ id }) => id)).toEqual([]);
  expect(chainsOf(chainGraph(ruleset, host, { all: true })).map(({ id }) => id)).toEqual([
    "PREROUTING/raw/PREROUTING",
    "-/raw/FORWARD",
  ]);
});

describe("one chain", () => {
  const { rulesets, host } = capture(join(examples, "ufw-docker-28.5"));
  const only = (name: string): string[] =>
    chainsOf(chainGraph(rulesets[0]!, host, { chain: { table: "filter", name } })).map(({ id }) => id);

  test("chains above and below it", () => {
    expect(only("DOCKER-ISOLATION-STAGE-1")).toEqual([
      "FORWARD/filter/FORWARD",
      "FORWARD/filter/DOCKER-FORWARD",
      "FORWARD/filter/DOCKER-ISOLATION-STAGE-1",
      "FORWARD/filter/DOCKER-ISOLATION-STAGE-2",
    ]);
  });

  test("at every hook that reaches it", () => {
    const graph = chainGraph(rulesets[0]!, host, { chain: { table: "nat", name: "DOCKER" } });
    expect(graph.part).toBe(true);
    expect(chainsOf(graph).map(({ id }) => id)).toEqual([
      "PREROUTING/nat/PREROUTING",
      "PREROUTING/nat/DOCKER",
      "OUTPUT/nat/OUTPUT",
      "OUTPUT/nat/DOCKER",
    ]);
  });

  test("an uncalled chain", () => {
    expect(only("ufw-logging-allow")).toEqual(["-/filter/ufw-logging-allow"]);
  });

  test("has a row per rule", () => {
    const rules = Array.from({ length: 50 }, (_, i) => `-A web -s 10.0.0.${i} -j ACCEPT`);
    const { ruleset, host } = read(filter(["-A FORWARD -j web", ...rules], ["web"]));
    const rows = (options: GraphOptions): number =>
      find(chainGraph(ruleset, host, options), "FORWARD/filter/web").rows.length;
    expect(rows({})).toBe(1);
    expect(rows({ chain: { table: "filter", name: "web" } })).toBe(50);
  });
});

describe("many rules or chains are folded and counted", () => {
  const names = Array.from({ length: 1000 }, (_, i) => `ct-${i}`);
  const { ruleset, host } = read(
    filter(
      names.flatMap((name, i) => [
        `-A FORWARD -d 172.18.${i >> 8}.${i & 255} -j ${name}`,
        `-A ${name} -j DROP`,
      ]),
      names,
    ),
  );

  test("a chain per container", () => {
    const graph = chainGraph(ruleset, host);
    checkGraph(graph, ruleset);
    expect(chainsOf(graph).map(({ name }) => name)).toEqual(["INPUT", "FORWARD", "ct-0", "ct-1", "OUTPUT"]);
    expect(find(graph, "FORWARD/filter/FORWARD").rows.at(-1)).toMatchObject({
      first: 3,
      last: 1000,
      condition: "998 rules",
      target: "998 chains",
      to: null,
      action: "jump",
    });
    expect(graph.notes).toEqual(["folded: 998 chains, similar or deeply nested (--chain draws one)"]);
  });

  const last = `*filter\n:FORWARD DROP [0:0]\n:deep - [0:0]\n${names.map((name) => `:${name} - [0:0]\n`).join("")}${names
    .map((name, i) => `-A FORWARD -d 172.18.${i >> 8}.${i & 255} -j ${name}\n`)
    .join(
      "",
    )}${names.map((name) => `-A ${name} -j ${name === "ct-700" ? "deep" : "DROP"}\n`).join("")}-A deep -j ACCEPT\nCOMMIT\n`;

  test("but not the calls that lead to a selected chain", () => {
    const { ruleset, host } = read(last);
    const graph = chainGraph(ruleset, host, { chain: { table: "filter", name: "deep" } });
    checkGraph(graph, ruleset);
    expect(chainsOf(graph).map(({ name }) => name)).toEqual(["FORWARD", "ct-700", "deep"]);
  });

  test("nor chains on the path of a traced packet", () => {
    const { ruleset, host } = read(last);
    const given = packetOf({ in: "eth0", src: "192.0.2.9", dst: "172.18.2.188", dport: 80 });
    const trace = new Simulator([ruleset], host).trace(given);
    const graph = chainGraph(ruleset, host, { trace });
    checkGraph(graph, ruleset);
    expect(marked(graph)).toEqual(steps(trace));
    expect(find(graph, "FORWARD/filter/deep").passed).toBe(true);
  });

  test("with --all, only beyond the limits", () => {
    const graph = chainGraph(ruleset, host, { all: true });
    checkGraph(graph, ruleset);
    expect(chainsOf(graph).length).toBeLessThan(500);
    expect(graph.notes.join()).toMatch(/^folded: 6\d\d chains/);
  });

  test.each([
    [14, 14],
    [30, 1],
  ])("%i published ports are %i rows", (ports, rows) => {
    const rules = Array.from(
      { length: ports },
      (_, i) => `-A DOCKER -p tcp -m tcp --dport ${i + 1} -j DNAT --to-destination 172.17.0.2:${i + 1}`,
    );
    const { ruleset, host } = read(
      `*nat\n:PREROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n-A PREROUTING -j DOCKER\n${rules.join("\n")}\nCOMMIT\n`,
    );
    expect(find(chainGraph(ruleset, host), "PREROUTING/nat/DOCKER").rows.length).toBe(rows);
  });

  test("rules without a target are counted", () => {
    const rules = [
      ...Array.from({ length: 20 }, (_, i) => `-A INPUT -s 10.1.0.${i}/32`),
      ...Array.from({ length: 20 }, (_, i) => [
        `-A INPUT -s 10.2.0.${i}/32 -j ACCEPT`,
        `-A INPUT -s 10.3.0.${i}/32`,
      ]).flat(),
    ];
    const { ruleset, host } = read(filter(rules));
    const { rows } = find(chainGraph(ruleset, host), "INPUT/filter/INPUT");
    expect(rows.map(({ target }) => target)).toEqual(["40 count, 20 ACCEPT"]);
  });

  test("consecutive rules with the same action, but not across another rule", () => {
    const rules = [
      ...Array.from({ length: 10 }, (_, i) => `-A INPUT -p tcp -m tcp --dport ${i + 1} -j ACCEPT`),
      "-A INPUT -i eth1 -j DROP",
      ...Array.from({ length: 2500 }, (_, i) => `-A INPUT -s 10.1.${i >> 8}.${i & 255} -j ACCEPT`),
    ];
    const { ruleset, host } = read(filter(rules));
    const { rows } = find(chainGraph(ruleset, host), "INPUT/filter/INPUT");
    expect(rows.map(({ first, last, action }) => [first, last, action])).toEqual([
      [1, 10, "accept"],
      [11, 11, "drop"],
      [12, 2511, "accept"],
    ]);
    expect(rows[2]!.rules.at(-1)).toBe("and 2488 more");
  });
});

/** Rules and policies on the path of a trace, by hook. */
function steps(trace: Trace): { rules: string[]; policies: string[] } {
  const moments = trace.branches.flatMap(({ events }) => events);
  const of = (kind: "rule" | "policy"): string[] => [
    ...new Set(
      moments.flatMap((m) =>
        m.kind !== "table"
          ? []
          : m.steps.flatMap(({ step: s }) =>
              s.step === kind
                ? [`${m.hook}/${s.table}/${s.chain}${s.step === "rule" ? ` ${s.rule}` : ""}`]
                : [],
            ),
      ),
    ),
  ];
  return { rules: of("rule").sort(), policies: of("policy").sort() };
}

/** Rules and policies that a graph marks. */
function marked(graph: ChainGraph): { rules: string[]; policies: string[] } {
  const chains = chainsOf(graph);
  return {
    rules: chains
      .flatMap(({ id, rows }) =>
        rows.flatMap(({ passed, first, last }) => {
          if (!passed) return [];
          expect(first).toBe(last);
          return [`${id} ${first}`];
        }),
      )
      .sort(),
    policies: chains.flatMap(({ id, ended }) => (ended ? [id] : [])).sort(),
  };
}

describe("a traced packet", () => {
  const { rulesets, host } = capture(join(examples, "ufw-docker-28.5"));
  const trace = (given: object): Trace => new Simulator(rulesets, host).trace(packetOf(given));

  test("to a published port skips INPUT", () => {
    const way = trace({ in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", dport: 8080 });
    const graph = chainGraph(rulesets[0]!, host, { trace: way });
    expect(marked(graph)).toEqual({ ...steps(way), policies: expect.any(Array) });
    expect(graph.hooks.filter(({ passed }) => passed).map(({ hook }) => hook)).toEqual([
      "PREROUTING",
      "FORWARD",
      "POSTROUTING",
    ]);
    expect(graph.way.filter(({ passed }) => passed).map(({ to }) => to)).toEqual([
      "PREROUTING",
      "routing",
      "FORWARD",
      "POSTROUTING",
      "out",
    ]);
    expect(graph.traced).toBe("tcp 203.0.113.2 -> 203.0.113.1:8080 in eth0: accept, out of docker0");
    expect(find(graph, "FORWARD/filter/DOCKER-USER").passed).toBe(true);
    expect(chainsOf(graph).some(({ hook, passed }) => hook === "INPUT" && passed)).toBe(false);
  });

  test("to the host itself ends at the rule that drops it", () => {
    const way = trace({ in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", dport: 23 });
    const graph = chainGraph(rulesets[0]!, host, { trace: way });
    expect(way.answer.verdict).toBe("drop");
    expect(graph.traced).toBe("tcp 203.0.113.2 -> 203.0.113.1:23 in eth0: drop");
    expect(find(graph, "INPUT/filter/INPUT").ended).toBe(true);
    expect(graph.way.filter(({ passed }) => passed).map(({ to }) => to)).toEqual([
      "PREROUTING",
      "routing",
      "INPUT",
    ]);
  });

  test("sent by the host", () => {
    const way = trace({ in: null, src: "203.0.113.1", dst: "203.0.113.2", proto: "udp", dport: 53 });
    const graph = chainGraph(rulesets[0]!, host, { trace: way });
    expect(graph.way.filter(({ passed }) => passed).map(({ to }) => to)).toEqual([
      "OUTPUT",
      "POSTROUTING",
      "out",
    ]);
  });

  test("generated rulesets: the marks agree with the trace", () => {
    let seen = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const next = random(seed);
      const { save } = generate(next, 4, String(seed));
      const { ruleset, host } = read(save);
      const simulator = new Simulator([ruleset], host);
      for (const dport of [22, 80, 8080, 53]) {
        const out = host.interfaces[Math.floor(next() * host.interfaces.length)]!.name;
        const way = simulator.trace(packetOf({ in: out, src: "10.1.0.9", dst: "192.0.2.1", dport }));
        const graph = chainGraph(ruleset, host, { all: true, trace: way });
        checkGraph(graph, ruleset);
        expect(marked(graph)).toEqual(steps(way));
        seen += steps(way).rules.length;
      }
    }
    expect(seen).toBeGreaterThan(100);
  });
});

test.each([4, 6] as const)("IPv%i: generated rulesets: rows and calls agree with the rules", (family) => {
  for (let seed = 1; seed <= 40; seed++) {
    const { ruleset, host } = read(generate(random(seed), family, String(seed)).save);
    for (const all of [false, true]) checkGraph(chainGraph(ruleset, host, { all }), ruleset);
  }
});
