/**
 * Bytes of a packet: string, u32, bpf, osf (net/netfilter/xt_string.c, xt_u32.c, xt_bpf.c, xt_osf.c). fwcheck models header
 * fields, not bytes. Each rule has its own unknown, since NAT and routing change the bytes on the path.
 */
import { PROTO } from "../../packet/field.ts";
import { negate, opaque } from "../../packet/predicate.ts";
import { siteKey } from "../../rules/facts.ts";
import { type Codec, match, negatable, option, Unreadable, type Written } from "../extension.ts";
import { number, printHex, wholeNumber } from "../number-codecs.ts";
import { flag, oneOf, text, word } from "../word-codecs.ts";

const why = "the bytes of a packet are not modelled";

/** XT_STRING_MAX_PATTERN_SIZE. */
const LONGEST = 128;

const plain: Codec<readonly number[]> = word(
  `a text of 1 to ${LONGEST} bytes`,
  (value) => {
    const bytes = [...new TextEncoder().encode(value)];
    return bytes.length > 0 && bytes.length <= LONGEST ? bytes : undefined;
  },
  (bytes) => String.fromCharCode(...bytes),
);

const hexed: Codec<readonly number[]> = word(
  `a text of 1 to ${LONGEST} bytes with hexadecimal parts between bars, like |0d0a|`,
  (value) => {
    const bytes: number[] = [];
    let at = 0;
    while (at < value.length) {
      if (value[at] === "|") {
        const end = value.indexOf("|", at + 1);
        const digits = end < 0 ? "x" : value.slice(at + 1, end).replaceAll(" ", "");
        if (!/^([0-9a-fA-F]{2})*$/.test(digits)) return undefined;
        for (let i = 0; i < digits.length; i += 2) bytes.push(Number.parseInt(digits.slice(i, i + 2), 16));
        at = end + 1;
        continue;
      }
      // A backslash makes the next character literal.
      if (value[at] === "\\" && at + 1 < value.length) at++;
      const point = value.codePointAt(at)!;
      const character = String.fromCodePoint(point);
      bytes.push(...new TextEncoder().encode(character));
      at += character.length;
    }
    return bytes.length > 0 && bytes.length <= LONGEST ? bytes : undefined;
  },
  (bytes) => `|${bytes.map((b) => b.toString(16).padStart(2, "0")).join("")}|`,
);

/** Returns true if libxt_string prints hexadecimal: for unprintable bytes and a final backslash. */
const needsHex = (bytes: readonly number[]): boolean =>
  bytes.some((b) => b < 0x20 || b > 0x7e) || bytes.at(-1) === 0x5c;

export const stringMatch = match({
  name: "string",
  opaque: why,
  options: {
    pattern: negatable("--string", plain),
    hex: negatable("--hex-string", hexed),
    algo: option("--algo", oneOf(["bm", "kmp"])),
    from: { ...option("--from", number(0xffff)), silent: 0 },
    to: { ...option("--to", number(0xffff)), silent: 0xffff },
    icase: option("--icase", flag),
  },
  normalize(v) {
    if ((v.pattern === undefined) === (v.hex === undefined))
      return new Unreadable("exactly one of --string and --hex-string");
    return v.algo === undefined ? new Unreadable("--algo bm or --algo kmp") : v;
  },
  print(v, spelling) {
    const { not, value } = (v.pattern ?? v.hex)!;
    const codec = needsHex(value) ? hexed : plain;
    const name = codec === hexed ? "--hex-string" : "--string";
    const out: Written[] = [{ not, name, words: codec.write(value, spelling) }];
    const add = (name: string, ...words: string[]): unknown => out.push({ not: false, name, words });
    add("--algo", v.algo!.value);
    if (v.from !== undefined && v.from.value !== 0) add("--from", String(v.from.value));
    if (v.to !== undefined && v.to.value !== 0xffff) add("--to", String(v.to.value));
    if (v.icase !== undefined) add("--icase");
    return out;
  },
  predicate: (v, _facts, site) => negate((v.pattern ?? v.hex)!.not, opaque(siteKey("string", site), why)),
});

/** Tests of u32, printed without blanks and in hexadecimal. */
const tests: Codec<string> = word(
  'tests like "0 & 0xFFFF = 0x100:0xFFFF"',
  (value) => {
    const out: string[] = [];
    for (const test of value.split("&&")) {
      const [location, values, more] = test.split("=");
      if (values === undefined || more !== undefined) return undefined;
      const parts = location!.split(/(<<|>>|&|@)/).map((p) => p.trim());
      const numbers = parts.map((p, i) => (i % 2 === 1 ? p : printed(p)));
      const ranges = values.split(",").map((range) => range.split(":").map((p) => printed(p.trim())));
      if (numbers.includes(undefined) || parts.length > 21 || ranges.length > 10) return undefined;
      if (ranges.some((r) => r.length > 2 || r.includes(undefined))) return undefined;
      const shown = ranges.map((r) => (r[0] === r[1] ? r[0] : r.join(":"))).join(",");
      out.push(`${numbers.join("")}=${shown}`);
    }
    return out.length <= 10 ? out.join("&&") : undefined;
  },
  (value) => value,
);

const printed = (digits: string): string | undefined => {
  const n = wholeNumber(digits, 0xffff_ffff);
  return n === undefined ? undefined : printHex(n);
};

export const u32 = match({
  name: "u32",
  opaque: why,
  options: { tests: negatable("--u32", tests) },
  normalize: (v) => (v.tests === undefined ? new Unreadable("--u32") : v),
  predicate: (v, _facts, site) => negate(v.tests!.not, opaque(siteKey("u32", site), why)),
});

const bytecode: Codec<string> = word(
  "a BPF program in decimal: the number of instructions, then each as four numbers, separated by commas",
  (value) => {
    const [count, ...instructions] = value.split(",");
    const fine = instructions.every((i) => /^\d+ \d+ \d+ \d+$/.test(i.trim()));
    return fine && /^\d{1,2}$/.test(count!) && Number(count) === instructions.length ? value : undefined;
  },
  (value) => value,
);

export const bpf = match({
  name: "bpf",
  opaque: why,
  options: {
    code: option("--bytecode", bytecode),
    pinned: option("--object-pinned", text(511, "the path of a pinned BPF object", 1)),
  },
  normalize: (v) =>
    (v.code === undefined) === (v.pinned === undefined)
      ? new Unreadable("exactly one of --bytecode and --object-pinned")
      : v,
  requires: ({ pinned }) => (pinned === undefined ? [] : [{ kind: "BPF object", name: pinned.value }]),
  predicate: (_values, _facts, site) => opaque(siteKey("bpf", site), why),
});

const whyOsf = "the fingerprints of operating systems are not known";

export const osf = match({
  name: "osf",
  family: 4,
  protocols: [PROTO.tcp],
  opaque: whyOsf,
  options: {
    genre: negatable("--genre", text(31, "the name of an operating system", 1)),
    ttl: option("--ttl", number(2)),
    log: option("--log", number(2)),
  },
  normalize: (v) => (v.genre === undefined ? new Unreadable("--genre") : v),
  predicate: (v, _facts, site) => negate(v.genre!.not, opaque(siteKey("osf", site), whyOsf)),
});
