/** Table `local` as the kernel derives it from the addresses of the interfaces. */

import { mastersOf } from "../host/bridge-ports.ts";
import type { Host } from "../host/host.ts";
import { ownAddresses } from "../host/own-addresses.ts";
import type { Route } from "../host/routes.ts";
import { type Prefix, prefixRange, splitRange } from "../packet/address.ts";
import type { Family } from "../packet/field.ts";

/** Returns the routes of table `local` for a host whose table was not listed. */
export function impliedLocalRoutes(whole: Host, family: Family): Route[] {
  // Addresses of a VRF's ports are in the table of the VRF.
  const vrfs = mastersOf(whole.interfaces, "vrf");
  const host = { ...whole, interfaces: whole.interfaces.filter((i) => !vrfs.includes(i.master ?? "")) };
  const devices = devicesByAddress(host, family);
  const route = (type: Route["type"], to: Prefix): Route => ({
    family,
    type,
    to,
    dev: devices.get(String(to.address)) ?? null,
    table: "local",
    metric: 0,
    source: null,
  });
  const own = ownAddresses(host, family);
  return [
    ...own.local.flatMap((range) => splitRange(range, family).map((to) => route("local", to))),
    ...own.broadcast.flatMap((range) => splitRange(range, family).map((to) => route("broadcast", to))),
    ...(family === 6 ? [route("multicast", { address: 0xffn << 120n, mask: 0xffn << 120n })] : []),
  ];
}

function devicesByAddress(host: Host, family: Family): Map<string, string> {
  const devices = new Map<string, string>(family === 6 ? [["1", "lo"]] : []);
  for (const { name, addresses } of host.interfaces)
    for (const a of addresses) {
      devices.set(String(a.address), name);
      if (a.family === 4) devices.set(String(a.broadcast ?? prefixRange(a.prefix)[1]), name);
    }
  return devices;
}
