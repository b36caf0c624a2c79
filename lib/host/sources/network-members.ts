/** Containers that `network inspect` of an engine lists in a network. */
import type { Network } from "../host.ts";
import { entries, property, stringOf } from "./json.ts";

/**
 * A container's id. Other keys are endpoints without a container: sandboxes of a swarm and of BuildKit, and `ep-ID` of an
 * endpoint that Docker has no sandbox for.
 */
const CONTAINER_ID = /^[0-9a-f]{64}$/;

/**
 * Returns the members of a network; none if its output has no list of them.
 * @param containers containers or endpoints by id
 * @param nameKey key of the name in each
 */
export const membersOf = (containers: unknown, nameKey: string): Pick<Network, "members"> =>
  containers === undefined
    ? {}
    : {
        members: entries(containers)
          .filter(([id]) => CONTAINER_ID.test(id))
          .map(([id, each]) => ({ id, name: stringOf(property(each, nameKey)) ?? id.slice(0, 12) })),
      };
