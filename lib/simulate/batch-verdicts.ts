/** Verdicts of many packets at once. */
import type { Host } from "../host/host.ts";
import { Program } from "../path/program.ts";
import type { Ruleset } from "../rules/ruleset.ts";
import { BatchEngine } from "./batch-engine.ts";
import { VERDICTS } from "./effect-code.ts";
import { BATCH_SIZE } from "./packet-batch.ts";
import { type PacketColumns, packetAt, packetCount } from "./packet-columns.ts";
import { Simulator } from "./simulator.ts";

/** Settings of `verdicts`. */
export interface BatchOptions {
  /** Values of unknown matches, as for `simulate`. */
  readonly assume?: ReadonlyMap<string, boolean>;
}

/**
 * Returns the verdict of each packet, exactly as a new simulator does: every packet is the first of its connection, and
 * does not affect others. Compiled rulesets are memoized as long as the ruleset and the host exist, so packets can be
 * passed in several calls.
 *
 * ```ts
 * import { type Host, type Ruleset, VERDICTS, verdicts } from "fwcheck";
 * declare const rulesets: readonly Ruleset[];
 * declare const host: Host;
 * const codes = verdicts(rulesets, host, {
 *   family: 4, in: "eth0", src: Uint32Array.of(0xc0000201, 0xc0000202), dst: 0xcb007101, proto: 6, sport: 40000, dport: 22,
 * });
 * const blocked = codes.filter((code) => VERDICTS[code] !== "accept").length;
 * ```
 *
 * @param rulesets at most one a family; a family without one accepts everything
 * @param packets at least one of the columns must be a list; all lists have the same length
 * @returns a code for each packet, an index into `VERDICTS`; `undecided` if the verdict depends on an unknown
 * @throws RangeError if lists differ in length, or if a value is invalid for its field
 */
export function verdicts(
  rulesets: readonly Ruleset[],
  host: Host,
  packets: PacketColumns,
  options: BatchOptions = {},
): Uint8Array {
  const size = packetCount(packets);
  const codes = new Uint8Array(size).fill(VERDICTS.indexOf("undecided"));
  const truths = options.assume ?? new Map<string, boolean>();
  const ruleset = rulesets.find((r) => r.family === packets.family) ?? {
    family: packets.family,
    source: "",
    tables: new Map(),
    doubts: [],
  };
  const engine = new BatchEngine(Program.of(ruleset, host), truths);
  for (let first = 0; first < size; first += BATCH_SIZE) {
    const count = Math.min(BATCH_SIZE, size - first);
    engine.load(packets, first, count);
    for (const { state, verdict } of engine.walk()) {
      const code = VERDICTS.indexOf(verdict);
      for (const lane of state.lanes) codes[first + lane] = code;
    }
    for (const lane of engine.fallback) {
      const alone = new Simulator([ruleset], host, { assume: truths });
      codes[first + lane] = VERDICTS.indexOf(alone.packet(packetAt(packets, first + lane)).verdict);
    }
  }
  return codes;
}
