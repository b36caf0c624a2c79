/** JSON documents of the simulator: a sentence beside each code. */
import { expect, test } from "vitest";
import { readHost } from "../../lib/host/read.ts";
import { answerJson, flowJson, inferenceTexts } from "../../lib/report/simulation-json.ts";
import { inferenceText } from "../../lib/report/text/inference-text.ts";
import { flow } from "../../lib/simulate/flow.ts";
import { Simulator } from "../../lib/simulate/simulator.ts";
import { rulesetsOf, synOf } from "../builders.ts";

const rulesets = rulesetsOf(
  "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n-A INPUT -m recent --update --name x --rsource -j ACCEPT\nCOMMIT\n",
);
const packet = synOf({ in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", dport: 22 });
const host = readHost({}, rulesets, [packet]);

test("an answer and its branches", () => {
  const answer = new Simulator(rulesets, host).packet(packet);
  const json = answerJson(answer, inferenceTexts(host));
  expect(json.assumptionCodes).toEqual([...host.inferences, ...answer.assumptionCodes]);
  expect(json.assumptions.slice(0, host.inferences.length)).toEqual(host.inferences.map(inferenceText));
  expect(json.assumptions.length).toBe(json.assumptionCodes.length);
  expect(json.branches).toMatchObject([
    {
      verdict: "drop",
      assumptionCodes: [{ code: "supposed", key: "recent@filter/INPUT/1", truth: false }],
      assumptions: [
        "filter INPUT rule 1: recent@filter/INPUT/1 assumed not to match (the list of recent addresses is not known)",
      ],
    },
    { verdict: "accept", assume: ["recent@filter/INPUT/1=match"] },
  ]);
});

test("the reason of a verdict that no rule gave", () => {
  const martian = synOf({ in: "eth0", src: "127.0.0.1", dst: "203.0.113.1", dport: 22 });
  expect(answerJson(new Simulator(rulesets, host).packet(martian))).toMatchObject({
    verdict: "drop",
    reason: "a loopback address from outside (martian source)",
    reasonCode: { code: "martian-source", source: "loopback" },
  });
});

test("a connection", () => {
  const played = flow(new Simulator(rulesets, host), host, packet);
  expect(flowJson(played)).toMatchObject({
    version: 1,
    verdict: "undecided",
    broken: null,
    brokenCode: null,
  });
});
