/** Authors of chains, as the chain graph shows them. */
import { expect, test } from "vitest";
import { chainAuthor } from "../../../lib/report/explain/author.ts";

test.each([
  ["filter", "ufw-user-input", "ufw"],
  ["nat", "ufw-user-input", "owner"],
  ["filter", "FWCHECK-1", "fwcheck"],
  ["ip fwcheck", "policy-1", "fwcheck"],
  ["ip6 fwcheck", "policy-1", "fwcheck"],
  ["nat", "DOCKER", "docker"],
  ["filter", "DOCKER-USER", "owner"],
  ["ip docker-bridges", "filter-forward-in__docker0", "docker"],
  ["inet netavark", "NETAVARK-HOSTPORT-DNAT", "podman"],
  ["inet firewalld", "filter_IN_public", "owner"],
] as const)("%s %s: %s", (table, chain, author) => {
  expect(chainAuthor(table, chain)).toBe(author);
});
