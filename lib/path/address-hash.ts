/** Address that the kernel chooses from a NAT range: a hash of the flow (find_best_ips_proto, net/netfilter/nf_nat_core.c). */
import type { Address } from "../packet/field.ts";
import type { Nat } from "../rules/effect.ts";

/**
 * Returns the address of a range for a flow. The hash covers the source and, unless the rule is persistent, the
 * destination. Words are hashed in network order as a little-endian machine reads them.
 */
export function hashedAddress(
  { first, last }: { readonly first: Address; readonly last: Address },
  { src, dst }: { readonly src: Address; readonly dst: Address },
  { persistent, side }: Nat,
): Address {
  const [lo, hi, destination] = [wordsOf(first), wordsOf(last), wordsOf(dst)];
  const isIpv6 = typeof first === "bigint";
  const lastWord = isIpv6 ? 3 : 0;
  let hash = jhash2(wordsOf(src), persistent ? 0 : destination[lastWord]!);
  /** A word below the last one of the range was chosen, so that the words after it are unrestricted. */
  let isUnrestricted = false;
  let out = 0n;
  for (let i = 0; i <= lastWord; i++) {
    const least = isUnrestricted ? 0 : swapBytes(lo[i]!);
    const count = isUnrestricted ? 0xffff_ffff : swapBytes(hi[i]!) - least + 1;
    const word = (least + Number((BigInt(hash) * BigInt(count)) >> 32n)) >>> 0;
    out = (out << 32n) | BigInt(word);
    if (word !== swapBytes(hi[i]!)) isUnrestricted = true;
    // DNAT overwrites the destination while the kernel hashes it.
    if (!persistent) hash = (hash ^ (side === "dst" ? swapBytes(word) : destination[i]!)) >>> 0;
  }
  return isIpv6 ? out : Number(out);
}

const wordsOf = (a: Address): number[] =>
  typeof a === "number"
    ? [swapBytes(a), 0, 0, 0]
    : [96n, 64n, 32n, 0n].map((shift) => swapBytes(Number((a >> shift) & 0xffff_ffffn)));

const swapBytes = (n: number): number =>
  (((n & 0xff) << 24) | ((n & 0xff00) << 8) | ((n >>> 8) & 0xff00) | (n >>> 24)) >>> 0;
const rotate = (n: number, by: number): number => (n << by) | (n >>> (32 - by));

/** jhash2 of four words (include/linux/jhash.h). */
function jhash2(k: readonly number[], seed: number): number {
  const start = (0xdeadbeef + (4 << 2) + seed) | 0;
  let [a, b, c] = [(start + k[0]!) | 0, (start + k[1]!) | 0, (start + k[2]!) | 0];
  a = (a - c) ^ rotate(c, 4);
  c = (c + b) | 0;
  b = (b - a) ^ rotate(a, 6);
  a = (a + c) | 0;
  c = (c - b) ^ rotate(b, 8);
  b = (b + a) | 0;
  a = (a - c) ^ rotate(c, 16);
  c = (c + b) | 0;
  b = (b - a) ^ rotate(a, 19);
  a = (a + c) | 0;
  c = (c - b) ^ rotate(b, 4);
  b = (b + a) | 0;
  a = (a + k[3]!) | 0;
  c = ((c ^ b) - rotate(b, 14)) | 0;
  a = ((a ^ c) - rotate(c, 11)) | 0;
  b = ((b ^ a) - rotate(a, 25)) | 0;
  c = ((c ^ b) - rotate(b, 16)) | 0;
  a = ((a ^ c) - rotate(c, 4)) | 0;
  b = ((b ^ a) - rotate(a, 14)) | 0;
  c = ((c ^ b) - rotate(b, 24)) | 0;
  return c >>> 0;
}
