/** Reasons why the result for a packet set is not certain. `lib/report/text` has the sentences. */
import type { Field } from "../packet/field.ts";
import type { UnknownReason } from "../packet/unknown-reason.ts";
import type { DropReason } from "../rules/effect.ts";
import type { TableId } from "../rules/ruleset.ts";

/** Reason why the result for a packet set is not certain. */
export type Uncertainty =
  /** A rule changed a field whose new value is not tracked. */
  | { readonly code: "value-not-tracked"; readonly field: Field }
  /** A translation maps more values of a field to other values than are followed. */
  | { readonly code: "too-many-values"; readonly field: Field; readonly limit: number }
  /** The kernel chooses the destination that a translation gives, and later rules may match it. */
  | { readonly code: "kernel-chooses"; readonly what: "address" | "port" }
  /** A chain that changes packets calls chains in more levels than are followed. */
  | {
      readonly code: "nested-too-deep";
      readonly table: TableId;
      readonly chain: string;
      readonly levels: number;
    }
  /** The effect of a target is unknown, or the kernel may keep the packet. */
  | UnknownReason
  | DropReason;
