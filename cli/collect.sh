#!/bin/sh
# fwcheck collect: prints all that fwcheck can use of this host as one text, a snapshot.
#
# It only reads, and it writes no file: the rules of iptables and ip6tables, ipsets, addresses, routes, the kernel's
# settings that matter, Docker's networks and which container has which address and port, ufw's own rules, and
# what listens. Of containers it takes names, network settings and the names that Compose gave; no environment, no
# command, no other label. It runs in dash, BusyBox sh and any other POSIX shell, and it wants root.
#
#   fwcheck collect | ssh root@host sh -s > host.snap && fwcheck audit host.snap

set -u
LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH

# Nobody who names a container or writes a comment can guess it, so that no text can end its own part.
boundary=$(cat /proc/sys/kernel/random/uuid) || exit 1

say() { printf '%s %s\n' "$boundary" "$*"; }

# program NAME: where it is; BusyBox's own ip, which a shell of BusyBox prefers, prints no JSON
program() {
  IFS=:
  for folder in $PATH; do
    if [ -x "$folder/$1" ]; then
      unset IFS
      printf '%s' "$folder/$1"
      return 0
    fi
  done
  unset IFS
  return 1
}
here() { program "$1" >/dev/null; }

# A daemon that hangs shall not keep the rest from being seen.
bounded() { if here timeout; then timeout 60 "$@"; else "$@"; fi; }

# part KIND TITLE COMMAND...: what a command prints on both of its outputs, and how it ended
part() {
  kind=$1 title=$2
  shift 2
  say "begin $kind $title"
  { errors=$("$@" 2>&1 >&3 3>&-) code=$?; } 3>&1
  printf '\n'
  say "end $code"
  [ -z "$errors" ] && return
  say "begin errors $title"
  printf '%s\n' "$errors"
  say "end 0"
}

# have KIND COMMAND...: the same where the program is here
have() {
  if here "$2"; then
    kind=$1 found=$(program "$2")
    shift 2
    part "$kind" "${found##*/} $*" bounded "$found" "$@"
  else say "missing $1 $2"; fi
}

rules() { # rules iptables|ip6tables: of both backends, where there are two
  if here "$1-legacy-save" && here "$1-nft-save"; then
    have rules "$1-legacy-save" -c
    have rules "$1-nft-save" -c
  else have rules "$1-save" -c; fi
}

settings() {
  for file in /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/*/forwarding /proc/sys/net/ipv4/conf/*/rp_filter \
    /proc/sys/net/ipv4/conf/*/route_localnet /proc/sys/net/ipv4/conf/*/accept_local \
    /proc/sys/net/ipv4/conf/*/src_valid_mark /proc/sys/net/ipv6/conf/*/forwarding \
    /proc/sys/net/ipv6/conf/*/disable_ipv6 /proc/sys/net/bridge/bridge-nf-* \
    /proc/sys/net/netfilter/nf_conntrack_tcp_loose /proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal; do
    [ -r "$file" ] || continue
    # As sysctl(8) spells it: dots between the parts, and slashes for dots within them.
    printf '%s = %s\n' "$(printf '%s' "${file#/proc/sys/}" | tr './' '/.')" "$(cat "$file")"
  done
}

# Docker fills these in on this host: what is not named here does not leave it.
container='{"Id":{{json .Id}},"Name":{{json .Name}},
"Config":{"Labels":{"com.docker.compose.project":{{json (index .Config.Labels "com.docker.compose.project")}},
"com.docker.compose.service":{{json (index .Config.Labels "com.docker.compose.service")}}}},
"HostConfig":{"NetworkMode":{{json .HostConfig.NetworkMode}}},
"NetworkSettings":{"Ports":{{json .NetworkSettings.Ports}},"Networks":{{json .NetworkSettings.Networks}}}}'
network='{"Id":{{json .Id}},"Name":{{json .Name}},"Driver":{{json .Driver}},"Scope":{{json .Scope}},
"Internal":{{json .Internal}},"IPAM":{"Config":{{json .IPAM.Config}}},
"Options":{"parent":{{json (index .Options "parent")}}'
for option in name gateway_mode_ipv4 gateway_mode_ipv6 host_binding_ipv4 enable_ip_masquerade enable_icc; do
  option=com.docker.network.bridge.$option
  network="$network,\"$option\":{{json (index .Options \"$option\")}}"
done
network="$network}}"

# described LIST FORMAT DOCKER-COMMAND...: what docker says of each thing in a list of ids
described() {
  ids=$1 format=$2
  shift 2
  [ -z "$ids" ] || printf '%s\n' "$ids" | xargs -n 100 "$@" --format "$format"
}
containers() { ids=$(bounded docker ps -q --no-trunc) && described "$ids" "$container" docker inspect; }
networks() { ids=$(bounded docker network ls -q --no-trunc) && described "$ids" "$network" docker network inspect; }

# Which backend it uses (since Docker 29), and of its settings those that are about the firewall.
daemon() {
  info=$(bounded docker info --format '{"FirewallBackend":{{json .FirewallBackend}}}' 2>/dev/null) && printf '%s\n' "$info"
  [ -r /etc/docker/daemon.json ] || return 0
  settings=$(grep -oE '"(iptables|ip6tables|userland-proxy|firewall-backend)"[[:space:]]*:[[:space:]]*(true|false|"[a-z]*")' \
    /etc/docker/daemon.json | tr '\n' ',')
  printf '{%s}\n' "${settings%,}"
}

[ "$(id -u)" = 0 ] || echo "fwcheck collect: not root, so most of it cannot be read" >&2

echo "fwcheck-snapshot 1 $boundary"
part text "date, kernel, name" sh -c 'date -u +%Y-%m-%dT%H:%M:%SZ; uname -srm; uname -n'
rules iptables
rules ip6tables
have tables nft list tables
if here nft && nft list tables 2>/dev/null | grep -q 'docker-bridges'; then have nft nft list ruleset; fi
have ipset ipset save
have addr ip -j addr
have link ip -d -j link
have route ip -j -4 route show table all
have route ip -j -6 route show table all
have rule ip -j -4 rule
have rule ip -j -6 rule
part sysctl "settings of /proc/sys/net" settings
if here docker; then
  part docker "docker inspect, network fields" containers
  part docker "docker network inspect" networks
  have text docker version --format '{{.Server.Version}}'
  part docker "docker info and daemon.json" daemon
else say "missing docker docker"; fi
have ufw ufw status verbose
for file in /etc/ufw/user.rules /etc/ufw/user6.rules; do
  [ ! -r "$file" ] || part text "$file" cat "$file"
done
have listening ss -H -l -n -t -u -p
say "done"
