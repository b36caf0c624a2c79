/** Prints a fix as a POSIX shell script for both families, with `--check`, `--undo` and `--cut`. */
import { printRule } from "../../iptables/print.ts";
import { isTableName } from "../../rules/ruleset.ts";
import { callsOurs, isHook, isOurs } from "../chain-names.ts";
import { appended, callsOf, type FamilyRules, heading, sha256, tool } from "./family.ts";
import { foreign, ourRules } from "./needs.ts";
import { BAN, CUT_FUNCTIONS, DOCKERS_RETURN, FUNCTIONS, setCheck } from "./script-functions.ts";
import { setsText } from "./sets.ts";
import { CHECKED, choose, flows, here, USAGE } from "./shell.ts";

/**
 * Returns a script that applies the rules, and refuses if the live rules are not the analysed ones. `--check` prints
 * if they are in force, `--undo` removes them, `--cut` ends the flows that the intent forbids. Text from the input is
 * printed only in quoted here-documents, where the shell expands nothing.
 *
 * The script reads each family's rules once, with iptables-save, which takes no lock. It builds the whole transaction
 * before iptables-restore starts: iptables-restore holds the xtables lock from its first line, so a program that waits
 * for the lock while it writes later lines would deadlock.
 */
export function script(families: readonly FamilyRules[]): string {
  const parts = families.filter((part) => part.chains.size > 0);
  const sets = parts.flatMap((part) => part.sets);
  const cuts = parts.some((part) => part.cuts.length > 0);
  return `${[
    "#!/bin/sh",
    ...heading(
      parts,
      "Apply: sh THIS [--force]. Check: sh THIS --check. Undo: sh THIS --undo. Live flows: sh THIS --cut.",
    ),
    "set -eu",
    "export LC_ALL=C",
    "PATH=$PATH:/usr/sbin:/sbin",
    "",
    ...dataFunctions(parts, sets, cuts),
    "",
    FUNCTIONS,
    ...(sets.length === 0 ? [] : [setCheck(sets.map((set) => set.name))]),
    ...(cuts ? [CUT_FUNCTIONS] : []),
    "",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own.
    'case "${1:-}" in',
    ...applyBranch(sets, cuts),
    ...checkBranch(sets),
    "--undo)",
    "  code=0",
    `  for t in $(tools); do undo "$t" || code=1; done`,
    ...sets.map((set) => `  ipset destroy ${set.name} 2>/dev/null || :`),
    "  exit $code",
    "  ;;",
    ...(cuts ? ["--cut)", `  for t in $(tools); do end_flows "$t"; done`, "  ;;"] : []),
    ...USAGE,
  ].join("\n")}\n`;
}

/** Shell functions that print the rules, sets and flows of each family. */
function dataFunctions(
  parts: readonly FamilyRules[],
  sets: FamilyRules["sets"],
  cuts: boolean,
): readonly string[] {
  return [
    `tools() { echo "${parts.map(tool).join(" ")}"; }`,
    "# Our chains and their rules, in the words of iptables-restore.",
    ...choose(parts, "chains", (part) => [`    echo "${[...part.chains.keys()].join(" ")}"`]),
    ...choose(parts, "rules", (part) => here(appended(part.chains))),
    "# What rules need that is not ours: the number of the rule above, the kind and the name.",
    ...choose(parts, "needs", (part) => here(needsText(part))),
    "# Chains of bans that the rules above call: their bans may change.",
    ...choose(parts, "ban_chains", (part) => here(part.banChains.map((chain) => `-N ${chain}`))),
    "# Digest of the rules that were analysed: every rule in its place, but for ours and bans.",
    ...choose(parts, "analysed", (part) => [`    echo ${analysed(part)}`]),
    "# Who makes FORWARD call DOCKER-USER.",
    ...choose(parts, "hooked_by", (part) => [
      `    echo ${callsOf(part.ruleset).docker ? "docker" : "fwcheck"}`,
    ]),
    ...(sets.length === 0
      ? []
      : ["# Endpoints by the number.", "sets() {", ...here(setsText(sets).trimEnd().split("\n")), "}"]),
    ...(cuts ? flows(parts, tool) : []),
  ];
}

/** Branch of the script that applies the rules: no argument, or `--force`. */
const applyBranch = (sets: FamilyRules["sets"], cuts: boolean): readonly string[] => [
  '"" | --force)',
  "  code=0",
  `  for t in $(tools); do approve "$t" "\${1:-}"; done`,
  ...(sets.length === 0
    ? []
    : ['  sets | ipset restore || { echo "fwcheck: ipset failed; nothing was changed" >&2; exit 1; }']),
  `  for t in $(tools); do apply "$t" || code=1; done`,
  ...(cuts
    ? [
        '  [ $code != 0 ] || echo "flows that were there before live on; end those that the policy forbids with: sh $0 --cut"',
      ]
    : []),
  "  exit $code",
  "  ;;",
];

/** Branch `--check` of the script. */
const checkBranch = (sets: FamilyRules["sets"]): readonly string[] => [
  "--check)",
  "  code=0",
  `  for t in $(tools); do`,
  '    check "$t" || { c=$?; [ $c -le $code ] || code=$c; }',
  "  done",
  ...(sets.length === 0
    ? []
    : [
        '  filled || { echo "fwcheck: the sets do not hold what this file says" >&2; [ $code != 0 ] || code=1; }',
      ]),
  ...CHECKED,
];

const needsText = (part: FamilyRules): string[] =>
  ourRules(part).flatMap((rule, i) =>
    foreign(rule, part)
      .filter(({ kind }) => kind === "chain" || kind === "ipset")
      .map(({ kind, name }) => `${i + 1} ${kind} ${name}`),
  );

/**
 * Returns the digest that the script compares with the live rules: all rules and all DROP policies, except our rules,
 * calls of our chains, bans in chains that our rules call, and Docker's last rule of DOCKER-USER.
 */
export function analysed({ ruleset, input, banChains }: FamilyRules): string {
  const ban = new RegExp(BAN);
  const lines = input?.split(/\r?\n/);
  const out: string[] = [];
  for (const [table, { chains }] of ruleset.tables) {
    // The script reads what the save program of one backend prints; all other tables are not in it.
    if (!isTableName(table)) continue;
    for (const chain of chains.values()) {
      if (chain.policy === "DROP") out.push(`${table} :${chain.name} DROP`);
      const rules = chain.rules.flatMap((rule) => {
        if (table === "filter" && (isOurs(chain.name) || callsOurs(rule) || isHook(rule))) return [];
        const line = lines?.[rule.line - 1]?.replace(/^\[\d+:\d+\] /, "").trimEnd();
        const text = line ?? printRule(rule, ruleset);
        return table === "filter" && banChains.includes(chain.name) && ban.test(text) ? [] : [text];
      });
      if (table === "filter" && rules.at(-1) === DOCKERS_RETURN) rules.pop();
      for (const [i, rule] of rules.entries())
        out.push(`${table} ${chain.name} ${String(i + 1).padStart(6, "0")} ${rule}`);
    }
  }
  // The order of LC_ALL=C sort: by bytes.
  const encoder = new TextEncoder();
  const bytes = new Map(out.map((line) => [line, encoder.encode(line)]));
  out.sort((a, b) => compare(bytes.get(a)!, bytes.get(b)!));
  return sha256(out.map((line) => `${line}\n`).join(""));
}

function compare(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length && i < b.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}
