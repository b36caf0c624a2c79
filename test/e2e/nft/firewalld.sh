# firewalld on the host of a capture, with a D-Bus of its own, in the network namespace and a new mount namespace of whoever
# calls this. $1 is a folder with the configuration, which is placed over Debian's; the programs end with the namespaces.
set -e
mount -t tmpfs none /run
mkdir -p /run/dbus
cp -an /etc/firewalld/. "$1/"
mount --bind "$1" /etc/firewalld
dbus-daemon --system --fork
echo $$ >"$1/pid"
exec firewalld --nofork --nopid
