/** Authors of chains and rules, as the chain graph shows them. */
import { isDockerRule } from "../../audit/docker-rules.ts";
import { isHook } from "../../fix/chain-names.ts";
import type { Host } from "../../host/host.ts";
import { knownChain } from "../../host/known/chains.ts";
import { DOCKER_USER } from "../../host/known/docker.ts";
import { PODMAN } from "../../host/known/podman.ts";
import { calledChain, iptablesName, type Rule, type TableId } from "../../rules/ruleset.ts";

/** Author of a rule: Docker, Podman, ufw, a fix of fwcheck, or the owner of the host (other programs included). */
export type Author = "docker" | "podman" | "ufw" | "fwcheck" | "owner";

/** Authors by the program that the registry names. */
const AUTHORS: Readonly<Record<string, Author>> = {
  Docker: "docker",
  [PODMAN]: "podman",
  ufw: "ufw",
  "fwcheck fix": "fwcheck",
};

/** Returns the author of a user chain's rules. Docker creates DOCKER-USER, but its rules are the owner's. */
export function chainAuthor(table: TableId, name: string): Author {
  const by = knownChain(table, name)?.by ?? "";
  const author = Object.hasOwn(AUTHORS, by) ? AUTHORS[by]! : "owner";
  // Of the tables of iptables, ufw and fwcheck use filter only; the name in another table is a coincidence.
  const saved = iptablesName(table);
  const isElsewhere = saved !== null && saved !== "filter" && (author === "ufw" || author === "fwcheck");
  return isElsewhere ? "owner" : author;
}

/** Returns the author of a rule, in any chain. */
export function ruleAuthor(rule: Rule, host: Host): Author {
  const byChain = chainAuthor(rule.table, rule.chain);
  if (byChain !== "owner") return byChain;
  if (isDockerRule(rule, host)) return "docker";
  if (iptablesName(rule.table) !== "filter") return "owner";
  if (isHook(rule)) return "fwcheck";
  const callee = calledChain(rule);
  if (callee === null) return "owner";
  // Docker writes the call of the chain for the owner's rules.
  if (rule.chain === "FORWARD" && callee === DOCKER_USER) return "docker";
  return chainAuthor(rule.table, callee);
}
