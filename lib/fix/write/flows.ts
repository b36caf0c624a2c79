/** Prints flows as `--cut` of a script reads them. */
import { protoName } from "../../packet/field.ts";
import type { Cut } from "../established-flows.ts";

/** Returns a flow: protocol, destination, port or ports, the container that answers, and the senders. */
export const cutText = ({ proto, dst, port, portEnd, container, how, sources }: Cut): string =>
  [
    protoName(proto),
    dst,
    portEnd === undefined ? (port ?? "-") : `${port}-${portEnd}`,
    container,
    how,
    sources.join(",") || "-",
  ].join(" ");
