/** Cost of a fix: number of rules that packets pass in the base chain of the fix, without and with it. */
import type { FamilyAudit } from "../audit/audit.ts";
import type { Host } from "../host/host.ts";
import { fromOutside, outsideInterfaces } from "../host/packet-origin.ts";
import { CT, type Field, type Scalar } from "../packet/field.ts";
import { ANY, evaluate, type PacketValues } from "../packet/predicate.ts";
import { effectOn } from "../path/chosen-effect.ts";
import type { BoundChain, Program } from "../path/program.ts";
import type { Domain } from "../reach/domain.ts";
import { EMPTY, FULL, type Node } from "../reach/node-store.ts";
import type { SetEngine } from "../reach/set-engine.ts";
import { bindFields, type HeaderState, type SetState } from "../reach/set-state.ts";
import { usual } from "../rules/effect.ts";
import type { ChainPlace } from "./chain-names.ts";
import { statesAt } from "./read-point.ts";

/** Numbers of rules that packets pass in FORWARD of table filter, or in the base chain of a fix in nftables; jumps included. */
export interface PassedRules {
  /** Maximum for packets of established flows. */
  readonly established: number;
  /** Median for first packets to containers. */
  readonly fresh: number;
  /** Maximum for first packets. */
  readonly worst: number;
}

/** Rules that packets pass without and with a fix. */
export interface Cost {
  /** Without the fix. */
  readonly before: PassedRules;
  /** With the fix. */
  readonly after: PassedRules;
}

/** Number of passages that are measured; of more passages, an even sample. */
const MOST_WAYS = 64;

/** One packet: the set of packets with the same ordinals of all variables, and these ordinals. */
interface Cell {
  readonly set: Node;
  readonly ordinals: readonly number[];
}

/** Returns the cost of a fix. The domain distinguishes all packets that either ruleset does. */
export function costOf(
  { domain, passages }: FamilyAudit,
  before: SetEngine,
  after: SetEngine,
  host: Host,
  base: ChainPlace,
): Cost {
  const { diagrams } = domain;
  const taken = passages.filter((passage) => passage.all !== EMPTY);
  const every = Math.max(1, Math.ceil(taken.length / MOST_WAYS));
  const cells = taken.filter((_, i) => i % every === 0).map((passage) => cellOf(domain, passage.all, host));
  // One packet that is routed to no container.
  const routed = diagrams.unionAll(
    atForward(before, before.start(fromOutside(host)), base).map((s) => s.set),
  );
  const others = diagrams.subtract(routed, diagrams.unionAll(taken.map((passage) => passage.all)));
  if (others !== EMPTY) cells.push(cellOf(domain, others, host));
  return { before: passed(before, cells, base), after: passed(after, cells, base) };
}

const atForward = (engine: SetEngine, start: SetState, base: ChainPlace): SetState[] =>
  statesAt(
    engine,
    "FORWARD",
    (observe) => engine.arrive(start, observe),
    engine.program.chain(base.table, base.chain) === undefined ? undefined : base,
  );

function passed(engine: SetEngine, cells: readonly Cell[], base: ChainPlace): PassedRules {
  const { domain, program } = engine;
  const start = { ...engine.start(ANY), set: domain.diagrams.unionAll(cells.map(({ set }) => set)) };
  const states = atForward(engine, start, base);
  const first: number[] = [];
  let established = 0;
  for (const { set, ordinals } of cells)
    for (const state of states) {
      if (domain.diagrams.intersect(state.set, set) === EMPTY) continue;
      const later = bindFields(state, { ctstate: { value: CT.ESTABLISHED } });
      first.push(count(program, base, reading(domain, ordinals, state)));
      established = Math.max(established, count(program, base, reading(domain, ordinals, later)));
    }
  first.sort((a, b) => a - b);
  return { established, fresh: first[first.length >> 1] ?? 0, worst: first.at(-1) ?? 0 };
}

/** Returns the current field values of a cell's packet: rewritten fields, else those as sent. */
function reading(domain: Domain, ordinals: readonly number[], { bindings }: HeaderState): PacketValues {
  const sent = (field: Field): Scalar | undefined => {
    const level = domain.levelOf(field);
    return level === undefined ? undefined : domain.interval(level, ordinals[level]!)[0];
  };
  return {
    field(field) {
      const to = bindings[field];
      if (to === undefined) return sent(field);
      if ("value" in to) return to.value;
      const was = sent(to.variable);
      return to.decrement === undefined || was === undefined
        ? was
        : Math.max(0, (was as number) - to.decrement);
    },
    settled(key) {
      const level = domain.levelOfUnknown(key);
      return level === undefined ? undefined : ordinals[level] === 1;
    },
  };
}

/** Result of a chain for one packet: number of rules evaluated, and whether the packet does not return. */
interface Count {
  readonly passed: number;
  readonly ends: boolean;
}

/** Returns the number of rules that one packet is evaluated against. */
function count(program: Program, { table, chain }: ChainPlace, packet: PacketValues): number {
  const start = program.chain(table, chain);
  if (start === undefined) return 0;
  // Counts each chain once, without recursion: chains may be called often and nested deeply.
  const known = new Map<BoundChain, Count>();
  const open = [{ chain: start, at: 0, called: 0 }];
  const next = (frame: (typeof open)[number]): Count | BoundChain => {
    const { rules, classifier } = frame.chain;
    for (; ; frame.at++) {
      const found = classifier.next(packet, packet, frame.at);
      frame.at = found >> 1;
      const bound = rules[frame.at];
      if (bound === undefined) return { passed: rules.length + frame.called, ends: false };
      if ((found & 1) !== 0 && evaluate(bound.when, packet) !== true) continue;
      const effect = effectOn(usual(bound.effect), packet);
      if (!("kind" in effect)) continue;
      const { kind } = effect;
      if (kind === "note" || kind === "assign") continue;
      const passed = frame.at + 1 + frame.called;
      if (effect.kind !== "jump" && effect.kind !== "goto") return { passed, ends: kind !== "return" };
      const to = program.target(bound, effect.chain);
      const inner = known.get(to);
      if (inner === undefined) return to;
      if (inner.ends || effect.kind === "goto") return { passed: passed + inner.passed, ends: inner.ends };
      frame.called += inner.passed;
    }
  };
  while (open.length > 0) {
    const frame = open.at(-1)!;
    const found = next(frame);
    if ("passed" in found) {
      known.set(frame.chain, found);
      open.pop();
    } else open.push({ chain: found, at: 0, called: 0 });
  }
  return known.get(start)!.passed;
}

/** Returns one packet of a set, a likely one where possible. */
function cellOf(domain: Domain, set: Node, host: Host): Cell {
  const { diagrams } = domain;
  const likely: Partial<Record<Field, Scalar>> = {
    in: outsideInterfaces(host)[0] ?? "eth0",
    src: domain.family === 4 ? 0xc633_6407 : 0x2001_0db8_ffff_0000_0000_0000_0000_0007n,
    proto: 6,
    sport: 40000,
    flags: 2,
    ttl: 64,
  };
  let at = set;
  let cell = FULL;
  const ordinals = domain.variables.map((variable, level) => {
    const value = variable.kind === "field" ? likely[variable.field] : undefined;
    let ordinal = value === undefined ? 0 : domain.ordinal(level, value);
    if (at >= 0 && diagrams.levelOf(at) === level) {
      if (diagrams.child(at, ordinal) === EMPTY) {
        let found: number | undefined;
        diagrams.edges(at, (kid, from) => {
          if (found === undefined && kid !== EMPTY) found = from;
        });
        ordinal = found!;
      }
      at = diagrams.child(at, ordinal);
    }
    cell = diagrams.intersect(diagrams.range(level, [[ordinal, ordinal]]), cell);
    return ordinal;
  });
  return { set: cell, ordinals };
}
