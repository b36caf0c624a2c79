/** Chains of ufw (ufw(8)); those of IPv6 start with `ufw6-`. */

import type { Family } from "../../packet/field.ts";

/** Direction of the packets that a chain of ufw commands contains rules for. */
export type UfwDirection = "input" | "output" | "forward";

/** Returns the name of the chain with the rules of ufw commands for a direction. */
export const ufwCommandChain = (family: Family, direction: UfwDirection): string =>
  `${family === 4 ? "ufw" : "ufw6"}-user-${direction}`;

/** Returns the direction of a chain with the rules of ufw commands; `null` for any other chain. */
export const ufwCommandDirection = (chain: string): UfwDirection | null =>
  (/^ufw6?-user-(input|output|forward)$/.exec(chain)?.[1] as UfwDirection | undefined) ?? null;

/** Role of a chain that rules of ufw commands jump to: the limit of `ufw limit`, or logging; `null` for any other. */
export const ufwHelperRole = (chain: string): "limit" | "logging" | null =>
  /^ufw6?-user-limit(-accept)?$/.test(chain)
    ? "limit"
    : /^ufw6?-user-logging-/.test(chain)
      ? "logging"
      : null;
