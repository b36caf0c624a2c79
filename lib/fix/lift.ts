/**
 * Lifts the intent past the address translation: the owner's policy for each passage becomes rules of FORWARD. One rule
 * matches the endpoint and goes to the chain of its policy; equal policies share a chain.
 */
import type { FamilyAudit, Passage } from "../audit/audit.ts";
import { bansOf } from "../audit/bans.ts";
import { bridgePorts, showsInputPorts } from "../host/bridge-ports.ts";
import type { Host } from "../host/host.ts";
import { outsideInterfaces } from "../host/packet-origin.ts";
import { type Family, hasPorts } from "../packet/field.ts";
import { EMPTY } from "../reach/node-store.ts";
import { SAFE_NAME } from "./box-printer.ts";
import { CHAIN, type FixLanguage } from "./chain-names.ts";
import {
  closedEndpoint,
  endpointRules,
  type PassagePolicy,
  runMember,
  type Strategy,
  type StrategyChoice,
} from "./endpoint-rules.ts";
import { groupByPolicy, type IpSet, type SetMember } from "./endpoint-sets.ts";
import { nftPolicy } from "./nft-chains.ts";
import { PassageMatches } from "./passage-matches.ts";
import { PolicyChains } from "./policy-chains.ts";
import { failed, PolicyPrinter, type PrintedPolicy } from "./policy-printer.ts";
import { policySteps } from "./policy-reader.ts";
import { portRuns } from "./port-runs.ts";
import type { OpenReason } from "./reasons.ts";
import { passageKey, wholePassages } from "./whole-passages.ts";

/** Options of a lift. */
export interface LiftOptions {
  readonly strategy: Strategy | "auto";
  /** The printed form can create ipsets. */
  readonly sets: boolean;
  /** Passages that stay open, by `passageKey`, since their rules failed the proof. */
  readonly failed: ReadonlyMap<string, OpenReason>;
  /** Packets may be translated to addresses that the model does not know. */
  readonly unknownTranslations: boolean;
  /** Language that the rules are translated into. */
  readonly language: FixLanguage;
}

/** A passage that stays open. */
export interface OpenPassage {
  readonly passage: Passage;
  readonly reason: OpenReason;
}

/** The rules of one family. */
export interface Lifted {
  /** Chains with their rules, without `-A CHAIN`; `FWCHECK` first. None if nothing has to be closed. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  readonly sets: readonly IpSet[];
  readonly choices: readonly StrategyChoice[];
  readonly open: readonly OpenPassage[];
  /** Closed passages, and allowed passages whose bans are applied. */
  readonly closed: readonly Passage[];
  /** Ban chains of the owner that the rules call. */
  readonly called: readonly string[];
  /** Ban chains whose rules are copied as they are now. */
  readonly copied: readonly string[];
}

/** From this number of endpoints, or runs of their ports, one set is cheaper than a rule for each (docs/fix.md). */
const MANY_ENDPOINTS = 64;

/** Returns the rules of one family. */
export function lift(audit: FamilyAudit, host: Host, options: LiftOptions): Lifted {
  const passages = wholePassages(audit);
  const unsafe = unsafeInterfaceName(host);
  if (unsafe !== undefined)
    return {
      ...NOTHING,
      open: passages
        .filter(isBypass)
        .map((passage) => ({ passage, reason: { code: "unsafe-interface-name", name: unsafe } })),
    };
  const port = options.language === "nftables" ? matchedPort(host, audit.family) : undefined;
  if (port !== undefined)
    return {
      ...NOTHING,
      open: passages.filter(isBypass).map((passage) => ({
        passage,
        reason: { code: "no-nft-form", part: `-m physdev --physdev-in ${port}`, rule: null },
      })),
    };
  const { closable, open } = selectPassages(passages, audit, options);
  const printer = new PolicyPrinter(audit, host, options.language === "iptables");
  const blocked = printPolicies(closable, audit, host, printer, options);
  // If nothing is closed, rules that only apply bans are not needed.
  const banned =
    blocked.closed.length === 0
      ? NO_POLICIES
      : printPolicies(passagesWithBans(passages, audit, options), audit, host, printer, options);
  const policies = [...blocked.closed, ...banned.closed.filter(({ policy }) => policy.length > 0)];
  const writer = new ChainWriter(audit, host, passages, printer, options);
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

/**
 * Returns a port of a container bridge that leads outside, which rules of iptables tell apart from the ports of containers;
 * nftables has no such match in the forward hook of IP.
 */
const matchedPort = (host: Host, family: Family): string | undefined =>
  host.bridges
    .filter((bridge) => showsInputPorts(host, bridge, family))
    .flatMap((bridge) => bridgePorts(host, bridge).outside)[0];

/** Returns whether a passage has packets to close. */
const isBypass = ({ blocked, kind }: Passage): boolean => blocked !== EMPTY && kind !== "ineffective-allow";

/** Returns the passages that rules may close, and those that stay open with the reason. */
function selectPassages(
  passages: readonly Passage[],
  audit: FamilyAudit,
  options: LiftOptions,
): { readonly closable: readonly Passage[]; readonly open: readonly OpenPassage[] } {
  const open: OpenPassage[] = passages
    .filter(({ kind, finding }) => kind === "ineffective-allow" && finding !== null)
    .map((passage) => ({
      passage,
      reason: { code: passage.listen === null ? "dropped-by-docker" : "dropped-at-forward" },
    }));
  const closable: Passage[] = [];
  for (const passage of passages.filter(isBypass)) {
    const reason = obstacleOf(passage, audit, options);
    if (reason === null) closable.push(passage);
    else open.push({ passage, reason });
  }
  return { closable, open };
}

/** Returns why no rule may close a passage; `null` if one may. */
function obstacleOf(passage: Passage, audit: FamilyAudit, options: LiftOptions): OpenReason | null {
  if (passage.beyond !== undefined) return { code: "not-matchable", ports: passage.beyond };
  const failure = options.failed.get(passageKey(passage));
  if (failure !== undefined) return failure;
  return audit.domain.diagrams.intersect(passage.all, audit.notFollowed) === EMPTY
    ? null
    : { code: "not-followed", doubts: audit.doubts };
}

/** Returns published ports that are open as intended and look senders up in ban lists: later bans must apply to them. */
function passagesWithBans(
  passages: readonly Passage[],
  { full }: FamilyAudit,
  options: LiftOptions,
): readonly Passage[] {
  if (bansOf(full.program.ruleset).length === 0) return [];
  return passages.filter(
    (passage) =>
      passage.blocked === EMPTY &&
      passage.listen !== null &&
      passage.endpoint !== null &&
      !options.failed.has(passageKey(passage)),
  );
}

/** Policies of passages, and the passages whose policy cannot be printed. */
interface Policies extends Omit<PrintedPolicy, "rules"> {
  readonly closed: readonly PassagePolicy[];
  readonly open: readonly OpenPassage[];
}

const NO_POLICIES: Policies = { closed: [], open: [], called: [], copied: [] };

function printPolicies(
  passages: readonly Passage[],
  audit: FamilyAudit,
  host: Host,
  printer: PolicyPrinter,
  { language }: LiftOptions,
): Policies {
  const steps = policySteps(audit, host, passages);
  const closed: PassagePolicy[] = [];
  const open: OpenPassage[] = [];
  const [called, copied]: [string[], string[]] = [[], []];
  for (const passage of passages) {
    const printed = printer.print(passage, steps.get(passage)!);
    called.push(...printed.called);
    copied.push(...printed.copied);
    const policy = policyIn(printed, audit.family, language);
    if (failed(policy)) open.push({ passage, reason: policy });
    else closed.push({ passage, policy });
  }
  return { closed, open, called, copied };
}

/** Returns a policy as the language of the fix can express it. */
const policyIn = ({ rules }: PrintedPolicy, family: Family, language: FixLanguage): PrintedPolicy["rules"] =>
  failed(rules) || language === "iptables" ? rules : nftPolicy(rules, family);

/** Key of the passages that have no endpoint. */
const NO_ENDPOINT = "";

/** Returns a key of the endpoint that a passage leads to. */
const endpointKey = ({ endpoint, proto }: Passage): string =>
  endpoint === null ? NO_ENDPOINT : `${endpoint.ip} ${proto} ${endpoint.port}`;

/** Groups items by key, in order. */
function grouped<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}

/** Writes the chains for passages with their policies. */
class ChainWriter {
  private readonly matches: PassageMatches;
  private readonly chains = new PolicyChains();

  constructor(
    private readonly audit: FamilyAudit,
    private readonly host: Host,
    private readonly passages: readonly Passage[],
    private readonly printer: PolicyPrinter,
    private readonly options: LiftOptions,
  ) {
    this.matches = new PassageMatches(audit, host);
  }

  write(policies: readonly PassagePolicy[], open: readonly OpenPassage[]): Omit<Lifted, "called" | "copied"> {
    const { bridges } = this.host;
    const outgoing = policies.filter(({ passage }) => passage.kind === "egress-bypass");
    const incoming = policies.filter(({ passage }) => passage.kind !== "egress-bypass");
    const egress = outgoing.map((each) => this.egressRule(each));
    const endpoints = this.endpointRules(incoming.filter(({ passage }) => passage.endpoint !== null));
    const sets = groupByPolicy(endpoints.members, this.audit.family);
    const setRules = sets.map(
      ({ name, policy }) => `-m set --match-set ${name} dst,dst ${this.chains.targetOf(policy)}`,
    );
    const rest = this.interfaceRules(incoming.filter(({ passage }) => passage.endpoint === null));
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
      closed: [...outgoing.map(({ passage }) => passage), ...endpoints.closed, ...rest.closed],
    };
  }

  /** Returns the rule for packets that the containers of a bridge send. Packets to other containers return. */
  private egressRule({ passage, policy }: PassagePolicy): string {
    const toContainers = this.host.bridges.map((bridge) => `-o ${bridge} -j RETURN`);
    return `${this.matches.fromContainers(passage.bridge!)} -g ${this.chains.chainOf(policy, toContainers)}`;
  }

  private endpointRules(policies: readonly PassagePolicy[]) {
    const groups = grouped(policies, ({ passage }) => endpointKey(passage));
    // The other passages that can lead to an endpoint: those with the same one, and those with none.
    const byEndpoint = grouped(this.passages, endpointKey);
    const withoutEndpoint = byEndpoint.get(NO_ENDPOINT) ?? [];
    const { strategy, sets } = this.options;
    const unknownTranslations = this.options.unknownTranslations || this.audit.notFollowed !== EMPTY;
    const options = { requested: strategy === "auto" ? null : strategy, unknownTranslations };
    const { audit, host, matches } = this;
    const endpoints = [...groups].map(([key, group]) =>
      closedEndpoint(group, [...byEndpoint.get(key)!, ...withoutEndpoint], audit, host),
    );
    const runs = portRuns(endpoints, (endpoint) => runMember(endpoint, matches, options));
    const manyRuns = strategy === "auto" && sets && runs.length >= MANY_ENDPOINTS && !unknownTranslations;
    const rules: string[] = [];
    const members: SetMember[] = [];
    const choices: StrategyChoice[] = [];
    const closed: Passage[] = [];
    const open: OpenPassage[] = [];
    for (const run of runs) {
      const result = endpointRules(run, { audit, host, matches }, this.chains, options, manyRuns);
      const passages = run.flatMap(({ group }) => group.map(({ passage }) => passage));
      if ("open" in result) {
        open.push(...passages.map((passage) => ({ passage, reason: result.open })));
        continue;
      }
      rules.push(...result.rules);
      members.push(...result.members);
      choices.push(result.choice);
      closed.push(...passages);
    }
    return { rules, members, choices, closed, open };
  }

  /** Rules for packets that Docker lets through an interface to no endpoint that its rules name. */
  private interfaceRules(policies: readonly PassagePolicy[]) {
    const bridges = new Set(policies.map(({ passage }) => passage.bridge));
    const rules = this.exemptions(bridges);
    const closed: Passage[] = [];
    const open: OpenPassage[] = [];
    for (const each of policies) {
      const { bridge } = each.passage;
      if (bridge === null || !SAFE_NAME.test(bridge)) {
        open.push({ passage: each.passage, reason: { code: "unsafe-output-interface" } });
        continue;
      }
      closed.push(each.passage);
      rules.push(...this.interfaceRulesOf(each, bridge));
    }
    return { rules, closed, open };
  }

  /** Returns rules for endpoints that are open as intended at their own address, in front of the rule of their bridge. */
  private exemptions(bridges: ReadonlySet<string | null>): string[] {
    const exempt = this.passages.filter(
      (passage) =>
        passage.endpoint !== null &&
        passage.blocked === EMPTY &&
        bridges.has(passage.bridge) &&
        this.matches.isDirect(passage),
    );
    return portRuns(exempt, ({ endpoint, proto }) => ({
      key: `${endpoint!.ip} ${proto}`,
      ports: proto === null || !hasPorts(proto) || endpoint!.port === null ? [] : [endpoint!.port],
    })).map((run) => `${this.matches.byAddress(run[0]!, run.length - 1)} -j RETURN`);
  }

  private interfaceRulesOf({ passage, policy }: PassagePolicy, name: string): string[] {
    if (this.host.bridges.includes(name)) {
      const translated = this.matches
        .byTranslation(passage)
        .map((text) => `${text} ${this.chains.targetOf(policy)}`);
      return [...translated, `-o ${name} -m conntrack ! --ctstate DNAT ${this.chains.targetOf(policy)}`];
    }
    const boxes = this.printer.boxes.print(passage.blocked, false, passage.all);
    if (boxes !== null) return boxes.map((box) => `${`${box} -o ${name}`.trim()} -j DROP`);
    return [`-o ${name} ${this.chains.targetOf(policy)}`];
  }
}
