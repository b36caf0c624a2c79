/** Symbolic constants of nft's datatypes, as `nft describe TYPE` prints them. */

/** Values by symbol. */
export type Symbols = ReadonlyMap<string, number>;

/** Reads `name=number` words. */
const table = (text: string): Symbols =>
  new Map(
    text
      .trim()
      .split(/\s+/)
      .map((entry): [string, number] => {
        const [name, number] = entry.split("=");
        return [name!, Number(number)];
      }),
  );

export const TCP_FLAG = table("fin=0x01 syn=0x02 rst=0x04 psh=0x08 ack=0x10 urg=0x20 ecn=0x40 cwr=0x80");

export const CT_STATE_BITS = table("invalid=1 established=2 related=4 new=8 untracked=64");

export const CT_STATUS_BITS = table(
  "expected=1 seen-reply=2 assured=4 confirmed=8 snat=16 dnat=32 dying=512",
);

export const CT_DIRECTION = table("original=0 reply=1");

export const FIB_TYPE = table(
  "unspec=0 unicast=1 local=2 broadcast=3 anycast=4 multicast=5 blackhole=6 unreachable=7 prohibit=8",
);

export const ICMP_TYPE = table(`
  echo-reply=0 destination-unreachable=3 source-quench=4 redirect=5 echo-request=8 router-advertisement=9
  router-solicitation=10 time-exceeded=11 parameter-problem=12 timestamp-request=13 timestamp-reply=14
  info-request=15 info-reply=16 address-mask-request=17 address-mask-reply=18
`);

export const ICMPV6_TYPE = table(`
  destination-unreachable=1 packet-too-big=2 time-exceeded=3 parameter-problem=4 echo-request=128 echo-reply=129
  mld-listener-query=130 mld-listener-report=131 mld-listener-done=132 mld-listener-reduction=132
  nd-router-solicit=133 nd-router-advert=134 nd-neighbor-solicit=135 nd-neighbor-advert=136 nd-redirect=137
  router-renumbering=138 ind-neighbor-solicit=141 ind-neighbor-advert=142 mld2-listener-report=143
`);

export const ICMP_CODE = table(`
  net-unreachable=0 host-unreachable=1 prot-unreachable=2 port-unreachable=3 frag-needed=4 net-prohibited=9
  host-prohibited=10 admin-prohibited=13
`);

export const ICMPV6_CODE = table(
  "no-route=0 admin-prohibited=1 addr-unreachable=3 port-unreachable=4 policy-fail=5 reject-route=6",
);

export const PACKET_TYPE = table("host=0 unicast=0 broadcast=1 multicast=2 other=3");

export const DSCP = table(`
  cs0=0x00 cs1=0x08 cs2=0x10 cs3=0x18 cs4=0x20 cs5=0x28 cs6=0x30 cs7=0x38 df=0x00 be=0x00 lephb=0x01 af11=0x0a
  af12=0x0c af13=0x0e af21=0x12 af22=0x14 af23=0x16 af31=0x1a af32=0x1c af33=0x1e af41=0x22 af42=0x24 af43=0x26
  va=0x2c ef=0x2e
`);

export const ECN = table("not-ect=0 ect1=1 ect0=2 ce=3");

export const ETHER_TYPE = table("ip=0x0800 arp=0x0806 ip6=0x86dd 8021q=0x8100 8021ad=0x88a8 vlan=0x8100");

/** NFPROTO_IPV4 and NFPROTO_IPV6. */
export const NF_PROTO = table("ipv4=2 ipv6=10");

export const INTERFACE_TYPE = table("ether=1 ppp=512 ipip=768 ipip6=769 loopback=772 sit=776 ipgre=778");

export const BOOLEAN = table("exists=1 missing=0 true=1 false=0");

export const WEEKDAY = table("sunday=0 monday=1 tuesday=2 wednesday=3 thursday=4 friday=5 saturday=6");

export const DCCP_TYPE = table(
  "request=0 response=1 data=2 ack=3 dataack=4 closereq=5 close=6 reset=7 sync=8 syncack=9",
);

export const IGMP_TYPE = table(
  "membership-query=17 membership-report-v1=18 membership-report-v2=22 leave-group=23 membership-report-v3=34",
);

/** Groups of interfaces in iproute2's file `group`. */
export const DEVICE_GROUP = table("default=0");
