/**
 * Lifts the intent past the address translation: the owner's policy for each way becomes rules of FORWARD. One rule
 * matches the endpoint and goes to the chain of its policy; equal policies share a chain.
 */
import type { FamilyAudit, Way } from "../audit/audit.ts";
import { bansOf } from "../audit/bans.ts";
import type { Host } from "../host/host.ts";
import { outsideInterfaces } from "../host/packet-origin.ts";
import { EMPTY } from "../reach/node-store.ts";
import { SAFE_NAME } from "./box-printer.ts";
import { CHAIN } from "./chain-names.ts";
import { type Choice, endpointRules, type Strategy, type WayPolicy } from "./endpoint-rules.ts";
import { groupByPolicy, type IpSet, type SetMember } from "./endpoint-sets.ts";
import { PolicyChains } from "./policy-chains.ts";
import { failed, PolicyPrinter, type PrintedPolicy } from "./policy-printer.ts";
import { policySteps } from "./policy-reader.ts";
import type { OpenReason } from "./reasons.ts";
import { WayMatches } from "./way-matches.ts";
import { wayKey, wholeWays } from "./whole-ways.ts";

/** Options of a lift. */
export interface LiftOptions {
  readonly strategy: Strategy | "auto";
  /** The printed form can create ipsets. */
  readonly sets: boolean;
  /** Ways that stay open, by `wayKey`, since their rules failed the proof. */
  readonly failed: ReadonlyMap<string, OpenReason>;
  /** Packets may be translated to addresses that the model does not know. */
  readonly unknownTranslations: boolean;
}

/** A way that stays open. */
export interface OpenWay {
  readonly way: Way;
  readonly reason: OpenReason;
}

/** The rules of one family. */
export interface Lifted {
  /** Chains with their rules, without `-A CHAIN`; `FWCHECK` first. None if nothing has to be closed. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  readonly sets: readonly IpSet[];
  readonly choices: readonly Choice[];
  readonly open: readonly OpenWay[];
  /** Closed ways, and allowed ways whose bans are applied. */
  readonly closed: readonly Way[];
  /** Ban chains of the owner that the rules call. */
  readonly called: readonly string[];
  /** Ban chains whose rules are copied as they are now. */
  readonly copied: readonly string[];
}

/** From this number of endpoints one set is cheaper than a rule for each (docs/fix.md). */
const MANY_ENDPOINTS = 64;

/** Returns the rules of one family. */
export function lift(audit: FamilyAudit, host: Host, options: LiftOptions): Lifted {
  const ways = wholeWays(audit);
  const unsafe = unsafeInterfaceName(host);
  if (unsafe !== undefined)
    return {
      ...NOTHING,
      open: ways
        .filter(isBypass)
        .map((way) => ({ way, reason: { code: "unsafe-interface-name", name: unsafe } })),
    };
  const { closable, open } = selectWays(ways, audit, options);
  const printer = new PolicyPrinter(audit, host);
  const blocked = printPolicies(closable, audit, host, printer);
  // If nothing is closed, rules that only apply bans are not needed.
  const banned =
    blocked.closed.length === 0
      ? NO_POLICIES
      : printPolicies(waysWithBans(ways, audit, options), audit, host, printer);
  const policies = [...blocked.closed, ...banned.closed.filter(({ policy }) => policy.length > 0)];
  const writer = new ChainWriter(audit, host, ways, printer, options);
  return {
    ...writer.write(policies, [...open, ...blocked.open]),
    called: [...new Set([...blocked.called, ...banned.called])],
    copied: [...new Set([...blocked.copied, ...banned.copied])],
  };
}

const NOTHING: Lifted = {
  chains: new Map(),
  sets: [],
  choices: [],
  open: [],
  closed: [],
  called: [],
  copied: [],
};

/** Returns an interface name that is not safe in a rule; rules name all outside interfaces and bridges. */
const unsafeInterfaceName = (host: Host): string | undefined =>
  [...outsideInterfaces(host), ...host.bridges].find((name) => !SAFE_NAME.test(name));

/** Returns whether a way has packets to close. */
const isBypass = ({ blocked, kind }: Way): boolean => blocked !== EMPTY && kind !== "ineffective-allow";

/** Returns the ways that rules may close, and those that stay open with the reason. */
function selectWays(
  ways: readonly Way[],
  audit: FamilyAudit,
  options: LiftOptions,
): { readonly closable: readonly Way[]; readonly open: readonly OpenWay[] } {
  const open: OpenWay[] = ways
    .filter(({ kind, finding }) => kind === "ineffective-allow" && finding !== null)
    .map((way) => ({ way, reason: { code: "dropped-by-docker" } }));
  const closable: Way[] = [];
  for (const way of ways.filter(isBypass)) {
    const reason = obstacleOf(way, audit, options);
    if (reason === null) closable.push(way);
    else open.push({ way, reason });
  }
  return { closable, open };
}

/** Returns why no rule may close a way; `null` if one may. */
function obstacleOf(way: Way, audit: FamilyAudit, options: LiftOptions): OpenReason | null {
  if (way.beyond !== undefined) return { code: "not-matchable", ports: way.beyond };
  const failure = options.failed.get(wayKey(way));
  if (failure !== undefined) return failure;
  return audit.domain.diagrams.intersect(way.all, audit.notFollowed) === EMPTY
    ? null
    : { code: "not-followed", doubts: audit.doubts };
}

/** Returns published ports that are open as intended and look senders up in ban lists: later bans must apply to them. */
function waysWithBans(ways: readonly Way[], { full }: FamilyAudit, options: LiftOptions): readonly Way[] {
  if (bansOf(full.program.ruleset).length === 0) return [];
  return ways.filter(
    (way) =>
      way.blocked === EMPTY &&
      way.listen !== null &&
      way.endpoint !== null &&
      !options.failed.has(wayKey(way)),
  );
}

/** Policies of ways, and the ways whose policy cannot be printed. */
interface Policies extends Omit<PrintedPolicy, "rules"> {
  readonly closed: readonly WayPolicy[];
  readonly open: readonly OpenWay[];
}

const NO_POLICIES: Policies = { closed: [], open: [], called: [], copied: [] };

function printPolicies(
  ways: readonly Way[],
  audit: FamilyAudit,
  host: Host,
  printer: PolicyPrinter,
): Policies {
  const steps = policySteps(audit, host, ways);
  const closed: WayPolicy[] = [];
  const open: OpenWay[] = [];
  const [called, copied]: [string[], string[]] = [[], []];
  for (const way of ways) {
    const printed = printer.print(way, steps.get(way)!);
    called.push(...printed.called);
    copied.push(...printed.copied);
    if (failed(printed.rules)) open.push({ way, reason: printed.rules });
    else closed.push({ way, policy: printed.rules });
  }
  return { closed, open, called, copied };
}

/** Writes the chains for ways with their policies. */
class ChainWriter {
  private readonly matches: WayMatches;
  private readonly chains = new PolicyChains();

  constructor(
    private readonly audit: FamilyAudit,
    private readonly host: Host,
    private readonly ways: readonly Way[],
    private readonly printer: PolicyPrinter,
    private readonly options: LiftOptions,
  ) {
    this.matches = new WayMatches(audit, host);
  }

  write(policies: readonly WayPolicy[], open: readonly OpenWay[]): Omit<Lifted, "called" | "copied"> {
    const { bridges } = this.host;
    const outgoing = policies.filter(({ way }) => way.kind === "egress-bypass");
    const incoming = policies.filter(({ way }) => way.kind !== "egress-bypass");
    const egress = outgoing.map((each) => this.egressRule(each));
    const endpoints = this.endpointRules(incoming.filter(({ way }) => way.endpoint !== null));
    const sets = groupByPolicy(endpoints.members, this.audit.family);
    const setRules = sets.map(
      ({ name, policy }) => `-m set --match-set ${name} dst,dst ${this.chains.targetOf(policy)}`,
    );
    const rest = this.interfaceRules(incoming.filter(({ way }) => way.endpoint === null));
    const ingress = [...setRules, ...endpoints.rules, ...rest.rules];
    // The engine decides about traffic between containers.
    const fromContainers =
      ingress.length === 0 ? [] : bridges.map((name) => `${this.matches.fromContainers(name)} -j RETURN`);
    const rules = [...egress, ...fromContainers, ...ingress];
    const established = "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN";
    return {
      chains:
        rules.length === 0 ? new Map() : new Map([[CHAIN, [established, ...rules]], ...this.chains.chains]),
      sets: sets.map(({ name, family, entries }) => ({ name, family, entries })),
      choices: endpoints.choices,
      open: [...open, ...endpoints.open, ...rest.open],
      closed: [...outgoing.map(({ way }) => way), ...endpoints.closed, ...rest.closed],
    };
  }

  /** Returns the rule for packets that the containers of a bridge send. Packets to other containers return. */
  private egressRule({ way, policy }: WayPolicy): string {
    const toContainers = this.host.bridges.map((bridge) => `-o ${bridge} -j RETURN`);
    return `${this.matches.fromContainers(way.bridge!)} -g ${this.chains.chainOf(policy, toContainers)}`;
  }

  private endpointRules(policies: readonly WayPolicy[]) {
    const groups = new Map<string, WayPolicy[]>();
    for (const each of policies) {
      const key = `${each.way.endpoint!.ip} ${each.way.proto} ${each.way.endpoint!.port}`;
      groups.set(key, [...(groups.get(key) ?? []), each]);
    }
    const { strategy, sets } = this.options;
    const unknownTranslations = this.options.unknownTranslations || this.audit.notFollowed !== EMPTY;
    const options = {
      requested: strategy === "auto" ? null : strategy,
      manyEndpoints: strategy === "auto" && sets && groups.size >= MANY_ENDPOINTS && !unknownTranslations,
      unknownTranslations,
    };
    const context = { audit: this.audit, host: this.host, matches: this.matches };
    const rules: string[] = [];
    const members: SetMember[] = [];
    const choices: Choice[] = [];
    const closed: Way[] = [];
    const open: OpenWay[] = [];
    for (const group of groups.values()) {
      const result = endpointRules(group, this.ways, context, this.chains, options);
      const ways = group.map(({ way }) => way);
      if ("open" in result) {
        open.push(...ways.map((way) => ({ way, reason: result.open })));
        continue;
      }
      rules.push(...result.rules);
      if (result.member !== null) members.push(result.member);
      choices.push(result.choice);
      closed.push(...ways);
    }
    return { rules, members, choices, closed, open };
  }

  /** Rules for packets that Docker lets through an interface to no endpoint that its rules name. */
  private interfaceRules(policies: readonly WayPolicy[]) {
    const bridges = new Set(policies.map(({ way }) => way.bridge));
    const rules = this.exemptions(bridges);
    const closed: Way[] = [];
    const open: OpenWay[] = [];
    for (const each of policies) {
      const { bridge } = each.way;
      if (bridge === null || !SAFE_NAME.test(bridge)) {
        open.push({ way: each.way, reason: { code: "unsafe-output-interface" } });
        continue;
      }
      closed.push(each.way);
      rules.push(...this.interfaceRulesOf(each, bridge));
    }
    return { rules, closed, open };
  }

  /** Returns rules for endpoints that are open as intended at their own address, in front of the rule of their bridge. */
  private exemptions(bridges: ReadonlySet<string | null>): string[] {
    return this.ways
      .filter(
        (way) =>
          way.endpoint !== null &&
          way.blocked === EMPTY &&
          bridges.has(way.bridge) &&
          this.matches.isDirect(way),
      )
      .map((way) => `${this.matches.byAddress(way)} -j RETURN`);
  }

  private interfaceRulesOf({ way, policy }: WayPolicy, name: string): string[] {
    if (this.host.bridges.includes(name)) {
      const translated = this.matches
        .byTranslation(way)
        .map((text) => `${text} ${this.chains.targetOf(policy)}`);
      return [...translated, `-o ${name} -m conntrack ! --ctstate DNAT ${this.chains.targetOf(policy)}`];
    }
    const boxes = this.printer.boxes.print(way.blocked, false, way.all);
    if (boxes !== null) return boxes.map((box) => `${`${box} -o ${name}`.trim()} -j DROP`);
    return [`-o ${name} ${this.chains.targetOf(policy)}`];
  }
}
