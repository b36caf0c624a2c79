/**
 * Lifts the intent: what the owner's rules say of each way to an endpoint, rule for rule, becomes a policy that holds
 * after DNAT. One rule tells the endpoint and hands its packets to the policy; equal policies share their rules.
 */
import type { FamilyAudit, Way } from "../audit/audit.ts";
import { bansOf } from "../audit/bans.ts";
import {
  bridgePorts,
  containerAt,
  fromOutside,
  type Host,
  outsideInterfaces,
  tellsPorts,
} from "../host/host.ts";
import { printAddress } from "../packet/address.ts";
import { type Address, type Family, type Field, hasPorts, protoName, type Scalar } from "../packet/field.ts";
import { and, is } from "../packet/predicate.ts";
import { EMPTY } from "../reach/node-store.ts";
import { type SetState, valueIn } from "../reach/set-state.ts";
import { CHAIN, policyChain } from "./chain-names.ts";
import { listsOf, seen, wayKey, wholeWays } from "./decision-lists.ts";
import type { OpenReason, StrategyReason } from "./reasons.ts";
import { type Line, PLAIN, policyKey, Speller, Unspelled, verdicts } from "./rule-writer.ts";

/** What a rule knows a packet by: the internal address, the original one that conntrack remembers, or a set of them. */
export type Strategy = "internal-ip" | "conntrack" | "ipset";

/** From how many endpoints on one set is cheaper than a rule for each, by far (docs/fix.md). */
const MANY = 64;

/** How one endpoint is closed, and why so. */
export interface Choice {
  /** 4 or 6. */
  readonly family: Family;
  /** What is closed: an address and port, or a published port. */
  readonly endpoint: string;
  /** How. */
  readonly strategy: Strategy;
  /** Why this strategy. */
  readonly reason: StrategyReason;
}

/** Endpoints that one rule tells, whatever their number: an ipset of type hash:ip,port. */
export interface IpSet {
  readonly name: string;
  readonly family: Family;
  readonly entries: readonly { readonly ip: Address; readonly proto: number; readonly port: number }[];
}

export interface Lifted {
  /** Each chain with its rules, without `-A CHAIN`; `FWCHECK` first. None where nothing has to be closed. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  readonly sets: readonly IpSet[];
  readonly choices: readonly Choice[];
  /** The ways that are left open. */
  readonly open: readonly Open[];
  /** The ways that are closed, and those whose bans are followed. */
  readonly closed: readonly Way[];
  /** Chains of the owner's ban programs that the rules call, and those whose bans they copy as they are now. */
  readonly called: readonly string[];
  readonly copied: readonly string[];
}

/** A way that is left open. */
export interface Open {
  readonly way: Way;
  readonly reason: OpenReason;
}

/** A way with its policy. */
interface Closed {
  readonly way: Way;
  readonly policy: readonly Line[];
}

/** What a fix has to do without. */
export interface Limits {
  /** Ways that are left open, by `wayKey`, with the reason. */
  readonly open?: ReadonlyMap<string, OpenReason>;
  /** Whether packets may be translated to addresses that the model does not know: no rule may match by address alone. */
  readonly translations?: boolean;
}

/**
 * Writes the chains for one family.
 * @param sets whether the form that is asked for can bring ipsets with it
 */
export function lift(
  audit: FamilyAudit,
  host: Host,
  wanted: Strategy | "auto",
  sets: boolean,
  limits: Limits = {},
): Lifted {
  return new Writer(audit, host, wanted, sets, limits).write();
}

class Writer {
  private readonly choices: Choice[] = [];
  private readonly open: Open[] = [];
  private readonly closed: Way[] = [];
  private readonly chains = new Map<string, readonly string[]>();
  private readonly numbers = new Map<string, string>();
  private readonly sets = new Map<
    string,
    { name: string; policy: readonly Line[]; entries: IpSet["entries"][number][] }
  >();
  private readonly ways: readonly Way[];
  private readonly speller: Speller;

  constructor(
    private readonly audit: FamilyAudit,
    private readonly host: Host,
    private readonly wanted: Strategy | "auto",
    private readonly mayHaveSets: boolean,
    private readonly limits: Limits,
  ) {
    this.ways = wholeWays(audit);
    this.speller = new Speller(audit, host);
  }

  write(): Lifted {
    const bad = [...outsideInterfaces(this.host), ...this.host.bridges].find((name) => !PLAIN.test(name));
    const ways = this.ways.filter((way) => way.blocked !== EMPTY && way.kind !== "ineffective-allow");
    if (bad !== undefined) {
      for (const way of ways) this.leave(way, { code: "unsafe-interface-name", name: bad });
      return this.done();
    }
    for (const way of this.ways)
      if (way.kind === "ineffective-allow" && way.finding !== null)
        this.leave(way, { code: "dropped-by-docker" });
    const closed = this.policies(ways.filter((way) => this.mayClose(way)));
    if (closed.length > 0) closed.push(...this.banning());
    const out: string[] = [];
    for (const { way, policy } of closed.filter(({ way }) => way.kind === "egress-bypass"))
      out.push(...this.egress(way, policy));
    const inward = this.inward(closed.filter(({ way }) => way.kind !== "egress-bypass"));
    if (inward.length > 0) {
      // Containers among themselves are Docker's business: what comes from a bridge is none of the rules for outsiders.
      out.push(...this.host.bridges.map((bridge) => `${this.from(bridge)} -j RETURN`), ...inward);
    }
    if (out.length > 0)
      this.chains.set(CHAIN, ["-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN", ...out]);
    return this.done();
  }

  private done(): Lifted {
    const { choices, open, closed } = this;
    const family = this.audit.family;
    const main = this.chains.get(CHAIN);
    const chains = new Map(main === undefined ? [] : [[CHAIN, main], ...this.chains]);
    const sets = [...this.sets.values()].map(({ name, entries }) => ({ name, entries, family }));
    const { called, copied } = this.speller;
    return { chains, sets, choices, open, closed, called: [...called], copied: [...copied] };
  }

  private leave(way: Way, reason: OpenReason): void {
    this.open.push({ way, reason });
  }

  /** Whether a way may be closed; leaves it open by name where not. */
  private mayClose(way: Way): boolean {
    const { diagrams } = this.audit.domain;
    const reason: OpenReason | undefined =
      way.beyond !== undefined
        ? { code: "not-matchable", ports: way.beyond }
        : (this.limits.open?.get(wayKey(way)) ??
          (diagrams.intersect(way.all, this.audit.notFollowed) === EMPTY
            ? undefined
            : { code: "not-followed", doubts: this.audit.doubts }));
    if (reason !== undefined) this.leave(way, reason);
    return reason === undefined;
  }

  /** Whether packets may be translated to addresses that the model does not know. */
  private get translations(): boolean {
    return this.limits.translations === true || this.audit.notFollowed !== EMPTY;
  }

  /** The ways whose lists can be written down. */
  private policies(ways: readonly Way[]): Closed[] {
    const lists = listsOf(this.audit, this.host, ways);
    return ways.flatMap((way) => {
      const policy = this.speller.lines(way, lists.get(way)!);
      if (policy instanceof Unspelled) {
        this.leave(way, policy.reason);
        return [];
      }
      return [{ way, policy }];
    });
  }

  /**
   * Published ports that are open as they should be, but look senders up in lists of bans: whoever is banned next must
   * not reach them either.
   */
  private banning(): Closed[] {
    const { program } = this.audit.full;
    if (bansOf(program.ruleset).length === 0) return [];
    const ways = this.ways.filter(
      (way) =>
        way.blocked === EMPTY &&
        way.listen !== null &&
        way.endpoint !== null &&
        !(this.limits.open?.has(wayKey(way)) ?? false),
    );
    const lists = listsOf(this.audit, this.host, ways);
    return ways.flatMap((way) => {
      const policy = this.speller.lines(way, lists.get(way)!);
      return policy instanceof Unspelled || policy.length === 0 ? [] : [{ way, policy }];
    });
  }

  /** Everything from outside: endpoints first, then what reaches a bridge besides. */
  private inward(closed: readonly Closed[]): string[] {
    const endpoints = new Map<string, Closed[]>();
    const others: Closed[] = [];
    for (const each of closed) {
      const { endpoint, proto } = each.way;
      if (endpoint === null) others.push(each);
      else {
        const key = `${endpoint.ip} ${proto} ${endpoint.port}`;
        endpoints.set(key, [...(endpoints.get(key) ?? []), each]);
      }
    }
    const many = this.wanted === "auto" && this.mayHaveSets && endpoints.size >= MANY && !this.translations;
    const rules = [...endpoints.values()].flatMap((ways) => this.endpoint(ways, many));
    const bySet = [...this.sets.values()].map(
      ({ name, policy }) => `-m set --match-set ${name} dst,dst ${this.handOver(policy)}`,
    );
    const bridges = new Set(others.map(({ way }) => way.bridge));
    return [...bySet, ...rules, ...this.spared(bridges), ...others.flatMap((each) => this.bridge(each))];
  }

  /**
   * Endpoints that are open as they should be at their own address, in front of a rule that closes all the rest of their
   * bridge; what was translated that rule lets alone.
   */
  private spared(bridges: ReadonlySet<string | null>): string[] {
    return this.ways.flatMap((way) =>
      way.endpoint !== null && way.blocked === EMPTY && bridges.has(way.bridge) && this.isDirect(way)
        ? [`${this.guard(way, true)} -j RETURN`]
        : [],
    );
  }

  /**
   * What hands packets over to a policy: a verdict where it is all there is, else a goto to its chain.
   * @param proto the protocol that the rule in front names
   */
  private handOver(policy: readonly Line[], proto: number | null = null): string {
    const [only, ...more] = policy;
    const named = proto === null ? "" : ` -p ${protoName(proto)}`;
    // A chain that is called returns: what falls off it must leave our chain, too.
    const ends = only !== undefined && !["ask", "call", "note"].includes(only.does);
    if (ends && more.length === 0 && ["", named].includes(only.when)) return only.action;
    return `-g ${this.chainOf(policy)}`;
  }

  private chainOf(policy: readonly Line[], lead: readonly string[] = []): string {
    const key = `${lead.join("\n")}\n${policyKey(policy)}`;
    let name = this.numbers.get(key);
    if (name === undefined) {
      name = policyChain(this.numbers.size + 1);
      this.numbers.set(key, name);
      this.chains.set(name, []);
      this.chains.set(name, [
        ...lead,
        ...policy.map(({ when, does, action, inner }) =>
          `${when} ${does === "ask" ? this.handOver(inner) : action}`.trim(),
        ),
      ]);
    }
    return name;
  }

  /** The rules of one endpoint, all the ways to it together. */
  private endpoint(closed: readonly Closed[], many: boolean): string[] {
    const [{ way, policy }] = closed as [Closed];
    const { ip, port } = way.endpoint!;
    const container = containerAt(this.host, ip);
    const proto = protoName(way.proto ?? 0);
    const address = this.audit.family === 6 && port !== null ? `[${printAddress(ip)}]` : printAddress(ip);
    const label = `${container === null ? "" : `${container.name} `}${address}${port === null ? "" : `:${port}`}/${proto}`;
    const key = (each: Closed): string => policyKey(verdicts(each.policy));
    const all = this.ways.filter((w) =>
      w.endpoint === null
        ? this.leadsTo(w, way)
        : w.endpoint.ip === ip && w.endpoint.port === port && w.proto === way.proto,
    );
    // A way that is open as it should be, or is left open, is told apart from those that are closed, too.
    const same = closed.length === all.length && closed.every((each) => key(each) === key(closed[0]!));
    const take = (strategy: Strategy, reason: StrategyReason): void => {
      this.choices.push({ family: this.audit.family, endpoint: label, strategy, reason });
      this.closed.push(...closed.map((each) => each.way));
    };
    const asked = this.wanted === "auto" ? null : this.wanted;
    if (!same && asked === "internal-ip") {
      for (const each of closed) this.leave(each.way, { code: "different-intents", endpoint: label });
      return [];
    }
    if (this.translations && (asked === "internal-ip" || asked === "ipset")) {
      for (const each of closed) this.leave(each.way, { code: "unknown-translations", endpoint: label });
      return [];
    }
    if (!same || asked === "conntrack" || this.translations) {
      const keepsAddress = container === null || container.fixed;
      take(
        "conntrack",
        !same
          ? { code: "different-intents", paths: all.length, keepsAddress }
          : this.translations && asked === null
            ? { code: "unknown-translations", keepsAddress }
            : { code: "conntrack-requested", keepsAddress },
      );
      return closed.map(
        (each) => `${this.guard(each.way, false)} ${this.handOver(each.policy, each.way.proto)}`,
      );
    }
    const set = asked === "ipset" || many;
    if (set && port !== null && way.proto !== null && hasPorts(way.proto)) {
      take("ipset", { code: asked === "ipset" ? "ipset-requested" : "many-endpoints" });
      this.enter(policy, { ip, proto: way.proto, port });
      return [];
    }
    take("internal-ip", set ? { code: "no-port" } : { code: "one-intent", paths: closed.length });
    return [`${this.guard(way, true)} ${this.handOver(policy, way.proto)}`];
  }

  private enter(policy: readonly Line[], entry: IpSet["entries"][number]): void {
    const key = policyKey(policy);
    let set = this.sets.get(key);
    if (set === undefined) {
      set = { name: `${CHAIN}${this.audit.family}-${this.sets.size + 1}`, policy, entries: [] };
      this.sets.set(key, set);
    }
    set.entries.push(entry);
  }

  /** What tells the packets of a way, by the endpoint's address alone or by where they were sent to. */
  private guard(way: Way, byAddress: boolean): string {
    const { ip, port } = way.endpoint!;
    const { proto, listen } = way;
    const p = proto === null ? "" : ` -p ${protoName(proto)}`;
    const ports = proto !== null && port !== null && hasPorts(proto);
    const here = `-d ${printAddress(ip)}/${this.audit.family === 4 ? 32 : 128}${p}${ports ? ` -m ${protoName(proto!)} --dport ${port}` : ""}`;
    if (byAddress) return here;
    if (listen === null || listen.port === null || this.isDirect(way))
      return `${here} -m conntrack ! --ctstate DNAT`;
    const original = `-m conntrack --ctstate DNAT${listen.address === null ? "" : ` --ctorigdst ${listen.address}`} --ctorigdstport ${listen.port} --ctdir ORIGINAL`;
    const container = containerAt(this.host, ip);
    // Where Docker may give the container another address, a guard by address would let the rule go stale.
    return container !== null && !container.fixed ? `${p.trim()} ${original}` : `${here} ${original}`;
  }

  /** Whether among what goes to a bridge for no endpoint that Docker's filter names some goes to this one all the same. */
  private leadsTo({ kind, all }: Way, { endpoint, proto }: Way): boolean {
    const { ip, port } = endpoint!;
    const { domain } = this.audit;
    const here = and(
      is("dst", ip),
      ...(proto === null ? [] : [is("proto", proto)]),
      ...(port === null ? [] : [is("dport", port)]),
    );
    return kind === "direct-bypass" && domain.diagrams.intersect(all, domain.set(here)) !== EMPTY;
  }

  /** A way that needs no translation: its packets already carry the container's address. */
  private isDirect(way: Way): boolean {
    const { diagrams } = this.audit.domain;
    return diagrams.subtract(way.all, this.audit.domain.set(is("dst", way.endpoint!.ip))) === EMPTY;
  }

  /** Packets that Docker lets into a bridge for no endpoint that its rules name, or out of it to somewhere else. */
  private bridge({ way, policy }: Closed): string[] {
    const { bridge } = way;
    if (bridge === null || !PLAIN.test(bridge)) {
      this.leave(way, { code: "unsafe-output-interface" });
      return [];
    }
    this.closed.push(way);
    if (this.host.bridges.includes(bridge))
      return [
        ...this.translated(way).map((guard) => `${guard} ${this.handOver(policy)}`),
        `-o ${bridge} -m conntrack ! --ctstate DNAT ${this.handOver(policy)}`,
      ];
    const boxes = this.speller.boxes(way.blocked, false, way.all);
    if (boxes !== null) return boxes.map((box) => `${`${box} -o ${bridge}`.trim()} -j DROP`);
    return [`-o ${bridge} ${this.handOver(policy)}`];
  }

  /** Packets from outside whose destination is translated, as FORWARD sees them. */
  private get forwarded(): readonly SetState[] {
    const { full } = this.audit;
    this.arrived ??= seen(full, "FORWARD", (observe) =>
      full.arrive(full.start(fromOutside(this.host)), observe),
    ).filter((state) => valueIn(state, "dst") !== undefined);
    return this.arrived;
  }

  private arrived: readonly SetState[] | undefined;

  /** What tells the packets of a bridge that the owner's own rules translate. */
  private translated(way: Way): string[] {
    const { family, domain } = this.audit;
    const guards = new Set<string>();
    for (const state of this.forwarded) {
      const set = domain.diagrams.intersect(state.set, way.all);
      const dst = valueIn(state, "dst");
      if (set === EMPTY || dst === undefined) continue;
      const one = (field: Field): Scalar | undefined => {
        const [span, ...more] = domain.valueRanges(set, field);
        return span !== undefined && more.length === 0 && span[0] === span[1] ? span[0] : undefined;
      };
      const [proto, port, address] = [one("proto"), one("dport"), one("dst")];
      const to = valueIn(state, "dport") ?? port;
      const ports = proto !== undefined && to !== undefined && hasPorts(proto as number);
      const name = proto === undefined ? "" : protoName(proto as number);
      guards.add(
        [
          `-d ${printAddress(dst as Address)}/${family === 4 ? 32 : 128}`,
          ...(proto === undefined ? [] : [`-p ${name}`]),
          ...(ports ? [`-m ${name} --dport ${to}`] : []),
          "-m conntrack --ctstate DNAT",
          ...(address === undefined ? [] : [`--ctorigdst ${printAddress(address as Address)}`]),
          ...(port === undefined ? [] : [`--ctorigdstport ${port}`]),
          "--ctdir ORIGINAL",
        ].join(" "),
      );
    }
    return [...guards];
  }

  /** What containers behind a bridge may not send; to other containers they may. */
  private egress(way: Way, policy: readonly Line[]): string[] {
    this.closed.push(way);
    const among = this.host.bridges.map((bridge) => `-o ${bridge} -j RETURN`);
    return [`${this.from(way.bridge!)} -g ${this.chainOf(policy, among)}`];
  }

  /** Matches what the containers of a bridge send, and nothing that comes by its outside port where rules can tell it. */
  private from(bridge: string): string {
    const { outside } = bridgePorts(this.host, bridge);
    const others = tellsPorts(this.host, bridge, this.audit.family)
      ? outside.map((port) => ` -m physdev ! --physdev-in ${port}`)
      : [];
    return `-i ${bridge}${others.join("")}`;
  }
}
