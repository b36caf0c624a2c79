/** Sentences of doubts about rulesets and hosts. They contain names from the inputs; escape them before printing. */

import type { HostDoubt } from "../../host/host-doubt.ts";
import type { InputFault } from "../../host/input-fault.ts";
import type { RulesetDoubt } from "../../rules/ruleset-doubt.ts";
import { plural, shortList } from "./list.ts";

/** Names in a sentence; more are counted. */
const MOST_NAMES = 5;

/** Why two lists of one engine differ. */
const CHANGED = "one of the two is not whole or of another time (containers start and stop),";
const AGAIN = "collect both again";

/** Returns the possessive pronoun for things of this number. */
const theirs = (names: readonly string[]): string => (names.length === 1 ? "its" : "their");

/** Returns why the inputs about a host may be incomplete or contradictory. */
export function hostDoubtText(doubt: HostDoubt): string {
  switch (doubt.code) {
    case "save-program-missing":
      return `${doubt.command} is not on the host: what becomes of IPv${doubt.family} packets is not known`;
    case "nft-missing":
      return `${doubt.command} is not on the host: whether tables of nftables filter beside iptables is not known; install nftables and take the snapshot again`;
    case "command-failed":
      return `${doubt.command} failed on the host: ${doubt.message ?? exitText(doubt.exit)}`;
    case "no-output":
      return `the snapshot has no output of ${doubt.programs.join(", ")}: what they print is not known; take it again with this fwcheck`;
    case "empty-output":
      return `${doubt.programs.join(", ")} printed nothing on the host, and a whole snapshot has something there: take it again`;
    case "table-not-listed":
      return `nft list tables does not have table ${doubt.table}, which ${doubt.command} prints: its list is not whole, and tables of nftables beside iptables may be missing from it`;
    case "other-backend-missing":
      return `the snapshot has the output of ${doubt.program} and none of ${doubt.other}: what it prints is not known`;
    case "no-rules-printed":
      return `the host has no IPv${doubt.family} rules: the save programs print nothing, so all its IPv${doubt.family} ports are open, and they are not checked`;
    case "legacy-not-saved":
      return `${doubt.command} warned that iptables-legacy has tables of IPv${doubt.family}, too, and no program printed them: the kernel evaluates both; install iptables-legacy-save and take the snapshot again`;
    case "nft-sets":
      return `rules in ${doubt.tables.join(", ")} look up sets or maps of nft, and iptables-save prints them without that condition`;
    case "nftables-tables":
      return `nftables holds tables of its own, which are not read and may drop what these rules accept: ${doubt.tables.join(", ")}`;
    case "old-snapshot":
      return "the snapshot was taken with an older fwcheck: conditions that nft added to rules of iptables, and that iptables-save does not print, would not be seen; take it again";
    case "cut-off":
      return `${doubt.source}: the text ends inside a line, so it is cut off: the rest is unknown`;
    case "bridge-not-listed":
      return `Docker's rules or networks name the bridge ${doubt.bridge}, and the list of interfaces (ip -j addr) does not have it: it is not whole or of another time, and what passes by ${doubt.bridge} is not known`;
    case "containers-not-inspected":
      return `${doubt.engine} network inspect lists ${shortList(doubt.containers, MOST_NAMES)}, and ${doubt.engine} inspect does not have ${doubt.containers.length === 1 ? "it" : "them"}: ${CHANGED} and ${theirs(doubt.containers)} ports are not known; ${AGAIN}`;
    case "containers-not-in-network":
      return `${doubt.engine} inspect has addresses of ${shortList(doubt.containers, MOST_NAMES)} that ${doubt.engine} network inspect does not list: ${CHANGED} and other containers may be missing; ${AGAIN}`;
    case "networks-not-inspected":
      return `${doubt.engine} inspect names ${plural(doubt.networks.length, "network")} ${shortList(doubt.networks, MOST_NAMES)}, and ${doubt.engine} network inspect does not have ${doubt.networks.length === 1 ? "it" : "them"}: ${CHANGED} and ${theirs(doubt.networks)} driver and subnets are not known; ${AGAIN}`;
    case "unknown-master":
      return `what comes and goes by ${doubt.interface}, ${doubt.kind === "vrf" ? "a VRF" : "neither a bridge nor a bond"}, is not followed`;
    case "suspect-rules":
      return `${doubt.source}: ${rulesFaultText(doubt.fault)}`;
    case "file-ignored":
      return `${doubt.file} is ignored, and its contents are unknown: ${doubt.fault === "empty" ? "it is empty" : rulesFaultText(doubt.fault)}`;
  }
}

/** Returns why a text is no output of iptables-save. @param fault `null` if it looks like nothing known */
export function rulesFaultText(fault: InputFault | null): string {
  switch (fault) {
    case "empty":
      return "it is empty. iptables-save prints nothing unless it runs as root: sudo iptables-save > FILE";
    case "broken-json":
      return "it looks like JSON and cannot be parsed";
    case "no-table":
      return "it has the comment of iptables-save and no table";
    case "mixed-ipset":
      return "some of its lines are those of ipset save and others are not";
    case "iptables-list":
      return "this is output of iptables -L, which shows one table and not all of each rule. Pass the output of iptables-save.";
    case "iptables-commands":
      return "this is output of iptables -S, which shows one table; published ports are in table nat. Pass the output of iptables-save.";
    case "ufw-status":
      return "this is output of ufw status, which shows ufw's settings and not the rules in the kernel. Pass the output of iptables-save.";
    case "not-text":
      return "this is not text. Is it compressed?";
    case "rules-without-table":
      return "these are rules without the line that names their table, such as *filter. Pass the complete output of iptables-save.";
    case null:
      return "this is neither output of iptables-save nor a snapshot of fwcheck collect.";
  }
}

/** Returns how a command ended that printed no error. timeout(1) kills it with SIGKILL after a minute. */
const exitText = (exit: number): string =>
  exit === 137 ? "it took longer than a minute" : `exit code ${exit}`;

/** Returns why the kernel may evaluate other rules than those of a ruleset. */
export function rulesetDoubtText(doubt: RulesetDoubt): string {
  switch (doubt.code) {
    case "legacy-rules-missing":
      return "iptables-nft printed these rules, and iptables-legacy has rules, too: the kernel evaluates both, and those of iptables-legacy are missing here (iptables-legacy-save prints them)";
    case "nft-rules-missing":
      return `table ${doubt.table} has chains or rules that only nft can print: the kernel evaluates them, and they are missing here (nft list ruleset prints them)`;
    case "unnamed-table":
      return `${placeText(doubt)}: no line names the table of these rules, so they are loaded into table ${doubt.table}: the beginning of the text is missing, or iptables -S printed it; give the complete output of iptables-save`;
    case "no-commit":
      return `${placeText(doubt)}: table ${doubt.table} has no COMMIT: the text is cut off, and the rules after its end are unknown; capture it again`;
    case "table-given-twice":
      return `table ${doubt.table} is given twice with different rules, at ${doubt.places.map(placeText).join(" and ")}: it is unknown which version the kernel runs, and only the later one is evaluated`;
    case "unreadable-lines":
      return doubt.count === 1
        ? `a line of ${doubt.source} could not be read (line ${doubt.line}): their content is unknown`
        : `${doubt.count} lines of ${doubt.source} could not be read (the first is line ${doubt.line}): their content is unknown`;
    case "open-quote":
      return `${placeText(doubt)}: the line ends inside a quote, so the text is ambiguous: iptables-save does not escape a line feed in a comment, and the next lines may be part of that comment instead of rules`;
    case "rule-errors":
      return `${placeText(doubt)}: ${doubt.message}${doubt.count === 1 ? "" : ` (and ${doubt.count - 1} more lines with errors)`}: the rules of the kernel may differ there`;
    case "set-elements-missing":
      return `${doubt.source} has no elements of sets, and rules look up ${doubt.sets.join(", ")}: nft -t leaves elements out; give the output of nft list ruleset`;
    case "table-not-followed":
      return `table ${doubt.table} of nftables is not followed, and it may drop what the other rules accept`;
    case "listings-differ":
      return `iptables-save and nft list ruleset print different rules in table ${doubt.table}, chain ${doubt.chain}, from rule ${doubt.rule} on: the rules of iptables-save are evaluated, and the kernel may have others`;
  }
}

const placeText = ({ source, line }: { readonly source: string; readonly line: number }): string =>
  `${source}:${line}`;
