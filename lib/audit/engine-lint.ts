/** Lint of what engines wrote: tables of Docker that lost their base chains, and DOCKER-USER beside Docker's tables. */
import { DOCKER_CHAIN, DOCKER_USER } from "../host/known/docker.ts";
import { isDockerTable } from "../host/known/tables.ts";
import type { Program } from "../path/program.ts";
import { isUnconditional } from "../rules/reading.ts";
import { chainOf, filterTables, type Rule } from "../rules/ruleset.ts";
import { type Lint, lintOf } from "./lint.ts";

/** Chains of Docker's table that a base chain or its maps call. */
const CALLED = /^(nat-prerouting-and-output$|filter-forward-(in|out)__)/;

/** Returns the lint of one family. */
export const engineLint = (program: Program): Lint[] => [
  ...tornTables(program),
  ...leftBehind(program),
  ...inOtherBackend(program),
];

/** Returns Docker's tables in which no hook reaches some chains: `flush ruleset` removed base chains and elements of maps. */
function tornTables({ calls, ruleset }: Program): Lint[] {
  return [...ruleset.tables].flatMap(([table, { chains }]): Lint[] => {
    if (!isDockerTable(table)) return [];
    const lost = [...chains.values()].filter(
      ({ name, rules }) => CALLED.test(name) && rules.length > 0 && calls.hooks(table, name).length === 0,
    );
    const names = lost.map(({ name }) => name);
    return lost.length === 0
      ? []
      : [lintOf({ kind: "engine-table-torn", table, chains: names }, null, ruleset)];
  });
}

const isOwners = (rule: Rule): boolean => rule.action !== "return" || !isUnconditional(rule.reading);

/** Returns the rules of DOCKER-USER in the backend of iptables that Docker does not use. */
function inOtherBackend({ calls, ruleset }: Program): Lint[] {
  const { backend } = ruleset;
  if (backend === undefined || chainOf(ruleset, "filter", DOCKER_CHAIN) === undefined) return [];
  return filterTables(ruleset).flatMap((table): Lint[] => {
    const first = table === "filter" ? undefined : chainOf(ruleset, table, DOCKER_USER)?.rules.find(isOwners);
    if (first === undefined) return [];
    const called = calls.hooks(table, DOCKER_USER).length > 0;
    return [lintOf({ kind: "docker-user-in-other-backend", backend, called }, first, ruleset)];
  });
}

/** Returns the rules of DOCKER-USER that the owner wrote before Docker used nftables. */
function leftBehind({ calls, ruleset }: Program): Lint[] {
  if (![...ruleset.tables.keys()].some(isDockerTable)) return [];
  // A listing without iptables-save has the table of iptables-nft by its family.
  return [...filterTables(ruleset), `${ruleset.family === 4 ? "ip" : "ip6"} filter`].flatMap(
    (table): Lint[] => {
      const first = chainOf(ruleset, table, DOCKER_USER)?.rules.find(isOwners);
      if (first === undefined) return [];
      const called = calls.hooks(table, DOCKER_USER).length > 0;
      return [lintOf({ kind: "docker-user-left-behind", called }, first, ruleset)];
    },
  );
}
