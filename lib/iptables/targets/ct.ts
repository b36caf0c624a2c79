/** Targets that configure connection tracking: CT and NOTRACK (net/netfilter/xt_CT.c). */
import { PREPARE, UNTRACK, unknownEffect } from "../../rules/effect.ts";
import { siteKey } from "../../rules/facts.ts";
import { type Codec, option, target, Unreadable } from "../extension.ts";
import { wholeNumber } from "../number-codecs.ts";
import { flag, someOf, text, word } from "../word-codecs.ts";

const zone: Codec<number | "mark"> = word<number | "mark">(
  "a zone number, or mark",
  (text) => (text === "mark" ? "mark" : wholeNumber(text, 0xffff)),
  String,
);

const EVENTS = [
  "new",
  "related",
  "destroy",
  "reply",
  "assured",
  "protoinfo",
  "helper",
  "mark",
  "natseqinfo",
  "secmark",
] as const;

export const ct = target({
  name: "CT",
  sideEffect: "sets how conntrack tracks the connection",
  tables: ["raw"],
  except: "connections in zones are not followed",
  options: {
    notrack: option("--notrack", flag),
    helper: option("--helper", text(15, "the name of a helper", 1)),
    timeout: option("--timeout", text(31, "the name of a timeout policy", 1)),
    ctevents: option("--ctevents", someOf(EVENTS)),
    expevents: option("--expevents", someOf(["new"])),
    zoneOrig: option("--zone-orig", zone),
    zoneReply: option("--zone-reply", zone),
    zone: option("--zone", zone),
  },
  normalize: (v) =>
    v.zone !== undefined && (v.zoneOrig !== undefined || v.zoneReply !== undefined)
      ? new Unreadable("either --zone or --zone-orig or --zone-reply")
      : v,
  traitsOf: ({ notrack }) => (notrack === undefined ? { preparesConnection: true } : {}),
  // A helper or a timeout changes the connection; the packet is only marked as tracked. Zones separate connections, and
  // fwcheck does not model which packets belong to which.
  effect({ notrack, zone, zoneOrig, zoneReply }, _facts, site) {
    if (notrack !== undefined) return UNTRACK;
    if ([zone, zoneOrig, zoneReply].every((z) => z === undefined || z.value === 0)) return PREPARE;
    return unknownEffect(siteKey("CT", site), "connections in zones are not followed");
  },
});

export const notrack = target({ name: "NOTRACK", tables: ["raw"], options: {}, effect: () => UNTRACK });
