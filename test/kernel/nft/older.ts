/**
 * Returns a listing in the words of nft 1.0.6, which does not read all that newer versions print: `dstnat` at output, flags of
 * tables, and `check`. Tables of iptables-nft are left out: nft cannot load matches of iptables.
 */
export const older = (nft: string): string =>
  nft
    .replace(
      /hook output priority dstnat( \+ (\d+))?/g,
      (_, __, plus?: string) => `hook output priority ${Number(plus ?? 0) - 100}`,
    )
    .replace(/^\tflags owner.*\n/gm, "")
    .replace(/ check missing/g, " oif missing")
    .replace(/^table ip6? (raw|mangle|nat|filter|security) \{.*\n(?:.*\n)*?\}\n/gm, "");
