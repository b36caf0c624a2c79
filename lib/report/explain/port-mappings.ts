/** Port mappings: ports that DNAT rules of Docker publish, with the ports of the containers. */
import { publishing } from "../../audit/docker-rules.ts";
import { printAddress, printPrefix } from "../../packet/address.ts";
import { type Address, protoName } from "../../packet/field.ts";
import type { BoundRule, Program } from "../../path/program.ts";
import { plainPorts } from "../../rules/reading.ts";
import type { Rule } from "../../rules/ruleset.ts";

/** One published port or port range, and the container port that it is translated to. */
export interface PortMapping {
  readonly rule: Rule;
  readonly proto: number;
  readonly first: number;
  readonly last: number;
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
  /** Chain of the DNAT rule, in table nat. */
  readonly chain: string;
  /** Number of the DNAT rule. */
  readonly rule: number;
  /** Line of the DNAT rule. */
  readonly line: number;
}

/** Returns the ports that rules of the program publish to one container address. */
export const portMappings = (program: Program): readonly PortMapping[] =>
  publishing(program).flatMap(mappingOf);

function mappingOf({ rule, effect }: BoundRule): PortMapping[] {
  if (effect.kind !== "nat" || effect.to.kind !== "range" || effect.to.first !== effect.to.last) return [];
  const { to, ports } = effect;
  const proto = rule.reading.proto?.value;
  const [range] = plainPorts(rule.reading.destinationPorts);
  if (proto === undefined || range === undefined) return [];
  const [first, last] = range;
  return [{ rule, proto, first, last, address: to.first, port: ports?.first ?? first }];
}

function publishedText({ rule, first, last, proto }: PortMapping): string {
  const { dst } = rule.reading;
  const address =
    dst === undefined || dst.not ? "" : ` of ${printPrefix(dst.value).replace(/\/(32|128)$/, "")}`;
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
