#!/bin/sh
# fwcheck collect: prints the state of this host's firewall as one text, a snapshot.
#
# It only reads and writes no file. It reads the rules of iptables, ip6tables and nftables, ipsets, addresses, routes, kernel
# settings, networks of Docker and Podman, addresses and ports of containers, ufw's own rules, and listening sockets. Of
# containers it prints names, addresses, ports and the names from Compose and swarms; no environment, no command, no mount, no
# other label. It runs in dash, BusyBox sh and any other POSIX shell, and needs root. Each program has one minute. (A kernel may
# load nf_tables or ip_set in order to list that they are empty.)
#
#   fwcheck collect | ssh root@host sh -s > host.snap && fwcheck audit host.snap

set -u
LC_ALL=C
PATH=$PATH:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin:/snap/bin
export LC_ALL PATH

say() { printf '%s %s\n' "$boundary" "$*"; }

# program NAME: path of a program. BusyBox sh would prefer BusyBox's own ip, which prints no JSON.
program() {
  IFS=:
  for folder in $PATH; do
    if [ -f "$folder/$1" ] && [ -x "$folder/$1" ]; then
      unset IFS
      printf '%s' "$folder/$1"
      return 0
    fi
  done
  unset IFS
  return 1
}
here() { program "$1" >/dev/null; }

# part KIND TITLE COMMAND...: prints both outputs of a command and its exit code. Reads both outputs up to a line of this
# script and not to their end: a child in a session of its own escapes the time limit and may keep them open forever.
part() {
  kind=$1 title=$2
  shift 2
  say "begin $kind $title"
  {
    errors=$({ {
      "$@" 2>&3 3>&- 5>&-
      code=$?
      ended "$code"
      ended "$code" >&3
    } | sed "$until_ended" >&5; } 3>&1 | sed "$until_ended")
  } 5>&1
  code=${errors##* }
  errors=$(printf '%s' "${errors%"$boundary end $code"}")
  if [ -n "$errors" ]; then
    say "begin errors $title"
    printf '%s\n' "$errors"
    say "end 0"
  fi
  return "$code"
}
# BusyBox's sed reads the next line before it quits at this one, so an empty line follows. bash writes it separately, to a
# pipe that may be closed by then.
ended() {
  trap '' PIPE
  printf '\n%s end %s\n\n' "$boundary" "$1" 2>/dev/null
}

# output COMMAND...: stores the output of a command in $printed, read in the same way
output() {
  printed=$({
    "$@" 3>&- 5>&-
    ended "$?"
  } | sed "$until_ended")
  code=${printed##* }
  printed=$(printf '%s' "${printed%"$boundary end $code"}")
  return "$code"
}

# have KIND COMMAND...: a part if the program exists
have() {
  if here "$2"; then
    kind=$1 found=$(program "$2")
    shift 2
    # shellcheck disable=SC2086 # words, or nothing
    part "$kind" "${found##*/} $*" $limit "$found" "$@"
  else say "missing $1 $2"; fi
}

rules() { # rules iptables|ip6tables: of both backends, where there are two
  if here "$1-legacy-save" && here "$1-nft-save"; then
    have rules "$1-legacy-save" -c
    have rules "$1-nft-save" -c
  else have rules "$1-save" -c; fi
}

# In the form of sysctl(8): dots between the parts, and slashes for dots in a part; no value contains either.
settings() {
  for file in /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/*/forwarding /proc/sys/net/ipv4/conf/*/rp_filter \
    /proc/sys/net/ipv4/conf/*/route_localnet /proc/sys/net/ipv4/conf/*/accept_local \
    /proc/sys/net/ipv4/conf/*/src_valid_mark /proc/sys/net/ipv4/conf/*/send_redirects \
    /proc/sys/net/ipv4/conf/*/bc_forwarding /proc/sys/net/ipv[46]/conf/*/drop_unicast_in_l2_multicast \
    /proc/sys/net/ipv6/conf/*/forwarding /proc/sys/net/ipv6/conf/*/force_forwarding \
    /proc/sys/net/ipv6/conf/*/disable_ipv6 /proc/sys/net/bridge/bridge-nf-* \
    /proc/sys/net/netfilter/nf_conntrack_tcp_loose /proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal \
    /proc/sys/net/ipv6/conf/*/use_tempaddr; do
    [ ! -r "$file" ] || printf '%s\0' "$file"
  done | xargs -0 grep -s '' /dev/null | sed 's|^/proc/sys/||; s|:| = |; y|./|/.|'
}

# Prints rules in iptables' tables with nft expressions that iptables never writes, and that iptables-save omits: chain, number
# and all expressions of each rule; then the number of rules of these chains.
expressions() {
  # shellcheck disable=SC2086
  { $limit nft --debug=netlink list ruleset || echo failed; } | awk '
    # A load of a field that iptables prints, and its comparison: iptables/nft-shared.c, nft-ipv4.c, nft-ipv6.c.
    function plain(text, ip, same, equal, ports) {
      same = " => reg [0-9]+ []]([[] bitwise [^]]*[]])?"
      equal = "[[] cmp (eq|neq) [^]]*[]]"
      # Only ports of TCP and UDP; 1.8.13 compares both ports at once if a rule has both.
      ports = text ~ /(l4proto|network header [+] [69]) => reg [0-9]+ []][[] cmp eq reg [0-9]+ 0x0*(6|11)0* []]/
      gsub(/[[] (counter|log) [^]]*[]]|[[] (match|target) name [^]]*[]]|[[] immediate reg 0 [^]]*[]]/, "", text)
      gsub(/[[] limit rate [^]]* type packets flags 0x0 []]/, "", text)
      gsub("[[] meta load (iifname|oifname|iif|oif|l4proto|mark)" same equal, "", text)
      ip = family == "ip" ? "(1b @ network header [+] 9|[1-4]b @ network header [+] 1[26])" : \
        "(1b @ network header [+] 6|[0-9]+b @ network header [+] (8|24))"
      gsub("[[] payload load " ip same equal, "", text)
      gsub("[[] payload load 2b @ network header [+] 6 => reg [0-9]+ []][[] bitwise [^]]* 0x0*(ff1f|1fff) [^]]*[]]" equal, "", text)
      if (ports) {
        gsub("[[] payload load 2b @ transport header [+] [02]" same "(" equal \
          "|[[] range (eq|neq) [^]]*[]]|[[] cmp gte [^]]*[]][[] cmp lte [^]]*[]])", "", text)
        gsub("[[] payload load (4b @ transport header [+] 0|1b @ transport header [+] 13)" same equal, "", text)
      }
      return text == "" && !twice
    }
    function flush() {
      if (chain != "" && text != "" && !plain(text)) {
        printf "%s %d\n%s", chain, rules[chain], lines
        shown[chain] = 1
      }
      chain = text = lines = ""
    }
    /^failed$/ { failed = 1; exit 1 }
    /^ip6? (raw|mangle|nat|filter|security) [^@]/ {
      flush()
      family = $1; chain = $1 " " $2 " " $3; rules[chain]++; twice = 0
      split("", loaded)
      next
    }
    /^  [[] / && chain != "" {
      lines = lines $0 "\n"
      sub(/^  /, "")
      text = text $0
      # iptables-save prints one condition per field, but every -m mark; each extension adds l4proto.
      if (/ load / && !/ (l4proto|mark) /) {
        sub(/ => .*/, ""); sub(/ load [0-9]+b/, "")
        if (loaded[$0]++) twice = 1
      }
      next
    }
    { flush() }
    END {
      if (failed) exit 1
      flush()
      for (each in shown) print each " of " rules[each]
    }'
}

# addresses OPTION... OBJECT: prints interfaces without their aliases (ip link set alias), which are free text
addresses() {
  # shellcheck disable=SC2086
  output $limit "$(program ip)" -j "$@" || { code=$? && printf '%s\n' "$printed" && return "$code"; }
  printf '%s\n' "$printed" | sed -E 's/"ifalias":"([^"\\]|\\.)*"/"ifalias":null/g'
}

# foreign: succeeds if nftables has tables that iptables did not create
foreign() {
  # shellcheck disable=SC2086
  $limit nft list tables 2>/dev/null | grep -qvE '^table ip6? (raw|mangle|nat|filter|security)$'
}
# again: prints the earlier output of expressions, with its exit code
again() {
  [ -z "$unprinted" ] || printf '%s\n' "$unprinted"
  return "$ended_with"
}

# unloaded MODULE: succeeds if the kernel can load the module and has not loaded it
unloaded() { [ -r /proc/modules ] && ! grep -q "^$1 " /proc/modules && [ ! -d "/sys/module/$1" ]; }

labels=
for label in com.docker.compose.project com.docker.compose.service com.docker.swarm.service.name; do
  labels="$labels,\"$label\":{{json (index .Config.Labels \"$label\")}}"
done
# shellcheck disable=SC2016 # dollars of the template
container='{"Id":{{json .Id}},"Name":{{json .Name}},"Config":{"Labels":{'"${labels#,}"'}},
"HostConfig":{"NetworkMode":{{json .HostConfig.NetworkMode}}},
"NetworkSettings":{"Ports":{{json .NetworkSettings.Ports}},"Networks":{"":null{{range $name, $at := .NetworkSettings.Networks}},
{{json $name}}:{"NetworkID":{{json $at.NetworkID}},"IPAMConfig":{{json $at.IPAMConfig}},"Gateway":{{json $at.Gateway}},
"IPAddress":{{json $at.IPAddress}},"GlobalIPv6Address":{{json $at.GlobalIPv6Address}}}{{end}}}}}'
# shellcheck disable=SC2016
network='{"Id":{{json .Id}},"Name":{{json .Name}},"Driver":{{json .Driver}},"Scope":{{json .Scope}},
"Internal":{{json .Internal}},"IPAM":{"Config":{{json .IPAM.Config}}},
"Containers":{"":null{{range $id, $at := .Containers}},{{json $id}}:{"Name":{{json $at.Name}},
"IPv4Address":{{json $at.IPv4Address}},"IPv6Address":{{json $at.IPv6Address}}}{{end}}},
"Options":{"parent":{{json (index .Options "parent")}}'
for option in name gateway_mode_ipv4 gateway_mode_ipv6 host_binding_ipv4 enable_ip_masquerade enable_icc; do
  option=com.docker.network.bridge.$option
  network="$network,\"$option\":{{json (index .Options \"$option\")}}"
done
network="$network}}"
# Podman's template language knows the fields by their names in Go; it has no options of Docker's driver.
podman_container=$(printf '%s' "$container" | sed 's/^{"Id":{{json .Id}}/{"Id":{{json .ID}},"OCIRuntime":{}/')
podman_network='{"name":{{json .Name}},"id":{{json .ID}},"driver":{{json .Driver}},
"network_interface":{{json .NetworkInterface}},"internal":{{json .Internal}},"subnets":{{json .Subnets}}}'

# described LIST FORMAT COMMAND...: prints the format for each id of a list
described() {
  ids=$1 format=$2
  shift 2
  # shellcheck disable=SC2086
  [ -z "$ids" ] || printf '%s\n' "$ids" | xargs -n 100 $limit "$@" --format "$format"
}

# twice COMMAND...: retries once, since a container may end after it was listed
twice() {
  output "$@" || output "$@" || return
  printf '%s\n' "$printed"
}
# shellcheck disable=SC2086
containers() { output $limit docker ps -q --no-trunc && described "$printed" "$container" docker inspect; }
# shellcheck disable=SC2086
networks() { output $limit docker network ls -q --no-trunc && described "$printed" "$network" docker network inspect; }
# shellcheck disable=SC2086
podman_containers() {
  output $limit podman ps -q --no-trunc && described "$printed" "$podman_container" podman container inspect
}
# shellcheck disable=SC2086
podman_networks() { output $limit podman network ls -q && described "$printed" "$podman_network" podman network inspect; }

# Prints the firewall backend (since Docker 29), and the settings about the firewall.
daemon() {
  # shellcheck disable=SC2086
  output $limit docker info --format '{"FirewallBackend":{{json .FirewallBackend}}}' 2>/dev/null && printf '%s\n' "$printed"
  [ -r /etc/docker/daemon.json ] || return 0
  settings=$(grep -oE '"(iptables|ip6tables|userland-proxy|firewall-backend)"[[:space:]]*:[[:space:]]*(true|false|"[a-z]*")' \
    /etc/docker/daemon.json | tr '\n' ',')
  printf '{%s}\n' "${settings%,}"
}

# Prints listening sockets, and for each process in a container the line with its id (proc(5), cgroups(7)).
listening() {
  # shellcheck disable=SC2086
  output $limit "$(program ss)" -H -l -n -t -u -p || return
  printf '%s\n' "$printed"
  printf '%s\n' "$printed" | grep -o 'pid=[0-9]*' | sort -u | while IFS='=' read -r _ pid; do
    grep -sE '^[0-9]+:[^:]*:/(.*/)?(docker|libpod)[-/][0-9a-f]{64}' "/proc/$pid/cgroup" /dev/null
  done
  return 0
}

collect() {
  # The authors of container names and comments cannot guess it, so no text can end its part.
  boundary=$(cat /proc/sys/kernel/random/uuid) || exit 1
  until_ended="/^$boundary end /q"
  # A hanging daemon must not block the rest. Old versions of BusyBox have another syntax.
  limit=
  if here timeout && timeout -s KILL 9 true 2>/dev/null; then limit="timeout -s KILL 60"; fi
  [ "$(id -u)" = 0 ] ||
    echo "fwcheck collect: not root, so most parts cannot be read. With sudo: fwcheck collect | ssh HOST sudo sh -s" >&2

  echo "fwcheck-snapshot 1 $boundary"
  part text "date, kernel, name" sh -c 'date -u +%Y-%m-%dT%H:%M:%SZ; uname -srm; uname -n'
  rules iptables
  rules ip6tables
  if here nft || ! unloaded nf_tables; then have tables nft list tables
  else part tables "nf_tables is not loaded" true; fi
  if here nft; then
    unprinted=$(expressions 2>/dev/null) ended_with=$?
    part expressions "expressions of nft in tables of iptables" again
    have text nft --version
    if [ -n "$unprinted" ] || foreign; then
      have nft nft list ruleset
      have hooks nft list hooks
    # The order of the base chains of both backends, which have the same priorities.
    elif grep -qs . /proc/net/ip_tables_names /proc/net/ip6_tables_names; then have hooks nft list hooks; fi
  fi
  have ipset ipset save
  if here ip; then
    part addr "ip -j addr" addresses addr
    part link "ip -d -j link" addresses -d link
  else say "missing addr ip"; fi
  have route ip -j -4 route show table all
  have route ip -j -6 route show table all
  have rule ip -j -4 rule
  have rule ip -j -6 rule
  part sysctl "settings of /proc/sys/net" settings
  if ! here docker; then say "missing docker docker"
  elif have docker docker version --format '{"ServerVersion":{{json .Server.Version}}}'; then
    part docker "docker inspect, network fields" twice containers
    part docker "docker network inspect" twice networks
    part docker "docker info and daemon.json" daemon
  fi
  # Without this folder it ran no container since the host started, and would create it.
  if here podman && [ -d /run/containers/storage ]; then
    part podman "podman inspect, network fields" twice podman_containers
    part podman "podman network inspect" twice podman_networks
  fi
  have ufw ufw status verbose
  for file in /etc/ufw/user.rules /etc/ufw/user6.rules; do
    [ ! -r "$file" ] || part text "$file" cat "$file"
  done
  if here ss; then part listening "ss -H -l -n -t -u -p" listening; else say "missing listening ss"; fi
  say "done"
}

# The commands in it must not read this script, which may be standard input.
collect </dev/null
