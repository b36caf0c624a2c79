/** The words that stand in a picture of the chain graph, whatever draws it. */
import type { Hook } from "../../rules/base-chain.ts";
import type { Author } from "../explain/author.ts";
import { counted } from "../text/packet-text.ts";
import type { GraphChain, Place } from "./graph.ts";

export const HOOK_SAYS: Readonly<Record<Hook, string>> = {
  PREROUTING: "every packet that comes in, before routing",
  INPUT: "packets for this host itself; nothing that is forwarded",
  FORWARD: "packets for containers and other machines; never asks INPUT",
  OUTPUT: "packets that this host itself sends",
  POSTROUTING: "every packet that leaves",
};

export const PLACE_SAYS: Readonly<Record<Exclude<Place, Hook>, string>> = {
  network: "a packet comes in",
  routing: "routing: for whom?",
  programs: "this host’s own programs",
  out: "the packet leaves",
};

export const AUTHORS: Readonly<Record<Author, string>> = {
  docker: "Docker",
  ufw: "ufw",
  owner: "the owner",
  fwcheck: "fwcheck",
};

/** What stands beside a chain's name: a built-in one's policy, another's size. */
export const noteOf = (chain: GraphChain): string =>
  chain.policy === null ? counted(chain.size, "rule") : `policy ${chain.policy}`;
