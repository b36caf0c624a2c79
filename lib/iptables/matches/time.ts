/** Time of day and date (net/netfilter/xt_time.c). The library reads no clock. */
import { opaque } from "../../packet/predicate.ts";
import { sharedKey } from "../../rules/facts.ts";
import { type Codec, type Given, match, negatable, option, Unreadable } from "../extension.ts";
import { flag, word } from "../word-codecs.ts";

const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"] as const;
/** The last second of a signed 32-bit clock. */
const LAST = 0x7fff_ffff;
const LAST_OF_DAY = 86_399;

const two = (n: number): string => String(n).padStart(2, "0");

/** Seconds of the day. */
const daytime: Codec<number> = word(
  "a time of day like 08:00 or 08:00:30",
  (text) => {
    const m = /^(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?$/.exec(text);
    if (m === null) return undefined;
    const [h, min, s] = [Number(m[1]), Number(m[2]), Number(m[3] ?? 0)];
    return h < 24 && min < 60 && s < 60 ? h * 3600 + min * 60 + s : undefined;
  },
  (n) => `${two(Math.trunc(n / 3600))}:${two(Math.trunc(n / 60) % 60)}:${two(n % 60)}`,
);

/** Seconds since 1970. */
const date: Codec<number> = word(
  "a date like 2007-12-24 or 2007-12-24T17:00:00, from 1970 to 2038",
  (text) => {
    const m = /^(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:T(\d{1,2})(?::(\d{1,2})(?::(\d{1,2}))?)?)?)?)?$/.exec(
      text,
    );
    if (m === null) return undefined;
    const part = (i: number, least: number): number => (m[i] === undefined ? least : Number(m[i]));
    const [y, mon, d, h, min, s] = [
      part(1, 1970),
      part(2, 1),
      part(3, 1),
      part(4, 0),
      part(5, 0),
      part(6, 0),
    ];
    if (mon < 1 || mon > 12 || d < 1 || d > 31 || h > 23 || min > 59 || s > 59) return undefined;
    const seconds = Date.UTC(y, mon - 1, d, h, min, s) / 1000;
    return seconds >= 0 && seconds <= LAST ? seconds : undefined;
  },
  (n) => new Date(n * 1000).toISOString().slice(0, 19),
);

const weekday = (text: string): number | undefined => {
  if (/^[1-7]$/.test(text)) return Number(text);
  const at = text.length < 2 ? -1 : DAYS.findIndex((day) => day.startsWith(text));
  return at < 0 ? undefined : at + 1;
};

const days = (
  expects: string,
  last: number,
  read: (text: string) => number | undefined,
  write: (day: number) => string,
): Codec<readonly number[]> =>
  word(
    expects,
    (text) => {
      const given = text.split(",").map(read);
      return given.includes(undefined) ? undefined : all(last).filter((day) => given.includes(day));
    },
    (list) => list.map(write).join(","),
  );

const all = (last: number): number[] => Array.from({ length: last }, (_, i) => i + 1);

const weekdays = days("days of the week like Mon,Tue or 1,2", 7, weekday, (day) => DAYS[day - 1]!);
const monthdays = days(
  "days of the month, 1 to 31, separated by commas",
  31,
  (text) => (/^\d{1,2}$/.test(text) && Number(text) >= 1 && Number(text) <= 31 ? Number(text) : undefined),
  String,
);

/** Returns the days that match, in the form of the kernel; `undefined` for all days, which are the default. */
function kept(
  given: Given<readonly number[]> | undefined,
  last: number,
): Given<readonly number[]> | undefined {
  if (given === undefined) return undefined;
  const list = given.not ? all(last).filter((day) => !given.value.includes(day)) : given.value;
  return list.length === last ? undefined : { not: false, value: list };
}

const why = "the time is not known";

export const time = match({
  name: "time",
  opaque: why,
  options: {
    timestart: option("--timestart", daytime),
    timestop: option("--timestop", daytime),
    monthdays: negatable("--monthdays", monthdays),
    weekdays: negatable("--weekdays", weekdays),
    datestart: { ...option("--datestart", date), silent: 0 },
    datestop: option("--datestop", date),
    kerneltz: option("--kerneltz", flag, "--localtz"),
    contiguous: option("--contiguous", flag),
    utc: option("--utc", flag),
  },
  normalize({ timestart, timestop, datestart, datestop, kerneltz, contiguous, ...rest }) {
    const from = timestart?.value ?? 0;
    const to = timestop?.value ?? LAST_OF_DAY;
    if (contiguous !== undefined && to >= from)
      return new Unreadable("a --timestop before --timestart for --contiguous");
    const whole = from === 0 && to === LAST_OF_DAY;
    const months = kept(rest.monthdays, 31);
    const weeks = kept(rest.weekdays, 7);
    return {
      ...(whole ? {} : { timestart: { not: false, value: from }, timestop: { not: false, value: to } }),
      ...(months === undefined ? {} : { monthdays: months }),
      ...(weeks === undefined ? {} : { weekdays: weeks }),
      ...(datestart === undefined ? {} : { datestart }),
      datestop: datestop ?? { not: false, value: LAST },
      ...(kerneltz === undefined ? {} : { kerneltz }),
      ...(contiguous === undefined ? {} : { contiguous }),
    };
  },
  copy: () => "unchanged",
  predicate: (values) => opaque(sharedKey("time", JSON.stringify(values)), why),
});
