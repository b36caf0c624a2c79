/** Hosts of the shared folder where clients really connected. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Host, type PacketJson, type Ruleset, readHost, readRuleset, readSnapshot } from "fwcheck";
import { shared } from "../capture.ts";

const folder = join(shared, "hosts");

/** Names of the hosts; none where the folder is missing. */
export const recorded: readonly string[] = existsSync(folder)
  ? readdirSync(folder).filter((name) => existsSync(join(folder, name, "truth.ndjson")))
  : [];

/** Reads the snapshot of a host. */
export function recordedHost(name: string): { readonly rulesets: readonly Ruleset[]; readonly host: Host } {
  const text = readFileSync(join(folder, name, "host.snap"), "utf8");
  const { rules, sources, doubts } = readSnapshot({ name, text });
  const { rulesets } = readRuleset(rules);
  return { rulesets, host: readHost({ ...sources, doubts, complete: true }, rulesets) };
}

/** A packet that opened a connection, or tried to. */
export interface Tried {
  readonly packet: PacketJson;
  /** `open` if the server answered. */
  readonly real: string;
}

/** Returns the first packets of connections that clients tried on a host. */
export const triedPackets = (name: string): Tried[] =>
  readFileSync(join(folder, name, "truth.ndjson"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Partial<Tried>)
    .filter((tried): tried is Tried => tried.packet !== undefined && tried.real !== undefined);
