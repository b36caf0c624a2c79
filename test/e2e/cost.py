#!/usr/bin/env python3
"""What the rules of each strategy cost the kernel, per packet: run as root with `unshare -n python3 cost.py [legacy|nft|nftables]`:
rules of iptables in either backend, or the tables that `fwcheck fix --format nft` prints.
Two TUN devices are a host that forwards; a write to one runs the packet's whole way, so the CPU time of this thread is
the packet's. Each figure is the least of several rounds, less that of the same packets without the rules."""
import fcntl
import os
import socket
import struct
import subprocess
import sys
import time

BACKEND = sys.argv[1] if len(sys.argv) > 1 else "legacy"
PACKETS, ROUNDS = 4000, 7


def sh(command, text=None):
    subprocess.run(command, shell=True, check=True, input=text, text=True, stdout=subprocess.DEVNULL)


def tun(name, address):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1001))
    sh(f"ip addr add {address} dev {name}; ip link set {name} up txqueuelen 20000")
    return fd


def checksum(data):
    if len(data) & 1:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def packet(sport, flags, dst="172.31.0.9", src="203.0.113.7"):
    s, d = socket.inet_aton(src), socket.inet_aton(dst)
    t = struct.pack("!HHIIBBHHH", sport, 80, 1, 1, 0x50, flags, 64240, 0, 0)
    c = checksum(s + d + struct.pack("!BBH", 0, 6, len(t)) + t)
    t = t[:16] + struct.pack("!H", c) + t[18:]
    h = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 1, 0x4000, 64, 6, 0, s, d)
    return h[:10] + struct.pack("!H", checksum(h)) + h[12:] + t


def address(i):
    """Of an endpoint that the packets are not for."""
    return f"172.17.{i // 250}.{i % 250 + 2}"


def rules(strategy, count):
    """The rules of DOCKER-USER, as fwcheck writes them."""
    lines = ["-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"]
    for i in range(count):
        ip = f"{address(i)}/32"
        origin = f"-m conntrack --ctstate DNAT --ctorigdstport {10000 + i} --ctdir ORIGINAL"
        if strategy == "internal-ip":
            lines.append(f"-d {ip} -p tcp -m tcp --dport 80 -g FWCHECK-1")
        elif strategy == "conntrack":
            lines.append(f"-p tcp {origin} -g FWCHECK-1")
        elif strategy == "conntrack, guarded by -d":
            lines.append(f"-d {ip} -p tcp -m tcp --dport 80 {origin} -g FWCHECK-1")
    if strategy == "ipset":
        lines.append("-m set --match-set FWCHECK4-1 dst,dst -g FWCHECK-1")
    return lines


def nft_rules(strategy, count):
    """The rules of the base chain, as fwcheck writes them."""
    lines = ["ct state related,established accept"]
    for i in range(count):
        endpoint = f"ip daddr {address(i)} tcp dport 80"
        origin = f"ct status dnat ct direction original ct original proto-dst {10000 + i}"
        if strategy == "internal-ip":
            lines.append(f"{endpoint} goto policy-1")
        elif strategy == "conntrack":
            lines.append(f"meta l4proto tcp {origin} goto policy-1")
        elif strategy == "conntrack, guarded by -d":
            lines.append(f"{endpoint} {origin} goto policy-1")
    if strategy == "ipset":
        lines.append("ip daddr . meta l4proto . th dport @endpoints-1 goto policy-1")
    return lines


def load(strategy, count):
    if BACKEND == "nftables":
        load_nft(strategy, count)
    else:
        load_iptables(strategy, count)


def load_nft(strategy, count):
    # This chain needs conntrack, so that it is registered without our rules, too.
    text = """flush ruleset
table ip owner {
	chain forward {
		type filter hook forward priority filter; policy accept;
		ct state invalid accept
	}
}
"""
    if strategy is not None:
        elements = ", ".join(f"{address(i)} . tcp . 80" for i in range(count))
        sets = f"set endpoints-1 {{ type ipv4_addr . inet_proto . inet_service; elements = {{ {elements} }}; }}" if strategy == "ipset" else ""
        body = "\n".join(nft_rules(strategy, count))
        text += f"""table ip fwcheck {{
	{sets}
	chain policy-1 {{
		drop
	}}
	chain forward {{
		type filter hook forward priority filter - 10; policy accept;
		{body}
	}}
}}
"""
    sh("nft -f -", text)


def load_iptables(strategy, count):
    tool = f"iptables-{BACKEND}"
    # The last rule needs conntrack, so that it is registered without our rules, too.
    user = "" if strategy is None else "-A DOCKER-USER -j FWCHECK\n" + "".join(
        f"-A FWCHECK {rule}\n" for rule in rules(strategy, count)
    )
    sh(f"{tool}-restore", f"*filter\n:FORWARD ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n:FWCHECK - [0:0]\n:FWCHECK-1 - [0:0]\n-A FORWARD -j DOCKER-USER\n{user}-A FWCHECK-1 -j DROP\n-A FORWARD -m conntrack --ctstate INVALID -j ACCEPT\nCOMMIT\n")


def drain(fd):
    try:
        while True:
            os.read(fd, 2048)
    except BlockingIOError:
        pass


def measure(fresh, fd_in, fd_out):
    best = 1e9
    for round_ in range(ROUNDS):
        sh("conntrack -F 2>/dev/null || :")
        if fresh:
            list_ = [packet(1024 + i, 2) for i in range(PACKETS)]
        else:
            os.write(fd_in, packet(999, 2))
            os.write(fd_out, answer(999))
            list_ = [packet(999, 16)] * PACKETS
        start = time.thread_time_ns()
        for each in list_:
            os.write(fd_in, each)
        best = min(best, (time.thread_time_ns() - start) / PACKETS)
        drain(fd_in)
        drain(fd_out)
    return best


def answer(sport):
    s, d = socket.inet_aton("172.31.0.9"), socket.inet_aton("203.0.113.7")
    t = struct.pack("!HHIIBBHHH", 80, sport, 1, 2, 0x50, 18, 64240, 0, 0)
    c = checksum(s + d + struct.pack("!BBH", 0, 6, len(t)) + t)
    t = t[:16] + struct.pack("!H", c) + t[18:]
    h = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 1, 0x4000, 64, 6, 0, s, d)
    return h[:10] + struct.pack("!H", checksum(h)) + h[12:] + t


sh("ip link set lo up; sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0")
outside, inside = tun("eth0", "203.0.113.1/24"), tun("docker0", "172.31.0.1/16")
print(f"{BACKEND}: ns per packet more than without the rules (a first packet, one of an established flow)")
print("| strategy | 1 port | 100 ports | 1,000 ports |\n|---|---|---|---|")
for strategy in ["internal-ip", "conntrack", "conntrack, guarded by -d", "ipset"]:
    row = []
    for count in [1, 100, 1000]:
        if strategy == "ipset" and BACKEND != "nftables":
            sets = "".join(f"add FWCHECK4-1 {address(i)},tcp:80\n" for i in range(count))
            sh("ipset restore -exist", f"create FWCHECK4-1 hash:ip,port family inet\nflush FWCHECK4-1\n{sets}")
        cells = []
        for fresh in [True, False]:
            load(None, 0)
            without = measure(fresh, outside, inside)
            load(strategy, count)
            cells.append(measure(fresh, outside, inside) - without)
        row.append(f"{cells[0]:,.0f} / {cells[1]:,.0f}")
    print(f"| {strategy} | {' | '.join(row)} |", flush=True)
    sh("nft flush ruleset" if BACKEND == "nftables" else f"iptables-{BACKEND} -F; iptables-{BACKEND} -X")
