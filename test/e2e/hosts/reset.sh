# shellcheck shell=bash
# One host after the other in the same namespaces: `settle` puts back the state that `start` left, so that dockerd and its
# image are started once for many hosts. Sourced after ../host.sh.
#   vpn 10.8.0.2 -- (link $1) host, as a client of a tunnel; pod 10.88.0.9 -- podbr host, as another engine's container
VPN=$PFX-vpn POD=$PFX-pod

files() { # files TAR: an image of one static program, without any registry
  local t a
  t=$(mktemp -d)
  mkdir -p "$t"/{bin,etc,tmp,proc,sys,dev}
  cp /bin/busybox "$t/bin/"
  for a in sh httpd sleep cat ip; do ln -sf busybox "$t/bin/$a"; done
  echo 'root:x:0:0::/:/bin/sh' >"$t/etc/passwd"
  tar -C "$t" -cf "$1" .
  rm -rf "$t"
}

start() { # start BACKEND DOCKER-FLAGS...: a host without a firewall, with dockerd and one image
  local backend=$1 i
  shift
  up || return 1
  # update-alternatives of Debian, for this host only.
  cat >"$E2E/alt.sh" <<'ALT'
set -e
cp -a /etc/alternatives "$1/alt"
for family in iptables ip6tables; do
  ln -sfn "/usr/sbin/$family-$2" "$1/alt/$family"
  ln -sfn "/usr/sbin/$family-$2-save" "$1/alt/$family-save"
  ln -sfn "/usr/sbin/$family-$2-restore" "$1/alt/$family-restore"
done
mount --bind "$1/alt" /etc/alternatives
ALT
  h sh "$E2E/alt.sh" "$E2E" "$backend" || return 1
  cp -a "$E2E/ufw/etc" "$E2E/ufw/etc.first"
  cp -a "$E2E/ufw/default" "$E2E/ufw/default.first"
  ip -n "$FW" route add default via 203.0.113.2
  ip -n "$LAN" route add default via 2001:db8:99::1
  ip netns exec "$FW" sysctl -qw net.ipv4.ip_forward=0
  echo "$*" >"$E2E/flags"
  DOCKER_FLAGS="$*" docker_up || return 1
  cp "$HOSTS_IMAGE" "$E2E/img.tar"
  d import -c 'CMD ["/bin/sleep","3600"]' "$E2E/img.tar" bb:1 >/dev/null || return 1
  ip netns exec "$FW" sysctl -qw net.ipv6.conf.all.forwarding=1
  h sysctl -a 2>/dev/null | grep -E '^net\.(bridge\.|ipv[46]\.(ip_forward|conf\.[a-z0-9]+\.(rp_filter|forwarding|route_localnet)))' >"$E2E/sysctl.first"
  for i in 4 6; do
    saved "$i" >"$E2E/rules$i.first"
  done
}

saved() { # saved FAMILY: all tables, those without rules as empty ones
  local save=iptables-save text table
  [ "$1" = 4 ] || save=ip6tables-save
  text=$(h "$save")
  printf '%s\n' "$text"
  for table in raw mangle nat filter security; do
    case $text in *"*$table"*) continue ;; esac
    printf '*%s\n' "$table"
    case $table in
    raw) printf ':%s ACCEPT [0:0]\n' PREROUTING OUTPUT ;;
    mangle) printf ':%s ACCEPT [0:0]\n' PREROUTING INPUT FORWARD OUTPUT POSTROUTING ;;
    nat) printf ':%s ACCEPT [0:0]\n' PREROUTING INPUT OUTPUT POSTROUTING ;;
    *) printf ':%s ACCEPT [0:0]\n' INPUT FORWARD OUTPUT ;;
    esac
    printf 'COMMIT\n'
  done
}

quiet() { # quiet NAMESPACE...: ends what listens there; containers' own processes are in other namespaces
  local n p
  for n in "$@"; do
    for p in $(ip netns pids "$n" 2>/dev/null); do
      case $(tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null) in *net.py*) kill -9 "$p" 2>/dev/null ;; esac
    done
  done
  return 0
}

unserve() { # ends the programs that listen
  local p
  [ -e "$E2E/servers" ] || return 0
  while read -r p; do kill -9 "$p" 2>/dev/null; done <"$E2E/servers"
  : >"$E2E/servers"
}

settle() { # the host as `start` left it
  local c n l
  unserve
  c=$(d ps -aq)
  # shellcheck disable=SC2086
  [ -z "$c" ] || d rm -f $c >/dev/null
  d network prune -f >/dev/null
  for n in "$VPN" "$POD"; do ip netns del "$n" 2>/dev/null; done
  for l in $(ip -n "$FW" -o link | sed -E 's/^[0-9]+: ([^:@]+).*/\1/'); do
    case $l in lo | eth0 | eth1 | docker0) ;; *) ip -n "$FW" link del "$l" 2>/dev/null ;; esac
  done
  h nft flush ruleset
  h iptables-restore <"$E2E/rules4.first" && h ip6tables-restore <"$E2E/rules6.first" || return 1
  h ipset destroy 2>/dev/null
  rm -rf "$E2E/ufw/etc"/*
  cp -a "$E2E/ufw/etc.first/." "$E2E/ufw/etc/"
  cat "$E2E/ufw/default.first" >"$E2E/ufw/default"
  addresses
  h sysctl -q -p - <"$E2E/sysctl.first"
  h conntrack -F >/dev/null 2>&1
  return 0
}

addresses() { # links, addresses, routes and routing rules as at first
  local t
  for n in 4 6; do
    ip -n "$FW" "-$n" rule flush
    ip -n "$FW" "-$n" rule add pref 32766 table main
    [ "$n" = 6 ] || ip -n "$FW" rule add pref 32767 table default
  done
  ip -n "$FW" route flush table 102 2>/dev/null
  for t in "eth0 203.0.113.1/24 2001:db8:1::1/64" "eth1 10.99.0.1/24 2001:db8:99::1/64"; do
    # shellcheck disable=SC2086
    set -- $t
    ip -n "$FW" link set "$1" nomaster up
    ip -n "$FW" addr flush dev "$1" scope global
    ip -n "$FW" addr add "$2" dev "$1"
    ip -n "$FW" addr add "$3" dev "$1" nodad
  done
  ip -n "$FW" addr flush dev docker0 scope global
  ip -n "$FW" addr add 172.17.0.1/16 brd 172.17.255.255 dev docker0
  ip -n "$FW" route replace 198.51.100.0/24 via 203.0.113.2
  ip -n "$FW" route replace 2001:db8:5::/64 via 2001:db8:1::2
  ip -n "$FW" route replace default via 203.0.113.2
  ip -n "$LAN" addr flush dev eth0 scope global
  ip -n "$LAN" addr add 10.99.0.2/24 dev eth0
  ip -n "$LAN" addr add 2001:db8:99::2/64 dev eth0 nodad
  ip -n "$LAN" route replace default via 10.99.0.1
  ip -n "$LAN" route replace default via 2001:db8:99::1
}

tunnel() { # tunnel LINK: a client behind another interface of the host
  ip netns add "$VPN"
  ip -n "$VPN" link set lo up
  ip netns exec "$VPN" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
  ip -n "$FW" link add "$1" type veth peer name eth0 netns "$VPN"
  ip -n "$FW" addr add 10.8.0.1/24 dev "$1"
  ip -n "$FW" addr add 2001:db8:8::1/64 dev "$1" nodad
  ip -n "$FW" link set "$1" up
  ip -n "$VPN" addr add 10.8.0.2/24 dev eth0
  ip -n "$VPN" addr add 2001:db8:8::2/64 dev eth0 nodad
  ip -n "$VPN" link set eth0 up
  ip -n "$VPN" route add default via 10.8.0.1
  ip -n "$VPN" route add default via 2001:db8:8::1
}

pod() { # pod BRIDGE ADDRESS GATEWAY: a container that Docker does not know
  ip netns add "$POD"
  ip -n "$POD" link set lo up
  ip -n "$FW" link add "$1" type bridge
  ip -n "$FW" addr add "$3/24" dev "$1"
  ip -n "$FW" link set "$1" up
  ip -n "$FW" link add vethpod type veth peer name eth0 netns "$POD"
  ip -n "$FW" link set vethpod master "$1" up
  ip -n "$POD" addr add "$2/24" dev eth0
  ip -n "$POD" link set eth0 up
  ip -n "$POD" route add default via "$3"
}

policies() { # the owner's own ufw commands, one a line; one interpreter for all of them
  h python3 -c '
import runpy, shlex, sys
for line in open(sys.argv[1]).read().splitlines():
    sys.argv = ["ufw", *shlex.split(line)]
    try:
        runpy.run_path("/usr/sbin/ufw", run_name="__main__")
    except SystemExit as end:
        if end.code: sys.exit(f"ufw {line}: exit {end.code}")
' "$E2E/policies" >/dev/null
}

stop() { # ends all that was started
  local n
  unserve
  # shellcheck disable=SC2046
  [ ! -S "$SOCK" ] || d rm -f $(d ps -aq) >/dev/null 2>&1
  down
  for n in "$VPN" "$POD"; do ip netns del "$n" 2>/dev/null; done
  return 0
}
