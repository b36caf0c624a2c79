/** Everything the audit of one family needs to ask its questions: both walks over one domain, and sets told in words. */
import { fromOutside, type Host, outsideInterfaces } from "../host/host.ts";
import { prefixRange, printAddressRange } from "../packet/address.ts";
import { type Address, CT, type Field, PROTO, type Range, type Scalar } from "../packet/field.ts";
import { and, is, or, type Predicate } from "../packet/predicate.ts";
import { Program } from "../path/program.ts";
import type { Ending } from "../path/walk.ts";
import { EMPTY, type Node } from "../reach/diagram.ts";
import { Domain, type Vocabulary } from "../reach/domain.ts";
import { Reach, vocabularyOf, type Witness, witness } from "../reach/reach.ts";
import { type SetState, valueIn } from "../reach/state.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { withoutDocker } from "./docker.ts";
import { type Expectation, expected } from "./expect.ts";

/** Everything the analysis of one family needs to ask its questions. */
export class Question {
  readonly outside: readonly string[];
  readonly owner: Ruleset;
  readonly domain: Domain;
  readonly full: Reach;
  readonly mine: Reach;
  readonly inconclusive = new Set<string>();
  /** Packets that come in by one of the interfaces that the host has. */
  readonly known: Node;
  /** Packets whose exposure is expected; `null` where nobody said what is. */
  readonly expected: Node | null;
  private readonly unknowns: ReadonlySet<number>;

  constructor(
    readonly ruleset: Ruleset,
    readonly host: Host,
    more: readonly Vocabulary[],
    expect: readonly Expectation[] | undefined,
  ) {
    this.outside = outsideInterfaces(host);
    this.owner = withoutDocker(ruleset, host);
    const full = Program.of(ruleset, host);
    const mine = Program.of(this.owner, host);
    const named = [fromOutside(host), ...[...this.outside, ...host.bridges].map((name) => is("in", name))];
    const protocols = Object.values(PROTO).map((number) => is("proto", number));
    this.domain = Domain.of(ruleset.family, [
      vocabularyOf(full),
      vocabularyOf(mine),
      { predicates: [...named, ...protocols, is("sport", 40000), is("flags", 2)], given: new Map() },
      { predicates: expect?.map((e) => expected(e, ruleset.family)) ?? [], given: new Map() },
      ...more,
    ]);
    this.full = new Reach(full, this.domain);
    this.mine = new Reach(mine, this.domain);
    this.unknowns = this.domain.unknownLevels;
    this.known = this.domain.diagrams.overAll(this.outside.map((name) => this.domain.set(is("in", name))));
    this.expected =
      expect === undefined ? null : this.domain.set(or(...expect.map((e) => expected(e, ruleset.family))));
  }

  set(...all: Predicate[]): Node {
    return this.domain.set(and(...all));
  }

  /** Only first packets of connections are asked about; what follows them goes where they went. */
  firsts(endings: readonly Ending<SetState>[]): Ending<SetState>[] {
    for (const { state } of endings)
      for (const why of state.unsure) this.inconclusive.add(`IPv${this.ruleset.family}: ${why}`);
    return endings.filter((e) => {
      const state = valueIn(e.state, "ctstate");
      return state === CT.NEW || state === CT.UNTRACKED || state === undefined;
    });
  }

  union(endings: readonly Ending<SetState>[], which: (e: Ending<SetState>) => boolean): Node {
    return this.domain.diagrams.overAll(endings.filter(which).map((e) => e.state.set));
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

  /** Which of the interfaces a set's packets come in by. */
  inputs(set: Node, names: readonly string[]): string[] {
    return names.filter((name) => this.domain.diagrams.mask(set, this.set(is("in", name))) !== EMPTY);
  }

  /** Who the packets come from, in words. */
  sources(set: Node): string {
    if (set === EMPTY) return "nobody";
    const ranges = this.domain.spans(set, "src");
    if (ranges.length === 0) return "everyone";
    // What martian checks take away (own, loopback, multicast addresses) is not worth a word.
    const all = (ranges: readonly Range[]): bigint =>
      ranges.reduce(
        (sum, [a, b]) => sum + BigInt(b as number | bigint) - BigInt(a as number | bigint) + 1n,
        0n,
      );
    const total = this.ruleset.family === 4 ? 1n << 32n : 1n << 128n;
    if (all(ranges) * 100n >= total * 85n) return "everyone";
    const texts = ranges.slice(0, 6).map(printAddressRange);
    return ranges.length > 6 ? `${texts.join(", ")} and ${ranges.length - 6} more ranges` : texts.join(", ");
  }

  /** A packet of the set that a person would send. */
  witness(set: Node, input: string | null, target: Partial<Record<Field, readonly Scalar[]>>): Witness {
    const here = input === null ? set : this.domain.diagrams.mask(set, this.set(is("in", input)));
    const device = this.host.interfaces.find((i) => i.name === input);
    const own = device?.addresses.filter((a) => a.family === this.ruleset.family && !a.invented) ?? [];
    const neighbour = own.flatMap((a): Scalar[] => {
      const [first, last] = prefixRange(a.prefix) as readonly [Address, Address];
      const near = typeof first === "bigint" ? [first + 2n, first + 3n] : [first + 2, first + 3];
      return near.filter((n) => n < last && n !== a.address);
    });
    const stranger: Scalar =
      this.ruleset.family === 4 ? 0xc633_6407 : 0x2001_0db8_ffff_0000_0000_0000_0000_0007n;
    return witness(this.domain, here, {
      in: [input ?? "other0"],
      src: [...neighbour, stranger],
      proto: [PROTO.tcp, PROTO.udp],
      ttl: [64],
      sport: [40000],
      dport: [80],
      flags: [2],
      type: [this.ruleset.family === 4 ? 8 : 128],
      code: [0],
      ...target,
      dst: [...(target.dst ?? []), ...own.map((a) => a.address)],
    });
  }
}
