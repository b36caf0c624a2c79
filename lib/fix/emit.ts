/** The forms in which a fix is printed: for iptables-restore, and as a POSIX shell script with its undo. */
import type { Family } from "../packet/field.ts";
import { chainOf, type Ruleset, targetName } from "../rules/ruleset.ts";
import { CHAIN } from "./lift.ts";

/** The rules of one family. */
export interface FamilyRules {
  readonly family: Family;
  /** Rules of the chain, each without `-A CHAIN`; none where nothing has to be closed. */
  readonly rules: readonly string[];
  readonly ruleset: Ruleset;
}

const tool = (family: Family): string => (family === 4 ? "iptables" : "ip6tables");

/** What is not there yet of the way from FORWARD to our chain: made by a fix, taken away by its undo. */
function missing(ruleset: Ruleset): {
  readonly user: boolean;
  readonly forward: boolean;
  readonly jump: boolean;
} {
  const jumps = (from: string, to: string): boolean =>
    chainOf(ruleset, "filter", from)?.rules.some((rule) => targetName(rule) === to) ?? false;
  return {
    // Docker 20.10 makes no DOCKER-USER in ip6tables: it is made, and hooked where Docker hooks it.
    user: chainOf(ruleset, "filter", "DOCKER-USER") === undefined,
    forward: !jumps("FORWARD", "DOCKER-USER"),
    jump: !jumps("DOCKER-USER", CHAIN),
  };
}

/**
 * The text for `iptables-restore --noflush` (`ip6tables-restore` for family 6): one transaction. The chain is declared
 * and so made anew each time; DOCKER-USER is only added to.
 */
export function restore({ rules, ruleset }: FamilyRules): string {
  if (rules.length === 0) return "";
  const { user, forward, jump } = missing(ruleset);
  const lines = ["*filter"];
  if (user) lines.push(":DOCKER-USER - [0:0]");
  lines.push(`:${CHAIN} - [0:0]`);
  if (forward) lines.push("-I FORWARD 1 -j DOCKER-USER");
  if (jump) lines.push(`-I DOCKER-USER 1 -j ${CHAIN}`);
  for (const rule of rules) lines.push(`-A ${CHAIN} ${rule}`);
  lines.push("COMMIT");
  return `${lines.join("\n")}\n`;
}

/** What takes it away again, line by line. */
export function undo({ family, ruleset, rules }: FamilyRules): string[] {
  if (rules.length === 0) return [];
  const { user, forward, jump } = missing(ruleset);
  return [
    ...(forward ? [`${tool(family)} -w -D FORWARD -j DOCKER-USER`] : []),
    ...(jump ? [`${tool(family)} -w -D DOCKER-USER -j ${CHAIN}`] : []),
    `${tool(family)} -w -F ${CHAIN}`,
    `${tool(family)} -w -X ${CHAIN}`,
    ...(user ? [`${tool(family)} -w -X DOCKER-USER`] : []),
  ];
}

/**
 * A POSIX sh script: applies the rules, `--check` says whether they are in force, `--undo` takes them away. Applying
 * it again changes nothing. Only fwcheck's own words and the rules it wrote stand in it: interface names are the only
 * text of the input, and those are refused unless they are plain.
 */
export function script(families: readonly FamilyRules[]): string {
  const parts = families.filter((f) => f.rules.length > 0);
  const out = [
    "#!/bin/sh",
    "# Makes the firewall's own policy hold for containers too: rules in the chain " +
      CHAIN +
      ", called from DOCKER-USER.",
    "# Written by fwcheck. Check with: sh THIS --check. Take away with: sh THIS --undo.",
    "set -eu",
    "",
  ];
  for (const { family, rules, ruleset } of parts) {
    const { user, forward } = missing(ruleset);
    out.push(
      `apply${family}() {`,
      `  ${tool(family)} -w -n -L DOCKER-USER >/dev/null 2>&1 || ${tool(family)} -w -N DOCKER-USER`,
      `  ${tool(family)} -w -C FORWARD -j DOCKER-USER 2>/dev/null || ${tool(family)} -w -I FORWARD 1 -j DOCKER-USER`,
      `  ${tool(family)}-restore -w --noflush <<'RULES'`,
      "*filter",
      `:${CHAIN} - [0:0]`,
      ...rules.map((rule) => `-A ${CHAIN} ${rule}`),
      "COMMIT",
      "RULES",
      `  ${tool(family)} -w -C DOCKER-USER -j ${CHAIN} 2>/dev/null || ${tool(family)} -w -I DOCKER-USER 1 -j ${CHAIN}`,
      "}",
      `check${family}() {`,
      `  ${tool(family)} -w -C FORWARD -j DOCKER-USER 2>/dev/null || return 1`,
      `  ${tool(family)} -w -C DOCKER-USER -j ${CHAIN} 2>/dev/null || return 1`,
      ...rules.map((rule) => `  ${tool(family)} -w -C ${CHAIN} ${rule} 2>/dev/null || return 1`),
      `  [ "$(${tool(family)} -w -S ${CHAIN} | grep -c '^-A')" -eq ${rules.length} ]`,
      "}",
      `undo${family}() {`,
      `  while ${tool(family)} -w -D DOCKER-USER -j ${CHAIN} 2>/dev/null; do :; done`,
      `  ${tool(family)} -w -F ${CHAIN} 2>/dev/null || return 0`,
      `  ${tool(family)} -w -X ${CHAIN}`,
      // Only what was not there when the rules were written, and only while nobody else has put it to use.
      ...(forward ? [`  ${tool(family)} -w -D FORWARD -j DOCKER-USER 2>/dev/null || :`] : []),
      ...(user ? [`  ${tool(family)} -w -X DOCKER-USER 2>/dev/null || :`] : []),
      "}",
      "",
    );
  }
  const each = (verb: string, join: string): string =>
    parts.map((f) => `${verb}${f.family}`).join(join) || ":";
  out.push(
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own.
    'case "${1:-}" in',
    `  "") ${each("apply", " && ")} ;;`,
    `  --check) if ${each("check", " && ")}; then echo "in force"; else echo "not in force"; exit 1; fi ;;`,
    `  --undo) ${each("undo", " && ")} ;;`,
    '  *) echo "usage: $0 [--check | --undo]" >&2; exit 2 ;;',
    "esac",
  );
  return `${out.join("\n")}\n`;
}
