/** Consecutive ports of a container become one rule, one line of `--cut` and one choice. */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Fix, type FixOptions, fix } from "fwcheck";
import { afterAll, describe, expect, test } from "vitest";
import { portRuns } from "../../lib/fix/port-runs.ts";
import { type Layout, read } from "../audit/layout.ts";

const folder = mkdtempSync(join(tmpdir(), "fwcheck-port-runs-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PORTS = { 8000: 80, 8001: 81, 8002: 82, 8003: 83, 9000: 90 };

function fixed(layout: Layout, options: FixOptions = {}): Fix {
  const { rulesets, host } = read({
    nets: [{ bridge: "docker0", prefix: "172.17.0", ports: PORTS }],
    ...layout,
  });
  const result = fix(rulesets, host, options);
  expect([result.holds, result.left, result.proof.remaining]).toEqual([true, [], []]);
  return result;
}

/** The rules about endpoints. */
const endpointRules = ({ rules4 }: Fix): string[] =>
  rules4.filter((rule) => /dport/.test(rule)).map((rule) => rule.replace(/^-A FWCHECK /, ""));

const FROM_NET = "-s 198.51.100.0/24 -p tcp -m tcp --dport 8001 -j ACCEPT";

test("ports of one policy are one rule, and the proof holds for each of them", () => {
  const result = fixed({});
  expect(endpointRules(result)).toEqual([
    "-d 172.17.0.2/32 -p tcp -m tcp --dport 80:83 -j DROP",
    "-d 172.17.0.2/32 -p tcp -m tcp --dport 90 -j DROP",
  ]);
  expect(result.choices.map(({ endpoint }) => endpoint)).toEqual([
    "172.17.0.2:80-83/tcp",
    "172.17.0.2:90/tcp",
  ]);
  expect(result.proof.closed).toHaveLength(5);
});

test("another policy interrupts a run", () => {
  const rules = endpointRules(fixed({ input: [FROM_NET] }));
  expect(rules.map((rule) => rule.replace(/FWCHECK-\d/, "POLICY"))).toEqual([
    "-d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j DROP",
    "-d 172.17.0.2/32 -p tcp -m tcp --dport 81 -g POLICY",
    "-d 172.17.0.2/32 -p tcp -m tcp --dport 82:83 -j DROP",
    "-d 172.17.0.2/32 -p tcp -m tcp --dport 90 -j DROP",
  ]);
});

test("by the original destination, the ports of the host are a range, too", () => {
  expect(endpointRules(fixed({}, { strategy: "conntrack" }))).toEqual([
    "-d 172.17.0.2/32 -p tcp -m tcp --dport 80:83 -m conntrack --ctstate DNAT --ctorigdstport 8000:8003 --ctdir ORIGINAL -j DROP",
    "-d 172.17.0.2/32 -p tcp -m tcp --dport 90 -m conntrack --ctstate DNAT --ctorigdstport 9000 --ctdir ORIGINAL -j DROP",
  ]);
});

test("ports of the host that do not follow each other are rules of their own", () => {
  const nets = [{ bridge: "docker0", prefix: "172.17.0", ports: { 8000: 80, 9001: 81 } }];
  expect(endpointRules(fixed({ nets }))).toEqual(["-d 172.17.0.2/32 -p tcp -m tcp --dport 80:81 -j DROP"]);
  expect(endpointRules(fixed({ nets }, { strategy: "conntrack" }))).toHaveLength(2);
});

test("two publications of one container cross: no range pairs a port with another's", () => {
  const input = ["-p tcp -m tcp --dport 8000 -j ACCEPT"];
  const nets = [{ bridge: "docker0", prefix: "172.17.0", ports: { 8000: 80, 8001: 81, 8002: 80, 8003: 81 } }];
  const rules = endpointRules(fixed({ nets, input }));
  expect(rules.every((rule) => !/ctorigdstport \d+:/.test(rule))).toBe(true);
});

test("nftables has the ranges, too", () => {
  const { nft } = fixed({}, { language: "nftables" });
  expect(nft).toMatch(/ip daddr 172\.17\.0\.2 tcp dport 80-83 .*drop/);
});

test("--cut names a run once, and ends the flows to its ports alone", () => {
  const { script } = fixed({});
  const flows = script.split("\n").filter((line) => line.startsWith("tcp 0.0.0.0/0 "));
  expect(flows.map((line) => line.split(" ")[2])).toEqual(["8000-8003", "9000"]);
  const put = (name: string, text: string): void => {
    writeFileSync(join(folder, name), text);
    chmodSync(join(folder, name), 0o755);
  };
  const flow = (src: string, port: number): string =>
    `tcp 6 100 ESTABLISHED src=${src} dst=203.0.113.1 sport=40000 dport=${port} src=172.17.0.2 dst=${src} sport=${port - 7920} dport=40000 [ASSURED]`;
  const listed = [7999, 8000, 8003, 8004, 80000, 9000].map((port) => flow("198.51.100.9", port));
  put("flows", [...listed, flow("203.0.113.1", 8001), ""].join("\n"));
  put(
    "conntrack",
    `#!/bin/sh
case "$*" in
-D*) echo "$*" >>${folder}/ended ;;
*" -s "*) for net; do :; done; grep " src=\${net%/*} " ${folder}/flows ;;
*) cat ${folder}/flows ;;
esac
`,
  );
  put("fix.sh", script);
  spawnSync("sh", [join(folder, "fix.sh"), "--cut"], {
    env: { ...process.env, PATH: `${folder}:${process.env.PATH}` },
  });
  const ended = readFileSync(join(folder, "ended"), "utf8");
  expect([...ended.matchAll(/--dport (\d+)/g)].map(([, port]) => Number(port))).toEqual([8000, 8003, 9000]);
});

describe("portRuns", () => {
  const runs = (...items: readonly (readonly number[])[]): number[][][] =>
    portRuns(items, (ports) => ({ key: "", ports })).map((run) => run.map((ports) => [...ports]));

  test("runs are sorted, and in the order of their first items", () => {
    expect(runs([9], [3], [1], [2], [8])).toEqual([
      [[8], [9]],
      [[1], [2], [3]],
    ]);
  });

  test("every port of an item follows that of the item before", () => {
    expect(runs([1, 11], [2, 12], [3, 14], [4, 15])).toEqual([
      [
        [1, 11],
        [2, 12],
      ],
      [
        [3, 14],
        [4, 15],
      ],
    ]);
  });

  test("items without ports, and equal ports, are never joined", () => {
    expect(runs([], [], [5], [5])).toEqual([[[]], [[]], [[5]], [[5]]]);
  });
});
