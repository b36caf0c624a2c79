/** The part of `nft list ruleset` that does not change by itself, so that two listings can be compared. */

/** Tables of a fix, which the comparison leaves out. */
const OURS = /^table ip6? fwcheck \{$/;
/** Blocks whose elements programs add and remove. */
const CHANGING = /^\t\tflags .*(dynamic|timeout)/;

/**
 * Returns a listing without comments, blank lines, counters, used quotas, elements that packets add or that expire, and the
 * tables of a fix. The script of a fix does the same with awk: `AWK` is that program.
 */
function stable(listing: string): string {
  const out: string[] = [];
  let inOurs = false;
  let changes = false;
  let skips = false;
  for (const line of listing.split(/\r?\n/)) {
    if (OURS.test(line)) inOurs = true;
    if (inOurs) {
      if (line === "}") inOurs = false;
      continue;
    }
    if (/^\s*(#.*)?$/.test(line)) continue;
    if (/^\t(set|map|chain) /.test(line)) changes = false;
    if (CHANGING.test(line)) changes = true;
    if (changes && line.startsWith("\t\telements = ")) skips = true;
    if (skips) {
      if (line.endsWith("}")) skips = false;
      continue;
    }
    out.push(line.replace(/ packets [0-9]+ bytes [0-9]+/g, "").replace(/ used [0-9]+ [a-z]*bytes/g, ""));
  }
  return out.map((line) => `${line}\n`).join("");
}

const AWK = String.raw`
    /^table ip6? fwcheck \{$/ { ours = 1 }
    ours { if ($0 == "}") ours = 0; next }
    /^[ \t]*(#.*)?$/ { next }
    /^\t(set|map|chain) / { changes = 0 }
    /^\t\tflags .*(dynamic|timeout)/ { changes = 1 }
    changes && /^\t\telements = / { skips = 1 }
    skips { if ($0 ~ /\}$/) skips = 0; next }
    { gsub(/ packets [0-9]+ bytes [0-9]+/, ""); gsub(/ used [0-9]+ [a-z]*bytes/, ""); print }
  `;

/** Both forms of the same program. */
export const listingText = { stable, AWK } as const;
