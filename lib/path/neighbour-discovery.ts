/**
 * Neighbour discovery of IPv6 (RFC 4861). Before the first packet leaves by an interface, the host sends a neighbour
 * solicitation there (ndisc_send_skb) and receives an advertisement. Both pass OUTPUT and INPUT like any packet, and
 * conntrack leaves them untracked (nf_conntrack_icmpv6.c). If rules drop either, the host cannot forward to neighbours
 * whose link-layer address it does not know otherwise (a permanent entry of ip-neighbour(8)).
 */
import type { Host } from "../host/host.ts";
import { MULTICAST } from "../packet/address.ts";
import { type Address, CT, type Field, PROTO, type Scalar } from "../packet/field.ts";
import { and, evaluate, is, not, opaque, within } from "../packet/predicate.ts";
import type { Hook } from "../rules/base-chain.ts";
import type { Verdict } from "../rules/effect.ts";
import type { Ruleset, TableId } from "../rules/ruleset.ts";
import type { BoundChain, BoundRule } from "./bound-chain.ts";
import { effectOn } from "./chosen-effect.ts";
import type { RefusalCases } from "./end-reason.ts";
import type { Stop } from "./hooks.ts";

/** The parts of a program that decide on solicitations and advertisements. */
interface Rules {
  readonly host: Host;
  readonly ruleset: Pick<Ruleset, "family">;
  readonly tracks: boolean;
  stops(hook: Hook): readonly Stop[];
  chain(table: TableId, name: string): BoundChain | undefined;
  target(rule: BoundRule, chain: string): BoundChain;
}

type DiscoveryFields = Partial<Record<Field, Scalar>>;

/** ICMPv6 types. */
const SOLICITATION = 135;
const ADVERTISEMENT = 136;

/** Link-local address of the host on interfaces for which none is listed. */
const LINK_LOCAL: Address = (0xfe80n << 112n) | 1n;
/** A link-local neighbour, and one with an address of the documentation prefix (RFC 3849). */
const NEIGHBOURS: readonly Address[] = [(0xfe80n << 112n) | 2n, (0x2001_0db8n << 96n) | 2n];
/** Solicited-node group of both neighbours. */
const SOLICITED: Address = (0xff02n << 112n) | (1n << 32n) | 0xff00_0002n;

/** Chains that are nested deeper than this are not evaluated. */
const MOST_NESTED = 64;

/** Returns a case for each interface on which the rules drop neighbour discovery; none for IPv4. */
export function neighbourCases(rules: Rules): RefusalCases {
  if (rules.ruleset.family === 4) return [];
  const names = rules.host.interfaces
    .filter(({ name, link }) => link === "ether" && dropsDiscovery(rules, name))
    .map(({ name }) => name);
  if (names.length === 0) return [];
  // The link-layer address of a group is computed from its address (RFC 2464).
  const group = within("dst", MULTICAST[6]);
  return names.map((name) => ({
    when: and(
      is("out", name),
      not(group),
      not(opaque(`neighbours(${name})`, { code: "neighbours", interface: name })),
    ),
    outcome: { code: "no-neighbour", interface: name },
  }));
}

/** Returns true if the rules drop every solicitation that leaves by an interface, or every advertisement that arrives. */
function dropsDiscovery(rules: Rules, name: string): boolean {
  const own = rules.host.interfaces.find((i) => i.name === name)!.addresses.filter((a) => a.family === 6);
  const hostAddresses = [...own.map((a) => a.address), LINK_LOCAL];
  const isDropped = (hook: Hook, packet: DiscoveryFields): boolean =>
    rules
      .stops(hook)
      .some(
        (stop) =>
          stop.kind === "chain" &&
          evaluateChain(rules, rules.chain(stop.chain.table, stop.chain.name), packet) === "drop",
      );
  const common: DiscoveryFields = {
    proto: PROTO.icmpv6,
    code: 0,
    ttl: 255,
    tos: 0,
    length: 72,
    mark: 0,
    ctmark: 0,
    fragment: 0,
    pkttype: 0,
    physin: "",
    physout: "",
    ...(rules.tracks ? { ctstate: CT.UNTRACKED } : {}),
  };
  const sent = hostAddresses.map(
    (src): DiscoveryFields => ({ ...common, in: "", out: name, src, dst: SOLICITED, type: SOLICITATION }),
  );
  const received = hostAddresses.flatMap((dst) =>
    NEIGHBOURS.map(
      (src): DiscoveryFields => ({ ...common, in: name, out: "", src, dst, type: ADVERTISEMENT }),
    ),
  );
  return (
    sent.every((packet) => isDropped("OUTPUT", packet)) ||
    received.every((packet) => isDropped("INPUT", packet))
  );
}

/** Returns the verdict of a chain; `undefined` if it is not certain, `null` if the chain returns. */
function evaluateChain(
  rules: Rules,
  chain: BoundChain | undefined,
  packet: DiscoveryFields,
  depth = 0,
): Verdict | null | undefined {
  if (chain === undefined) return null;
  if (depth > MOST_NESTED) return undefined;
  const reading = { field: (field: Field) => packet[field], settled: () => undefined };
  for (const bound of chain.rules) {
    if (bound.effect.kind === "note") continue;
    const holds = evaluate(bound.when, reading);
    if (typeof holds !== "boolean") return undefined;
    if (!holds) continue;
    const effect = effectOn(bound.effect, reading);
    if (!("kind" in effect)) return undefined;
    switch (effect.kind) {
      case "note":
        continue;
      case "verdict":
        return effect.verdict;
      case "return":
        return chain.policy;
      case "jump":
      case "goto": {
        const inner = evaluateChain(rules, rules.target(bound, effect.chain), packet, depth + 1);
        if (inner !== null) return inner;
        if (effect.kind === "goto") return chain.policy;
        continue;
      }
      default:
        return undefined;
    }
  }
  return chain.policy;
}
