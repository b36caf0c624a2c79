/** Prints the target REJECT for a reject of nftables. */
import type { Family } from "../packet/field.ts";

/** Answers of REJECT by the names of nft(8), `icmpx` included: IPv4 and IPv6 (nft_reject.c). */
const BY_NFT_NAME: ReadonlyMap<string, readonly [v4: string, v6: string]> = new Map([
  ["net-unreachable", ["icmp-net-unreachable", "icmp6-no-route"]],
  ["no-route", ["icmp-net-unreachable", "icmp6-no-route"]],
  ["host-unreachable", ["icmp-host-unreachable", "icmp6-addr-unreachable"]],
  ["addr-unreachable", ["icmp-host-unreachable", "icmp6-addr-unreachable"]],
  ["prot-unreachable", ["icmp-proto-unreachable", "icmp6-port-unreachable"]],
  ["port-unreachable", ["icmp-port-unreachable", "icmp6-port-unreachable"]],
  ["net-prohibited", ["icmp-net-prohibited", "icmp6-adm-prohibited"]],
  ["host-prohibited", ["icmp-host-prohibited", "icmp6-adm-prohibited"]],
  ["admin-prohibited", ["icmp-admin-prohibited", "icmp6-adm-prohibited"]],
  ["policy-fail", ["icmp-admin-prohibited", "icmp6-policy-fail"]],
  ["reject-route", ["icmp-admin-prohibited", "icmp6-reject-route"]],
]);

/** Returns the target REJECT with an answer that nft(8) names; the default answer for an unknown name. */
export function rejectText(nftName: string | undefined, family: Family): string {
  const names = nftName === undefined ? undefined : BY_NFT_NAME.get(nftName);
  return names === undefined ? "-j REJECT" : `-j REJECT --reject-with ${names[family === 4 ? 0 : 1]}`;
}
