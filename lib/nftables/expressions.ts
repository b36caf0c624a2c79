/** The list of all expressions that read something of a packet. */
import { CONNTRACK } from "./expressions/conntrack.ts";
import { fib } from "./expressions/fib.ts";
import { LINK, META } from "./expressions/meta.ts";
import { ICMP, NETWORK } from "./expressions/network.ts";
import { TRANSPORT } from "./expressions/transport.ts";
import { EXTENSION_HEADERS, unknownExpression } from "./expressions/unknown.ts";
import type { Operand } from "./operand.ts";

/** Expressions without parameters. */
export const EXPRESSIONS: readonly Operand[] = [
  ...NETWORK,
  ...ICMP,
  ...TRANSPORT,
  ...META,
  ...LINK,
  ...CONNTRACK,
  ...EXTENSION_HEADERS,
];

const byName = new Map<string, Operand | null>(EXPRESSIONS.map((each) => [each.name, each]));

/** Most expressions with parameters that are memoized. */
const MOST_MEMOIZED = 4096;

/** `ct original saddr` in a table of one family. */
const UNTYPED = /^(ct (?:original|reply)) ([sd]addr)$/;

/**
 * Returns the expression with these words.
 * @param tableFamily determines the addresses of `ct original saddr`
 * @returns `undefined` if fwcheck does not know it
 */
export function expression(words: readonly string[], tableFamily: string): Operand | undefined {
  const name = words.length === 1 ? words[0]! : words.join(" ");
  const known = byName.get(name);
  if (known !== undefined) return known ?? undefined;
  const untyped = UNTYPED.exec(name);
  if (untyped !== null && (tableFamily === "ip" || tableFamily === "ip6"))
    return byName.get(`${untyped[1]} ${tableFamily} ${untyped[2]}`) ?? undefined;
  const found = (words[0] === "fib" ? fib(words) : undefined) ?? unknownExpression(words) ?? null;
  if (byName.size < MOST_MEMOIZED) byName.set(name, found);
  return found ?? undefined;
}
