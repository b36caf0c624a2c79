/** Prints a fix for nftables as a POSIX shell script, with `--check`, `--undo` and `--cut`. */
import { nftFamily } from "../chain-names.ts";
import type { FamilyRules } from "./family.ts";
import { nftDigest, nftFile, nftHeading } from "./nft.ts";
import { listingText } from "./nft-listing.ts";
import { CUT_FUNCTIONS } from "./script-functions.ts";
import { CHECKED, flows, here, USAGE } from "./shell.ts";

/**
 * Returns a script that applies the rules, and refuses if the ruleset of the kernel is not the analysed one. `--check` loads
 * the rules into a network namespace of its own and compares what nft lists there and on the host, so that it depends on no
 * release of nft. Text from the input is printed only in quoted here-documents, where the shell expands nothing.
 * @param listing output of `nft list ruleset` that was analysed; `null` if it is not known
 */
export function nftScript(families: readonly FamilyRules[], listing: string | null): string {
  const parts = families.filter((part) => part.chains.size > 0);
  const cuts = parts.some((part) => part.cuts.length > 0);
  return `${[
    "#!/bin/sh",
    ...nftHeading(
      listing,
      "Apply: sh THIS [--force]. Check: sh THIS --check. Undo: sh THIS --undo. Live flows: sh THIS --cut.",
    ),
    "set -eu",
    "export LC_ALL=C",
    "PATH=$PATH:/usr/sbin:/sbin",
    "",
    `families() { echo "${parts.map(({ family }) => nftFamily(family)).join(" ")}"; }`,
    "# The rules, for nft -f.",
    "rules() {",
    ...here([nftFile(families).trimEnd()]),
    "}",
    "# Digest of the ruleset that was analysed, without counters and our tables.",
    `analysed() { echo ${listing === null ? "unknown" : nftDigest(listing)}; }`,
    ...(cuts ? flows(parts) : []),
    "",
    FUNCTIONS,
    ...(cuts ? [CUT_FUNCTIONS] : []),
    "",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own.
    'case "${1:-}" in',
    '"" | --force)',
    `  approve "\${1:-}"`,
    '  rules | nft -f - || { echo "fwcheck: nft failed; it changed nothing" >&2; exit 1; }',
    "  check || exit",
    ...(cuts
      ? ['  echo "existing flows continue; end those that the policy forbids with: sh $0 --cut"']
      : []),
    "  ;;",
    "--check)",
    "  code=0",
    "  check || code=$?",
    '  [ "$code" -ne 0 ] || report_changes',
    ...CHECKED,
    "--undo)",
    "  for f in ip ip6; do",
    '    ! nft list table "$f" fwcheck >/dev/null 2>&1 || nft delete table "$f" fwcheck',
    "  done",
    "  ;;",
    ...(cuts ? ["--cut)", "  for t in iptables ip6tables; do end_flows $t; done", "  ;;"] : []),
    ...USAGE,
  ].join("\n")}\n`;
}

/** Shell functions. `approve` compares the ruleset of the kernel with the analysed one, `check` our tables with the rules. */
const FUNCTIONS = `live() { # the ruleset without counters, what changes by itself, and our tables
  nft list ruleset | awk '${listingText.AWK}'
}
live_digest() { digest=$(live | sha256sum) && digest=\${digest%% *}; }
is_analysed() { [ "$(analysed)" = unknown ] || [ "$(analysed)" = "$digest" ]; }
approve() {
  live_digest || { echo "fwcheck: nft cannot list the ruleset" >&2; exit 1; }
  ! is_analysed || return 0
  if [ "$1" = --force ]; then
    echo "fwcheck: the ruleset is not the one that was analysed; applied as --force asks" >&2
  else
    echo "fwcheck: the ruleset is not the one that was analysed: run fwcheck fix again, or use --force" >&2
    exit 3
  fi
}
report_changes() { # names rules that changed since the analysis: addresses of containers, the policy
  live_digest || digest=unknown
  is_analysed || echo "fwcheck: other rules have changed since the analysis: run fwcheck fix again" >&2
}
check() { # 0: in force, 1: not in force, 2: not known
  for f in $(families); do
    if ! there=$(nft list table "$f" fwcheck 2>/dev/null); then
      echo "fwcheck: there is no table $f fwcheck" >&2
      return 1
    fi
    if ! want=$(rules | unshare -n sh -c 'nft -f - && nft list table "$1" fwcheck' sh "$f"); then
      echo "fwcheck: the rules cannot be compared: unshare or nft failed" >&2
      return 2
    fi
    if [ "$there" != "$want" ]; then
      echo "fwcheck: table $f fwcheck has other rules than this file" >&2
      return 1
    fi
  done
}`;
