/** Choice of one concrete packet of a set: the most usual one that the set contains. */
import type { Host } from "../host/host.ts";
import { prefixRange } from "../packet/address.ts";
import { type Address, type Family, PROTO, type Scalar } from "../packet/field.ts";
import { is } from "../packet/predicate.ts";
import type { Domain } from "../reach/domain.ts";
import type { Node } from "../reach/node-store.ts";
import { type Preferences, type Witness, witness } from "../reach/witness.ts";
import type { InputInterfaces } from "./input-interfaces.ts";

/** Address of TEST-NET-2 (RFC 5737), and of the documentation prefix of IPv6 (RFC 3849). */
export const REMOTE: Readonly<Record<Family, Address>> = {
  4: 0xc633_6407,
  6: 0x2001_0db8_ffff_0000_0000_0000_0000_0007n,
};

export class WitnessPicker {
  /** Preferences by interface. */
  private readonly preferences = new Map<string | null, Preferences>();

  constructor(
    private readonly domain: Domain,
    private readonly host: Host,
    private readonly family: Family,
    private readonly inputs: InputInterfaces,
    private readonly outside: readonly string[],
  ) {}

  /**
   * Returns a packet of the set.
   * @param input the interface it arrives on; `null` for any
   * @param preferred values tried before the usual ones
   */
  pick(set: Node, input: string | null, preferred: Preferences): Witness {
    const candidates =
      input === null ? set : this.domain.diagrams.intersect(set, this.domain.set(is("in", input)));
    let usual = this.preferences.get(input);
    if (usual === undefined) this.preferences.set(input, (usual = this.usual(input)));
    const { dst } = preferred;
    return witness(this.domain, candidates, {
      ...usual,
      ...preferred,
      ...(dst === undefined ? {} : { dst: [...dst, ...usual.dst!] }),
    });
  }

  /** Returns the values of a usual packet that arrives on an interface. */
  private usual(input: string | null): Preferences {
    const { family, host } = this;
    const addressesOf = (names: readonly (string | null)[]) =>
      host.interfaces
        .filter((i) => names.includes(i.name))
        .flatMap((i) => i.addresses.filter((a) => a.family === family));
    const own = addressesOf([input === null ? null : this.inputs.visibleName(input)]);
    const containers = new Set(host.containers.flatMap((c) => c.addresses));
    const neighbours = own.flatMap((a): Scalar[] => {
      const [first, last] = prefixRange(a.prefix) as readonly [Address, Address];
      const candidates =
        typeof first === "bigint"
          ? [first + 2n, first + 3n, (last as bigint) - 1n]
          : [first + 2, first + 3, (last as number) - 1];
      return candidates.filter(
        (n) => first < n && n < last && n !== a.address && !containers.has(n as Address),
      );
    });
    return {
      in: [input ?? "other0"],
      src: [...neighbours, REMOTE[family]],
      proto: [PROTO.tcp, PROTO.udp],
      ttl: [64],
      sport: [40000],
      dport: [80, 443, 25, 22, 8080, 12345],
      flags: [2],
      type: [family === 4 ? 8 : 128],
      code: [0],
      // Fallback destination where the input interface has no address: any other address of the host.
      dst: [...own, ...addressesOf(this.outside)].map((a) => a.address),
    };
  }
}
