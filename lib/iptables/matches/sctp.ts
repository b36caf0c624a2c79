/** SCTP: ports and chunks (net/netfilter/xt_sctp.c). fwcheck models only the ports. */
import { PROTO } from "../../packet/field.ts";
import { and, negate, opaque } from "../../packet/predicate.ts";
import { sharedKey } from "../../rules/facts.ts";
import { type Codec, match, negatable, Unreadable } from "../extension.ts";
import { destinationPort, first, portConditions, portForm, portPredicate, sourcePort } from "./ports.ts";

/** Chunk types in the order of their numbers, with the letters of their flags. */
const CHUNKS: readonly (readonly [name: string, flags?: string])[] = [
  ["DATA", "IUBE"],
  ["INIT"],
  ["INIT_ACK"],
  ["SACK"],
  ["HEARTBEAT"],
  ["HEARTBEAT_ACK"],
  ["ABORT", "T"],
  ["SHUTDOWN"],
  ["SHUTDOWN_ACK"],
  ["ERROR"],
  ["COOKIE_ECHO"],
  ["COOKIE_ACK"],
  ["ECN_ECNE"],
  ["ECN_CWR"],
  ["SHUTDOWN_COMPLETE", "T"],
  ["I_DATA", "IUBE"],
  ["ASCONF_ACK"],
  ["RE_CONFIG"],
  ["PAD"],
  ["FORWARD_TSN"],
  ["ASCONF"],
  ["I_FORWARD_TSN"],
];

interface Chunks {
  readonly which: string;
  /** Chunks in printed form, `DATA:Be`; `ALL` and `NONE` have no flags. */
  readonly types: readonly string[];
}

const chunks: Codec<Chunks> = {
  words: 2,
  expects: "all, any or only, and chunk types separated by commas, each as type or type:flags",
  read([which, list]) {
    if (!["all", "any", "only"].includes(which!)) return new Unreadable("all, any or only");
    const upper = list!.toUpperCase();
    if (upper === "ALL" || upper === "NONE") return { which: which!, types: [upper] };
    const types: string[] = [];
    for (const part of list!.split(",")) {
      const [name, flags, more] = part.split(":");
      const at = CHUNKS.findIndex((c) => c[0] === name!.toUpperCase());
      const letters = CHUNKS[at]?.[1] ?? "";
      if (at < 0 || more !== undefined) return new Unreadable("SCTP chunk types like DATA,INIT", 1);
      if (flags !== undefined && [...flags].some((f) => !letters.includes(f.toUpperCase())))
        return new Unreadable(letters === "" ? `no flags of ${name}` : `flags of ${name}: ${letters}`, 1);
      const kept = [...letters]
        .flatMap((f) => [...(flags ?? "")].filter((g) => g.toUpperCase() === f))
        .join("");
      types[at] = kept === "" ? CHUNKS[at]![0] : `${CHUNKS[at]![0]}:${kept}`;
    }
    return { which: which!, types: types.filter((t) => t !== undefined) };
  },
  write: ({ which, types }) => [which, types.join(",")],
};

const why = "SCTP chunks are not modelled";

export const sctp = match({
  name: "sctp",
  protocol: PROTO.sctp,
  protocols: [PROTO.sctp],
  except: `--chunk-types: ${why}`,
  options: { sport: sourcePort, dport: destinationPort, chunks: negatable("--chunk-types", chunks) },
  independentOptions: true,
  copy: ({ dport }) => (dport === undefined ? "unchanged" : "by-destination"),
  conditions: portConditions,
  nftExcept: "--chunk-types",
  nft: (values, context) => (values.chunks === undefined ? portForm("sctp", values, context) : null),
  predicate: ({ sport, dport, chunks: given }) =>
    and(
      first,
      portPredicate("sport", sport),
      portPredicate("dport", dport),
      given === undefined
        ? and()
        : negate(
            given.not,
            opaque(sharedKey("sctp-chunks", `${given.value.which} ${given.value.types.join(",")}`), why),
          ),
    ),
});
