/** Compares the rules of one family on two hosts. */
import { Certainty } from "../audit/certainty.ts";
import type { Host } from "../host/host.ts";
import { MULTICAST } from "../packet/address.ts";
import type { Family } from "../packet/field.ts";
import { packetJson } from "../packet/packet-json.ts";
import { type Predicate, within } from "../packet/predicate.ts";
import { Program } from "../path/program.ts";
import { GROUPS } from "../path/routing-decision.ts";
import type { Domain } from "../reach/domain.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import type { OutcomeSet } from "../reach/outcome.ts";
import { KNOWN_STATES } from "../reach/set-engine.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import {
  type ChangedOutcomes,
  changedOutcomes,
  changedPackets,
  isStopped,
  mergedChanges,
  type ProgramOutcomes,
} from "./changed-outcomes.ts";
import { ClassDescriber } from "./class-describer.ts";
import type { ChangeCause, ChangeKind, DiffSide, PacketChange, SideDoubt } from "./difference.ts";
import { Fates } from "./fates.ts";
import { foreignLinkLocal } from "./link-local.ts";
import {
  commonDomain,
  HEADER_FIELDS,
  OPENING,
  ORIGINS,
  type Origin,
  PacketPaths,
  packetsFrom,
} from "./packet-paths.ts";
import { assumptions, confirms, Examples } from "./replay.ts";
import { givenKeys, type PairedRuleset, withPairedUnknowns } from "./same-unknowns.ts";

/** Result for one family. */
export interface FamilyDiff {
  readonly family: Family;
  readonly changes: readonly PacketChange[];
  readonly doubts: readonly SideDoubt[];
}

/** Packets of one origin, and those that fare differently. */
export interface ComparedPackets {
  readonly universe: Node;
  readonly before: ProgramOutcomes;
  readonly after: ProgramOutcomes;
  readonly changes: readonly ChangedOutcomes[];
}

/** Packets of one change that a description covers. */
interface ChangedPart extends ChangedOutcomes {
  readonly cause: ChangeCause;
  readonly opening: boolean;
  readonly certainty: PacketChange["certainty"];
  /** Members as sets over all fields, unknowns included. */
  readonly whole: Node;
  /** Packets to multicast groups that this change mentions without a part of their own. */
  readonly groups: Node;
}

const outcomesOf = (paths: PacketPaths, origin: Origin, set: Node): ProgramOutcomes => ({
  paths,
  outcomes: paths.outcomes(origin, set),
});

export class FamilyComparison {
  private readonly family: Family;
  readonly paired: PairedRuleset;
  private readonly before: PacketPaths;
  private readonly after: PacketPaths;
  /** The new rules on the old host; `null` where the hosts are one. */
  private readonly mixed: PacketPaths | null;
  readonly domain: Domain;
  private readonly certainty: Certainty;
  private readonly describer: ClassDescriber;
  private readonly examples: Readonly<Record<DiffSide, Examples>>;
  private readonly doubts: SideDoubt[] = [];
  private readonly hosts: readonly [Host, Host];
  private readonly opening: Node;
  /** Packets to multicast groups. */
  private readonly multicast: Node;
  /** Packets to or from link-local addresses that only one of the hosts has. */
  private readonly foreign: Predicate;
  /** Level of the TCP flags. */
  private readonly flags: ReadonlySet<number>;

  constructor(
    private readonly old: Ruleset,
    private readonly hostBefore: Host,
    private readonly now: Ruleset,
    private readonly hostAfter: Host,
    budget?: number,
  ) {
    this.family = old.family;
    this.hosts = [hostBefore, hostAfter];
    this.paired = withPairedUnknowns(old, hostBefore, now, hostAfter);
    const { ruleset } = this.paired;
    const programs = [
      Program.of(old, hostBefore),
      Program.of(ruleset, hostAfter),
      Program.of(ruleset, hostBefore),
    ] as const;
    this.foreign = foreignLinkLocal(this.family, this.hosts);
    this.domain = commonDomain(this.family, programs, [this.foreign], budget);
    this.before = new PacketPaths(programs[0], this.domain);
    this.after = programs[1] === programs[0] ? this.before : new PacketPaths(programs[1], this.domain);
    this.mixed = hostBefore === hostAfter ? null : new PacketPaths(programs[2], this.domain);
    this.certainty = new Certainty(this.domain, old);
    this.opening = this.domain.set(OPENING);
    this.multicast = this.domain.set(within("dst", MULTICAST[this.family]));
    this.flags = new Set([this.domain.levelOf("flags")!]);
    const names = this.hosts.flatMap(({ interfaces }) => interfaces.map(({ name }) => name));
    this.describer = new ClassDescriber(this.domain, [...new Set(names)]);
    this.examples = {
      before: new Examples(this.domain, hostBefore),
      after: new Examples(this.domain, hostAfter),
    };
  }

  /** @throws BudgetExceeded */
  compare(): FamilyDiff {
    const changes = ORIGINS.flatMap((origin) => this.compareFrom(origin));
    return { family: this.family, changes, doubts: this.doubts };
  }

  /** Returns the packets of an origin that fare differently, as sets. */
  changed(origin: Origin): ComparedPackets {
    const { diagrams } = this.domain;
    const all = this.domain.set(packetsFrom(origin, this.hosts));
    const universe = diagrams.subtract(all, this.domain.set(this.foreign));
    const before = this.outcomes(this.before, origin, universe);
    const after = this.after === this.before ? before : this.outcomes(this.after, origin, universe);
    const changes = mergedChanges(changedOutcomes(before, after), this.before);
    return { universe, before, after, changes };
  }

  private compareFrom(origin: Origin): PacketChange[] {
    const compared = this.changed(origin);
    const { before, after, changes } = compared;
    this.doubtUndecided(origin, before.outcomes, "before");
    this.doubtUndecided(origin, after.outcomes, "after");
    const all = changedPackets(changes, this.before);
    this.doubtLater(origin, compared.universe, all);
    if (all === EMPTY) return [];
    const fates = {
      before: new Fates(this.before, origin, all),
      after: new Fates(this.after, origin, all),
    };
    const ended = new EndedPackets(compared);
    return this.byCause(origin, changes, all)
      .flatMap((part) => this.parts(part))
      .flatMap((part) => this.describe(origin, part, ended.possible(part.kind), fates))
      .sort(byImportance);
  }

  /** Returns the outcomes of all packets of an origin; records packets that have none as a doubt. */
  private outcomes(paths: PacketPaths, origin: Origin, universe: Node): ProgramOutcomes {
    const found = outcomesOf(paths, origin, universe);
    const covered = this.domain.diagrams.unionAll([...found.outcomes.values()].map(({ set }) => set));
    const side = paths === this.after ? "after" : "before";
    if (covered !== universe)
      this.doubts.push({ side, doubt: { code: "packets-lost", family: this.family, origin } });
    return found;
  }

  /** Records packets without a certain result as doubts. */
  private doubtUndecided(origin: Origin, outcomes: ReadonlyMap<string, OutcomeSet>, side: DiffSide): void {
    const { family } = this;
    const seen = new Set<string>();
    for (const { outcome, set } of outcomes.values()) {
      for (const reason of outcome.unsure)
        this.doubts.push({ side, doubt: { code: "not-followed", family, reason } });
      if (outcome.verdict !== "undecided") continue;
      const { reason } = outcome;
      if (outcome.unsure.length > 0 || seen.has(JSON.stringify(reason))) continue;
      seen.add(JSON.stringify(reason));
      const packet = packetJson(this.examples[side].of(origin, set).packet);
      this.doubts.push({ side, doubt: { code: "packets-undecided", family, origin, reason, packet } });
    }
  }

  /** Records a doubt if packets of established connections fare differently, and the packets that open them do not. */
  private doubtLater(origin: Origin, universe: Node, changed: Node): void {
    if (this.after === this.before) return;
    const { diagrams, unknownLevels } = this.domain;
    const first = diagrams.intersect(this.opening, diagrams.project(changed, unknownLevels));
    const rest = diagrams.subtract(universe, this.anyFlags(first));
    for (const state of KNOWN_STATES) {
      const later = ({ program }: PacketPaths): ProgramOutcomes =>
        outcomesOf(new PacketPaths(program, this.domain, HEADER_FIELDS, state), origin, rest);
      const differs = changedPackets(changedOutcomes(later(this.before), later(this.after)), this.before);
      if (differs === EMPTY) continue;
      const packet = packetJson(this.examples.after.of(origin, differs).packet);
      const doubt = { code: "later-packets-differ", family: this.family, origin, state, packet } as const;
      this.doubts.push({ side: "after", doubt });
    }
  }

  /** Splits changes by cause: the new rules on the old host give the old result, the new one, or a third. */
  private byCause(
    origin: Origin,
    changed: readonly ChangedOutcomes[],
    all: Node,
  ): (ChangedOutcomes & { readonly cause: ChangeCause })[] {
    const { mixed } = this;
    if (mixed === null) return changed.map((change) => ({ ...change, cause: "rules" }));
    const { diagrams } = this.domain;
    const outcomes = (paths: PacketPaths): ProgramOutcomes => outcomesOf(paths, origin, all);
    const between = outcomes(mixed);
    const byRules = changedPackets(changedOutcomes(outcomes(this.before), between), mixed);
    const byHost = changedPackets(changedOutcomes(between, outcomes(this.after)), mixed);
    return changed.flatMap((change) => {
      const [rules, rest] = [diagrams.subtract(change.set, byHost), diagrams.intersect(change.set, byHost)];
      const sets = {
        rules,
        host: diagrams.subtract(rest, byRules),
        both: diagrams.intersect(rest, byRules),
      } as const;
      return (Object.keys(sets) as ChangeCause[]).flatMap((cause) =>
        sets[cause] === EMPTY ? [] : [{ ...change, set: sets[cause], cause }],
      );
    });
  }

  /**
   * Splits a change by packets that open connections, and by certainty. The parts depend on no unknown. Other packets with the
   * addresses and ports of those that open connections are in no part of their own.
   */
  private parts(change: ChangedOutcomes & { readonly cause: ChangeCause }): ChangedPart[] {
    const { diagrams } = this.domain;
    const ordinary = this.certainty.ordinaryPart(change.set);
    // Packets with IPv6 extension headers alone differ.
    const whole = ordinary === EMPTY ? change.set : ordinary;
    const certain = ordinary === EMPTY ? EMPTY : this.certainty.certainPart(whole);
    const possible = diagrams.project(whole, this.domain.unknownLevels);
    const twins = this.anyFlags(diagrams.intersect(this.opening, possible));
    const groups = this.groupTwins(whole, certain);
    return [true, false].flatMap((isOpening) =>
      (["must", "may"] as const).flatMap((certainty) => {
        const own =
          certainty === "must" ? certain : diagrams.subtract(diagrams.subtract(possible, certain), groups);
        const set = isOpening
          ? diagrams.intersect(this.opening, own)
          : diagrams.subtract(diagrams.subtract(own, this.opening), twins);
        return set === EMPTY ? [] : [{ ...change, set, opening: isOpening, certainty, whole, groups }];
      }),
    );
  }

  /**
   * Returns packets to multicast groups that differ like packets to other destinations if the host has joined their group, which
   * is not known. They are in no part of their own.
   */
  private groupTwins(whole: Node, certain: Node): Node {
    const { diagrams } = this.domain;
    const dst = this.domain.levelOf("dst");
    if (certain === EMPTY || dst === undefined) return EMPTY;
    const twins = diagrams.intersect(
      diagrams.intersect(this.multicast, diagrams.project(certain, new Set([dst]))),
      diagrams.subtract(whole, certain),
    );
    const isGroup = this.certainty.unknownsOf(twins).join() === GROUPS;
    return isGroup ? diagrams.project(twins, this.domain.unknownLevels) : EMPTY;
  }

  /** Returns the packets of a set, and those that differ from them in TCP flags alone. */
  private anyFlags(set: Node): Node {
    return this.domain.diagrams.project(set, this.flags);
  }

  private describe(
    origin: Origin,
    part: ChangedPart,
    possible: Node,
    fates: Readonly<Record<DiffSide, Fates>>,
  ): PacketChange[] {
    const { diagrams } = this.domain;
    const { opening } = this;
    const care = diagrams.project(possible, this.domain.unknownLevels);
    const able = part.opening ? diagrams.intersect(opening, care) : diagrams.subtract(care, opening);
    return this.describer.describe(part.set, able, origin === "arriving").flatMap(({ set, packets }) => {
      const whole = diagrams.intersect(part.whole, set);
      const { kind, cause, certainty } = part;
      const proof = this.proof(origin, part, whole);
      if (proof === null) return [];
      return [
        {
          kind,
          family: this.family,
          origin,
          cause,
          certainty,
          depends: certainty === "must" ? [] : this.certainty.unknownsOf(whole),
          packets: {
            ...packets,
            opening: part.opening,
            others: part.opening && this.hasOthers(set, part.whole),
            groups: certainty === "must" && this.hasGroups(set, part.groups),
          },
          before: fates.before.of(part.before, whole),
          after: fates.after.of(part.after, whole),
          ...proof,
        },
      ];
    });
  }

  /** Returns true if packets that open no connection, with addresses and ports of a set, fare like those of the set. */
  private hasOthers(set: Node, whole: Node): boolean {
    const { diagrams } = this.domain;
    return diagrams.intersect(diagrams.subtract(this.anyFlags(set), this.opening), whole) !== EMPTY;
  }

  /** Returns true if packets to multicast groups, otherwise like those of a set, may fare alike. */
  private hasGroups(set: Node, groups: Node): boolean {
    const { diagrams } = this.domain;
    const dst = this.domain.levelOf("dst");
    if (groups === EMPTY || dst === undefined) return false;
    return diagrams.intersect(diagrams.project(set, new Set([dst])), groups) !== EMPTY;
  }

  /** Returns a packet with both outcomes; `null` if the simulator contradicts them, which becomes a doubt. */
  private proof(
    origin: Origin,
    { before, after }: ChangedOutcomes,
    set: Node,
  ): Pick<PacketChange, "witness" | "assume"> | null {
    const { packet, assume } = this.examples.after.of(origin, set);
    const given = givenKeys(assume, this.paired);
    const holds =
      confirms(this.old, this.hostBefore, packet, assume, before) &&
      confirms(this.now, this.hostAfter, packet, given, after);
    if (!holds) {
      const doubt = {
        code: "simulator-disagrees",
        family: this.family,
        packet: packetJson(packet),
      } as const;
      this.doubts.push({ side: "after", doubt });
      return null;
    }
    return {
      witness: packetJson(packet),
      ...(assume.size === 0 ? {} : { assume: { before: assumptions(assume), after: assumptions(given) } }),
    };
  }
}

/**
 * Packets that descriptions leave out. No question is about packets that the kernel stops for a reason outside the rules where
 * the others are accepted: the sources of an answer are those that the kernel takes there.
 */
class EndedPackets {
  private readonly known = new Map<string, Node>();

  constructor(private readonly compared: ComparedPackets) {}

  /** Returns the packets to which the descriptions of changes of a kind are relative. */
  possible(kind: ChangeKind): Node {
    const accepting = kind === "closed" || kind === "opened" ? kind : "other";
    let possible = this.known.get(accepting);
    if (possible === undefined) this.known.set(accepting, (possible = this.without(accepting)));
    return possible;
  }

  private without(accepting: "closed" | "opened" | "other"): Node {
    const { before, after, universe } = this.compared;
    const { diagrams } = before.paths.domain;
    const ended = diagrams.intersect(
      stoppedPackets(before, accepting !== "opened"),
      stoppedPackets(after, accepting !== "closed"),
    );
    return diagrams.subtract(universe, ended);
  }
}

/** @param outside only packets that are stopped for a reason outside the rules */
function stoppedPackets({ paths, outcomes }: ProgramOutcomes, outside: boolean): Node {
  return paths.domain.diagrams.unionAll(
    [...outcomes.values()].flatMap(({ outcome, set }) =>
      isStopped(outcome) && (!outside || outcome.reason !== null) ? [set] : [],
    ),
  );
}

const KIND_ORDER: readonly PacketChange["kind"][] = [
  "opened",
  "delivered-elsewhere",
  "closed",
  "translated-otherwise",
  "stopped-otherwise",
  "unsettled",
];

/** Orders changes: packets that open connections first, then by kind. */
const byImportance = (a: PacketChange, b: PacketChange): number =>
  Number(b.packets.opening) - Number(a.packets.opening) ||
  KIND_ORDER.indexOf(a.kind) - KIND_ORDER.indexOf(b.kind);
