/** Reasons why the inputs do not determine a value. `lib/report/text` has the sentences. */
import type { Field } from "./field.ts";

/** Reason why the result of a match, the effect of a target or a decision of the host is unknown. */
export type UnknownReason =
  /** The result depends on something that is not modelled; `text` names it, as the extension declares it. */
  | { readonly code: "extension"; readonly text: string }
  /** fwcheck does not know a match or an option: `match frobnicate`, `option --frob`. */
  | { readonly code: "unknown-match"; readonly what: string }
  /** fwcheck does not know a target. */
  | { readonly code: "unknown-target"; readonly target: string }
  /** The description of the packet lacks a field. */
  | { readonly code: "field-missing"; readonly field: Field }
  /** The contents of an ipset are missing. */
  | { readonly code: "set-missing"; readonly set: string }
  /** Rules add elements to an ipset or remove them. */
  | { readonly code: "set-changes"; readonly set: string }
  /** An ipset has ranges of addresses under a bitmask. */
  | { readonly code: "set-bitmask" }
  /** An ipset has hardware addresses, and a rule looks the destination up. */
  | { readonly code: "set-mac" }
  /** An ipset has ports of bridges. */
  | { readonly code: "set-bridge-port" }
  /** The multicast groups of the host are missing (`ip maddr`). */
  | { readonly code: "multicast-groups" }
  /** A route has several next hops. */
  | { readonly code: "next-hop" }
  /** A selector or the action of a rule of policy routing is not followed; `selector` is `null` for the action. */
  | { readonly code: "routing-rule-unfollowed"; readonly selector: string | null }
  /** The type of addresses depends on a rule of policy routing that is not followed. */
  | { readonly code: "address-type" }
  /** The addresses without a route are not known, since the routes are missing. */
  | { readonly code: "unreachable-addresses" }
  /** The rules drop neighbour discovery on an interface, whose neighbours may be known otherwise. */
  | { readonly code: "neighbours"; readonly interface: string }
  /** A firewall that was not read may drop the packet at a hook. */
  | { readonly code: "may-drop"; readonly by: string; readonly hook: string }
  /** A firewall that was not read may change or translate the packet. */
  | { readonly code: "may-change"; readonly by: string }
  /** Rules of table raw match a connection that an earlier rule of raw prepared. */
  | { readonly code: "prepared-in-raw" }
  /** A rule jumps to a chain that the text does not declare. */
  | { readonly code: "chain-missing"; readonly chain: string }
  /** Base chains of one priority at a hook, whose order the inputs do not show. */
  | { readonly code: "chain-order"; readonly hook: string; readonly chains: readonly string[] }
  /** A rule closes a loop of jumps. */
  | { readonly code: "jump-loop"; readonly chain: string };

/** Reasons by text: extensions declare fewer than a hundred, and thousands of rules share each. */
const BY_TEXT = new Map<string, UnknownReason>();

/** Returns the reason that an extension declares. */
export function extensionReason(text: string): UnknownReason {
  let reason = BY_TEXT.get(text);
  if (reason === undefined) BY_TEXT.set(text, (reason = { code: "extension", text }));
  return reason;
}
