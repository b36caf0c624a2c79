/** Words of the language that are not free: headers with their fields, keys of meta and ct, words of statements. From nft(8), 1.0.6 to 1.1.x. */

const words = (text: string): ReadonlySet<string> => new Set(text.split(" "));

/** Headers and their fields. */
export const headerFields: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  Object.entries({
    ether: "saddr daddr type",
    vlan: "id dei cfi pcp type",
    arp: "htype ptype hlen plen operation saddr daddr",
    ip: "version hdrlength dscp ecn length id frag-off ttl protocol checksum saddr daddr option",
    icmp: "type code checksum id sequence mtu gateway",
    igmp: "type checksum mrt group",
    ip6: "version dscp ecn flowlabel length nexthdr hoplimit saddr daddr",
    icmpv6: "type code checksum parameter-problem packet-too-big mtu id sequence max-delay taddr daddr",
    tcp: "sport dport sequence ackseq doff reserved flags window checksum urgptr option",
    udp: "sport dport length checksum",
    udplite: "sport dport checksum csumcov",
    sctp: "sport dport vtag checksum chunk",
    dccp: "sport dport type option",
    ah: "nexthdr hdrlength reserved spi sequence",
    esp: "spi sequence",
    comp: "nexthdr flags cpi",
    th: "sport dport",
    hbh: "nexthdr hdrlength",
    dst: "nexthdr hdrlength",
    rt: "nexthdr hdrlength type seg-left classid nexthop mtu ipsec ip ip6",
    rt0: "addr",
    rt2: "addr",
    rt4: "last-entry flags tag sid",
    srh: "last-entry flags tag sid",
    frag: "nexthdr reserved frag-off reserved2 more-fragments id",
    mh: "nexthdr hdrlength type reserved checksum",
    vxlan: "vni flags",
    geneve: "vni type",
    gre: "hdrlength flags version protocol",
    gretap: "",
  }).map(([header, fields]) => [header, words(fields)]),
);

/** Headers that can be followed by a header inside the tunnel. */
export const tunnelHeaders = words("vxlan geneve gre gretap");

/** Fields that have a part: `tcp option maxseg size`, `sctp chunk data flags`, `arp saddr ip`. */
export const fieldParts: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  Object.entries({
    "ip option": "type length value ptr addr",
    "tcp option": "kind length size count left right tsval tsecr subtype",
    "sctp chunk":
      "type flags length tsn stream ssn ppid init-tag a-rwnd num-outbound-streams num-inbound-streams initial-tsn " +
      "cum-tsn-ack num-gap-ack-blocks num-dup-tsns lowest-tsn seqno new-cum-tsn",
    "dccp option": "",
    "arp saddr": "ip ether",
    "arp daddr": "ip ether",
    "rt ip": "nexthop",
    "rt ip6": "nexthop",
  }).map(([field, parts]) => [field, words(parts)]),
);

/** Keys of meta that need no `meta` before them. */
export const bareMetaKeys = words(
  "mark iif iifname iiftype oif oifname oiftype skuid skgid nftrace rtclassid ibriport ibrname obriport obrname pkttype " +
    "cpu iifgroup oifgroup cgroup time day hour",
);

/** All keys of meta. */
export const metaKeys: ReadonlySet<string> = new Set([
  ...bareMetaKeys,
  ...words(
    "length protocol priority random secpath ipsec l4proto nfproto iifkind oifkind secmark sdif sdifname broute ibrvproto " +
      "ibrpvid ibrhwaddr",
  ),
]);

/** Keys of ct. */
export const ctKeys = words(
  "state direction status mark expiration helper l3proto protocol proto-src proto-dst saddr daddr bytes packets avgpkt zone " +
    "label count event secmark id timeout expectation",
);

export const fibFields = words("saddr daddr mark iif oif");
export const fibResults = words("oif oifname type check");

/** Options of a log statement that have one value. */
export const logOptions = words("prefix level group snaplen queue-threshold flags");

export const natFlags = words("random fully-random persistent");

export const comparisonWords: ReadonlyMap<string, string> = new Map([
  ["eq", "=="],
  ["ne", "!="],
  ["lt", "<"],
  ["gt", ">"],
  ["le", "<="],
  ["ge", ">="],
  ["not", "!"],
]);

export const binaryWords: ReadonlyMap<string, string> = new Map([
  ["and", "&"],
  ["or", "|"],
  ["xor", "^"],
  ["lshift", "<<"],
  ["rshift", ">>"],
]);

/** Words that `nft -f` never takes for a name: keywords of the versions from 1.0.6 to 1.1.7. */
export const reservedWords = words(
  "accept add ah all and arp auto-merge bridge cgroup chain comment comp constant continue counter cpu " +
    "create ct day dccp define delete describe device devices dnat drop dst dup dynamic ecn element elements " +
    "eq esp ether exists expires export exthdr fib flags flow flowtable flush frag fwd gc-interval ge get " +
    "goto gt handle hbh hook hour ibriport ibrname icmp icmpv6 igmp iif iifgroup iifname iiftype import " +
    "include index inet insert interval ip ip6 ipsec jhash jump le limit list log lshift lt map mark " +
    "masquerade meta meter mh missing monitor ne netdev nftrace not notrack numgen obriport obrname offload " +
    "oif oifgroup oifname oiftype or osf pkttype policy position priority queue quota random redefine " +
    "redirect reject rename replace reset return rshift rt rt0 rt2 rtclassid rule ruleset sctp secmark set " +
    "size skgid skuid snat socket srh symhash synproxy table tcp th time timeout tproxy type typeof udp " +
    "udplite undefine update vlan vmap xor xt",
);
