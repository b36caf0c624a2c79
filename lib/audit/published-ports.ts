/** Published ports: packets from outside that a DNAT rule of an engine sends to a container. */
import { DOCKER_INGRESS } from "../host/known/docker.ts";
import { fromOutside } from "../host/packet-origin.ts";
import { printAddress } from "../packet/address.ts";
import { type Address, hasPorts, PROTO } from "../packet/field.ts";
import { is } from "../packet/predicate.ts";
import { Program } from "../path/program.ts";
import type { Divided } from "../reach/domain.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import { SetEngine } from "../reach/set-engine.ts";
import { type HeaderState, valueIn } from "../reach/set-state.ts";
import { namedBackend, type Rule } from "../rules/ruleset.ts";
import { bansOf, boundRules, withoutBans } from "./bans.ts";
import { firstPackets, isAccepted, packetsOf, type SetEnding } from "./endings.ts";
import { isLoopback } from "./endpoints.ts";
import { addressOf, isEngineRule, type Publication, publications } from "./engine-rules.ts";
import { exposureOf } from "./exposure.ts";
import type { FamilyModel } from "./family-model.ts";
import type { Exposure, Passage } from "./finding.ts";
import { buildFinding, endpointAt, type FindingSubject } from "./finding-builder.ts";
import type { Unsettled } from "./unsettled.ts";

/** Returns the rule of an engine that translated packets to a published port. */
export const publisherOf = ({ host }: FamilyModel, form: HeaderState): Rule | undefined =>
  valueIn(form, "dst") === undefined
    ? undefined
    : form.translated.find((rule) => rule.action === "dnat" && isEngineRule(rule, host));

/** A destination that a rule publishes. A rule has several where a map selects it. */
export interface PublishedTarget {
  readonly number: number;
  readonly rule: Rule;
  /** The header that the rule gives to packets. */
  readonly form: HeaderState;
  /** Interface that the packets leave by. */
  readonly out: string | null;
}

/** A port of the host that packets reach a target by. */
export interface PublishedService {
  readonly target: PublishedTarget;
  readonly proto: number;
  /** Port that clients connect to; `null` where there are many or none. */
  readonly port: number | null;
  readonly part: Divided;
}

/**
 * Returns the passages and exposures of published ports.
 * @param intent packets that the owner's rules let in
 * @param input packets that the owner's INPUT accepts
 */
export function publishedPorts(
  model: FamilyModel,
  translated: readonly SetEnding[],
  intent: Node,
  input: Node,
  unsettled: Unsettled,
): { readonly passages: readonly Passage[]; readonly exposures: readonly Exposure[] } {
  const listenerOf = listeners(model);
  const bannedPart = banAnalysis(model, input);
  const passages: Passage[] = [];
  const exposures: Exposure[] = [];
  for (const service of services(model, translated, intent)) {
    const { part, proto, target } = service;
    const { subject, ip, means } = described(model, service, listenerOf(target));
    const { container, listen } = subject;
    if (model.detail === "all")
      exposures.push(
        exposureOf(
          model,
          { means, proto, endpoint: container, listen, target: subject.target },
          part.all,
          part.inside,
        ),
      );
    const banned = bannedPart(part.outside);
    const finding = buildFinding(
      model,
      unsettled,
      banned === undefined ? subject : { ...subject, banned },
      part.outside,
      part.inside,
      "input",
    );
    passages.push({
      kind: subject.kind,
      proto,
      endpoint: { ip, port: container.port },
      listen,
      bridge: target.out,
      all: part.all,
      blocked: part.outside,
      finding,
    });
  }
  return { passages, exposures };
}

/** Returns the services that translated packets reach, divided by the intent. */
export function services(
  model: FamilyModel,
  translated: readonly SetEnding[],
  intent: Node,
): PublishedService[] {
  const { diagrams } = model.domain;
  const targets = new Map<Rule, Map<string, PublishedTarget>>();
  let count = 0;
  const targetOf = (form: HeaderState, out: string | null): PublishedTarget => {
    const rule = publisherOf(model, form)!;
    let ofRule = targets.get(rule);
    if (ofRule === undefined) targets.set(rule, (ofRule = new Map()));
    const key = `${valueIn(form, "dst")} ${valueIn(form, "dport")}`;
    let target = ofRule.get(key);
    if (target === undefined) ofRule.set(key, (target = { number: ++count, rule, form, out }));
    return target;
  };
  const numbered = firstPackets(model.full, translated).map(({ state, out }) => {
    const numbers = new Map<number, number>();
    for (const [id, form] of state.headers) numbers.set(id, targetOf(form, out).number);
    return diagrams.mapTerminals(state.set, (id) => numbers.get(id) ?? 0);
  });
  const parts = model.domain.divide(diagrams.unionAll(numbered), intent);
  return [...targets.values()].flatMap((ofRule) =>
    [...ofRule.values()].flatMap((target) => {
      const part = parts.get(target.number);
      return part === undefined ? [] : servicesOf(model, target, part);
    }),
  );
}

/** Most protocols, and most ports, that one rule publishes as services of their own. */
const MOST_SPLIT = 16;

/** Splits the packets to a target by protocol and port, where these are few. */
function servicesOf(model: FamilyModel, target: PublishedTarget, part: Divided): PublishedService[] {
  const protocols = fewValues(model, part.all, "proto");
  return (protocols ?? [null]).flatMap((proto) => {
    const byProtocol =
      proto === null || protocols!.length === 1 ? part : partWith(model, part, "proto", proto);
    // A rule without a protocol publishes every one; TCP is the one to try.
    const number = proto ?? PROTO.tcp;
    const ports = hasPorts(number) ? fewValues(model, byProtocol.all, "dport") : null;
    return (ports ?? [null]).map((port) => ({
      target,
      proto: number,
      port,
      part: port === null || ports!.length === 1 ? byProtocol : partWith(model, byProtocol, "dport", port),
    }));
  });
}

const partWith = (model: FamilyModel, part: Divided, field: "proto" | "dport", value: number): Divided => {
  const { diagrams } = model.domain;
  const only = model.set(is(field, value));
  return {
    all: diagrams.intersect(part.all, only),
    inside: diagrams.intersect(part.inside, only),
    outside: diagrams.intersect(part.outside, only),
  };
};

/** Returns the values of a field in a set; `null` where they are more than `MOST_SPLIT`, none, or not distinguished. */
function fewValues({ domain }: FamilyModel, set: Node, field: "proto" | "dport"): readonly number[] | null {
  const count = domain
    .valueRanges(set, field)
    .reduce((sum, [first, last]) => sum + Number(last) - Number(first) + 1, 0);
  if (count === 0 || count > MOST_SPLIT) return null;
  const values = domain.singleValues(set, field, MOST_SPLIT) as readonly number[];
  return values.length === count ? values : null;
}

/** Returns a function that returns the address of the host that a target's rule matches; `null` for all. */
export function listeners(model: FamilyModel): (target: PublishedTarget) => Address | null {
  const byRule = new Map<Rule, Publication[]>();
  for (const each of publications(model.full.program)) {
    const known = byRule.get(each.rule);
    if (known === undefined) byRule.set(each.rule, [each]);
    else known.push(each);
  }
  return ({ rule, form }) => {
    const dst = valueIn(form, "dst");
    const dport = valueIn(form, "dport") as number | undefined;
    const own = (byRule.get(rule) ?? []).filter(
      ({ nat }) =>
        nat.to.first === dst &&
        // The header has no port where packets keep theirs.
        (nat.ports === null || dport === undefined || (dport >= nat.ports.first && dport <= nat.ports.last)),
    );
    const addresses = new Set(own.map(addressOf));
    return addresses.size === 1 ? [...addresses][0]! : null;
  };
}

/** Returns the subject of findings about a service. */
export function described(
  model: FamilyModel,
  { port, proto, target }: PublishedService,
  address: Address | null,
) {
  const { form, rule } = target;
  const ip = valueIn(form, "dst") as Address;
  const listen = { address: address === null ? null : printAddress(address), port };
  const isSwarm = rule.chain === DOCKER_INGRESS;
  // Rules of both backends may publish one port, for example those of a Docker that used the other backend before.
  const backend = namedBackend(rule.table);
  const named = endpointAt(model, ip, (valueIn(form, "dport") as number | undefined) ?? null);
  // The engine's rule translates a loopback address from outside before the routing decision can refuse it.
  const isLoopbackPort = address !== null && isLoopback(address);
  return {
    ip,
    means: isSwarm ? "ingress" : "dnat",
    subject: {
      kind: isLoopbackPort ? "loopback-bypass" : "ingress-bypass",
      place: [listen.address ?? "any", port ?? "any", ...(backend === null ? [] : [backend])].join("/"),
      listen,
      container: isSwarm && named.name === null ? { ...named, name: "swarm ingress" } : named,
      inputs: model.outside,
      target: { proto: [proto], ...(port === null ? {} : { dport: [port] }) },
    } satisfies FindingSubject,
  } as const;
}

/** Returns a function that finds, among blocked packets, those that INPUT would accept without its bans. */
function banAnalysis(model: FamilyModel, input: Node): (blocked: Node) => FindingSubject["banned"] {
  const { domain, host, mine, ownerHost, ownerRuleset } = model;
  const { diagrams } = domain;
  const bans = bansOf(ownerRuleset);
  if (bans.length === 0) return () => undefined;
  const reach = new SetEngine(Program.of(withoutBans(ownerRuleset, bans), ownerHost), domain);
  const withoutBan = packetsOf(domain, reach.deliver(reach.start(fromOutside(host))), isAccepted);
  const banned = diagrams.subtract(withoutBan, input);
  const lists = bans.map(({ list, ...ban }) => ({
    list,
    set: diagrams.unionAll(boundRules(mine.program, { list, ...ban }).map(({ when }) => domain.set(when))),
  }));
  return (blocked) => {
    const set = diagrams.intersect(banned, blocked);
    if (set === EMPTY) return undefined;
    return {
      set,
      lists: lists.filter((each) => diagrams.intersect(each.set, set) !== EMPTY).map(({ list }) => list),
    };
  };
}
