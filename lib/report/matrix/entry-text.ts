/** Entries of a service matrix in words. The texts hold names from the inputs; escape them before printing. */
import type { MatrixEntry } from "../../compare/entry-writer.ts";
import { destinationsText, sourcesText } from "../text/set-text.ts";

/** Returns services in words: ports of one protocol together, `tcp 80, 443; ping`. */
export function servicesText(services: readonly string[]): string {
  const ports = new Map<string, string[]>();
  for (const service of services) {
    const [, name, port] = /^(.+?)(?: (\d\S*))?$/.exec(service)!;
    // `protocol 59` and `protocols 0-5` are names with numbers, not protocols with ports.
    const [key, value] =
      /(^| )protocols?$/.test(name!) || port === undefined ? [service, undefined] : [name!, port];
    const known = ports.get(key);
    if (known === undefined) ports.set(key, value === undefined ? [] : [value]);
    else if (value !== undefined) known.push(value);
  }
  return [...ports]
    .map(([name, list]) => [name, list.join(", ")].filter((t) => t !== "").join(" "))
    .join("; ");
}

/** Returns the address and port that packets are translated to; `null` where they are not. */
export function translationText({ translated }: MatrixEntry): string | null {
  if (translated === null) return null;
  const { dst, dport } = translated;
  if (dport === null) return dst;
  return dst === null ? `port ${dport}` : `${dst.includes(":") ? `[${dst}]` : dst}:${dport}`;
}

/** Returns what limits an entry: its sources and destinations where these are not all, and its unknowns. */
export function conditionTexts({
  sources,
  destinations,
  proxied,
  partly,
  unknowns,
  replies,
}: MatrixEntry): string[] {
  return [
    ...(proxied === true ? ["by docker-proxy"] : []),
    ...(sources.kind === "all" ? [] : [`from ${sourcesText(sources)}`]),
    ...(destinations.kind === "all" ? [] : [`to ${destinationsText(destinations)}`]),
    ...(partly ? ["only some packets: the rules test more than addresses and ports"] : []),
    ...(unknowns.length === 0 ? [] : [`if ${unknowns.join(", ")}`]),
    ...repliesText(replies),
  ];
}

function repliesText(replies: MatrixEntry["replies"]): string[] {
  if (replies === undefined || replies === "accept") return [];
  return [
    replies === "undecided"
      ? "it is unknown whether the replies to its example arrive"
      : "the replies to its example do not arrive",
  ];
}

/** Returns an entry in one line: services, translation, conditions. */
export function entryText(entry: MatrixEntry): string {
  const to = translationText(entry);
  const services = servicesText(entry.services);
  return [to === null ? services : `${services} -> ${to}`, ...conditionTexts(entry)].join(", ");
}
