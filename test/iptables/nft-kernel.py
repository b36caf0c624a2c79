"""Forwards random packets through rules of iptables and their translations to nft, and prints both counters of each rule.

Reads a JSON document: family, lines (rules of FORWARD without a target), table (text for nft -f), tracked (false: no rule needs
connection tracking, so that the chains see fragments), packets, seed. Run it in a network namespace of its own (unshare -n).
"""
import fcntl
import ipaddress
import json
import os
import random
import re
import struct
import subprocess
import sys
import time

given = json.load(sys.stdin)
FAMILY, TRACKED = given["family"], given["tracked"]
IPV4 = FAMILY == 4
random.seed(given["seed"])
ICMP = 1 if IPV4 else 58
ETHER_TYPE = b"\x08\x00" if IPV4 else b"\x86\xdd"
WIDTH = 4 if IPV4 else 16

INTERFACES = {
    4: {"eth0": "203.0.113.1/24", "eth1": "10.99.0.1/24", "docker0": "172.17.0.1/16", "br-app": "172.30.0.1/24"},
    6: {"eth0": "2001:db8:1::1/64", "eth1": "2001:db8:99::1/64", "docker0": "fd00:17::1/64", "br-app": "fd00:30::1/64"},
}[FAMILY]
ROUTES = {
    4: ["default dev docker0", "198.51.100.0/24 dev eth1", "192.0.2.128/25 dev br-app", "8.0.0.0/8 dev eth0"]
    + ["blackhole 10.66.0.0/24", "unreachable 10.66.1.0/24", "prohibit 10.66.2.0/24"],
    6: ["default dev docker0", "2001:db8:ffff::/48 dev eth1", "2606::/16 dev eth0"],
}[FAMILY]
NEIGHBOURS = {
    4: ["203.0.113.7", "10.99.0.2", "172.17.0.2", "172.30.0.2", "198.51.100.9", "192.0.2.133", "8.8.8.8", "10.66.0.1"]
    + ["10.66.1.1", "10.66.2.1"],
    6: ["2001:db8:1::7", "2001:db8:99::2", "fd00:17::2", "fd00:30::2", "2001:db8:ffff::9", "2606:4700::1111"],
}[FAMILY]
PORTS = [0, 1, 22, 25, 53, 67, 68, 80, 81, 85, 99, 443, 1023, 1024, 8000, 8005, 8010, 8080, 32768, 40000, 65535]
LIFETIMES = [2, 3, 5, 6, 10, 11, 31, 32, 33, 63, 64, 65, 66, 128, 255]
SERVICES = [0, 1, 2, 3, 4, 8, 0x10, 0x12, 0x1C, 0x20, 0x28, 0x2E, 0x50, 0xB8, 0xB9] + random.sample(range(256), 10)
FLAGS = [2, 2, 2, 2, 18, 16, 24, 17, 4, 20, 1, 0, 0x29, 0x3F, 0x42, 0x82, 0xC2, 0x52]
PROTOCOLS = [6, 6, 6, 17, 17, ICMP, ICMP, 132, 33, 136, 50, 47, 89, 108, 2, 4, 200, 1, 58] + ([51, 135] if IPV4 else [])
MACS = [bytes.fromhex(mac) for mac in ("020000000099", "0242ac110002", "001122334455", "aabbccddeeff")]
TYPES = [0, 3, 3, 5, 8, 9, 10, 11, 12, 13, 17, 77, 255] if IPV4 else [1, 1, 2, 3, 4, 128, 129, 130, 132, 133, 135, 137, 200]


def run(command, text=None):
    done = subprocess.run(command, shell=True, input=text, text=True, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{command}: {done.stderr[:2000]}")
    return done.stdout


def tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH", name.encode(), 0x0002 | 0x1000))  # TUNSETIFF, IFF_TAP | IFF_NO_PI
    return fd


TAPS = {name: tap(name) for name in INTERFACES}


def build_host():
    run("ip link set lo up; sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
    run("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.all.send_redirects=0")
    for number, (name, address) in enumerate(INTERFACES.items(), 1):
        run(f"ip link set {name} address 02:00:00:00:00:{number:02x} arp off up")
        run(f"sysctl -qw net.ipv4.conf.{name}.rp_filter=0 net.ipv4.conf.{name}.send_redirects=0")
        run(f"ip -{FAMILY} addr add {address} dev {name} {'' if IPV4 else 'nodad'}")
    for route in ROUTES:
        run(f"ip -{FAMILY} route add {route}")


def rules():
    """Untracked packets, translations and marks give the rules something to match; random values are the same for both."""
    to = ("172.17.0.2:80", "203.0.113.5") if IPV4 else ("[fd00:17::2]:80", "2001:db8:1::5")
    marks = ["MARK", "CONNMARK"] if TRACKED else ["MARK"]
    some = "-A PREROUTING -m statistic --mode random --probability"
    mangle = [f"{some} 0.2 -j {target} --set-mark {mark}" for mark in (1, 2, 3, 5, 16, 4101) for target in marks]
    raw = [f"{some} 0.05 -j CT --notrack"] if TRACKED else []
    nat = ["-A PREROUTING -p tcp --dport 8080 -j DNAT --to-destination " + to[0]] if TRACKED else []
    nat += ["-A POSTROUTING -p tcp --dport 443 -j SNAT --to-source " + to[1]] if TRACKED else []
    tables = {"raw": raw, "mangle": mangle, "nat": nat, "filter": ["-A FORWARD " + line for line in given["lines"]]}
    return "".join(f"*{name}\n" + "\n".join([*lines, "COMMIT\n"]) for name, lines in tables.items() if lines)


def can_send(address):
    first = address >> (24 if IPV4 else 120)
    return 0 < address < 1 << 8 * WIDTH and (0 < first < 224 and first != 127 if IPV4 else first not in (0, 0xFE, 0xFF))


def addresses():
    """Addresses that the rules name, and their neighbours."""
    named = set(NEIGHBOURS)
    for text in re.findall(r"[0-9a-f.:]{3,}", " ".join(given["lines"])):
        try:
            named.add(str(ipaddress.ip_address(text)))
        except ValueError:
            pass
    numbers = [int(each) for each in map(ipaddress.ip_address, sorted(named)) if each.version == FAMILY]
    return [near for number in numbers for near in (number - 1, number, number + 1) if can_send(near)]


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def header4(start, rest):
    """A header of IPv4 with its checksum, which is between these parts."""
    return start + struct.pack("!H", checksum(start + b"\0\0" + rest)) + rest


def packet(src, dst, proto, body, place=None):
    """A packet; `place` is the offset of the checksum in its body."""
    ends = src.to_bytes(WIDTH, "big") + dst.to_bytes(WIDTH, "big")
    service, lifetime = random.choice(SERVICES), random.choice(LIFETIMES)
    if place is not None and random.random() > 0.03:
        size = struct.pack("!BBH", 0, proto, len(body)) if IPV4 else struct.pack("!IHBB", len(body), 0, 0, proto)
        value = checksum((b"" if proto == 1 else ends + size) + body) or 0xFFFF
        body = body[:place] + struct.pack("!H", value) + body[place + 2 :]
    if not IPV4:
        return struct.pack("!IHBB", 0x6000_0000 | service << 20, len(body), proto, lifetime) + ends + body
    length, number = 20 + len(body), random.randrange(1 << 16)
    return header4(struct.pack("!BBHHHBB", 0x45, service, length, number, 0, lifetime, proto), ends) + body


def transport(proto, sport, dport, flags=None):
    """Header and data, and the offset of the checksum."""
    data = b"x" * random.choice([0, 0, 1, 8, 12, 20])
    spi = random.choice([0, 1, 5, 16, 256, 500, 1000])
    if proto == 6:
        flags = random.choice(FLAGS) if flags is None else flags
        return struct.pack("!HHIIBBHHH", sport, dport, 1, 1, 0x50, flags, 1000, 0, 0) + data, 16
    if proto in (17, 136):
        return struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data, 6
    if proto == 132:
        return struct.pack("!HHIIBBHIIHHI", sport, dport, 0, 0, 1, 0, 20, 7, 1000, 1, 1, 9), None
    if proto == 33:
        return struct.pack("!HHBBHBBHI", sport, dport, 4, 0, 0, 0, 0, 1, 0), None
    if proto == 50:
        return struct.pack("!II", spi, 1) + b"y" * 16, None
    if proto == 51:
        return struct.pack("!BBHII", 59, 4, 0, spi, 1) + b"y" * 16, None
    if proto == ICMP:
        return struct.pack("!BBHHH", random.choice(TYPES), random.choice([0, 0, 1, 3, 4, 5, 7]), 0, 1, 1), 2
    return b"z" * random.choice([8, 20, 40]), None


def send(name, data):
    destination = bytes([2, 0, 0, 0, 0, list(TAPS).index(name) + 1])
    os.write(TAPS[name], destination + random.choice(MACS) + ETHER_TYPE + data)


def fragments(whole):
    """Two fragments; the later one has other bytes at the place of a header."""
    cut = 24  # the first fragment has the whole header of TCP: iptables drops a shorter one (hotdrop)
    for offset, more, body in ((0, 0x2000, whole[20 : 20 + cut]), (cut, 0, transport(6, *random.sample(PORTS, 2))[0])):
        start = whole[:2] + struct.pack("!H", 20 + len(body)) + whole[4:6] + struct.pack("!H", more | offset // 8)
        yield header4(start + whole[8:10], whole[12:20]) + body


def answer(name, frame):
    """Answers a forwarded packet, or reports an error about it."""
    data = frame[14:]
    head = 20 if IPV4 else 40
    if frame[12:14] != ETHER_TYPE or len(data) < head + 8 or random.random() < 0.5:
        return
    at = 12 if IPV4 else 8
    src, dst = (int.from_bytes(data[i : i + WIDTH], "big") for i in (at, at + WIDTH))
    proto, body = data[9 if IPV4 else 6], data[head:]
    if not can_send(src) or not can_send(dst):
        return
    if random.random() < 0.15:
        kind, code = random.choice([(3, 1), (3, 3), (11, 0)] if IPV4 else [(1, 0), (1, 4), (3, 0)])
        send(name, packet(dst, src, ICMP, struct.pack("!BBHI", kind, code, 0, 0) + data[:60], 2))
    elif proto in (6, 17, 33, 132, 136):
        sport, dport = struct.unpack("!HH", body[:4])
        send(name, packet(dst, src, proto, *transport(proto, dport, sport, random.choice([18, 16, 24, 17, 4]))))
    elif proto == ICMP and body[0] == (8 if IPV4 else 128):
        send(name, packet(dst, src, proto, bytes([0 if IPV4 else 129, 0, 0, 0]) + body[4:], 2))


def answer_all():
    for name, fd in TAPS.items():
        while True:
            try:
                answer(name, os.read(fd, 4000))
            except BlockingIOError:
                break


build_host()
tool = "iptables-legacy" if IPV4 else "ip6tables-legacy"
run(f"{tool}-restore", rules())
run("nft -f -", given["table"])
known = addresses()
for _ in range(given["packets"]):
    ends = random.choice(known), random.choice(known)
    proto = random.choice(PROTOCOLS)
    made = packet(*ends, proto, *transport(proto, random.choice(PORTS), random.choice(PORTS)))
    parted = IPV4 and random.random() < (0.05 if TRACKED else 0.4) and len(made) > 44
    name = random.choice(list(TAPS))
    for part in fragments(made) if parted else [made]:
        send(name, part)
    answer_all()
time.sleep(0.2)
saved = run(f"{tool}-save -c -t filter")
listed = run(f"nft list chain {'ip' if IPV4 else 'ip6'} x c")
json.dump(
    {
        "forwarded": int(re.search(r"FORWARD ACCEPT \[(\d+)", saved)[1]),
        "iptables": [int(each) for each in re.findall(r"^\[(\d+):\d+\] -A FORWARD", saved, re.M)],
        "nft": [int(each) for each in re.findall(r"counter packets (\d+)", listed)],
    },
    sys.stdout,
)
