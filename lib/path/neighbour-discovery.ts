/**
 * Neighbour discovery of IPv6 (RFC 4861). Before the first packet leaves by an interface, the host sends a neighbour
 * solicitation there (ndisc_send_skb) and receives an advertisement. Both pass OUTPUT and INPUT like any packet, and
 * conntrack leaves them untracked (nf_conntrack_icmpv6.c). Rules that drop either keep the host from forwarding to
 * neighbours whose link-layer address it does not know otherwise (a permanent entry of ip-neighbour(8)).
 */
import { prefixes } from "../packet/address.ts";
import { type Address, CT, type Field, PROTO, type Scalar } from "../packet/field.ts";
import { and, evaluate, is, not, opaque, within } from "../packet/predicate.ts";
import type { Verdict } from "../rules/effect.ts";
import type { Case } from "./decision-list.ts";
import type { BoundChain, Program } from "./program.ts";

const SOLICITATION = 135;
const ADVERTISEMENT = 136;

/** An address of the host that its interface has where no other is listed. */
const LINK_LOCAL: Address = (0xfe80n << 112n) | 1n;
/** A link-local neighbour, and one with an address of the documentation prefix (RFC 3849). */
const NEIGHBOURS: readonly Address[] = [(0xfe80n << 112n) | 2n, (0x2001_0db8n << 96n) | 2n];
/** The solicited-node group of both. */
const SOLICITED: Address = (0xff02n << 112n) | (1n << 32n) | 0xff00_0002n;

/** Chains that call each other deeper than this are not followed. */
const DEEPEST = 64;

/** Why packets are not sent on by an interface: cases for IPv6, none where the rules let neighbour discovery pass. */
export function neighbourCases(program: Program): Case<string | null>[] {
  const { host, ruleset } = program;
  if (ruleset.family === 4) return [];
  const names = host.interfaces
    .filter(({ name, link }) => link === "ether" && stops(program, name))
    .map(({ name }) => name);
  if (names.length === 0) return [];
  // A group's link-layer address is computed from its address (RFC 2464).
  const group = within("dst", prefixes(6, "ff00::/8"));
  return names.map((name) => ({
    when: and(
      is("out", name),
      not(group),
      not(opaque(`neighbours(${name})`, `the rules drop neighbour discovery on ${name}`)),
    ),
    outcome: `the rules drop neighbour discovery on ${name}, and no neighbour there is known otherwise`,
  }));
}

/** Whether the rules drop every solicitation that the host sends by an interface, or every advertisement that it receives. */
function stops(program: Program, name: string): boolean {
  const own = program.host.interfaces.find((i) => i.name === name)!.addresses.filter((a) => a.family === 6);
  const here = [...own.map((a) => a.address), LINK_LOCAL];
  const dropped = (hook: "INPUT" | "OUTPUT", packet: Partial<Record<Field, Scalar>>): boolean =>
    program
      .stops(hook)
      .some(
        (stop) =>
          stop.kind === "chain" &&
          decide(program, program.chain(stop.chain.table, stop.chain.name), packet) === "drop",
      );
  const usual = {
    ...{
      proto: PROTO.icmpv6,
      code: 0,
      ttl: 255,
      tos: 0,
      length: 72,
      mark: 0,
      ctmark: 0,
      fragment: 0,
      pkttype: 0,
    },
    ...{ physin: "", physout: "", ...(program.tracks ? { ctstate: CT.UNTRACKED } : {}) },
  };
  const sent = here.map((src) => ({ ...usual, in: "", out: name, src, dst: SOLICITED, type: SOLICITATION }));
  const received = here.flatMap((dst) =>
    NEIGHBOURS.map((src) => ({ ...usual, in: name, out: "", src, dst, type: ADVERTISEMENT })),
  );
  return (
    sent.every((packet) => dropped("OUTPUT", packet)) || received.every((packet) => dropped("INPUT", packet))
  );
}

/** Returns what a chain decides; `undefined` where that is not certain, and `null` where it returns. */
function decide(
  program: Program,
  chain: BoundChain | undefined,
  packet: Partial<Record<Field, Scalar>>,
  depth = 0,
): Verdict | null | undefined {
  if (chain === undefined) return null;
  if (depth > DEEPEST) return undefined;
  const reading = { field: (field: Field) => packet[field], settled: () => undefined };
  for (const bound of chain.rules) {
    const { effect } = bound;
    if (effect.kind === "note") continue;
    const holds = evaluate(bound.when, reading);
    if (typeof holds !== "boolean") return undefined;
    if (!holds) continue;
    switch (effect.kind) {
      case "verdict":
        return effect.verdict;
      case "return":
        return chain.policy;
      case "jump":
      case "goto": {
        const inner = decide(program, program.target(bound), packet, depth + 1);
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
