/** Lint: rules of the owner that do not have the effect they seem to have. */
import type { Family } from "../packet/field.ts";
import type { Backend, Rule, Ruleset, TableId } from "../rules/ruleset.ts";
import type { BanList } from "./bans.ts";
import { type RuleNote, ruleNote } from "./rule-note.ts";

/** Origin of a rule in FORWARD that precedes DOCKER-USER. */
export type PrecedingRule =
  | { readonly kind: "tailscale" | "vpn" | "chain"; readonly chain: string }
  | { readonly kind: "rule" };

/** Code and typed fields of one kind of lint. */
export type LintDetail =
  /** A rule below DOCKER-USER matches a host port, which DNAT has already replaced. */
  | { readonly kind: "host-port-after-dnat"; readonly chain: string; readonly ports: readonly number[] }
  /** A drop by original destination port also drops other packets of the containers. */
  | { readonly kind: "original-port-unguarded"; readonly drops: "own-connections" | "replies" }
  /** A rule follows an unconditional one, `by[0]`. */
  | { readonly kind: "behind-return"; readonly by: readonly RuleNote[] }
  /** A rule in FORWARD can accept packets before DOCKER-USER is evaluated. */
  | { readonly kind: "docker-user-not-first"; readonly preceding: PrecedingRule }
  /** FORWARD has no jump to DOCKER-USER. */
  | { readonly kind: "docker-user-not-called" }
  /** A ban list is evaluated in INPUT only; `ports` are published ports that it covers. */
  | { readonly kind: "ban-misses-containers"; readonly list: BanList; readonly ports: readonly number[] }
  /** Rules before it match all packets of an allow or deny, and those in `by` decide otherwise. */
  | {
      readonly kind: "shadowed";
      readonly verdict: "allow" | "deny";
      readonly chain: string;
      /** Lines of further rules that are shadowed for the same reason. */
      readonly alsoLines: readonly number[];
      readonly by: readonly RuleNote[];
    }
  /** No rule calls chains that have an allow or deny. */
  | {
      readonly kind: "chain-not-called";
      readonly table: TableId;
      readonly chains: readonly string[];
      /** True if a ban list is among them. */
      readonly bans: boolean;
    }
  /** No hook reaches these chains of Docker's table of nftables: `flush ruleset` removed its base chains or map elements. */
  | { readonly kind: "engine-table-torn"; readonly table: TableId; readonly chains: readonly string[] }
  /** Docker uses nftables, and DOCKER-USER still has rules; `called`: FORWARD still evaluates them. */
  | { readonly kind: "docker-user-left-behind"; readonly called: boolean }
  /**
   * DOCKER-USER has rules in the backend of iptables that Docker does not use; `backend` is the one that it uses. `called`:
   * FORWARD evaluates them.
   */
  | { readonly kind: "docker-user-in-other-backend"; readonly backend: Backend; readonly called: boolean }
  /** A DNAT rule opens a port that the rule `by[0]` of INPUT denies. */
  | { readonly kind: "dnat-past-deny"; readonly port: number; readonly by: readonly RuleNote[] };

/** Code of a lint. */
export type LintKind = LintDetail["kind"];

/** A rule of the owner that does not have the effect it seems to have. */
export type Lint = LintDetail & {
  /** 4 or 6. */
  readonly family: Family;
  /** The rule; `null` where a rule is missing. */
  readonly rule: RuleNote | null;
};

/** Returns the lint about a rule. */
export const lintOf = (detail: LintDetail, rule: Rule | null, ruleset: Ruleset): Lint => ({
  ...detail,
  family: ruleset.family,
  rule: rule === null ? null : ruleNote(rule, ruleset),
});
