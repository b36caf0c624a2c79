/** Flows that are already there although the intent forbids them: what has to be told of them to end exactly those. */
import type { FamilyAudit, Way } from "../audit/audit.ts";
import type { Host } from "../host/host.ts";
import { maxAddress, prefixMask, prefixRange, printAddress, printPrefix } from "../packet/address.ts";
import type { Address, Family, Range, Scalar } from "../packet/field.ts";
import { normalizeRanges } from "../packet/predicate.ts";
import { EMPTY } from "../reach/node-store.ts";
import type { CutFailure } from "./reasons.ts";

/** Flows by their original direction, and by the container's address, which is the source of their replies. */
export interface Cut {
  readonly proto: number;
  /** A prefix. */
  readonly dst: string;
  /** `null` for all. */
  readonly port: number | null;
  readonly container: string;
  /** Whose flows: those of these prefixes only, or those of all others. */
  readonly how: "only" | "except";
  readonly sources: readonly string[];
}

/** More prefixes than this for one way are not told one by one: its flows are left alone, and said to be. */
const MOST = 256;

/** Flows of a finding that `--cut` does not end. */
export interface UncutFlows {
  readonly finding: string;
  readonly reason: CutFailure;
}

/** Returns the flows that `--cut` ends, and those that it leaves, for the ways that a fix closes. */
export function cutsOf(
  audit: FamilyAudit,
  host: Host,
  ways: readonly Way[],
): { readonly cuts: readonly Cut[]; readonly left: readonly UncutFlows[] } {
  const { domain, family } = audit;
  const { diagrams } = domain;
  const cuts: Cut[] = [];
  const left: UncutFlows[] = [];
  const known = new Map<string, Pick<Cut, "how" | "sources">>();
  // Containers and the host itself reach published ports as they always did.
  const inside = normalizeRanges([
    ...host.interfaces.flatMap((i) =>
      i.addresses
        .filter((a) => a.family === family && (host.bridges.includes(i.name) || i.name === "lo"))
        .map((a) => prefixRange(a.prefix)),
    ),
    ...host.interfaces.flatMap((i) =>
      i.addresses.filter((a) => a.family === family).map((a): Range => [a.address, a.address]),
    ),
  ]);
  for (const way of ways) {
    if (way.blocked === EMPTY) continue;
    const must = diagrams.forall(way.blocked, domain.unknownLevels);
    const may = diagrams.subtract(way.blocked, must);
    const leave = (code: CutFailure["code"]): void =>
      void left.push({ finding: way.finding?.id ?? way.kind, reason: { code } });
    if (must === EMPTY) {
      leave("unknown-senders");
      continue;
    }
    if (way.endpoint === null || way.proto === null) {
      leave("no-port");
      continue;
    }
    // A flow's entry does not say by which interface it came: only who is blocked on all of them is surely forbidden.
    const allowed = domain.valueRanges(diagrams.union(diagrams.subtract(way.all, way.blocked), may), "src");
    const blocked = domain.valueRanges(must, "src");
    const forbidden = minus(blocked, allowed);
    if (sum(forbidden) < sum(blocked)) leave("blocked-by-interface");
    if (forbidden.length === 0) continue;
    // Ports of one host are mostly closed to the same people.
    const key = `${forbidden.join(" ")}|${allowed.join(" ")}`;
    let told = known.get(key);
    if (told === undefined) {
      const only = minus(forbidden, inside).flatMap((range) => cover(range, family));
      const except = normalizeRanges([...allowed, ...inside]).flatMap((range) => cover(range, family));
      told =
        only.length <= except.length ? { how: "only", sources: only } : { how: "except", sources: except };
      known.set(key, told);
    }
    const { how, sources } = told;
    if (sources.length > MOST) {
      leave("too-many-prefixes");
      continue;
    }
    const { ip, port } = way.endpoint;
    const host = family === 4 ? 32 : 128;
    const address = way.listen === null ? printAddress(ip) : way.listen.address;
    cuts.push({
      proto: way.proto,
      dst: address === null ? everywhere(family) : `${address}/${host}`,
      port: way.listen === null ? port : way.listen.port,
      container: printAddress(ip),
      how,
      sources,
    });
  }
  return { cuts, left };
}

const everywhere = (family: Family): string => (family === 4 ? "0.0.0.0/0" : "::/0");

const big = (value: Scalar): bigint => BigInt(value as number | bigint);
const sum = (ranges: readonly Range[]): bigint =>
  normalizeRanges(ranges).reduce((total, [lo, hi]) => total + big(hi) - big(lo) + 1n, 0n);

/** What is in the first ranges and not in the others. */
function minus(ranges: readonly Range[], holes: readonly Range[]): Range[] {
  let rest = normalizeRanges(ranges).map(([lo, hi]) => [big(lo), big(hi)] as const);
  for (const [from, to] of normalizeRanges(holes).map(([lo, hi]) => [big(lo), big(hi)] as const))
    rest = rest.flatMap(([lo, hi]) =>
      to < lo || from > hi
        ? [[lo, hi] as const]
        : [...(from > lo ? [[lo, from - 1n] as const] : []), ...(to < hi ? [[to + 1n, hi] as const] : [])],
    );
  return rest as unknown as Range[];
}

/** The fewest prefixes that make up a range. */
export function cover([lo, hi]: Range, family: Family): string[] {
  const bits = family === 4 ? 32 : 128;
  const narrow = (n: bigint): Address => (family === 4 ? Number(n) : n);
  const out: string[] = [];
  let at = big(lo);
  const end = big(hi) > big(maxAddress(family)) ? big(maxAddress(family)) : big(hi);
  while (at <= end) {
    let size = 0;
    while (size < bits && at % (1n << BigInt(size + 1)) === 0n && at + (1n << BigInt(size + 1)) - 1n <= end)
      size++;
    const address = narrow(at);
    out.push(printPrefix({ address, mask: prefixMask(bits - size, family) }));
    at += 1n << BigInt(size);
  }
  return out;
}
