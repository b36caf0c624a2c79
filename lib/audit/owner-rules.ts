/**
 * Lint of the owner's own rules: allows and denies that never match since rules before them match all of their packets,
 * chains that no rule calls, and denies of a port that the owner's own DNAT bypasses.
 */
import type { Host } from "../host/host.ts";
import { knownChain } from "../host/known/chains.ts";
import { DOCKER_USER } from "../host/known/docker.ts";
import { ufwCommandDirection } from "../host/known/ufw.ts";
import { outsideInterfaces } from "../host/packet-origin.ts";
import { hasPorts, PROTO } from "../packet/field.ts";
import type { Packet } from "../packet/packet.ts";
import type { Program, Step } from "../path/program.ts";
import { findShadowedRulesWithin, type Shadow } from "../reach/shadowed-rules.ts";
import { plain, plainPorts } from "../rules/reading.ts";
import {
  type Chain,
  calledChain,
  chainOf,
  filterTables,
  iptablesName,
  iptablesTables,
  type Rule,
  type TableId,
} from "../rules/ruleset.ts";
import { Simulator } from "../simulate/simulator.ts";
import { banProgram } from "./bans.ts";
import { isDockerChain, isDockerRule } from "./docker-rules.ts";
import { type Lint, lintOf } from "./lint.ts";
import { ruleNote } from "./rule-note.ts";
import { REMOTE } from "./witness-picker.ts";

/** Shadowed rules are not searched in larger rulesets: a search takes a minute and 4 GB for a million rules. */
const MOST_RULES = 100_000;
/**
 * Most intervals that the diagrams of the search may have. 20,000 rules with random prefixes and ports stay below;
 * 10,000 drops in front of 10,000 accepts that they cover exceed it.
 */
const BUDGET = 6_000_000;
/** DNAT rules of the owner that are simulated, one packet each. */
const MOST_SIMULATED = 200;

/** Returns true if the owner wrote a rule: in a chain of the owner's own, or by a ufw command. */
export const isOwners = (rule: Rule, host: Host): boolean =>
  isOwnersChain(rule.table, rule.chain) && !isDockerRule(rule, host);

function isOwnersChain(table: Chain["table"], name: string): boolean {
  const by = knownChain(table, name)?.by;
  return by === undefined || by === "you" || ufwCommandDirection(name) !== null;
}

/** Returns the lint of the owner's rules; `skipped` where the search for shadowed rules exceeds a limit. */
export function ownerRuleLint(program: Program): { readonly lint: Lint[]; readonly skipped: boolean } {
  const searched = filterTables(program.ruleset).map((table) => ({
    table,
    shadows: findShadowedRulesWithin(program, table, MOST_RULES, BUDGET),
  }));
  return {
    lint: [
      ...searched.flatMap(({ table, shadows }) =>
        shadows === null ? [] : shadowedRules(program, table, shadows),
      ),
      ...uncalledChains(program),
      ...bypassedDenies(program),
    ],
    skipped: searched.some(({ shadows }) => shadows === null),
  };
}

type RuleVerdict = "allow" | "deny" | "other";

const verdictOf = ({ action }: Rule): RuleVerdict =>
  action === "accept" ? "allow" : action === "drop" || action === "reject" ? "deny" : "other";

/** Rules of one chain that are shadowed for the same reason. */
interface ShadowedGroup {
  readonly rule: Rule;
  readonly verdict: "allow" | "deny";
  readonly by: readonly Rule[];
  readonly others: Rule[];
}

/** Returns allows and denies that rules before them shadow, where one of those rules decides otherwise. */
function shadowedRules(program: Program, table: TableId, shadows: ReadonlyMap<Rule, Shadow>): Lint[] {
  const { ruleset, host } = program;
  const groups: ShadowedGroup[] = [];
  for (const { rules } of ruleset.tables.get(table)?.chains.values() ?? []) {
    // After a rule that matches every remaining packet, all rules to the end of the chain have one reason.
    const tail = rules.findLastIndex((rule) => shadows.get(rule)?.kind !== "taken") + 1;
    const byReason = new Map<string, ShadowedGroup>();
    for (const [i, rule] of rules.entries()) {
      const shadow = shadows.get(rule);
      const verdict = verdictOf(rule);
      if (shadow?.kind !== "taken" || verdict === "other" || !isOwners(rule, host)) continue;
      if (isForKnownConnections(rule)) continue;
      // A second allow after an allow of the same packets is redundant and harmless.
      const by = shadow.by
        .filter(({ decides }) => decides !== "same")
        .map((each) => each.rule)
        .filter((each) => !isForKnownConnections(each) && mayDecideOtherwise(each, program, verdict));
      if (by.length === 0) continue;
      const key = i >= tail ? "tail" : `${verdict} ${by.map(({ index }) => index).join()}`;
      const group = byReason.get(key);
      if (group !== undefined) group.others.push(rule);
      else byReason.set(key, { rule, verdict, by, others: [] });
    }
    groups.push(...byReason.values());
  }
  return groups.map(({ rule, verdict, by, others }) =>
    lintOf(
      {
        kind: "shadowed",
        verdict,
        chain: rule.chain,
        alsoLines: others.map(({ line }) => line),
        by: by.map((each) => ruleNote(each, ruleset)),
      },
      rule,
      ruleset,
    ),
  );
}

/** Returns true if a rule matches only states other than NEW and UNTRACKED. */
function isForKnownConnections({ reading }: Rule): boolean {
  const states = plain(reading.states);
  return states !== undefined && !states.some((state) => state === "NEW" || state === "UNTRACKED");
}

/** Returns true if a rule, or a rule of a chain below it, decides otherwise. */
function mayDecideOtherwise(rule: Rule, program: Program, verdict: RuleVerdict): boolean {
  const verdicts = verdictsBelow(rule, program);
  return verdicts.size > 1 || !verdicts.has(verdict);
}

/** Returns the verdicts that a rule can reach, itself or in the chains that it calls. */
function verdictsBelow(rule: Rule, { calls, ruleset }: Program): ReadonlySet<RuleVerdict> {
  const called = calledChain(rule);
  if (called === null) return new Set([verdictOf(rule)]);
  const chains = [...calls.below(rule.table, called)];
  const verdicts = chains
    .flatMap((name) => chainOf(ruleset, rule.table, name)?.rules ?? [])
    .map(verdictOf)
    .filter((verdict) => verdict !== "other");
  return new Set(verdicts);
}

/** Returns the chains with an allow or deny that no rule calls, one lint for each table. */
function uncalledChains({ calls, ruleset }: Program): Lint[] {
  return iptablesTables(ruleset).flatMap((table): Lint[] => {
    const chains = [...(ruleset.tables.get(table)?.chains.values() ?? [])];
    const uncalled = chains.filter(
      ({ name, policy, rules }) =>
        policy === null &&
        calls.callers(table, name).length === 0 &&
        rules.some((rule) => verdictOf(rule) !== "other") &&
        // DOCKER-USER has a lint of its own.
        name !== DOCKER_USER &&
        (isBanChain(name) || (isOwnersChain(table, name) && !isDockerChain(table, name))),
    );
    const [first] = uncalled;
    if (first === undefined) return [];
    const names = uncalled.map(({ name }) => name);
    return [
      lintOf(
        { kind: "chain-not-called", table, chains: names, bans: names.some(isBanChain) },
        first.rules[0]!,
        ruleset,
      ),
    ];
  });
}

const isBanChain = (chain: string): boolean => banProgram(chain) === "fail2ban";

/** Returns DNAT rules of the owner whose packets an explicit deny of INPUT names but never matches. */
function bypassedDenies(program: Program): Lint[] {
  const { ruleset, host } = program;
  const dnats = iptablesTables(ruleset)
    .filter((id) => iptablesName(id) === "nat")
    .flatMap((id) => [...ruleset.tables.get(id)!.chains.values()].flatMap(({ rules }) => rules))
    .filter((rule) => rule.action === "dnat" && !isDockerRule(rule, host));
  if (dnats.length === 0) return [];
  const simulator = new Simulator([ruleset], host);
  return dnats.slice(0, MOST_SIMULATED).flatMap((rule): Lint[] => {
    const packet = samplePacket(rule, program);
    if (packet === null) return [];
    const { answer, skippedInput } = simulator.trace(packet);
    const isDenied = skippedInput?.verdict === "drop" || skippedInput?.verdict === "reject";
    const last = isDenied ? skippedInput.path.at(-1) : undefined;
    if (answer.verdict !== "accept" || answer.delivery !== "forward" || last?.step !== "rule") return [];
    if (!isTranslatedBy(answer.path, rule)) return [];
    const deny = chainOf(ruleset, last.table, last.chain)?.rules.find((r) => r.index === last.rule);
    // A deny without ports does not name this port.
    if (deny === undefined || plainPorts(deny.reading.destinationPorts).length === 0 || !isOwners(deny, host))
      return [];
    return [
      lintOf({ kind: "dnat-past-deny", port: packet.dport!, by: [ruleNote(deny, ruleset)] }, rule, ruleset),
    ];
  });
}

const isTranslatedBy = (path: readonly Step[], rule: Rule): boolean =>
  path.some(
    (s) => s.step === "rule" && s.table === rule.table && s.chain === rule.chain && s.rule === rule.index,
  );

/** Returns a packet from outside that a DNAT rule probably matches: for an address of the host and the rule's first port. */
function samplePacket(rule: Rule, { host, ruleset }: Program): Packet | null {
  const { family } = ruleset;
  const { in: input, dst, proto } = rule.reading;
  const dport = plainPorts(rule.reading.destinationPorts)[0]?.[0];
  const number = proto?.value ?? PROTO.tcp;
  if (dport === undefined || !hasPorts(number) || proto?.not === true) return null;
  const outside = outsideInterfaces(host);
  const name = input !== undefined && !input.not ? input.value : outside[0];
  const device = host.interfaces.find((i) => i.name === name && outside.includes(i.name));
  const own = device?.addresses.find((a) => a.family === family)?.address;
  const to = dst !== undefined && !dst.not ? dst.value.address : own;
  if (device === undefined || to === undefined) return null;
  return {
    family,
    in: device.name,
    src: REMOTE[family],
    dst: to,
    proto: number,
    sport: 40000,
    dport,
    ...(number === PROTO.tcp ? { flags: 2 } : {}),
  };
}
