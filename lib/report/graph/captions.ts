/** Texts in pictures of the chain graph, the same in every format. */
import type { Hook } from "../../rules/base-chain.ts";
import type { Author } from "../explain/author.ts";
import { counted } from "../text/list.ts";
import type { GraphChain, GraphOmissions, PathPoint } from "./graph-model.ts";

export const HOOK_CAPTIONS: Readonly<Record<Hook, string>> = {
  PREROUTING: "every packet that arrives, before routing",
  INPUT: "packets to this host itself; no forwarded packets",
  FORWARD: "packets to containers and other machines; these skip INPUT",
  OUTPUT: "packets that this host itself sends",
  POSTROUTING: "every packet that leaves",
};

export const POINT_CAPTIONS: Readonly<Record<Exclude<PathPoint, Hook>, string>> = {
  network: "a packet arrives",
  routing: "routing decision",
  programs: "programs of this host",
  out: "the packet leaves",
};

/** Captions of the two paths after the routing decision, and of the effect of DNAT on it. */
export const LOCAL_CAPTION = "an address of this host";
export const FORWARD_CAPTION = "any other address";
export const UNCALLED_CAPTION = "not called by any hook";

export const AUTHOR_NAMES: Readonly<Record<Author, string>> = {
  docker: "Docker",
  podman: "Podman",
  ufw: "ufw",
  owner: "the owner",
  fwcheck: "fwcheck",
};

/** Returns the text next to the name of a chain: its policy, or its number of rules. */
export const chainCaption = (chain: GraphChain): string =>
  chain.policy === null ? counted(chain.size, "rule") : `policy ${chain.policy}`;

/** `3`, `4-9`: numbers of the rules of a row. */
export const rowNumbers = (
  { first, last }: { readonly first: number; readonly last: number },
  dash = "-",
): string => (first === last ? `${first}` : `${first}${dash}${last}`);

/** Returns what a graph leaves out, a sentence each. */
export function notesText({ empty, uncalled, folded, calls }: GraphOmissions): string[] {
  const hidden = [
    ...(empty > 0 ? [`${counted(empty, "chain")} without rules`] : []),
    ...(uncalled > 0 ? [`${counted(uncalled, "uncalled chain")}`] : []),
  ];
  return [
    ...(hidden.length > 0 ? [`not drawn: ${hidden.join(" and ")} (--all draws them)`] : []),
    ...(folded > 0
      ? [`folded: ${counted(folded, "chain")}, similar or deeply nested (--chain draws one)`]
      : []),
    ...(calls > 0 ? [`${counted(calls, "call")} without a line: too many to draw`] : []),
  ];
}
