/**
 * One line a case: a rule as a person may write it after `-A CHAIN`. The output of iptables for each line is recorded
 * in recorded-*.txt, which real.test.ts writes (`UPDATE=1`) and compares, and which print.test.ts reads without root.
 *
 * A line goes to both families unless its group says otherwise; a line that a family refuses is recorded as refused.
 */
import type { Family } from "../../lib/packet/field.ts";

/** Lines for one extension, and their table. */
export interface Group {
  /** Name of the extension; `header` for what needs none. */
  readonly extension: string;
  readonly table: "filter" | "nat" | "mangle" | "raw" | "security";
  readonly families: readonly Family[];
  readonly lines: readonly string[];
}

const lines = (text: string): readonly string[] =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");

const of = (extension: string, table: Group["table"], families: readonly Family[], text: string): Group => ({
  extension,
  table,
  families,
  lines: lines(text),
});

const any = (extension: string, text: string): Group => of(extension, "filter", [4, 6], text);
const v4 = (extension: string, text: string): Group => of(extension, "filter", [4], text);
const v6 = (extension: string, text: string): Group => of(extension, "filter", [6], text);
const mangle = (extension: string, text: string): Group => of(extension, "mangle", [4, 6], text);
const raw = (extension: string, text: string): Group => of(extension, "raw", [4, 6], text);

const header: readonly Group[] = [
  any(
    "header",
    `
    -p tcp
    -p 6
    -p TCP
    -p udp -j ACCEPT
    -p all
    -p 0
    -p ip
    ! -p tcp
    -p ! tcp
    -p 47
    -p gre
    -p igmp
    -p 89
    -p 50
    -p esp
    -p ah
    -p 58
    -p icmpv6
    -p ipv6-icmp
    -p sctp
    -p 136
    -p 135
    -p 200
    -p 255
    -p 256
    -p frobnicate
    -p 41
    -p ipencap
    -p 94
    -p vrrp
    -p 1
    -p 2
    -p 3
    -p 12
    -p 33
    -p 46
    -p 58
    -p 88
    -p 97
    -p 98
    -p 103
    -p 108
    -p 115
    -p 124
    -p 132
    -p 137
    -p 17
    -i eth0
    -i eth+
    -i +
    -o +
    ! -i +
    ! -i eth0 ! -o br-+
    -i eth0.100 -o veth_12-a@x
    -i sixteencharacter
    -o eth0 -i lo -p udp
    --in-interface eth0 --out-interface eth1 --protocol tcp --jump ACCEPT
    --in eth0 --out eth1 --proto tcp
    -p tcp --dport 80
    -j ACCEPT
    -j DROP
    -j RETURN
    -j other
    -g other
    --jump other
    --goto other
    -j ACCEPT -p tcp --dport 22
    -c 5 10 -j ACCEPT
    -j ACCEPT -i eth0 -s 0/0
    -j dotted.chain-name_x
    `,
  ),
  v4(
    "header",
    `
    -s 192.0.2.1
    -s 192.0.2.1/32
    -s 192.0.2.77/24
    -s 192.0.2.77/255.255.255.0
    -s 192.0.2.77/255.0.255.0
    -s 192.0.2.77/0.0.0.255
    -s 0.0.0.0/0
    -s 0/0
    -s 10/8
    -s 10.1
    -s 10.1/16
    -s 10.1.2/24
    -s 0.0.0.0
    ! -s 0.0.0.0/0
    ! -s 192.0.2.0/24
    -s ! 192.0.2.0/24
    -d 192.0.2.1 -s 192.0.2.2
    ! -d 192.0.2.1
    --source 192.0.2.1 --destination 192.0.2.2
    --src 192.0.2.1 --dst 192.0.2.2
    -s 192.0.2.1,192.0.2.2
    -s 192.0.2.1,192.0.2.2 -d 198.51.100.1,198.51.100.0/24 -j ACCEPT
    -s 192.0.2.1,192.0.2.2/24 -p tcp --dport 80 -j ACCEPT
    ! -s 192.0.2.1,192.0.2.2
    -s 192.0.2.256
    -s 192.0.2.1/33
    -f
    ! -f
    --fragment
    --fragments
    -f -p udp -i eth0
    -s 192.0.2.1/255.255.0.255
    -d 224.0.0.0/4 -i eth0 -o eth1 -p udp -j DROP
    `,
  ),
  v6(
    "header",
    `
    -s 2001:db8::1
    -s 2001:db8::1/128
    -s 2001:db8::1/64
    -s 2001:db8::1/ffff:ffff::
    -s ffff::/ffff:0:ffff::
    -s ::/0
    -s 0::0/0
    -s 0/0
    -s 0.0.0.0/0
    -s ::
    -s ::1 -d fe80::/10
    ! -s ::/0
    ! -d ff00::/8
    -s 2001:DB8:0:0:0:0:0:1
    -s ::ffff:192.0.2.1
    -s ::192.0.2.1
    -s ::1:0
    -s 1:0:0:2::
    -s 2001:db8::1,2001:db8::2 -j ACCEPT
    -s 2001:db8::1/129
    -f
    `,
  ),
];

const protocols: readonly Group[] = [
  any(
    "tcp",
    `
    -p tcp --dport 80
    -p tcp -m tcp --dport 80
    -p 6 --sport 80
    -p tcp --sport 1024: --dport :1023
    -p tcp --sport : --dport 0:65535
    -p tcp ! --sport 0:65535
    -p tcp --dport 0
    -p tcp --dport 80:80
    -p tcp --dport 90:80
    -p tcp --dport 65536
    -p tcp --dport ssh
    -p tcp --dport http:https
    -p tcp --dport 0x50
    -p tcp --dport domain
    -p tcp ! --dport 22 -j DROP
    -p tcp --dport ! 22 -j DROP
    -p tcp --source-port 1 --destination-port 2
    -p tcp --syn
    -p tcp ! --syn
    -p tcp --syn --dport 80
    -p tcp --tcp-flags SYN,RST,ACK,FIN SYN
    -p tcp --tcp-flags ALL NONE
    -p tcp --tcp-flags ALL ALL
    -p tcp --tcp-flags ALL FIN,URG,PSH
    -p tcp ! --tcp-flags SYN,ACK SYN
    -p tcp --tcp-flags syn,ack syn
    -p tcp --tcp-flags NONE NONE
    -p tcp --tcp-flags ACK,SYN ACK,SYN,FIN
    -p tcp --tcp-option 7
    -p tcp ! --tcp-option 7
    -p tcp --tcp-option 0
    -p tcp -m tcp
    -p tcp --tcp-flags SYN SYN ! --sport 1:5 --tcp-option 8 --dport 3
    -p tcp -m comment --comment a --dport 80
    -p tcp --dport 80 -m comment --comment a
    -m tcp --dport 80 -p tcp
    -p tcp -m tcp --dport 80 -m tcp --sport 80
    -p tcp --dp 80
    -m tcp -p udp
    -m tcp --dport 80
    ! -p tcp --dport 80
    -p tcp --dport frobnicate
    -p tcp --dport 80 --dport 81
    -p tcp --dport 3306 -s 0/0
    -p tcp --dport mysql
    -p tcp --dport imap2
    -p tcp --dport smtp --sport www
    `,
  ),
  any(
    "udp",
    `
    -p udp --dport 53
    -p udp -m udp --sport 67:68 --dport 67:68
    -p udp ! --sport 53 ! --dport domain
    -p udp --dport :1023
    -p udp --dport 1024:
    -p 17 --source-port ntp --destination-port 123
    -p udp -m udp
    -p udp --sport : ! --dport :
    -p udp --dport bootps
    `,
  ),
  any(
    "udplite",
    `
    -p udplite --dport 53
    -p 136 -m udplite --sport 1:2 ! --dport 3
    -p udplite -m udp --dport 53
    `,
  ),
  any(
    "dccp",
    `
    -p dccp --dport 100
    -p dccp -m dccp ! --sport 1:5 --dport 100:200
    -p dccp --dccp-types REQUEST,RESPONSE
    -p dccp --dccp-types RESPONSE,REQUEST,DATA,ACK,DATAACK,CLOSEREQ,CLOSE,RESET,SYNC,SYNCACK,INVALID
    -p dccp ! --dccp-types INVALID
    -p dccp --dccp-type request
    -p dccp --dccp-option 7
    -p dccp ! --dccp-option 7
    -p dccp --sport 5 --dccp-types SYNC --dccp-option 3
    -p dccp -m dccp
    `,
  ),
  any(
    "sctp",
    `
    -p sctp --dport 100
    -p sctp -m sctp ! --sport 1:5 --dport 100:200
    -p sctp --chunk-types any DATA,INIT
    -p sctp --chunk-types all DATA:Be
    -p sctp --chunk-types only SACK
    -p sctp ! --chunk-types any DATA:UBe,ABORT:T
    -p sctp --chunk-types any ALL
    -p sctp --chunk-types any NONE
    -p sctp --chunk-types all INIT,INIT_ACK,HEARTBEAT,HEARTBEAT_ACK,SHUTDOWN,SHUTDOWN_ACK,ERROR
    -p sctp --chunk-types all COOKIE_ECHO,COOKIE_ACK,ECN_ECNE,ECN_CWR,SHUTDOWN_COMPLETE:t,ASCONF,ASCONF_ACK,FORWARD_TSN
    -p sctp --chunk-types any I_DATA:IUBE,RE_CONFIG,PAD,I_FORWARD_TSN
    -p sctp --chunk-types any data
    -p sctp --sport 5 --chunk-types any SACK
    -p sctp --chunk-types only DATA:iube,INIT
    -p sctp --dport http
    `,
  ),
  any(
    "multiport",
    `
    -p tcp -m multiport --dports 80,443
    -p tcp -m multiport --dports http,https
    -p udp -m multiport --sports 1:5,7,9:65535
    -p tcp -m multiport --ports 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    -p tcp -m multiport --ports 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16
    -p tcp -m multiport --ports 1:2,3:4,5:6,7:8,9:10,11:12,13:14,15
    -p tcp -m multiport --ports 1:2,3:4,5:6,7:8,9:10,11:12,13:14,15:16
    -p tcp -m multiport ! --dports 22
    -p tcp -m multiport ! --sports 22:23
    -p tcp -m multiport ! --ports 22:23,25
    -p sctp -m multiport --source-ports 22
    -p dccp -m multiport --destination-ports 22
    -p udplite -m multiport --dports 22
    -p tcp -m multiport --dport 80,443
    -p tcp -m multiport --dport 80
    -p tcp -m multiport --port 80
    -p tcp -m multiport --dports 80,443 --sports 80
    -p tcp -m multiport --dports 80,443 -m tcp --sport 1024:
    -p tcp -m tcp --syn -m multiport --dports 80,443 -j ACCEPT
    -m multiport --dports 80
    -p icmp -m multiport --dports 80
    -p tcp -m multiport --dports 80:443
    -p tcp -m multiport --dports 443:80
    -p tcp -m multiport --dports 0:65535
    -p tcp -m multiport --dports :1024
    -p tcp -m multiport --dports 1024:
    -p tcp --dport 80 -m multiport --sports 1,2
    -p tcp -m multiport --sports 1,2 --dport 80
    -p tcp -m multiport
    `,
  ),
  v4(
    "icmp",
    `
    -p icmp
    -p icmp -m icmp
    -p icmp --icmp-type 8
    -p icmp --icmp-type 8/0
    -p icmp --icmp-type any
    -p icmp ! --icmp-type any
    -p icmp ! --icmp-type 3/4
    -p icmp --icmp-type 3/0-4
    -p icmp --icmp-type 255
    -p icmp --icmp-type 255/255
    -p icmp --icmp-type 0
    -p icmp --icmp-type 256
    -p icmp --icmp-type echo-reply
    -p icmp --icmp-type pong
    -p icmp --icmp-type destination-unreachable
    -p icmp --icmp-type network-unreachable
    -p icmp --icmp-type host-unreachable
    -p icmp --icmp-type protocol-unreachable
    -p icmp --icmp-type port-unreachable
    -p icmp --icmp-type fragmentation-needed
    -p icmp --icmp-type source-route-failed
    -p icmp --icmp-type network-unknown
    -p icmp --icmp-type host-unknown
    -p icmp --icmp-type network-prohibited
    -p icmp --icmp-type host-prohibited
    -p icmp --icmp-type TOS-network-unreachable
    -p icmp --icmp-type TOS-host-unreachable
    -p icmp --icmp-type tos-host-unreachable
    -p icmp --icmp-type communication-prohibited
    -p icmp --icmp-type host-precedence-violation
    -p icmp --icmp-type precedence-cutoff
    -p icmp --icmp-type source-quench
    -p icmp --icmp-type redirect
    -p icmp --icmp-type network-redirect
    -p icmp --icmp-type host-redirect
    -p icmp --icmp-type TOS-network-redirect
    -p icmp --icmp-type TOS-host-redirect
    -p icmp --icmp-type echo-request
    -p icmp --icmp-type ping
    -p icmp --icmp-type ECHO-REQUEST
    -p icmp --icmp-type router-advertisement
    -p icmp --icmp-type router-solicitation
    -p icmp --icmp-type time-exceeded
    -p icmp --icmp-type ttl-exceeded
    -p icmp --icmp-type ttl-zero-during-transit
    -p icmp --icmp-type ttl-zero-during-reassembly
    -p icmp --icmp-type parameter-problem
    -p icmp --icmp-type ip-header-bad
    -p icmp --icmp-type required-option-missing
    -p icmp --icmp-type timestamp-request
    -p icmp --icmp-type timestamp-reply
    -p icmp --icmp-type address-mask-request
    -p icmp --icmp-type address-mask-reply
    -p icmp --icmp-type dest
    -p icmp --icmp-type echo
    -p icmp --icmp-type frobnicate
    `,
  ),
  v6(
    "icmp6",
    `
    -p ipv6-icmp
    -p icmpv6 -m icmp6
    -p icmpv6 --icmpv6-type 128
    -p icmpv6 --icmpv6-type 128/0
    -p icmpv6 ! --icmpv6-type 1/4
    -p 58 --icmpv6-type 255
    -p icmpv6 --icmpv6-type 256
    -p icmpv6 --icmpv6-type any
    -p icmpv6 --icmpv6-type 128/0-4
    -p icmpv6 --icmpv6-type destination-unreachable
    -p icmpv6 --icmpv6-type no-route
    -p icmpv6 --icmpv6-type communication-prohibited
    -p icmpv6 --icmpv6-type beyond-scope
    -p icmpv6 --icmpv6-type address-unreachable
    -p icmpv6 --icmpv6-type port-unreachable
    -p icmpv6 --icmpv6-type failed-policy
    -p icmpv6 --icmpv6-type reject-route
    -p icmpv6 --icmpv6-type packet-too-big
    -p icmpv6 --icmpv6-type time-exceeded
    -p icmpv6 --icmpv6-type ttl-exceeded
    -p icmpv6 --icmpv6-type ttl-zero-during-transit
    -p icmpv6 --icmpv6-type ttl-zero-during-reassembly
    -p icmpv6 --icmpv6-type parameter-problem
    -p icmpv6 --icmpv6-type bad-header
    -p icmpv6 --icmpv6-type unknown-header-type
    -p icmpv6 --icmpv6-type unknown-option
    -p icmpv6 --icmpv6-type echo-request
    -p icmpv6 --icmpv6-type ping
    -p icmpv6 --icmpv6-type echo-reply
    -p icmpv6 --icmpv6-type pong
    -p icmpv6 --icmpv6-type mld-listener-query
    -p icmpv6 --icmpv6-type mld-listener-report
    -p icmpv6 --icmpv6-type mld-listener-done
    -p icmpv6 --icmpv6-type router-solicitation
    -p icmpv6 --icmpv6-type router-advertisement
    -p icmpv6 --icmpv6-type neighbour-solicitation
    -p icmpv6 --icmpv6-type neighbor-solicitation
    -p icmpv6 --icmpv6-type neighbour-advertisement
    -p icmpv6 --icmpv6-type neighbor-advertisement
    -p icmpv6 --icmpv6-type redirect
    -p icmpv6 --icmp6-type 3
    -p icmpv6 -m icmpv6 --icmpv6-type 3
    -p icmpv6 --icmpv6-type Echo-Request
    `,
  ),
];

const addresses: readonly Group[] = [
  any(
    "addrtype",
    `
    -m addrtype --src-type LOCAL
    -m addrtype ! --src-type UNICAST
    -m addrtype --dst-type BROADCAST,MULTICAST
    -m addrtype ! --dst-type LOCAL,UNICAST
    -m addrtype --src-type UNICAST --dst-type ANYCAST
    -m addrtype --src-type UNSPEC,LOCAL --limit-iface-in
    -m addrtype --dst-type LOCAL --limit-iface-out
    -m addrtype --dst-type BLACKHOLE,UNREACHABLE,PROHIBIT
    -m addrtype --src-type THROW,NAT,XRESOLVE
    -m addrtype --dst-type local
    -m addrtype --dst-type MULTICAST,LOCAL,BROADCAST
    -m addrtype --dst-type unreach
    -m addrtype
    -m addrtype --dst-type LOCAL --limit-iface-in --limit-iface-out
    `,
  ),
  v4(
    "iprange",
    `
    -m iprange --src-range 192.0.2.1-192.0.2.9
    -m iprange --src-range 192.0.2.1
    -m iprange ! --src-range 192.0.2.1-192.0.2.9
    -m iprange --dst-range 192.0.2.1-192.0.2.9
    -m iprange ! --dst-range 192.0.2.1-192.0.2.9 --src-range 10.0.0.1-10.0.0.255
    -m iprange --dst-range 192.0.2.9-192.0.2.1
    -m iprange --dst-range 192.0.2.0-192.0.2.255
    -m iprange
    `,
  ),
  v6(
    "iprange",
    `
    -m iprange --src-range 2001:db8::1-2001:db8::9
    -m iprange --src-range 2001:db8::1
    -m iprange ! --src-range 2001:db8::1-2001:db8::9 --dst-range ::1-::2
    -m iprange ! --dst-range 2001:db8::-2001:db8::ffff
    `,
  ),
  any(
    "mac",
    `
    -m mac --mac-source 00:11:22:33:44:55
    -m mac ! --mac-source aa:bb:cc:dd:ee:ff
    -m mac --mac-source AA:BB:CC:DD:EE:FF
    -m mac --mac-source a:b:c:d:e:f
    -m mac
    `,
  ),
  any(
    "pkttype",
    `
    -m pkttype --pkt-type unicast
    -m pkttype --pkt-type broadcast
    -m pkttype ! --pkt-type multicast
    -m pkttype --pkt-type host
    -m pkttype --pkt-type bcast
    -m pkttype --pkt-type mcast
    -m pkttype --pkt-type Multicast
    -m pkttype
    `,
  ),
  any(
    "physdev",
    `
    -m physdev --physdev-in eth0
    -m physdev ! --physdev-in eth+
    -m physdev --physdev-out eth0 --physdev-is-bridged
    -m physdev ! --physdev-out eth+ --physdev-is-bridged
    -m physdev --physdev-is-in
    -m physdev ! --physdev-is-in
    -m physdev --physdev-is-out
    -m physdev ! --physdev-is-out
    -m physdev --physdev-is-bridged
    -m physdev ! --physdev-is-bridged
    -m physdev --physdev-in eth0 --physdev-is-in --physdev-is-out
    -m physdev --physdev-is-bridged --physdev-in eth0
    -m physdev --physdev-in eth0 ! --physdev-is-out
    -m physdev --physdev-in eth0 --physdev-out eth1
    -m physdev
    `,
  ),
  any(
    "devgroup",
    `
    -m devgroup --src-group 5
    -m devgroup ! --src-group 0x10
    -m devgroup --dst-group 1/0xff
    -m devgroup ! --dst-group 1/0xff --src-group 2
    -m devgroup --src-group default
    -m devgroup --src-group 0
    -m devgroup ! --dst-group 0/0xff
    -m devgroup
    `,
  ),
  v6(
    "eui64",
    `
    -m eui64
    -i eth0 -m eui64 -j ACCEPT
    `,
  ),
  v4(
    "realm",
    `
    -m realm --realm 1
    -m realm ! --realm 0x10
    -m realm --realm 1/0xff
    -m realm ! --realm 1/0xff
    -m realm --realm cosmos
    -m realm --realm 0
    -m realm --realm 0/0xff
    -m realm
    `,
  ),
];

const fields: readonly Group[] = [
  any(
    "dscp",
    `
    -m dscp --dscp 0
    -m dscp --dscp 0x3f
    -m dscp --dscp 64
    -m dscp ! --dscp 10
    -m dscp --dscp-class EF
    -m dscp --dscp-class BE
    -m dscp --dscp-class CS1
    -m dscp --dscp-class cs7
    -m dscp ! --dscp-class AF11
    -m dscp --dscp-class AF43
    -m dscp --dscp-class CS0
    -m dscp --dscp-class XX
    -m dscp
    `,
  ),
  any(
    "ecn",
    `
    -m ecn --ecn-ip-ect 0
    -m ecn ! --ecn-ip-ect 3
    -p tcp -m ecn --ecn-tcp-cwr
    -p tcp -m ecn ! --ecn-tcp-cwr
    -p tcp -m ecn --ecn-tcp-ece
    -p tcp -m ecn ! --ecn-tcp-ece --ecn-tcp-cwr
    -p tcp -m ecn --ecn-ip-ect 2 --ecn-tcp-cwr --ecn-tcp-ece
    -m ecn --ecn-tcp-ece
    -m ecn --ecn-ip-ect 4
    -m ecn
    `,
  ),
  any(
    "length",
    `
    -m length --length 100
    -m length --length 100:200
    -m length ! --length 0:100
    -m length --length 100:
    -m length --length :100
    -m length --length 0
    -m length --length 65535
    -m length --length 0:65535
    -m length --length 65536
    -m length ! --length 0x10
    -m length
    `,
  ),
  any(
    "tos",
    `
    -m tos --tos 0x10
    -m tos ! --tos 0x10
    -m tos --tos 16/0xff
    -m tos --tos 0x10/0x3f
    -m tos --tos Minimize-Delay
    -m tos --tos Maximize-Throughput
    -m tos --tos Maximize-Reliability
    -m tos ! --tos Minimize-Cost
    -m tos --tos Normal-Service
    -m tos --tos minimize-delay
    -m tos --tos 0
    -m tos --tos 0/0
    -m tos --tos 256
    -m tos
    `,
  ),
  v4(
    "ttl",
    `
    -m ttl --ttl-eq 64
    -m ttl ! --ttl-eq 64
    -m ttl --ttl 64
    -m ttl --ttl-lt 64
    -m ttl --ttl-gt 64
    -m ttl ! --ttl-gt 64
    -m ttl --ttl-eq 0
    -m ttl --ttl-eq 256
    -m ttl --ttl-lt 5 --ttl-gt 3
    -m ttl
    `,
  ),
  v6(
    "hl",
    `
    -m hl --hl-eq 64
    -m hl ! --hl-eq 64
    -m hl --hl-lt 64
    -m hl --hl-gt 64
    -m hl --hl-eq 256
    -m hl
    `,
  ),
  any(
    "tcpmss",
    `
    -p tcp -m tcpmss --mss 1400
    -p tcp -m tcpmss --mss 1400:1500
    -p tcp -m tcpmss ! --mss 0:500
    -p tcp -m tcpmss --mss 1400:
    -p tcp -m tcpmss --mss 1500:1400
    -p tcp --tcp-flags SYN,RST SYN -m tcpmss --mss 1361:1536 -j RETURN
    `,
  ),
  any(
    "esp",
    `
    -p esp --espspi 5
    -p esp -m esp --espspi 0x10:0x20
    -p esp ! --espspi 5
    -p esp ! --espspi 5:10
    -p 50 --espspi 0:4294967295
    -p esp ! --espspi 0:4294967295
    -p esp -m esp
    -p esp --espspi 5:
    -p esp --espspi :5
    `,
  ),
  v4(
    "ah",
    `
    -p ah --ahspi 5
    -p ah -m ah --ahspi 0x10:0x20
    -p ah ! --ahspi 5
    -p 51 --ahspi 0:4294967295
    -p ah ! --ahspi 0:4294967295
    -p ah -m ah
    `,
  ),
  v6(
    "ah",
    `
    -m ah --ahspi 5
    -m ah ! --ahspi 0x10:0x20
    -m ah --ahlen 20
    -m ah ! --ahlen 20
    -m ah --ahres
    -m ah --ahspi 0:10 --ahlen 5 --ahres
    -m ah --ahlen 0
    -m ah
    -p ah --ahspi 5
    `,
  ),
  any(
    "ipcomp",
    `
    -p ipcomp --ipcompspi 5
    -p ipcomp -m ipcomp --ipcompspi 0x10:0x20
    -p ipcomp ! --ipcompspi 5
    -p 108 -m ipcomp --ipcompspi 5 --compres
    -p ipcomp -m ipcomp --compres
    -p ipcomp -m ipcomp
    `,
  ),
  any(
    "policy",
    `
    -m policy --dir in --pol ipsec
    -m policy --dir out --pol none
    -m policy --dir in --pol ipsec --proto esp
    -m policy --dir in --pol ipsec --strict --reqid 1 --proto esp --mode transport
    -m policy --dir in --pol ipsec ! --reqid 1 ! --proto ah ! --spi 0x10
    -m policy --dir in --pol ipsec --strict --reqid 1 --spi 5 --proto ipcomp --next --reqid 2 ! --mode transport
    -m policy --dir out --pol ipsec --mode tunnel
    -m policy
    `,
  ),
  v4(
    "policy",
    `
    -m policy --dir in --pol ipsec --strict --mode tunnel --tunnel-src 192.0.2.0/24 --tunnel-dst 198.51.100.1
    -m policy --dir in --pol ipsec --strict --mode tunnel ! --tunnel-src 192.0.2.1 --next --proto esp --mode tunnel ! --tunnel-dst 198.51.100.0/24
    `,
  ),
  v6(
    "policy",
    `
    -m policy --dir in --pol ipsec --strict --mode tunnel --tunnel-src 2001:db8::/32 --tunnel-dst 2001:db8::1
    `,
  ),
  v6(
    "frag",
    `
    -m frag --fragid 5
    -m frag ! --fragid 5:10
    -m frag --fragres
    -m frag --fragfirst
    -m frag --fragmore
    -m frag --fraglast
    -m frag --fraglen 8
    -m frag --fragid 0:4294967295 --fragres --fragfirst
    -m frag --fragfirst --fragmore
    -m frag --fragmore --fraglast
    -m frag
    `,
  ),
  v6(
    "hbh",
    `
    -m hbh --hbh-len 8
    -m hbh ! --hbh-len 8
    -m hbh --hbh-opts 1:2,3,23:42
    -m hbh --hbh-len 8 --hbh-opts 5
    -m hbh
    `,
  ),
  v6(
    "dst",
    `
    -m dst --dst-len 8
    -m dst ! --dst-len 8
    -m dst --dst-opts 149:92,12:12,123:12
    -m dst --dst-len 8 --dst-opts 5
    -m dst
    `,
  ),
  v6(
    "rt",
    `
    -m rt --rt-type 0
    -m rt ! --rt-type 2
    -m rt --rt-segsleft 1
    -m rt ! --rt-segsleft 0:5
    -m rt --rt-len 8
    -m rt ! --rt-len 8
    -m rt --rt-type 0 --rt-0-res
    -m rt --rt-type 0 --rt-0-addrs ::1,::2 --rt-0-not-strict
    -m rt --rt-type 0 --rt-segsleft 1:23 --rt-len 42 --rt-0-res
    -m rt --rt-type 0 --rt-0-addrs 2001:db8::1
    -m rt
    `,
  ),
  v6(
    "ipv6header",
    `
    -m ipv6header --header hop-by-hop
    -m ipv6header ! --header hop
    -m ipv6header --header hop,dst,route,frag,auth,esp,none,prot
    -m ipv6header --header ah --soft
    -m ipv6header --soft --header frag
    -m ipv6header --header proto
    -m ipv6header --header 0,60
    -m ipv6header --header tcp
    -m ipv6header
    `,
  ),
  v6(
    "mh",
    `
    -p mh --mh-type 5
    -p ipv6-mh -m mh --mh-type 1:3
    -p 135 ! --mh-type 1
    -p mh --mh-type binding-refresh-request
    -p mh --mh-type brr
    -p mh --mh-type hoti
    -p mh --mh-type coti:cot
    -p mh --mh-type binding-update:binding-error
    -p mh --mh-type home-test-init
    -p mh --mh-type ba
    -p mh ! --mh-type be
    -p mh -m mh
    -p mh --mh-type 0:255
    -p mh --mh-type :5
    -p mh --mh-type 5:
    `,
  ),
  v6(
    "srh",
    `
    -m srh --srh-next-hdr 17
    -m srh ! --srh-next-hdr tcp
    -m srh --srh-hdr-len-eq 8
    -m srh ! --srh-hdr-len-gt 8 --srh-hdr-len-lt 9
    -m srh --srh-segs-left-eq 8
    -m srh --srh-segs-left-gt 8 ! --srh-segs-left-lt 9
    -m srh --srh-last-entry-eq 4
    -m srh ! --srh-last-entry-gt 4 --srh-last-entry-lt 5
    -m srh --srh-tag 0
    -m srh ! --srh-tag 7
    -m srh --srh-psid 2001:db8::1/64 --srh-nsid ::1 --srh-lsid ::2/128
    -m srh ! --srh-psid 2001:db8::/64 ! --srh-nsid ::1/128 ! --srh-lsid ::/0
    -m srh
    `,
  ),
];

const conntrack: readonly Group[] = [
  any(
    "conntrack",
    `
    -m conntrack --ctstate NEW
    -m conntrack --ctstate ESTABLISHED,RELATED
    -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    -m conntrack ! --ctstate NEW,INVALID
    -m conntrack --ctstate SNAT,DNAT,UNTRACKED,NEW,INVALID,RELATED,ESTABLISHED
    -m conntrack --ctstate dnat
    -m conntrack --ctstate new,established
    -m conntrack --ctstate EST
    -m conntrack --ctstate NEW,NEW
    -m conntrack --ctstate FOO
    -m conntrack --ctproto tcp
    -m conntrack ! --ctproto 17
    -m conntrack --ctproto 47
    -m conntrack --ctproto icmp
    -m conntrack --ctorigsrcport 1024
    -m conntrack --ctorigsrcport 1024:2048 --ctorigdstport 80
    -m conntrack ! --ctreplsrcport 80 ! --ctrepldstport 1:5
    -m conntrack --ctorigdstport http
    -m conntrack --ctorigdstport :80
    -m conntrack --ctorigdstport 80:
    -m conntrack --ctproto tcp --ctorigdstport domain
    -m conntrack --ctstatus NONE
    -m conntrack --ctstatus EXPECTED,SEEN_REPLY,ASSURED,CONFIRMED
    -m conntrack ! --ctstatus CONFIRMED
    -m conntrack --ctstatus assured,seen_reply
    -m conntrack --ctstatus NONE,EXPECTED
    -m conntrack --ctexpire 60
    -m conntrack --ctexpire 1:100
    -m conntrack ! --ctexpire 60:
    -m conntrack --ctdir ORIGINAL
    -m conntrack --ctdir REPLY
    -m conntrack --ctdir original
    -m conntrack --ctstate NEW --ctdir ORIGINAL --ctproto udp --ctorigdstport 53 --ctexpire 5 --ctstatus ASSURED
    -p tcp -m conntrack --ctstate NEW --dport 22 -j ACCEPT
    -m conntrack
    -m conntrack --ctstate NEW --ctstate ESTABLISHED
    `,
  ),
  v4(
    "conntrack",
    `
    -m conntrack --ctorigsrc 192.0.2.1
    -m conntrack --ctorigsrc 192.0.2.1/32 --ctorigdst 192.0.2.0/24
    -m conntrack ! --ctorigdst 192.0.2.0/24
    -m conntrack --ctreplsrc 192.0.2.0/255.255.255.0 ! --ctrepldst 198.51.100.7
    -m conntrack --ctorigdst 0.0.0.0/0
    -m conntrack --ctstate DNAT --ctorigdst 203.0.113.5 --ctorigdstport 8080 --ctdir ORIGINAL -j DROP
    `,
  ),
  v6(
    "conntrack",
    `
    -m conntrack --ctorigsrc 2001:db8::1
    -m conntrack ! --ctorigdst 2001:db8::/32 --ctreplsrc ::1 --ctrepldst fe80::/10
    `,
  ),
  any(
    "state",
    `
    -m state --state NEW
    -m state --state ESTABLISHED,RELATED
    -m state --state RELATED,ESTABLISHED -j ACCEPT
    -m state ! --state INVALID
    -m state --state UNTRACKED,INVALID,NEW
    -m state --state established
    -m state --state EST
    -p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT
    -p tcp -m state --state NEW --dport 22 -j ACCEPT
    -m state
    `,
  ),
  any(
    "mark",
    `
    -m mark --mark 0
    -m mark --mark 0x5
    -m mark --mark 0xff/0x0f
    -m mark ! --mark 0x1/0x1
    -m mark --mark 5/0xffffffff
    -m mark --mark 4294967295
    -m mark --mark 4294967296
    -m mark --mark 0/0
    -m mark --mark 010
    -m mark
    `,
  ),
  any(
    "connmark",
    `
    -m connmark --mark 0
    -m connmark --mark 0x5/0xff
    -m connmark ! --mark 0x1
    -m connmark
    `,
  ),
  any(
    "connlabel",
    `
    -m connlabel --label 40
    -m connlabel ! --label 40
    -m connlabel --label 41 --set
    -m connlabel ! --label 41 --set
    -m connlabel --label 128
    `,
  ),
  any(
    "helper",
    `
    -m helper --helper ftp
    -m helper ! --helper ftp-2121
    -m helper --helper ""
    -m helper --helper "a b"
    `,
  ),
  any(
    "connbytes",
    `
    -m connbytes --connbytes 10 --connbytes-mode bytes --connbytes-dir both
    -m connbytes --connbytes 10:100 --connbytes-mode packets --connbytes-dir original
    -m connbytes ! --connbytes 10:100 --connbytes-mode avgpkt --connbytes-dir reply
    -m connbytes --connbytes 0:0 --connbytes-mode bytes --connbytes-dir both
    -m connbytes --connbytes 10: --connbytes-mode bytes --connbytes-dir both
    -m connbytes --connbytes :1000 --connbytes-mode bytes --connbytes-dir both
    -m connbytes --connbytes 20000000000:30000000000 --connbytes-mode bytes --connbytes-dir both
    -m connbytes --connbytes 18446744073709551615 --connbytes-mode bytes --connbytes-dir both
    -m connbytes ! --connbytes 10 --connbytes-dir both --connbytes-mode bytes
    -m connbytes --connbytes 10
    `,
  ),
  any(
    "connlimit",
    `
    -m connlimit --connlimit-upto 3
    -m connlimit --connlimit-above 3
    -m connlimit ! --connlimit-above 3
    -m connlimit --connlimit-upto 3 --connlimit-mask 24
    -m connlimit --connlimit-above 3 --connlimit-saddr
    -m connlimit --connlimit-above 3 --connlimit-daddr --connlimit-mask 8
    -m connlimit --connlimit-above 0 --connlimit-mask 0
    -m connlimit
    `,
  ),
  any(
    "cluster",
    `
    -m cluster --cluster-total-nodes 2 --cluster-local-node 1 --cluster-hash-seed 1
    -m cluster --cluster-total-nodes 2 --cluster-local-node 2 --cluster-hash-seed 0xdeadbeef
    -m cluster --cluster-total-nodes 4 --cluster-local-nodemask 5 --cluster-hash-seed 1
    -m cluster --cluster-total-nodes 4 ! --cluster-local-node 1 --cluster-hash-seed 1
    -m cluster --cluster-total-nodes 4 ! --cluster-local-nodemask 1 --cluster-hash-seed 1
    -m cluster
    `,
  ),
];

const state: readonly Group[] = [
  any(
    "limit",
    `
    -m limit
    -m limit --limit 3/min --limit-burst 10
    -m limit --limit 1/sec
    -m limit --limit 1/second
    -m limit --limit 10
    -m limit --limit 10/s
    -m limit --limit 10/minute --limit-burst 5
    -m limit --limit 10/m --limit-burst 7
    -m limit --limit 60/min
    -m limit --limit 120/min
    -m limit --limit 100/hour
    -m limit --limit 1/hour
    -m limit --limit 3/day
    -m limit --limit 1/day
    -m limit --limit 1000/day
    -m limit --limit 1000/sec
    -m limit --limit 10000/sec
    -m limit --limit 10001/sec
    -m limit --limit 3000/sec
    -m limit --limit 7/min
    -m limit --limit 11/min
    -m limit --limit 13/hour
    -m limit --limit 7000/min
    -m limit --limit 1000000/min
    -m limit --limit 0/min
    -m limit --limit 25/HOUR
    -m limit --limit 25/da
    -m limit --limit 86400/day
    -m limit --limit 3600/hour
    -m limit --limit 7/fortnight
    -m limit --limit-burst 1
    -m limit --limit-burst 10000
    -m limit --limit-burst 10001
    -m limit --limit-burst 0
    -m limit ! --limit 5/sec
    -m limit --limit 5/sec --limit-burst 5 -j LOG --log-prefix "[UFW BLOCK] "
    `,
  ),
  any(
    "hashlimit",
    `
    -m hashlimit --hashlimit-upto 3/min --hashlimit-name foo
    -m hashlimit --hashlimit 3/min --hashlimit-name foo1 --hashlimit-mode srcip
    -m hashlimit --hashlimit-above 10/sec --hashlimit-burst 20 --hashlimit-mode srcip,dstport --hashlimit-name foo2
    -m hashlimit ! --hashlimit-upto 10/sec --hashlimit-mode dstip --hashlimit-name foo3
    -m hashlimit --hashlimit-upto 10/hour --hashlimit-mode srcip,srcport,dstip,dstport --hashlimit-name foo4
    -m hashlimit --hashlimit-upto 10/day --hashlimit-mode dstport,dstip --hashlimit-name foo5 --hashlimit-htable-size 1000
    -m hashlimit --hashlimit-upto 10 --hashlimit-mode srcip --hashlimit-name foo6 --hashlimit-htable-max 2000
    -m hashlimit --hashlimit-upto 10/s --hashlimit-mode srcip --hashlimit-name foo7 --hashlimit-htable-expire 3000
    -m hashlimit --hashlimit-upto 10/s --hashlimit-mode srcip --hashlimit-name foo8 --hashlimit-htable-gcinterval 500
    -m hashlimit --hashlimit-upto 10/s --hashlimit-mode srcip --hashlimit-name foo9 --hashlimit-srcmask 24 --hashlimit-dstmask 16
    -m hashlimit --hashlimit-above 512kb/s --hashlimit-mode srcip --hashlimit-name foo10
    -m hashlimit --hashlimit-above 512kb/s --hashlimit-burst 1mb --hashlimit-mode dstip --hashlimit-name foo11
    -m hashlimit --hashlimit-upto 1mb/s --hashlimit-mode srcip --hashlimit-name foo12
    -m hashlimit --hashlimit-upto 1b/s --hashlimit-mode srcip --hashlimit-name foo13
    -m hashlimit --hashlimit-upto 1000b/s --hashlimit-mode srcip --hashlimit-name foo14
    -m hashlimit --hashlimit-above 1000000/sec --hashlimit-burst 5 --hashlimit-mode srcip --hashlimit-name foo15
    -m hashlimit --hashlimit-above 1/min --hashlimit-burst 5000 --hashlimit-name foo16
    -m hashlimit --hashlimit-above 20/sec --hashlimit-rate-match --hashlimit-mode srcip --hashlimit-name foo17
    -m hashlimit --hashlimit-above 20/sec --hashlimit-rate-match --hashlimit-rate-interval 5 --hashlimit-mode srcip --hashlimit-name foo18
    -m hashlimit --hashlimit-upto 7/min --hashlimit-name foo19
    -m hashlimit --hashlimit-upto 13/hour --hashlimit-name foo20
    -m hashlimit --hashlimit-upto 120/min --hashlimit-name foo21
    -m hashlimit --hashlimit-upto 3/sec --hashlimit-burst 3 --hashlimit-name "foo bar"
    -m hashlimit --hashlimit-upto 2/sec --hashlimit-htable-expire 60000 --hashlimit-name foo22
    -m hashlimit --hashlimit-upto 2/min --hashlimit-htable-expire 60000 --hashlimit-name foo23
    -m hashlimit --hashlimit-upto 10/s --hashlimit-mode srcip --hashlimit-name foo24 --hashlimit-srcmask 0
    -m hashlimit --hashlimit-upto 99999/sec --hashlimit-name foo25
    -m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 7 --hashlimit-mode srcip --hashlimit-name all --hashlimit-htable-size 99 --hashlimit-htable-max 88 --hashlimit-htable-gcinterval 77 --hashlimit-htable-expire 66 --hashlimit-srcmask 25 --hashlimit-dstmask 26 --hashlimit-rate-match --hashlimit-rate-interval 3
    -m hashlimit --hashlimit-upto 512kb/s --hashlimit-burst 700kb --hashlimit-mode srcip --hashlimit-name all2
    -m hashlimit --hashlimit-upto 512kb/s --hashlimit-burst 100kb --hashlimit-mode srcip --hashlimit-name all3
    -m hashlimit --hashlimit-upto 3000b/s --hashlimit-mode srcip --hashlimit-name all4 --hashlimit-htable-expire 15000
    -m hashlimit --hashlimit-upto 3000b/s --hashlimit-mode srcip --hashlimit-name all5 --hashlimit-htable-expire 1000
    -m hashlimit ! --hashlimit-above 3000b/s --hashlimit-name all6 --hashlimit-htable-gcinterval 1000
    -m hashlimit --hashlimit-upto 3/min
    -m hashlimit --hashlimit-name foo26
    -m hashlimit
    -p tcp --syn -m hashlimit --hashlimit-above 200/sec --hashlimit-burst 1000 --hashlimit-mode srcip --hashlimit-name syn -j DROP
    `,
  ),
  any(
    "recent",
    `
    -m recent --set
    -m recent --set --name foo
    -m recent ! --set --name foo
    -m recent --rcheck
    -m recent --rcheck --seconds 60 --hitcount 4 --name foo
    -m recent --update --seconds 30 --hitcount 6 --name DEFAULT --rsource
    -m recent ! --update --seconds 30
    -m recent ! --rcheck --rdest
    -m recent --remove --name foo
    -m recent ! --remove
    -m recent --rcheck --seconds 60 --reap --rttl
    -m recent --rcheck --rttl --hitcount 5
    -m recent --set --rdest --name bar
    -m recent --hitcount 5 --update
    -m recent --name "foo bar" --set
    -m recent --set --rcheck
    -m recent --rcheck --reap
    -m recent
    `,
  ),
  v4(
    "recent",
    `
    -m recent --set --mask 255.255.255.0
    -m recent --rcheck --mask 255.255.255.0 --name foo --rdest
    `,
  ),
  v6(
    "recent",
    `
    -m recent --set --mask ffff:ffff:ffff:ffff::
    `,
  ),
  any(
    "statistic",
    `
    -m statistic --mode random --probability 0.5
    -m statistic --mode random ! --probability 0.25
    -m statistic --mode random --probability 0.33333333349
    -m statistic --mode random --probability 1
    -m statistic --mode random --probability 0
    -m statistic --mode random --probability 0.1
    -m statistic --mode random --probability 0.000000001
    -m statistic --mode random --probability 0.20000000019
    -m statistic --mode random --probability 0.000244140625
    -m statistic --mode random --probability 0.66666666651
    -m statistic --mode nth --every 4
    -m statistic --mode nth --every 4 --packet 2
    -m statistic --mode nth ! --every 5 --packet 0
    -m statistic --mode nth --every 5 --packet 5
    -m statistic --mode nth --every 1
    -m statistic --mode nth
    -m statistic --mode random
    -m statistic --mode random --probability 1.1
    `,
  ),
  any(
    "string",
    `
    -m string --algo bm --string foo
    -m string --algo kmp --string "foo bar"
    -m string --algo bm ! --string foo
    -m string --algo bm --string foo --from 10 --to 200
    -m string --algo bm --string foo --icase
    -m string --algo bm --hex-string "|0D 0A|"
    -m string --algo bm --hex-string "|0d0a|foo"
    -m string --algo bm --hex-string "foo"
    -m string --algo bm ! --hex-string "|03|www|09|netfilter|03|org|00|" --from 40 --to 57
    -m string --algo bm --string ""
    -m string --algo bm --string "a|b"
    -m string --algo bm --string "|7c|"
    -m string --algo bm --hex-string "|7c|"
    -m string --algo bm --hex-string "a\\\\b"
    -m string --algo bm --string "quote\\"d"
    -m string --algo bm --string "it's"
    -m string --algo bm --string "back\\\\slash"
    -m string --algo bm --hex-string "|22|"
    -m string --algo bm --hex-string "|5c|"
    -m string --algo bm --string "ünï"
    -m string --algo bm --string "a\\\\"
    -m string --algo bm --string "tab	tab"
    -m string --algo bm --string -x
    -m string --algo bm --string "/etc/passwd" --to 65535
    -m string --algo bm --string "/etc/passwd" --to 65534 --from 0
    -m string --string foo
    -m string --algo bm
    -m string --algo fsm --string foo
    `,
  ),
  any(
    "u32",
    `
    -m u32 --u32 "0 & 0xFFFF = 0x100:0xFFFF"
    -m u32 --u32 "6&0xFF=1&&4&0x3FFF=0&&0>>22&0x3C@0>>24=0"
    -m u32 ! --u32 "0=1"
    -m u32 --u32 "0>>22&0x3C@12>>26&0x3C@8=1,2,5,8"
    -m u32 --u32 "0<<8=0x10"
    -m u32 --u32 "frob"
    -m u32
    `,
  ),
  any(
    "bpf",
    `
    -m bpf --bytecode "4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0"
    -m bpf --bytecode "1,6 0 0 1"
    -m bpf
    `,
  ),
  any(
    "time",
    `
    -m time
    -m time --timestart 08:00 --timestop 18:00
    -m time --timestart 08:00:30
    -m time --timestop 23:59:59
    -m time --weekdays Mon,Tue,Wed,Thu,Fri
    -m time --weekdays Mo,Su
    -m time --weekdays 1,7
    -m time ! --weekdays Sat,Sun
    -m time --weekdays Mon,Tue,Wed,Thu,Fri,Sat,Sun
    -m time --monthdays 1,15,31
    -m time ! --monthdays 31
    -m time --monthdays 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    -m time --datestart 2007-12-24 --datestop 2007-12-27
    -m time --datestart 2007-01-01T17:00 --datestop 2007-01-01T23:59:59
    -m time --datestart 2007
    -m time --datestop 2030-05
    -m time --datestart 1970-01-01
    -m time --timestart 23:00 --timestop 01:00 --contiguous
    -m time --kerneltz --timestart 01:02:03
    -m time --utc --timestart 1:2
    -m time --localtz
    -m time --timestart 00:00
    -m time --timestart 24:00
    -m time --weekdays Fri --monthdays 22,23 --timestart 10:00 --timestop 11:00 --datestart 2020-02-03T04:05:06
    -m time --contiguous
    `,
  ),
  any(
    "quota",
    `
    -m quota --quota 1000
    -m quota ! --quota 1000
    -m quota --quota 0
    -m quota --quota 18446744073709551615
    -m quota --quota 0x10
    `,
  ),
  any(
    "rateest",
    `
    -m rateest --rateest RE1 --rateest-lt --rateest-bps 8bit
    -m rateest --rateest RE1 --rateest-gt --rateest-pps 5
    -m rateest ! --rateest-eq --rateest RE1 --rateest-pps 5
    `,
  ),
  any(
    "cpu",
    `
    -m cpu --cpu 0
    -m cpu ! --cpu 3
    -m cpu
    `,
  ),
  any(
    "nfacct",
    `
    -m nfacct --nfacct-name http-traffic
    `,
  ),
  any(
    "osf",
    `
    -p tcp -m osf --genre Linux
    -p tcp -m osf ! --genre Linux --ttl 1 --log 2
    -p tcp -m osf --genre Windows:XP --ttl 0
    -m osf --genre Linux
    `,
  ),
  any(
    "cgroup",
    `
    -m cgroup --cgroup 1
    -m cgroup ! --cgroup 0x100001
    -m cgroup --path ""
    -m cgroup --path user.slice
    -m cgroup ! --path "/"
    `,
  ),
  any(
    "comment",
    `
    -m comment --comment foo
    -m comment --comment "foo bar"
    -m comment --comment -foo
    -m comment --comment --dport
    -m comment --comment ""
    -m comment --comment "it's"
    -m comment --comment "say \\"hi\\""
    -m comment --comment "back\\\\slash"
    -m comment --comment a/b
    -m comment --comment a:b,c=d
    -m comment --comment "x;y"
    -m comment --comment "!"
    -m comment --comment "ünïcode"
    -m comment --comment "a" -m comment --comment "b"
    -m comment --comment "cali:abc_-123" -m comment --comment "Policy explicitly accepted packet." -m mark --mark 0x10000/0x10000 -j RETURN
    -m comment
    `,
  ),
];

const hostside: readonly Group[] = [
  any(
    "owner",
    `
    -m owner --uid-owner 0
    -m owner --uid-owner root
    -m owner ! --uid-owner 1000
    -m owner --uid-owner 1000-2000
    -m owner --uid-owner 2000-1000
    -m owner --gid-owner 0
    -m owner --gid-owner root
    -m owner ! --gid-owner 5-7
    -m owner --uid-owner 0-4294967294 --gid-owner 0
    -m owner --socket-exists
    -m owner ! --socket-exists
    -m owner --uid-owner 1000 --gid-owner 1000 --socket-exists
    -m owner --gid-owner 5 --suppl-groups
    -m owner --suppl-groups
    -m owner --uid-owner nobody-such
    -m owner
    `,
  ),
  any(
    "socket",
    `
    -m socket
    -m socket --transparent
    -m socket --nowildcard
    -m socket --transparent --nowildcard
    -m socket --restore-skmark
    -m socket --transparent --nowildcard --restore-skmark
    `,
  ),
  raw(
    "rpfilter",
    `
    -m rpfilter
    -m rpfilter --loose
    -m rpfilter --validmark
    -m rpfilter --accept-local
    -m rpfilter --invert
    -m rpfilter --invert --loose --accept-local --validmark
    -m rpfilter --loose --validmark -j ACCEPT
    `,
  ),
  any(
    "ipvs",
    `
    -m ipvs --ipvs
    `,
  ),
  any(
    "set",
    `
    -m set --match-set addr src
    -m set ! --match-set addr dst
    -m set --match-set port src,dst
    -m set --match-set port dst,dst
    -m set --set addr src
    -m set --match-set addr src --return-nomatch
    -m set --match-set addr src ! --update-counters
    -m set --match-set addr src ! --update-subcounters
    -m set --match-set addr src --packets-eq 5
    -m set --match-set addr src ! --packets-eq 5
    -m set --match-set addr src --packets-lt 5
    -m set --match-set addr src --packets-gt 5
    -m set --match-set addr src --bytes-eq 5
    -m set --match-set addr src ! --bytes-eq 5
    -m set --match-set addr src --bytes-lt 5 --packets-gt 3
    -m set ! --match-set addr src --bytes-gt 18446744073709551615
    -m set --match-set addr src,dst,src,dst,src,dst
    -m set --match-set addr src,dst,src,dst,src,dst,src
    -m set --match-set addr SRC
    -m set --match-set missing src
    -m set --match-set "with blank" src
    -m set
    -m set --match-set port src,dst ! --update-counters ! --update-subcounters --return-nomatch --packets-lt 9 --bytes-gt 1
    `,
  ),
];

const targets: readonly Group[] = [
  v4(
    "REJECT",
    `
    -j REJECT
    -j REJECT --reject-with icmp-net-unreachable
    -j REJECT --reject-with net-unreach
    -j REJECT --reject-with icmp-host-unreachable
    -j REJECT --reject-with host-unreach
    -j REJECT --reject-with icmp-proto-unreachable
    -j REJECT --reject-with proto-unreach
    -j REJECT --reject-with icmp-port-unreachable
    -j REJECT --reject-with port-unreach
    -j REJECT --reject-with icmp-net-prohibited
    -j REJECT --reject-with net-prohib
    -j REJECT --reject-with icmp-host-prohibited
    -j REJECT --reject-with host-prohib
    -j REJECT --reject-with icmp-admin-prohibited
    -j REJECT --reject-with admin-prohib
    -p tcp -j REJECT --reject-with tcp-reset
    -p tcp -j REJECT --reject-with tcp-rst
    -j REJECT --reject-with tcp-reset
    -j REJECT --reject-with echo-reply
    -j REJECT --reject-with icmp-admin
    -j REJECT --reject-with frob
    `,
  ),
  v6(
    "REJECT",
    `
    -j REJECT
    -j REJECT --reject-with icmp6-no-route
    -j REJECT --reject-with no-route
    -j REJECT --reject-with icmp6-adm-prohibited
    -j REJECT --reject-with adm-prohibited
    -j REJECT --reject-with icmp6-addr-unreachable
    -j REJECT --reject-with addr-unreach
    -j REJECT --reject-with icmp6-port-unreachable
    -j REJECT --reject-with port-unreach
    -j REJECT --reject-with icmp6-policy-fail
    -j REJECT --reject-with policy-fail
    -j REJECT --reject-with icmp6-reject-route
    -j REJECT --reject-with reject-route
    -p tcp -j REJECT --reject-with tcp-reset
    -j REJECT --reject-with tcp-reset
    `,
  ),
  any(
    "LOG",
    `
    -j LOG
    -j LOG --log-prefix "[UFW BLOCK] "
    -j LOG --log-prefix plain
    -j LOG --log-prefix "twenty-nine characters long.."
    -j LOG --log-prefix "thirty characters, too long..."
    -j LOG --log-prefix ""
    -j LOG --log-prefix "quote\\"d"
    -j LOG --log-level 0
    -j LOG --log-level 4
    -j LOG --log-level 7
    -j LOG --log-level 8
    -j LOG --log-level emerg
    -j LOG --log-level panic
    -j LOG --log-level alert
    -j LOG --log-level crit
    -j LOG --log-level error
    -j LOG --log-level err
    -j LOG --log-level warning
    -j LOG --log-level warn
    -j LOG --log-level notice
    -j LOG --log-level info
    -j LOG --log-level debug
    -j LOG --log-level DEBUG
    -j LOG --log-level deb
    -j LOG --log-tcp-sequence
    -j LOG --log-tcp-options
    -j LOG --log-ip-options
    -j LOG --log-uid
    -j LOG --log-macdecode
    -j LOG --log-macdecode --log-uid --log-ip-options --log-tcp-options --log-tcp-sequence --log-prefix "x " --log-level 1
    `,
  ),
  any(
    "NFLOG",
    `
    -j NFLOG
    -j NFLOG --nflog-group 1
    -j NFLOG --nflog-group 0
    -j NFLOG --nflog-group 65535
    -j NFLOG --nflog-group 65536
    -j NFLOG --nflog-prefix foo
    -j NFLOG --nflog-prefix "foo bar " --nflog-group 2
    -j NFLOG --nflog-range 128
    -j NFLOG --nflog-range 0
    -j NFLOG --nflog-size 128
    -j NFLOG --nflog-threshold 5
    -j NFLOG --nflog-threshold 1
    -j NFLOG --nflog-threshold 0
    -j NFLOG --nflog-group 1 --nflog-prefix x --nflog-size 5 --nflog-threshold 7
    -j NFLOG --nflog-size 0
    -j NFLOG --nflog-prefix ""
    `,
  ),
  v4("ULOG", `-j ULOG --ulog-nlgroup 1 --ulog-prefix x`),
  any(
    "NFQUEUE",
    `
    -j NFQUEUE
    -j NFQUEUE --queue-num 0
    -j NFQUEUE --queue-num 65535
    -j NFQUEUE --queue-num 5 --queue-bypass
    -j NFQUEUE --queue-balance 0:3
    -j NFQUEUE --queue-balance 1:3 --queue-bypass --queue-cpu-fanout
    -j NFQUEUE --queue-bypass
    -j NFQUEUE --queue-num 65536
    -j NFQUEUE --queue-balance 3:1
    -j NFQUEUE --queue-balance 3
    -j NFQUEUE --queue-num 5 --queue-cpu-fanout
    `,
  ),
  any("QUEUE", `-j QUEUE`),
  any(
    "AUDIT",
    `
    -j AUDIT --type accept
    -j AUDIT --type drop
    -j AUDIT --type reject
    -j AUDIT --type frob
    -j AUDIT
    `,
  ),
  mangle(
    "MARK",
    `
    -j MARK --set-mark 1
    -j MARK --set-mark 1/0xff
    -j MARK --set-mark 0x100/0xff
    -j MARK --set-mark 0
    -j MARK --set-xmark 1
    -j MARK --set-xmark 0x1/0xff
    -j MARK --set-xmark 0x1/0xffffffff
    -j MARK --and-mark 0xff
    -j MARK --or-mark 0x4000
    -j MARK --xor-mark 5
    -j MARK --and-mark 0
    -j MARK
    -j MARK --set-mark 1 --or-mark 2
    -m mark --mark 1 -j MARK --set-mark 2
    -j MARK --set-mark 4294967296
    `,
  ),
  mangle(
    "CONNMARK",
    `
    -j CONNMARK --set-mark 1
    -j CONNMARK --set-mark 1/0xff
    -j CONNMARK --set-xmark 1
    -j CONNMARK --set-xmark 0x1/0xff
    -j CONNMARK --and-mark 0xff
    -j CONNMARK --or-mark 0x4000
    -j CONNMARK --xor-mark 5
    -j CONNMARK --save-mark
    -j CONNMARK --restore-mark
    -j CONNMARK --save-mark --mask 0xff
    -j CONNMARK --restore-mark --mask 0xff00
    -j CONNMARK --save-mark --nfmask 0xf --ctmask 0xf0
    -j CONNMARK --restore-mark --nfmask 0xf --ctmask 0xf0
    -j CONNMARK --restore-mark --nfmask 0xff
    -j CONNMARK --save-mark --ctmask 0xff
    -j CONNMARK --save-mark --mask 0xff --nfmask 5
    -j CONNMARK --left-shift-mark 2
    -j CONNMARK --set-xmark 1/0xff --left-shift-mark 3
    -j CONNMARK --restore-mark --right-shift-mark 5
    -j CONNMARK --save-mark --left-shift-mark 5
    -j CONNMARK
    -m connmark --mark 5 -j CONNMARK --restore-mark
    `,
  ),
  of(
    "SECMARK",
    "security",
    [4, 6],
    `
    -j SECMARK --selctx system_u:object_r:http_packet_t:s0
    `,
  ),
  of(
    "CONNSECMARK",
    "security",
    [4, 6],
    `
    -j CONNSECMARK --save
    -j CONNSECMARK --restore
    -j CONNSECMARK
    `,
  ),
  raw(
    "CT",
    `
    -j CT --notrack
    -j CT --zone 5
    -j CT --zone mark
    -j CT --zone-orig 5
    -j CT --zone-reply mark
    -j CT --zone 65535
    -j CT --zone 65536
    -p tcp -j CT --helper ftp
    -p udp -j CT --helper tftp --zone 3
    -j CT --ctevents new,destroy
    -j CT --ctevents related,reply,assured,protoinfo,helper,mark,natseqinfo,secmark
    -j CT --expevents new
    -j CT --ctevents new --expevents new
    -j CT --notrack --zone 1
    -p tcp -j CT --timeout frob
    -j CT
    -j NOTRACK
    -j CT --notrack -p tcp --dport 80
    `,
  ),
  raw("NOTRACK", `-j NOTRACK`),
  raw("TRACE", `-j TRACE`),
  of(
    "DNAT",
    "nat",
    [4],
    `
    -j DNAT --to-destination 192.0.2.1
    -j DNAT --to-destination 192.0.2.1-192.0.2.9
    -j DNAT --to-destination 192.0.2.9-192.0.2.1
    -p tcp -j DNAT --to-destination 192.0.2.1:80
    -p tcp -j DNAT --to-destination 192.0.2.1:80-90
    -p tcp -j DNAT --to-destination 192.0.2.1-192.0.2.9:80-90
    -p tcp -j DNAT --to-destination :80
    -p tcp -j DNAT --to-destination :80-90
    -p tcp -j DNAT --to-destination 192.0.2.1:http
    -p tcp -j DNAT --to-destination 192.0.2.1:8000-8010/9000
    -p tcp -j DNAT --to-destination :8000-8010/9000
    -p tcp -j DNAT --to-destination 192.0.2.1:90-80
    -p tcp -j DNAT --to-destination 192.0.2.1:65536
    -p tcp -j DNAT --to-destination 192.0.2.1:0
    -p udp -j DNAT --to-destination 192.0.2.1:80 --random
    -j DNAT --to-destination 192.0.2.1 --persistent
    -j DNAT --to-destination 192.0.2.1 --random --persistent
    -j DNAT --to-destination 192.0.2.1:80
    -p sctp -j DNAT --to-destination 192.0.2.1:80
    -p tcp -j DNAT --to 192.0.2.1:80
    ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
    -j DNAT
    -j DNAT --to-destination frob
    -p icmp -j DNAT --to-destination 192.0.2.1:80
    -p udplite -j DNAT --to-destination 192.0.2.1:80
    -p dccp -j DNAT --to-destination 192.0.2.1:80
    -p icmpv6 -j DNAT --to-destination 192.0.2.1:80
    -p gre -j DNAT --to-destination 192.0.2.1:80
    ! -p tcp -j DNAT --to-destination 192.0.2.1:80
    ! -p gre -j DNAT --to-destination 192.0.2.1:80
    `,
  ),
  of(
    "DNAT",
    "nat",
    [6],
    `
    -j DNAT --to-destination 2001:db8::1
    -j DNAT --to-destination 2001:db8::1-2001:db8::9
    -p tcp -j DNAT --to-destination [2001:db8::1]:80
    -p tcp -j DNAT --to-destination [2001:db8::1]:80-90
    -p tcp -j DNAT --to-destination [2001:db8::1-2001:db8::9]:80-90
    -p tcp -j DNAT --to-destination [2001:db8::1]-[2001:db8::9]:80-90
    -p tcp -j DNAT --to-destination [2001:db8::1]
    -p tcp -j DNAT --to-destination :80
    -p tcp -j DNAT --to-destination [2001:db8::1]:8000-8010/9000
    -p tcp -j DNAT --to-destination [2001:db8::1]:80 --random --persistent
    -p tcp -j DNAT --to-destination 2001:db8::1:80
    -p icmpv6 -j DNAT --to-destination [2001:db8::1]:80
    -p icmp -j DNAT --to-destination [2001:db8::1]:80
    -p udplite -j DNAT --to-destination [2001:db8::1]:80
    ! -p tcp -j DNAT --to-destination [2001:db8::1]:80
    `,
  ),
  of(
    "SNAT",
    "nat",
    [4],
    `
    -j SNAT --to-source 192.0.2.1
    -j SNAT --to-source 192.0.2.1-192.0.2.9
    -p tcp -j SNAT --to-source 192.0.2.1:1024
    -p tcp -j SNAT --to-source 192.0.2.1:1024-65535
    -p tcp -j SNAT --to-source :1024-65535
    -j SNAT --to-source 192.0.2.1 --random
    -j SNAT --to-source 192.0.2.1 --random-fully
    -j SNAT --to-source 192.0.2.1 --persistent
    -j SNAT --to-source 192.0.2.1 --persistent --random --random-fully
    -p tcp -j SNAT --to-source 192.0.2.1:http
    -p tcp -j SNAT --to-source 192.0.2.1:8000-8010/9000
    -j SNAT --to 192.0.2.1
    -j SNAT
    `,
  ),
  of(
    "SNAT",
    "nat",
    [6],
    `
    -j SNAT --to-source 2001:db8::1
    -j SNAT --to-source 2001:db8::1-2001:db8::9
    -p tcp -j SNAT --to-source [2001:db8::1]:1024-65535
    -p tcp -j SNAT --to-source :1024-65535
    -j SNAT --to-source 2001:db8::1 --persistent --random --random-fully
    `,
  ),
  of(
    "MASQUERADE",
    "nat",
    [4, 6],
    `
    -j MASQUERADE
    -j MASQUERADE --random
    -j MASQUERADE --random-fully
    -p tcp -j MASQUERADE --to-ports 1024
    -p udp -j MASQUERADE --to-ports 1024-31000
    -p udp -j MASQUERADE --to-ports 1024-31000 --random --random-fully
    -p tcp -j MASQUERADE --to-ports 1024:31000
    -p tcp -j MASQUERADE --to-ports http
    -p tcp -j MASQUERADE --to-port 1024
    -j MASQUERADE --to-ports 1024
    -p tcp -j MASQUERADE --to-ports 8000-8010/9000
    -p icmp -j MASQUERADE --to-ports 1024
    -p icmpv6 -j MASQUERADE --to-ports 1024
    ! -p udp -j MASQUERADE --to-ports 1024
    `,
  ),
  of(
    "REDIRECT",
    "nat",
    [4, 6],
    `
    -j REDIRECT
    -p tcp -j REDIRECT --to-ports 3128
    -p tcp -j REDIRECT --to-port 3128
    -p tcp -j REDIRECT --to-ports 3128-3130
    -p tcp -j REDIRECT --to-ports http
    -p tcp -j REDIRECT --to-ports 3128 --random
    -j REDIRECT --random
    -p tcp -j REDIRECT --to-ports 0
    -p tcp -j REDIRECT --to-ports 8000-8010/9000
    -j REDIRECT --to-ports 3128
    -p icmp -j REDIRECT --to-ports 3128
    -p udplite -j REDIRECT --to-ports 3128
    ! -p icmp -j REDIRECT --to-ports 3128
    `,
  ),
  of(
    "NETMAP",
    "nat",
    [4],
    `
    -j NETMAP --to 192.0.2.0/24
    -j NETMAP --to 192.0.2.1
    -j NETMAP --to 192.0.2.77/255.255.255.0
    -j NETMAP --to 192.0.2.77/24
    -j NETMAP
    `,
  ),
  of(
    "NETMAP",
    "nat",
    [6],
    `
    -j NETMAP --to 2001:db8::/64
    -j NETMAP --to 2001:db8::1
    `,
  ),
  mangle(
    "DSCP",
    `
    -j DSCP --set-dscp 0
    -j DSCP --set-dscp 0x3f
    -j DSCP --set-dscp 10
    -j DSCP --set-dscp 64
    -j DSCP --set-dscp-class EF
    -j DSCP --set-dscp-class be
    -j DSCP --set-dscp-class CS1
    -j DSCP --set-dscp-class AF12
    -j DSCP
    `,
  ),
  mangle(
    "TOS",
    `
    -j TOS --set-tos 0x10
    -j TOS --set-tos 0x10/0xff
    -j TOS --set-tos 16/0x3f
    -j TOS --set-tos Minimize-Delay
    -j TOS --set-tos Normal-Service
    -j TOS --set-tos Maximize-Throughput
    -j TOS --and-tos 0x12
    -j TOS --or-tos 0x12
    -j TOS --xor-tos 0x12
    -j TOS
    `,
  ),
  of(
    "TTL",
    "mangle",
    [4],
    `
    -j TTL --ttl-set 64
    -j TTL --ttl-inc 1
    -j TTL --ttl-dec 1
    -j TTL --ttl-set 0
    -j TTL --ttl-inc 0
    -j TTL --ttl-set 256
    -j TTL
    -m ttl --ttl-lt 5 -j TTL --ttl-set 5
    `,
  ),
  of(
    "HL",
    "mangle",
    [6],
    `
    -j HL --hl-set 64
    -j HL --hl-inc 1
    -j HL --hl-dec 1
    -j HL --hl-set 256
    -j HL
    `,
  ),
  of(
    "ECN",
    "mangle",
    [4],
    `
    -p tcp -j ECN --ecn-tcp-remove
    -j ECN --ecn-tcp-remove
    -j ECN
    `,
  ),
  mangle(
    "CLASSIFY",
    `
    -j CLASSIFY --set-class 1:2
    -j CLASSIFY --set-class 0:ffff
    -j CLASSIFY --set-class ABCD:0012
    -j CLASSIFY --set-class 1
    -j CLASSIFY
    `,
  ),
  mangle(
    "CHECKSUM",
    `
    -j CHECKSUM --checksum-fill
    -p udp --dport 68 -j CHECKSUM --checksum-fill
    -j CHECKSUM
    `,
  ),
  mangle(
    "TCPMSS",
    `
    -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
    -p tcp --syn -j TCPMSS --set-mss 1400
    -p tcp --tcp-flags FIN,SYN,RST,ACK SYN -j TCPMSS --set-mss 0
    -p tcp -j TCPMSS --set-mss 1400
    -p tcp --syn -j TCPMSS
    `,
  ),
  mangle(
    "TCPOPTSTRIP",
    `
    -p tcp -j TCPOPTSTRIP --strip-options 2,3,4,5,6,7
    -p tcp -j TCPOPTSTRIP --strip-options wscale,mss,sack-permitted,sack,timestamp,md5
    -p tcp -j TCPOPTSTRIP --strip-options 7,2,timestamp
    -p tcp -j TCPOPTSTRIP --strip-options 0
    -p tcp -j TCPOPTSTRIP --strip-options 1
    -p tcp -j TCPOPTSTRIP --strip-options 200
    -p tcp -j TCPOPTSTRIP
    `,
  ),
  of(
    "TEE",
    "mangle",
    [4],
    `
    -j TEE --gateway 192.0.2.1
    -j TEE --gateway 192.0.2.1 --oif eth0
    -j TEE
    `,
  ),
  of(
    "TEE",
    "mangle",
    [6],
    `
    -j TEE --gateway 2001:db8::1
    -j TEE --gateway 2001:db8::1 --oif eth0
    `,
  ),
  of(
    "TPROXY",
    "mangle",
    [4],
    `
    -p tcp -j TPROXY --on-port 3128
    -p tcp -j TPROXY --on-port 3128 --tproxy-mark 1
    -p tcp -j TPROXY --on-port 3128 --tproxy-mark 0x1/0x1 --on-ip 127.0.0.1
    -p udp -j TPROXY --on-ip 192.0.2.1 --on-port 0
    -p tcp -j TPROXY --on-port 3128 --tproxy-mark 1/0xff
    -p tcp -j TPROXY
    -j TPROXY --on-port 3128
    `,
  ),
  of(
    "TPROXY",
    "mangle",
    [6],
    `
    -p tcp -j TPROXY --on-port 3128
    -p tcp -j TPROXY --on-port 3128 --tproxy-mark 0x1/0x1 --on-ip ::1
    `,
  ),
  mangle(
    "HMARK",
    `
    -j HMARK --hmark-tuple src,dst --hmark-mod 10 --hmark-offset 1000 --hmark-rnd 0xfeedcafe
    -j HMARK --hmark-tuple ct,src,dst,proto --hmark-offset 10000 --hmark-mod 10 --hmark-rnd 1
    -j HMARK --hmark-tuple src,dst,sport,dport,proto --hmark-mod 10 --hmark-rnd 1
    -j HMARK --hmark-tuple spi,src --hmark-mod 10 --hmark-rnd 1
    -j HMARK --hmark-src-prefix 24 --hmark-dst-prefix 16 --hmark-sport-mask 0xff --hmark-dport-mask 0xff00 --hmark-proto-mask 6 --hmark-mod 5 --hmark-rnd 2
    -j HMARK --hmark-spi-mask 0xffff0000 --hmark-mod 5 --hmark-rnd 2
    -j HMARK --hmark-tuple sport --hmark-mod 0x10 --hmark-rnd 0x10 --hmark-offset 5
    -j HMARK --hmark-mod 10
    -j HMARK
    `,
  ),
  mangle(
    "IDLETIMER",
    `
    -j IDLETIMER --timeout 10 --label foo
    -j IDLETIMER --timeout 42 --label bar --alarm
    -j IDLETIMER --timeout 10 --label "foo bar"
    -j IDLETIMER
    `,
  ),
  any("LED", `-j LED --led-trigger-id foo --led-delay 5 --led-always-blink`),
  mangle(
    "RATEEST",
    `
    -j RATEEST --rateest-name RE1 --rateest-interval 250ms --rateest-ewmalog 500ms
    -j RATEEST --rateest-name RE2 --rateest-interval 1s --rateest-ewmalog 2s
    -j RATEEST --rateest-name RE3 --rateest-interval 500000us --rateest-ewmalog 4s
    -j RATEEST --rateest-name RE4 --rateest-interval 4 --rateest-ewmalog 8
    -j RATEEST --rateest-name RE5 --rateest-interval 250ms --rateest-ewmalog 0.5s
    -j RATEEST
    `,
  ),
  mangle(
    "rateest",
    `
    -m rateest --rateest RE1 --rateest-lt --rateest-bps 8bit
    -m rateest --rateest RE1 --rateest-gt --rateest-pps 5
    -m rateest ! --rateest-eq --rateest RE1 --rateest-pps 5
    -m rateest --rateest RE1 ! --rateest-gt --rateest-bps 2.5mbit
    -m rateest --rateest RE1 --rateest-eq --rateest-bps 100KBps
    -m rateest --rateest RE1 --rateest-delta --rateest-bps1 1mbit --rateest-gt --rateest-bps2 2mbit
    -m rateest --rateest1 RE1 --rateest-lt --rateest2 RE2 --rateest-bps
    -m rateest --rateest1 RE1 --rateest-eq --rateest2 RE2 --rateest-pps
    -m rateest --rateest1 RE1 --rateest-gt --rateest2 RE2 --rateest-bps --rateest-pps
    -m rateest --rateest-delta --rateest1 RE1 --rateest-bps1 2.5mbit --rateest-gt --rateest2 RE2 --rateest-bps2 2mbit
    -m rateest --rateest-delta --rateest1 RE1 --rateest-pps1 5 ! --rateest-lt --rateest2 RE2 --rateest-pps2 7
    `,
  ),
  any(
    "SET",
    `
    -j SET --add-set addr src
    -j SET --del-set addr dst
    -j SET --add-set port src,dst --timeout 60
    -j SET --add-set port src,dst --exist
    -j SET --add-set port src,dst --exist --timeout 60
    -j SET --add-set addr src --del-set port dst,dst
    -j SET --del-set port dst,dst --add-set addr src --exist
    -j SET --add-set missing src
    -j SET
    `,
  ),
  mangle(
    "SET",
    `
    -j SET --map-set info src --map-mark
    -j SET --map-set info src --map-mark --map-prio --map-queue
    -j SET --map-set info dst --map-prio
    -j SET --map-set info dst
    `,
  ),
  any(
    "SYNPROXY",
    `
    -p tcp -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY --sack-perm --timestamp --wscale 7 --mss 1460
    -p tcp -j SYNPROXY
    -p tcp -j SYNPROXY --ecn --wscale 9
    -j SYNPROXY --mss 1460
    `,
  ),
  of(
    "SNPT",
    "mangle",
    [6],
    `
    -j SNPT --src-pfx fd00::/64 --dst-pfx 2001:e20:2000:40f::/64
    -j SNPT --src-pfx fd00::/48 --dst-pfx 2001:db8::/48
    -j SNPT --src-pfx fd00::/64
    `,
  ),
  of(
    "DNPT",
    "mangle",
    [6],
    `
    -j DNPT --src-pfx 2001:e20:2000:40f::/64 --dst-pfx fd00::/64
    `,
  ),
  v4(
    "CLUSTERIP",
    `-j CLUSTERIP --new --hashmode sourceip --clustermac 01:02:03:04:05:06 --total-nodes 2 --local-node 1 --hash-init 1`,
  ),
];

export const GROUPS: readonly Group[] = [
  ...header,
  ...protocols,
  ...addresses,
  ...fields,
  ...conntrack,
  ...state,
  ...hostside,
  ...targets,
];

/** The sets that the cases name, as input of `ipset restore`; names of IPv6 sets end in `6`. */
export const SETS = (family: Family): string => {
  const inet = family === 4 ? "inet" : "inet6";
  return [
    `create addr hash:ip family ${inet} counters`,
    `create port hash:ip,port family ${inet} timeout 0`,
    `create info hash:ip family ${inet} skbinfo`,
    "",
  ].join("\n");
};

/**
 * Lines whose saved form says less than, or something else than, what was written, so that fwcheck keeps what was
 * written instead: each with what iptables-save 1.8.9 does to it.
 */
export const LOSSY: ReadonlyMap<string, string> = new Map([
  ["-p tcp -j SNAT --to-source 192.0.2.1:8000-8010/9000", "the base port of a SNAT is printed as 0"],
  ["-p tcp -j MASQUERADE --to-ports 8000-8010/9000", "the base port is printed as 0"],
  ["! -i +", "legacy drops it, nft keeps it: no interface at all is not everything"],
  ["-p tcp ! --sport 0:65535", "all ports are not printed, negated or not; nft forgets the match"],
  ["-p udp --sport : ! --dport :", "all ports are not printed, negated or not; nft forgets the match"],
  ["-p esp ! --espspi 0:4294967295", "all SPIs are not printed, negated or not"],
  ["-p ah ! --ahspi 0:4294967295", "all SPIs are not printed, negated or not"],
  ["-p tcp -m tcp --dport 80 -m tcp --sport 80", "nft makes one match of two"],
  ["! -p tcp --dport 80", "nft takes the ports of a protocol that the rule excludes; legacy refuses it"],
  [
    "-p sctp --chunk-types any I_DATA:IUBE,RE_CONFIG,PAD,I_FORWARD_TSN",
    "the flags of I_DATA are not printed",
  ],
  ["-m srh ! --srh-hdr-len-gt 8 --srh-hdr-len-lt 9", "both share one number"],
  ["-m srh --srh-segs-left-gt 8 ! --srh-segs-left-lt 9", "both share one number"],
  ["-m srh ! --srh-last-entry-gt 4 --srh-last-entry-lt 5", "both share one number"],
  ["-m limit --limit-burst 0", "nft takes it for the default, legacy refuses it"],
  [
    "-m hashlimit --hashlimit-upto 1b/s --hashlimit-mode srcip --hashlimit-name foo13",
    "printed as 0b/s, which iptables-restore refuses",
  ],
  ["-j NFLOG --nflog-range 128", "nft forgets it"],
  [
    "-m rateest --rateest1 RE1 --rateest-gt --rateest2 RE2 --rateest-bps --rateest-pps",
    "the comparison is printed twice, which iptables-restore refuses",
  ],
  [
    '-m hashlimit --hashlimit-upto 3/sec --hashlimit-burst 3 --hashlimit-name "foo bar"',
    "printed without quotes",
  ],
  ['-m recent --name "foo bar" --set', "printed without quotes"],
  ['-j IDLETIMER --timeout 10 --label "foo bar"', "printed without quotes"],
]);
