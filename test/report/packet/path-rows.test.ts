import { readHost, readPacket, readRuleset, Simulator, traceText } from "fwcheck";
import { expect, test } from "vitest";

test("the indentation of calls is limited, so that the text does not grow with the square of their depth", () => {
  const depth = 300;
  const chains = Array.from({ length: depth }, (_, i) => `c${i}`);
  const calls = chains.map((name, i) => `-A ${i === 0 ? "INPUT" : chains[i - 1]} -j ${name}`);
  const text = [
    "*filter",
    ":INPUT DROP [0:0]",
    ...chains.map((name) => `:${name} - [0:0]`),
    ...calls,
    `-A ${chains.at(-1)} -j ACCEPT`,
    "COMMIT",
    "",
  ].join("\n");
  const { rulesets } = readRuleset([{ name: "dump", text, family: 4 }]);
  const host = readHost({}, rulesets);
  const packet = readPacket({ in: "eth0", src: "203.0.113.2", dst: "192.0.2.1", dport: 22 });
  if (typeof packet === "string") throw new Error(packet);
  const trace = new Simulator(rulesets, host).trace(packet);
  const lines = traceText(trace, { rulesets, host }).split("\n");
  expect(lines.filter((line) => line.includes("ACCEPT")).length).toBeGreaterThan(0);
  expect(lines.length).toBeGreaterThan(depth);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(160);
});
