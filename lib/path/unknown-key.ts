/** Keys of the unknowns that a verdict can depend on, as `--assume` takes them. */
import type { Hook } from "../rules/base-chain.ts";

/** Key of the unknown "a base chain that was not read drops the packet". */
export const unreadKey = (hook: Hook, by: string): string => `unread(${hook}: ${by})`;

/** Key of the unknown "a firewall that was not read changes or translates the packet", the same at all hooks. */
export const changedKey = (by: string): string => `changed(${by})`;

/** Returns the name with which `--assume` sets a key together with those of other rules. */
export const assumedName = (key: string): string => key.replace(/[@:].*$/s, "");

/** Returns the name in a key, without the rule or the text that it belongs to. */
export const unknownName = (key: string): string => key.replace(/[@(].*$/s, "");

/** Returns the name of the match, or of the kind of decision, that a key is about; it may be empty. */
export const unknownSubject = (key: string): string => key.replace(/[@(:].*$/s, "");

/** Prints the value of an unknown as an argument of `--assume`: `recent=match`. */
export const printAssumption = (key: string, truth: boolean): string =>
  `${key}=${truth ? "match" : "no-match"}`;

/** Parses an argument of `--assume`; returns `undefined` for any other text. */
export function parseAssumption(text: string): readonly [key: string, truth: boolean] | undefined {
  const [, key, value] = /^(.+)=(match|no-match)$/s.exec(text) ?? [];
  return key === undefined ? undefined : [key, value === "match"];
}
