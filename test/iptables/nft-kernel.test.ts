/**
 * The kernel counts the same packets for rules of iptables and for their translations to nft. It needs root, TUN devices, nft,
 * python3 and iptables-legacy. `NFT_PACKETS` and `NFT_SEED` select more packets and other rules.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { nftRules } from "../../lib/iptables/nft-text.ts";
import type { Family } from "../../lib/packet/field.ts";
import { isText, nftTable, OPTIONS, ruleOf, translatedCases, translatedRandom } from "./nft-cases.ts";

const script = fileURLToPath(new URL("nft-kernel.py", import.meta.url));
const PACKETS = Number(process.env.NFT_PACKETS ?? 2000);
const SEED = Number(process.env.NFT_SEED ?? 7);

const closed =
  process.getuid?.() !== 0 ||
  !existsSync("/dev/net/tun") ||
  spawnSync("unshare", [
    "-n",
    "sh",
    "-c",
    "nft list ruleset && python3 -c 1 && iptables-legacy -S && ip6tables-legacy -S",
  ]).status !== 0;

/** A rule without a target, and its translation. */
interface Counted {
  readonly line: string;
  readonly rules: readonly string[];
}

const NEEDS_CONNTRACK = /-m (conntrack|connmark|state) /;

/** Returns rules whose matches count packets. The counters of a limit depend on time. */
function countedRules(family: Family, tracked: boolean): Counted[] {
  const lines = new Set(
    [...translatedCases(), ...translatedRandom(SEED, 10)]
      .filter(isText)
      .filter((each) => each.family === family)
      .map(({ rule }) =>
        rule.conditions
          .map((each) => each.text({ family }))
          .filter((text) => text !== "")
          .join(" "),
      )
      .filter(
        (line) =>
          line !== "" && !/-m (limit|comment) /.test(line) && (tracked || !NEEDS_CONNTRACK.test(line)),
      ),
  );
  return [...lines].flatMap((line) => {
    const rules = nftRules(ruleOf(line, family), family, { ...OPTIONS, defragmented: tracked });
    return "code" in rules ? [] : [{ line, rules }];
  });
}

interface Counters {
  readonly forwarded: number;
  readonly iptables: readonly number[];
  readonly nft: readonly number[];
}

function count(list: readonly Counted[], family: Family, tracked: boolean): Counters {
  const table = nftTable(
    family,
    list.flatMap(({ rules }) => rules),
  );
  const lines = list.map(({ line }) => line);
  const run = spawnSync("unshare", ["-n", "python3", script], {
    input: JSON.stringify({ family, lines, table, tracked, packets: PACKETS, seed: SEED }),
    encoding: "utf8",
  });
  if (run.status !== 0) throw new Error(run.stderr);
  return JSON.parse(run.stdout) as Counters;
}

describe.skipIf(closed)("the kernel counts the same packets", () => {
  test.each([
    [4, true],
    [6, true],
    [4, false],
  ] as const)(
    "IPv%i, connection tracking: %s",
    (family, tracked) => {
      const list = countedRules(family, tracked);
      const { forwarded, iptables, nft } = count(list, family, tracked);
      expect(forwarded).toBeGreaterThan(PACKETS / 2);
      let at = 0;
      const different = list.flatMap(({ line, rules }, i) => {
        const sum = nft.slice(at, (at += rules.length)).reduce((total, each) => total + each, 0);
        return sum === iptables[i] ? [] : [`${line}: ${iptables[i]}; ${rules.join(" || ")}: ${sum}`];
      });
      expect([iptables.length, nft.length]).toEqual([list.length, at]);
      expect(iptables.filter((packets) => packets > 0 && packets < forwarded).length).toBeGreaterThan(
        list.length / 3,
      );
      expect(different).toEqual([]);
      if (process.env.NFT_PACKETS !== undefined)
        console.log(
          family,
          tracked,
          list.length,
          forwarded,
          iptables.filter((packets) => packets > 0).length,
        );
    },
    600_000,
  );
});
