/** Packets by the connection that conntrack assigned to them. */
import { CT } from "./field.ts";
import { type Predicate, within } from "./predicate.ts";

/** Packets with a connection; INVALID and UNTRACKED ones have none. */
export const tracked: Predicate = within("ctstate", [
  [CT.NEW, CT.NEW],
  [CT.ESTABLISHED, CT.ESTABLISHED],
  [CT.RELATED, CT.RELATED],
]);
