/** Reads addresses and ports of expressions. */
import { familyOf, parseAddress, parseAnyPrefix, prefixRange } from "../packet/address.ts";
import type { Address, Range } from "../packet/field.ts";
import type { AddressRange } from "./expression.ts";

/** `null`: the text is no such value. `empty`: a range whose first value is greater than the last. */
export type Read<T> = T | "empty" | null;

/** Reads an address, a prefix (`10.0.0.0/8`) or a range (`10.0.0.1-10.0.0.9`). */
export function readAddresses(text: string): Read<AddressRange> {
  const dash = text.indexOf("-");
  if (dash < 0) {
    const found = parseAnyPrefix(text);
    if (found === undefined || !isContiguous(found.prefix.mask)) return null;
    return { family: found.family, range: prefixRange(found.prefix) };
  }
  const [low, high] = [text.slice(0, dash), text.slice(dash + 1)];
  const family = familyOf(low);
  if (family === undefined) return null;
  const [first, last] = [parseAddress(low, family), parseAddress(high, family)];
  if (first === undefined || last === undefined) return null;
  return first > last ? "empty" : { family, range: [first, last] };
}

/** A mask with holes selects no range. */
function isContiguous(mask: Address): boolean {
  const holes = typeof mask === "number" ? BigInt(~mask >>> 0) : ~mask & ((1n << 128n) - 1n);
  return (holes & (holes + 1n)) === 0n;
}

/** Reads a port or a range of ports (`8000-8100`). */
export function readPorts(text: string): Read<Range> {
  const [, low, high = low] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  if (low === undefined) return null;
  const [first, last] = [Number(low), Number(high)];
  if (first > 0xffff || last > 0xffff) return null;
  return first > last ? "empty" : [first, last];
}
