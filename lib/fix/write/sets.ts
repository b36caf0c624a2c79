/** Prints the ipsets of a fix for `ipset restore`. */
import { printAddress } from "../../packet/address.ts";
import { type Family, protoName } from "../../packet/field.ts";
import type { IpSet } from "../endpoint-sets.ts";

const familyName = (family: Family): string => (family === 4 ? "inet" : "inet6");

/** Returns the text for `ipset restore`. Each set is filled under another name and swapped in, so it is never partial. */
export const setsText = (sets: readonly IpSet[]): string =>
  sets
    .flatMap(({ name, family, entries }) => {
      const made = `hash:ip,port family ${familyName(family)} maxelem ${Math.max(65536, entries.length)}`;
      return [
        `create ${name} ${made} -exist`,
        `create ${name}-new ${made} -exist`,
        `flush ${name}-new`,
        ...entries.map((entry) => `add ${name}-new ${entryText(entry)}`),
        `swap ${name}-new ${name}`,
        `destroy ${name}-new`,
      ];
    })
    .map((line) => `${line}\n`)
    .join("");

const entryText = ({ ip, proto, port }: IpSet["entries"][number]): string =>
  `${printAddress(ip)},${protoName(proto)}:${port}`;
