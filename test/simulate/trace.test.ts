/** A trace has the verdict of the simulator and all changes: replayed, they give the header at the end. */
import { Simulator, type TracedBranch } from "fwcheck";
import { expect, test } from "vitest";
import { printAddress } from "../../lib/packet/address.ts";
import { hostOf, packetOf, rulesetsOf } from "../builders.ts";
import { Aim } from "../kernel/aim.ts";
import { generate } from "../kernel/generate.ts";
import { random } from "../random.ts";

const SEEDS = 15;
const PACKETS = 80;

/** Replays the events of a branch. */
function played(way: TracedBranch, start: Map<string, unknown>): Map<string, unknown> {
  const now = new Map(start);
  for (const moment of way.events) {
    const changes =
      moment.kind === "table"
        ? [...moment.steps.flatMap((s) => s.changes), ...moment.changes]
        : moment.kind === "aged"
          ? moment.changes
          : [];
    for (const { field, from, to } of changes) {
      if (now.get(field) !== from) throw new Error(`${field} was ${now.get(field)}, not ${from}`);
      now.set(field, to);
    }
  }
  return now;
}

test.each([4, 6] as const)("IPv%i: generated rulesets, with existing flows", (family) => {
  const seen = { changes: 0, replies: 0 };
  for (let seed = 1; seed <= SEEDS; seed++) {
    const next = random(seed);
    const { save, interfaces, sysctls } = generate(next, family, String(seed));
    const rulesets = rulesetsOf(save);
    const addr = interfaces.map(({ name, addresses }) => ({
      ifname: name,
      addr_info: addresses.map((a) => ({
        family: family === 4 ? "inet" : "inet6",
        local: a.split("/")[0],
        prefixlen: Number(a.split("/")[1]),
      })),
    }));
    const text = Object.entries(sysctls)
      .map(([k, v]) => `${k} = ${v}\n`)
      .join("");
    const host = hostOf(rulesets, { addr, sysctl: text });
    const plain = new Simulator(rulesets, host);
    const tracing = new Simulator(rulesets, host);
    const aim = new Aim(next, family, rulesets[0]!, host, plain);
    for (let i = 0; i < PACKETS; i++) {
      const { seq: _, ack: __, ...drawn } = aim.draw();
      const packet = packetOf(drawn);
      const answer = plain.packet(packet);
      const trace = tracing.trace(packet);
      expect(trace.answer, `seed ${seed}, packet ${i}`).toEqual(answer);
      if (answer.verdict !== "undecided") aim.saw(drawn, answer);
      for (const way of trace.branches) {
        const steps = way.events.flatMap((m) => (m.kind === "table" ? m.steps.map((s) => s.step) : []));
        expect(steps).toEqual(way.path);
        const start = new Map<string, unknown>([
          ...(["src", "sport", "dst", "dport"] as const).map((f) => [f, packet[f]] as const),
          ["mark", packet.mark ?? 0],
          ["tos", packet.tos ?? 0],
          ["ttl", packet.ttl ?? 64],
        ]);
        // Fields of conntrack change without an event; only assignments by rules are events.
        const end = played(ignoring(way), start);
        const { src, sport, dst, dport } = way.header;
        const [mark, tos, ttl] = (["mark", "tos", "ttl"] as const).map((f) => way.sent?.[f] ?? end.get(f));
        const header = { src, sport, dst, dport, mark, tos, ttl };
        expect(Object.fromEntries(end)).toEqual(header);
        if (way.sent === null) continue;
        expect(way.sent.dst).toBe(printAddress(dst));
        if (way.events.some((m) => m.kind === "table" && m.changes.length > 0)) seen.changes++;
        if (way.events.some((m) => m.kind === "track" && m.reply)) seen.replies++;
      }
    }
  }
  expect(seen.changes).toBeGreaterThan(25);
  expect(seen.replies).toBeGreaterThan(25);
});

const KEPT = new Set(["src", "sport", "dst", "dport", "mark", "tos", "ttl"]);

/** Returns the changes of a branch without fields of conntrack. */
const ignoring = (way: TracedBranch): TracedBranch => ({
  ...way,
  events: way.events.map((m) =>
    m.kind === "table"
      ? {
          ...m,
          steps: m.steps.map((s) => ({ ...s, changes: s.changes.filter((c) => KEPT.has(c.field)) })),
        }
      : m,
  ),
});
