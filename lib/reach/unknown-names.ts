/** Names of what the inputs do not determine, as `--assume` takes them. */
import type { Host } from "../host/host.ts";
import { MATCHES, TARGETS } from "../iptables/extensions.ts";
import { leaves } from "../packet/predicate.ts";
import { Program } from "../path/program.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { predicatesOf } from "./vocabulary.ts";

/** Names that a simulation can be given a truth for. */
export interface Unknowns {
  /** Those of these rules and this host: each unknown by itself (`recent@filter/INPUT/3`), and by its kind (`recent`). */
  readonly here: ReadonlySet<string>;
  /** Matches and targets of iptables that other rules may have. */
  readonly anywhere: ReadonlySet<string>;
}

/** Collects the unknowns that a packet may meet. */
export function unknownsOf(rulesets: readonly Ruleset[], host: Host): Unknowns {
  const here = new Set<string>();
  for (const ruleset of rulesets)
    for (const predicate of predicatesOf(Program.of(ruleset, host)))
      leaves(predicate, (leaf) => {
        if (leaf.kind === "opaque") here.add(leaf.key.replace(/[@:].*$/s, "")).add(leaf.key);
      });
  return { here, anywhere: new Set([...MATCHES, ...TARGETS].map(({ name }) => name)) };
}
