/** Sentences about a fix: one for each code, and the summary that `fwcheck fix` writes to stderr. */

import type { Cost } from "../../fix/cost.ts";
import type { Fix, OpenItem } from "../../fix/fix.ts";
import type {
  CutFailure,
  Difference,
  ExceededLimit,
  FixDoubt,
  FixNote,
  OpenReason,
  StrategyReason,
} from "../../fix/reasons.ts";
import type { UfwRefusal } from "../../fix/write/after-rules.ts";
import { BudgetExceeded } from "../../reach/budget.ts";
import { doubtText, unmatchableText } from "./audit-sentences.ts";
import { counted } from "./list.ts";
import { packetText } from "./packet-text.ts";
import { PLAIN, type Style, safe } from "./terminal.ts";

/** Returns the reason why a finding stays open. */
export function openReasonText(reason: OpenReason): string {
  switch (reason.code) {
    case "unknown-effect":
      return `the effect of this rule is unknown: ${ruleText(reason.rule)}`;
    case "chain-returns":
      return `some packets return from the chain that this rule jumps to: ${ruleText(reason.rule)}`;
    case "no-equivalent-match":
      return `no match in FORWARD, after address translation, selects the same packets as: ${ruleText(reason.rule)}`;
    case "no-nft-form":
      return `nftables has no equivalent of ${reason.part} in: ${ruleText(reason.rule)}`;
    case "stateful-match":
      return `-m ${reason.match} keeps its state per rule, so a copy may decide otherwise; write a rule into DOCKER-USER yourself for: ${ruleText(reason.rule)}`;
    case "policy-not-read":
      return `only ${listed(reason.unread, 5)} may block these packets, and its policy was not read`;
    case "proof-failed":
      return `the proof fails for its rules: ${differenceText(reason.difference)}: ${JSON.stringify(reason.packet)}`;
    case "proof-failed-overall":
      return `the proof fails for the rules as a whole: ${differenceText(reason.difference)}: ${JSON.stringify(reason.packet)}; please report this`;
    case "still-found":
      return "the audit of the fixed rules still reports it; please report this";
    case "accepted-before-docker-user": {
      const line = reason.line > 0 ? ` (line ${reason.line})` : "";
      return `closed in part; filter ${reason.chain} rule ${reason.rule}${line} accepts the rest before FORWARD calls DOCKER-USER: move that call to the top, with iptables -D FORWARD -j DOCKER-USER && iptables -I FORWARD 1 -j DOCKER-USER`;
    }
    case "unsafe-interface-name":
      return `the interface name ${JSON.stringify(reason.name)} contains characters that are not safe in a rule`;
    case "unsafe-output-interface":
      return "the name of its output interface is unknown or not safe in a rule";
    case "dropped-at-forward":
      return "the firewall's own rules at the forward hook drop it, and a fix only adds drops: accept it there by the container's address and port";
    case "dropped-by-docker":
      return "Docker's rules drop these packets, and no rule in DOCKER-USER can accept them; publish the port (docker run -p), and the fix applies the policy to it";
    case "not-followed":
      return `some of its packets are not followed to the end of their path (${reason.doubts.map(doubtText).join("; ")}), so nothing can be proven about a rule for them`;
    case "not-matchable":
      return unmatchableText(reason.ports);
    case "different-intents":
      return `the paths to ${reason.endpoint} have different intents, and a rule by internal address matches them all; use --strategy conntrack`;
    case "unknown-translations":
      return `packets that the model does not know may be translated to ${reason.endpoint}, and a rule by address would close them too; use --strategy conntrack`;
  }
}

const ruleText = (rule: string | null): string => rule ?? "the policy of a chain";

/** Returns the sentence of a doubt. */
export function fixDoubtText(doubt: FixDoubt): string {
  if (doubt.code === "audit") return doubtText(doubt.doubt);
  const prefix = `IPv${doubt.family}: `;
  const noRules = "no rules are printed for this family";
  switch (doubt.code) {
    case "unread-not-searched":
      return `${prefix}${limitText(doubt.limit)}: packets that only an unread firewall may block were not searched for`;
    case "damaged-ruleset":
      return `${prefix}some of its rules may be missing, and a policy made from the others could close ports that they allow: ${noRules}`;
    case "docker-nat-missing":
      return `${prefix}Docker's chains of table nat are missing, so a rule for a container's address could close a port that the firewall allows: ${noRules}`;
    case "filter-missing":
      return `${prefix}table filter is missing, so the policy of the firewall is unknown: ${noRules}`;
    case "limit-exceeded":
      return `${prefix}${limitText(doubt.limit)}: ${noRules}`;
  }
}

const limitText = ({ budget, by, unit }: ExceededLimit): string =>
  new BudgetExceeded(budget, by, unit).message;

/** Returns a finding that stays open, or a doubt, in one sentence. */
export const openItemText = (left: OpenItem): string =>
  left.finding === null ? fixDoubtText(left.reason) : `${left.finding}: ${openReasonText(left.reason)}`;

/** Returns what differs for a packet that fails the proof. */
export function differenceText(difference: Difference): string {
  switch (difference.code) {
    case "not-stopped":
      return `${subject(difference)} passes although the policy blocks it`;
    case "allowed-changed":
      return `${subject(difference)} gets another result although the policy does not block it`;
    case "blocked-redirected":
      return `${subject(difference)} gets another result than being stopped`;
    case "flow-changed":
      return `a packet of an ${difference.state} flow gets another verdict`;
  }
}

const subject = ({ direction }: { readonly direction: "in" | "out" }): string =>
  direction === "in" ? "a packet that arrives" : "a packet that the host sends";

/** Returns why an endpoint is matched by its strategy. */
export function strategyReasonText(reason: StrategyReason): string {
  switch (reason.code) {
    case "conntrack-requested":
      return `requested: rules match the original destination${validity(reason)}`;
    case "unknown-translations":
      return `packets that the model does not know may be translated to it, so rules match the original destination${validity(reason)}`;
    case "different-intents":
      return `${reason.paths} paths with different intents lead to it, and only conntrack distinguishes them${validity(reason)}`;
    case "ipset-requested":
      return "requested: one rule with a set matches any number of endpoints";
    case "many-endpoints":
      return "one rule with a set matches all of these endpoints";
    case "no-port":
      return "a set cannot contain it, since it has no port, so a rule matches its address";
    case "one-intent":
      return reason.paths === 1
        ? "one path leads to it, and a rule by address costs least"
        : `all ${reason.paths} paths to it have the same intent, so one rule by address covers them`;
  }
}

const validity = ({ keepsAddress }: { readonly keepsAddress: boolean }): string =>
  keepsAddress ? "" : "; the rules stay valid when the container gets another address";

/** Returns a remark on the use of a fix. */
export function fixNoteText(note: FixNote): string {
  const prefix = `IPv${note.family}: `;
  switch (note.code) {
    case "addresses-may-change":
      return `${prefix}Docker may assign another address to ${listed(note.containers, 5)}, and theirs to another container: run fwcheck fix again when they are recreated, give them an address (--ip), or use --strategy conntrack`;
    case "flows-stay":
      return `${prefix}existing connections stay open, UDP as long as packets arrive; sh fix.sh --cut (--format script) ends those that the policy forbids`;
    case "bans-copied":
      return `${prefix}the bans of chain ${note.chain} are copied as they are now, since rules after address translation cannot call it with the same effect: run fwcheck fix again when they change`;
    case "flows-not-cut":
      return `${prefix}--cut leaves flows: ${note.finding}: ${cutFailureText(note.reason)}`;
  }
}

function cutFailureText({ code }: CutFailure): string {
  switch (code) {
    case "unknown-senders":
      return "which of its flows the policy forbids depends on unknown matches";
    case "no-port":
      return "its flows have no port to select them by";
    case "blocked-by-interface":
      return "flows of senders that are blocked on one interface only, since conntrack does not record the interface";
    case "too-many-prefixes":
      return "the policy blocks too many networks to select its flows by them";
  }
}

/** Returns why ufw cannot load the fix of a family. */
export function ufwRefusalText({ code, family }: UfwRefusal): string {
  const file = `/etc/ufw/after${family === 4 ? "" : "6"}.rules`;
  switch (code) {
    case "docker-user-not-called":
      return `IPv${family}: Docker does not call DOCKER-USER from FORWARD here, and a block in ${file} cannot keep such a call in front of Docker's rules; use --format systemd`;
    case "ufw-in-other-backend":
      return `IPv${family}: ufw uses the backend of iptables that Docker does not use, and a block in ${file} would not reach Docker's DOCKER-USER; use --format script or systemd`;
    case "sets-needed":
      return `IPv${family}: ufw loads its rules before any ipset exists; use --strategy internal-ip or conntrack`;
  }
}

/** `a, b (and 2 more)`. */
function listed(names: readonly string[], most: number): string {
  const more = names.length - most;
  return more > 0 ? `${names.slice(0, most).join(", ")} (and ${more} more)` : names.join(", ");
}

/** Returns whether an entry is about the inputs, and not about a finding that remains. */
const isUnsettled = ({ proof }: Fix, { finding }: OpenItem): boolean =>
  finding === null || !proof.remaining.includes(finding);

/** Returns the result of a fix in one line: closed findings, open ones, families without rules, and doubts. */
export function fixSummary(fix: Fix): string {
  const { proof, families, left, holds } = fix;
  if (!holds) return "No rules are printed: the proof does not hold.";
  const { closed, remaining } = proof;
  const total = new Set([...closed, ...remaining]).size;
  const out: string[] = [];
  if (total > 0)
    out.push(
      remaining.length === 0
        ? `${counted(total, "finding")} closed`
        : `${closed.length} of ${counted(total, "finding")} closed; left open: ${listed(remaining, 3)}`,
    );
  else if (families.ipv4 !== "refused" && families.ipv6 !== "refused")
    out.push(left.length === 0 ? "No findings, nothing to fix" : "No findings, but some inputs are in doubt");
  for (const [family, coverage] of [
    ["IPv4", families.ipv4],
    ["IPv6", families.ipv6],
  ] as const) {
    if (coverage === "refused") out.push(`${family} is not fixed: no rules are printed for it`);
    if (coverage === "open") out.push(`Not all of ${family} is fixed`);
    if (coverage === "absent") out.push(`${family} is not fixed: its rules were not given`);
  }
  const unsettled = left.filter((each) => isUnsettled(fix, each)).map(openItemText);
  if (unsettled.length > 0) out.push(`Not settled: ${listed(unsettled, 1)}`);
  return `${out.map(safe).join(". ")}.`;
}

/** Returns the effect of a fix, its reasons and its proof as lines. The rules are printed separately. */
export function fixText(fix: Fix, style: Style = PLAIN): string {
  const { closed, remaining, changed } = fix.proof;
  const out: string[] = [
    fixSummary(fix),
    ...fix.choices.map(
      ({ endpoint, strategy, reason }) =>
        `${style.bold(safe(endpoint))}: ${strategy}; ${safe(strategyReasonText(reason))}`,
    ),
    ...fix.left.map(
      (each) =>
        `${style.red(isUnsettled(fix, each) ? "not settled:" : "left open:")} ${safe(openItemText(each))}`,
    ),
    `proof: ${counted(closed.length, "finding")} closed, ${remaining.length} remaining, ${changed.length} packets changed that should not be`,
    ...remaining.map((id) => `  ${style.red("remains:")} ${safe(id)}`),
    ...changed.map(
      ({ difference, packet }) =>
        `  ${style.red("changed:")} ${differenceText(difference)}: ${packetText(packet)}`,
    ),
    ...(fix.cost.ipv4 === null ? [] : [costText(4, fix.cost.ipv4)]),
    ...(fix.cost.ipv6 === null ? [] : [costText(6, fix.cost.ipv6)]),
    ...fix.notes.map((note) => `${style.yellow("note:")} ${safe(fixNoteText(note))}`),
    ...(fix.inForce ? ["These rules are in force already."] : []),
    proofText(fix, style),
  ];
  return `${out.join("\n")}\n`;
}

const costText = (family: 4 | 6, { before, after }: Cost): string =>
  `cost: IPv${family} packets pass in FORWARD: of an established flow ${before.established} rules before and ${after.established} with the fix, the first for a container ${before.fresh} and ${after.fresh}, at worst ${before.worst} and ${after.worst}`;

function proofText({ holds, left }: Fix, style: Style): string {
  if (!holds) return style.red("The proof does not hold; no rules are printed.");
  return style.green(
    left.length === 0
      ? "The proof holds, over all packets."
      : "The proof holds, over all packets, for the closed findings; the lines above list what stays open.",
  );
}
