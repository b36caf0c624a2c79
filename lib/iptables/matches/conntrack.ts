/** Connection of a packet: conntrack, state, helper, connlabel (net/netfilter/xt_conntrack.c, xt_state.c and others). */
import type { Prefix } from "../../packet/address.ts";
import { tracked } from "../../packet/connection.ts";
import { CT, CT_STATUS, type Field } from "../../packet/field.ts";
import { and, between, bits, is, negate, not, opaque, or, type Predicate } from "../../packet/predicate.ts";
import { siteKey } from "../../rules/facts.ts";
import { shortPrefix } from "../address-codecs.ts";
import { type Codec, type Given, match, negatable, option, Unreadable } from "../extension.ts";
import { numberRange } from "../number-codecs.ts";
import { ports } from "../port-codecs.ts";
import { flag, oneOf, protocolDigits, someOf, text } from "../word-codecs.ts";
import { oneRange } from "./ports.ts";
import { inPrefix } from "./rule-header.ts";

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

/** Accepts abbreviations in any case. */
const ABBREVIATED = { fold: true, prefix: true };

const statuses: Codec<readonly string[]> = {
  ...someOf([...STATUSES, "NONE"], ABBREVIATED),
  // NONE has no bit: it is ignored next to another status.
  write: (items) => [items.filter((s) => s !== "NONE").join(",") || "NONE"],
};

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
