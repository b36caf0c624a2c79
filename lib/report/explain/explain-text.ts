/** Sentences of an explanation: the position of a chain, its rules, its end, and what is easily misunderstood. */

import { ufwDefault } from "../../audit/ufw-rules.ts";
import type { Hook } from "../../rules/base-chain.ts";
import type { TableId } from "../../rules/ruleset.ts";
import { lintText } from "../text/audit-sentences.ts";
import { changeAdvice } from "../text/chain-purpose.ts";
import { counted, listText, plural, sentence, shortList } from "../text/list.ts";
import { unknownReasonText } from "../text/reason-text.ts";
import { actionText, returnText } from "./action-text.ts";
import type { ChainCaller, ChainEnd, ChainLocation } from "./chain-facts.ts";
import { matchedPackets } from "./condition-text.ts";
import type { Naming } from "./field-text.ts";
import type { ChainPitfall, RulePitfall } from "./pitfalls.ts";
import type { PortMappingNote } from "./port-mappings.ts";
import type { RuleFacts } from "./rule-facts.ts";

/** Longer lists of chains or ports are counted. */
const MOST_LISTED = 6;

/** Packets that a hook sees. */
const HOOK_PACKETS: Readonly<Record<Hook, string>> = {
  PREROUTING: "every packet that arrives on an interface, before the routing decision",
  INPUT: "packets addressed to this host itself",
  FORWARD:
    "packets that this host forwards from one interface to another, including all traffic to and from containers",
  OUTPUT: "packets that programs of this host send",
  POSTROUTING:
    "every packet that is about to leave through an interface: packets of this host and forwarded packets",
};

/** Returns the packets that a hook sees, a noun phrase. */
export const hookText = (hook: Hook): string => HOOK_PACKETS[hook];

/** Returns the sentences about the position of a chain. */
export function locationText(location: ChainLocation, table: TableId): string[] {
  switch (location.code) {
    case "base-chain": {
      const { hook, after, before, beside } = location;
      const order = [
        ...(after.length === 0 ? [] : [`after ${listText(after, "and")}`]),
        ...(before.length === 0 ? [] : [`before ${listText(before, "and")}`]),
        ...(beside.length === 0
          ? []
          : [`before or after ${listText(beside, "and")} (same priority; nft list hooks shows the order)`]),
      ];
      return [
        sentence(hookText(hook)),
        `Table ${table} is evaluated at hook ${hook}${order.length === 0 ? "" : ` ${order.join(", ")}`}.`,
      ];
    }
    case "not-called":
      return ["No rule calls this chain: no packet reaches it."];
    case "called": {
      const { callers, hooks } = location;
      const listed = callers.slice(0, MOST_LISTED).map(callerText);
      const more = callers.length - listed.length;
      const all = listText([...listed, ...(more > 0 ? [counted(more, "more chain")] : [])], "and");
      if (hooks.length > 0)
        return [`Called by ${all}; evaluated at ${plural(hooks.length, "hook")} ${listText(hooks, "and")}.`];
      const those = callers.length === 1 ? "that chain" : "those chains";
      return [`Called by ${all}, but no rule calls ${those}: no packet reaches this chain.`];
    }
  }
}

function callerText({ chain, rules, line }: ChainCaller): string {
  const numbers = listText(rules.map(String), "and");
  const lines = line === 0 ? "" : rules.length === 1 ? ` (line ${line})` : ` (from line ${line})`;
  return `${plural(rules.length, "rule")} ${numbers} of ${chain}${lines}`;
}

/** Returns the sentence about packets that reach the end of a chain. */
export function endText(end: ChainEnd, chain: string): string {
  switch (end.code) {
    case "not-reached":
      return `Rule ${end.rule} decides every packet that reaches it: no packet reaches the end.`;
    case "return":
      return `Packets that no rule decides ${returnText(end.to)}.`;
    case "policy": {
      const ufw = end.ufw ? ` (ufw ${ufwDefault(chain, end.policy)})` : "";
      return end.empty
        ? `There are no rules: every packet gets the policy, ${end.policy}${ufw}.`
        : `Packets that no rule decides get the policy, ${end.policy}${ufw}.`;
    }
  }
}

/** Returns the sentences about what a rule does. */
export function ruleSentences({ condition, action, rule }: RuleFacts, naming: Naming): string {
  const { noun, conditions } = matchedPackets(condition, naming);
  const does = actionText(action, rule.table);
  if (conditions.length === 0) return `${noun} ${does}.`;
  const texts = listText(
    conditions.map(({ text }) => text),
    "and",
  );
  const reasons = [
    ...new Set(conditions.flatMap((each) => (each.unknown === null ? [] : unknownReasonText(each.unknown)))),
  ];
  const unknown = reasons.length === 0 ? "" : ` The result is unknown: ${reasons.join("; ")}.`;
  return `${noun} ${does}, but only if ${texts} ${conditions.length === 1 ? "matches" : "match"}.${unknown}`;
}

const ruleOf = ({ chain, rule, line }: PortMappingNote): string => `nat ${chain} rule ${rule}, line ${line}`;

/** Returns the sentence about a pitfall of a rule. */
export function rulePitfallText(pitfall: RulePitfall): string {
  switch (pitfall.code) {
    case "after-final-rule":
      return `No packet reaches this rule: rule ${pitfall.rule} decides every packet that reaches it.`;
    case "contradiction":
      return "No packet matches all conditions of this rule on this host.";
    case "no-such-traffic":
      return "No packet that reaches this chain matches this rule.";
    case "covered": {
      const rules = listText([...pitfall.by.map(String), ...(pitfall.more ? ["others"] : [])], "and");
      const one = pitfall.by.length === 1;
      return `No packet matches this rule: ${plural(pitfall.by.length, "rule")} ${rules} ${one && !pitfall.more ? "decides" : "decide"} all packets that would match.`;
    }
    case "stateful-match":
      return `${pitfall.match} matches every packet: it updates state that other rules match.`;
    case "lint":
      return sentence(lintText(pitfall.lint));
    case "sees-published": {
      const ports = pitfall.ports.map((port) => `port ${port.published} (${ruleOf(port)})`);
      return `This rule also sees packets to ${listText(ports, "and")}: they have the address of the container here.`;
    }
    case "misses-published": {
      const { ports, more } = pitfall;
      const published = [...new Set(ports.map((port) => `port ${port.published}`))];
      const rules = ports.map(({ chain, rule, line }) => `nat ${chain} rule ${rule} (line ${line})`);
      const others = more === 0 ? "" : ` and ${more} more`;
      return `A container publishes ${listText(published, "and")}${more === 0 ? "" : " and others"}: packets that ${listText(rules, "and")}${others} translate${ports.length + more === 1 ? "s" : ""} pass FORWARD and never reach this rule.`;
    }
  }
}

/** Returns the sentence about a pitfall of a chain. */
export function chainPitfallText(pitfall: ChainPitfall): string {
  switch (pitfall.code) {
    case "managed":
      return changeAdvice(pitfall.chain)!;
    case "before-nat":
      return "Packets are not translated yet: they have the addresses and ports that the sender wrote, and conntrack has not seen them.";
    case "first-packet-only":
      return "Only the first packet of a connection is evaluated by table nat; its result applies to all packets of the connection.";
    case "bypasses-input":
      return `Packets that are translated here go to a container: they pass FORWARD and never INPUT${pitfall.ufw ? ", so ufw's rules about these ports do not apply" : ""}.`;
    case "after-dnat": {
      const { published, chain, rule, container, containerPort, firstPort } = pitfall.port;
      return `DNAT comes first: packets to port ${published}, published by nat ${chain} rule ${rule}, have the destination ${container}, port ${containerPort}, here. Match that, or the original port in conntrack (--ctorigdstport ${firstPort} --ctdir ORIGINAL).`;
    }
    case "any-container":
      return "These rules match a port and no container: every packet that this host forwards to such a port is accepted, to every destination.";
    case "appended-unreachable":
      return `Rule ${pitfall.rule} returns every packet: rules that are appended (-A) after it are never evaluated. Insert your rules before it (-I).`;
    case "no-owner-rules":
      return "It is empty: you have no rules for containers here.";
    case "misses-published":
      return `Packets to ports that containers publish (${shortList(pitfall.ports, MOST_LISTED)}) never reach this chain: table nat translates them and they pass FORWARD.`;
    case "misses-containers":
      return "Packets that containers send do not reach this chain: they pass FORWARD.";
    case "docker-before-ufw": {
      const { first, last, ufw } = pitfall;
      const rules = first === last ? `rule ${first} runs` : `rules ${first} to ${last} run`;
      return `Docker's ${rules} before ufw's, which begin at rule ${ufw}: ufw never sees packets that Docker's rules accept or drop.`;
    }
    case "verdict-is-final":
      return "ACCEPT, DROP and REJECT here are final for the whole table: no later rule is evaluated, neither here nor in the calling chains.";
  }
}
