/** Connection of a packet: conntrack, state, helper, connlabel (net/netfilter/xt_conntrack.c, xt_state.c and others). */
import type { Prefix } from "../../packet/address.ts";
import { tracked } from "../../packet/connection.ts";
import { CT, CT_STATUS, type Field } from "../../packet/field.ts";
import { and, between, bits, is, negate, not, opaque, or, type Predicate } from "../../packet/predicate.ts";
import { siteKey } from "../../rules/facts.ts";
import { shortPrefix } from "../address-codecs.ts";
import { type Codec, type Given, match, negatable, option, Unreadable } from "../extension.ts";
import {
  ALWAYS,
  allOf,
  compare,
  expressions,
  headerOf,
  NEVER,
  type NftContext,
  type NftForm,
  nftProtocol,
  tuplePortsIn,
} from "../nft-form.ts";
import { numberRange } from "../number-codecs.ts";
import { ports } from "../port-codecs.ts";
import { flag, oneOf, protocolDigits, someOf, text } from "../word-codecs.ts";
import { oneRange } from "./ports.ts";
import { addressForm, inPrefix } from "./rule-header.ts";

/** In the order of their bits, in which iptables-save prints them. */
const STATES = ["INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED", "SNAT", "DNAT"] as const;
const STATUSES = ["EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED"] as const;

type State = (typeof STATES)[number];

const inState = (states: readonly State[]): Predicate =>
  or(
    ...states.map((state) => {
      if (state === "SNAT") return and(tracked, bits("ctstatus", CT_STATUS.SRC_NAT, CT_STATUS.SRC_NAT));
      if (state === "DNAT") return and(tracked, bits("ctstatus", CT_STATUS.DST_NAT, CT_STATUS.DST_NAT));
      return is("ctstate", CT[state]);
    }),
  );

/** States of packets with a connection, and of packets without one. */
const CONNECTED = ["NEW", "RELATED", "ESTABLISHED"] as const satisfies readonly State[];
const UNCONNECTED = ["INVALID", "UNTRACKED"] as const satisfies readonly State[];

/** Prints the test for one of some states; a list of nft is true for any of its bits. */
const stateForm = (states: readonly State[]): NftForm =>
  states.length === 0
    ? NEVER
    : states.length === CONNECTED.length + UNCONNECTED.length
      ? ALWAYS
      : expressions(`ct state ${states.map((state) => state.toLowerCase()).join(",")}`);

/** Prints the test for one bit of the status, or for none of them. */
function statusForm(not: boolean, names: readonly string[]): NftForm {
  const bits = names.map((name) => name.toLowerCase().replace("_", "-"));
  if (!not) return expressions(`ct status ${bits.join(",")}`);
  return expressions(`ct status & ${bits.length === 1 ? bits[0]! : `(${bits.join(" | ")})`} == 0`);
}

/** Packets with a connection. Every other expression that reads the connection implies it. */
const withConnection = (rest: NftForm): NftForm =>
  rest.some((list) => list.length === 0) ? stateForm(CONNECTED) : rest;

/**
 * Prints `--ctstate` and the options that are compared for packets with a connection alone. DNAT and SNAT are bits of the
 * status, which a packet without a connection does not have: nft leaves the rule there, also under `!`.
 */
function statesForm({ not, value: given }: Given<readonly State[]>, rest: NftForm): NftForm | null {
  const nat = given.filter((state) => state === "SNAT" || state === "DNAT");
  const named = <T extends State>(all: readonly T[]): T[] =>
    all.filter((state) => given.includes(state) !== not);
  const [connected, unconnected] = [named(CONNECTED), named(UNCONNECTED)];
  if (nat.length === 0 && rest === ALWAYS) return stateForm([...unconnected, ...connected]);
  const others = CONNECTED.filter((state) => !connected.includes(state));
  const inState = (states: readonly State[], ...conditions: readonly NftForm[]): NftForm | null => {
    const conjunction = allOf(...conditions)!;
    const any = states.length === CONNECTED.length;
    return any && conjunction !== ALWAYS
      ? withConnection(conjunction)
      : allOf(stateForm(states), conjunction);
  };
  const byState = inState(connected, ...(not && nat.length > 0 ? [statusForm(true, nat)] : []), rest);
  const byStatus = not || nat.length === 0 ? NEVER : inState(others, statusForm(false, nat), rest);
  return [...stateForm(unconnected), ...byState!, ...byStatus!];
}

/** Accepts abbreviations in any case. */
const ABBREVIATED = { fold: true, prefix: true };

const statuses: Codec<readonly string[]> = {
  ...someOf([...STATUSES, "NONE"], ABBREVIATED),
  // NONE has no bit: it is ignored next to another status.
  write: (items) => [items.filter((s) => s !== "NONE").join(",") || "NONE"],
};

const addressTest = (
  direction: string,
  side: string,
  given: Given<Prefix> | undefined,
  context: NftContext,
): NftForm => addressForm(`ct ${direction} ${headerOf(context)} ${side}`, given);

const address = (field: Field, given: Given<Prefix> | undefined): Predicate =>
  given === undefined ? and() : negate(given.not, inPrefix(field, given.value));
const port = (field: Field, given: Given<readonly [number, number]> | undefined): Predicate =>
  given === undefined ? and() : negate(given.not, between(field, given.value[0], given.value[1]));

export const conntrack = match({
  name: "conntrack",
  checksPresence: true,
  options: {
    state: negatable("--ctstate", someOf(STATES, ABBREVIATED)),
    proto: negatable("--ctproto", protocolDigits),
    origsrc: negatable("--ctorigsrc", shortPrefix),
    origdst: negatable("--ctorigdst", shortPrefix),
    replsrc: negatable("--ctreplsrc", shortPrefix),
    repldst: negatable("--ctrepldst", shortPrefix),
    origsrcport: negatable("--ctorigsrcport", ports),
    origdstport: negatable("--ctorigdstport", ports),
    replsrcport: negatable("--ctreplsrcport", ports),
    repldstport: negatable("--ctrepldstport", ports),
    status: negatable("--ctstatus", statuses),
    expire: negatable("--ctexpire", numberRange(0xffff_ffff, "seconds, or two numbers as first:last")),
    dir: option("--ctdir", oneOf(["ORIGINAL", "REPLY"], ABBREVIATED)),
  },
  except: "--ctexpire: the remaining lifetime of a connection is not known",
  normalize: (values) =>
    Object.keys(values).length > 0 ? values : new Unreadable("at least one of its options"),
  traits: { needsConntrack: true },
  copy: (values) =>
    // A published packet has the state DNAT in FORWARD, and not in INPUT as the owner wrote it.
    Object.keys(values).some((key) => key !== "state") || values.state!.value.some((name) => /NAT/.test(name))
      ? "never"
      : "unchanged",
  conditions: (v) => ({
    states: v.state,
    originalDestination: v.origdst,
    originalPorts: oneRange(v.origdstport),
    direction: v.dir as Given<"ORIGINAL" | "REPLY"> | undefined,
  }),
  nftExcept: "--ctexpire; --ctproto of another protocol than -p; ports without a protocol of -p or --ctproto",
  nft(v, context) {
    if (v.expire !== undefined) return null;
    const plainProto = v.proto === undefined || v.proto.not ? undefined : v.proto.value;
    // nft takes the protocol of the connection for that of the packet and rejects ports and ICMP types of another one.
    if (plainProto !== undefined && context.proto !== undefined && plainProto !== context.proto) return null;
    const ports = [v.origsrcport, v.origdstport, v.replsrcport, v.repldstport];
    // nft 1.0.6 reads a number of a port only after the protocol.
    const typed = (context.proto ?? plainProto) !== undefined;
    if (!typed && ports.some((each) => each !== undefined)) return null;
    const portTest = (left: string, given: Given<readonly [number, number]> | undefined): NftForm =>
      given === undefined ? ALWAYS : tuplePortsIn(`ct ${left}`, given.not, [given.value]);
    const bits = v.status?.value.filter((name) => name !== "NONE") ?? [];
    const rest = allOf(
      v.dir === undefined ? ALWAYS : expressions(`ct direction ${v.dir.value.toLowerCase()}`),
      v.proto === undefined ? ALWAYS : compare("ct protocol", v.proto.not, nftProtocol(v.proto.value)),
      addressTest("original", "saddr", v.origsrc, context),
      addressTest("original", "daddr", v.origdst, context),
      addressTest("reply", "saddr", v.replsrc, context),
      addressTest("reply", "daddr", v.repldst, context),
      portTest("original proto-src", v.origsrcport),
      portTest("original proto-dst", v.origdstport),
      portTest("reply proto-src", v.replsrcport),
      portTest("reply proto-dst", v.repldstport),
      v.status === undefined
        ? ALWAYS
        : bits.length > 0
          ? statusForm(v.status.not, bits)
          : v.status.not
            ? ALWAYS
            : NEVER,
    )!;
    const conditions = rest.some((list) => list.length === 0) ? ALWAYS : rest;
    return v.state === undefined ? withConnection(conditions) : statesForm(v.state, conditions);
  },
  predicate(v, _facts, site) {
    const rest = and(
      v.dir === undefined ? and() : is("ctdir", v.dir.value === "ORIGINAL" ? 0 : 1),
      v.proto === undefined ? and() : negate(v.proto.not, is("ctproto", v.proto.value)),
      address("ctorigsrc", v.origsrc),
      address("ctorigdst", v.origdst),
      address("ctreplsrc", v.replsrc),
      address("ctrepldst", v.repldst),
      port("ctorigsrcport", v.origsrcport),
      port("ctorigdstport", v.origdstport),
      port("ctreplsrcport", v.replsrcport),
      port("ctrepldstport", v.repldstport),
      v.status === undefined
        ? and()
        : negate(
            v.status.not,
            v.status.value.includes("NONE") && v.status.value.length === 1
              ? // info->status_mask is 0 then, and the kernel evaluates !!(status & 0).
                or()
              : or(
                  ...v.status.value
                    .filter((s) => s !== "NONE")
                    .map((s) => {
                      const bit = CT_STATUS[s as (typeof STATUSES)[number]];
                      return bits("ctstatus", bit, bit);
                    }),
                ),
          ),
      v.expire === undefined
        ? and()
        : negate(
            v.expire.not,
            opaque(siteKey("conntrack-expire", site), "the remaining lifetime of a connection is not known"),
          ),
    );
    if (v.state === undefined) return and(tracked, rest);
    // Without a connection the kernel compares the state alone and skips the other options.
    return and(negate(v.state.not, inState(v.state.value)), or(not(tracked), rest));
  },
});

export const state = match({
  name: "state",
  checksPresence: true,
  options: {
    state: negatable(
      "--state",
      someOf(["INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED"], ABBREVIATED),
    ),
  },
  normalize: (values) => (values.state === undefined ? new Unreadable("--state") : values),
  traits: { needsConntrack: true },
  copy: () => "unchanged",
  conditions: (v) => ({ states: v.state }),
  nft: (v) => (v.state === undefined ? ALWAYS : statesForm(v.state, ALWAYS)),
  predicate: (v) => (v.state === undefined ? and() : negate(v.state.not, inState(v.state.value))),
});

export const helper = match({
  name: "helper",
  traits: { needsConntrack: true },
  opaque: "the conntrack helper of a connection is not known",
  options: { helper: negatable("--helper", text(29, "the name of a helper, at most 29 bytes")) },
  normalize: (values) => (values.helper === undefined ? new Unreadable("--helper") : values),
  // A packet without a connection has no helper and counts as one with another helper (xt_helper.c).
  predicate: ({ helper: given }, _facts, site) =>
    negate(
      given!.not,
      and(tracked, opaque(siteKey("helper", site), "the conntrack helper of a connection is not known")),
    ),
});

export const connlabel = match({
  name: "connlabel",
  traits: { needsConntrack: true },
  opaque: "the labels of connections are not known",
  options: {
    label: negatable("--label", text(255, "the number or name of a label")),
    set: option("--set", flag),
  },
  normalize: (values) => (values.label === undefined ? new Unreadable("--label") : values),
  predicate: ({ label }, _facts, site) =>
    negate(
      label!.not,
      and(tracked, opaque(siteKey("connlabel", site), "the labels of connections are not known")),
    ),
});
