/**
 * Parser of expectation files: published ports that may be open, and their sources. Any other exposure is unexpected.
 *
 *     open:
 *       - port: 443
 *       - port: 8000-8010
 *         proto: udp
 *         from: [198.51.100.0/24, 2001:db8::/32]
 *         in: eth1
 */
import { parse } from "yaml";
import { type Prefix, parseAnyPrefix, prefixRange } from "../packet/address.ts";
import { type Family, protoNumber, type Range } from "../packet/field.ts";
import { and, between, is, type Predicate, within } from "../packet/predicate.ts";

/** One entry: packets to these ports, from these networks, on these interfaces. */
export interface Expectation {
  /** Protocol number. */
  readonly proto: number;
  /** First and last port. */
  readonly ports: readonly [number, number];
  /** Source networks; `null` for all sources. */
  readonly from: readonly { readonly family: Family; readonly prefix: Prefix }[] | null;
  /** Interfaces; `null` for all. */
  readonly in: readonly string[] | null;
}

/** Error in an expectations file; the message names the entry and the fault. */
export class ExpectationError extends Error {
  /** Name of the error class. */
  override readonly name = "ExpectationError";
}

/** Parses an expectations file, YAML or JSON. @throws ExpectationError */
export function readExpectations(text: string): Expectation[] {
  let document: unknown;
  try {
    document = parse(text, { maxAliasCount: 0 });
  } catch (error) {
    throw new ExpectationError(
      `not YAML: ${error instanceof Error ? error.message.split("\n")[0] : String(error)}`,
    );
  }
  const list = entries(document).get("open");
  if (!Array.isArray(list)) throw new ExpectationError("expected a list under the key open");
  return list.map((entry, i) => readExpectation(entry, i + 1));
}

const entries = (value: unknown): ReadonlyMap<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? new Map(Object.entries(value))
    : new Map();

/** Reads one entry of the list under `open`, by its number. @throws ExpectationError */
export function readExpectation(entry: unknown, number: number): Expectation {
  const given = entries(entry);
  const wrong = (what: string): ExpectationError => new ExpectationError(`entry ${number} of open: ${what}`);
  for (const key of given.keys())
    if (!["port", "proto", "from", "in"].includes(key)) throw wrong(`unknown key ${JSON.stringify(key)}`);
  const ports = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(String(given.get("port") ?? ""));
  const first = Number(ports?.[1]);
  const last = Number(ports?.[2] ?? ports?.[1]);
  if (ports === null || first > last || last > 0xffff)
    throw wrong("port must be a port, or two as first-last");
  const proto = protoNumber(String(given.get("proto") ?? "tcp"));
  if (proto === undefined) throw wrong("proto must be tcp, udp or a number");
  const list = (key: string): string[] | null => {
    const value = given.get(key);
    if (value === undefined || value === null) return null;
    return (Array.isArray(value) ? value : [value]).map(String);
  };
  const from = list("from")?.map((text) => {
    const read = parseAnyPrefix(text);
    if (read === undefined) throw wrong(`from must be addresses or networks, not ${JSON.stringify(text)}`);
    return read;
  });
  return { proto, ports: [first, last], from: from ?? null, in: list("in") };
}

/** Returns the predicate of an entry in one family. */
export function expected({ proto, ports, from, in: inputs }: Expectation, family: Family): Predicate {
  return and(
    is("proto", proto),
    between("dport", ports[0], ports[1]),
    from === null
      ? and()
      : within(
          "src",
          from.filter((f) => f.family === family).map((f) => prefixRange(f.prefix)),
        ),
    inputs === null
      ? and()
      : within(
          "in",
          inputs.map((name): Range => [name, name]),
        ),
  );
}
