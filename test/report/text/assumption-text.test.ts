/** Sentences of the simulator's assumptions. */
import { expect, test } from "vitest";
import { assumptionText, flowBreakText, flowNoteText } from "../../../lib/report/text/assumption-text.ts";
import type { Assumption } from "../../../lib/simulate/assumption.ts";

const at = { table: "filter", chain: "INPUT", rule: 3 } as const;
const choice = { code: "range", what: "port", first: 7, last: 9 } as const;

const CASES: readonly (readonly [Assumption, string])[] = [
  [
    {
      code: "supposed",
      key: "recent@filter/INPUT/3",
      truth: false,
      reason: { code: "extension", text: "why" },
      at,
    },
    "filter INPUT rule 3: recent@filter/INPUT/3 assumed not to match (why)",
  ],
  [
    {
      code: "supposed",
      key: "nat-choice(7)",
      truth: true,
      reason: { code: "port-distinguished", choice },
      at: null,
    },
    "nat-choice(7) assumed to hold (the kernel chooses a port from 7 to 9, and later rules distinguish it)",
  ],
  [
    { code: "limit-matches", at },
    "filter INPUT rule 3: limit is assumed to match, as it does within its burst",
  ],
  [{ code: "no-rules", family: 6 }, "no rules for IPv6 were given: they are assumed to be empty"],
  [{ code: "group-joined" }, "the host is taken to have joined the multicast group"],
  [{ code: "port-chosen", choice, assumed: 7 }, "the kernel chooses a port from 7 to 9; 7 is assumed"],
  [
    { code: "port-chosen", choice: { code: "random", what: "identifier" }, assumed: null },
    "--random: the kernel chooses an identifier",
  ],
  [
    { code: "port-chosen", choice: { code: "in-use", what: "identifier", old: 7 }, assumed: 8 },
    "another connection has identifier 7: the kernel chooses one; 8 is assumed",
  ],
  [
    { code: "port-distinguished", choice },
    "the kernel chooses a port from 7 to 9, and later rules distinguish it",
  ],
  [{ code: "no-interface-address", interface: "eth0" }, "eth0 has no address to translate to"],
  [
    { code: "masquerade-removed", interface: "eth0" },
    "masqueraded for eth0 and now routed to another interface: the connection is removed",
  ],
  [
    { code: "unknown-effect", key: "FROB@nat/OUTPUT/1", reason: { code: "unknown-target", target: "FROB" } },
    "FROB@nat/OUTPUT/1: fwcheck does not know the target FROB",
  ],
  [{ code: "too-many-branches" }, "too many unknown matches to follow every branch"],
  [
    { code: "too-many-matches", limit: 65_536 },
    "the packet matches more than 65536 rules; its path is not followed further",
  ],
  [
    { code: "too-many-rules", limit: 9 },
    "more than 9 rules are evaluated for the packet; its path is not followed further",
  ],
];

test.each(CASES)("%j", (assumption, text) => {
  expect(assumptionText(assumption)).toBe(text);
});

test("of connections that break, and of their notes", () => {
  expect(
    (
      [
        { code: "delivered-here" },
        { code: "leaves-host", out: "eth0" },
        { code: "off-bridge", out: "eth0", bridge: "docker0" },
        { code: "no-connection" },
      ] as const
    ).map(flowBreakText),
  ).toEqual([
    "it is delivered to the host itself, but its receiver is elsewhere",
    "it leaves by eth0, but its receiver is the host itself",
    "it leaves by eth0, but its receiver is on docker0, a bridge of this host",
    "its receiver has no connection with these addresses and ports",
  ]);
  expect(flowNoteText({ code: "asymmetric", from: "server", out: "eth0", in: "eth1" })).toBe(
    "the server's packets leave by eth0, but the client's come in by eth1",
  );
});
