/** Rules of ufw as the commands that wrote them (ufw(8)); the chains ufw-user-* and ufw6-user-* contain them. */
import { type UfwDirection, ufwCommandChain, ufwCommandDirection, ufwHelperRole } from "../host/known/ufw.ts";
import type { Prefix } from "../packet/address.ts";
import { maskBits, printAddress } from "../packet/address.ts";
import { protoName } from "../packet/field.ts";
import type { RuleStep, Step } from "../path/program.ts";
import type { Negatable, PortRange } from "../rules/reading.ts";
import {
  calledChain,
  chainOf,
  iptablesName,
  iptablesTables,
  type Rule,
  type Ruleset,
  type TableId,
} from "../rules/ruleset.ts";

/** Returns true if the ruleset contains chains of ufw. */
export const hasUfw = (ruleset: Ruleset): boolean => {
  return iptablesTables(ruleset).some((table) => hasUfwDefaults(ruleset, table));
};

/** Directions of `ufw default`, by the base chain of table filter whose policy it sets. */
const DEFAULT_DIRECTIONS: Readonly<Record<string, string>> = {
  INPUT: "incoming",
  OUTPUT: "outgoing",
  FORWARD: "routed",
};

/** Returns true if `ufw default` sets the policies of a table. */
export const hasUfwDefaults = (ruleset: Ruleset, table: TableId): boolean =>
  iptablesName(table) === "filter" &&
  ([4, 6] as const).some((family) => chainOf(ruleset, table, ufwCommandChain(family, "input")) !== undefined);

/** Returns the ufw command that sets the policy of a base chain of table filter: `default deny incoming`. */
export const ufwDefault = (chain: string, policy: "ACCEPT" | "DROP"): string =>
  `default ${policy === "DROP" ? "deny" : "allow"} ${DEFAULT_DIRECTIONS[chain]}`;

/**
 * Returns the step of the ufw command that a step belongs to, the last one in a chain of ufw commands: rules of commands
 * jump to helper chains. Returns `undefined` for a step outside ufw's chains.
 */
export function ufwCommandStep(step: Step, path: readonly Step[]): RuleStep | undefined {
  const isOfCommand = ufwCommandDirection(step.chain) !== null || ufwHelperRole(step.chain) !== null;
  return isOfCommand
    ? path.findLast((s): s is RuleStep => s.step === "rule" && ufwCommandDirection(s.chain) !== null)
    : undefined;
}

/** Conditions of a rule, as arguments of a ufw command. */
interface UfwConditions {
  readonly interfaces: string;
  readonly from: string | null;
  readonly to: string | null;
  readonly sport: string | null;
  readonly dport: string | null;
  readonly proto: string | null;
  /** Application profile of the destination, from the comment `dapp_NAME` that ufw writes. */
  readonly dapp: string | null;
  /** Application profile of the source, from the comment `sapp_NAME`. */
  readonly sapp: string | null;
}

/**
 * Returns the command that wrote a rule, as `ufw show added` prints it but without the word `ufw`: `deny 8080/tcp`. Returns
 * `null` for a rule that no ufw command wrote. If one command wrote several rules, each gives the whole command.
 */
export function ufwCommand(rule: Rule, ruleset: Ruleset): string | null {
  const direction = iptablesName(rule.table) === "filter" ? ufwCommandDirection(rule.chain) : null;
  const verb = direction === null ? null : verbOf(rule);
  if (direction === null || verb === null) return null;
  const siblings = chainOf(ruleset, rule.table, rule.chain)?.rules ?? [];
  const position = siblings.indexOf(rule);
  const conditions = conditionsOf(rule);
  const log = logArgument(siblings, position, conditions, ruleset);
  // `allow 53` is one rule for TCP and one for UDP.
  const whole = isProtocolPair(siblings, position) ? { ...conditions, proto: null } : conditions;
  const words =
    direction === "forward"
      ? ["route", verb, whole.interfaces, log, endpointArguments(whole)]
      : [verb, interfaceArguments(direction, whole), log, endpointArguments(whole)];
  return words.filter((word) => word !== "").join(" ");
}

const interfaceArguments = (direction: UfwDirection, { interfaces }: UfwConditions): string =>
  interfaces !== "" ? interfaces : direction === "output" ? "out" : "";

/** Returns true if the rule at a position and its neighbour are the TCP and UDP rules of one command. */
function isProtocolPair(siblings: readonly Rule[], position: number): boolean {
  const isPair = (tcp: Rule | undefined, udp: Rule | undefined): boolean => {
    if (tcp === undefined || udp === undefined || !hasSameTarget(tcp, udp)) return false;
    const [first, second] = [conditionsOf(tcp), conditionsOf(udp)];
    return (
      first.proto === "tcp" &&
      second.proto === "udp" &&
      isSame({ ...first, proto: null }, { ...second, proto: null })
    );
  };
  const [before, rule, after] = [siblings[position - 1], siblings[position], siblings[position + 1]];
  return isPair(rule, after) || isPair(before, rule);
}

const hasSameTarget = (a: Rule, b: Rule): boolean =>
  a.action === b.action && calledChain(a) === calledChain(b);

function verbOf(rule: Rule): string | null {
  const { action } = rule;
  if (action === "accept") return "allow";
  if (action === "drop") return "deny";
  if (action === "reject") return "reject";
  const called = calledChain(rule);
  return called !== null && ufwHelperRole(called) === "limit" ? "limit" : null;
}

/** Returns the arguments after the verb and the interfaces. */
function endpointArguments({ interfaces, from, to, sport, dport, proto, dapp, sapp }: UfwConditions): string {
  const suffix = proto === null ? "" : ` proto ${proto}`;
  if (from === null && to === null && sport === null && sapp === null && interfaces === "") {
    if (dapp !== null) return dapp;
    if (dport !== null) return `${dport}${proto === null ? "" : `/${proto}`}`;
    return `to any${suffix}`;
  }
  const side = (word: string, address: string | null, port: string | null, app: string | null): string[] =>
    address === null && port === null && app === null
      ? []
      : [
          `${word} ${address ?? "any"}${app === null ? (port === null ? "" : ` port ${port}`) : ` app ${app}`}`,
        ];
  const words = [...side("from", from, sport, sapp), ...side("to", to, dport, dapp)].join(" ");
  // An application profile implies its protocols.
  return `${words}${dapp === null && sapp === null ? suffix : ""}`.trim();
}

function conditionsOf({ reading }: Rule): UfwConditions {
  const interfaces = [
    ...(reading.in === undefined ? [] : [`in on ${reading.in.value}`]),
    ...(reading.out === undefined ? [] : [`out on ${reading.out.value}`]),
  ];
  return {
    interfaces: interfaces.join(" "),
    from: reading.src === undefined ? null : addressText(reading.src.value),
    to: reading.dst === undefined ? null : addressText(reading.dst.value),
    sport: portsText(reading.sourcePorts),
    dport: portsText(reading.destinationPorts),
    proto: reading.proto === undefined ? null : protoName(reading.proto.value),
    dapp: profileOf(reading.comments ?? [], "dapp"),
    sapp: profileOf(reading.comments ?? [], "sapp"),
  };
}

function addressText({ address, mask }: Prefix): string {
  const bits = maskBits(mask);
  const isHost = bits === (typeof address === "number" ? 32 : 128);
  return isHost ? printAddress(address) : `${printAddress(address)}/${bits ?? printAddress(mask)}`;
}

const portsText = (ports: Negatable<readonly PortRange[]> | undefined): string | null =>
  ports === undefined || ports.not
    ? null
    : ports.value.map(([first, last]) => (first === last ? String(first) : `${first}:${last}`)).join(",");

/** Returns the application profile that ufw names in a comment, quoted for a shell. */
function profileOf(comments: readonly string[], kind: "dapp" | "sapp"): string | null {
  for (const comment of comments) {
    const name = new RegExp(`${kind}_([^,']+)`).exec(comment)?.[1]?.replaceAll("%20", " ");
    if (name !== undefined) return /^[\w.-]+$/.test(name) ? name : `'${name}'`;
  }
  return null;
}

const isSame = (a: UfwConditions, b: UfwConditions): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Returns `log` or `log-all` where a rule just before jumps to a logging chain with the same conditions. */
function logArgument(
  siblings: readonly Rule[],
  position: number,
  conditions: UfwConditions,
  ruleset: Ruleset,
): string {
  // ufw writes the profile's comment to the deciding rule only.
  const withoutProfiles = (each: UfwConditions): UfwConditions => ({ ...each, dapp: null, sapp: null });
  const own = withoutProfiles(conditions);
  for (let i = position - 1; i >= 0; i--) {
    const before = siblings[i]!;
    if (!isSame(withoutProfiles(conditionsOf(before)), own)) return "";
    const chain = calledChain(before);
    if (chain === null || ufwHelperRole(chain) !== "logging") continue;
    const log = chainOf(ruleset, before.table, chain)?.rules.find(
      (rule) => rule.action === "log" && isSame(withoutProfiles(conditionsOf(rule)), own),
    );
    return log !== undefined && log.reading.states === undefined ? "log-all" : "log";
  }
  return "";
}
