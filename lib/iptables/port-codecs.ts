/** Codecs of ports: one port, a range, a list. */

import { isPort } from "../packet/literal-check.ts";
import { serviceName } from "../packet/system-names.ts";
import type { Codec, Spelling } from "./extension.ts";
import { wholeNumber } from "./number-codecs.ts";
import { word } from "./word-codecs.ts";

/** Reads a port or the name of a service. */
export const readPort = (text: string, spelling: Spelling): number | undefined =>
  wholeNumber(text, 0xffff) ?? serviceName(text, spelling.proto);

function readPorts(text: string, spelling: Spelling): readonly [number, number] | undefined {
  const colon = text.indexOf(":");
  if (colon < 0) {
    const port = readPort(text, spelling);
    return port === undefined ? undefined : [port, port];
  }
  const first = colon === 0 ? 0 : readPort(text.slice(0, colon), spelling);
  const last = colon === text.length - 1 ? 0xffff : readPort(text.slice(colon + 1), spelling);
  return first === undefined || last === undefined || first > last ? undefined : [first, last];
}

const writePorts = ([first, last]: readonly [number, number]): string =>
  first === last ? String(first) : `${first}:${last}`;

/** A port, a range of ports, or the name of a service. */
export const ports: Codec<readonly [number, number]> = {
  ...word("a port or a service name, or a range first:last", readPorts, writePorts),
  isValid: isPort,
};

/** All ports; iptables-save omits this range. */
export const ALL_PORTS: readonly [number, number] = [0, 0xffff];

/** Up to 15 ports, where a range counts as two (xt_multiport). A range needs both ends. */
export const portList: Codec<readonly (readonly [number, number])[]> = word(
  "up to 15 ports or ranges, separated by commas; a range counts as two",
  (text, spelling) => {
    const list: (readonly [number, number])[] = [];
    let slots = 0;
    for (const part of text.split(",")) {
      const read = /^:|:$/.test(part) ? undefined : readPorts(part, spelling);
      if (read === undefined) return undefined;
      slots += part.includes(":") ? 2 : 1;
      list.push(read);
    }
    return slots <= 15 ? list : undefined;
  },
  (list) => list.map(writePorts).join(","),
);
