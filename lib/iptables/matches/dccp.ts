/** DCCP: ports, packet types and options (net/netfilter/xt_dccp.c). fwcheck models only the ports. */
import { PROTO } from "../../packet/field.ts";
import { and, negate, opaque } from "../../packet/predicate.ts";
import { sharedKey } from "../../rules/facts.ts";
import { match, negatable } from "../extension.ts";
import { positive } from "../number-codecs.ts";
import { someOf } from "../word-codecs.ts";
import { destinationPort, first, portConditions, portForm, portPredicate, sourcePort } from "./ports.ts";

const TYPES = [
  "REQUEST",
  "RESPONSE",
  "DATA",
  "ACK",
  "DATAACK",
  "CLOSEREQ",
  "CLOSE",
  "RESET",
  "SYNC",
  "SYNCACK",
  "INVALID",
] as const;

const why = "DCCP packet types and options are not modelled";

export const dccp = match({
  name: "dccp",
  protocol: PROTO.dccp,
  protocols: [PROTO.dccp],
  except: `--dccp-types, --dccp-option: ${why}`,
  options: {
    sport: sourcePort,
    dport: destinationPort,
    types: negatable("--dccp-types", someOf(TYPES, { fold: true })),
    option: negatable("--dccp-option", positive(255, "the number of a DCCP option, 1 to 255")),
  },
  independentOptions: true,
  copy: ({ dport }) => (dport === undefined ? "unchanged" : "by-destination"),
  conditions: portConditions,
  nftExcept: "--dccp-types, --dccp-option",
  nft: (values, context) =>
    values.types === undefined && values.option === undefined ? portForm("dccp", values, context) : null,
  predicate: ({ sport, dport, types, option }) =>
    and(
      first,
      portPredicate("sport", sport),
      portPredicate("dport", dport),
      types === undefined
        ? and()
        : negate(types.not, opaque(sharedKey("dccp-types", types.value.join(",")), why)),
      option === undefined
        ? and()
        : negate(option.not, opaque(sharedKey("dccp-option", String(option.value)), why)),
    ),
});
