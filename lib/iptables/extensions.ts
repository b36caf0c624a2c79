/** All extensions by name. Each is declared in one file of matches/ or targets/; only this list names them all. */
import type { Family } from "../packet/field.ts";
import type { MatchExtension, TargetExtension } from "./extension.ts";
import { addrtype } from "./matches/addrtype.ts";
import { comment } from "./matches/comment.ts";
import { connlabel, conntrack, helper, state } from "./matches/conntrack.ts";
import { connbytes, connlimit, nfacct, quota } from "./matches/counters.ts";
import { dccp } from "./matches/dccp.ts";
import { devgroup, realm } from "./matches/device-group.ts";
import { dst, frag, hbh, ipv6header, mh, rt, srh } from "./matches/extension-headers.ts";
import { icmp, icmp6 } from "./matches/icmp.ts";
import { iprange } from "./matches/iprange.ts";
import { ah4, ah6, esp, ipcomp, policy } from "./matches/ipsec.ts";
import { set } from "./matches/ipset.ts";
import { ipvs } from "./matches/ipvs.ts";
import { hl, length, tcpmss, ttl } from "./matches/length-ttl.ts";
import { eui64, mac, pkttype } from "./matches/link-layer.ts";
import { connmark, mark } from "./matches/mark.ts";
import { bpf, osf, stringMatch, u32 } from "./matches/payload.ts";
import { physdev } from "./matches/physdev.ts";
import { multiport, tcp, udp } from "./matches/ports.ts";
import { hashlimit, limit, rateest } from "./matches/rate-limits.ts";
import { recent } from "./matches/recent.ts";
import { rpfilter } from "./matches/rpfilter.ts";
import { ruleHeader } from "./matches/rule-header.ts";
import { sctp } from "./matches/sctp.ts";
import { cgroup, owner, socket } from "./matches/socket.ts";
import { cluster, cpu, statistic } from "./matches/statistic.ts";
import { time } from "./matches/time.ts";
import { dscp, ecn, tos } from "./matches/tos.ts";
import * as track from "./targets/ct.ts";
import * as sets from "./targets/ipset.ts";
import * as marks from "./targets/marks.ts";
import * as nat from "./targets/nat.ts";
import * as proxy from "./targets/proxy.ts";
import * as rewrite from "./targets/rewrite.ts";
import * as notes from "./targets/side-effects.ts";
import * as verdicts from "./targets/verdicts.ts";

/** Options of every rule, without `-m`. */
export const HEADER: MatchExtension = ruleHeader;

/** All matches, by name. */
export const MATCHES: readonly MatchExtension[] = [
  addrtype,
  ah4,
  ah6,
  bpf,
  cgroup,
  cluster,
  comment,
  connbytes,
  connlabel,
  connlimit,
  connmark,
  conntrack,
  cpu,
  dccp,
  devgroup,
  dscp,
  dst,
  ecn,
  esp,
  eui64,
  frag,
  hashlimit,
  hbh,
  helper,
  hl,
  icmp,
  icmp6,
  ipcomp,
  iprange,
  ipv6header,
  ipvs,
  length,
  limit,
  mac,
  mark,
  mh,
  multiport,
  nfacct,
  osf,
  owner,
  physdev,
  pkttype,
  policy,
  quota,
  rateest,
  realm,
  recent,
  rpfilter,
  rt,
  sctp,
  set,
  socket,
  srh,
  state,
  statistic,
  stringMatch,
  tcp,
  tcpmss,
  time,
  tos,
  ttl,
  u32,
  udp,
];

const all = [marks, nat, notes, proxy, rewrite, sets, track, verdicts];

/** All targets, by name. */
export const TARGETS: readonly TargetExtension[] = all
  .flatMap((file): TargetExtension[] => Object.values(file))
  .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));

type Named = MatchExtension | TargetExtension;

const families = (e: Named): readonly Family[] => (e.family === undefined ? [4, 6] : [e.family]);

const byName = <E extends Named>(list: readonly E[]): Readonly<Record<Family, ReadonlyMap<string, E>>> => {
  const maps = { 4: new Map<string, E>(), 6: new Map<string, E>() };
  for (const e of list)
    for (const family of families(e))
      for (const name of [e.name, ...(e.aliases ?? [])]) maps[family].set(name, e);
  return maps;
};

const matches = byName(MATCHES);
const targets = byName(TARGETS);
const implicit = { 4: new Map<number, MatchExtension>(), 6: new Map<number, MatchExtension>() };
for (const e of MATCHES)
  if (e.protocol !== undefined) for (const family of families(e)) implicit[family].set(e.protocol, e);

/** Length of the longest name of a target extension. */
export const LONGEST_TARGET = Math.max(...[...targets[4].keys(), ...targets[6].keys()].map((n) => n.length));

/** Returns a match by name; `undefined` if the family has none that fwcheck knows. */
export const matchByName = (name: string, family: Family): MatchExtension | undefined =>
  matches[family].get(name);
/** Returns a target by name. */
export const targetByName = (name: string, family: Family): TargetExtension | undefined =>
  targets[family].get(name);
/** Returns the match that an option without `-m` loads for the protocol of `-p`. */
export const implicitMatch = (protocol: number, family: Family): MatchExtension | undefined =>
  implicit[family].get(protocol);
