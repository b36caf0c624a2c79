/** The text of a connection. */
import { expect, test } from "vitest";
import { readHost } from "../../../lib/host/read.ts";
import { flowText } from "../../../lib/report/packet/flow-text.ts";
import { type FlowBreak, flow } from "../../../lib/simulate/flow.ts";
import { Simulator } from "../../../lib/simulate/simulator.ts";
import { rulesetsOf, synOf } from "../../builders.ts";

const rulesets = rulesetsOf("*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n");
const packet = synOf({ in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", dport: 22 });
const host = readHost({}, rulesets, [packet]);
const played = flow(new Simulator(rulesets, host), host, packet);

test.each<FlowBreak>([
  { code: "leaves-host", out: "\u001b[31meth1" },
  { code: "off-bridge", out: "eth1\u009b31m", bridge: "\u001b[31mbr0" },
])("names of interfaces are escaped: $code", (brokenCode) => {
  const text = flowText({ ...played, verdict: "drop", brokenCode }, { rulesets, host });
  expect(text).toContain("BREAKS at packet 8");
  expect(text).not.toMatch(/[\u001b\u009b]/);
});
