/** Packets for the containers' own addresses, and those Docker's rules let through to somewhere else. */
import { headerOf } from "../host/infer.ts";
import { printAddress } from "../packet/address.ts";
import { type Address, hasPorts, PROTO } from "../packet/field.ts";
import { and, is } from "../packet/predicate.ts";
import type { Ending } from "../path/walk.ts";
import { EMPTY, type Node } from "../reach/diagram.ts";
import type { SetState } from "../reach/state.ts";
import { chainOf } from "../rules/ruleset.ts";
import {
  type Divided,
  describe,
  endpointOf,
  type FindingKind,
  type Group,
  type Listen,
  type Way,
} from "./finding.ts";
import type { Question } from "./question.ts";

/** Packets for the containers' own addresses, and those Docker's rules let through to somewhere else. */
export function direct(q: Question, endings: readonly Ending<SetState>[], intent: Node): Way[] {
  const { diagrams } = q.domain;
  const loopback = loopbackEndpoints(q);
  const ways: Way[] = [];
  for (const bridge of new Set(endings.map((e) => e.out!))) {
    const through = diagrams.overAll(endings.filter((e) => e.out === bridge).map((e) => e.state.set));
    const add = (
      kind: FindingKind,
      { all, allowed, blocked }: Divided,
      group: Omit<Group, "kind" | "inputs">,
      endpoint: Way["endpoint"],
      proto: number | null,
    ): void => {
      const finding = describe(q, { ...group, kind, inputs: q.outside }, blocked, allowed, "routed");
      ways.push({ kind, proto, endpoint, listen: null, bridge, all, blocked, finding });
    };
    if (!q.host.bridges.includes(bridge)) {
      const [allowed, blocked] = [diagrams.mask(through, intent), diagrams.minus(through, intent)];
      add(
        "forward-bypass",
        { all: through, allowed, blocked },
        { listen: null, container: null, target: {} },
        null,
        null,
      );
      continue;
    }
    const behind = endpointsBehind(q, bridge);
    const { parts, rest } = q.domain.partition(
      through,
      behind.map(({ ip, proto, port }) =>
        and(is("dst", ip), is("proto", proto), ...(port === null ? [] : [is("dport", port)])),
      ),
    );
    const sets = [...parts.values()];
    const { inside, outside } = q.domain.divide(sets, intent);
    for (const [i, index] of [...parts.keys()].entries()) {
      const { ip, proto, port } = behind[index]!;
      const published = loopback.get(`${ip} ${proto} ${port}`) ?? null;
      const target = { proto: [proto], dst: [ip], ...(port === null ? {} : { dport: [port] }) };
      const container = endpointOf(q, ip, port);
      add(
        published === null ? "direct-bypass" : "loopback-bypass",
        { all: sets[i]!, allowed: inside[i]!, blocked: outside[i]! },
        { place: `${container.ip}/${port ?? "any"}`, listen: published, container, target },
        { ip, port },
        proto,
      );
    }
    const blocked = diagrams.minus(rest, intent);
    if (blocked === EMPTY) continue;
    const { dst } = q.witness(blocked, q.inputs(blocked, q.outside)[0] ?? null, {}).packet;
    add(
      "direct-bypass",
      { all: rest, allowed: diagrams.mask(rest, intent), blocked },
      { listen: null, container: endpointOf(q, dst, null), target: { dst: [dst] } },
      null,
      null,
    );
  }
  return ways;
}

export const isLoopback = (address: Address): boolean =>
  typeof address === "number" ? address >>> 24 === 127 : address === 1n;

/** Container endpoints that are published on a loopback address only, with where they listen. */
function loopbackEndpoints(q: Question): Map<string, Listen> {
  const out = new Map<string, Listen>();
  const open = new Set<string>();
  for (const { rule, effect } of q.full.program.chain("nat", "DOCKER")?.rules ?? []) {
    if (effect.kind !== "nat" || effect.to.kind !== "range") continue;
    const { dst, proto } = headerOf(rule);
    const key = `${effect.to.first} ${proto?.value ?? PROTO.tcp} ${effect.ports?.first ?? null}`;
    const local = dst !== undefined && !dst.not && isLoopback(dst.value.address);
    const port = rule.matches.flatMap((m) =>
      m.values.dport === undefined ? [] : [(m.values.dport.value as readonly [number, number])[0]],
    )[0];
    if (local) out.set(key, { address: printAddress(dst.value.address), port: port ?? null });
    else open.add(key);
  }
  for (const key of open) out.delete(key);
  return out;
}

interface Behind {
  readonly ip: Address;
  readonly proto: number;
  readonly port: number | null;
}

/** Endpoints that Docker's rules name behind a bridge. */
function endpointsBehind(q: Question, bridge: string): Behind[] {
  const out = new Map<string, Behind>();
  for (const rule of chainOf(q.ruleset, "filter", "DOCKER")?.rules ?? []) {
    const { dst, out: to, proto } = headerOf(rule);
    if (to?.value !== bridge || dst === undefined || dst.not || proto === undefined) continue;
    const port = rule.matches.flatMap((m) =>
      m.values.dport === undefined ? [] : [(m.values.dport.value as readonly [number, number])[0]],
    )[0];
    const each = {
      ip: dst.value.address,
      proto: proto.value,
      port: hasPorts(proto.value) ? (port ?? null) : null,
    };
    out.set(`${each.ip} ${each.proto} ${each.port}`, each);
  }
  return [...out.values()];
}
