/** Names of the tables, chains and rules that a fix adds. */
import { DOCKER_USER } from "../host/known/docker.ts";
import type { Family } from "../packet/field.ts";
import { calledChain, type Rule, type TableId } from "../rules/ruleset.ts";

/** Language that the rules of a fix are written in. */
export type FixLanguage = "iptables" | "nftables";

/** A chain by table and name. */
export interface ChainPlace {
  readonly table: TableId;
  readonly chain: string;
}

/** Chain that DOCKER-USER jumps to. A fix changes no other rules of DOCKER-USER. */
export const CHAIN = "FWCHECK";

/** Returns the name of a policy chain. */
export const policyChain = (number: number): string => `${CHAIN}-${number}`;

/** Returns whether a fix creates chains of this name. */
export const isOurs = (chain: string): boolean => chain === CHAIN || /^FWCHECK-\d+$/.test(chain);

/** Returns whether a rule jumps to a chain of ours. */
export const callsOurs = ({ calledChains }: Rule): boolean => calledChains.some(isOurs);

/** Rule of FORWARD that calls DOCKER-USER where Docker adds no such call; the comment distinguishes it from Docker's. */
export const HOOK = `-m comment --comment fwcheck -j ${DOCKER_USER}`;

/** Returns whether a rule is the call of DOCKER-USER that a fix added. */
export const isHook = (rule: Rule): boolean =>
  rule.chain === "FORWARD" &&
  calledChain(rule) === DOCKER_USER &&
  rule.reading.comments?.includes("fwcheck") === true;

/** Name of the tables of nftables that a fix adds, one for each family. */
export const NFT_TABLE = "fwcheck";

/** Base chain of these tables. */
export const FORWARD_CHAIN = "forward";

/** Returns the name of a family in nft(8). */
export const nftFamily = (family: Family): "ip" | "ip6" => (family === 4 ? "ip" : "ip6");

/** Returns the family of these tables as nft names it, with the name: `ip fwcheck`. */
export const nftTableId = (family: Family): string => `${nftFamily(family)} ${NFT_TABLE}`;

/** Returns the name of a chain of a fix in nftables: `forward` for FWCHECK, `policy-1` for FWCHECK-1. */
export const nftChain = (chain: string): string =>
  chain === CHAIN ? FORWARD_CHAIN : chain.replace(`${CHAIN}-`, "policy-");
