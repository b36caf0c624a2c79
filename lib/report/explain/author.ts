/** Who wrote a chain or a rule, as far as its name and form tell. */
import { isDockerChain, isDockerRule } from "../../audit/docker-rules.ts";
import { isHook, isOurs } from "../../fix/chain-names.ts";
import type { Host } from "../../host/host.ts";
import { type Rule, type TableName, targetName } from "../../rules/ruleset.ts";

/** Who wrote it: Docker, ufw, a fix of fwcheck's, or whoever owns the host. */
export type Author = "docker" | "ufw" | "fwcheck" | "owner";

const isUfw = (name: string): boolean => /^ufw6?-/.test(name);

/** Who fills a user chain. DOCKER-USER is made by Docker and filled by the owner. */
export function chainAuthor(table: TableName, name: string): Author {
  if (table === "filter" && isOurs(name)) return "fwcheck";
  if (table === "filter" && isUfw(name)) return "ufw";
  return isDockerChain(table, name) ? "docker" : "owner";
}

/** Who wrote a rule, wherever it stands. */
export function ruleAuthor(rule: Rule, host: Host): Author {
  const inside = chainAuthor(rule.table, rule.chain);
  if (inside !== "owner") return inside;
  if (isDockerRule(rule, host)) return "docker";
  if (rule.table !== "filter") return "owner";
  const to = targetName(rule);
  if (isHook(rule) || isOurs(to)) return "fwcheck";
  // Docker calls DOCKER-USER, though what stands in it is the owner's.
  if (rule.chain === "FORWARD" && to === "DOCKER-USER") return "docker";
  return isUfw(to) ? "ufw" : "owner";
}
