#!/bin/sh
# root.sh SUITE FOLDER: a small Debian of that suite (trixie, sid) with its docker.io, iptables and ufw, for another version of
# Docker than this machine's: E2E_ROOTFS=FOLDER npm run test:e2e. Root; needs debootstrap. Nothing is started.
set -eu
suite=$1 root=$2
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
debootstrap --variant=minbase "$suite" "$root" "$mirror"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod +x "$root/usr/sbin/policy-rc.d"
packages="docker.io docker-cli iptables nftables ufw iproute2 busybox-static conntrack ipset procps kmod"
# shellcheck disable=SC2086
chroot "$root" apt-get install -y --no-install-recommends --download-only $packages
# What packages do when they are installed they do without a network.
# shellcheck disable=SC2086
unshare -n chroot "$root" apt-get install -y --no-install-recommends --no-download $packages
