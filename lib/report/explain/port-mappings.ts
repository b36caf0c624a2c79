/** Port mappings: ports that DNAT rules of engines publish, with the ports of the containers. */
import { addressOf, type Publication, protocolsOf, publications } from "../../audit/engine-rules.ts";
import { printAddress } from "../../packet/address.ts";
import { type Address, protoName } from "../../packet/field.ts";
import { requiredRanges } from "../../packet/required-ranges.ts";
import type { Program } from "../../path/program.ts";
import type { Rule } from "../../rules/ruleset.ts";

/** One published port or port range, and the container port that it is translated to. */
export interface PortMapping {
  readonly rule: Rule;
  readonly proto: number;
  readonly first: number;
  readonly last: number;
  /** Address of the host; `null` for all. */
  readonly listen: Address | null;
  /** Address and port of the container. */
  readonly address: Address;
  readonly port: number;
}

/** A published port in the results. */
export interface PortMappingNote {
  /** `8080/tcp`, `8000-8010/udp of 192.0.2.1`. */
  readonly published: string;
  /** Address of the container. */
  readonly container: string;
  /** Port of the container. */
  readonly containerPort: number;
  /** First published port. */
  readonly firstPort: number;
  /** Chain of the DNAT rule. */
  readonly chain: string;
  /** Number of the DNAT rule. */
  readonly rule: number;
  /** Line of the DNAT rule. */
  readonly line: number;
}

/** Returns the ports that rules of the program publish to one container address. */
export const portMappings = (program: Program): readonly PortMapping[] =>
  publications(program).flatMap(mappingsOf);

/** Returns the mappings of a publication, one for each protocol. */
function mappingsOf(publication: Publication): PortMapping[] {
  const { nat, rule, when } = publication;
  const { to, ports } = nat;
  const [range] = requiredRanges(when, "dport") ?? [];
  if (range === undefined || to.first !== to.last) return [];
  const [first, last] = range as readonly [number, number];
  const listen = addressOf(publication);
  return protocolsOf(publication).map((proto) => ({
    ...{ rule, proto, first, last, listen },
    address: to.first,
    port: ports?.first ?? first,
  }));
}

function publishedText({ first, last, proto, listen }: PortMapping): string {
  const address = listen === null ? "" : ` of ${printAddress(listen)}`;
  return `${first === last ? first : `${first}-${last}`}/${protoName(proto)}${address}`;
}

/** Returns the data of a published port that results contain. */
export const portMappingNote = (port: PortMapping): PortMappingNote => ({
  published: publishedText(port),
  container: printAddress(port.address),
  containerPort: port.port,
  firstPort: port.first,
  chain: port.rule.chain,
  rule: port.rule.index,
  line: port.rule.line,
});
