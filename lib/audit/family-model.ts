/** One family's rules as the set engine evaluates them: all rules, and the owner's rules alone, over one domain. */

import { containerInputs, outsidePorts, showsInputPorts } from "../host/bridge-ports.ts";
import type { Host } from "../host/host.ts";
import { fromOutside, interfacesInferred, outsideInterfaces } from "../host/packet-origin.ts";
import { MULTICAST, prefixes, prefixRange } from "../packet/address.ts";
import { type Family, PROTO } from "../packet/field.ts";
import { ANY, and, is, not, or, type Predicate, within } from "../packet/predicate.ts";
import { Program } from "../path/program.ts";
import { Domain } from "../reach/domain.ts";
import { FULL, type Node } from "../reach/node-store.ts";
import { SetEngine } from "../reach/set-engine.ts";
import type { Vocabulary } from "../reach/variables.ts";
import { vocabularyOf } from "../reach/vocabulary.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { Certainty } from "./certainty.ts";
import { deliverablePackets, sendable } from "./deliverable.ts";
import { withoutEngines } from "./engine-rules.ts";
import { type Expectation, expected } from "./expectations.ts";
import { explicitAt } from "./explicit-accepts.ts";
import { InputInterfaces } from "./input-interfaces.ts";
import { SetDescriber } from "./set-description.ts";
import { WitnessPicker } from "./witness-picker.ts";

/** Returns the host with br_netfilter enabled: every frame between ports of a bridge passes FORWARD. */
const withBridgeNetfilter = (host: Host): Host => ({
  ...host,
  sysctls: new Map([
    ...host.sysctls,
    ["net.bridge.bridge-nf-call-iptables", "1"],
    ["net.bridge.bridge-nf-call-ip6tables", "1"],
  ]),
});

/** Expectations and limits of an audit. */
export interface AuditOptions {
  /** Published ports that may be open, and their sources; every other exposure is marked as unexpected. */
  readonly expect?: readonly Expectation[] | undefined;
  /** Most intervals that the diagrams of one family may have, about 20 bytes each. Default: 50 million. */
  readonly budget?: number | undefined;
  /** Called repeatedly with a short description of the current step. */
  readonly progress?: ((step: string) => void) | undefined;
  /** Which results get descriptions and a witness packet; a proof needs only the sets. Default: `all`. */
  readonly detail?: AuditDetail | undefined;
}

/** Results with descriptions and witness packets: findings and exposures, findings only, or none (sets only). */
export type AuditDetail = "all" | "findings" | "sets";

/** Sets of packets that the audit of one family refers to. */
export interface NamedSets {
  /** Packets that can open a connection: for TCP a SYN alone (RFC 9293). */
  readonly opening: Node;
  /** Packets that arrive on an interface which the host has. */
  readonly known: Node;
  /** Packets that arrive on an interface which certainly receives; everything where interfaces were inferred. */
  readonly receiving: Node;
  /** Packets from outside ports of container bridges that rules cannot distinguish from the bridge's other packets. */
  readonly indistinct: Node;
  /** Packets that no unread base chain drops or changes. */
  readonly untouched: Node;
  /** Packets whose exposure is expected; `null` without expectations. */
  readonly expected: Node | null;
}

/** Rulesets, domain and named sets of one family; constant after construction. */
export class FamilyModel {
  readonly family: Family;
  /** Interfaces that lead outside. */
  readonly outside: readonly string[];
  /** Bridge of each bridge port that leads outside. */
  readonly bridgeOf: ReadonlyMap<string, string>;
  /** The ruleset without the rules of container engines. */
  readonly ownerRuleset: Ruleset;
  /** Host for the owner's rules: with br_netfilter where bridges have outside ports, so that FORWARD sees their frames. */
  readonly ownerHost: Host;
  readonly domain: Domain;
  /** Evaluates all rules. */
  readonly full: SetEngine;
  /** Evaluates the owner's rules alone. */
  readonly mine: SetEngine;
  /** Predicate of packets for one address, not for a group. */
  readonly unicast: Predicate;
  readonly sets: NamedSets;
  readonly certainty: Certainty;
  readonly inputs: InputInterfaces;
  readonly witnesses: WitnessPicker;
  readonly detail: AuditDetail;
  readonly progress: (step: string) => void;
  private lazyDeliverable: Node | undefined;
  private lazyDescriber: SetDescriber | undefined;
  private lazyExplicit: { readonly engine: SetEngine | null } | undefined;

  /** @param more predicates that the domain must distinguish as well, so that other rulesets can be compared with this one */
  constructor(
    readonly ruleset: Ruleset,
    readonly host: Host,
    more: readonly Vocabulary[],
    { expect, budget, progress, detail = "all" }: AuditOptions,
  ) {
    const { family } = ruleset;
    this.family = family;
    this.detail = detail;
    this.progress = (step) => progress?.(`IPv${family}: ${step}`);
    this.outside = outsideInterfaces(host);
    this.bridgeOf = outsidePorts(host);
    this.ownerHost = this.bridgeOf.size === 0 ? host : withBridgeNetfilter(host);
    this.ownerRuleset = withoutEngines(ruleset, host);
    this.unicast = not(within("dst", MULTICAST[family]));
    const full = Program.of(ruleset, host);
    const mine = Program.of(this.ownerRuleset, this.ownerHost);
    const expectations = expect?.map((e) => expected(e, family));
    this.domain = Domain.of(
      family,
      [
        vocabularyOf(full),
        vocabularyOf(mine),
        { predicates: this.vocabulary(), markValues: new Map() },
        { predicates: expectations ?? [], markValues: new Map() },
        ...more,
      ],
      budget,
    );
    this.full = new SetEngine(full, this.domain, false);
    this.mine = new SetEngine(mine, this.domain, false);
    for (const { chains } of [this.full, this.mine]) chains.onBaseChain = this.progress;
    this.certainty = new Certainty(this.domain, ruleset);
    this.sets = this.namedSets(expectations);
    this.inputs = new InputInterfaces(host, family, this.bridgeOf);
    this.witnesses = new WitnessPicker(this.domain, host, family, this.inputs, this.outside);
  }

  /** Predicates of the audit itself that the domain must distinguish. */
  private vocabulary(): Predicate[] {
    const { family, host } = this;
    const inputs = [
      ...this.outside,
      ...host.bridges.flatMap((bridge) => [bridge, ...containerInputs(host, bridge)]),
    ];
    const published = host.containers.flatMap((c) => c.published);
    const protocols = [...Object.values(PROTO), ...published.map((p) => p.proto)];
    return [
      fromOutside(host),
      ...inputs.map((name) => is("in", name)),
      ...protocols.map((number) => is("proto", number)),
      ...published.map((p) => is("dport", p.hostPort)),
      is("sport", 40000),
      is("flags", 2),
      sendable(host, family),
      this.unicast,
      family === 4 ? ANY : not(within("dst", prefixes(6, "fe80::/10"))),
      ...host.bridges.map((name) => this.bridgeSubnets(name)),
    ];
  }

  private namedSets(expectations: readonly Predicate[] | undefined): NamedSets {
    const { family, host } = this;
    const arrivingOn = (names: readonly string[]): Node =>
      this.domain.diagrams.unionAll(names.map((name) => this.domain.set(is("in", name))));
    const blocked = new Set(host.interfaces.filter((i) => i.blocked === true).map((i) => i.name));
    return {
      opening: this.set(or(not(is("proto", PROTO.tcp)), is("flags", 2))),
      known: arrivingOn(this.outside),
      receiving: interfacesInferred(host)
        ? FULL
        : arrivingOn(this.outside.filter((name) => !blocked.has(name))),
      indistinct: arrivingOn(
        [...this.bridgeOf].flatMap(([port, bridge]) => (showsInputPorts(host, bridge, family) ? [] : [port])),
      ),
      untouched: this.set(...this.certainty.untouched),
      expected: expectations === undefined ? null : this.domain.set(or(...expectations)),
    };
  }

  /** Returns the set of packets that satisfy all predicates. */
  set(...all: Predicate[]): Node {
    return this.domain.set(and(...all));
  }

  /** Returns the predicate of packets for the prefixes that the main routes have on a bridge. */
  bridgeSubnets(bridge: string): Predicate {
    const routes = this.host.routes.filter(
      (r) => r.family === this.family && r.dev === bridge && r.type === "unicast",
    );
    return within(
      "dst",
      routes.map((r) => prefixRange(r.to)),
    );
  }

  /** Packets that can arrive for the host itself; computed at the first use, since a proof needs none. */
  get deliverable(): Node {
    this.lazyDeliverable ??= deliverablePackets(this.full, this.host, this.family);
    return this.lazyDeliverable;
  }

  /** Evaluates accepts of the owner in nftables that name a forwarded destination; `null` if there are none. */
  get explicit(): SetEngine | null {
    this.lazyExplicit ??= { engine: explicitAt("FORWARD", this.ownerRuleset, this.host, this.domain) };
    return this.lazyExplicit.engine;
  }

  get describer(): SetDescriber {
    this.lazyDescriber ??= new SetDescriber(this.domain, this.deliverable, (name) =>
      this.inputs.visibleName(name),
    );
    return this.lazyDescriber;
  }
}
