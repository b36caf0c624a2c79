/** Pitfalls as data: facts about a rule or a chain that are easily misunderstood. */
import type { Lint } from "../../audit/lint.ts";
import type { KnownChain } from "../../host/known/chains.ts";
import type { PortMappingNote } from "./port-mappings.ts";

/** Why no packet matches a rule, although packets may reach it or its chain. */
export type DeadRule =
  /** An earlier rule of the chain decides every packet that reaches it. */
  | { readonly code: "after-final-rule"; readonly rule: number }
  /** The conditions of the rule contradict each other. */
  | { readonly code: "contradiction" }
  /** No packet that reaches the chain matches the rule. */
  | { readonly code: "no-such-traffic" }
  /** These earlier rules, and others if `more`, decide every packet that would match. */
  | { readonly code: "covered"; readonly by: readonly number[]; readonly more: boolean };

/** Pitfall of a rule. */
export type RulePitfall =
  | DeadRule
  /** A match that holds for every packet and updates state that other rules match. */
  | { readonly code: "stateful-match"; readonly match: string }
  /** A finding of the audit about the rule. */
  | { readonly code: "lint"; readonly lint: Lint }
  /** The rule sees packets to these published ports with the address of the container. */
  | { readonly code: "sees-published"; readonly ports: readonly PortMappingNote[] }
  /** The rule never sees packets to these published ports; `more` ports are not listed. */
  | {
      readonly code: "misses-published";
      readonly ports: readonly PortMappingNote[];
      readonly more: number;
    };

/** Pitfall of a chain. */
export type ChainPitfall =
  /** A program maintains the chain. */
  | { readonly code: "managed"; readonly chain: KnownChain }
  | { readonly code: "before-nat" }
  | { readonly code: "first-packet-only" }
  /** Packets that this chain translates bypass INPUT; `ufw`: and the rules of ufw. */
  | { readonly code: "bypasses-input"; readonly ufw: boolean }
  /** The chain sees packets after DNAT; one published port as an example. */
  | { readonly code: "after-dnat"; readonly port: PortMappingNote }
  /** Rules of a swarm accept a port for every forwarded packet. */
  | { readonly code: "any-container" }
  /** An unconditional RETURN at this position makes appended rules unreachable. */
  | { readonly code: "appended-unreachable"; readonly rule: number }
  | { readonly code: "no-owner-rules" }
  /** The chain never sees packets to these published ports. */
  | { readonly code: "misses-published"; readonly ports: readonly string[] }
  | { readonly code: "misses-containers" }
  /** Rules of Docker from `first` to `last` run before those of ufw from `ufw` on. */
  | {
      readonly code: "docker-before-ufw";
      readonly first: number;
      readonly last: number;
      readonly ufw: number;
    }
  | { readonly code: "verdict-is-final" };
