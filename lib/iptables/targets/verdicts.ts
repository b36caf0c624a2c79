/** Targets with a verdict: ACCEPT, DROP, RETURN, REJECT, and those that pass the packet to a program. */
import { PROTO } from "../../packet/field.ts";
import { opaque } from "../../packet/predicate.ts";
import { ACCEPT, DROP, type Effect, unknownEffect } from "../../rules/effect.ts";
import { type Site, siteKey } from "../../rules/facts.ts";
import { option, type Spelling, target, Unreadable } from "../extension.ts";
import { number } from "../number-codecs.ts";
import { flag, oneOf, word } from "../word-codecs.ts";

export const accept = target({
  name: "ACCEPT",
  action: "accept",
  options: {},
  nft: () => "accept",
  effect: () => ACCEPT,
});
export const drop = target({
  name: "DROP",
  action: "drop",
  options: {},
  nft: () => "drop",
  effect: () => DROP,
});
export const returns = target({
  name: "RETURN",
  action: "return",
  options: {},
  nft: (_values, { returns }) => returns,
  effect: () => ({ kind: "return" }),
});

const V4 = [
  "icmp-net-unreachable",
  "icmp-host-unreachable",
  "icmp-proto-unreachable",
  "icmp-port-unreachable",
  "icmp-net-prohibited",
  "icmp-host-prohibited",
  "tcp-reset",
  "icmp-admin-prohibited",
] as const;
const V6 = [
  "icmp6-no-route",
  "icmp6-adm-prohibited",
  "icmp6-addr-unreachable",
  "icmp6-port-unreachable",
  "tcp-reset",
  "icmp6-policy-fail",
  "icmp6-reject-route",
] as const;

const V4_ALIASES = new Map([
  ["net-unreach", "icmp-net-unreachable"],
  ["host-unreach", "icmp-host-unreachable"],
  ["proto-unreach", "icmp-proto-unreachable"],
  ["port-unreach", "icmp-port-unreachable"],
  ["net-prohib", "icmp-net-prohibited"],
  ["host-prohib", "icmp-host-prohibited"],
  ["tcp-rst", "tcp-reset"],
  ["admin-prohib", "icmp-admin-prohibited"],
]);
const V6_ALIASES = new Map([
  ["no-route", "icmp6-no-route"],
  ["adm-prohibited", "icmp6-adm-prohibited"],
  ["addr-unreach", "icmp6-addr-unreachable"],
  ["port-unreach", "icmp6-port-unreachable"],
  ["policy-fail", "icmp6-policy-fail"],
  ["reject-route", "icmp6-reject-route"],
]);

/** Names of nft for the ICMP errors, which leave out the protocol. */
const NFT_ERRORS: ReadonlyMap<string, string> = new Map([
  ["proto-unreachable", "prot-unreachable"],
  ["adm-prohibited", "admin-prohibited"],
]);

const rejectStatement = (how: string): string => {
  if (how === "tcp-reset") return "reject with tcp reset";
  const [, protocol, error] = /^(icmp6?)-(.*)$/.exec(how)!;
  return `reject with ${protocol === "icmp" ? "icmp" : "icmpv6"} ${NFT_ERRORS.get(error!) ?? error!}`;
};

/** Rejects a TCP reset for other protocols. */
const resets = (how: string, { proto }: Spelling): Unreadable | undefined =>
  how === "tcp-reset" && proto !== PROTO.tcp
    ? new Unreadable("-p tcp for --reject-with tcp-reset")
    : undefined;

export const reject4 = target({
  name: "REJECT",
  action: "reject",
  family: 4,
  tables: ["filter"],
  options: { with: option("--reject-with", oneOf(V4, { fold: true, prefix: true, also: V4_ALIASES })) },
  normalize: ({ with: how }, spelling) =>
    resets(how?.value ?? "", spelling) ?? {
      with: how ?? { not: false, value: "icmp-port-unreachable" as const },
    },
  resets: ({ with: how }) => how?.value === "tcp-reset",
  nft: ({ with: how }) => rejectStatement(how!.value),
  effect: () => ({ kind: "verdict", verdict: "reject" }),
});

export const reject6 = target({
  name: "REJECT",
  action: "reject",
  family: 6,
  tables: ["filter"],
  options: { with: option("--reject-with", oneOf(V6, { fold: true, prefix: true, also: V6_ALIASES })) },
  normalize: ({ with: how }, spelling) =>
    resets(how?.value ?? "", spelling) ?? {
      with: how ?? { not: false, value: "icmp6-port-unreachable" as const },
    },
  resets: ({ with: how }) => how?.value === "tcp-reset",
  nft: ({ with: how }) => rejectStatement(how!.value),
  effect: () => ({ kind: "verdict", verdict: "reject" }),
});

const why = "a program in user space decides";

/** The program accepts or drops the packet. Without a program the kernel drops it, except with `--queue-bypass`. */
const queued = (name: string, site: Site): Effect =>
  site.table === "nat"
    ? // A reinjected packet is not translated, and the next packet of the connection is evaluated in the table again.
      unknownEffect(siteKey(name, site), why)
    : { kind: "fork", when: opaque(siteKey(name, site), why), yes: ACCEPT, no: DROP };

export const queue = target({
  name: "QUEUE",
  opaque: why,
  options: {},
  effect: (_values, _facts, site) => queued("QUEUE", site),
});

/** Two queues as `first:last`, or one. */
const balance = word<readonly [number, number]>(
  "two queues as first:last",
  (text) => {
    const m = /^(\d{1,5}):(\d{1,5})$/.exec(text);
    if (m === null) return undefined;
    const [first, last] = [Number(m[1]), Number(m[2])];
    return first < last && last <= 0xffff ? [first, last] : undefined;
  },
  ([first, last]) => `${first}:${last}`,
);

export const nfqueue = target({
  name: "NFQUEUE",
  opaque: why,
  options: {
    number: option("--queue-num", number(0xffff)),
    balance: option("--queue-balance", balance),
    bypass: option("--queue-bypass", flag),
    fanout: option("--queue-cpu-fanout", flag),
  },
  normalize({ number: given, balance: several, bypass, fanout }) {
    if (given !== undefined && several !== undefined)
      return new Unreadable("either --queue-num or --queue-balance");
    if (fanout !== undefined && several === undefined)
      return new Unreadable("--queue-balance for --queue-cpu-fanout");
    return {
      ...(several === undefined ? { number: given ?? { not: false, value: 0 } } : { balance: several }),
      ...(bypass === undefined ? {} : { bypass }),
      ...(fanout === undefined ? {} : { fanout }),
    };
  },
  effect: (_values, _facts, site) => queued("NFQUEUE", site),
});
