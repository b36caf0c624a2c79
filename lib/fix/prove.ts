/**
 * The argument that a fix is right, over all packets: every bypass is closed, and for every other packet the verdict,
 * the way it leaves by and its header are what they were.
 */
import { auditFamily, type FamilyAudit, findingsOf } from "../audit/audit.ts";
import type { Finding } from "../audit/finding.ts";
import { comesIn, type Host } from "../host/host.ts";
import type { Target } from "../iptables/rule.ts";
import { drop } from "../iptables/targets/verdicts.ts";
import { withParts } from "../iptables/typed-rule.ts";
import { CT, CT_STATUS, type Family, type Field, type Scalar } from "../packet/field.ts";
import { type PacketJson, packetJson } from "../packet/packet-json.ts";
import { ANY, bits, is } from "../packet/predicate.ts";
import { Program } from "../path/program.ts";
import type { Ending } from "../path/walk.ts";
import { Domain } from "../reach/domain.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import { SetEngine } from "../reach/set-engine.ts";
import { type HeaderState, type SetState, type SetStates, singleState } from "../reach/set-state.ts";
import type { Vocabulary } from "../reach/variables.ts";
import { vocabularyOf } from "../reach/vocabulary.ts";
import { witness } from "../reach/witness.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { CHAIN } from "./chain-names.ts";
import { type Cost, costOf } from "./cost.ts";
import type { Difference, Direction } from "./reasons.ts";
import { wayKey, wayName, wholeWays } from "./whole-ways.ts";

/** A packet that the fix treats as it must not. */
export interface Changed {
  /** The packet. */
  readonly packet: PacketJson;
  /** What the fix changes for it. */
  readonly difference: Difference;
  /** The finding whose rules break the proof there; `null` where the packet belongs to none that the fix closes. */
  readonly finding: string | null;
}

/** What a fix does, over all packets. */
export interface Proof {
  /** Findings that are closed, by id. */
  readonly closed: readonly string[];
  /** Findings that are still there. */
  readonly remaining: readonly string[];
  /** Packets that would fare otherwise although nothing blocks them; none in a proof that holds. */
  readonly changed: readonly Changed[];
}

/** A proof with what else its walks showed. */
export interface Proved {
  readonly proof: Proof;
  readonly cost: Cost;
  /** The findings that are left; none where ways break the proof. */
  readonly left: readonly Finding[];
  /** Closed ways whose rules break the proof, by `wayKey`, each with a packet that shows it. */
  readonly breaking: ReadonlyMap<string, Changed>;
}

/** What a fix closes and what it does not try to close, by `wayKey`. */
export interface Claim {
  readonly closed: ReadonlySet<string>;
  readonly open: ReadonlySet<string>;
}

const NOTHING: Claim = { closed: new Set(), open: new Set() };

/**
 * Proves a fix of one family.
 * @param audited what was found before
 * @param then the host with what the fix brings besides rules
 * @throws BudgetExceeded
 */
export function prove(
  before: Ruleset,
  after: Ruleset,
  host: Host,
  audited: FamilyAudit,
  then: Host = host,
  claim: Claim = NOTHING,
): Proved {
  const { changed, cost, passing, breaking } = changes(before, after, host, then, claim, audited);
  // Where nothing that is blocked comes through, no finding can be left; else they are looked for, to be named.
  const left =
    breaking.size === 0 && (passing || claim.open.size > 0)
      ? findingsOf(auditFamily(after, then, [], { detail: "findings" }))
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

/** The ruleset with a chain of ours that lets nothing through: what passes it still never came to it. */
function sealed(ruleset: Ruleset): Ruleset {
  const filter = ruleset.tables.get("filter");
  const chain = filter?.chains.get(CHAIN);
  if (filter === undefined || chain === undefined) return ruleset;
  const all = withParts(chain.rules[0]!, { matches: [], unknown: [], target: DROP });
  const chains = new Map([...filter.chains, [CHAIN, { ...chain, rules: [all] }]]);
  return { ...ruleset, tables: new Map([...ruleset.tables, ["filter", { ...filter, chains }]]) };
}

const DROP: Target = { kind: "extension", extension: drop, values: {} };

/** What a walk's end amounts to: the verdict, the interface, and the header, spelled. */
function outcome(ending: Ending<SetStates>, form: HeaderState): string {
  // Dropped or rejected, a packet does not come through: which of the two is the owner's word to say.
  if (ending.verdict === "drop" || ending.verdict === "reject") return "stopped";
  const header = (["src", "dst", "sport", "dport", "mark", "ctmark", "tos", "ttl"] satisfies Field[]).map(
    (field) => {
      const bound = form.bindings[field];
      return bound === undefined ? "" : "value" in bound ? String(bound.value) : `=${bound.variable}`;
    },
  );
  return [ending.verdict, ending.delivery, ending.out, ...header].join("|");
}

/** What a proof and the rules of most fixes ask besides the ruleset: an audit whose domain knows it serves the proof, too. */
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

/** Packets for which the two rulesets differ, but for those that the intent blocks and the new one stops. */
function changes(
  before: Ruleset,
  after: Ruleset,
  host: Host,
  then: Host,
  { closed, open }: Claim,
  found: FamilyAudit,
): Pick<Proved, "breaking" | "cost"> & { readonly changed: Changed[]; readonly passing: boolean } {
  const programs = [Program.of(before, host), Program.of(after, then)] as const;
  const arriving = comesIn(host);
  // Where the domain of the audit cannot tell apart what the new ruleset can, the intent is worked out anew.
  const more = (): Vocabulary => vocabularyOf(programs[1]);
  const audited = found.domain.refines(Domain.of(before.family, [more()]))
    ? found
    : auditFamily(before, host, [more(), foreseen(host, before.family)], {
        detail: "sets",
      });
  const { domain } = audited;
  const { diagrams } = domain;
  // Where both translate alike, what leaves FORWARD alike leaves the host alike.
  const sent = before.tables.get("nat") !== after.tables.get("nat");
  const old = sent ? new SetEngine(programs[0], domain) : audited.full;
  const now = new SetEngine(programs[1], domain, sent);
  const changed: Changed[] = [];
  const breaking = new Map<string, Changed>();
  let passing = false;
  const add = (set: Node, difference: Difference, finding: string | null): Changed => {
    const { packet } = witness(domain, set, {
      in: host.interfaces.map((i): Scalar => i.name),
      sport: [40000],
      proto: [6, 17],
      flags: [2],
    });
    const one = { packet: packetJson(packet), difference, finding };
    changed.push(one);
    return one;
  };
  const names = new Map(wholeWays(found).map((way) => [wayKey(way), wayName(way, before.family)]));
  const claimed = wholeWays(audited).filter((way) => closed.has(wayKey(way)));
  const report = (set: Node, difference: Difference): void => {
    if (set === EMPTY) return;
    const broken = claimed.filter((way) => diagrams.intersect(way.all, set) !== EMPTY);
    for (const way of broken) {
      const key = wayKey(way);
      if (breaking.has(key)) continue;
      breaking.set(key, add(diagrams.intersect(way.all, set), difference, names.get(key) ?? null));
    }
    if (broken.length === 0) add(set, difference, null);
  };
  const ways: [Direction, (reach: SetEngine) => Ending<SetStates>[], Node][] = [
    ["in", (reach) => reach.arrive(reach.start(arriving)), audited.blocked],
    ["out", (reach) => reach.send(reach.start(ANY)), EMPTY],
  ];
  for (const [direction, walk, may] of ways) {
    const was = byOutcome(walk(old), old);
    const becomes = byOutcome(walk(now), now);
    if (may !== EMPTY) {
      // What the intent blocks and still comes through: only what is left open by name, and what never came to us.
      const out = [...becomes].filter(([how]) => how.startsWith("accept") || how.startsWith("undecided"));
      const through = diagrams.intersect(may, diagrams.unionAll(out.map(([, set]) => set)));
      passing ||= through !== EMPTY;
      const named = wholeWays(audited).flatMap((way) => (open.has(wayKey(way)) ? [way.blocked] : []));
      const leak = diagrams.subtract(through, diagrams.unionAll(named));
      if (leak !== EMPTY) {
        const tight = new SetEngine(Program.of(sealed(after), then), domain, sent);
        const past = byOutcome(walk(tight), tight);
        const unseen = [...past].flatMap(([how, set]) => (how === "stopped" ? [] : [set]));
        report(diagrams.subtract(leak, diagrams.unionAll(unseen)), { code: "not-stopped", direction });
      }
    }
    for (const [how, set] of was) {
      const differs = diagrams.subtract(set, becomes.get(how) ?? EMPTY);
      report(diagrams.subtract(differs, may), { code: "allowed-changed", direction });
      const stopped = becomes.get("stopped") ?? EMPTY;
      report(diagrams.subtract(diagrams.intersect(differs, may), stopped), {
        code: "blocked-redirected",
        direction,
      });
    }
  }
  // Flows that are already there: whatever conntrack says of them but NEW, FORWARD must decide as it did.
  for (const state of ["ESTABLISHED", "RELATED"] as const) {
    const decide = (reach: SetEngine): Map<string, Node> => {
      const bound = { ctstate: { value: CT[state] }, mark: { value: 0 } };
      const start: SetState = { ...reach.start(ANY), bindings: bound };
      return byOutcome(
        reach.decideTable(start, "filter", "FORWARD").map((p) => ({
          state: singleState(p.state),
          verdict: p.outcome,
          delivery: "forward",
          out: null,
          why: null,
          hook: null,
        })),
        reach,
      );
    };
    const becomes = decide(now);
    for (const [how, set] of decide(old))
      report(diagrams.subtract(set, becomes.get(how) ?? EMPTY), { code: "flow-changed", state });
  }
  return { changed, cost: costOf(audited, old, now, host), passing, breaking };
}

function byOutcome(endings: readonly Ending<SetStates>[], { chains, domain }: SetEngine): Map<string, Node> {
  const { diagrams } = domain;
  const parts = new Map<string, Node[]>();
  for (const ending of endings)
    for (const [how, { set }] of chains.groupByHeader(ending.state, (form) => outcome(ending, form))) {
      const list = parts.get(how);
      if (list === undefined) parts.set(how, [diagrams.members(set)]);
      else list.push(diagrams.members(set));
    }
  return new Map([...parts].map(([how, sets]) => [how, diagrams.unionAll(sets)]));
}
