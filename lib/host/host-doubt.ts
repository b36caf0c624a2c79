/** Reasons why the inputs about a host may be incomplete or contradictory. `lib/report/text` has the sentences. */
import type { Family } from "../packet/field.ts";
import type { InputFault } from "./input-fault.ts";

/** Reason why the inputs about a host may be incomplete, or why its firewall has other parts than those that were read. */
export type HostDoubt =
  /** A save program is not on the host, so the rules of that family are unknown. */
  | { readonly code: "save-program-missing"; readonly command: string; readonly family: Family }
  /** The command that lists tables of nftables is not on the host. */
  | { readonly code: "nft-missing"; readonly command: string }
  /** A command of the snapshot failed. */
  | {
      readonly code: "command-failed";
      readonly command: string;
      /** Exit code; 137 where the command took longer than a minute. */
      readonly exit: number;
      /** First line of its errors; `null` where it printed none. */
      readonly message: string | null;
    }
  /** The snapshot has no output of these programs. */
  | { readonly code: "no-output"; readonly programs: readonly string[] }
  /** Programs that always print something printed nothing. */
  | { readonly code: "empty-output"; readonly programs: readonly string[] }
  /** `nft list tables` lacks a table that a save program prints. */
  | { readonly code: "table-not-listed"; readonly table: string; readonly command: string }
  /** The snapshot has the output of a save program without that of the other backend. */
  | { readonly code: "other-backend-missing"; readonly program: string; readonly other: string }
  /** The save programs of a family print nothing. */
  | { readonly code: "no-rules-printed"; readonly family: Family }
  /** The save program of iptables-nft warned of tables of iptables-legacy, and no program printed them. */
  | { readonly code: "legacy-not-saved"; readonly command: string; readonly family: Family }
  /** Rules of these tables look up sets or maps of nft, which iptables-save does not print. */
  | { readonly code: "nft-sets"; readonly tables: readonly string[] }
  /** nftables has tables of its own, which are not read. */
  | { readonly code: "nftables-tables"; readonly tables: readonly string[] }
  /** The snapshot lacks the list of expressions, which an older fwcheck does not collect. */
  | { readonly code: "old-snapshot" }
  /** A text ends inside a line. */
  | { readonly code: "cut-off"; readonly source: string }
  /** Docker's rules or networks name a bridge that the list of interfaces lacks. */
  | { readonly code: "bridge-not-listed"; readonly bridge: string }
  /** Networks of an engine list running containers that its `inspect` lacks. */
  | {
      readonly code: "containers-not-inspected";
      readonly engine: "docker" | "podman";
      /** Names of the containers. */
      readonly containers: readonly string[];
    }
  /** Containers have addresses in networks that do not list these addresses. */
  | {
      readonly code: "containers-not-in-network";
      readonly engine: "docker" | "podman";
      /** Names of the containers. */
      readonly containers: readonly string[];
    }
  /** Containers have addresses in networks that `network inspect` lacks. */
  | {
      readonly code: "networks-not-inspected";
      readonly engine: "docker" | "podman";
      /** Names of the networks. */
      readonly networks: readonly string[];
    }
  /** Packets that pass this master of other interfaces are not followed. */
  | { readonly code: "unknown-master"; readonly interface: string; readonly kind: "vrf" | "other" }
  /** A file that was given as rules looks like something else; `null` if it looks like nothing known. */
  | { readonly code: "suspect-rules"; readonly source: string; readonly fault: InputFault | null }
  /** A damaged file of a folder is ignored. */
  | { readonly code: "file-ignored"; readonly file: string; readonly fault: InputFault };
