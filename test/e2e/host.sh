# shellcheck shell=bash
# The lab: outside, a host with its own ufw and dockerd, and a LAN, each in a namespace of its own.
# Source it with E2E (a folder) and PFX (what the names begin with) set; run things on the host with: h CMD...
# E2E_ROOTFS is the root of another Debian for the host's own programs (root.sh makes one); else they are this machine's.
#   outside 203.0.113.2 (and 198.51.100.9, an office) -- eth0 host eth1 -- inside 10.99.0.2
FW=$PFX-fw OUT=$PFX-out LAN=$PFX-lan
SOCK=$E2E/docker.sock ROOTFS=${E2E_ROOTFS:-}

up() {
  local n t
  mkdir -p "$E2E"/{cg,ufw,www}
  for n in "$FW" "$OUT" "$LAN"; do
    ip netns add "$n"
    ip -n "$n" link set lo up
    ip netns exec "$n" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
  done
  ip -n "$FW" link add eth0 type veth peer name eth0 netns "$OUT"
  ip -n "$FW" link add eth1 type veth peer name eth0 netns "$LAN"
  for t in "$FW eth0 203.0.113.1/24 2001:db8:1::1/64" "$FW eth1 10.99.0.1/24 2001:db8:99::1/64" \
    "$OUT eth0 203.0.113.2/24 2001:db8:1::2/64" "$OUT eth0 198.51.100.9/24 2001:db8:5::9/64" "$LAN eth0 10.99.0.2/24 2001:db8:99::2/64"; do
    # shellcheck disable=SC2086
    set -- $t
    ip -n "$1" addr add "$3" dev "$2"
    ip -n "$1" addr add "$4" dev "$2" nodad
    ip -n "$1" link set "$2" up
  done
  ip -n "$FW" route add 198.51.100.0/24 via 203.0.113.2
  ip -n "$FW" route add 2001:db8:5::/64 via 2001:db8:1::2
  ip -n "$OUT" route add default via 203.0.113.1
  ip -n "$OUT" route add default via 2001:db8:1::1
  ip -n "$LAN" route add default via 10.99.0.1
  # A host is its network namespace and a mount namespace, which a sleeping process keeps.
  cat >"$E2E/anchor.sh" <<'ANCHOR'
set -e
mount --make-rprivate /
mount --rbind /sys/fs/cgroup "$E2E/cg"
if [ -n "$ROOTFS" ]; then
  mount --bind "$ROOTFS" "$ROOTFS"
  mount --rbind /dev "$ROOTFS/dev"
  mount -t proc proc "$ROOTFS/proc"
  mkdir -p "$ROOTFS$E2E"
  mount --rbind "$E2E" "$ROOTFS$E2E"
fi
mount -t sysfs sysfs "$ROOTFS/sys"
mount --rbind "$E2E/cg" "$ROOTFS/sys/fs/cgroup"
mount -t tmpfs tmpfs "$ROOTFS/run"
cp -a "$ROOTFS/etc/ufw" "$E2E/ufw/etc"
mount --bind "$E2E/ufw/etc" "$ROOTFS/etc/ufw"
cp -a "$ROOTFS/etc/default/ufw" "$E2E/ufw/default"
# All programs, dockerd and ufw included, find iptables by Debian's alternatives: those of E2E_BACKEND.
cp -a "$ROOTFS/etc/alternatives" "$E2E/alternatives"
for t in iptables ip6tables; do
  for s in "" -save -restore; do ln -sfn "/usr/sbin/$t-$E2E_BACKEND$s" "$E2E/alternatives/$t$s"; done
done
mount --bind "$E2E/alternatives" "$ROOTFS/etc/alternatives"
mount --bind "$E2E/ufw/default" "$ROOTFS/etc/default/ufw"
echo $$ >"$E2E/pid"
exec sleep 3600
ANCHOR
  env E2E="$E2E" ROOTFS="$ROOTFS" E2E_BACKEND="${E2E_BACKEND:-nft}" nsenter --net="/run/netns/$FW" unshare -m bash "$E2E/anchor.sh" >"$E2E/anchor.log" 2>&1 &
  for _ in $(seq 100); do
    [ -s "$E2E/pid" ] && return 0
    sleep 0.1
  done
  cat "$E2E/anchor.log"
  return 1
}

h() { nsenter -t "$(cat "$E2E/pid")" -m -n ${ROOTFS:+chroot "$ROOTFS"} /usr/bin/env -u LD_PRELOAD PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
d() { h docker -H "unix://$SOCK" "$@"; }

docker_up() {
  echo '{}' >"$E2E/none.json"
  # shellcheck disable=SC2086
  h dockerd --data-root "$E2E/data" --exec-root "$E2E/exec" --pidfile "$E2E/docker.pid" -H "unix://$SOCK" \
    --storage-driver vfs --cgroup-parent "/$PFX" --exec-opt native.cgroupdriver=cgroupfs \
    --config-file "$E2E/none.json" ${DOCKER_FLAGS---experimental --ip6tables} >>"$E2E/dockerd.log" 2>&1 &
  for _ in $(seq 300); do
    [ -S "$SOCK" ] && d version >/dev/null 2>&1 && return 0
    sleep 0.1
  done
  tail -n 20 "$E2E/dockerd.log"
  return 1
}

docker_down() {
  [ -s "$E2E/docker.pid" ] && kill "$(cat "$E2E/docker.pid")" 2>/dev/null
  for _ in $(seq 200); do
    [ -e "$E2E/docker.pid" ] || break
    sleep 0.1
  done
  return 0
}

image() { # a few static and copied programs, without any registry
  local t=$E2E/img l a
  mkdir -p "$t"/{bin,etc,tmp,proc,sys,dev,www}
  cp /bin/busybox /usr/bin/socat "$t/bin/"
  for l in $(ldd /usr/bin/socat | grep -oE '/[^ ]+'); do
    mkdir -p "$t$(dirname "$l")"
    cp -L "$l" "$t$l"
  done
  for a in sh httpd sleep cat; do ln -sf busybox "$t/bin/$a"; done
  echo 'root:x:0:0::/:/bin/sh' >"$t/etc/passwd"
  echo hello >"$t/www/index.html"
  tar -C "$t" -cf "$E2E/img.tar" .
  d import -c 'CMD ["/bin/httpd","-f","-p","80","-h","/www"]' "$E2E/img.tar" bb:1 >/dev/null
}

capture() { # capture FOLDER: what a person is asked to collect
  mkdir -p "$1"
  h iptables-save >"$1/v4.save"
  h ip6tables-save >"$1/v6.save"
  h ip -j addr >"$1/addr.json"
  h ip -j route show table all >"$1/route4.json"
  h ip -6 -j route show table all >"$1/route6.json"
  h sysctl -a 2>/dev/null | grep -E '^net\.(ipv[46]|bridge)\.' >"$1/sysctl.txt"
  # shellcheck disable=SC2046
  d inspect $(d ps -q) >"$1/containers.json"
  # shellcheck disable=SC2046
  d network inspect $(d network ls -q) >"$1/networks.json"
}

down() {
  local n p c
  docker_down
  [ -s "$E2E/pid" ] && kill "$(cat "$E2E/pid")" 2>/dev/null
  for n in "$FW" "$OUT" "$LAN"; do
    for p in $(ip netns pids "$n" 2>/dev/null); do kill -9 "$p" 2>/dev/null; done
    ip netns del "$n" 2>/dev/null
  done
  rm -rf "$E2E"/{ufw,alternatives,data,exec,pid,docker.pid,img}
  for c in /sys/fs/cgroup/*/"$PFX" /sys/fs/cgroup/"$PFX"; do
    [ -d "$c" ] && find "$c" -depth -type d -exec rmdir {} \; 2>/dev/null
  done
  return 0
}
