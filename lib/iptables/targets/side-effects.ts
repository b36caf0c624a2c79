/**
 * Targets with a side effect that leave the packet unchanged: LOG, NFLOG, ULOG, AUDIT,
 * TRACE, TEE, IDLETIMER, LED, RATEEST, CLASSIFY, CHECKSUM (net/netfilter/xt_*.c of those names).
 */

import { NOTE } from "../../rules/effect.ts";
import { address } from "../address-codecs.ts";
import { type Codec, option, target, Unreadable } from "../extension.ts";
import { isQuotable } from "../nft-form.ts";
import { number, positive, wholeNumber } from "../number-codecs.ts";
import { byteLength, device, flag, oneOf, text, word } from "../word-codecs.ts";

const LEVELS = ["emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"] as const;
/** Other names of syslog; iptables 1.8.9 rejects err and warn, older versions accept them. */
const LEVEL_NAMES: readonly string[] = ["panic", "alert", "crit", "err", "warn", "notice", "info", "debug"];

const level = word<number>(
  "a log level, 0 to 7 or one of emerg, alert, crit, error, warning, notice, info, debug",
  (text) => {
    const n = wholeNumber(text, 7);
    if (n !== undefined) return n;
    const at = (LEVELS as readonly string[]).indexOf(text);
    return at >= 0 ? at : LEVEL_NAMES.includes(text) ? LEVEL_NAMES.indexOf(text) : undefined;
  },
  String,
);

const NFT_LEVELS: readonly string[] = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];

/** The kernel stores 29 bytes of a prefix; iptables truncates it. */
const logPrefix = word(
  "a prefix of 1 to 29 bytes",
  (text) => {
    if (text === "") return undefined;
    let kept = text;
    while (byteLength(kept) > 29) kept = kept.slice(0, -1);
    return kept;
  },
  (text) => text,
);

export const log = target({
  name: "LOG",
  action: "log",
  sideEffect: "writes a line to the kernel's log",
  options: {
    prefix: option("--log-prefix", logPrefix),
    level: { ...option("--log-level", level), silent: 4 },
    sequence: option("--log-tcp-sequence", flag),
    tcpOptions: option("--log-tcp-options", flag),
    ipOptions: option("--log-ip-options", flag),
    uid: option("--log-uid", flag),
    macdecode: option("--log-macdecode", flag),
  },
  nftExcept: "a prefix with a quote, a backslash, a dollar or a control character",
  nft({ prefix, level: given, sequence, tcpOptions, ipOptions, uid, macdecode }) {
    // nft reads $ as the start of a variable.
    if (prefix !== undefined && (!isQuotable(prefix.value) || prefix.value.includes("$"))) return null;
    const tcp = [
      ...(sequence === undefined ? [] : ["sequence"]),
      ...(tcpOptions === undefined ? [] : ["options"]),
    ];
    return [
      "log",
      ...(prefix === undefined ? [] : [`prefix "${prefix.value}"`]),
      ...(given === undefined ? [] : [`level ${NFT_LEVELS[given.value]!}`]),
      ...(tcp.length === 0 ? [] : [`flags tcp ${tcp.join(",")}`]),
      ...(ipOptions === undefined ? [] : ["flags ip options"]),
      ...(uid === undefined ? [] : ["flags skuid"]),
      ...(macdecode === undefined ? [] : ["flags ether"]),
    ].join(" ");
  },
  effect: () => NOTE,
});

const MAX = 0xffff_ffff;

export const nflog = target({
  name: "NFLOG",
  action: "log",
  sideEffect: "passes a copy to a logging program",
  options: {
    prefix: option("--nflog-prefix", text(63, "a prefix of 1 to 63 bytes", 1)),
    group: { ...option("--nflog-group", number(0xffff)), silent: 0 },
    range: { ...option("--nflog-range", number(MAX)), silent: 0 },
    size: option("--nflog-size", number(MAX)),
    threshold: { ...option("--nflog-threshold", number(0xffff)), silent: 0 },
  },
  effect: () => NOTE,
});

export const ulog = target({
  name: "ULOG",
  sideEffect: "passes a copy to a logging program",
  family: 4,
  options: {
    prefix: option("--ulog-prefix", text(31, "a prefix of at most 31 bytes")),
    group: option("--ulog-nlgroup", positive(32)),
    range: { ...option("--ulog-cprange", number(MAX)), silent: 0 },
    threshold: { ...option("--ulog-qthreshold", positive(50)), silent: 1 },
  },
  // libipt_ULOG prints the prefix first, and the group unless it is 1.
  normalize: ({ group, ...rest }) => ({
    ...rest,
    ...(group === undefined || group.value === 1 ? {} : { group }),
  }),
  effect: () => NOTE,
});

export const auditTarget = target({
  name: "AUDIT",
  sideEffect: "writes a record for the audit daemon",
  options: { type: option("--type", oneOf(["accept", "drop", "reject"])) },
  normalize: (v) => (v.type === undefined ? new Unreadable("--type") : v),
  effect: () => NOTE,
});

export const trace = target({
  name: "TRACE",
  sideEffect: "has the kernel report every rule that these packets match",
  tables: ["raw"],
  options: {},
  effect: () => NOTE,
});

export const tee = target({
  name: "TEE",
  sideEffect: "sends a copy to another host",
  options: { gateway: option("--gateway", address), out: option("--oif", device) },
  normalize: (v) => (v.gateway === undefined ? new Unreadable("--gateway") : v),
  effect: () => NOTE,
});

export const idletimer = target({
  name: "IDLETIMER",
  sideEffect: "restarts an idle timer",
  options: {
    timeout: option("--timeout", positive(MAX)),
    label: option("--label", text(27, "a label of 1 to 27 bytes", 1)),
    alarm: option("--alarm", flag),
  },
  normalize: (v) =>
    v.timeout === undefined || v.label === undefined ? new Unreadable("--timeout and --label") : v,
  effect: () => NOTE,
});

const delay = word<number | "inf">(
  "milliseconds, or inf",
  (text) => (text === "inf" ? "inf" : wholeNumber(text, MAX)),
  String,
);

export const led = target({
  name: "LED",
  sideEffect: "blinks an LED",
  options: {
    id: option("--led-trigger-id", text(15, "a name of 1 to 15 bytes", 1)),
    delay: { ...option("--led-delay", delay), silent: 0 },
    blink: option("--led-always-blink", flag),
  },
  normalize: (v) => (v.id === undefined ? new Unreadable("--led-trigger-id") : v),
  effect: () => NOTE,
});

/** Microseconds a unit. */
const UNITS: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["us", 1],
  ["ms", 1e3],
  ["s", 1e6],
]);

/** A span of time in microseconds. */
const span: Codec<number> = word(
  "a span of time like 250ms, 0.5s or 500000us",
  (text) => {
    const m = /^(\d{1,12}(?:\.\d{1,9})?)(us|ms|s)?$/.exec(text);
    return m === null ? undefined : Number(m[1]) * UNITS.get(m[2] ?? "")!;
  },
  (us) => {
    if (us >= 1e6) return `${(us / 1e6).toFixed(1)}s`;
    return us >= 1e3 ? `${(us / 1e3).toFixed(1)}ms` : `${us}us`;
  },
);

export const rateestTarget = target({
  name: "RATEEST",
  sideEffect: "measures their rate",
  options: {
    name: option("--rateest-name", text(15, "the name of an estimator, at most 15 bytes", 1)),
    interval: option("--rateest-interval", span),
    average: option("--rateest-ewmalog", span),
  },
  // The kernel stores powers of two: of quarter seconds, and of the interval (libxt_RATEEST).
  normalize({ name, interval, average }) {
    if (name === undefined || interval === undefined || average === undefined)
      return new Unreadable("--rateest-name, --rateest-interval and --rateest-ewmalog");
    let steps = 0;
    while (steps <= 5 && interval.value > 250_000 * 2 ** steps) steps++;
    if (steps > 5) return new Unreadable("a --rateest-interval of at most 8s");
    let log = 1;
    while (log < 32 && interval.value / -Math.log(1 - 2 ** -log) <= average.value) log++;
    log--;
    if (log === 0 || log >= 31) return new Unreadable("a --rateest-ewmalog above --rateest-interval");
    const kept = 250_000 * 2 ** steps;
    return {
      name,
      interval: { not: false, value: kept },
      average: { not: false, value: kept * 2 ** log },
    };
  },
  effect: () => NOTE,
});

/** `major:minor` of a traffic class, always hexadecimal. */
const handle: Codec<number> = word(
  "a traffic class as major:minor, in hexadecimal",
  (text) => {
    const m = /^(?:0x)?([0-9a-f]{1,4}):(?:0x)?([0-9a-f]{1,4})$/i.exec(text);
    return m === null ? undefined : Number.parseInt(m[1]!, 16) * 0x10000 + Number.parseInt(m[2]!, 16);
  },
  (n) => n.toString(16).padStart(8, "0").replace(/....$/, ":$&"),
);

export const classify = target({
  name: "CLASSIFY",
  sideEffect: "selects the class of traffic shaping",
  options: { class: option("--set-class", handle) },
  normalize: (v) => (v.class === undefined ? new Unreadable("--set-class") : v),
  effect: () => NOTE,
});

export const checksum = target({
  name: "CHECKSUM",
  sideEffect: "computes a checksum that was left to the hardware",
  tables: ["mangle"],
  options: { fill: option("--checksum-fill", flag) },
  normalize: (v) => (v.fill === undefined ? new Unreadable("--checksum-fill") : v),
  effect: () => NOTE,
});
