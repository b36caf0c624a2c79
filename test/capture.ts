/** Reads a capture of examples/: the rulesets and the host as the CLI would. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Host, type HostSources, type Ruleset, readHost, readRuleset, type Source } from "fwcheck";

export const examples = new URL("../examples/", import.meta.url).pathname;
export const shared = new URL("../../shared/", import.meta.url).pathname;

const sources = (folder: string, ...names: string[]): Source[] =>
  names
    .filter((n) => existsSync(join(folder, n)))
    .map((name) => ({ name, text: readFileSync(join(folder, name), "utf8") }));

export function hostSources(folder: string): HostSources {
  return {
    addr: sources(folder, "addr.json"),
    route: sources(folder, "route4.json", "route6.json"),
    docker: sources(folder, "docker-inspect.json", "docker-network-inspect.json", "docker-info.json"),
    sysctl: sources(folder, "sysctl.txt"),
    // Of captures without the list it is known that nothing else filtered there.
    tables: sources(folder, "nft-tables.txt"),
    complete: true,
  };
}

/** @param edit changes the text of iptables-save before it is read */
export function capture(
  folder: string,
  edit: (save: string) => string = (t) => t,
): { rulesets: readonly Ruleset[]; host: Host } {
  const { rulesets } = readRuleset([
    ...sources(folder, "iptables-save.txt").map(({ name, text }) => ({ name, text: edit(text) })),
    ...sources(folder, "ip6tables-save.txt"),
    ...sources(folder, "nft.txt").map((source) => ({ ...source, complete: true })),
  ]);
  return { rulesets, host: readHost(hostSources(folder), rulesets) };
}
