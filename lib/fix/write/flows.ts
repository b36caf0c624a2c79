/** Prints flows as `--cut` of a script reads them. */
import { protoName } from "../../packet/field.ts";
import type { Cut } from "../established-flows.ts";

/** Returns a flow: protocol, destination, port, the container that answers, and the senders. */
export const cutText = ({ proto, dst, port, container, how, sources }: Cut): string =>
  [protoName(proto), dst, port ?? "-", container, how, sources.join(",") || "-"].join(" ");
