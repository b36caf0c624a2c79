/** ipsets of endpoints that share a policy. */
import type { Address, Family } from "../packet/field.ts";
import { CHAIN } from "./chain-names.ts";
import { type PolicyRule, policyKey } from "./policy-printer.ts";

/** An ipset of type hash:ip,port. One rule matches all of its endpoints. */
export interface IpSet {
  readonly name: string;
  readonly family: Family;
  readonly entries: readonly SetEntry[];
}

/** An endpoint as an element of an ipset. */
export interface SetEntry {
  readonly ip: Address;
  readonly proto: number;
  readonly port: number;
}

/** An endpoint of a set, with its policy. */
export interface SetMember {
  readonly policy: readonly PolicyRule[];
  readonly entry: SetEntry;
}

/** Groups endpoints by policy: one set for each. */
export function groupByPolicy(
  members: readonly SetMember[],
  family: Family,
): readonly (IpSet & { readonly policy: readonly PolicyRule[] })[] {
  const groups = new Map<string, SetMember[]>();
  for (const member of members) {
    const key = policyKey(member.policy);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [member]);
    else group.push(member);
  }
  return [...groups.values()].map((group, i) => ({
    name: `${CHAIN}${family}-${i + 1}`,
    family,
    policy: group[0]!.policy,
    entries: group.map(({ entry }) => entry),
  }));
}
