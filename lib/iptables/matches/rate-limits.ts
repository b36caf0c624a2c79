/**
 * Rates of packets: limit, hashlimit and rateest (net/netfilter/xt_limit.c, xt_hashlimit.c, xt_rateest.c). Their state is
 * not in the ruleset, so they are unknowns.
 */
import { opaque } from "../../packet/predicate.ts";
import { siteKey } from "../../rules/facts.ts";
import {
  type Codec,
  type Given,
  match,
  negatable,
  option,
  Unreadable,
  type Written,
  written,
} from "../extension.ts";
import { expressions } from "../nft-form.ts";
import { number, positive } from "../number-codecs.ts";
import { flag, someOf, text, word } from "../word-codecs.ts";
import { HEADLESS, SHORT } from "./hotdrop.ts";

/** Units of time in the order of print_rate, the longest first. */
const UNITS = ["day", "hour", "min", "sec"] as const;
type Unit = (typeof UNITS)[number];
const SECONDS: Readonly<Record<Unit, number>> = { day: 86400, hour: 3600, min: 60, sec: 1 };

/** A rate in the form of the kernel: ticks between two packets. */
interface Rate {
  readonly ticks: number;
  /** Unit of the text; the default of --hashlimit-htable-expire depends on it. */
  readonly unit: Unit;
}

/** Reads `10`, `10/s`, `10/minute` into ticks of a `scale`-th second. */
function readRate(text: string, scale: number): Rate | undefined {
  const m = /^(\d{1,9})(?:\/(s|se|sec|second|m|mi|min|minute|h|ho|hou|hour|d|da|day))?$/i.exec(text);
  if (m === null) return undefined;
  const unit = UNITS.find((u) => u[0] === (m[2] ?? "s")[0]!.toLowerCase())!;
  const times = Number(m[1]);
  const ticks = times === 0 ? 0 : Math.trunc((scale * SECONDS[unit]) / times);
  return ticks === 0 ? undefined : { ticks, unit };
}

/** Returns the unit in which a rate is printed and its number: the longest unit with a small rounding error. */
function inUnit(ticks: number, scale: number): { readonly times: number; readonly unit: Unit } {
  const span = (i: number): number => SECONDS[UNITS[i]!] * scale;
  let i = 1;
  for (; i < UNITS.length; i++) if (ticks > span(i) || Math.trunc(span(i) / ticks) < span(i) % ticks) break;
  return { times: Math.trunc(span(i - 1) / ticks), unit: UNITS[i - 1]! };
}

/** XT_LIMIT_SCALE and XT_HASHLIMIT_SCALE_v2: ticks a second. */
const LIMIT_SCALE = 10_000;
const HASH_SCALE = 1_000_000;

const rate: Codec<Rate> = word(
  "a rate like 3/min, 10/sec or 1/hour, of at most 10000 a second",
  (text) => readRate(text, LIMIT_SCALE),
  ({ ticks }) => {
    const { times, unit } = inUnit(ticks, LIMIT_SCALE);
    return `${times}/${unit}`;
  },
);

const NFT_UNITS: Readonly<Record<Unit, string>> = { day: "day", hour: "hour", min: "minute", sec: "second" };
/** XT_LIMIT_BURST. */
const DEFAULT_BURST = 5;

const whyLimit = "the number of earlier matches is not known";

export const limit = match({
  name: "limit",
  opaque: whyLimit,
  options: {
    rate: option("--limit", rate),
    burst: { ...option("--limit-burst", positive(10_000)), silent: DEFAULT_BURST },
  },
  // Default of xt_limit.
  normalize: (values) => ({
    rate: { not: false, value: { ticks: LIMIT_SCALE * 1200, unit: "hour" as const } },
    ...values,
  }),
  copy: () => "in-notes",
  nft({ rate: given, burst: most }) {
    const { times, unit } = inUnit(given!.value.ticks, LIMIT_SCALE);
    return expressions(
      `limit rate ${times}/${NFT_UNITS[unit]} burst ${most?.value ?? DEFAULT_BURST} packets`,
    );
  },
  predicate: (_values, _facts, site) => opaque(siteKey("limit", site), whyLimit),
});

/** A rate in packets, or in bytes a second. */
type HashRate =
  | ({ readonly kind: "packets" } & Rate)
  /** `cost` is the form of the kernel: 2^32 divided by the bytes a second / 16. */
  | { readonly kind: "bytes"; readonly cost: number };

const BYTES = /^(\d{1,10})(b|kb|mb)(?:\/(?:s|se|sec|second))?$/i;
const FACTOR: ReadonlyMap<string, number> = new Map([
  ["b", 1],
  ["kb", 1024],
  ["mb", 1 << 20],
]);

function readBytes(text: string): number | undefined {
  const m = BYTES.exec(text);
  if (m === null) return undefined;
  const bytes = Number(m[1]) * FACTOR.get(m[2]!.toLowerCase())!;
  return bytes <= 0xffff_ffff ? bytes : undefined;
}

const writeBytes = (bytes: number): string => {
  for (const [name, factor] of [...FACTOR].reverse())
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${name}`;
  return `${bytes}b`;
};

const bytesToCost = (bytes: number): number => Math.trunc(0xffff_ffff / ((bytes >>> 4) + 1));
const costToBytes = (cost: number): number => (Math.trunc(0xffff_ffff / cost) - 1) * 16;

const hashRate: Codec<HashRate> = word<HashRate>(
  "a rate like 3/min or 10/sec, or in bytes like 512kb/s",
  (text) => {
    const bytes = readBytes(text);
    if (bytes !== undefined) return { kind: "bytes", cost: bytesToCost(bytes) };
    const packets = readRate(text, HASH_SCALE);
    return packets === undefined ? undefined : { kind: "packets", ...packets };
  },
  (value) => {
    if (value.kind === "bytes") return `${writeBytes(costToBytes(value.cost))}/s`;
    const { times, unit } = inUnit(value.ticks, HASH_SCALE);
    return `${times}/${unit}`;
  },
);

/** A number of packets, or of bytes. */
const burst = word<number | { readonly bytes: number }>(
  "a number of packets, or of bytes like 1mb",
  (text) => {
    if (/^\d{1,10}$/.test(text) && Number(text) > 0) return Number(text);
    const bytes = readBytes(text);
    return bytes === undefined ? undefined : { bytes };
  },
  (value) => (typeof value === "number" ? String(value) : writeBytes(value.bytes)),
);

const MAX = 0xffff_ffff;
const mode = someOf(["srcip", "srcport", "dstip", "dstport"]);
const whyHash = "the number of earlier matches of the same group is not known";
const as = <T>(value: T): Given<T> => ({ not: false, value });

export const hashlimit = match({
  name: "hashlimit",
  opaque: whyHash,
  options: {
    upto: negatable("--hashlimit-upto", hashRate, "--hashlimit"),
    above: negatable("--hashlimit-above", hashRate),
    burst: option("--hashlimit-burst", burst),
    mode: option("--hashlimit-mode", mode),
    name: option("--hashlimit-name", text(255, "the name of a table of buckets", 1)),
    size: option("--hashlimit-htable-size", number(MAX)),
    max: option("--hashlimit-htable-max", number(MAX)),
    collect: { ...option("--hashlimit-htable-gcinterval", number(MAX)), silent: 1000 },
    expire: option("--hashlimit-htable-expire", number(MAX)),
    srcmask: option("--hashlimit-srcmask", number(128)),
    dstmask: option("--hashlimit-dstmask", number(128)),
    match: option("--hashlimit-rate-match", flag),
    interval: { ...option("--hashlimit-rate-interval", number(MAX)), silent: 1 },
  },
  normalize(values, { family }) {
    const { upto, above } = values;
    const given = upto ?? above;
    if (given === undefined || (upto !== undefined && above !== undefined))
      return new Unreadable("exactly one of --hashlimit-upto and --hashlimit-above");
    if (values.name === undefined) return new Unreadable("--hashlimit-name");
    const over = (above !== undefined) !== given.not;
    const wanted = values.burst?.value;
    let printed: number;
    let kept: Given<number | { readonly bytes: number }> | undefined;
    if (given.value.kind === "packets") {
      if (typeof wanted === "object") return new Unreadable("--hashlimit-burst in packets, as the rate is");
      kept = as(wanted ?? 5);
      printed = SECONDS[inUnit(given.value.ticks, HASH_SCALE).unit] * 1000;
    } else {
      const step = costToBytes(given.value.cost);
      const bytes = typeof wanted === "object" ? wanted.bytes : wanted;
      if (bytes !== undefined && bytes < step)
        return new Unreadable(`--hashlimit-burst of at least ${step}b, the rate itself`);
      // The kernel rounds up to a multiple of the rate.
      if (bytes !== undefined) kept = as({ bytes: step === 0 ? 0 : Math.ceil(bytes / step) * step });
      printed = bytes === undefined ? 15_000 : 60_000;
    }
    const unit = given.value.kind === "packets" ? SECONDS[given.value.unit] * 1000 : printed;
    const expire = values.expire?.value ?? unit;
    const width = family === 4 ? 32 : 128;
    const { name, mode: by, size, max, collect, srcmask, dstmask, match: classify, interval } = values;
    return {
      ...(over ? { above: as(given.value) } : { upto: as(given.value) }),
      ...(kept === undefined ? {} : { burst: kept }),
      ...(by === undefined || by.value.length === 0 ? {} : { mode: by }),
      name,
      ...(size === undefined || size.value === 0 ? {} : { size }),
      ...(max === undefined || max.value === 0 ? {} : { max }),
      ...(collect === undefined ? {} : { collect }),
      ...(expire === printed ? {} : { expire: as(expire) }),
      ...(srcmask === undefined || srcmask.value === width ? {} : { srcmask }),
      ...(dstmask === undefined || dstmask.value === width ? {} : { dstmask }),
      ...(classify === undefined ? {} : { match: classify }),
      ...(interval === undefined ? {} : { interval }),
    };
  },
  predicate: (_values, _facts, site) => opaque(siteKey("hashlimit", site), whyHash),
  hotdrop: ({ mode }, { family }) =>
    mode?.value.some((by) => by.endsWith("port")) !== true ? undefined : family === 4 ? SHORT : HEADLESS,
});

/** Bits a second; rates of bytes are eight times as much. */
const SUFFIXES: ReadonlyMap<string, number> = new Map(
  ["", "k", "m", "g", "t"].flatMap((letter, i): [string, number][] => [
    [`${letter}bit`, 1000 ** i],
    [`${letter}ibit`, 1024 ** i],
    [`${letter}bps`, 8 * 1000 ** i],
    [`${letter}ibps`, 8 * 1024 ** i],
  ]),
);

/** Bytes a second, given as `2.5mbit` or `100KBps`; printed in bits. */
const bitRate: Codec<number | undefined> = {
  words: 1,
  optional: true,
  expects: "a rate like 8bit, 2.5mbit or 100KBps",
  read([text]) {
    if (text === undefined) return undefined;
    const m = /^(\d{1,15}(?:\.\d{1,9})?)([a-z]*)$/i.exec(text);
    const factor = m === null ? undefined : m[2] === "" ? 1 : SUFFIXES.get(m[2]!.toLowerCase());
    if (factor === undefined) return new Unreadable(bitRate.expects);
    return Math.trunc((Number(m![1]) * factor) / 8);
  },
  write(bytes) {
    if (bytes === undefined) return [];
    const bits = bytes * 8;
    if (bits >= 1e9) return [`${Math.round(bits / 1e6)}Mbit`];
    if (bits >= 1e6) return [`${Math.round(bits / 1e3)}Kbit`];
    return [`${bits}bit`];
  },
};

const packetRate: Codec<number | undefined> = {
  words: 1,
  optional: true,
  expects: "a number of packets a second",
  read([text]) {
    if (text === undefined) return undefined;
    return /^\d{1,10}$/.test(text) ? Number(text) : new Unreadable(packetRate.expects);
  },
  write: (packets) => (packets === undefined ? [] : [String(packets)]),
};

const whyRate = "the measured rates are not known";
const estimator = text(15, "the name of an estimator, at most 15 bytes", 1);

export const rateest = match({
  name: "rateest",
  opaque: whyRate,
  options: {
    one: option("--rateest1", estimator, "--rateest"),
    two: option("--rateest2", estimator),
    delta: option("--rateest-delta", flag),
    lt: negatable("--rateest-lt", flag),
    gt: negatable("--rateest-gt", flag),
    eq: negatable("--rateest-eq", flag),
    bps1: option("--rateest-bps1", bitRate, "--rateest-bps"),
    pps1: option("--rateest-pps1", packetRate, "--rateest-pps"),
    bps2: option("--rateest-bps2", bitRate),
    pps2: option("--rateest-pps2", packetRate),
  },
  normalize(v) {
    if (v.one === undefined) return new Unreadable("--rateest or --rateest1");
    if ([v.lt, v.gt, v.eq].filter((g) => g !== undefined).length !== 1)
      return new Unreadable("exactly one of --rateest-lt, --rateest-gt and --rateest-eq");
    if (v.bps1 === undefined && v.pps1 === undefined) return new Unreadable("--rateest-bps or --rateest-pps");
    return v;
  },
  requires: ({ one, two }) =>
    [one, two].flatMap((given) =>
      given === undefined ? [] : [{ kind: "rate estimator", name: given.value }],
    ),
  print(v, spelling) {
    const name = v.lt !== undefined ? "lt" : v.gt !== undefined ? "gt" : "eq";
    const how: Written = { not: (v.lt ?? v.gt ?? v.eq)!.not, name: `--rateest-${name}`, words: [] };
    const bits = (g: Given<number | undefined> | undefined) => bitRate.write(g?.value, spelling);
    const packets = (g: Given<number | undefined> | undefined) => packetRate.write(g?.value, spelling);
    const out: Written[] = v.delta === undefined ? [] : [written("--rateest-delta")];
    if (v.two === undefined) {
      out.push(written("--rateest", v.one!.value));
      if (v.delta === undefined) {
        if (v.bps1 !== undefined) out.push(how, written("--rateest-bps", ...bits(v.bps1)));
        if (v.pps1 !== undefined) out.push(how, written("--rateest-pps", ...packets(v.pps1)));
      } else {
        if (v.bps1 !== undefined) out.push(written("--rateest-bps1", ...bits(v.bps1)));
        if (v.bps1 !== undefined) out.push(how, written("--rateest-bps2", ...bits(v.bps2)));
        if (v.pps1 !== undefined) out.push(written("--rateest-pps1", ...packets(v.pps1)));
        if (v.pps1 !== undefined) out.push(how, written("--rateest-pps2", ...packets(v.pps2)));
      }
      return out;
    }
    out.push(written("--rateest1", v.one!.value));
    if (v.delta === undefined) {
      if (v.bps1 !== undefined) out.push(how, written("--rateest-bps"));
      if (v.pps1 !== undefined) out.push(how, written("--rateest-pps"));
    } else {
      if (v.bps1 !== undefined)
        out.push(written("--rateest-bps1", ...bits(v.bps1)), how, written("--rateest-bps2", ...bits(v.bps2)));
      if (v.pps1 !== undefined)
        out.push(
          written("--rateest-pps1", ...packets(v.pps1)),
          how,
          written("--rateest-pps2", ...packets(v.pps2)),
        );
    }
    out.push(written("--rateest2", v.two.value));
    return out;
  },
  predicate: (_values, _facts, site) => opaque(siteKey("rateest", site), whyRate),
});
