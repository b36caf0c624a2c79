/** Unknown base chains in place of rules that the text lacks: those of a table raw that Docker fills, and lost lines. */
import type { Host } from "../host/host.ts";
import { prefixRange } from "../packet/address.ts";
import { or, type Predicate, within } from "../packet/predicate.ts";
import { Program } from "../path/program.ts";
import type { Ruleset, Unread } from "../rules/ruleset.ts";
import { publishedInNat } from "./docker-rules.ts";
import { isLoopback } from "./endpoints.ts";
import { addressOf, publications } from "./engine-rules.ts";
import { missingTables } from "./input-doubts.ts";

/** Returns the ruleset with a base chain of unknown verdict for what its text lacks, so that findings become `may`. */
export function withMissing(ruleset: Ruleset, host: Host): Ruleset {
  const unread = [...missingRaw(ruleset, host), ...missingLines(ruleset)];
  return unread.length === 0 ? ruleset : { ...ruleset, unread: [...(ruleset.unread ?? []), ...unread] };
}

/**
 * Returns the drops that a missing table raw may have. Since 28.0 Docker drops there packets to the address of a container
 * with published ports in a network of gateway mode nat, and to a port published on a loopback address (moby,
 * libnetwork/drivers/bridge/internal/iptabler). A file of `iptables-save -t filter` or of `iptables -S` lacks it.
 */
function missingRaw(ruleset: Ruleset, host: Host): Unread[] {
  if (!missingTables(ruleset).includes("raw")) return [];
  const mayDrop = [
    ...publishedInNat(ruleset).map((prefix) => within("dst", [prefixRange(prefix)])),
    ...loopbackPorts(ruleset, host),
  ];
  if (mayDrop.length === 0) return [];
  return [{ hook: "PREROUTING", by: "table raw, which is missing", when: or(...mayDrop) }];
}

/** Returns an unknown chain in FORWARD for lines that are cut off or unreadable: each may drop what other rules accept. */
const missingLines = ({ damaged }: Ruleset): Unread[] =>
  damaged === true ? [{ hook: "FORWARD", by: "lines that are missing or cannot be read" }] : [];

const loopbackPorts = (ruleset: Ruleset, host: Host): Predicate[] =>
  publications(Program.of(ruleset, host)).flatMap((publication) => {
    const address = addressOf(publication);
    return address !== null && isLoopback(address) ? [publication.when] : [];
  });
