/** Bridges of container engines that fwcheck does not know, by the table of nftables that the caller says they fill. */
import { isInRanges, prefixRange } from "../../packet/address.ts";
import type { Address, Range } from "../../packet/field.ts";
import { visitLeaves } from "../../packet/predicate.ts";
import { conditionalEnds } from "../../rules/effect.ts";
import { UNKNOWN_HOST } from "../../rules/facts.ts";
import type { Ruleset, TableId } from "../../rules/ruleset.ts";
import type { Interface } from "../host.ts";

/** Interfaces and addresses that the rules of some tables name. */
interface Named {
  readonly interfaces: readonly Range[];
  /** Addresses that they translate destinations to. */
  readonly targets: readonly Address[];
}

/**
 * Returns the bridges whose names the rules of the tables compare, or whose subnet contains an address that they translate
 * destinations to. A bridge with a port other than a veth device is a network of the owner.
 */
export function declaredBridges(
  tables: readonly TableId[],
  rulesets: readonly Ruleset[],
  interfaces: readonly Interface[],
): string[] {
  if (tables.length === 0) return [];
  const named = rulesets.map((ruleset) => namedBy(tables, ruleset));
  const names = named.flatMap((each) => each.interfaces);
  const targets = named.flatMap((each) => each.targets);
  return interfaces.flatMap(({ name, masters, addresses }) => {
    const subnets = addresses.map(({ prefix }) => prefixRange(prefix));
    const isNamed =
      names.some(([first, last]) => name >= first && name <= last) ||
      targets.some((target) => isInRanges(target, subnets));
    const isOwners = interfaces.some(({ master, kind }) => master === name && kind !== "veth");
    return masters === "bridge" && isNamed && !isOwners ? [name] : [];
  });
}

function namedBy(tables: readonly TableId[], { family, tables: all }: Ruleset): Named {
  const interfaces: Range[] = [];
  const targets: Address[] = [];
  const rules = tables.flatMap((id) =>
    [...(all.get(id)?.chains.values() ?? [])].flatMap((chain) => chain.rules),
  );
  for (const rule of rules) {
    const { when, effect } = rule.compile({ family, ...UNKNOWN_HOST });
    for (const end of conditionalEnds(when, effect)) {
      visitLeaves(end.when, (leaf) => {
        if (leaf.kind === "in" && (leaf.field === "in" || leaf.field === "out"))
          interfaces.push(...leaf.ranges);
      });
      const nat = end.effect;
      if (nat.kind === "nat" && nat.side === "dst" && nat.to.kind === "range") targets.push(nat.to.first);
    }
  }
  return { interfaces, targets };
}
