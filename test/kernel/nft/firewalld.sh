# Prints the ruleset that this machine's firewalld writes. Runs in namespaces of its own: `unshare -n -m --propagation private`.
set -e
mount -t tmpfs none /run
mkdir -p /run/dbus /run/firewalld-etc
ip link set lo up
for name in eth0 eth1; do ip tuntap add dev "$name" mode tun; ip link set "$name" up; done
cp -a /etc/firewalld/. /run/firewalld-etc/
mount --bind /run/firewalld-etc /etc/firewalld
dbus-daemon --system --fork --print-pid >/run/dbus.pid
firewalld --nofork --nopid >/run/firewalld.log 2>&1 &
daemon=$!
trap 'kill "$daemon" "$(cat /run/dbus.pid)"' EXIT
for _ in $(seq 100); do
  firewall-cmd --state >/dev/null 2>&1 && break
  sleep 0.2
done
configure() { firewall-cmd "$@" >/dev/null; }
configure --zone=public --add-interface=eth0
configure --zone=internal --add-interface=eth1
configure --zone=public --add-service=http
configure --zone=public --add-port=5000-5010/udp
configure --zone=public --add-forward-port=port=8443:proto=tcp:toport=443:toaddr=10.99.0.2
configure --zone=public --add-masquerade
configure --zone=public --add-rich-rule='rule family="ipv4" source address="198.51.100.0/24" port port="5432" protocol="tcp" accept'
configure --zone=public --add-rich-rule='rule family="ipv4" source address="203.0.113.66" drop'
configure --zone=internal --add-source=10.99.0.0/24
nft list ruleset
