/** Routes to many prefixes with the same result. */
import type { Route } from "../host/routes.ts";
import type { Address } from "../packet/field.ts";
import type { PrefixPart } from "../packet/nested-prefixes.ts";

/** Routes that lead packets the same way, by their addresses. */
export class RouteList {
  /** @param parts disjoint ranges of addresses in ascending order, each with its route */
  constructor(private readonly parts: readonly PrefixPart<Route>[]) {}

  /** Returns the route of an address that one of the ranges contains. */
  at(address: Address): Route {
    const { parts } = this;
    let [low, high] = [0, parts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((parts[middle]!.range[0] as Address) <= address) low = middle;
      else high = middle - 1;
    }
    return parts[low]!.payload;
  }
}

/** Route of a lookup's result: one for all packets, or one for each address. */
export type Routes = Route | RouteList;

/** Returns the route of an address. */
export const routeAt = (routes: Routes, address: Address): Route =>
  routes instanceof RouteList ? routes.at(address) : routes;
