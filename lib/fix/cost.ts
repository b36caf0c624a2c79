/** What a fix costs: how many rules of FORWARD a packet passes, before it and with it. */
import type { FamilyAudit } from "../audit/audit.ts";
import { fromOutside, type Host, outsideInterfaces } from "../host/host.ts";
import { CT, type Field, type Scalar } from "../packet/field.ts";
import { ANY, evaluate, type PacketValues } from "../packet/predicate.ts";
import type { BoundChain, Program } from "../path/program.ts";
import type { Domain } from "../reach/domain.ts";
import { EMPTY, FULL, type Node } from "../reach/node-store.ts";
import type { SetEngine } from "../reach/set-engine.ts";
import { bindFields, type HeaderState, type SetState } from "../reach/set-state.ts";
import { usual } from "../rules/effect.ts";

/** Rules that packets of one kind pass in the filter table's FORWARD, jumps included. */
export interface Passed {
  /** A packet of a flow that is already there, at most. */
  readonly established: number;
  /** The first packet for a container: as many pass more as pass less. */
  readonly fresh: number;
  /** The first packet that passes the most. */
  readonly worst: number;
}

/** Rules of the filter table's FORWARD that packets pass, without the fix and with it. */
export interface Cost {
  /** Without it. */
  readonly before: Passed;
  /** With it. */
  readonly after: Passed;
}

/** More ways than this are sampled, evenly. */
const MOST_WAYS = 64;

/** One packet, as the set of those that no rule can tell from it, and as which of each variable's values it has. */
interface Cell {
  readonly set: Node;
  readonly ordinals: readonly number[];
}

/** Rules passed on both walks, over a domain that can tell apart what either asks. */
export function costOf({ domain, ways }: FamilyAudit, before: SetEngine, after: SetEngine, host: Host): Cost {
  const { diagrams } = domain;
  const taken = ways.filter((way) => way.all !== EMPTY);
  const every = Math.max(1, Math.ceil(taken.length / MOST_WAYS));
  const cells = taken.filter((_, i) => i % every === 0).map((way) => cellOf(domain, way.all, host));
  // And one packet that is routed past all containers.
  const routed = diagrams.unionAll(atForward(before, before.start(fromOutside(host))).map((s) => s.set));
  const stranger = diagrams.subtract(routed, diagrams.unionAll(taken.map((way) => way.all)));
  if (stranger !== EMPTY) cells.push(cellOf(domain, stranger, host));
  return { before: passed(before, cells), after: passed(after, cells) };
}

function atForward(reach: SetEngine, start: SetState): SetState[] {
  const states: SetState[] = [];
  reach.arrive(start, (some, { table, hook }) => {
    if (table === "filter" && hook === "FORWARD") states.push(...reach.chains.splitByHeader(some));
  });
  return states;
}

function passed(reach: SetEngine, cells: readonly Cell[]): Passed {
  const { domain, program } = reach;
  const start = { ...reach.start(ANY), set: domain.diagrams.unionAll(cells.map(({ set }) => set)) };
  const states = atForward(reach, start);
  const first: number[] = [];
  let established = 0;
  for (const { set, ordinals } of cells)
    for (const state of states) {
      if (domain.diagrams.intersect(state.set, set) === EMPTY) continue;
      const later = bindFields(state, { ctstate: { value: CT.ESTABLISHED } });
      first.push(count(program, reading(domain, ordinals, state)));
      established = Math.max(established, count(program, reading(domain, ordinals, later)));
    }
  first.sort((a, b) => a - b);
  return { established, fresh: first[first.length >> 1] ?? 0, worst: first.at(-1) ?? 0 };
}

/** The packet of a cell in the form that it has come to have. */
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

/** What a chain does with one packet: how many rules it is held against, and whether it does not come back. */
interface Count {
  readonly passed: number;
  readonly ends: boolean;
}

/** The rules that one packet is held against. */
function count(program: Program, packet: PacketValues): number {
  const start = program.chain("filter", "FORWARD");
  if (start === undefined) return 0;
  // Each chain is counted once, with a stack of our own: chains may call others often, and be nested deep.
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
      const { kind } = usual(bound.effect);
      if (kind === "note" || kind === "assign") continue;
      const passed = frame.at + 1 + frame.called;
      if (kind !== "jump" && kind !== "goto") return { passed, ends: kind !== "return" };
      const to = program.target(bound);
      const inner = known.get(to);
      if (inner === undefined) return to;
      if (inner.ends || kind === "goto") return { passed: passed + inner.passed, ends: inner.ends };
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

/** One packet of a set. */
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
