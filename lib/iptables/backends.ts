/** The two backends of iptables in texts of the save programs. The kernel evaluates the tables of both. */
import type { Table as TableSyntax } from "iptables-parser-ts";
import type { Family } from "../packet/field.ts";
import type { Backend } from "../rules/ruleset.ts";
import type { FamilyTable } from "./table-family.ts";

/** Returns true for a chain that selects its backend as the one whose tables have plain ids. */
export type IsMainChain = (chain: string) => boolean;

/** Returns true if a table has a rule, or a policy that drops. */
export const hasEffect = ({ entries }: TableSyntax): boolean =>
  entries.some((entry) => entry.kind !== "comment" && (entry.kind !== "chain" || entry.policy === "DROP"));

/**
 * Returns the backend whose tables have plain ids: that of the family's rules; of two, the one with a chain that selects it,
 * else iptables-nft. `null` where no comment names a backend.
 */
export function plainBackend(
  tables: readonly FamilyTable[],
  family: Family,
  isMain: IsMainChain,
): Backend | null {
  const own = tables.filter((each) => each.family === family && each.backend !== null);
  const active = own.filter(({ syntax }) => hasEffect(syntax));
  const backends = backendsOf(active.length > 0 ? active : own);
  if (backends.length < 2) return backends[0] ?? null;
  const selected = (all: readonly FamilyTable[]): readonly Backend[] =>
    backendsOf(all.filter(({ backend, syntax }) => backend !== null && declares(syntax, isMain)));
  for (const found of [selected(own), selected(tables)]) if (found.length === 1) return found[0]!;
  return "iptables-nft";
}

const backendsOf = (tables: readonly FamilyTable[]): readonly Backend[] => [
  ...new Set(tables.flatMap(({ backend }) => backend ?? [])),
];

const declares = ({ entries }: TableSyntax, isMain: IsMainChain): boolean =>
  entries.some((entry) => entry.kind === "chain" && isMain(entry.name));
