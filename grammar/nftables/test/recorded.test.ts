/**
 * Listings of corpus.txt by several versions of nft. `UPDATE=1` records that of the installed one again;
 * `NFT="chroot FOLDER nft"` that of another.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parse, print } from "nftables-parser-ts";
import { describe, expect, test } from "vitest";
import {
  corpus,
  inNamespace,
  LISTINGS,
  loadCorpus,
  recordOf,
  VERSIONS,
  versionOf,
  withoutTimes,
} from "./lab.ts";

const records = VERSIONS.flatMap((version) =>
  [...LISTINGS].map(([flag, ending]) => ({ version, flag, ending })),
);

describe.each(records)("nft $version list ruleset $flag", ({ version, ending }) => {
  const listing = readFileSync(recordOf(version, ending), "utf8");
  const { document, diagnostics } = parse(listing);

  test("is printed byte for byte", () => {
    expect(print(document)).toBe(listing);
  });

  test("has a known syntax, but for the rules that nft itself cannot print", () => {
    const lines = listing.split("\n");
    expect(diagnostics.filter(({ line }) => !/^\t\t(?: # handle \d+)?$/.test(lines[line - 1]!))).toEqual([]);
    expect(diagnostics.length).toBeLessThan(20);
  });

  test("gives the same document without the scanner", () => {
    expect(JSON.stringify(parse(listing, { strict: true }))).toBe(JSON.stringify({ document, diagnostics }));
  });
});

const nft = process.env.NFT ?? "nft";
const version = process.getuid?.() === 0 ? versionOf(nft) : "";

test("the commands have a known syntax, but for those that no nft takes", () => {
  const { diagnostics } = parse(`${corpus().join("\n")}\n`);
  expect(diagnostics.map(({ message }) => message)).toEqual([
    "expected a name after f", // chain fwd
    "expected a name after b",
    "expected a name after f", // set ether
    "expected a field of gre after gre",
  ]);
});

describe.skipIf(!VERSIONS.includes(version) && !process.env.UPDATE)("the installed nft", () => {
  test("loads the printed commands as it loads the commands", { timeout: 60_000 }, () => {
    const { refused, listings } = loadCorpus(nft, corpus(), [""]);
    const taken = corpus().filter((line) => !refused.includes(line));
    const printed = print(parse(`${taken.join("\n")}\n`).document);
    const load = `ip link set lo up; ip link add dummy0 type dummy; ${nft} -f - && ${nft} list ruleset`;
    expect(withoutTimes(inNamespace(load, printed).out)).toBe(withoutTimes(listings[0]!));
  });

  test("prints what was recorded", { timeout: 60_000 }, () => {
    const { listings } = loadCorpus(nft, corpus(), [...LISTINGS.keys()]);
    [...LISTINGS.values()].forEach((ending, i) => {
      const file = recordOf(version, ending);
      if (process.env.UPDATE) writeFileSync(file, listings[i]!);
      expect(withoutTimes(listings[i]!)).toBe(withoutTimes(readFileSync(file, "utf8")));
    });
  });
});
