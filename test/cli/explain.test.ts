/** What `fwcheck explain` prints of a real host, beside its capture (UPDATE=1 writes it anew), and what it refuses. */
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { examples } from "../capture.ts";
import { Program } from "./program.ts";

const program = new Program();
beforeAll(() => program.build(), 60_000);
afterAll(() => program.remove());

const explain = (args: string) => program.run(["explain", ...args.split(" ")], { cwd: examples });

const ASKED: readonly [title: string, args: string][] = [
  ["Your chain", "ufw-docker-20.10 --chain DOCKER-USER --family 4"],
  ["Docker's rules that publish a port", "ufw-docker-20.10 --chain nat/DOCKER --rule 4"],
  ["A ufw rule that Docker's packets never meet", "ufw-docker-20.10 --chain ufw-user-input --rule 2"],
  ["The whole of FORWARD, Docker 28", "ufw-docker-28.5 --chain filter/FORWARD --family 4"],
  ["What Docker 28 added", "ufw-docker-28.5 --chain raw/PREROUTING"],
  ["What ufw does before your rules", "ufw-docker-20.10 --chain ufw-before-input"],
  ["A map of all chains", "ufw-docker-28.5 --family 4"],
];

test("a real host", () => {
  const said = ASKED.map(([title, args]) => {
    const run = explain(args);
    expect([run.code, run.err], title).toEqual([0, ""]);
    expect(run.out).not.toMatch(/[^\n]{81}/);
    return `--- ${title}\n\n$ fwcheck explain ${args}\n${run.out}`;
  }).join("\n");
  const path = `${examples}ufw-docker.explain.txt`;
  if (process.env.UPDATE === "1") writeFileSync(path, said);
  expect(said).toBe(readFileSync(path, "utf8"));
}, 60_000);

test("--json is one document with everything in it", () => {
  const { code, out, err } = explain("ufw-docker-20.10 --chain DOCKER --rule 4 --family 4 --json");
  expect([code, err]).toEqual([0, ""]);
  const { inferred, chains } = JSON.parse(out);
  expect(inferred).toEqual([]);
  expect(chains.map((c: { table: string; chain: string }) => `${c.table} ${c.chain}`)).toEqual([
    "nat DOCKER",
    "filter DOCKER",
  ]);
  expect(chains[0].rules).toEqual([
    {
      rule: 4,
      line: 150,
      text: "! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
      by: "Docker",
      says: "TCP packets to port 8080 that come in by any interface but docker0 are sent on to 172.17.0.2:80 (container web): this and every later packet of the connection.",
      dead: false,
      notes: [],
      counters: { packets: 0, bytes: 0 },
    },
  ]);
});

test.each([
  [
    "ufw-docker-20.10 --chain DOKCER-USER",
    /no chain "DOKCER-USER"\. Did you mean DOCKER-USER\? .* lists them all/,
  ],
  ["ufw-docker-20.10 --chain filter/PREROUTING", /no chain "filter\/PREROUTING"/],
  ["ufw-docker-20.10 --chain DOCKER-USER --rule 7", /no rule 7: filter DOCKER-USER of IPv4 has 1 rule/],
  ["ufw-docker-20.10 --chain DOCKER-USER --rule 0", /--rule takes the number of a rule, from 1/],
  ["ufw-docker-20.10 --rule 1", /--rule needs --chain/],
])("refuses %s", (args, message) => {
  const { code, out, err } = explain(args);
  expect([code, out]).toEqual([2, ""]);
  expect(err).toMatch(message);
});
