/**
 * Compares the sets of a comparison with the simulator: a packet is in the set of a change if and only if `simulate` gives it
 * results that differ so. `DIFF_PACKETS` is the number of packets for each pair; `DIFF_SEED` draws others.
 */
import {
  type Answer,
  fix,
  type Host,
  type Packet,
  type PacketJson,
  packetJson,
  type Ruleset,
  readPacket,
  Simulator,
} from "fwcheck";
import { describe, expect, test } from "vitest";
import type { ChangeKind } from "../../lib/compare/difference.ts";
import { FamilyComparison } from "../../lib/compare/family-comparison.ts";
import { ORIGINS } from "../../lib/compare/packet-paths.ts";
import { givenKeys } from "../../lib/compare/same-unknowns.ts";
import { type Field, hasPorts, type Scalar } from "../../lib/packet/field.ts";
import { BudgetExceeded } from "../../lib/reach/budget.ts";
import type { Domain } from "../../lib/reach/domain.ts";
import { EMPTY } from "../../lib/reach/node-store.ts";
import { hostOf, rulesetsOf } from "../builders.ts";
import { capture, examples } from "../capture.ts";
import { generate } from "../kernel/generate.ts";
import { random } from "../random.ts";
import { type Drawn, draw } from "../reach/draw.ts";

const PACKETS = Number(process.env.DIFF_PACKETS ?? 100);
const SEED = Number(process.env.DIFF_SEED ?? 0);
const DRAWN = Math.max(8, Math.min(200, Math.floor(PACKETS / 50)));
const LONG = 7_200_000;

/** Rules on a host. */
interface Side {
  readonly ruleset: Ruleset;
  readonly host: Host;
}

/** What the sender and the receiver see of a packet, without the source that it leaves with. */
const fateOf = ({ verdict, delivery, out, sent }: Answer): readonly unknown[] =>
  verdict === "accept" ? [verdict, delivery, out, sent?.dst ?? null, sent?.dport ?? null] : [verdict];

const isStopped = ({ verdict }: Answer): boolean => verdict === "drop" || verdict === "reject";

/** Returns the kind of the difference that the simulator shows; `null` if there is none. */
function kindOf(before: Answer, after: Answer): ChangeKind | null {
  if (JSON.stringify(fateOf(before)) === JSON.stringify(fateOf(after))) return null;
  if (before.verdict === "undecided" || after.verdict === "undecided") return "unsettled";
  if (isStopped(before)) return isStopped(after) ? "stopped-otherwise" : "opened";
  return isStopped(after) ? "closed" : "delivered-elsewhere";
}

const FIELDS = ["in", "src", "dst", "proto", "sport", "dport", "flags", "type", "code", "ttl"] as const;

/** Returns a packet with the fields of one that differs, and at most one field of a drawn one. */
function near(
  drawn: Drawn,
  named: Packet,
  domain: Domain,
  next: () => number,
): Pick<Drawn, "packet" | "ordinal"> {
  const kept = FIELDS[Math.floor(next() * FIELDS.length * 2)];
  const fields = FIELDS.filter(
    (field) =>
      field !== "in" && named[field] !== undefined && (field !== kept || drawn.packet[field] === undefined),
  );
  const values = new Map<Field, Scalar>(fields.map((field) => [field, named[field] as Scalar]));
  // The field `in` is the host itself where a packet is sent.
  values.set("in", named.in ?? "");
  const { sport, dport, ...others } = { ...drawn.packet, ...Object.fromEntries(values), in: named.in };
  const packet = hasPorts(others.proto) ? { ...others, sport, dport } : others;
  return {
    packet: packet as Packet,
    ordinal: (level) => {
      const variable = domain.variables[level]!;
      const value = variable.kind === "field" ? values.get(variable.field) : undefined;
      return value === undefined ? drawn.ordinal(level) : domain.ordinal(level, value);
    },
  };
}

/** Returns the number of packets that were compared, and of those that differ. */
function law(before: Side, after: Side, packets: number, seed: number): readonly [number, number] {
  const compared = new FamilyComparison(before.ruleset, before.host, after.ruleset, after.host);
  const { domain, paired } = compared;
  const { diagrams } = domain;
  const sets = { arriving: compared.changed("arriving"), sent: compared.changed("sent") };
  for (const origin of ORIGINS) {
    // The changes are disjoint.
    const list = sets[origin].changes.map(({ set }) => set);
    for (const [i, set] of list.entries())
      for (const other of list.slice(i + 1)) expect(diagrams.intersect(set, other)).toBe(EMPTY);
  }
  // Half of the values are those of a packet that differs, as the comparison names it.
  const named = compared.compare().changes.map(({ witness }) => readPacket(witness) as Packet);
  const next = random(seed + SEED);
  let checked = 0;
  let differing = 0;
  for (let i = 0; i < packets; i++) {
    const { host } = next() < 0.5 ? before : after;
    const drawn = draw(domain, host, before.ruleset.family, new Map(), next);
    const { packet, ordinal } =
      named.length > 0 && next() < 0.5
        ? near(drawn, named[Math.floor(next() * named.length)]!, domain, next)
        : drawn;
    const assume = new Map(drawn.assume);
    for (const variable of domain.variables)
      if (variable.kind === "unknown")
        for (const key of variable.keys) assume.set(key, drawn.assume.get(variable.key)!);
    const { universe, changes, before: old, after: now } = sets[packet.in === null ? "sent" : "arriving"];
    if (diagrams.evaluate(universe, ordinal) === 0) continue;
    const unsure = [old, now].some(({ outcomes }) =>
      [...outcomes.values()].some(
        ({ outcome, set }) => outcome.unsure.length > 0 && diagrams.evaluate(set, ordinal) === 1,
      ),
    );
    if (unsure) continue;
    const answers = [
      new Simulator([before.ruleset], before.host, { assume }).packet(packet),
      new Simulator([after.ruleset], after.host, { assume: givenKeys(assume, paired) }).packet(packet),
    ] as const;
    if (answers.some(({ assumptionCodes }) => JSON.stringify(assumptionCodes).includes('"spi"'))) continue;
    const found = changes.filter(({ set }) => diagrams.evaluate(set, ordinal) === 1).map(({ kind }) => kind);
    const where = (): string =>
      JSON.stringify({ seed, i, packet: packetJson(packet) satisfies PacketJson, found, answers });
    const kind = kindOf(...answers);
    // The simulator shows no header of packets that the host itself receives.
    const received = answers.every(({ delivery }) => delivery === "local");
    if (kind !== null) expect(found, where()).toEqual([kind]);
    else if (!received)
      expect(
        found.filter((each) => each !== "translated-otherwise"),
        where(),
      ).toEqual([]);
    checked++;
    if (kind !== null) differing++;
  }
  return [checked, differing];
}

const ofFamily = ({ rulesets, host }: { rulesets: readonly Ruleset[]; host: Host }, family: 4 | 6): Side => ({
  ruleset: rulesets.find((ruleset) => ruleset.family === family)!,
  host,
});

/** Removes rules of a text of iptables-save, and changes policies, at random. */
const mutated = (save: string, next: () => number): string =>
  save
    .split("\n")
    .filter((line) => !line.startsWith("-A") || next() > 0.1)
    .map((line) =>
      /^:(INPUT|FORWARD|OUTPUT) /.test(line) && next() < 0.2
        ? line.replace(/ACCEPT|DROP/, (policy) => (policy === "DROP" ? "ACCEPT" : "DROP"))
        : line,
    )
    .join("\n");

describe("a packet is in the set of a change if and only if its results differ so", () => {
  test.each([4, 6] as const)("Docker 20.10 and 28.5, IPv%s", { timeout: LONG }, (family) => {
    const [before, after] = ["ufw-docker-20.10", "ufw-docker-28.5"].map((name) =>
      ofFamily(capture(`${examples}${name}`), family),
    );
    const [checked, differing] = law(before!, after!, PACKETS * 5, 1);
    expect(checked).toBeGreaterThan(PACKETS);
    if (family === 4) expect(differing).toBeGreaterThan(0);
  });

  test("before and after a fix", { timeout: LONG }, () => {
    const given = capture(`${examples}ufw-docker-20.10`);
    const fixed = fix(given.rulesets, given.host);
    const rulesets = rulesetsOf(fixed.saved);
    expect(rulesets.length).toBeGreaterThan(0);
    const [checked, differing] = law(
      ofFamily(given, 4),
      ofFamily({ rulesets, host: given.host }, 4),
      PACKETS * 5,
      2,
    );
    expect(checked).toBeGreaterThan(PACKETS);
    expect(differing).toBeGreaterThan(0);
  });

  test(`${DRAWN} random rulesets, and each with some rules removed`, { timeout: LONG }, () => {
    const next = random(17 + SEED);
    let [checked, differing, limited] = [0, 0, 0];
    for (let i = 0; i < DRAWN; i++) {
      const family = i % 3 === 2 ? 6 : 4;
      const { save, sysctls } = generate(next, family, `drawn ${i}`);
      const [old, now] = [save, mutated(save, next)].map((text) =>
        rulesetsOf(text, { name: "drawn", family }),
      );
      const sysctl = Object.entries(sysctls).map(([name, value]) => `${name} = ${value}\n`);
      const host = hostOf([...old!, ...now!], { sysctl: sysctl.join("") });
      try {
        const [all, some] = law(
          ofFamily({ rulesets: old!, host }, family),
          ofFamily({ rulesets: now!, host }, family),
          PACKETS,
          i,
        );
        checked += all;
        differing += some;
      } catch (error) {
        if (!(error instanceof BudgetExceeded)) throw error;
        limited++;
      }
    }
    if (process.env.DIFF_PACKETS !== undefined) console.log(`${checked} packets, ${differing} differ`);
    expect(limited).toBeLessThan(DRAWN / 4);
    expect(differing).toBeGreaterThan(0);
  });
});
