/** What table raw may drop where the rules lack it and the Docker that wrote them fills it. */
import type { Host } from "../host/host.ts";
import { headerOf } from "../host/infer.ts";
import { prefixRange } from "../packet/address.ts";
import { or, type Predicate, within } from "../packet/predicate.ts";
import { Program } from "../path/program.ts";
import { chainOf, type Ruleset, type Unread } from "../rules/ruleset.ts";
import { isLoopback } from "./direct.ts";
import { gatewayMode, publishing } from "./docker.ts";
import { dockerLayout } from "./purpose.ts";

/**
 * The ruleset with the drops that table raw may have. Since 28.0 Docker drops there what is sent to the address of a
 * container with published ports in a network of gateway mode nat, and to a port published on a loopback address
 * (moby, libnetwork/drivers/bridge/internal/iptabler). A file of `iptables-save -t filter` or of `iptables -S` lacks it.
 */
export function withMissing(ruleset: Ruleset, host: Host): Ruleset {
  if (ruleset.tables.has("raw") || !/^(28|29)/.test(dockerLayout(ruleset) ?? "")) return ruleset;
  const protectedOnes = [...containerAddresses(ruleset), ...loopbackPorts(ruleset, host)];
  if (protectedOnes.length === 0) return ruleset;
  const raw: Unread = {
    ...{ hook: "PREROUTING", by: "table raw, which is missing", when: or(...protectedOnes) },
  };
  return { ...ruleset, unread: [...(ruleset.unread ?? []), raw] };
}

const containerAddresses = (ruleset: Ruleset): Predicate[] =>
  (chainOf(ruleset, "filter", "DOCKER")?.rules ?? []).flatMap((rule) => {
    const { dst, out } = headerOf(rule);
    if (dst === undefined || out === undefined || gatewayMode(ruleset, out.value) !== "nat") return [];
    return [within("dst", [prefixRange(dst.value)])];
  });

const loopbackPorts = (ruleset: Ruleset, host: Host): Predicate[] =>
  publishing(Program.of(ruleset, host)).flatMap(({ rule, when }) => {
    const { dst } = headerOf(rule);
    return dst !== undefined && !dst.not && isLoopback(dst.value.address) ? [when] : [];
  });
