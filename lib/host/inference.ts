/** Facts about a host that were inferred because no input has them. `lib/report/text` has the sentences. */
import type { Family } from "../packet/field.ts";

/** Fact about a host that was inferred. */
export type HostInference =
  /** An interface is a container bridge; its own address is assumed to be the first of the subnet. */
  | {
      readonly code: "bridge-subnet";
      readonly bridge: string;
      readonly subnet: string;
      /** Input that has the subnet. */
      readonly source: "docker-network" | "masquerade-rule";
      readonly address: string;
    }
  /** An interface is a container bridge of unknown subnet; `containers` are the addresses that rules name. */
  | {
      readonly code: "bridge-without-subnet";
      readonly bridge: string;
      readonly containers: readonly string[];
    }
  /** These interfaces lead outside. */
  | {
      readonly code: "outside-interfaces";
      readonly interfaces: readonly string[];
      /** Those that the rules name, or a packet; the others have the usual name of an interface. */
      readonly named: readonly string[];
      /** Inputs that could name interfaces. */
      readonly namedBy: "rules" | "rules-or-packet";
      /** The one with the default route and with stand-in addresses of the host. */
      readonly main: string;
      readonly addresses: readonly string[];
    }
  /** The destination of a packet is assumed to be an address of the host. */
  | { readonly code: "own-address"; readonly address: string; readonly interface: string }
  /** Nothing is routed by an interface that is down. */
  | { readonly code: "interface-down"; readonly interface: string }
  /** The subnets of an interface are in the routing table of its VRF. */
  | { readonly code: "vrf-port"; readonly interface: string; readonly vrf: string }
  /** The default route leads out of an interface; `family` is `null` where the routes of both families are inferred. */
  | { readonly code: "default-route"; readonly interface: string; readonly family: Family | null }
  /** Rules of policy routing without an address are assumed to be those of IPv6. */
  | { readonly code: "policy-rules-ipv6" }
  /** A routing table is not looked up, since the rules of policy routing are missing. */
  | { readonly code: "table-not-looked-up"; readonly table: string }
  /** The host forwards packets. */
  | { readonly code: "forwarding" };
