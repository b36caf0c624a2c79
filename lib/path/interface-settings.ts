/** Sysctls that exist once for each interface (ip-sysctl.rst). */
import { type Host, sysctl } from "../host/host.ts";
import type { Range } from "../packet/field.ts";
import { negate, type Predicate, within } from "../packet/predicate.ts";

/** Returns the packets whose input interface passes a test. Unlisted interfaces have the setting of `default`. */
export function byInterface(host: Host, test: (name: string) => boolean): Predicate {
  const usual = test("default");
  const exceptions = host.interfaces
    .map((i) => i.name)
    .filter((name) => test(name) !== usual)
    .map((name): Range => [name, name]);
  return negate(usual, within("in", exceptions));
}

/** Returns a setting of IPv6. The kernel copies a value written to `all` to each interface. */
export const ipv6Setting = (host: Host, name: string, device: string): number =>
  sysctl(host, `net.ipv6.conf.${device}.${name}`, 0);

/**
 * Returns a setting of IPv4.
 * @param how the kernel combines the interface's value with that of `all`, takes the greater, or ignores `all`
 */
export function ipv4Setting(
  host: Host,
  name: string,
  device: string,
  how: "or" | "max" | "own",
  fallback = 0,
): number {
  const own = sysctl(host, `net.ipv4.conf.${device}.${name}`, fallback);
  if (how === "own") return own;
  const all = sysctl(host, `net.ipv4.conf.all.${name}`, fallback);
  return how === "or" ? own | all : Math.max(own, all);
}
