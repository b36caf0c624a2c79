/** Captures of hosts with nftables: files that describe the host. */
import { existsSync, readFileSync } from "node:fs";
import {
  type Family,
  type Host,
  type Packet,
  type Ruleset,
  readHost,
  readRuleset,
  type Source,
} from "fwcheck";
import { expect } from "vitest";
import { shared } from "../capture.ts";

export const root = `${shared}captures-nft/`;

/** A host when its clients connected. */
export interface Capture {
  readonly rulesets: readonly Ruleset[];
  readonly host: Host;
}

/** Returns the text of a file of a capture. */
export const textOf = (path: string): string => readFileSync(root + path, "utf8");

/** Rules of a capture: the tables that nft and iptables listed, those of another file added to them, or a file alone. */
export type Rules =
  | { readonly kind: "listed" }
  | { readonly kind: "with"; readonly file: string }
  | { readonly kind: "file"; readonly text: string };

/** Outputs of container engines. */
const ENGINES = [
  "docker-inspect",
  "docker-network-inspect",
  "docker-info",
  "podman-inspect",
  "podman-network-inspect",
];

/** Reads a capture; any diagnostic fails the test. */
export function readCapture(name: string, rules: Rules = { kind: "listed" }): Capture {
  const file = (each: string, family?: Family): Source[] =>
    existsSync(`${root}${name}/${each}`)
      ? [{ name: each, text: textOf(`${name}/${each}`), ...(family === undefined ? {} : { family }) }]
      : [];
  const complete = (source: Source): Source => ({ ...source, complete: true });
  const listed = [
    ...file("iptables-save.txt", 4),
    ...file("ip6tables-save.txt", 6),
    ...file("nft.txt").map(complete),
  ];
  const sources =
    rules.kind === "listed"
      ? listed
      : rules.kind === "file"
        ? [{ name: "nftables.conf", text: rules.text }]
        : [...listed.slice(0, -1), together(listed.at(-1)!, file(rules.file)[0]!)];
  const { rulesets, diagnostics } = readRuleset(sources);
  expect(diagnostics).toEqual([]);
  const host = readHost(
    {
      addr: [...file("addr.json"), ...file("link.json")],
      route: [...file("route4.json", 4), ...file("route6.json", 6)],
      rule: [...file("rule4.json", 4), ...file("rule6.json", 6)],
      sysctl: file("sysctl.txt"),
      docker: ENGINES.flatMap((each) => file(`${each}.json`)),
      listening: file("ss.txt"),
      complete: true,
    },
    rulesets,
  );
  return { rulesets, host };
}

/** Both are one listing: nft lists all tables of a host together. */
const together = (listing: Source, more: Source): Source => ({ ...listing, text: listing.text + more.text });

/** Returns true if a process of the host listens for a packet that is delivered there. */
export function listens({ host }: Capture, { family, proto, dst, dport }: Packet): boolean {
  return (host.listening ?? []).some(
    (s) =>
      s.family === family &&
      s.proto === proto &&
      s.port === dport &&
      (s.address === null || s.address === dst),
  );
}
