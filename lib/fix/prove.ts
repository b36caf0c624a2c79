/**
 * Proves a fix over all packets: it closes the bypasses, and every other packet keeps its verdict, its output interface
 * and its header.
 */
import { auditFamily, type FamilyAudit, findingsOf, type Passage } from "../audit/audit.ts";
import type { Finding } from "../audit/finding.ts";
import type { Host } from "../host/host.ts";
import { comesIn } from "../host/packet-origin.ts";
import { CT, CT_STATUS, type Family, type Scalar } from "../packet/field.ts";
import { type PacketJson, packetJson } from "../packet/packet-json.ts";
import { ANY, bits, is } from "../packet/predicate.ts";
import { Program } from "../path/program.ts";
import { Domain } from "../reach/domain.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import { SetEngine } from "../reach/set-engine.ts";
import type { Vocabulary } from "../reach/variables.ts";
import { vocabularyOf } from "../reach/vocabulary.ts";
import { witness } from "../reach/witness.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import type { FixLanguage } from "./chain-names.ts";
import { type Cost, costOf } from "./cost.ts";
import { chainOutcomes, type Outcomes, outcomesOf, STOPPED } from "./outcomes.ts";
import { type FixPlace, PLACES } from "./place.ts";
import type { Difference, Direction } from "./reasons.ts";
import { passageKey, passageName, wholePassages } from "./whole-passages.ts";

/** A packet whose result the fix changes although it must not. */
export interface ChangedPacket {
  /** The packet. */
  readonly packet: PacketJson;
  /** Result that the fix changes. */
  readonly difference: Difference;
  /** Finding whose rules fail the proof; `null` for packets of no finding that the fix closes. */
  readonly finding: string | null;
}

/** Effect of a fix, over all packets. */
export interface Proof {
  /** Findings that are closed, by id. */
  readonly closed: readonly string[];
  /** Findings that remain. */
  readonly remaining: readonly string[];
  /** Packets that the fix changes although the intent does not block them; none in a proof that holds. */
  readonly changed: readonly ChangedPacket[];
}

/** A proof, with other results of its walks. */
export interface Proved {
  readonly proof: Proof;
  readonly cost: Cost;
  /** Findings that remain; not computed if some passages fail the proof. */
  readonly left: readonly Finding[];
  /** Closed passages whose rules fail the proof, by `passageKey`, each with a packet. */
  readonly breaking: ReadonlyMap<string, ChangedPacket>;
}

/** Passages that a fix closes, and passages that it leaves open, by `passageKey`. */
export interface Claim {
  readonly closed: ReadonlySet<string>;
  readonly open: ReadonlySet<string>;
}

const NOTHING: Claim = { closed: new Set(), open: new Set() };

/**
 * Proves a fix of one family.
 * @param audited audit of the rules without the fix
 * @param hostAfter the host with the ipsets of the fix
 * @param language language of the fix in `after`
 * @throws BudgetExceeded
 */
export function prove(
  before: Ruleset,
  after: Ruleset,
  host: Host,
  audited: FamilyAudit,
  hostAfter: Host = host,
  claim: Claim = NOTHING,
  language: FixLanguage = "iptables",
): Proved {
  const place = PLACES[language];
  const { changed, cost, passing, breaking } = compare(before, after, host, hostAfter, claim, audited, place);
  // If no blocked packet passes, no finding can remain, and the audit of the fixed rules is not needed.
  const left =
    breaking.size === 0 && (passing || claim.open.size > 0)
      ? findingsOf(auditFamily(after, hostAfter, [], { detail: "findings" }))
      : [];
  const remaining = new Set(left.map((f) => f.id));
  const findings = findingsOf(audited).map((f) => f.id);
  return {
    proof: {
      closed: findings.filter((id) => !remaining.has(id)),
      remaining: [...remaining],
      changed,
    },
    cost,
    left,
    breaking,
  };
}

/**
 * Returns vocabulary of the proof and of the rules of most fixes. If the domain of the first audit contains it, the proof
 * needs no second audit.
 */
export const foreseen = (host: Host, family: Family): Vocabulary => ({
  predicates: [
    comesIn(host),
    ...host.interfaces.map(({ name }) => is("in", name)),
    is("ctdir", 0),
    bits("ctstatus", CT_STATUS.DST_NAT, CT_STATUS.DST_NAT),
    is("ctorigdst", family === 4 ? 0 : 0n),
    is("ctorigdstport", 0),
  ],
  markValues: new Map(),
});

/** Differences between two rulesets, except that the new one stops packets that the intent blocks. */
interface Comparison extends Pick<Proved, "breaking" | "cost"> {
  readonly changed: readonly ChangedPacket[];
  /** Packets that the intent blocks pass the new rules. */
  readonly passing: boolean;
}

function compare(
  before: Ruleset,
  after: Ruleset,
  host: Host,
  hostAfter: Host,
  claim: Claim,
  found: FamilyAudit,
  place: FixPlace,
): Comparison {
  const program = Program.of(after, hostAfter);
  const vocabulary = vocabularyOf(program);
  // If the audit's domain is too coarse for the new rules, audit again with a finer one.
  const audited = found.domain.refines(Domain.of(before.family, [vocabulary]))
    ? found
    : auditFamily(before, host, [vocabulary, foreseen(host, before.family)], { detail: "sets" });
  const { domain } = audited;
  const { diagrams } = domain;
  // With equal NAT rules, packets that leave FORWARD alike leave the host alike.
  const natDiffers = before.tables.get("nat") !== after.tables.get("nat");
  const old = natDiffers ? new SetEngine(Program.of(before, host), domain) : audited.full;
  const now = new SetEngine(program, domain, natDiffers);
  const differences = new Differences(audited, found, host, claim);

  const arrive = (engine: SetEngine): Outcomes =>
    outcomesOf(engine.arrive(engine.start(comesIn(host))), engine);
  const send = (engine: SetEngine): Outcomes => outcomesOf(engine.send(engine.start(ANY)), engine);
  const [arriving, sending] = [arrive(now), send(now)];
  const passed = passedPackets(arriving, audited);
  const openPassages = wholePassages(audited).flatMap((passage) =>
    claim.open.has(passageKey(passage)) ? [passage.blocked] : [],
  );
  const leak = diagrams.subtract(passed, diagrams.unionAll(openPassages));
  if (leak !== EMPTY) {
    // Packets that pass without reaching our chain are findings that remain, and no failure of its rules.
    const sealed = new SetEngine(Program.of(place.sealed(after), hostAfter), domain, natDiffers);
    const unseen = [...arrive(sealed)].flatMap(([outcome, set]) => (outcome === STOPPED ? [] : [set]));
    differences.add(diagrams.subtract(leak, diagrams.unionAll(unseen)), {
      code: "not-stopped",
      direction: "in",
    });
  }
  compareOutcomes(arrive(old), arriving, audited.blocked, "in", differences);
  compareOutcomes(send(old), sending, EMPTY, "out", differences);
  compareFlows(old, now, differences, place);
  return {
    changed: differences.changed,
    breaking: differences.breaking,
    cost: costOf(audited, old, now, host, place.base(before.family)),
    passing: passed !== EMPTY,
  };
}

/** Returns the packets that the intent blocks and that may pass. */
function passedPackets(outcomes: Outcomes, { domain: { diagrams }, blocked }: FamilyAudit): Node {
  const passing = [...outcomes].filter(
    ([outcome]) => outcome.startsWith("accept") || outcome.startsWith("undecided"),
  );
  return diagrams.intersect(blocked, diagrams.unionAll(passing.map(([, set]) => set)));
}

/** Collects packets that fail the proof, one for each passage or difference. */
class Differences {
  readonly changed: ChangedPacket[] = [];
  readonly breaking = new Map<string, ChangedPacket>();
  readonly diagrams: SetEngine["domain"]["diagrams"];
  private readonly names: ReadonlyMap<string, string>;
  private readonly closed: readonly Passage[];

  /** @param found the first audit, whose findings have names */
  constructor(
    private readonly audited: FamilyAudit,
    found: FamilyAudit,
    private readonly host: Host,
    { closed }: Claim,
  ) {
    this.diagrams = audited.domain.diagrams;
    this.names = new Map(
      wholePassages(found).map((passage) => [passageKey(passage), passageName(passage, found.family)]),
    );
    this.closed = wholePassages(audited).filter((passage) => closed.has(passageKey(passage)));
  }

  /** Adds packets that differ; attributes them to the closed passages that they belong to. */
  add(set: Node, difference: Difference): void {
    if (set === EMPTY) return;
    const passages = this.closed.filter((passage) => this.diagrams.intersect(passage.all, set) !== EMPTY);
    for (const passage of passages) {
      const key = passageKey(passage);
      if (this.breaking.has(key)) continue;
      const example = this.example(
        this.diagrams.intersect(passage.all, set),
        difference,
        this.names.get(key) ?? null,
      );
      this.breaking.set(key, example);
    }
    if (passages.length === 0) this.example(set, difference, null);
  }

  private example(set: Node, difference: Difference, finding: string | null): ChangedPacket {
    const { packet } = witness(this.audited.domain, set, {
      in: this.host.interfaces.map((i): Scalar => i.name),
      sport: [40000],
      proto: [6, 17],
      flags: [2],
    });
    const changed = { packet: packetJson(packet), difference, finding };
    this.changed.push(changed);
    return changed;
  }
}

/** Adds the packets whose outcome changes. Packets of `blocked` may change to being stopped. */
function compareOutcomes(
  old: Outcomes,
  now: Outcomes,
  blocked: Node,
  direction: Direction,
  differences: Differences,
): void {
  const { diagrams } = differences;
  const stopped = now.get(STOPPED) ?? EMPTY;
  for (const [outcome, set] of old) {
    const differs = diagrams.subtract(set, now.get(outcome) ?? EMPTY);
    differences.add(diagrams.subtract(differs, blocked), { code: "allowed-changed", direction });
    differences.add(diagrams.subtract(diagrams.intersect(differs, blocked), stopped), {
      code: "blocked-redirected",
      direction,
    });
  }
}

/** Adds packets of existing flows for which the base chain of the fix has another verdict than before. */
function compareFlows(old: SetEngine, now: SetEngine, differences: Differences, { base }: FixPlace): void {
  const place = base(now.domain.family);
  for (const state of ["ESTABLISHED", "RELATED"] as const) {
    const bindings = { ctstate: { value: CT[state] }, mark: { value: 0 } };
    const after = chainOutcomes(now, place, bindings);
    for (const [outcome, set] of chainOutcomes(old, place, bindings))
      differences.add(differences.diagrams.subtract(set, after.get(outcome) ?? EMPTY), {
        code: "flow-changed",
        state,
      });
  }
}
