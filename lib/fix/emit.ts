/** The forms in which a fix is printed: for iptables-restore, for ufw's after.rules, as a POSIX shell script, as a unit. */
import { sha256 as hash } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { printAddress } from "../packet/address.ts";
import { type Family, protoName } from "../packet/field.ts";
import { printRule } from "../rules/print.ts";
import { chainOf, type Ruleset, targetName } from "../rules/ruleset.ts";
import type { Cut } from "./cut.ts";
import { CHAIN, HOOK, type IpSet, isHook, isOurs } from "./lift.ts";

/** The rules of one family. */
export interface FamilyRules {
  readonly family: Family;
  /** Our chains with their rules, each without `-A CHAIN`; none where nothing has to be closed. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  readonly sets: readonly IpSet[];
  /** The rules that are in force, with a fix of ours where there is one already. */
  readonly ruleset: Ruleset;
  /** The text they were read from, where it is known. */
  readonly input: string | null;
  /** Flows that the intent forbids. */
  readonly cuts: readonly Cut[];
  /** Chains of table filter and ipsets of the owner's that the rules name: at boot they may not exist yet. */
  readonly needs: { readonly chains: readonly string[]; readonly sets: readonly string[] };
}

const tool = (family: Family): string => (family === 4 ? "iptables" : "ip6tables");
const word = (family: Family): string => (family === 4 ? "inet" : "inet6");

/** What is not there yet of the way from FORWARD to our chain: made by a fix, taken away by its undo. */
interface Missing {
  readonly user: boolean;
  readonly forward: boolean;
  readonly jump: boolean;
  /** Whether an earlier fix made the hook, and the chain. */
  readonly hooked: boolean;
}

function missing(ruleset: Ruleset): Missing {
  const jumps = (from: string, to: string): boolean =>
    chainOf(ruleset, "filter", from)?.rules.some((rule) => targetName(rule) === to) ?? false;
  return {
    // Docker 20.10 makes no DOCKER-USER in ip6tables: it is made, and hooked where Docker hooks it.
    user: chainOf(ruleset, "filter", "DOCKER-USER") === undefined,
    forward: !jumps("FORWARD", "DOCKER-USER"),
    jump: !jumps("DOCKER-USER", CHAIN),
    hooked: chainOf(ruleset, "filter", "FORWARD")?.rules.some(isHook) ?? false,
  };
}

/** Chains of an earlier fix that this one has no use for. */
const stale = ({ ruleset, chains }: FamilyRules): string[] =>
  [...(ruleset.tables.get("filter")?.chains.keys() ?? [])].filter(
    (name) => isOurs(name) && !chains.has(name),
  );

const appended = (chains: FamilyRules["chains"]): string[] =>
  [...chains].flatMap(([chain, rules]) => rules.map((rule) => `-A ${chain} ${rule}`));

/** The digest of a text in UTF-8 (FIPS 180-4), in hexadecimal. */
const sha256 = (text: string): string => bytesToHex(hash(utf8ToBytes(text)));

const digest = (input: string | null): string => (input === null ? "rules" : `sha256 ${sha256(input)}`);

/** The two lines that stand above every form. */
const heading = (parts: readonly FamilyRules[], how: string): string[] => [
  `# fwcheck: the firewall's own policy, made to hold for containers (${parts.map((p) => `${tool(p.family)}-save of ${digest(p.input)}`).join(", ")}).`,
  `# ${how}`,
];

/**
 * The text for `iptables-restore --noflush` (`ip6tables-restore` for family 6): one transaction. Chains of ours that
 * are there are made anew; those that are not are made with `-N`, so that the text is refused as a whole, and changes
 * nothing, where they have come to be there since: applied twice it is as applied once.
 */
export function restore(part: FamilyRules): string {
  const { chains, ruleset, family } = part;
  if (chains.size === 0) return "";
  const { user, forward, jump } = missing(ruleset);
  const there = (chain: string): boolean => chainOf(ruleset, "filter", chain) !== undefined;
  const old = stale(part);
  return `${[
    ...heading(
      [part],
      `Apply: ${tool(family)}-restore --noflush < THIS. Check: ${tool(family)}-save | fwcheck audit -. Undo: ${undo(part).join("; ")}`,
    ),
    "*filter",
    ...(user ? ["-N DOCKER-USER"] : []),
    ...[...chains.keys()].map((chain) => (there(chain) ? `:${chain} - [0:0]` : `-N ${chain}`)),
    ...old.map((chain) => `-F ${chain}`),
    ...old.map((chain) => `-X ${chain}`),
    ...(forward ? [`-I FORWARD 1 ${HOOK}`] : []),
    ...(jump ? [`-I DOCKER-USER 1 -j ${CHAIN}`] : []),
    ...appended(chains),
    "COMMIT",
  ].join("\n")}\n`;
}

/** What takes it away again, line by line. */
export function undo({ family, ruleset, chains, sets }: FamilyRules): string[] {
  if (chains.size === 0) return [];
  const { user, forward, hooked } = missing(ruleset);
  const run = `${tool(family)} -w`;
  return [
    ...(forward || hooked ? [`${run} -D FORWARD ${HOOK}`] : []),
    `${run} -D DOCKER-USER -j ${CHAIN}`,
    ...[...chains.keys()].map((chain) => `${run} -F ${chain}`),
    ...[...chains.keys()].map((chain) => `${run} -X ${chain}`),
    ...(user || hooked ? [`${run} -X DOCKER-USER`] : []),
    ...sets.map((set) => `ipset destroy ${set.name}`),
  ];
}

/** What `ipset restore` reads: each set is filled beside and swapped in, so that it is never half full. */
export const setsText = (sets: readonly IpSet[]): string =>
  sets
    .flatMap(({ name, family, entries }) => {
      const made = `hash:ip,port family ${word(family)} maxelem ${Math.max(65536, entries.length)}`;
      return [
        `create ${name} ${made} -exist`,
        `create ${name}-new ${made} -exist`,
        `flush ${name}-new`,
        ...entries.map((entry) => `add ${name}-new ${entryText(entry)}`),
        `swap ${name}-new ${name}`,
        `destroy ${name}-new`,
      ];
    })
    .map((line) => `${line}\n`)
    .join("");

const entryText = ({ ip, proto, port }: IpSet["entries"][number]): string =>
  `${printAddress(ip)},${protoName(proto)}:${port}`;

/** Why ufw cannot keep a fix; `null` where it can. */
function noBlock({ ruleset, family, sets }: FamilyRules): string | null {
  const { user, forward, hooked } = missing(ruleset);
  if (user || forward || hooked)
    return `Docker does not hook DOCKER-USER into ${tool(family)}'s FORWARD here, and a block in ${afterRules(family)} cannot keep it in front of Docker's rules; use --format systemd`;
  if (sets.length > 0)
    return "ufw loads its rules when no ipset is there yet; use --strategy internal-ip or conntrack";
  return null;
}

/**
 * A block for `/etc/ufw/after.rules` (`after6.rules` for family 6). ufw loads it before Docker starts and again at each
 * reload; it declares DOCKER-USER, which empties it, and so brings the owner's other rules there with it.
 * @returns the block, or why there is none
 */
export function ufwBlock(part: FamilyRules): { readonly text: string } | { readonly why: string } {
  const { chains, ruleset, family } = part;
  if (chains.size === 0) return { text: "" };
  const why = noBlock(part);
  if (why !== null) return { why };
  const others = (chainOf(ruleset, "filter", "DOCKER-USER")?.rules ?? []).filter(
    (rule) => !isOurs(targetName(rule)),
  );
  return {
    text: `${[
      `# BEGIN fwcheck IPv${family}`,
      ...heading(
        [part],
        `Append to ${afterRules(family)}, then: ufw reload. Check: ${tool(family)}-save | fwcheck audit -. Undo: ${ufwUndo([part]).join("; ")}`,
      ),
      "*filter",
      ":DOCKER-USER - [0:0]",
      ...[...chains.keys()].map((chain) => `:${chain} - [0:0]`),
      `-A DOCKER-USER -j ${CHAIN}`,
      ...others.map((rule) => printRule(rule, ruleset)),
      ...appended(chains),
      "COMMIT",
      `# END fwcheck IPv${family}`,
    ].join("\n")}\n`,
  };
}

const afterRules = (family: Family): string => `/etc/ufw/after${family === 4 ? "" : "6"}.rules`;

/** What takes the blocks and what they loaded away again. */
export const ufwUndo = (parts: readonly FamilyRules[]): string[] =>
  parts
    .filter((part) => part.chains.size > 0 && noBlock(part) === null)
    .flatMap((part) => [
      `sed -i '/^# BEGIN fwcheck IPv${part.family}$/,/^# END fwcheck IPv${part.family}$/d' ${afterRules(part.family)}`,
      ...undo(part),
    ]);

/** Where the unit expects the script. */
export const SCRIPT_PATH = "/usr/local/sbin/fwcheck-fix";

/** A unit that applies the script after docker.service, and again whenever Docker starts anew. */
export function unit(families: readonly FamilyRules[]): string {
  const parts = families.filter((part) => part.chains.size > 0);
  return `${[
    ...heading(
      parts,
      `Save as /etc/systemd/system/fwcheck-fix.service, and the output of --format script as ${SCRIPT_PATH}. Check: sh ${SCRIPT_PATH} --check. Undo: systemctl disable --now fwcheck-fix`,
    ),
    "[Unit]",
    "Description=The firewall's own policy for containers (fwcheck)",
    "After=docker.service ufw.service netfilter-persistent.service",
    "PartOf=docker.service",
    "",
    "[Service]",
    "Type=oneshot",
    "RemainAfterExit=yes",
    // A container that came up with another address is told in the journal; the rules are better than none.
    `ExecStart=/bin/sh ${SCRIPT_PATH} --force`,
    `ExecStop=/bin/sh ${SCRIPT_PATH} --undo`,
    "",
    "[Install]",
    "WantedBy=docker.service multi-user.target",
  ].join("\n")}\n`;
}

/**
 * The digest that the script holds the live rules against: every rule in its place, but for ours and what hooks them,
 * and every policy that drops.
 */
export function analysed({ ruleset, input }: FamilyRules): string {
  const lines = input?.split(/\r?\n/);
  const out: string[] = [];
  for (const [table, { chains }] of ruleset.tables)
    for (const chain of chains.values()) {
      if (chain.policy === "DROP") out.push(`${table} :${chain.name} DROP`);
      let number = 0;
      for (const rule of chain.rules) {
        if (table === "filter" && (isOurs(chain.name) || isOurs(targetName(rule)) || isHook(rule))) continue;
        const text = printRule(rule, ruleset);
        const written = lines?.[rule.line - 1]?.replace(/^\[\d+:\d+\] /, "").trimEnd() ?? text;
        number++;
        out.push(`${table} ${chain.name} ${String(number).padStart(6, "0")} ${written}`);
      }
    }
  // As LC_ALL=C sort does it: byte by byte.
  const encoder = new TextEncoder();
  const bytes = new Map(out.map((line) => [line, encoder.encode(line)]));
  out.sort((a, b) => compare(bytes.get(a)!, bytes.get(b)!));
  return sha256(out.map((line) => `${line}\n`).join(""));
}

function compare(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length && i < b.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}

/**
 * A POSIX sh script for both families. It applies the rules, and refuses where the live rules are not those that were
 * analysed; `--check` says whether they are in force, `--undo` takes them away, `--cut` ends the flows that the
 * intent forbids. What comes from the input stands in quoted here-documents only, where nothing is expanded.
 */
export function script(families: readonly FamilyRules[]): string {
  const parts = families.filter((part) => part.chains.size > 0);
  const sets = parts.flatMap((part) => part.sets);
  const tools = parts.map((part) => tool(part.family));
  const each = (line: (part: FamilyRules) => string[]): string[] => parts.flatMap(line);
  const choose = (name: string, arm: (part: FamilyRules) => string[]): string[] => [
    `${name}() {`,
    "  case $1 in",
    ...each((part) => [`  ${tool(part.family)})`, ...arm(part), "    ;;"]),
    "  esac",
    "}",
  ];
  const here = (lines: readonly string[]): string[] => [`    cat <<'${END}'`, ...lines, END];
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
    "# Our chains and their rules, in iptables-restore's words.",
    ...choose("chains", (part) => [`    echo "${[...part.chains.keys()].join(" ")}"`]),
    ...choose("rules", (part) => here(appended(part.chains))),
    "# The rules that were analysed: every rule in its place, but for ours.",
    ...choose("analysed", (part) => [`    echo ${analysed(part)}`]),
    ...(sets.length === 0
      ? []
      : ["# Endpoints by the number.", "sets() {", ...here(setsText(sets).trimEnd().split("\n")), "}"]),
    ...(parts.some((part) => part.cuts.length > 0)
      ? [
          "# Flows that the policy forbids: protocol, destination, port, the container that answers, and whose they are.",
          ...choose("flows", (part) => here(part.cuts.map(cutText))),
        ]
      : []),
    "",
    ...body(
      sets,
      parts.some((part) => part.cuts.length > 0),
    ),
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own.
    'case "${1:-}" in',
    '"" | --force)',
    ...tools.map((name) => `  match ${name} || refused "\${1:-}"`),
    ...(sets.length === 0 ? [] : ["  sets | ipset restore"]),
    ...tools.map((name) => `  apply ${name}`),
    ...(parts.some((part) => part.cuts.length > 0)
      ? ['  echo "flows that were there before live on; end those that the policy forbids with: sh $0 --cut"']
      : []),
    "  ;;",
    "--check)",
    `  if ${[...tools.map((name) => `check ${name}`), ...(sets.length === 0 ? [] : ["filled"])].join(" && ")}; then echo "in force"; else`,
    '    echo "not in force"',
    "    exit 1",
    "  fi",
    "  ;;",
    "--undo)",
    ...tools.map((name) => `  undo ${name}`),
    ...sets.map((set) => `  ipset destroy ${set.name} 2>/dev/null || :`),
    "  ;;",
    ...(parts.some((part) => part.cuts.length > 0)
      ? ["--cut)", ...tools.map((name) => `  end_flows ${name}`), "  ;;"]
      : []),
    "*)",
    '  echo "usage: $0 [--force | --check | --undo | --cut]" >&2',
    "  exit 2",
    "  ;;",
    "esac",
  ].join("\n")}\n`;
}

/** No rule of iptables-save begins with it. */
const END = "END-OF-FWCHECK";

const cutText = ({ proto, dst, port, container, how, sources }: Cut): string =>
  [protoName(proto), dst, port ?? "-", container, how, sources.join(",") || "-"].join(" ");

/** What every script does alike. */
function body(sets: readonly IpSet[], cuts: boolean): string[] {
  return [
    "live() { # every rule in its place, but for ours and what hooks them",
    `  "$1-save" | awk '/^[*]/ { t = substr($1, 2) }`,
    '    /^:/ && $2 == "DROP" { print t, $1, "DROP" }',
    '    { sub(/^[[][0-9]+:[0-9]+[]] /, ""); sub(/[ \\t]+$/, "") }',
    "    /^-A / {",
    `      if (t == "filter" && ($2 ~ /^FWCHECK(-[0-9]+)?$/ || / -[jg] FWCHECK(-[0-9]+)?$/ || $0 == "-A FORWARD ${HOOK}")) next`,
    '      printf "%s %s %06d %s\\n", t, $2, ++n[t, $2], $0',
    "    }' | sort | sha256sum | sed 's/ .*//'",
    "}",
    'match() { [ "$(live "$1")" = "$(analysed "$1")" ]; }',
    "refused() {",
    '  echo "fwcheck: the live rules are not the ones that were analysed: run fwcheck fix again" >&2',
    '  [ "$1" = --force ] || exit 3',
    "}",
    "ours() { \"$1\" -w -S | sed -n 's/^-N \\(FWCHECK\\)$/\\1/p; s/^-N \\(FWCHECK-[0-9]*\\)$/\\1/p'; }",
    "hooked() { # by Docker, or by us where Docker does not",
    `  "$1" -w -C FORWARD -j DOCKER-USER 2>/dev/null || "$1" -w -C FORWARD ${HOOK} 2>/dev/null`,
    "}",
    "apply() { # one transaction",
    '  "$1" -w -n -L DOCKER-USER >/dev/null 2>&1 || "$1" -w -N DOCKER-USER',
    `  hooked "$1" || "$1" -w -I FORWARD 1 ${HOOK}`,
    "  {",
    '    echo "*filter"',
    '    for c in $(chains "$1"); do echo ":$c - [0:0]"; done',
    "    old=",
    '    for c in $(ours "$1"); do',
    '      case " $(chains "$1") " in *" $c "*) ;; *) old="$old $c" ;; esac',
    "    done",
    '    for c in $old; do echo "-F $c"; done',
    '    rules "$1"',
    '    for c in $old; do echo "-X $c"; done',
    '    "$1" -w -C DOCKER-USER -j FWCHECK 2>/dev/null || echo "-I DOCKER-USER 1 -j FWCHECK"',
    "    echo COMMIT",
    '  } | "$1-restore" -w --noflush',
    "}",
    "check() {",
    '  hooked "$1" || return 1',
    '  "$1" -w -C DOCKER-USER -j FWCHECK 2>/dev/null || return 1',
    '  [ "$(for c in $(chains "$1"); do "$1" -w -S "$c" 2>/dev/null | sed -n "/^-A/p"; done)" = "$(rules "$1")" ]',
    "}",
    "undo() {",
    '  while "$1" -w -D DOCKER-USER -j FWCHECK 2>/dev/null; do :; done',
    '  for c in $(ours "$1"); do "$1" -w -F "$c"; done',
    '  for c in $(ours "$1"); do "$1" -w -X "$c"; done',
    "  # Docker's own hook is not ours to take, nor a chain that somebody else has put to use.",
    `  if "$1" -w -D FORWARD ${HOOK} 2>/dev/null; then "$1" -w -X DOCKER-USER 2>/dev/null || :; fi`,
    "}",
    ...(sets.length === 0
      ? []
      : [
          "filled() {",
          `  [ "$(for s in ${sets.map((s) => s.name).join(" ")}; do ipset save "$s" 2>/dev/null | sed -n "s/^add //p"; done | sort)" = "$(sets | sed -n "s/^add \\([^ ]*\\)-new /\\1 /p" | sort)" ]`,
          "}",
        ]),
    ...(cuts ? CUT : []),
    "",
  ];
}

/** Ends flows one by one, each named by its whole header. */
const CUT = [
  "listed() { # the flows that conntrack lists, by their header, that go to the port and are answered by the container",
  "  port=$1 container=$2",
  "  shift 2",
  '  conntrack -L "$@" 2>/dev/null | awk -v port="$port" -v container="$container" \'{',
  '    s = d = p = q = r = ""',
  "    for (i = 1; i <= NF; i++) {",
  '      if ($i ~ /^src=/) { if (s == "") s = substr($i, 5); else r = substr($i, 5) }',
  '      if ($i ~ /^dst=/ && d == "") d = substr($i, 5)',
  '      if ($i ~ /^sport=/ && p == "") p = substr($i, 7)',
  '      if ($i ~ /^dport=/ && q == "") q = substr($i, 7)',
  "    }",
  '    if ((port == "-" || q == port) && r == container) print $1, s, d, p, q',
  "  }'",
  "}",
  "end_flows() {",
  "  case $1 in ip6tables) f=ipv6 ;; *) f=ipv4 ;; esac",
  '  flows "$1" | while read -r proto dst port container how sources; do',
  '    set -- "$port" "$container" -f "$f" -p "$proto"',
  '    case $dst in */0) ;; *) set -- "$@" -d "$dst" ;; esac',
  "    some=$(echo \"$sources\" | tr , '\\n' | while read -r net; do",
  '      [ "$net" = - ] || listed "$@" -s "$net"',
  "    done)",
  '    if [ "$how" = only ]; then echo "$some"; else',
  '      { echo "$some"; echo all; listed "$@"; } | awk \'$0 == "all" { on = 1; next } !on { spared[$0]; next } !($0 in spared)\'',
  "    fi | while read -r proto src dst sport dport; do",
  '      [ -n "$proto" ] || continue',
  '      set -- -f "$f" -p "$proto" -s "$src" -d "$dst"',
  '      [ -z "$sport" ] || set -- "$@" --sport "$sport" --dport "$dport"',
  '      conntrack -D "$@" 2>/dev/null || :',
  "    done",
  "  done",
  "}",
];
