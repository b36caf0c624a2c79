/** Packets from outside: to published ports, to the containers' own addresses, and through Docker's rules elsewhere. */
import { fromOutside } from "../host/host.ts";
import { headerOf } from "../host/infer.ts";
import { printAddress } from "../packet/address.ts";
import { type Address, PROTO, protoName } from "../packet/field.ts";
import { packetJson } from "../packet/packet.ts";
import type { Ending } from "../path/walk.ts";
import { EMPTY, type Node } from "../reach/diagram.ts";
import { type SetState, valueIn } from "../reach/state.ts";
import type { Rule } from "../rules/ruleset.ts";
import { ineffective } from "./allow.ts";
import { direct, isLoopback } from "./direct.ts";
import { isDockerRule } from "./docker.ts";
import {
  type Divided,
  describe,
  type Exposure,
  endpointOf,
  type Flow,
  type Group,
  type Listen,
  type Way,
} from "./finding.ts";
import { explicit, isAccepted, passes } from "./intent.ts";
import type { Question } from "./question.ts";

/** Packets from outside: to published ports, to the containers' own addresses, and through Docker's rules elsewhere. */
export function ingress(q: Question, exposures: Exposure[]): Flow {
  const { diagrams } = q.domain;
  const outside = fromOutside(q.host);
  const seen = explicit(q, q.full, () => q.full.arrive(q.full.start(outside)));
  const wanted = explicit(q, q.mine, () => q.mine.arrive(q.mine.start(outside)));
  // An explicit route rule about the translated packet overrides what INPUT says of the untranslated one.
  const input = q.union(q.mine.deliver(q.mine.start(outside)), isAccepted);
  const intent = diagrams.over(diagrams.minus(input, seen.denied), seen.allowed);
  const routed = q.union(wanted.endings, isAccepted);
  const through = seen.endings.filter((e) => passes(e) && e.delivery === "forward" && e.out !== null);
  const publisher = ({ state }: Ending<SetState>): Rule | undefined =>
    valueIn(state, "dst") === undefined
      ? undefined
      : state.translated.find((r) => r.chain !== "POSTROUTING" && isDockerRule(r, q.host));
  const straight: Ending<SetState>[] = [];
  const published = new Map<Rule, Ending<SetState>[]>();
  for (const ending of q.firsts(through)) {
    const rule = publisher(ending);
    if (rule === undefined) straight.push(ending);
    else published.set(rule, [...(published.get(rule) ?? []), ending]);
  }
  const ways: Way[] = [];
  const sets = [...published.values()].map((endings) => diagrams.overAll(endings.map((e) => e.state.set)));
  const { inside, outside: blockedSets } = q.domain.divide(sets, intent);
  [...published].forEach(([rule, [ending]], i) => {
    const part = { all: sets[i]!, allowed: inside[i]!, blocked: blockedSets[i]! };
    ways.push(publishedWay(q, rule, ending!, part, exposures));
  });
  ways.push(...direct(q, straight, routed));
  ways.push(...ineffective(q, seen.endings, wanted));
  const blocked = diagrams.over(
    diagrams.minus(
      q.union(through, (e) => publisher(e) !== undefined),
      intent,
    ),
    diagrams.minus(
      q.union(through, (e) => publisher(e) === undefined),
      routed,
    ),
  );
  return { ways, blocked };
}

function publishedWay(
  q: Question,
  rule: Rule,
  { state, out }: Ending<SetState>,
  { all, allowed, blocked }: Divided,
  exposures: Exposure[],
): Way {
  const proto = headerOf(rule).proto?.value ?? PROTO.tcp;
  const ip = valueIn(state, "dst") as Address;
  const port = (valueIn(state, "dport") as number | undefined) ?? null;
  const listen = listenOf(q, rule, all);
  const target = { proto: [proto], ...(listen.port === null ? {} : { dport: [listen.port] }) };
  const unexpected =
    q.expected === null ? EMPTY : q.domain.diagrams.minus(q.domain.diagrams.mask(q.known, all), q.expected);
  const of = (set: Node): Pick<Exposure, "in" | "from" | "witness"> => {
    const by = q.inputs(set, q.outside);
    return {
      in: by,
      from: q.sources(set),
      witness: packetJson(q.witness(set, by[0] ?? null, target).packet),
    };
  };
  exposures.push({
    family: q.ruleset.family,
    proto: protoName(proto),
    endpoint: endpointOf(q, ip, port),
    listen,
    ...of(all),
    ...(unexpected === EMPTY ? {} : { unexpected: of(unexpected) }),
  });
  // Docker's rule takes a loopback address that comes from outside before the routing decision can refuse it.
  const loopback = listen.address !== null && isLoopback(headerOf(rule).dst!.value.address);
  const place = `${listen.address ?? "any"}/${listen.port ?? "any"}`;
  const group: Group = {
    kind: loopback ? "loopback-bypass" : "ingress-bypass",
    place,
    listen,
    container: endpointOf(q, ip, port),
    inputs: q.outside,
    target,
  };
  const finding = describe(q, group, blocked, allowed, "input");
  return { kind: group.kind, proto, endpoint: { ip, port }, listen, bridge: out, all, blocked, finding };
}

/** Where a DNAT rule listens: its `-d` address, and the port it asks for. */
function listenOf(q: Question, rule: Rule, set: Node): Listen {
  const { dst } = headerOf(rule);
  const ports = q.domain.spans(set, "dport");
  const port = ports.length === 1 && ports[0]![0] === ports[0]![1] ? (ports[0]![0] as number) : null;
  return { address: dst === undefined || dst.not ? null : printAddress(dst.value.address), port };
}
