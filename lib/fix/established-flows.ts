/** Existing flows that the intent forbids, as conntrack can select them, so that `--cut` ends exactly these. */
import type { FamilyAudit, Passage } from "../audit/audit.ts";
import type { Host } from "../host/host.ts";
import { addressBits, prefixRange, printAddress, printPrefix } from "../packet/address.ts";
import type { Family, Range } from "../packet/field.ts";
import { normalizeRanges } from "../packet/predicate.ts";
import { EMPTY } from "../reach/node-store.ts";
import { portRuns } from "./port-runs.ts";
import { countAddresses, prefixesOf, subtractRanges } from "./prefixes.ts";
import type { CutFailure } from "./reasons.ts";

/** Flows to end, by their original direction and by the container, which is the source of the replies. */
export interface Cut {
  readonly proto: number;
  /** A prefix. */
  readonly dst: string;
  /** `null` for all ports. */
  readonly port: number | null;
  /** Last of the consecutive ports from `port` on; absent for one port. */
  readonly portEnd?: number;
  readonly container: string;
  /** `only` for flows of the sources, `except` for flows of all others. */
  readonly how: "only" | "except";
  /** Prefixes. */
  readonly sources: readonly string[];
}

/** Flows of a finding that `--cut` does not end. */
export interface UncutFlows {
  readonly finding: string;
  readonly reason: CutFailure;
}

/** If the sources of a passage need more prefixes, its flows are not ended. */
const MOST_PREFIXES = 256;

/** Returns the flows that `--cut` ends, and those that it leaves, for the passages that a fix closes. */
export function cutsOf(
  audit: FamilyAudit,
  host: Host,
  passages: readonly Passage[],
): { readonly cuts: readonly Cut[]; readonly left: readonly UncutFlows[] } {
  const { domain, family } = audit;
  const { diagrams } = domain;
  const cuts: Cut[] = [];
  const left: UncutFlows[] = [];
  const memo = new Map<string, Pick<Cut, "how" | "sources">>();
  const inside = insideAddresses(host, family);
  for (const passage of passages) {
    if (passage.blocked === EMPTY) continue;
    const leave = (code: CutFailure["code"]): void =>
      void left.push({ finding: passage.finding?.id ?? passage.kind, reason: { code } });
    const must = diagrams.forall(passage.blocked, domain.unknownLevels);
    const may = diagrams.subtract(passage.blocked, must);
    if (must === EMPTY) {
      leave("unknown-senders");
      continue;
    }
    if (passage.endpoint === null || passage.proto === null) {
      leave("no-port");
      continue;
    }
    // A conntrack entry has no interface: only senders that are blocked on all interfaces are certainly forbidden.
    const allowed = domain.valueRanges(
      diagrams.union(diagrams.subtract(passage.all, passage.blocked), may),
      "src",
    );
    const blocked = domain.valueRanges(must, "src");
    const forbidden = subtractRanges(blocked, allowed);
    if (countAddresses(forbidden) < countAddresses(blocked)) leave("blocked-by-interface");
    if (forbidden.length === 0) continue;
    // Most ports of a host are blocked for the same senders.
    const key = `${forbidden.join(" ")}|${allowed.join(" ")}`;
    let senders = memo.get(key);
    if (senders === undefined) {
      senders = shorter(
        subtractRanges(forbidden, inside).flatMap((range) => prefixesOf(range, family).map(printPrefix)),
        normalizeRanges([...allowed, ...inside]).flatMap((range) =>
          prefixesOf(range, family).map(printPrefix),
        ),
      );
      memo.set(key, senders);
    }
    if (senders.sources.length > MOST_PREFIXES) leave("too-many-prefixes");
    else cuts.push({ ...destinationOf(passage.listen, passage.endpoint, passage.proto, family), ...senders });
  }
  return { cuts: withRanges(cuts), left };
}

/** Joins the flows of consecutive ports that differ in nothing else. */
function withRanges(cuts: readonly Cut[]): Cut[] {
  // Equal senders are one array.
  const numbers = new Map<readonly string[], number>();
  for (const { sources } of cuts) if (!numbers.has(sources)) numbers.set(sources, numbers.size);
  return portRuns(cuts, ({ proto, dst, port, container, how, sources }) => ({
    key: [proto, dst, container, how, numbers.get(sources)].join(" "),
    ports: port === null ? [] : [port],
  })).map((run) => (run.length === 1 ? run[0]! : { ...run[0]!, portEnd: run.at(-1)!.port! }));
}

/** Returns addresses of the host and of its containers, whose flows to published ports stay allowed. */
function insideAddresses({ interfaces, bridges }: Host, family: Family): Range[] {
  const own = interfaces.flatMap(({ name, addresses }) =>
    addresses.filter((each) => each.family === family).map((each) => ({ name, ...each })),
  );
  return normalizeRanges([
    ...own
      .filter(({ name }) => bridges.includes(name) || name === "lo")
      .map(({ prefix }) => prefixRange(prefix)),
    ...own.map(({ address }): Range => [address, address]),
  ]);
}

const shorter = (only: readonly string[], except: readonly string[]): Pick<Cut, "how" | "sources"> =>
  only.length <= except.length ? { how: "only", sources: only } : { how: "except", sources: except };

function destinationOf(
  listen: Passage["listen"],
  { ip, port }: NonNullable<Passage["endpoint"]>,
  proto: number,
  family: Family,
): Pick<Cut, "proto" | "dst" | "port" | "container"> {
  const address = listen === null ? printAddress(ip) : listen.address;
  const everywhere = family === 4 ? "0.0.0.0/0" : "::/0";
  return {
    proto,
    dst: address === null ? everywhere : `${address}/${addressBits(family)}`,
    port: listen === null ? port : listen.port,
    container: printAddress(ip),
  };
}
