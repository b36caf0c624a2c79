/** Reasons why the kernel may evaluate other rules than those of a text. `lib/report/text` has the sentences. */
import type { Family } from "../packet/field.ts";
import type { TableId } from "./table-name.ts";

/** Reason why the kernel may evaluate other rules than those of a ruleset. */
export type RulesetDoubt =
  /** A comment of iptables-nft-save names tables of iptables-legacy, whose rules are missing. */
  | { readonly code: "legacy-rules-missing" }
  /** A comment of iptables-nft-save names a table with chains or rules that only nft prints. */
  | { readonly code: "nft-rules-missing"; readonly table: string }
  /** Rules precede the first line `*TABLE`; they are loaded into `table`. */
  | { readonly code: "unnamed-table"; readonly source: string; readonly line: number; readonly table: string }
  /** A table has no COMMIT. */
  | { readonly code: "no-commit"; readonly source: string; readonly line: number; readonly table: string }
  /** A table is given twice with different rules. The later one is evaluated. */
  | {
      readonly code: "table-given-twice";
      readonly table: TableId;
      readonly places: readonly [TablePlace, TablePlace];
    }
  /** `count` lines could not be read; `line` is the first. */
  | {
      readonly code: "unreadable-lines";
      readonly source: string;
      readonly line: number;
      readonly count: number;
    }
  /** A line that could not be read ends inside a quote. */
  | { readonly code: "open-quote"; readonly source: string; readonly line: number }
  /** `count` lines have errors; `line` and `message` are those of the first. */
  | {
      readonly code: "rule-errors";
      readonly source: string;
      readonly line: number;
      /** Message of the diagnostic of that line. */
      readonly message: string;
      readonly count: number;
    }
  /** A listing of nftables has no elements of any set, as `nft -t` prints it; rules look these sets up. */
  | { readonly code: "set-elements-missing"; readonly source: string; readonly sets: readonly string[] }
  /** A table of nftables of family bridge or netdev, or with a chain at ingress or egress, is read and not followed. */
  | { readonly code: "table-not-followed"; readonly table: string }
  /** iptables-save and nft print different rules of a chain; `rule` is the first that differs, from 1. */
  | {
      readonly code: "listings-differ";
      readonly table: string;
      readonly chain: string;
      readonly rule: number;
    };

/** Place of a table in a text. */
export interface TablePlace {
  /** Name of the file. */
  readonly source: string;
  /** Line of its `*name`, from 1. */
  readonly line: number;
}

/** Doubt about the ruleset of a family. */
export type FamilyRulesetDoubt = RulesetDoubt & { readonly family: Family };
