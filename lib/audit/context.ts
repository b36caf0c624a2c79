/** Everything the audit of one family needs to ask its questions: both walks over one domain, and sets told in words. */
import {
  comesIn,
  containerInputs,
  fromOutside,
  type Host,
  interfacesInferred,
  outsideInterfaces,
  outsidePorts,
  ownAddresses,
  tellsPorts,
} from "../host/host.ts";
import { maskBits, prefixes, prefixRange } from "../packet/address.ts";
import { type Address, CT, type Family, PROTO, type Range, type Scalar } from "../packet/field.ts";
import { ANY, and, is, not, opaque, or, type Predicate, within } from "../packet/predicate.ts";
import { changedKey, Program, unreadKey } from "../path/program.ts";
import type { Ending } from "../path/walk.ts";
import { Domain } from "../reach/domain.ts";
import { EMPTY, FULL, type Node } from "../reach/node-store.ts";
import { SetEngine } from "../reach/set-engine.ts";
import { type HeaderState, type SetStates, singleState, valueIn } from "../reach/set-state.ts";
import type { Vocabulary } from "../reach/variables.ts";
import { vocabularyOf } from "../reach/vocabulary.ts";
import { type Preferences, type Witness, witness } from "../reach/witness.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { withoutDocker } from "./docker-rules.ts";
import { type Expectation, expected } from "./expectations.ts";
import { type Who, Words } from "./set-description.ts";

/** Sources that are more than those of one link: no router forwards the others. */
const SENDABLE: Readonly<Record<Family, Predicate>> = {
  4: ANY,
  6: not(within("src", prefixes(6, "::/127", "fe80::/10"))),
};

const MULTICAST: Readonly<Record<Family, readonly Range[]>> = {
  4: prefixes(4, "224.0.0.0/4"),
  6: prefixes(6, "ff00::/8"),
};

/** The host with br_netfilter, so that every frame between ports of a bridge passes FORWARD. */
const calling = (host: Host): Host => ({
  ...host,
  sysctls: new Map([
    ...host.sysctls,
    ["net.bridge.bridge-nf-call-iptables", "1"],
    ["net.bridge.bridge-nf-call-ip6tables", "1"],
  ]),
});

/** Packets for the host's own addresses with a source that others can have. */
function sendable(host: Host, family: Family): Predicate {
  const own = host.interfaces.flatMap((i) => i.addresses).filter((a) => a.family === family);
  const here = within(
    "dst",
    own.map((a): Range => [a.address, a.address]),
  );
  return and(
    comesIn(host),
    SENDABLE[family],
    own.length === 0 ? ANY : here,
    not(within("src", ownAddresses(host, family).broadcast)),
  );
}

/** What to hold the host against, and how much it may cost. */
export interface AuditOptions {
  /** The published ports that may be open, and to whom: every other exposure is marked as unexpected. */
  readonly expect?: readonly Expectation[] | undefined;
  /** Most intervals that the diagrams of one family may have, about 20 bytes each. Default: 50 million. */
  readonly budget?: number | undefined;
  /** Called again and again with what is being done, in a few words. */
  readonly progress?: ((what: string) => void) | undefined;
  /** How much is put into words, each with a packet of its own; a proof asks for less. Everything unless said. */
  readonly detail?: Detail | undefined;
}

/** Findings and exposures, findings, or neither: the sets alone. */
export type Detail = "all" | "findings" | "sets";

/** Everything the analysis of one family needs to ask its questions. */
export class Question {
  readonly outside: readonly string[];
  readonly owner: Ruleset;
  readonly domain: Domain;
  readonly full: SetEngine;
  readonly mine: SetEngine;
  readonly inconclusive = new Set<string>();
  /** Packets for one address, not for a group. */
  readonly unicast: Predicate;
  /** Packets that can open a connection: of TCP, a SYN alone (RFC 9293). */
  readonly opening: Node;
  /** Packets for addresses of more than one link. */
  readonly wide: Predicate;
  /** Packets for the host's own addresses with a source that others can have. */
  private readonly sendable: Predicate;
  /** Packets that some walk leaves undecided: nothing certain can be reported about them. */
  undecided: Node = EMPTY;
  /** Packets that pass with a header that is not followed to the end: why is in `inconclusive`. */
  unsure: Node = EMPTY;
  /** Packets that come in by one of the interfaces that the host has. */
  readonly known: Node;
  /** Those of them by an interface that certainly takes packets in: all where the interfaces were inferred. */
  readonly sure: Node;
  /** Packets that come by an outside port of a container bridge and that no rule tells from others of the bridge (`tellsPorts`). */
  readonly unseen: Node;
  /** The host as the owner's rules are asked: with bridges that call iptables, so that FORWARD is asked for their frames, too. */
  readonly asked: Host;
  /** The bridge of each outside port. */
  readonly ports: ReadonlyMap<string, string>;
  /** Packets that no base chain drops or changes that was not read. */
  readonly untouched: Node;
  /** What holds each base chain that was not read, by the unknowns whether it drops or changes a packet. */
  private readonly unreadBy: ReadonlyMap<string, string>;
  /** Packets whose exposure is expected; `null` where nobody said what is. */
  readonly expected: Node | null;
  readonly progress: (what: string) => void;
  readonly detail: Detail;
  private readonly unknowns: ReadonlySet<number>;
  private readonly rare: ReadonlySet<number>;
  /** Packets that satisfy no unknown which is rare, such as those without IPv6 extension headers. */
  readonly ordinary: Node;
  private told: Words | undefined;
  private deliverable: Node | undefined;
  private readonly usual = new Map<string | null, Preferences>();

  constructor(
    readonly ruleset: Ruleset,
    readonly host: Host,
    more: readonly Vocabulary[],
    { expect, budget, progress, detail = "all" }: AuditOptions,
  ) {
    this.detail = detail;
    this.outside = outsideInterfaces(host);
    this.ports = outsidePorts(host);
    this.asked = this.ports.size === 0 ? host : calling(host);
    this.owner = withoutDocker(ruleset, host);
    const full = Program.of(ruleset, host);
    const mine = Program.of(this.owner, this.asked);
    const inputs = [
      ...this.outside,
      ...host.bridges.flatMap((bridge) => [bridge, ...containerInputs(host, bridge)]),
    ];
    const named = [fromOutside(host), ...inputs.map((name) => is("in", name))];
    const ports = host.containers.flatMap((c) => c.published.map((p) => is("dport", p.hostPort)));
    const protocols = [
      ...Object.values(PROTO),
      ...host.containers.flatMap((c) => c.published.map((p) => p.proto)),
    ].map((number) => is("proto", number));
    this.sendable = sendable(host, ruleset.family);
    this.unicast = not(within("dst", MULTICAST[ruleset.family]));
    this.wide = ruleset.family === 4 ? ANY : not(within("dst", prefixes(6, "fe80::/10")));
    this.domain = Domain.of(
      ruleset.family,
      [
        vocabularyOf(full),
        vocabularyOf(mine),
        {
          predicates: [
            ...[...named, ...protocols, ...ports, is("sport", 40000), is("flags", 2)],
            ...[this.sendable, this.unicast, this.wide, ...host.bridges.map((name) => this.subnets(name))],
          ],
          markValues: new Map(),
        },
        { predicates: expect?.map((e) => expected(e, ruleset.family)) ?? [], markValues: new Map() },
        ...more,
      ],
      budget,
    );
    this.progress = (what) => progress?.(`IPv${ruleset.family}: ${what}`);
    this.full = new SetEngine(full, this.domain, false);
    this.mine = new SetEngine(mine, this.domain, false);
    for (const { chains } of [this.full, this.mine]) chains.onBaseChain = this.progress;
    this.unknowns = this.domain.unknownLevels;
    this.rare = this.domain.rareLevels;
    const { diagrams } = this.domain;
    this.ordinary = [...this.rare].reduce<Node>(
      (all, level) => diagrams.intersect(all, diagrams.range(level, [[0, 0]])),
      FULL,
    );
    this.unreadBy = new Map(
      (ruleset.unread ?? []).flatMap(({ hook, by, changes }) => [
        [unreadKey(hook, by), by],
        ...(changes === true ? [[changedKey(by), by] as const] : []),
      ]),
    );
    this.untouched = this.set(...[...this.unreadBy.keys()].map((key) => not(opaque(key, ""))));
    const by = (names: readonly string[]): Node =>
      this.domain.diagrams.unionAll(names.map((name) => this.domain.set(is("in", name))));
    this.known = by(this.outside);
    this.opening = this.set(or(not(is("proto", PROTO.tcp)), is("flags", 2)));
    const blocked = new Set(host.interfaces.filter((i) => i.blocked === true).map((i) => i.name));
    this.sure = interfacesInferred(host) ? FULL : by(this.outside.filter((name) => !blocked.has(name)));
    this.unseen = by(
      [...this.ports].flatMap(([port, bridge]) => (tellsPorts(host, bridge, ruleset.family) ? [] : [port])),
    );
    this.expected =
      expect === undefined ? null : this.domain.set(or(...expect.map((e) => expected(e, ruleset.family))));
  }

  /** Packets for the addresses that the routes have on a bridge. */
  subnets(bridge: string): Predicate {
    const routes = this.host.routes.filter(
      (r) => r.family === this.ruleset.family && r.dev === bridge && r.type === "unicast",
    );
    return within(
      "dst",
      routes.map((r) => prefixRange(r.to)),
    );
  }

  set(...all: Predicate[]): Node {
    return this.domain.set(and(...all));
  }

  /** What is not decided of packets leaves the answer open. */
  heed(endings: readonly Ending<SetStates>[]): void {
    const { diagrams } = this.domain;
    const open = this.union(endings, (e) => e.verdict === "undecided");
    this.undecided = diagrams.union(this.undecided, open);
    for (const { state } of endings)
      for (const { unsure } of state.headers.values())
        for (const why of unsure) this.inconclusive.add(`IPv${this.ruleset.family}: ${why}`);
    const unsure = this.only(endings, (form) => form.unsure.length > 0);
    this.unsure = diagrams.union(
      this.unsure,
      this.union(unsure, (e) => e.verdict !== "undecided"),
    );
  }

  /** Only first packets of connections are asked about; what follows them goes where they went. */
  firsts(endings: readonly Ending<SetStates>[]): Ending<SetStates>[] {
    this.heed(endings);
    // Frames that are bridged past iptables never come to connection tracking.
    const past = endings.filter((e) => e.hook === null);
    const followed = past.length === 0 ? endings : endings.filter((e) => e.hook !== null);
    const firsts = this.only(followed, (form) => {
      const state = valueIn(form, "ctstate");
      // Where nothing asks for connection tracking every packet is as good as the first.
      if (state === CT.INVALID) return !this.full.program.tracks;
      return state === CT.NEW || state === CT.UNTRACKED || state === undefined;
    });
    return [...firsts, ...past];
  }

  /** Those of the packets whose form has a property. */
  only(endings: readonly Ending<SetStates>[], has: (form: HeaderState) => boolean): Ending<SetStates>[] {
    return endings.flatMap((e) => {
      const state = this.full.chains.groupByHeader(e.state, has).get(true);
      return state === undefined ? [] : [{ ...e, state }];
    });
  }

  /** Packets that rules can tell by how they come in, and those that they cannot (`unseen`). */
  split(endings: readonly Ending<SetStates>[]): readonly [Ending<SetStates>[], Ending<SetStates>[]] {
    const { diagrams } = this.domain;
    const part = (by: Node): Ending<SetStates>[] =>
      endings.flatMap((e) => {
        const set = diagrams.intersect(by, e.state.set);
        return set === EMPTY ? [] : [{ ...e, state: { ...e.state, set } }];
      });
    return this.unseen === EMPTY
      ? [[...endings], []]
      : [part(diagrams.complement(this.unseen)), part(this.unseen)];
  }

  union(endings: readonly Ending<SetStates>[], which: (e: Ending<SetStates>) => boolean = () => true): Node {
    const { diagrams } = this.domain;
    return diagrams.unionAll(endings.filter(which).map((e) => diagrams.members(e.state.set)));
  }

  /** The ordinary packets of a set, which then depends on no rare unknown. */
  plain(set: Node): Node {
    const { diagrams } = this.domain;
    return this.rare.size === 0 ? set : diagrams.project(diagrams.intersect(this.ordinary, set), this.rare);
  }

  /** In whatever way the unknowns turn out. */
  must(set: Node): Node {
    return this.depends(set).length === 0 ? set : this.domain.diagrams.forall(set, this.unknowns);
  }

  /** The unknowns a set depends on, by key. */
  depends(set: Node): string[] {
    return this.domain.diagrams.support(set).flatMap((level) => {
      const variable = this.domain.variables[level]!;
      return variable.kind === "unknown" ? [variable.key] : [];
    });
  }

  /** What holds the base chains that were not read and that sets depend on. */
  unread(...sets: Node[]): string[] {
    const names = sets.flatMap((set) => this.depends(set)).flatMap((key) => this.unreadBy.get(key) ?? []);
    return [...new Set(names)];
  }

  /** The interface that iptables sees packets come in by, of one that they come in by: a port's bridge. */
  private shown(name: string): string {
    return (
      this.ports.get(name) ??
      this.host.bridges.find((bridge) => containerInputs(this.host, bridge).includes(name)) ??
      name
    );
  }

  /** Names of the interfaces that iptables sees packets come in by, in the order of the inputs. */
  seen(inputs: readonly string[], by: readonly Who[]): string[] {
    return [...new Set(inputs.map((name) => this.shown(name)))].filter((name) =>
      by.some((who) => who.in.includes(name)),
    );
  }

  /**
   * Returns an interface by which packets of a set come in: one of the first group of sources where groups are given, and the
   * one with the default route where it is among them.
   */
  input(set: Node, names: readonly string[], by?: readonly Who[]): string | null {
    const there = names.filter(
      (name) =>
        (by === undefined || by[0]?.in.includes(this.shown(name)) === true) &&
        this.domain.diagrams.intersect(set, this.set(is("in", name))) !== EMPTY,
    );
    return there.find((name) => this.uplinks.includes(this.shown(name))) ?? there[0] ?? null;
  }

  /** The interfaces that default routes lead to. */
  private get uplinks(): readonly string[] {
    return this.host.routes.flatMap((r) =>
      r.family === this.ruleset.family && r.table === "main" && maskBits(r.to.mask) === 0 && r.dev !== null
        ? [r.dev]
        : [],
    );
  }

  /** Sets told in words. */
  get words(): Words {
    this.told ??= new Words(this.domain, this.possible, (name) => this.shown(name));
    return this.told;
  }

  /** Packets for the host itself whose source the kernel takes (no rule is evaluated): who can send anything at all. */
  get possible(): Node {
    this.deliverable ??= this.delivered();
    return this.deliverable;
  }

  private delivered(): Node {
    const { full } = this;
    const start = singleState(full.start(this.sendable));
    const entered = full
      .choose(start, full.program.entries)
      .map(({ state, outcome }) =>
        outcome.changes.reduce((s, [field, value]) => full.assign(s, field, value), state),
      );
    const taken = entered
      .flatMap((state) => full.choose(state, full.program.refused))
      .flatMap(({ state, outcome }) => (outcome === null ? full.choose(state, full.program.routesIn) : []))
      .flatMap(({ state, outcome }) =>
        outcome.kind === "local" ? full.choose(full.assign(state, "out", ""), full.program.sources) : [],
      );
    return this.domain.diagrams.unionAll(taken.flatMap((p) => (p.outcome === null ? [p.state.set] : [])));
  }

  /** A packet of the set that a person would send. */
  witness(set: Node, input: string | null, target: Preferences): Witness {
    const here = input === null ? set : this.domain.diagrams.intersect(set, this.set(is("in", input)));
    let usual = this.usual.get(input);
    if (usual === undefined) this.usual.set(input, (usual = this.sentBy(input)));
    const { dst } = target;
    return witness(this.domain, here, {
      ...usual,
      ...target,
      ...(dst === undefined ? {} : { dst: [...dst, ...usual.dst!] }),
    });
  }

  /** What a person would send who comes in by an interface. */
  private sentBy(input: string | null): Preferences {
    const { family } = this.ruleset;
    const addresses = (names: readonly (string | null)[]) =>
      this.host.interfaces
        .filter((i) => names.includes(i.name))
        .flatMap((i) => i.addresses.filter((a) => a.family === family));
    const own = addresses([input === null ? null : this.shown(input)]);
    const containers = new Set(this.host.containers.flatMap((c) => c.addresses));
    const neighbour = own.flatMap((a): Scalar[] => {
      const [first, last] = prefixRange(a.prefix) as readonly [Address, Address];
      const [next, other, before] =
        typeof first === "bigint"
          ? [first + 2n, first + 3n, (last as bigint) - 1n]
          : [first + 2, first + 3, (last as number) - 1];
      const near = [next, other, before];
      return near.filter((n) => first < n && n < last && n !== a.address && !containers.has(n as Address));
    });
    const stranger: Scalar = family === 4 ? 0xc633_6407 : 0x2001_0db8_ffff_0000_0000_0000_0000_0007n;
    return {
      in: [input ?? "other0"],
      src: [...neighbour, stranger],
      proto: [PROTO.tcp, PROTO.udp],
      ttl: [64],
      sport: [40000],
      dport: [80, 443, 25, 22, 8080, 12345],
      flags: [2],
      type: [family === 4 ? 8 : 128],
      code: [0],
      // Whoever knows no address of the interface it comes in by aims at one that the host has elsewhere.
      dst: [...own, ...addresses(this.outside)].map((a) => a.address),
    };
  }
}
