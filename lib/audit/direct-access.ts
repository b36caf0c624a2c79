/** Packets for the containers' own addresses, and those Docker's rules let through to somewhere else. */
import { callsIptables, tellsPorts } from "../host/host.ts";
import { prefixRange, printAddress } from "../packet/address.ts";
import { type Address, hasPorts, PROTO, type Scalar } from "../packet/field.ts";
import { and, is } from "../packet/predicate.ts";
import type { Ending } from "../path/walk.ts";
import type { Divided } from "../reach/domain.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import { type SetStates, valueIn } from "../reach/set-state.ts";
import { chainOf, type Rule } from "../rules/ruleset.ts";
import type { Question } from "./context.ts";
import { gatewayMode, publishing } from "./docker-rules.ts";
import { exposure } from "./exposure.ts";
import {
  describe,
  type Exposure,
  endpointOf,
  type FindingKind,
  type Group,
  type Listen,
  type Way,
} from "./finding.ts";

/** Packets for the containers' own addresses, and those Docker's rules let through to somewhere else. */
export function direct(
  q: Question,
  endings: readonly Ending<SetStates>[],
  intent: Node,
  exposures: Exposure[],
): Way[] {
  const { diagrams } = q.domain;
  const loopback = loopbackEndpoints(q);
  const nat = q.full.program.chain("nat", "DOCKER") !== undefined;
  const translated = new Set(translations(q).map(({ key }) => key));
  const ways: Way[] = [];
  for (const bridge of new Set(endings.map((e) => e.out!))) {
    const through = q.union(endings, (e) => e.out === bridge);
    const add = (
      kind: FindingKind,
      { all, inside: allowed, outside: blocked }: Divided,
      group: Omit<Group, "kind" | "inputs">,
      endpoint: Way["endpoint"],
      proto: number | null,
    ): void => {
      const finding = describe(q, { ...group, kind, inputs: q.outside }, blocked, allowed, "routed");
      ways.push({ kind, proto, endpoint, listen: null, bridge, all, blocked, finding });
    };
    if (!q.host.bridges.includes(bridge)) {
      add(
        "forward-bypass",
        {
          all: through,
          inside: diagrams.intersect(through, intent),
          outside: diagrams.subtract(through, intent),
        },
        {
          place: `${bridge}/any`,
          listen: null,
          container: null,
          to: `out of ${bridge}`,
          target: { dst: behindDevice(q, bridge) },
        },
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
    for (const [number, part] of q.domain.divide(parts, intent)) {
      const { ip, proto, port } = behind[number - 1]!;
      const published = loopback.get(`${ip} ${proto} ${port}`) ?? null;
      const target = { proto: [proto], dst: [ip], ...(port === null ? {} : { dport: [port] }) };
      const container = endpointOf(q, ip, port);
      // What Docker lets in by its own address and translates nowhere is published so: the network is routed.
      if (port !== null && nat && !translated.has(`${ip} ${proto} ${port}`)) {
        const listen = { address: container.ip, port };
        exposures.push(
          exposure(q, { means: "routed", proto, endpoint: container, listen, target }, part.all, part.inside),
        );
      }
      add(
        published === null ? "direct-bypass" : "loopback-bypass",
        part,
        { place: `${container.ip}/${port ?? "any"}`, listen: published, container, target },
        { ip, port },
        proto,
      );
    }
    const blocked = diagrams.subtract(rest, intent);
    if (rest === EMPTY) continue;
    // Where the owner's rules translate, it is not the address that was asked for.
    const made = new Set(
      endings.flatMap((e) =>
        e.out === bridge ? [...e.state.headers.values()].map((f) => valueIn(f, "dst")) : [],
      ),
    );
    const spans = made.has(undefined)
      ? q.domain.valueRanges(blocked, "dst")
      : [...made].map((to) => [to!, to!] as const);
    const one =
      made.size === 1 && spans.length === 1 && spans[0]![0] === spans[0]![1]
        ? (spans[0]![0] as Address)
        : null;
    const known = q.host.containers.flatMap((c) => c.addresses);
    add(
      "direct-bypass",
      { all: rest, inside: diagrams.intersect(rest, intent), outside: blocked },
      {
        place: `${bridge}/any`,
        listen: null,
        container: one === null ? null : endpointOf(q, one, null),
        to: behindText(q, bridge),
        target: { dst: [...known, ...behind.map(({ ip }) => ip), ...behindDevice(q, bridge)] },
      },
      null,
      null,
    );
  }
  return ways;
}

/**
 * Packets from outside ports of container bridges that no rule can match separately: frames for a container may
 * be bridged past all rules, and what the host routes comes in by the bridge like its containers' packets.
 */
export function unseen(q: Question, endings: readonly Ending<SetStates>[], intent: Node): Way[] {
  const { diagrams } = q.domain;
  const ports = [...q.ports].filter(([, bridge]) => !tellsPorts(q.host, bridge, q.ruleset.family));
  const names = ports.map(([port]) => port);
  const calls = ports.every(([, bridge]) => callsIptables(q.host, bridge, q.ruleset.family));
  const setting = `net.bridge.bridge-nf-call-${q.ruleset.family === 4 ? "iptables" : "ip6tables"}`;
  const why = calls
    ? `its bridge has several ports that are no container's (${names.join(", ")}), and no rule tells frames for a container from frames between those: take all but one off the bridge, and run fwcheck fix again`
    : `it comes by a port of a container bridge (${names.join(", ")}) that does not hand its frames to iptables (${setting} is 0 or br_netfilter is not loaded): frames for containers pass no rule. Take the port off the bridge, or load br_netfilter, set ${setting} to 1 and run fwcheck fix again`;
  const beyond = { inputs: names, why };
  return [...new Set(endings.map((e) => e.out!))].map((out): Way => {
    const all = q.union(endings, (e) => e.out === out);
    const blocked = diagrams.subtract(all, intent);
    const bridge = q.host.bridges.includes(out);
    const kind: FindingKind = bridge ? "direct-bypass" : "forward-bypass";
    const group: Group = {
      kind,
      place: `${out}/${names.join("+")}`,
      listen: null,
      container: null,
      inputs: names,
      to: bridge ? behindText(q, out) : `out of ${out}`,
      target: { dst: [...q.host.containers.flatMap((c) => c.addresses), ...behindDevice(q, out)] },
    };
    const finding = describe(q, group, blocked, diagrams.intersect(all, intent), "routed");
    return { kind, proto: null, endpoint: null, listen: null, bridge: out, all, blocked, finding, beyond };
  });
}

/** Whom packets that leave by an interface may go to: a neighbour there, or anybody. */
const behindDevice = (q: Question, name: string): Scalar[] => [
  ...q.host.interfaces
    .filter((i) => i.name === name)
    .flatMap((i) => i.addresses.filter((a) => a.family === q.ruleset.family))
    .map(({ prefix }): Scalar => {
      const [first] = prefixRange(prefix) as readonly [Address, Address];
      return typeof first === "bigint" ? first + 2n : first + 2;
    }),
  q.ruleset.family === 4 ? 0xc633_6409 : 0x2001_0db8_ffff_0000_0000_0000_0000_0009n,
];

/** The containers behind a bridge, in words. */
function behindText(q: Question, bridge: string): string {
  const network = q.host.networks.find((n) => n.bridge === bridge)?.name;
  const mode = gatewayMode(q.ruleset, bridge);
  const about = [...(network === undefined ? [] : [`network ${network}`]), ...(mode === "nat" ? [] : [mode])];
  return `to any container on ${bridge}${about.length === 0 ? "" : ` (${about.join(", ")})`}`;
}

export const isLoopback = (address: Address): boolean =>
  typeof address === "number" ? address >>> 24 === 127 : address === 1n;

/** Where Docker's DNAT rules lead, each with the rule. */
const translations = (q: Question): { readonly key: string; readonly rule: Rule }[] =>
  publishing(q.full.program).flatMap(({ rule, effect }) =>
    effect.kind !== "nat" || effect.to.kind !== "range"
      ? []
      : [
          {
            key: `${effect.to.first} ${rule.reading.proto?.value ?? PROTO.tcp} ${effect.ports?.first ?? null}`,
            rule,
          },
        ],
  );

/** Container endpoints that are published on a loopback address only, with where they listen. */
function loopbackEndpoints(q: Question): Map<string, Listen> {
  const out = new Map<string, Listen>();
  const open = new Set<string>();
  for (const { key, rule } of translations(q)) {
    const { dst } = rule.reading;
    if (dst !== undefined && !dst.not && isLoopback(dst.value.address))
      out.set(key, { address: printAddress(dst.value.address), port: portOf(rule) });
    else open.add(key);
  }
  for (const key of open) out.delete(key);
  return out;
}

/** The destination port a rule asks for, the first of a range. */
const portOf = (rule: Rule): number | null =>
  rule.matches.flatMap((m) =>
    m.values.dport === undefined ? [] : [(m.values.dport.value as readonly [number, number])[0]],
  )[0] ?? null;

interface Behind {
  readonly ip: Address;
  readonly proto: number;
  readonly port: number | null;
}

/** Endpoints that Docker's rules name behind a bridge. */
function endpointsBehind(q: Question, bridge: string): Behind[] {
  const out = new Map<string, Behind>();
  for (const rule of chainOf(q.ruleset, "filter", "DOCKER")?.rules ?? []) {
    const { dst, out: to, proto } = rule.reading;
    if (to?.value !== bridge || dst === undefined || dst.not || proto === undefined) continue;
    const each = {
      ip: dst.value.address,
      proto: proto.value,
      port: hasPorts(proto.value) ? portOf(rule) : null,
    };
    out.set(`${each.ip} ${each.proto} ${each.port}`, each);
  }
  return [...out.values()];
}
