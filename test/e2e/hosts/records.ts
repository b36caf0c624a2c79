/**
 * Hosts as people build them, and as a hostile tester would: each a few commands. What the owner wants, and what clients
 * reach, is measured when the host is built, and is not written here.
 */
import type { HostRecord } from "./host.ts";

const DENY = ["default deny incoming", "allow 22/tcp"];
const ON = "--force enable";

/** The usual INPUT of a host without ufw. */
const INPUT = `iptables -P INPUT DROP
iptables -A INPUT -i lo -j ACCEPT
iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -A INPUT -p tcp --dport 22 -j ACCEPT`;

const SIX = "--ipv6 --subnet 172.29.0.0/24 --subnet 2001:db8:77::/64";

/** Ports 80, 81, ... of one container, published as 8080, 8081, ... */
const web = (...ports: number[]): readonly [string, string, ...string[]] => [
  "web",
  ports.map((port) => `-p ${port}:${port - 8000}`).join(" "),
  ...ports.map((port) => `${port - 8000}/tcp`),
];

/** A LAN bridge with the second NIC as its port. */
const bridged = (name: string): string => `ip -n "$FW" link add ${name} type bridge
ip -n "$FW" addr flush dev eth1
ip -n "$FW" link set eth1 master ${name}
ip -n "$FW" addr add 10.99.0.1/24 dev ${name}
ip -n "$FW" link set ${name} up`;

const passed = (on: 0 | 1): string =>
  `ip netns exec "$FW" sysctl -qw net.bridge.bridge-nf-call-iptables=${on} net.bridge.bridge-nf-call-ip6tables=${on}`;

/** The block that github.com/chaifeng/ufw-docker adds to after.rules. */
const UFW_DOCKER = `cat >>"$E2E/ufw/etc/after.rules" <<'RULES'
# BEGIN UFW AND DOCKER
*filter
:ufw-user-forward - [0:0]
:ufw-docker-logging-deny - [0:0]
:DOCKER-USER - [0:0]
-A DOCKER-USER -j ufw-user-forward
-A DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
-A DOCKER-USER -m conntrack --ctstate INVALID -j DROP
-A DOCKER-USER -i docker0 -o docker0 -j ACCEPT
-A DOCKER-USER -j RETURN -s 10.0.0.0/8
-A DOCKER-USER -j RETURN -s 172.16.0.0/12
-A DOCKER-USER -j RETURN -s 192.168.0.0/16
-A DOCKER-USER -j ufw-docker-logging-deny -m conntrack --ctstate NEW -d 10.0.0.0/8
-A DOCKER-USER -j ufw-docker-logging-deny -m conntrack --ctstate NEW -d 172.16.0.0/12
-A DOCKER-USER -j ufw-docker-logging-deny -m conntrack --ctstate NEW -d 192.168.0.0/16
-A DOCKER-USER -j RETURN
-A ufw-docker-logging-deny -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW DOCKER BLOCK] "
-A ufw-docker-logging-deny -j DROP
COMMIT
# END UFW AND DOCKER
RULES`;

/** Rules in DOCKER-USER as blogs give them, on one host with denied, allowed and equal ports. */
const ADVICE: Readonly<Record<string, string>> = {
  "host port as dport": "iptables -I DOCKER-USER -i eth0 -p tcp --dport 8080 -j DROP",
  "not the source": "iptables -I DOCKER-USER -i eth0 ! -s 198.51.100.0/24 -j DROP",
  "jump to ufw-user-input": `iptables -I DOCKER-USER -i eth0 -j DROP
iptables -I DOCKER-USER -i eth0 -j ufw-user-input
iptables -I DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN`,
  "ctorigdstport without direction":
    "iptables -I DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 -j DROP",
  filters: `iptables -N FILTERS
iptables -F DOCKER-USER
iptables -A DOCKER-USER -i eth0 -j FILTERS
iptables -A DOCKER-USER -j RETURN
iptables -A FILTERS -m state --state ESTABLISHED,RELATED -j RETURN
iptables -A FILTERS -m conntrack --ctstate NEW -m conntrack --ctorigdstport 8081 --ctdir ORIGINAL -j RETURN
iptables -A FILTERS -j REJECT --reject-with icmp-host-prohibited`,
  "appended after RETURN": "iptables -A DOCKER-USER -i eth0 -j DROP",
  "both outside interfaces": `iptables -I DOCKER-USER -i eth0 -j DROP
iptables -I DOCKER-USER -i eth1 -j DROP
iptables -I DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
};

const advice = (name: string, commands: string): HostRecord => ({
  name: `advice: ${name}`,
  ufw: [...DENY, "deny 8080/tcp", "allow 8081/tcp", ON],
  run: [["web", "-p 8080:80 -p 8081:81 -p 8082:8082", "80/tcp", "81/tcp", "8082/tcp"]],
  after: `h sh -es <<'RULES'\n${commands}\nRULES`,
  families: [4],
});

export const RECORDS: readonly HostRecord[] = [
  {
    name: "baseline",
    ufw: [...DENY, "deny 8080/tcp", "allow from 198.51.100.0/24 to any port 8443 proto tcp", ON],
    networks: { app: SIX },
    run: [
      ["web", "-p 8080:80 -p 8443:80", "80/tcp"],
      ["dns", "-p 5353:53/udp", "53/udp"],
      ["lo", "-p 127.0.0.1:9090:90", "90/tcp"],
      ["six", "--network app -p 8081:80", "80/tcp"],
    ],
  },
  {
    name: "nftables.conf",
    owner: `nft -f - <<'NFT'
table inet filter {
 chain input { type filter hook input priority filter; policy drop;
  ct state established,related accept
  iif lo accept
  meta l4proto { icmp, ipv6-icmp } accept
  tcp dport 22 accept
 }
 chain forward { type filter hook forward priority filter; policy accept; }
}
NFT`,
    run: [web(8080), ["dns", "-p 5353:53/udp", "53/udp"]],
    direct: null,
  },
  {
    name: "Docker network on a LAN bridge",
    topology: `${bridged("br0")}\n${passed(1)}`,
    ufw: [...DENY, ON],
    networks: {
      onlan:
        "--subnet 10.99.0.0/24 --gateway 10.99.0.1 --ip-range 10.99.0.64/26 -o com.docker.network.bridge.name=br0",
    },
    run: [
      ["web", "--network onlan -p 8080:80", "80/tcp"],
      ["plain", "-p 8081:80", "80/tcp"],
      ["unpub", "--network onlan", "80/tcp"],
    ],
    inputs: { lan: "br0" },
  },
  {
    name: "denied on a tunnel alone",
    vpn: "wg0",
    ufw: ["default allow incoming", "deny in on wg0 to any port 8080 proto tcp", ON],
    run: [web(8080)],
  },
  {
    name: "owner's DNAT to a container",
    ufw: [...DENY, ON],
    run: [["web", "-p 127.0.0.1:8080:80", "80/tcp", "81/tcp"]],
    ports: ["9999/tcp web", "9998/tcp web"],
    after: `h iptables -t nat -I PREROUTING -i eth0 -p tcp --dport 9999 -j DNAT --to-destination 172.17.0.2:80
h iptables -t nat -I PREROUTING -i eth0 -p tcp --dport 9998 -j DNAT --to-destination 172.17.0.2:81`,
  },
  {
    name: "filter restored without Docker",
    owner: `${INPUT}\niptables-save -t filter >/run/rules.v4`,
    run: [web(8080)],
    after: "h sh -c 'iptables-restore </run/rules.v4'",
    families: [4],
    direct: null,
  },
  {
    name: "DNAT in a table of nftables",
    ufw: [...DENY, ON],
    run: [["web", "", "80/tcp"]],
    ports: ["9999/tcp web"],
    after: `h nft -f - <<'NFT'
table ip mynat {
 chain pre {
  type nat hook prerouting priority -110;
  tcp dport 9999 dnat to 172.17.0.2:80
 }
}
NFT
h iptables -I FORWARD -d 172.17.0.2 -p tcp --dport 80 -j ACCEPT`,
    families: [4],
    direct: null,
  },
  {
    name: "drops in a table of nftables",
    ufw: [...DENY, ON],
    run: [web(8080)],
    after: `h nft -f - <<'NFT'
table inet guard {
 chain f {
  type filter hook forward priority -10;
  iifname "eth*" oifname "docker0" ct state new drop
 }
}
NFT`,
  },
  {
    name: "INPUT in the other backend",
    backend: "nft",
    owner: `iptables-legacy -P INPUT DROP
iptables-legacy -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables-legacy -A INPUT -i lo -j ACCEPT
iptables-legacy -A INPUT -p tcp --dport 22 -j ACCEPT`,
    run: [web(8080)],
    families: [4],
    direct: null,
    fresh: true,
  },
  {
    name: "ranges, no proxy, --ip",
    dockerd: "--userland-proxy=false --ip 10.99.0.1",
    ufw: [...DENY, "allow from 198.51.100.0/24 to any port 7001:7002 proto tcp", "deny 7003/tcp", ON],
    run: [
      [
        "rng",
        "-p 0.0.0.0:7000-7003:80-83 -p 0.0.0.0:6000-6001:5000-5001/udp",
        ...["80/tcp", "81/tcp", "82/tcp", "83/tcp", "5000/udp", "5001/udp"],
      ],
      ["defip", "-p 8090:80", "80/tcp"],
      ["oneip", "-p 203.0.113.1:8091:80", "80/tcp"],
      ["both", "-p 203.0.113.1:8092:80 -p 10.99.0.1:8092:81", "80/tcp", "81/tcp"],
    ],
  },
  {
    name: "three networks, shared namespace",
    vpn: "wg0",
    ufw: [
      ...DENY,
      "allow in on wg0 to any port 8080 proto tcp",
      "allow to 10.99.0.1 port 8443 proto tcp",
      ...["limit 8444/tcp", "reject 8445/tcp", "deny from 198.51.100.9", ON],
    ],
    networks: {
      fa: "--subnet 172.30.1.0/24",
      fb: "--subnet 172.30.2.0/24",
      int: "--internal --subnet 172.30.3.0/24",
    },
    run: [
      [
        "web",
        "--network fa -p 8080:80 -p 8443:81 -p 8444:82 -p 8445:83",
        ...["80/tcp", "81/tcp", "82/tcp", "83/tcp", "84/tcp"],
      ],
      ["shared", "--network container:web"],
      ["hostnet", "--network host"],
    ],
    after: "d network connect fb web\nd network connect int web",
  },
  {
    name: "iptables=false with NAT by hand",
    plain: true,
    dockerd: "--iptables=false",
    ufw: [...DENY, "deny 8080/tcp", "allow 8081/tcp", "default allow routed", ON],
    owner: `iptables -t nat -A POSTROUTING ! -o docker0 -s 172.17.0.0/16 -j MASQUERADE`,
    run: [["web", "-p 8080:80 -p 8081:80 -p 8082:80", "80/tcp"]],
    direct: null,
  },
  {
    name: "ufw-docker",
    topology: UFW_DOCKER,
    ufw: [...DENY, "deny 8080/tcp", "allow 8081/tcp", ON],
    run: [web(8080, 8081, 8082), ["dns", "-p 5353:53/udp", "53/udp"]],
    after: `h ufw reload >/dev/null
h ufw route allow proto tcp from any to 172.17.0.2 port 82 >/dev/null`,
    families: [4],
  },
  ...Object.entries(ADVICE).map(([name, commands]) => advice(name, commands)),
  {
    name: "routed policy ACCEPT, route rules",
    topology: `sed 's/^DEFAULT_FORWARD_POLICY.*/DEFAULT_FORWARD_POLICY="ACCEPT"/' "$E2E/ufw/default.first" >"$E2E/ufw/default"`,
    ufw: [
      ...DENY,
      "allow from 198.51.100.0/24 to any port 8080",
      "allow 8081/tcp",
      "insert 1 deny from 198.51.100.9 to any port 8081",
      "logging high",
      "route deny in on eth0 out on docker0 to any port 81 proto tcp",
      "route allow proto tcp from 10.99.0.0/24 to any port 82",
      ON,
    ],
    run: [
      [
        "web",
        "-p 8080:80 -p 8081:81 -p 8082:82 -p 8083:83 -p 8080:80/udp",
        ...["80/tcp", "81/tcp", "82/tcp", "83/tcp", "80/udp", "99/tcp"],
      ],
    ],
    direct: null,
  },
  {
    name: "bans, sets",
    owner: `ipset create blk hash:net; ipset add blk 198.51.100.0/24; ipset create office hash:ip; ipset add office 10.99.0.2
iptables -N f2b-sshd; iptables -A f2b-sshd -s 198.51.100.77/32 -j REJECT --reject-with icmp-port-unreachable; iptables -A f2b-sshd -j RETURN
iptables -I INPUT 1 -m set --match-set blk src -j DROP
iptables -I INPUT 2 -p tcp --dport 8080 -m set --match-set office src -j ACCEPT
iptables -I INPUT 3 -p tcp -m multiport --dports 22,8081 -j f2b-sshd`,
    ufw: [...DENY, "allow 8081/tcp", "allow 8082/tcp", ON],
    run: [web(8080, 8081, 8082, 8083)],
    after: `h sh -es <<'RULES'
iptables -N f2b-web; iptables -A f2b-web -s 198.51.100.78/32 -j DROP; iptables -A f2b-web -j RETURN
iptables -I DOCKER-USER 1 -p tcp -m multiport --dports 81,82 -j f2b-web
RULES
h nft -f - <<'NFT'
table ip crowdsec {
 set crowdsec-blacklists {
  type ipv4_addr
  flags timeout
  elements = { 198.51.100.99 }
 }
 chain crowdsec-chain-input {
  type filter hook input priority -10; policy accept;
  ip saddr @crowdsec-blacklists drop
 }
}
NFT`,
    families: [4],
  },
  {
    name: "mangle drops, NOTRACK, zones",
    ufw: [...DENY, ON],
    owner: `iptables -t mangle -A PREROUTING -i eth0 -p tcp --dport 8080 -j DROP
iptables -t raw -A PREROUTING -i eth0 -p tcp --dport 8081 -j NOTRACK
iptables -t raw -A PREROUTING -i eth1 -p tcp --dport 8082 -j CT --zone 5
iptables -t mangle -A FORWARD -i eth1 -p tcp --dport 83 -j DROP
iptables -t raw -A PREROUTING -i eth0 -p tcp --dport 8084 -j DROP`,
    run: [web(8080, 8081, 8082, 8083, 8084, 8085)],
    families: [4],
  },
  {
    name: "Tailscale in front",
    vpn: "tailscale0",
    ufw: [...DENY, "deny in on tailscale0 to any port 8081 proto tcp", ON],
    owner: `iptables -N ts-input; iptables -N ts-forward
iptables -A ts-input -s 10.8.0.1/32 -i lo -j ACCEPT
iptables -A ts-input -s 100.64.0.0/10 ! -i tailscale0 -j DROP
iptables -A ts-input -i tailscale0 -j ACCEPT
iptables -A ts-forward -i tailscale0 -j MARK --set-xmark 0x40000/0xff0000
iptables -A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT
iptables -A ts-forward -s 100.64.0.0/10 -o tailscale0 -j DROP
iptables -A ts-forward -o tailscale0 -j ACCEPT
iptables -I INPUT 1 -j ts-input
iptables -t nat -A POSTROUTING -m mark --mark 0x40000/0xff0000 -j MASQUERADE`,
    run: [web(8080, 8081)],
    after: "h iptables -I FORWARD 1 -j ts-forward",
    families: [4],
    direct: null,
  },
  {
    name: "CNI hostPort beside Docker",
    topology: "pod cni0 10.42.0.9 10.42.0.1",
    ufw: [...DENY, ON],
    run: [web(8080)],
    ports: ["9080/tcp"],
    after: `h sh -es <<'RULES'
iptables -t nat -N CNI-HOSTPORT-DNAT; iptables -t nat -N CNI-DN-abc
iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
iptables -t nat -A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"cbr0\\" id: \\"abc\\"" -m multiport --dports 9080 -j CNI-DN-abc
iptables -t nat -A CNI-DN-abc -p tcp --dport 9080 -j DNAT --to-destination 10.42.0.9:80
iptables -N FLANNEL-FWD; iptables -I FORWARD -j FLANNEL-FWD
iptables -A FLANNEL-FWD -d 10.42.0.0/16 -j ACCEPT; iptables -A FLANNEL-FWD -s 10.42.0.0/16 -j ACCEPT
RULES`,
    pod: ["80/tcp"],
    families: [4],
  },
  {
    name: "macvlan",
    ufw: [...DENY, ON],
    networks: {
      mv: "-d macvlan --subnet 203.0.113.0/24 --gateway 203.0.113.1 --ip-range 203.0.113.64/28 -o parent=eth0",
    },
    run: [["mv1", "--network mv -p 8087:80", "80/tcp"], web(8080)],
    families: [4],
    direct: null,
    quietly: ["mv1"],
  },
  {
    name: "ufw disabled",
    ufw: [...DENY, "deny 8080/tcp", ON, "--force disable"],
    run: [web(8080)],
    families: [4],
    direct: null,
  },
  {
    name: "ufw reset",
    ufw: [...DENY, "deny 8080/tcp", ON, "--force reset"],
    run: [web(8080)],
    families: [4],
    direct: null,
  },
  {
    name: "no ufw, many matches",
    owner: `${INPUT}
iptables -A INPUT -p tcp -m multiport --dports 22,8080:8081 -m iprange --src-range 198.51.100.5-198.51.100.20 -j ACCEPT
iptables -A INPUT ! -i eth0 -p tcp --dport 8082 -j ACCEPT
iptables -A INPUT -p tcp --dport 8083 -m limit --limit 3/min --limit-burst 2 -j ACCEPT
iptables -A INPUT -p tcp --dport 8084 -m connlimit --connlimit-upto 2 -j ACCEPT
iptables -A INPUT -p tcp --dport 8085 -m addrtype --dst-type LOCAL -j ACCEPT
iptables -A INPUT -p tcp --dport 8086 -m time --timestart 00:00 --timestop 23:59 -j ACCEPT
iptables -A INPUT -p tcp -d 203.0.113.1 --dport 8087 -j ACCEPT
iptables -A INPUT -p tcp --sport 1024:65535 --dport 8088 -m tcp --tcp-flags SYN,ACK SYN -j ACCEPT
iptables -A INPUT -p tcp --dport 8089 -m hashlimit --hashlimit-upto 5/sec --hashlimit-mode srcip --hashlimit-name x -j ACCEPT
iptables -A INPUT -p tcp --dport 8090 -m string --string foo --algo bm -j ACCEPT
iptables -A INPUT -p tcp --dport 8091 -m mark ! --mark 1 -j ACCEPT
iptables -A INPUT -p tcp --dport 8092 -m ttl --ttl-gt 60 -j ACCEPT
iptables -A INPUT -j REJECT --reject-with icmp-host-prohibited`,
    run: [web(8080, 8081, 8082, 8083, 8084, 8085, 8086, 8087, 8088, 8089, 8090, 8091, 8092)],
    families: [4],
    direct: null,
  },
  {
    name: "ufw IPV6=no",
    restart: true,
    topology: `sed 's/^IPV6=.*/IPV6=no/' "$E2E/ufw/default.first" >"$E2E/ufw/default"`,
    ufw: [...DENY, "deny 8080/tcp", ON],
    networks: { six: SIX },
    run: [
      ["web", "-p 8080:80", "80/tcp"],
      ["six", "--network six -p 8081:80", "80/tcp"],
    ],
  },
  {
    name: "IPv6 network without ip6tables",
    plain: true,
    until: 26,
    ufw: [...DENY, "deny 8080/tcp", ON],
    networks: { six: SIX },
    run: [["six", "--network six -p 8081:80 -p 8080:81", "80/tcp", "81/tcp"]],
  },
  {
    name: "gateway modes of Docker 28",
    since: 28,
    ufw: [
      ...DENY,
      "deny 8080/tcp",
      "allow from 198.51.100.0/24 to any port 8081 proto tcp",
      "route allow proto tcp from 198.51.100.0/24 to any port 84",
      ON,
    ],
    networks: {
      six: SIX,
      rt: "-o com.docker.network.bridge.gateway_mode_ipv4=routed --subnet 172.31.1.0/24 -o com.docker.network.bridge.name=br-rt",
      nu: "-o com.docker.network.bridge.gateway_mode_ipv4=nat-unprotected --subnet 172.31.2.0/24 -o com.docker.network.bridge.name=br-nu",
      iso: "--internal --subnet 172.31.3.0/24",
    },
    run: [
      ["web", "-p 8080:80 -p 8081:81 -p 127.0.0.1:9090:90", "80/tcp", "81/tcp", "90/tcp", "84/tcp"],
      ["dns", "-p 5353:53/udp", "53/udp"],
      ["six", "--network six -p 8082:80", "80/tcp"],
      ["rt", "--network rt -p 8083:80", "80/tcp", "81/tcp"],
      ["nu", "--network nu -p 8084:80", "80/tcp", "81/tcp"],
      ["iso", "--network iso -p 8085:80", "80/tcp"],
    ],
  },
  {
    name: "routed network",
    since: 28,
    ufw: [...DENY, "deny 8080/tcp", ON],
    networks: {
      rt: "-o com.docker.network.bridge.gateway_mode_ipv4=routed --subnet 172.31.1.0/24 -o com.docker.network.bridge.name=br-rt",
    },
    run: [web(8080), ["rt", "--network rt -p 8083:80", "80/tcp", "81/tcp"]],
    families: [4],
  },
  {
    name: "nat-unprotected network",
    since: 28,
    ufw: [...DENY, "deny 8080/tcp", ON],
    networks: {
      nu: "-o com.docker.network.bridge.gateway_mode_ipv4=nat-unprotected --subnet 172.31.2.0/24 -o com.docker.network.bridge.name=br-nu",
    },
    run: [web(8080), ["nu", "--network nu -p 8084:80", "80/tcp", "81/tcp"]],
    families: [4],
  },
  {
    name: "isolated network",
    since: 28,
    ufw: [...DENY, ON],
    networks: {
      cut: "--internal -o com.docker.network.bridge.gateway_mode_ipv4=isolated --subnet 172.31.4.0/24 -o com.docker.network.bridge.name=br-cut",
    },
    run: [web(8080), ["cut", "--network cut -p 8085:80", "80/tcp"]],
    families: [4],
  },
  {
    name: "allow-direct-routing, no proxy",
    since: 28,
    dockerd: "--allow-direct-routing --userland-proxy=false",
    ufw: [...DENY, "allow 8080/tcp", ON],
    run: [["web", "-p 8080:80 -p 8081:81 -p 127.0.0.1:9090:90", "80/tcp", "81/tcp", "90/tcp"]],
  },
  {
    name: "default deny outgoing",
    ufw: [
      ...DENY,
      "default deny outgoing",
      "allow out 8000/tcp",
      "allow out to 10.99.0.2 port 53 proto udp",
      ON,
    ],
    run: [web(8080)],
    families: [4],
    egress: "measured",
  },
  ...([0, 1] as const).map(
    (on): HostRecord => ({
      name: `unpublished on a LAN bridge, br_netfilter ${on === 1 ? "on" : "off"}`,
      topology: bridged("br0"),
      ufw: [...DENY, ON],
      networks: {
        onlan:
          "--subnet 10.99.0.0/24 --gateway 10.99.0.1 --ip-range 10.99.0.64/26 -o com.docker.network.bridge.name=br0 -o com.docker.network.bridge.inhibit_ipv4=true",
      },
      run: [["db", "--network onlan", "5432/tcp"]],
      after: passed(on),
      inputs: { lan: "br0" },
      families: [4],
    }),
  ),
  {
    name: "NIC in docker0",
    ufw: [...DENY, ON],
    run: [["db", "", "5432/tcp"]],
    after: `ip -n "$FW" link set eth1 master docker0
ip -n "$LAN" addr flush dev eth0 scope global
ip -n "$LAN" addr add 172.17.0.99/16 dev eth0`,
    inputs: { lan: "docker0" },
    sources: { lan: "172.17.0.99" },
    servers: ["203.0.113.2"],
    families: [4],
  },
  {
    name: "ip_forward off",
    ufw: [...DENY, ON],
    run: [web(8080)],
    after: 'ip netns exec "$FW" sysctl -qw net.ipv4.ip_forward=0',
    families: [4],
  },
  {
    name: "drop in table security",
    ufw: [...DENY, ON],
    run: [web(8080)],
    after: "h iptables -t security -A FORWARD -i eth0 -j DROP",
    families: [4],
  },
  {
    name: "container of another engine",
    topology: "pod podbr 10.88.0.9 10.88.0.1",
    ufw: [...DENY, "allow 8080/tcp", ON],
    run: [web(8080)],
    ports: ["8081/tcp"],
    unmeasured: ["8081/tcp"],
    after: `h iptables -t nat -I PREROUTING -p tcp --dport 8081 -m addrtype --dst-type LOCAL -j DNAT --to 10.88.0.9:80
h iptables -I FORWARD -d 10.88.0.9 -p tcp --dport 80 -j ACCEPT
h iptables -I FORWARD -i podbr -j ACCEPT`,
    pod: ["80/tcp"],
    families: [4],
  },
  {
    name: "no ufw, forward ACCEPT, nothing published",
    owner: `${INPUT}\niptables -P FORWARD ACCEPT`,
    run: [["db", "", "5432/tcp"]],
    families: [4],
    direct: null,
  },
  {
    name: "no ufw, IPv6 container, no ip6tables",
    plain: true,
    until: 26,
    owner: INPUT,
    networks: { six: SIX },
    run: [["db", "--network six", "5432/tcp"]],
    direct: null,
  },
  {
    name: "no ufw, IPv6 published",
    owner: INPUT,
    networks: { six: SIX },
    run: [["web", "--network six -p 8080:80", "80/tcp", "5432/tcp"]],
    direct: null,
  },
  {
    name: "INPUT blocked in mangle, security, by mark, by SNAT",
    owner: `iptables -t mangle -A INPUT -p tcp --dport 8080 -j DROP
iptables -t security -A INPUT -p tcp --dport 8081 -j DROP
iptables -t mangle -A INPUT -i eth0 -p tcp --dport 8082 -j MARK --set-mark 9
iptables -A INPUT -m mark --mark 9 -j DROP
iptables -t nat -A INPUT -p tcp --dport 8083 -j SNAT --to-source 192.0.2.1
iptables -A INPUT -s 192.0.2.1 -j DROP`,
    run: [web(8080, 8081, 8082, 8083)],
    families: [4],
    direct: null,
  },
  {
    name: "NFQUEUE in front",
    ufw: [...DENY, "allow 8081/tcp", ON],
    run: [web(8080, 8081)],
    after: `h iptables -I INPUT 1 -j NFQUEUE --queue-bypass
h iptables -I FORWARD 1 -j NFQUEUE --queue-bypass`,
    families: [4],
    direct: null,
  },
  {
    name: "sets of ports, negations, ctorigdst",
    owner: `ipset create openports bitmap:port range 0-65535; ipset add openports 8080; ipset add openports 80
ipset create openhp hash:ip,port; ipset add openhp 203.0.113.1,tcp:8081
ipset create srcport hash:ip,port; ipset add srcport 198.51.100.9,tcp:8082
ipset create nets hash:net,iface; ipset add nets 10.99.0.0/24,eth1
iptables -P INPUT DROP
iptables -A INPUT -i lo -j ACCEPT
iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -A INPUT -p tcp -m set --match-set openports dst -j ACCEPT
iptables -A INPUT -p tcp -m set --match-set openhp dst,dst -j ACCEPT
iptables -A INPUT -p tcp -m set --match-set srcport src,dst -j ACCEPT
iptables -A INPUT -p tcp --dport 8083 -m set --match-set nets src,src -j ACCEPT
iptables -A INPUT -p tcp --dport 8084 ! -d 203.0.113.1 -j ACCEPT
iptables -A INPUT -p tcp --dport 8085 -d 10.0.0.0/8 -j ACCEPT
iptables -A INPUT -p tcp --dport 8086 -m conntrack --ctorigdst 203.0.113.1 --ctorigdstport 8086 -j ACCEPT
iptables -A INPUT -p tcp --dport 8087 -m conntrack ! --ctstate DNAT -j ACCEPT
iptables -A INPUT -p tcp --dport 8088 -m pkttype --pkt-type unicast -m length --length 0:1500 -j ACCEPT
iptables -A INPUT -p tcp ! --dport 8090:8099 --sport 1:65535 -m iprange --dst-range 10.99.0.1-10.99.0.5 -j ACCEPT`,
    run: [web(8080, 8081, 8082, 8083, 8084, 8085, 8086, 8087, 8088, 8089, 8090, 8091)],
    families: [4],
    direct: null,
  },
  {
    name: "policy routing by mark",
    ufw: [...DENY, ON],
    run: [web(8080)],
    after: `h sh -es <<'RULES'
iptables -t mangle -A PREROUTING -i eth1 -j MARK --set-mark 2
ip rule add fwmark 2 lookup 102
ip route add default via 10.99.0.2 dev eth1 table 102
sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth1.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0
RULES`,
    families: [4],
  },
  {
    name: "rules by interface with ppp0",
    vpn: "ppp0",
    ufw: [
      ...DENY,
      "allow in on eth0 to any port 8080 proto tcp",
      "deny in on ppp0",
      "allow in on eth1 from 10.99.0.0/24",
      ON,
    ],
    run: [web(8080, 8081), ["dns", "-p 53:53/udp", "53/udp"]],
  },
  {
    name: "frozen bans",
    ufw: [...DENY, "allow 8080/tcp", ON],
    owner: `iptables -N f2b-web; iptables -A f2b-web -s 198.51.100.9/32 -j REJECT; iptables -A f2b-web -j RETURN
iptables -I INPUT 1 -p tcp -m multiport --dports 22,8080 -j f2b-web`,
    run: [web(8080)],
    families: [4],
  },
  {
    name: "wg-quick ACCEPT in front",
    vpn: "wg0",
    ufw: [...DENY, "deny in on wg0 to any port 8080", "allow in on wg0 to any port 8081", ON],
    run: [web(8080, 8081)],
    after: `h sh -es <<'RULES'
iptables -I FORWARD -i wg0 -j ACCEPT
iptables -I FORWARD -o wg0 -j ACCEPT
iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE
RULES`,
    families: [4],
    direct: null,
  },
  {
    name: "native condition in DOCKER-USER",
    backend: "nft",
    ufw: [...DENY, ON],
    run: [["dns", "-p 5353:53/udp", "53/udp"]],
    after: 'h nft insert rule ip filter DOCKER-USER udp length ">" 512 counter drop',
    families: [4],
  },
  {
    name: "host on a LAN bridge, icc=false",
    dockerd: "--icc=false",
    topology: bridged("br-lan0"),
    ufw: [...DENY, "allow in on br-lan0 to any port 8081 proto tcp", ON],
    run: [web(8080, 8081)],
    inputs: { lan: "br-lan0" },
    families: [4],
  },
  {
    name: "app profile",
    topology: `printf '[MyApp]\\ntitle=x\\ndescription=y\\nports=8080,8443:8444/tcp|5353/udp\\n' >"$E2E/ufw/etc/applications.d/myapp"`,
    ufw: [...DENY, "allow from 198.51.100.0/24 to any app MyApp", "deny 8445", ON],
    run: [
      ["web", "-p 8080:80 -p 8444:81 -p 8445:82", "80/tcp", "81/tcp", "82/tcp"],
      ["dns", "-p 5353:53/udp", "53/udp"],
    ],
    families: [4],
  },
  {
    name: "two uplinks, policy routing",
    ufw: [
      ...DENY,
      "allow in on eth1 to any port 8080 proto tcp",
      "deny in on eth0 to any port 8080 proto tcp",
      ON,
    ],
    topology: `ip -n "$FW" route add default via 10.99.0.2 dev eth1 table 102
ip -n "$FW" rule add from 10.99.0.1 lookup 102
ip -n "$FW" rule add iif eth1 lookup 102 pref 31000 suppress_prefixlength 0`,
    run: [web(8080, 8081)],
    families: [4],
  },
  {
    name: "strict rp_filter, asymmetric route",
    ufw: [...DENY, ON],
    run: [web(8080)],
    after: `ip -n "$FW" route replace 198.51.100.0/24 via 10.99.0.2
ip netns exec "$FW" sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1`,
    families: [4],
  },
  {
    name: "VLAN on the second NIC",
    link: "vlan id 9",
    topology: `ip -n "$FW" addr flush dev eth1
ip -n "$FW" link add link eth1 name eth1.100 type vlan id 100
ip -n "$FW" addr add 10.99.0.1/24 dev eth1.100
ip -n "$FW" link set eth1.100 up
ip -n "$LAN" link add link eth0 name eth0.100 type vlan id 100
ip -n "$LAN" addr flush dev eth0
ip -n "$LAN" addr add 10.99.0.2/24 dev eth0.100
ip -n "$LAN" link set eth0.100 up
ip -n "$LAN" route replace default via 10.99.0.1`,
    ufw: [...DENY, "allow in on eth1.100 to any port 8081 proto tcp", "deny in on eth1 to any port 8081", ON],
    run: [web(8080, 8081)],
    inputs: { lan: "eth1.100" },
    families: [4],
  },
  {
    name: "route rules by interface",
    ufw: [
      ...DENY,
      "route allow in on eth1 out on docker0",
      "route deny in on eth0 out on br-app to any port 82 proto tcp",
      ON,
    ],
    networks: { app: "--subnet 172.30.0.0/24" },
    run: [web(8080, 8081), ["api", "--network app -p 8082:82 -p 8083:83", "82/tcp", "83/tcp"]],
    families: [4],
  },
  {
    name: "a range of ports, a part of it allowed",
    ufw: [...DENY, "allow 8003:8005/tcp", "deny from 198.51.100.0/24 to any port 8004 proto tcp", ON],
    run: [["many", "-p 8000-8010:8000-8010", ...Array.from({ length: 11 }, (_, i) => `${8000 + i}/tcp`)]],
    families: [4],
    direct: null,
  },
  {
    name: "published on a second address",
    topology: 'ip -n "$FW" addr add 203.0.113.50/24 dev eth0',
    ufw: [...DENY, "allow to 203.0.113.50 port 8080 proto tcp", ON],
    run: [
      ["second", "-p 203.0.113.50:8080:80 -p 203.0.113.50:8081:81", "80/tcp", "81/tcp"],
      ["first", "-p 203.0.113.1:8080:80", "80/tcp"],
    ],
    addresses: { 4: ["203.0.113.50"] },
    families: [4],
  },
  {
    name: "published on 127.0.0.2",
    ufw: [...DENY, ON],
    run: [["lo", "-p 127.0.0.2:9090:90 -p 127.0.0.1:9091:91", "90/tcp", "91/tcp"]],
    families: [4],
  },
  {
    name: "published on one IPv6 address",
    ufw: [...DENY, ON],
    networks: { six: SIX },
    run: [["six", "--network six -p [2001:db8:1::1]:8081:80", "80/tcp"]],
  },
  {
    name: "no docker-proxy",
    dockerd: "--userland-proxy=false",
    ufw: [...DENY, "allow 8080/tcp", ON],
    networks: { six: SIX },
    run: [web(8080, 8081), ["six", "--network six -p 8082:80", "80/tcp"]],
  },
  {
    name: "internal and published",
    ufw: [...DENY, ON],
    networks: { inside: "--internal --subnet 172.31.3.0/24", app: "--subnet 172.30.0.0/24" },
    run: [
      ["both", "--network app -p 8080:80", "80/tcp"],
      ["alone", "--network inside -p 8081:80", "80/tcp"],
    ],
    after: "d network connect inside both",
    families: [4],
  },
  {
    name: "ipvlan beside a bridge",
    link: "ipvlan",
    ufw: [...DENY, ON],
    networks: {
      ipv: "-d ipvlan --subnet 203.0.113.0/24 --gateway 203.0.113.1 --ip-range 203.0.113.64/28 -o parent=eth0",
    },
    run: [["ipv1", "--network ipv -p 8087:80", "80/tcp"], web(8080)],
    quietly: ["ipv1"],
    families: [4],
    direct: null,
  },
  {
    name: "exceptions in DOCKER-USER",
    ufw: [...DENY, "allow from 198.51.100.0/24 to any port 8080 proto tcp", ON],
    run: [web(8080, 8081)],
    after: `h sh -es <<'RULES'
iptables -I DOCKER-USER -i eth0 -j DROP
iptables -I DOCKER-USER -s 198.51.100.0/24 -j RETURN
iptables -I DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8081 --ctdir ORIGINAL -j RETURN
iptables -I DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
RULES`,
    families: [4],
  },
  {
    name: "a list of allowed sources in DOCKER-USER",
    ufw: [...DENY, "allow 8080/tcp", ON],
    owner:
      "ipset create allowed hash:net; ipset add allowed 198.51.100.0/24; ipset add allowed 172.16.0.0/12",
    run: [web(8080)],
    after: `h sh -es <<'RULES'
iptables -I DOCKER-USER -m set ! --match-set allowed src -j DROP
iptables -I DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
RULES`,
    families: [4],
    direct: null,
  },
  {
    name: "bans by set in INPUT and by chain in FORWARD",
    owner: `ipset create f2b-ssh hash:ip timeout 600; ipset add f2b-ssh 198.51.100.9
iptables -N f2b-all; iptables -A f2b-all -s 10.99.0.2/32 -j REJECT; iptables -A f2b-all -j RETURN`,
    ufw: [...DENY, "allow 8080/tcp", ON],
    run: [web(8080)],
    after: `h sh -es <<'RULES'
iptables -I INPUT -p tcp -m multiport --dports 22 -m set --match-set f2b-ssh src -j REJECT --reject-with icmp-port-unreachable
iptables -I FORWARD -j f2b-all
RULES`,
    families: [4],
  },
  {
    name: "swarm's ingress network",
    topology: "pod docker_gwbridge 172.18.0.9 172.18.0.1",
    ufw: [...DENY, ON],
    run: [web(8080)],
    ports: ["8085/tcp"],
    after: `h sh -es <<'RULES'
iptables -t nat -N DOCKER-INGRESS
iptables -t nat -A DOCKER-INGRESS -p tcp -m tcp --dport 8085 -j DNAT --to-destination 172.18.0.9:8085
iptables -t nat -A DOCKER-INGRESS -j RETURN
iptables -t nat -I PREROUTING -m addrtype --dst-type LOCAL -j DOCKER-INGRESS
iptables -t nat -I OUTPUT -m addrtype --dst-type LOCAL -j DOCKER-INGRESS
iptables -t nat -A POSTROUTING -s 172.18.0.0/16 ! -o docker_gwbridge -j MASQUERADE
iptables -N DOCKER-INGRESS
iptables -A DOCKER-INGRESS -p tcp -m state --state RELATED,ESTABLISHED -m tcp --sport 8085 -j ACCEPT
iptables -A DOCKER-INGRESS -p tcp -m tcp --dport 8085 -j ACCEPT
iptables -A DOCKER-INGRESS -j RETURN
iptables -I FORWARD -j DOCKER-INGRESS
iptables -D FORWARD -j DOCKER-USER
iptables -I FORWARD -j DOCKER-USER
RULES`,
    pod: ["8085/tcp"],
    families: [4],
  },
  {
    name: "1Panel's chain",
    ufw: [...DENY, "allow 8081/tcp", ON],
    run: [web(8080, 8081)],
    after: `h sh -es <<'RULES'
iptables -N 1PANEL_DOCKER
iptables -I DOCKER-USER -j 1PANEL_DOCKER
iptables -A 1PANEL_DOCKER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP
RULES`,
    families: [4],
  },
  {
    name: "marks from mangle that INPUT accepts",
    owner: `${INPUT}
iptables -t mangle -A PREROUTING -s 198.51.100.0/24 -j MARK --set-mark 0x20/0xf0
iptables -t mangle -A PREROUTING -p tcp --dport 8081 -j MARK --set-mark 0x20/0xf0
iptables -A INPUT -m mark --mark 0x20/0xf0 -j ACCEPT`,
    run: [web(8080, 8081)],
    families: [4],
    direct: null,
  },
  {
    name: "the same number on tcp and udp",
    ufw: [...DENY, "allow 8080/tcp", ON],
    run: [
      ["one", "-p 8080:80", "80/tcp"],
      ["two", "-p 8080:53/udp", "53/udp"],
    ],
  },
  {
    name: "hairpin",
    ufw: [...DENY, ON],
    run: [web(8080), ["peer", "", "90/tcp"]],
    reach: ["web 203.0.113.1 8080/tcp", "peer 203.0.113.1 8080/tcp", "peer 10.99.0.1 8080/tcp"],
    families: [4],
  },
  {
    name: "restarted with another address",
    ufw: [...DENY, "allow 8080/tcp", ON],
    run: [web(8080), ["api", "-p 8081:80", "80/tcp"]],
    after: `d stop -t 0 web api >/dev/null
d start api >/dev/null
d start web >/dev/null`,
    again: true,
    families: [4],
  },
  {
    name: "limit and reject on both families",
    ufw: [
      ...DENY,
      "limit 8080/tcp",
      "reject 8081/tcp",
      "limit from 198.51.100.0/24 to any port 8082 proto tcp",
      ON,
    ],
    networks: { six: SIX },
    run: [["web", "--network six -p 8080:80 -p 8081:81 -p 8082:82", "80/tcp", "81/tcp", "82/tcp"]],
  },
  {
    name: "default allow with denies",
    ufw: [
      "default allow incoming",
      "deny 8080/tcp",
      "deny from 198.51.100.0/24 to any port 8081",
      "deny in on eth1 to any port 8082 proto tcp",
      ON,
    ],
    run: [web(8080, 8081, 8082, 8083)],
  },
  {
    name: "default reject",
    ufw: ["default reject incoming", "allow 22/tcp", "allow 8081/tcp", ON],
    run: [web(8080, 8081)],
  },
  {
    name: "own drops behind Docker's rules in FORWARD",
    owner: `${INPUT}\niptables -P FORWARD ACCEPT`,
    run: [web(8080, 8081)],
    after: `h sh -es <<'RULES'
iptables -A FORWARD -i eth0 -d 172.17.0.2 -p tcp --dport 80 -j DROP
iptables -A FORWARD -i eth1 -j DROP
RULES`,
    families: [4],
    direct: null,
  },
  {
    name: "own accepts in front of DOCKER-USER",
    direct: null,
    ufw: [...DENY, ON],
    run: [web(8080, 8081)],
    after: `h sh -es <<'RULES'
iptables -I DOCKER-USER -i eth0 -j DROP
iptables -I DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
iptables -I FORWARD -p tcp --dport 80 -j ACCEPT
RULES`,
    families: [4],
  },
  {
    name: "the owner keeps a port from Docker's DNAT",
    ufw: [...DENY, "allow 8081/tcp", ON],
    run: [web(8080, 8081, 8082)],
    after: `h iptables -t nat -I PREROUTING -i eth1 -p tcp -m multiport --dports 8080,8081 -j ACCEPT`,
    families: [4],
  },
  {
    name: "a rate in DOCKER-USER",
    ufw: [...DENY, ON],
    run: [web(8080)],
    after: `h iptables -I DOCKER-USER -i eth0 -p tcp --syn -m hashlimit --hashlimit-above 2/hour --hashlimit-burst 1 --hashlimit-mode srcip --hashlimit-name web -j DROP`,
    families: [4],
  },
  {
    name: "interface wildcard, ssh in a container",
    owner: `${INPUT}\niptables -A INPUT -i eth+ -p tcp --dport 8080 -j ACCEPT\niptables -A INPUT ! -i eth+ -p tcp --dport 8081 -j ACCEPT`,
    vpn: "wg0",
    run: [["git", "-p 22:22", "22/tcp"], web(8080, 8081)],
    families: [4],
    direct: null,
  },
  {
    name: "drop in INPUT of table security, by connection mark",
    owner: `iptables -t mangle -A PREROUTING -p tcp --dport 8081 -j CONNMARK --set-mark 7
iptables -t security -A INPUT -p tcp --dport 8080 -j DROP
iptables -A INPUT -m connmark --mark 7 -j DROP`,
    run: [web(8080, 8081)],
    families: [4],
    direct: null,
  },
  {
    name: "published on all, denied by destination",
    ufw: [
      ...DENY,
      "allow to 203.0.113.1 port 8080 proto tcp",
      "deny to 10.99.0.1 port 8081",
      "allow 8081/tcp",
      ON,
    ],
    run: [web(8080, 8081)],
  },
];
