# Keeps namespaces in which podman runs: the network namespace of whoever calls this, and a new mount namespace. $1 is a folder.
set -e
mount --make-rprivate /
mkdir -p "$1/cg" "$1/networks"
mount --rbind /sys/fs/cgroup "$1/cg"
mount -t sysfs sysfs /sys
mount --rbind "$1/cg" /sys/fs/cgroup
mount -t tmpfs none /run
echo $$ >"$1/pid"
exec sleep 3600
