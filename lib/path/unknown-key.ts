/** Keys of the unknowns that a verdict can depend on, as `--assume` takes them. */
import type { Hook } from "../rules/base-chain.ts";

/** Key of the unknown "a base chain that was not read drops the packet". */
export const unreadKey = (hook: Hook, by: string): string => `unread(${hook}: ${by})`;

/** Key of the unknown "a firewall that was not read changes or translates the packet", the same at all hooks. */
export const changedKey = (by: string): string => `changed(${by})`;

/** Meaning of a key. */
export type UnknownSubject =
  | { readonly kind: "unread"; readonly hook: string; readonly by: string }
  | { readonly kind: "changed"; readonly by: string }
  /** A field that the description of the packet lacks (`packet:FIELD`). */
  | { readonly kind: "field"; readonly field: string }
  /** A match, or a decision of the host, by its name; the name may be empty. */
  | { readonly kind: "match"; readonly name: string };

/** Parses a key that `unreadKey`, `changedKey`, `siteKey` or `sharedKey` made. */
export function unknownSubject(key: string): UnknownSubject {
  const [, hook, by] = /^unread\((\w+): (.*)\)$/s.exec(key) ?? [];
  if (hook !== undefined) return { kind: "unread", hook, by: by! };
  const [, changer] = /^changed\((.*)\)$/s.exec(key) ?? [];
  if (changer !== undefined) return { kind: "changed", by: changer };
  if (key.startsWith("packet:")) return { kind: "field", field: key.slice("packet:".length) };
  return { kind: "match", name: key.replace(/[@(:].*$/s, "") };
}

/** Returns the name with which `--assume` sets a key together with those of other rules. */
export const assumedName = (key: string): string => key.replace(/[@:].*$/s, "");

/** Returns the name in a key, without the rule or the text that it belongs to. */
export const unknownName = (key: string): string => key.replace(/[@(].*$/s, "");

/** Prints the value of an unknown as an argument of `--assume`: `recent=match`. */
export const printAssumption = (key: string, truth: boolean): string =>
  `${key}=${truth ? "match" : "no-match"}`;

/** Parses an argument of `--assume`; returns `undefined` for any other text. */
export function parseAssumption(text: string): readonly [key: string, truth: boolean] | undefined {
  const [, key, value] = /^(.+)=(match|no-match)$/s.exec(text) ?? [];
  return key === undefined ? undefined : [key, value === "match"];
}
