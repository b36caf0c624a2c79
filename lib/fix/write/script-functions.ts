/**
 * Shell functions of the script, in POSIX sh and awk (mawk included). The texts are raw: they read as the shell sees them;
 * only `${...}` is replaced. `test/fix/write/forms.test.ts` runs shellcheck on complete scripts.
 */
import { DOCKER_USER } from "../../host/known/docker.ts";
import { HOOK } from "../chain-names.ts";
import { WAIT } from "./family.ts";

/** Call that Docker 20.10 to 26.1 appends to DOCKER-USER. As the last rule it changes nothing. */
export const DOCKERS_RETURN = `-A ${DOCKER_USER} -j RETURN`;

/**
 * Matches a ban as fail2ban (action.d/iptables.conf) and SSHGuard write it: it stops a source, and can accept nothing. A
 * regular expression of JavaScript and of awk.
 */
export const BAN = "^-A [^ ]+ -s [0-9a-f.:/]+( -p [0-9a-z-]+)? -j (DROP|REJECT( --reject-with [0-9a-z-]+)?)$";

/** Matches the names of our chains. A regular expression of awk. */
const OURS = "FWCHECK(-[0-9]+)?";

/** Functions of every script: load and compare the live rules, build one transaction, apply, check, undo. */
export const FUNCTIONS = String.raw`load() { # every rule of a family, read once; iptables-save takes no lock
  saved=$("$1-save") || { echo "fwcheck: $1-save failed" >&2; return 1; }
  case $saved in *"*filter"*) return 0 ;; esac
  # iptables-legacy-save lists no table where /proc is missing or unreadable (/proc/net/ip_tables_names).
  saved="$saved
$("$1-save" -t filter)" || { echo "fwcheck: $1-save failed" >&2; return 1; }
}
live() { # every rule in its place, but for ours, what calls them, bans and Docker's own last rule of DOCKER-USER
  {
    ban_chains "$1"
    cat <<SAVED
$saved
SAVED
  } | awk 't == "" && /^-N / { bans[$2]; next }
    /^[*]/ { t = substr($1, 2) }
    /^:/ && $2 == "DROP" { print t, $1, "DROP" }
    { sub(/^[[][0-9]+:[0-9]+[]] /, ""); sub(/[ \t]+$/, "") }
    /^-A / {
      if (t == "filter" && ($2 ~ /^${OURS}$/ || / -[jg] ${OURS}$/ || $0 == "-A FORWARD ${HOOK}")) next
      if (t == "filter" && $2 in bans && $0 ~ "${BAN}") next
      if (held && t == "filter" && $2 == "DOCKER-USER") { printf "%s %s %06d %s\n", t, $2, held, "${DOCKERS_RETURN}"; held = 0 }
      n[t, $2]++
      if (t == "filter" && $0 == "${DOCKERS_RETURN}") { held = n[t, $2]; next }
      printf "%s %s %06d %s\n", t, $2, n[t, $2], $0
    }' | sort | sha256sum | sed 's/ .*//'
}
match() { [ "$(live "$1")" = "$(analysed "$1")" ]; }
changed() { echo "fwcheck: the rules of $1 are not the ones that were analysed: run fwcheck fix again" >&2; }
approve() { # TOOL [--force]
  if ! load "$1"; then
    refuse=1
  elif ! match "$1"; then
    changed "$1"
    refuse=3
  else
    return 0
  fi
  [ "$2" = --force ] || exit $refuse
}
lacking() { # what rules need and is not there; chains are looked up in what was loaded
  needs "$1" | while read -r number kind name; do
    [ "$kind" != ipset ] || ! ipset list -n "$name" >/dev/null 2>&1 </dev/null || continue
    echo "$number $kind $name"
  done
}
facts() {
  lacking "$1"
  echo "=rules"
  rules "$1"
  echo "=saved"
  cat <<SAVED
$saved
SAVED
}
# table TOOL plan: what iptables-restore --noflush reads to put the fix into force, from the rules as they are.
# undo: the same to take it away. left: rules that are left out. check: why the fix is not in force. waits: whether
# only Docker's call of DOCKER-USER is missing, since Docker is not there.
table() {
  facts "$1" | awk -v how="$2" -v by="$(hooked_by "$1")" -v names="$(chains "$1")" '
    function harmless(text, name) { # whether a rule can only drop or count: in a chain that DOCKER-USER calls
      gsub(/"([^"\\]|\\.)*"/, "", text)
      if (text !~ / -[jg] /) return 1
      if (text ~ / -g /) return 0
      sub(/^.* -j /, "", text)
      sub(/ .*/, "", text)
      if (text in there) return !(text in risky)
      return text ~ /^(DROP|REJECT|LOG|NFLOG)$/ || (text == "RETURN" && name != "DOCKER-USER")
    }
    part == "" && !/^=/ { lacks[++lack] = $0; next }
    /^=/ && part != "=saved" { part = $1; next }
    part == "=rules" { rule[++rules] = $0; next }
    /^[*]/ { t = substr($1, 2); next }
    t == "nat" && /^:DOCKER / { docker = 1 }
    t != "filter" { next }
    /^:/ { there[substr($1, 2)] = 1; if ($1 == ":DOCKER") docker = 1; next }
    { sub(/^[[][0-9]+:[0-9]+[]] /, ""); sub(/[ \t]+$/, "") }
    !/^-A / { next }
    { text = $0; gsub(/\\./, "", text); if (gsub(/"/, "", text) % 2) broken = 1 }
    $2 ~ /^${OURS}$/ { live[$2] = live[$2] $0 "\n"; next }
    $2 == "DOCKER-USER" && / -[jg] FWCHECK$/ { jump[++jumps] = "-D" substr($0, 3); plain += $0 == "-A DOCKER-USER -j FWCHECK"; next }
    $0 == "-A FORWARD ${HOOK}" { hooks++; next }
    / -[jg] DOCKER-USER$/ { called = 1; if ($0 == "-A FORWARD -j DOCKER-USER") own = 1 }
    $2 == "DOCKER-USER" { users++; if (!plain) front[++fronts] = $0; next }
    { other[++others] = $0 }
    END {
      count = split(names, ours, " ")
      for (i = 1; i <= count; i++) { mine[ours[i]] = 1; want[ours[i]] = "" }
      for (i = 1; i <= lack; i++) {
        split(lacks[i], words, " ")
        name = substr(lacks[i], length(words[1] words[2]) + 3)
        if (words[2] == "chain" && name in there) continue
        out[words[1]] = 1
        if (how == "left") print "rule " words[1] " of ours is left out: " words[2] " " name " is not there; apply again when it is"
      }
      for (i = 1; i <= rules; i++) if (!(i in out)) { split(rule[i], words, " "); want[words[2]] = want[words[2]] rule[i] "\n" }
      hook = !own && (by == "fwcheck" || docker)
      if (how == "waits") exit !(!own && !hooks && !hook)
      if (how == "plan") {
        print "*filter"
        if (!("DOCKER-USER" in there)) print "-N DOCKER-USER"
        # Refused where the chain is called by now: two scripts at a time do not both add a call.
        if (!jumps) print ":FWCHECK - [0:0]\n-X FWCHECK"
        for (i = 1; i <= count; i++) print ":" ours[i] " - [0:0]"
        for (name in there) if (name ~ /^${OURS}$/ && !(name in mine)) print ":" name " - [0:0]"
        for (i = 1; i <= hooks; i++) print "-D FORWARD ${HOOK}"
        if (hook) print "-I FORWARD 1 ${HOOK}"
        for (i = 1; i <= jumps; i++) print jump[i]
        print "-I DOCKER-USER 1 -j FWCHECK"
        for (i = 1; i <= rules; i++) if (!(i in out)) print rule[i]
        for (name in there) if (name ~ /^${OURS}$/ && !(name in mine)) print "-X " name
        print "COMMIT"
      }
      if (how == "undo") {
        for (name in there) if (name ~ /^${OURS}$/) found = 1
        if (!found && !jumps && !hooks) exit
        print "*filter"
        for (i = 1; i <= jumps; i++) print jump[i]
        for (i = 1; i <= hooks; i++) print "-D FORWARD ${HOOK}"
        for (name in there) if (name ~ /^${OURS}$/) print ":" name " - [0:0]"
        for (name in there) if (name ~ /^${OURS}$/) print "-X " name
        # The chain of Docker is called by Docker; one that nothing calls and that holds nothing else was made by us.
        if ("DOCKER-USER" in there && !users && !called) print "-X DOCKER-USER"
        print "COMMIT"
      }
      if (how == "check") {
        if (broken) print "the text of a rule contains a line break, so the rules cannot be read"
        if (!own && !hooks) print "FORWARD does not call DOCKER-USER" (hook ? "" : "; Docker makes that call when it starts")
        if (!plain) print "DOCKER-USER does not call FWCHECK"
        if (jumps > 1) print "DOCKER-USER calls FWCHECK more than once"
        for (name in want) if (!(name in there) || live[name] != want[name]) { print "the rules of " name " are not those of this file"; break }
        for (changed = fronts; changed;) {
          changed = 0
          for (i = 1; i <= others; i++) {
            split(other[i], words, " ")
            if (!(words[2] in risky) && !harmless(other[i], words[2])) { risky[words[2]] = 1; changed = 1 }
          }
        }
        for (i = 1; i <= fronts; i++) if (plain && !harmless(front[i], "DOCKER-USER")) {
          print "a rule of DOCKER-USER before FWCHECK may let packets pass: " front[i]
          break
        }
      }
    }'
}
printable() { tr -cd '\040-\176\n' | sed "s/^/fwcheck: $1: /"; }
restore() { # one transaction; a failed one changes nothing
  "$1-restore" -w ${WAIT} --noflush <<TEXT
$2
TEXT
}
apply() {
  load "$1" || return 1
  text=$(table "$1" plan) || return 1
  restore "$1" "$text" || { echo "fwcheck: $1-restore failed; it changed nothing" >&2; return 1; }
  load "$1" || return 1
  table "$1" left | printable "$1" >&2
  if table "$1" waits; then
    echo "$1: loaded; in force as soon as Docker starts and calls DOCKER-USER"
    return 0
  fi
  verdict "$1" && echo "$1: in force"
}
verdict() { # 0: in force, 1: not in force, and why on standard error, 2: not known
  why=$(table "$1" check) || return 2
  [ -n "$why" ] || return 0
  printf '%s\n' "$why" | printable "$1" >&2
  return 1
}
check() {
  load "$1" || return 2
  verdict "$1" || return
  match "$1" || changed "$1"
}
undo() {
  load "$1" || return 1
  text=$(table "$1" undo) || return 1
  [ -z "$text" ] || restore "$1" "$text" || { echo "fwcheck: $1-restore failed; it changed nothing" >&2; return 1; }
}`;

/**
 * Returns the function that compares the live sets with those of the script.
 * @param names names of the sets, which contain only safe characters
 */
export const setCheck = (names: readonly string[]): string => String.raw`filled() {
  [ "$(for s in ${names.join(" ")}; do ipset save "$s" 2>/dev/null | sed -n "s/^add //p"; done | sort)" = "$(sets | sed -n "s/^add \([^ ]*\)-new /\1 /p" | sort)" ]
}`;

/** Functions of `--cut`: they end flows one by one, each named by its whole header. */
export const CUT_FUNCTIONS = String.raw`listed() { # the flows that conntrack lists, by their header, that go to the port or ports and are answered by the container
  ports=$1 container=$2
  shift 2
  conntrack -L "$@" 2>/dev/null | awk -v ports="$ports" -v container="$container" 'BEGIN { n = split(ports, end, "-") } {
    s = d = p = q = r = ""
    for (i = 1; i <= NF; i++) {
      if ($i ~ /^src=/) { if (s == "") s = substr($i, 5); else r = substr($i, 5) }
      if ($i ~ /^dst=/ && d == "") d = substr($i, 5)
      if ($i ~ /^sport=/ && p == "") p = substr($i, 7)
      if ($i ~ /^dport=/ && q == "") q = substr($i, 7)
    }
    if ((ports == "-" || (q != "" && q + 0 >= end[1] + 0 && q + 0 <= end[n] + 0)) && r == container) print $1, s, d, p, q
  }'
}
end_flows() {
  case $1 in ip6tables*) f=ipv6 ;; *) f=ipv4 ;; esac
  flows "$1" | while read -r proto dst port container how sources; do
    set -- "$port" "$container" -f "$f" -p "$proto"
    case $dst in */0) ;; *) set -- "$@" -d "$dst" ;; esac
    some=$(echo "$sources" | tr , '\n' | while read -r net; do
      [ "$net" = - ] || listed "$@" -s "$net"
    done)
    if [ "$how" = only ]; then echo "$some"; else
      { echo "$some"; echo all; listed "$@"; } | awk '$0 == "all" { on = 1; next } !on { spared[$0]; next } !($0 in spared)'
    fi | while read -r proto src dst sport dport; do
      [ -n "$proto" ] || continue
      set -- -f "$f" -p "$proto" -s "$src" -d "$dst"
      [ -z "$sport" ] || set -- "$@" --sport "$sport" --dport "$dport"
      conntrack -D "$@" 2>/dev/null || :
    done
  done
}`;
