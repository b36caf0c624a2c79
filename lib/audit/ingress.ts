/** Packets from outside: to published ports, to the containers' own addresses, and forwarded elsewhere by Docker's rules. */

import { DOCKER_INGRESS } from "../host/known/docker.ts";
import { fromOutside } from "../host/packet-origin.ts";
import { printAddress } from "../packet/address.ts";
import { type Address, PROTO } from "../packet/field.ts";
import { Program } from "../path/program.ts";
import type { Divided } from "../reach/domain.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import { SetEngine } from "../reach/set-engine.ts";
import { type HeaderState, valueIn } from "../reach/set-state.ts";
import type { Rule } from "../rules/ruleset.ts";
import { bansOf, boundRules, withoutBans } from "./bans.ts";
import { directAccess, indistinctAccess, isLoopback } from "./direct-access.ts";
import { isDockerRule } from "./docker-rules.ts";
import {
  firstPackets,
  isAccepted,
  mayPass,
  packetsOf,
  restrict,
  type SetEnding,
  withForm,
} from "./endings.ts";
import { exposureOf, proxyExposures } from "./exposure.ts";
import type { FamilyModel } from "./family-model.ts";
import type { Exposure, ListenAddress, Passage, Passages } from "./finding.ts";
import { buildFinding, endpointAt, type FindingSubject } from "./finding-builder.ts";
import { ineffectiveAllows } from "./ineffective-allow.ts";
import { routedWalk } from "./intent.ts";
import { type ListeningSocket, listeningSockets } from "./listening.ts";
import type { Unsettled } from "./unsettled.ts";

/** Packets from outside, with the exposures and the sockets of the host that they reach. */
export interface Ingress extends Passages {
  readonly exposures: readonly Exposure[];
  readonly listening: readonly ListeningSocket[];
}

/** Audits the packets from outside of one family. */
export function ingress(model: FamilyModel, unsettled: Unsettled): Ingress {
  const { domain, full, host, mine } = model;
  const { diagrams } = domain;
  const outside = fromOutside(host);
  const actual = routedWalk(full, (observe) => full.arrive(full.start(outside), observe));
  const intended = routedWalk(mine, (observe) => mine.arrive(mine.start(outside), observe));
  const delivered = mine.deliver(mine.start(outside));
  unsettled.add(actual.endings);
  unsettled.add([...delivered, ...intended.endings].filter((e) => e.verdict === "undecided"));
  const input = packetsOf(domain, delivered, isAccepted);
  // A route rule about the translated packet overrides the verdict of INPUT on the untranslated one.
  const inputIntent = diagrams.union(diagrams.subtract(input, actual.denied), actual.allowed);
  const forwardIntent = packetsOf(domain, intended.endings, isAccepted);

  const forwarded = actual.endings.filter((e) => mayPass(e) && e.delivery === "forward" && e.out !== null);
  const translated = withForm(full, forwarded, (form) => publisherOf(model, form) !== undefined);
  const straight = withForm(full, forwarded, (form) => publisherOf(model, form) === undefined);
  const published = publishedPorts(model, translated, inputIntent, input, unsettled);
  const [distinct, indistinct] = splitByVisibility(model, firstPackets(full, straight));
  const direct = directAccess(model, distinct, forwardIntent, unsettled);
  const exposures = [...published.exposures, ...direct.exposures, ...proxyExposures(model, actual.endings)];
  const passages = [
    ...published.passages,
    ...direct.passages,
    ...indistinctAccess(model, indistinct, forwardIntent, unsettled),
    ...ineffectiveAllows(model, actual, intended, unsettled),
  ];
  const [toPorts, elsewhere] = [packetsOf(domain, translated), packetsOf(domain, straight)];
  return {
    passages,
    exposures,
    listening: model.detail === "all" ? listeningSockets(model, actual.endings, exposures) : [],
    straight: new Map(
      [...new Set(straight.map((e) => e.out!))].map((out) => [
        out,
        packetsOf(domain, straight, (e) => e.out === out),
      ]),
    ),
    passing: diagrams.union(toPorts, elsewhere),
    blocked: diagrams.union(
      diagrams.subtract(toPorts, inputIntent),
      diagrams.subtract(elsewhere, forwardIntent),
    ),
  };
}

/** Returns the rule of Docker's that translated packets to a published port. */
const publisherOf = ({ host }: FamilyModel, form: HeaderState): Rule | undefined =>
  valueIn(form, "dst") === undefined
    ? undefined
    : form.translated.find((rule) => rule.chain !== "POSTROUTING" && isDockerRule(rule, host));

/** Splits packets into those whose input interface rules can match, and those of `NamedSets.indistinct`. */
function splitByVisibility(
  { domain, sets }: FamilyModel,
  endings: readonly SetEnding[],
): readonly [readonly SetEnding[], readonly SetEnding[]] {
  const { indistinct } = sets;
  return indistinct === EMPTY
    ? [endings, []]
    : [
        restrict(domain, endings, domain.diagrams.complement(indistinct)),
        restrict(domain, endings, indistinct),
      ];
}

/** A rule that publishes a port, and the header that it gives to packets. */
interface PublishingRule {
  readonly number: number;
  readonly rule: Rule;
  readonly form: HeaderState;
  /** Interface that the packets leave by. */
  readonly out: string | null;
}

/**
 * Returns the passages and exposures of published ports.
 * @param input packets that the owner's INPUT accepts
 */
function publishedPorts(
  model: FamilyModel,
  translated: readonly SetEnding[],
  intent: Node,
  input: Node,
  unsettled: Unsettled,
): { readonly passages: readonly Passage[]; readonly exposures: readonly Exposure[] } {
  const { diagrams } = model.domain;
  const ports = new Map<Rule, PublishingRule>();
  const numbered = firstPackets(model.full, translated).map(({ state, out }) => {
    const numbers = new Map<number, number>();
    for (const [id, form] of state.headers) {
      const rule = publisherOf(model, form)!;
      let port = ports.get(rule);
      if (port === undefined) ports.set(rule, (port = { number: ports.size + 1, rule, form, out }));
      numbers.set(id, port.number);
    }
    return diagrams.mapTerminals(state.set, (id) => numbers.get(id) ?? 0);
  });
  const parts = model.domain.divide(diagrams.unionAll(numbered), intent);
  const bannedPart = banAnalysis(model, input);
  const passages: Passage[] = [];
  const exposures: Exposure[] = [];
  for (const port of ports.values()) {
    const part = parts.get(port.number)!;
    const { subject, proto, ip, means } = publishedPort(model, port, part);
    const { container, listen, target } = subject;
    if (model.detail === "all")
      exposures.push(
        exposureOf(model, { means, proto, endpoint: container, listen, target }, part.all, part.inside),
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
      bridge: port.out,
      all: part.all,
      blocked: part.outside,
      finding,
    });
  }
  return { passages, exposures };
}

/** Returns the endpoint that a publishing rule leads to, and the address and port that it listens on. */
function publishedPort(model: FamilyModel, { rule, form }: PublishingRule, { all }: Divided) {
  const proto = rule.reading.proto?.value ?? PROTO.tcp;
  const ip = valueIn(form, "dst") as Address;
  const port = (valueIn(form, "dport") as number | undefined) ?? null;
  const listen = listenOf(model, rule, all);
  const isSwarm = rule.chain === DOCKER_INGRESS;
  const named = endpointAt(model, ip, port);
  // Docker's rule translates a loopback address from outside before the routing decision can refuse it.
  const isLoopbackPort = listen.address !== null && isLoopback(rule.reading.dst!.value.address);
  return {
    proto,
    ip,
    means: isSwarm ? "ingress" : "dnat",
    subject: {
      kind: isLoopbackPort ? "loopback-bypass" : "ingress-bypass",
      place: `${listen.address ?? "any"}/${listen.port ?? "any"}`,
      listen,
      container: isSwarm && named.name === null ? { ...named, name: "swarm ingress" } : named,
      inputs: model.outside,
      target: { proto: [proto], ...(listen.port === null ? {} : { dport: [listen.port] }) },
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

/** Returns the address and port that a DNAT rule matches: its `-d`, and the one destination port of its packets. */
function listenOf({ domain }: FamilyModel, rule: Rule, set: Node): ListenAddress {
  const { dst } = rule.reading;
  const ports = domain.valueRanges(set, "dport");
  const port = ports.length === 1 && ports[0]![0] === ports[0]![1] ? (ports[0]![0] as number) : null;
  return { address: dst === undefined || dst.not ? null : printAddress(dst.value.address), port };
}
