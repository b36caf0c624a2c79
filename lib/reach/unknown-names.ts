/** Names of unknowns, as `--assume` accepts them. */
import type { Host } from "../host/host.ts";
import { MATCHES, TARGETS } from "../iptables/extensions.ts";
import { missingFieldKey, visitLeaves } from "../packet/predicate.ts";
import { Program } from "../path/program.ts";
import { assumedName } from "../path/unknown-key.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { predicatesOf } from "./vocabulary.ts";

/** Names of unknowns for which a simulation accepts a value. */
export interface Unknowns {
  /** Unknowns of these rules and this host, by rule (`recent@filter/INPUT/3`) and by extension (`recent`). */
  readonly here: ReadonlySet<string>;
  /** Comparisons with fields that a packet may lack, by values (`packet:uid@0`) and by field (`packet:uid`). */
  readonly comparisons: ReadonlySet<string>;
  /** All matches and targets of iptables, which other rules can have. */
  readonly anywhere: ReadonlySet<string>;
}

/** Collects the unknowns of the rules and of the path on this host. */
export function unknownsOf(rulesets: readonly Ruleset[], host: Host): Unknowns {
  const here = new Set<string>();
  const comparisons = new Set<string>();
  for (const ruleset of rulesets)
    for (const predicate of predicatesOf(Program.of(ruleset, host)))
      visitLeaves(predicate, (leaf) => {
        if (leaf.kind === "opaque") here.add(assumedName(leaf.key)).add(leaf.key);
        else comparisons.add(`packet:${leaf.field}`).add(missingFieldKey(leaf));
      });
  return { here, comparisons, anywhere: new Set([...MATCHES, ...TARGETS].map(({ name }) => name)) };
}
