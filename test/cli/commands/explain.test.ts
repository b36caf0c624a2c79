/** `fwcheck explain`: its output for real hosts, recorded in examples/ (UPDATE=1 records it again), and its errors. */
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { examples } from "../../capture.ts";
import { Program } from "../program.ts";

const program = new Program();
afterAll(() => program.remove());

const explain = (args: string) => program.run(["explain", ...args.split(" ")], { cwd: examples });

const COMMANDS: readonly [title: string, args: string][] = [
  ["Your chain", "ufw-docker-20.10 --chain DOCKER-USER --family 4"],
  ["Docker's rules that publish a port", "ufw-docker-20.10 --chain nat/DOCKER --rule 4"],
  ["A ufw rule that packets to a container never reach", "ufw-docker-20.10 --chain ufw-user-input --rule 2"],
  ["The whole of FORWARD, Docker 28", "ufw-docker-28.5 --chain filter/FORWARD --family 4"],
  ["Rules that Docker 28 added", "ufw-docker-28.5 --chain raw/PREROUTING"],
  ["Rules of ufw before your own", "ufw-docker-20.10 --chain ufw-before-input"],
  ["A map of all chains", "ufw-docker-28.5 --family 4"],
];

test("real hosts", async () => {
  const sections = COMMANDS.map(async ([title, args]) => {
    const run = await explain(args);
    expect([run.code, run.err], title).toEqual([0, ""]);
    expect(run.out).not.toMatch(/[^\n]{81}/);
    return `--- ${title}\n\n$ fwcheck explain ${args}\n${run.out}`;
  });
  const recorded = (await Promise.all(sections)).join("\n");
  const path = `${examples}ufw-docker.explain.txt`;
  if (process.env.UPDATE === "1") writeFileSync(path, recorded);
  expect(recorded).toBe(readFileSync(path, "utf8"));
}, 60_000);

test("--json prints one document with sentences and codes", async () => {
  const { code, out, err } = await explain("ufw-docker-20.10 --chain DOCKER --rule 4 --family 4 --json");
  expect([code, err]).toEqual([0, ""]);
  const { version, inferred, inferences, chains } = JSON.parse(out);
  expect(version).toBe(1);
  expect([inferred, inferences]).toEqual([[], []]);
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
      says: "TCP packets to port 8080 that arrive on any interface except docker0 have their destination rewritten to 172.17.0.2:80 (container web), for the whole connection.",
      action: {
        code: "translate",
        side: "dst",
        to: { kind: "range", first: "172.17.0.2", last: "172.17.0.2", container: "web" },
        ports: { first: 80, last: 80 },
        random: false,
      },
      dead: false,
      notes: [],
      pitfalls: [],
      counters: { packets: 0, bytes: 0 },
    },
  ]);
});

test.each([
  [
    "ufw-docker-20.10 --chain DOKCER-USER",
    /no chain "DOKCER-USER" in these rules\. Did you mean DOCKER-USER\? .* lists all chains/,
  ],
  ["ufw-docker-20.10 --chain filter/PREROUTING", /no chain "filter\/PREROUTING"/],
  ["ufw-docker-20.10 --chain DOCKER-USER --rule 7", /no rule 7: filter DOCKER-USER of IPv4 has 1 rule/],
  ["ufw-docker-20.10 --chain DOCKER-USER --rule 0", /--rule takes the number of a rule, counted from 1/],
  ["ufw-docker-20.10 --rule 1", /--rule needs --chain/],
])("refuses %s", async (args, message) => {
  const { code, out, err } = await explain(args);
  expect([code, out]).toEqual([2, ""]);
  expect(err).toMatch(message);
});
