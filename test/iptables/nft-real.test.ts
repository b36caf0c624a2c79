/**
 * The real nft loads each translation and lists rules that fwcheck reads as the same packets. It needs root and nft.
 * `NFT_ROOTFS=FOLDER` takes nft from the root of another Debian (`test/e2e/root.sh`).
 */
import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { isText, translatedCases, translatedRandom } from "./nft-cases.ts";
import { faultsOfAll } from "./nft-sets.ts";

const root = process.env.NFT_ROOTFS;
const nft = root === undefined ? "nft" : `chroot '${root}' nft`;
const closed =
  process.getuid?.() !== 0 || spawnSync("unshare", ["-n", "sh", "-c", `${nft} list ruleset`]).status !== 0;

/** Loads a table into a namespace of its own and lists it; throws with the message of nft. */
function listed(text: string): string {
  const run = spawnSync("unshare", ["-n", "sh", "-c", `${nft} -f - && ${nft} list ruleset`], {
    input: text,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (run.status !== 0) throw new Error(run.stderr.slice(0, 2000));
  return run.stdout;
}

describe.skipIf(closed)("nft loads and lists the translations", () => {
  const all = closed ? [] : [...translatedCases(), ...translatedRandom(15, 8)].filter(isText);

  test.each([4, 6] as const)(
    "IPv%i",
    (family) => {
      expect(all.filter((each) => each.family === family).length).toBeGreaterThan(400);
      expect(faultsOfAll(all, family, listed)).toEqual([]);
    },
    120_000,
  );
});
