/** Packet and byte counters, as in `[12:345]`. */

/** Packet count and byte count; `bigint` only above 2^53. */
export type Counters = readonly [packets: number | bigint, bytes: number | bigint];

/** Parses `[12:345]` or `12,345`. */
export function parseCounters(text: string): Counters {
  const [packets, bytes] = text.match(/\d+/g)!;
  return [parseCount(packets!), parseCount(bytes!)];
}

/** Returns a number if it is exact, else a bigint. */
function parseCount(digits: string): number | bigint {
  const n = Number(digits);
  return Number.isSafeInteger(n) ? n : BigInt(digits);
}
