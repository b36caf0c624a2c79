/** Address translation (nft(8), NAT STATEMENTS; net/netfilter/nft_nat.c, nft_masq.c, nft_redir.c). */
import { type Expression, type NatStatement, printStatement } from "nftables-parser-ts";
import { familyOf, prefixMask } from "../../packet/address.ts";
import type { Address, Family, Range } from "../../packet/field.ts";
import { and, type Predicate } from "../../packet/predicate.ts";
import { type Effect, type Nat, NOTE, unknownEffect } from "../../rules/effect.ts";
import { siteKey } from "../../rules/facts.ts";
import type { Traits } from "../../rules/reading.ts";
import { type Datatype, integer, TYPES } from "../datatype.ts";
import type { Data } from "../element-set.ts";
import { type Lookup, readLookup } from "../lookup.ts";
import type { CompileContext } from "../operand.ts";
import { readsPacket } from "../read-value.ts";
import type { RuleScope } from "../rule-scope.ts";
import { resolved } from "../scope.ts";
import { CONNTRACK_TRAITS, type StatementStep, statement } from "../step.ts";
import type { StatementOf } from "../syntax.ts";
import { readRanges } from "../values.ts";

type Statement = StatementOf<"nat">;

/** Address and port that a translation writes; `null` keeps the value. */
interface Target {
  readonly to: Nat["to"] | null;
  readonly ports: Nat["ports"];
}

/** A target, or a map that selects it. `undefined` data of a map could not be read. */
type Source =
  | { readonly kind: "fixed"; readonly target: Target }
  | { readonly kind: "map"; readonly lookup: Lookup; readonly targets: ReadonlyMap<Data, Target | null> };

const SIDES: Readonly<Record<NatStatement["type"], Nat["side"]>> = {
  snat: "src",
  masquerade: "src",
  dnat: "dst",
  redirect: "dst",
};

const why = "fwcheck does not evaluate this translation";

/** `dnat ip to` of a table of both families switches connection tracking on for IPv4 alone (nft_nat_init). */
const FAMILY_TRAITS: Readonly<Record<Family, Traits>> = {
  4: { needsConntrackIpv4: true },
  6: { needsConntrackIpv6: true },
};

/** Reads a statement that translates addresses. It ends the rule: the kernel accepts the packet in this chain. */
export function readNat(given: Statement, scope: RuleScope): StatementStep {
  const family = familyOfStatement(given, scope);
  const reader = new TargetReader(given, family, scope);
  const address = reader.address();
  const port = reader.port();
  const text = (): string => printStatement(given);
  const build = (target: Target): Nat => translation(given, target);
  const lookups = [address, port].filter((each) => each?.kind === "map").map((each) => each!.lookup);
  return statement(
    given.type,
    text,
    (at) => {
      // In a table of both families it does nothing to packets of the other (nft_nat_inet_eval).
      if (family !== null && at.facts.family !== family) return NOTE;
      if (address === null || port === null) return unknownEffect(siteKey(given.type, at.site), why);
      return chosen(address, at, (one) => chosen(port, at, (two) => build(joined(one, two))));
    },
    {
      verdict: "accept",
      traits: family === null ? CONNTRACK_TRAITS : FAMILY_TRAITS[family],
      ...(lookups.length === 0
        ? {}
        : { goesOn: (at): Predicate => and(...lookups.map((lookup) => lookup.found(at))) }),
    },
  );

  function chosen(source: Source, at: CompileContext, effect: (target: Target) => Effect): Effect {
    if (source.kind === "fixed") return effect(source.target);
    return source.lookup.choose(at, (data) => {
      const target = source.targets.get(data) ?? null;
      return target === null ? unknownEffect(siteKey(given.type, at.site), why) : effect(target);
    });
  }
}

/** A port after the address replaces that of a map. */
const joined = (address: Target, port: Target): Target => ({
  to: address.to,
  ports: port.ports ?? address.ports,
});

function translation({ type, flags }: NatStatement, { to, ports }: Target): Nat {
  const own: Nat["to"] =
    type === "masquerade" || type === "redirect" ? { kind: "interface" } : { kind: "keep" };
  return {
    kind: "nat",
    side: SIDES[type],
    to: to ?? own,
    ports,
    random: flags.includes("random") || flags.includes("fully-random"),
    persistent: flags.includes("persistent"),
  };
}

/** Family of the new address: as written, that of the table, or that of the address itself. `null` for both. */
function familyOfStatement({ family, address }: Statement, { tableFamily }: RuleScope): Family | null {
  const written = family === "" ? tableFamily : family;
  if (written === "ip") return 4;
  if (written === "ip6") return 6;
  return address?.kind === "value" ? (familyOf(address.text) ?? null) : null;
}

/** Reads the address and the port of one statement. */
class TargetReader {
  private readonly type: Datatype;

  constructor(
    private readonly given: Statement,
    family: Family | null,
    private readonly scope: RuleScope,
  ) {
    this.type = family === 6 ? TYPES.ipv6_addr : TYPES.ipv4_addr;
  }

  address(): Source | null {
    return this.source(this.given.address, (data) => this.addressOf(data));
  }

  port(): Source | null {
    return this.source(this.given.port, (data) => {
      const ports = this.ports(data);
      return ports === null ? null : { to: null, ports };
    });
  }

  private source(given: Expression | null, read: (data: Expression) => Target | null): Source | null {
    if (given === null) return { kind: "fixed", target: { to: null, ports: null } };
    const found = resolved(given, this.scope);
    if (found === null) return null;
    if (found.kind !== "map") {
      const target = read(found);
      return target === null ? null : { kind: "fixed", target };
    }
    const lookup = readLookup(found.key, found.map, this.scope);
    if (lookup === null) return null;
    const targets = new Map<Data, Target | null>();
    for (const data of lookup.data()) targets.set(data, data.kind === "verdict" ? null : read(data));
    return { kind: "map", lookup, targets };
  }

  /** An address, a range, a prefix, or an address and a port. */
  private addressOf(given: Expression): Target | null {
    const found = resolved(given, this.scope);
    if (found === null) return null;
    if (found.kind === "concatenation") {
      const [address, port, more] = found.parts;
      const to = more === undefined && address !== undefined ? this.to(address) : null;
      const ports = port === undefined ? null : this.ports(port);
      return to === null || ports === null ? null : { to, ports };
    }
    const to = this.to(found);
    return to === null ? null : { to, ports: null };
  }

  private to(given: Expression): Nat["to"] | null {
    const found = resolved(given, this.scope);
    if (found === null || (found.kind !== "value" && found.kind !== "range" && found.kind !== "prefix"))
      return null;
    const ranges = readRanges(found, this.type, this.scope);
    if (ranges === null) return null;
    const [first, last] = ranges[0] as readonly [Address, Address];
    if (found.kind === "prefix" && this.given.words.includes("prefix")) {
      const mask = prefixMask(integer(found.length)!, this.type === TYPES.ipv6_addr ? 6 : 4);
      return { kind: "netmap", address: first, mask };
    }
    return { kind: "range", first, last };
  }

  private ports(given: Expression): NonNullable<Nat["ports"]> | null {
    if (readsPacket(given)) return null;
    const ranges = readRanges(given, TYPES.inet_service, this.scope);
    if (ranges === null || ranges.length !== 1) return null;
    const [first, last] = ranges[0] as Range as readonly [number, number];
    return { first, last };
  }
}
