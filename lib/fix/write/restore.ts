/** Prints a fix as one transaction for `iptables-restore --noflush`, and the commands that undo it. */
import { DOCKER_USER } from "../../host/known/docker.ts";
import { chainOf } from "../../rules/ruleset.ts";
import { CHAIN, HOOK } from "../chain-names.ts";
import { appended, callsOf, checkCommand, type FamilyRules, heading, stale, tool, WAIT } from "./family.ts";

/**
 * Returns the text for `iptables-restore --noflush` (`ip6tables-restore` for family 6): one transaction.
 *
 * iptables-restore cannot insert a rule only if it is missing: `-I` adds a second call of our chain, and `-D` fails
 * without one. So the text is for one of two states, and the kernel refuses it as a whole in the other:
 * - The analysed rules do not call our chain: `-X` fails if a rule calls it by now.
 * - The analysed rules call it: `-D` fails if no rule calls it any more, for example after a boot.
 */
export function restore(part: FamilyRules): string {
  const { chains, ruleset } = part;
  if (chains.size === 0) return "";
  const { user, docker, hooks, jumps } = callsOf(ruleset);
  const declare = (chain: string): string => `:${chain} - [0:0]`;
  const old = stale(part);
  return `${[
    ...heading(
      [part],
      `Apply: ${tool(part)}-restore --wait=${WAIT} --noflush < THIS. Check: ${checkCommand(part)}. Undo: ${undo(part).join("; ")}`,
      [
        jumps.length > 0
          ? "Holds only where FWCHECK is in force: after a boot or a flush it fails and changes nothing. --format script has no such limit."
          : "Holds only where Docker runs and FWCHECK is not in force: else it fails and changes nothing. --format script has no such limit.",
      ],
    ),
    "*filter",
    ...(user ? [] : [`-N ${DOCKER_USER}`]),
    ...(jumps.length > 0
      ? [declare(CHAIN)]
      : // Where the chain exists our hook may exist too; a second one would count each packet twice.
        docker
        ? [declare(CHAIN), `-X ${CHAIN}`, declare(CHAIN)]
        : [chainOf(ruleset, "filter", CHAIN) === undefined ? `-N ${CHAIN}` : declare(CHAIN)]),
    ...[...chains.keys()].filter((chain) => chain !== CHAIN).map(declare),
    ...old.map(declare),
    ...hooks.map((hook) => `-D FORWARD ${hook}`),
    ...(docker ? [] : [`-I FORWARD 1 ${HOOK}`]),
    ...jumps.map((jump) => `-D ${DOCKER_USER} ${jump}`),
    `-I ${DOCKER_USER} 1 -j ${CHAIN}`,
    ...appended(chains),
    ...old.map((chain) => `-X ${chain}`),
    "COMMIT",
  ].join("\n")}\n`;
}

/** Returns the commands that remove the fix. */
export function undo(part: FamilyRules): string[] {
  const { ruleset, chains, sets } = part;
  if (chains.size === 0) return [];
  const { user, docker, hooks } = callsOf(ruleset);
  const run = `${tool(part)} -w ${WAIT}`;
  return [
    ...(!docker || hooks.length > 0 ? [`${run} -D FORWARD ${HOOK}`] : []),
    `${run} -D ${DOCKER_USER} -j ${CHAIN}`,
    ...[...chains.keys()].map((chain) => `${run} -F ${chain}`),
    ...[...chains.keys()].map((chain) => `${run} -X ${chain}`),
    ...(!user || hooks.length > 0 ? [`${run} -X ${DOCKER_USER}`] : []),
    ...sets.map((set) => `ipset destroy ${set.name}`),
  ];
}
