/** Packets from outside: to published ports, to the containers' own addresses, and through Docker's rules elsewhere. */
import { fromOutside } from "../host/host.ts";
import { printAddress } from "../packet/address.ts";
import { type Address, PROTO } from "../packet/field.ts";
import { Program } from "../path/program.ts";
import type { Divided } from "../reach/domain.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import { SetEngine } from "../reach/set-engine.ts";
import { type HeaderState, valueIn } from "../reach/set-state.ts";
import type { Rule } from "../rules/ruleset.ts";
import { bansOf, boundRules, withoutBans } from "./bans.ts";
import type { Question } from "./context.ts";
import { direct, isLoopback, unseen } from "./direct-access.ts";
import { isDockerRule } from "./docker-rules.ts";
import { exposure, proxied } from "./exposure.ts";
import {
  describe,
  type Exposure,
  endpointOf,
  type Flow,
  type Group,
  type Listen,
  type Way,
} from "./finding.ts";
import { ineffective } from "./ineffective-allow.ts";
import { explicit, isAccepted, passes } from "./intent.ts";
import { type Listening, listening } from "./listening.ts";

/** Packets from outside, and what of the host itself they reach. */
export interface Inward extends Flow {
  readonly listening: readonly Listening[];
}

/** Packets from outside: to published ports, to the containers' own addresses, and through Docker's rules elsewhere. */
export function ingress(q: Question, exposures: Exposure[]): Inward {
  const { diagrams } = q.domain;
  const outside = fromOutside(q.host);
  const seen = explicit(q, q.full, (observe) => q.full.arrive(q.full.start(outside), observe));
  const wanted = explicit(q, q.mine, (observe) => q.mine.arrive(q.mine.start(outside), observe));
  // An explicit route rule about the translated packet overrides what INPUT says of the untranslated one.
  const delivered = q.mine.deliver(q.mine.start(outside));
  const input = q.union(delivered, isAccepted);
  const intent = diagrams.union(diagrams.subtract(input, seen.denied), seen.allowed);
  const routed = q.union(wanted.endings, isAccepted);
  q.heed(seen.endings);
  q.heed([...delivered, ...wanted.endings].filter((e) => e.verdict === "undecided"));
  const through = seen.endings.filter((e) => passes(e) && e.delivery === "forward" && e.out !== null);
  const publisher = (form: HeaderState): Rule | undefined =>
    valueIn(form, "dst") === undefined
      ? undefined
      : form.translated.find((r) => r.chain !== "POSTROUTING" && isDockerRule(r, q.host));
  const translated = q.only(through, (form) => publisher(form) !== undefined);
  const straight = q.only(through, (form) => publisher(form) === undefined);
  const [visible, hidden] = q.split(q.firsts(straight));
  const banned = bannedBy(q, input);
  const ports = new Map<Rule, Port>();
  const numbered = q.firsts(translated).map(({ state, out }) => {
    const numbers = new Map<number, number>();
    for (const [id, form] of state.headers) {
      const rule = publisher(form)!;
      let port = ports.get(rule);
      if (port === undefined) ports.set(rule, (port = { number: ports.size + 1, rule, form, out }));
      numbers.set(id, port.number);
    }
    return diagrams.mapTerminals(state.set, (id) => numbers.get(id) ?? 0);
  });
  const parts = q.domain.divide(diagrams.unionAll(numbered), intent);
  const ways = [...ports.values()].map((port) =>
    published(q, port, parts.get(port.number)!, banned, exposures),
  );
  ways.push(...direct(q, visible, routed, exposures), ...unseen(q, hidden, routed));
  proxied(q, seen.endings, exposures);
  ways.push(...ineffective(q, seen, wanted));
  const [toPorts, elsewhere] = [q.union(translated), q.union(straight)];
  return {
    ways,
    straight: new Map(
      [...new Set(straight.map((e) => e.out!))].map((out) => [out, q.union(straight, (e) => e.out === out)]),
    ),
    listening: q.detail === "all" ? listening(q, seen.endings, exposures) : [],
    passing: diagrams.union(toPorts, elsewhere),
    blocked: diagrams.union(diagrams.subtract(toPorts, intent), diagrams.subtract(elsewhere, routed)),
  };
}

/** A rule that publishes a port, and what becomes of the packets that it translates. */
interface Port {
  readonly number: number;
  readonly rule: Rule;
  readonly form: HeaderState;
  /** The interface they leave by. */
  readonly out: string | null;
}

/** Packets that the owner's INPUT lets through but for a ban, and which lists ban whom. */
function bannedBy(q: Question, input: Node): (set: Node) => Group["banned"] {
  const { diagrams } = q.domain;
  const bans = bansOf(q.owner);
  if (bans.length === 0) return () => undefined;
  const program = Program.of(withoutBans(q.owner, bans), q.asked);
  const reach = new SetEngine(program, q.domain);
  const freed = q.union(reach.deliver(reach.start(fromOutside(q.host))), isAccepted);
  const banned = diagrams.subtract(freed, input);
  const lists = bans.map((ban) => ({
    by: ban.by,
    set: diagrams.unionAll(boundRules(q.mine.program, ban).map(({ when }) => q.domain.set(when))),
  }));
  return (blocked) => {
    const set = diagrams.intersect(banned, blocked);
    if (set === EMPTY) return undefined;
    return {
      set,
      by: lists.filter((list) => diagrams.intersect(list.set, set) !== EMPTY).map((list) => list.by),
    };
  };
}

function published(
  q: Question,
  { rule, form, out }: Port,
  { all, inside: allowed, outside: blocked }: Divided,
  bannedBy: (set: Node) => Group["banned"],
  exposures: Exposure[],
): Way {
  const proto = rule.reading.proto?.value ?? PROTO.tcp;
  const ip = valueIn(form, "dst") as Address;
  const port = (valueIn(form, "dport") as number | undefined) ?? null;
  const listen = listenOf(q, rule, all);
  const target = { proto: [proto], ...(listen.port === null ? {} : { dport: [listen.port] }) };
  const ingress = rule.chain === "DOCKER-INGRESS";
  const named = endpointOf(q, ip, port);
  const container = ingress && named.name === null ? { ...named, name: "swarm ingress" } : named;
  if (q.detail === "all")
    exposures.push(
      exposure(
        q,
        { means: ingress ? "ingress" : "dnat", proto, endpoint: container, listen, target },
        all,
        allowed,
      ),
    );
  // Docker's rule takes a loopback address that comes from outside before the routing decision can refuse it.
  const loopback = listen.address !== null && isLoopback(rule.reading.dst!.value.address);
  const banned = bannedBy(blocked);
  const place = `${listen.address ?? "any"}/${listen.port ?? "any"}`;
  const group: Group = {
    kind: loopback ? "loopback-bypass" : "ingress-bypass",
    place,
    listen,
    container,
    inputs: q.outside,
    target,
    ...(banned === undefined ? {} : { banned }),
  };
  const finding = describe(q, group, blocked, allowed, "input");
  return { kind: group.kind, proto, endpoint: { ip, port }, listen, bridge: out, all, blocked, finding };
}

/** Where a DNAT rule listens: its `-d` address, and the port it asks for. */
function listenOf(q: Question, rule: Rule, set: Node): Listen {
  const { dst } = rule.reading;
  const ports = q.domain.valueRanges(set, "dport");
  const port = ports.length === 1 && ports[0]![0] === ports[0]![1] ? (ports[0]![0] as number) : null;
  return { address: dst === undefined || dst.not ? null : printAddress(dst.value.address), port };
}
