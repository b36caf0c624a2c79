/** Packet sets in words: sources, destinations and traffic. The texts hold names from the inputs; escape them before printing. */
import type { Permitted } from "../../audit/finding.ts";
import type {
  Destination,
  HostDestinations,
  PartList,
  SetDescription,
  SourceGroup,
  Sources,
  Traffic,
} from "../../audit/set-description.ts";
import { commaList } from "./list.ts";

/** Words for the whole set, for the set with exceptions, and for the empty set. */
interface SetWords {
  readonly all: string;
  readonly allBut?: string;
  readonly none: string;
}

const listText = ({ parts, more }: PartList): string => commaList(parts, more);

function setText(set: SetDescription, { all, allBut = `${all} but`, none }: SetWords): string {
  switch (set.kind) {
    case "none":
      return none;
    case "all":
      return all;
    case "only":
      return listText(set);
    case "all-but":
      return `${allBut} ${listText(set)}`;
  }
}

/**
 * Returns sources in words: `everyone`, networks, or `everyone but` networks.
 * @param all the word for all sources; `every container` for packets that containers send
 */
export function sourcesText(sources: Sources, all = "everyone"): string {
  switch (sources.kind) {
    case "listed":
      return "the members of the list";
    case "unknown":
      return "unknown sources";
    default:
      return setText(sources, { all, none: "no one" });
  }
}

/** Returns destinations of the host in words; absent destinations mean all addresses. */
export function hostDestinationsText({ redirected, group, ...own }: HostDestinations): string {
  if (group === true) return "broadcast or multicast";
  const texts = [listText(own), ...(redirected === undefined ? [] : [destinationsText(redirected)])];
  return texts.filter((text) => text !== "").join(", ");
}

/** Returns destinations in words: `anywhere`, networks, or `anywhere but` networks. */
export const destinationsText = (set: SetDescription): string =>
  setText(set, { all: "anywhere", none: "nowhere" });

/** Returns a destination with its preposition: `to 192.0.2.1`, `out of eth1`. */
function destinationText(to: Destination): string {
  switch (to.kind) {
    case "addresses":
      return `to ${destinationsText(to.addresses)}`;
    case "interface":
      return `out of ${to.name}`;
    case "network": {
      const notes = [
        ...(to.network === null ? [] : [`network ${to.network}`]),
        ...(to.mode === "nat" ? [] : [to.mode]),
      ];
      return `to any container on ${to.bridge}${notes.length === 0 ? "" : ` (${notes.join(", ")})`}`;
    }
  }
}

/** Returns protocols and ports in words: `tcp 25`. */
export const protocolsText = (protocols: SetDescription): string =>
  setText(protocols, { all: "anything", allBut: "everything but", none: "nothing" });

/** Returns traffic in words: `tcp 25 to anywhere`. */
export const trafficText = ({ protocols, to }: Traffic): string =>
  `${protocolsText(protocols)} ${destinationText(to)}`;

/**
 * Returns the packets that the owner's rules let through, in one line.
 * @param inputs interfaces that need no mention where all sources arrive on them
 */
export function permittedText(permitted: Permitted, inputs: readonly string[]): string {
  if (permitted.kind === "traffic")
    return permitted.traffic === null ? "nothing" : trafficText(permitted.traffic);
  const [first, ...others] = permitted.by;
  if (first === undefined) return "no one";
  const isEverywhere = first.in.length === 0 || first.in.join() === inputs.join();
  if (others.length === 0 && isEverywhere) return sourcesText(first.sources);
  return permitted.by.map((group) => `${sourcesText(group.sources)} via ${group.in.join(", ")}`).join("; ");
}

/** Returns true if the owner's rules let no source through. */
export const permitsNoSource = (permitted: Permitted): boolean =>
  permitted.kind === "sources" && permitted.by.length === 0;

/** Returns the interfaces of a group, with the bridge ports among them. */
export const interfacesText = ({ in: names, ports = [] }: SourceGroup): string =>
  `${names.join(", ")}${ports.length === 0 ? "" : ` (port ${ports.join(", ")})`}`;
