/** What a fix costs: how many rules of FORWARD a packet passes, before it and with it. */
import type { FamilyAudit } from "../audit/audit.ts";
import { fromOutside, type Host, outsideInterfaces } from "../host/host.ts";
import { CT, type Field, type Scalar } from "../packet/field.ts";
import { ANY } from "../packet/predicate.ts";
import type { BoundChain } from "../path/program.ts";
import { EMPTY, FULL, type Node } from "../reach/diagram.ts";
import type { Domain } from "../reach/domain.ts";
import type { Reach } from "../reach/reach.ts";
import { bind, type SetState } from "../reach/state.ts";

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

/** Rules passed on both walks, over a domain that can tell apart what either asks. */
export function costOf({ domain, ways }: FamilyAudit, before: Reach, after: Reach, host: Host): Cost {
  const { diagrams } = domain;
  const taken = ways.filter((way) => way.all !== EMPTY);
  const every = Math.max(1, Math.ceil(taken.length / MOST_WAYS));
  const cells = taken.filter((_, i) => i % every === 0).map((way) => cellOf(domain, way.all, host));
  // And one packet that is routed past all containers.
  const routed = diagrams.overAll(atForward(before, before.start(fromOutside(host))).map((s) => s.set));
  const stranger = diagrams.minus(routed, diagrams.overAll(taken.map((way) => way.all)));
  if (stranger !== EMPTY) cells.push(cellOf(domain, stranger, host));
  return { before: passed(before, cells), after: passed(after, cells) };
}

function atForward(reach: Reach, start: SetState): SetState[] {
  const states: SetState[] = [];
  reach.observe = (some, table, hook) => {
    if (table === "filter" && hook === "FORWARD") states.push(...reach.chains.apart(some));
  };
  reach.arrive(start);
  reach.observe = undefined;
  return states;
}

function passed(reach: Reach, cells: readonly Node[]): Passed {
  const { diagrams } = reach.domain;
  const states = atForward(reach, { ...reach.start(ANY), set: diagrams.overAll(cells) });
  const first: number[] = [];
  let established = 0;
  for (const cell of cells)
    for (const state of states) {
      const set = diagrams.mask(state.set, cell);
      if (set === EMPTY) continue;
      const later = bind({ ...state, set }, { ctstate: { value: CT.ESTABLISHED } });
      first.push(count(reach, { ...state, set }));
      established = Math.max(established, count(reach, later));
    }
  first.sort((a, b) => a - b);
  return { established, fresh: first[first.length >> 1] ?? 0, worst: first.at(-1) ?? 0 };
}

/** The rules that one packet is held against. */
function count(reach: Reach, state: SetState): number {
  const run = (chain: BoundChain): { passed: number; ends: boolean } => {
    let passed = 0;
    for (const { rule, when, effect } of chain.rules) {
      passed++;
      if (effect.kind === "note" || effect.kind === "assign") continue;
      if (reach.chains.where(state, reach.domain.set(when)) === EMPTY) continue;
      if (effect.kind === "return") return { passed, ends: false };
      if (effect.kind !== "jump" && effect.kind !== "goto") return { passed, ends: true };
      const inner = run(reach.program.chain(rule.table, effect.chain)!);
      passed += inner.passed;
      if (inner.ends || effect.kind === "goto") return { passed, ends: inner.ends };
    }
    return { passed, ends: false };
  };
  const chain = reach.program.chain("filter", "FORWARD");
  return chain === undefined ? 0 : run(chain).passed;
}

/** One packet of a set, as the set of those that no rule can tell from it. */
function cellOf(domain: Domain, set: Node, host: Host): Node {
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
  domain.variables.forEach((variable, level) => {
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
    cell = diagrams.mask(diagrams.range(level, [[ordinal, ordinal]]), cell);
  });
  return cell;
}
