/** One packet's way as a picture: netfilter's hooks in their places, what each said, and those that were never asked. */
import { containerAt } from "../../host/host.ts";
import { printAddress } from "../../packet/address.ts";
import type { Hook } from "../../rules/base-chain.ts";
import type { Trace, TracedBranch } from "../../simulate/answer.ts";
import { Markup, markup, type Part } from "../html/markup.ts";
import { at, packetText } from "../text/packet-text.ts";
import { PLAIN, safe, wrapped } from "../text/terminal.ts";
import { type Course, course, type Line, type Meant, type Station } from "./path-stops.ts";
import { conclusion, letter, outcomes, type Page, page, type TraceOptions, when } from "./trace-text.ts";

/** How a way is drawn. */
export interface WayOptions extends Pick<TraceOptions, "rulesets" | "host"> {
  /** What the owner's own rules say of the packet: drawn beside what happens. What INPUT would have said unless given. */
  readonly intended?: Meant;
  /** What the picture's ids begin with, so that many can stand in one page; `way` unless given. */
  readonly id?: string;
  /** Leaves out the style sheet, which then comes from the page around it. */
  readonly bare?: boolean;
  /** Leaves out the verdict below the map, which then stands in the page around it. */
  readonly mute?: boolean;
}

/** Sizes in units of the picture, which is `WIDTH` of them wide. */
const WIDTH = 960;
const EDGE = 14;
/** A hook's box: its left edge and width. */
const BOXES: Readonly<Record<Hook, { readonly x: number; readonly w: number; readonly top: boolean }>> = {
  PREROUTING: { x: EDGE, w: 274, top: false },
  INPUT: { x: 346, w: 300, top: true },
  FORWARD: { x: 346, w: 300, top: false },
  OUTPUT: { x: 704, w: 242, top: true },
  POSTROUTING: { x: 704, w: 242, top: false },
};
const HEAD = 30;
const STOPS = 24;
const ROW = 16;
const PAD = 12;
/** Between the hooks of the upper row and those of the lower one. */
const GAP = 44;
/** Columns of a character of the fixed-width font, at 11.5 units. */
const CHAR = 7;

/** The style sheet of the pictures, light and dark; every rule is about `.way`. */
export const WAY_STYLE = `
.way{--ink:#1c2128;--dim:#59636e;--faint:#d0d7de;--paper:#fff;--panel:#f6f8fa;--go:#1259b8;--bad:#b3261e;--good:#12702f;--warn:#8a5300;--wish:#6a3cb5;font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif}
@media (prefers-color-scheme:dark){.way{--ink:#e6edf3;--dim:#9aa6b2;--faint:#3a434d;--paper:#0f1318;--panel:#171d24;--go:#79b1ff;--bad:#ff8a80;--good:#6fdd8b;--warn:#f0b95a;--wish:#c8aaff}}
@media print{.way{--ink:#000;--dim:#444;--faint:#bbb;--paper:#fff;--panel:#fff;--go:#1259b8;--bad:#b3261e;--good:#12702f;--warn:#8a5300;--wish:#6a3cb5}}
.way text{fill:var(--ink);font-size:11.5px}
.way .m{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
.way .paper{fill:var(--paper)}
.way .box{fill:var(--panel);stroke:var(--faint);stroke-width:1.5}
.way .met .box{fill:var(--paper);stroke:var(--go)}
.way .name{font-weight:650;font-size:13px;letter-spacing:.03em}
.way .unmet text{fill:var(--dim)}
.way .unmet .box{stroke-dasharray:4 4}
.way .chip{fill:none;stroke:var(--faint)}
.way .chip.said{fill:var(--go);stroke:var(--go)}
.way .small{font-size:10.5px;fill:var(--dim)}
.way .chip-name.said{fill:var(--paper);font-weight:600}
.way .table{font-weight:650;fill:var(--dim);font-size:11px}
.way .quiet,.way .at{fill:var(--dim)}
.way .at{font-size:10.5px}
.way .change{fill:var(--go);font-weight:600}
.way .pass{fill:var(--good);font-weight:600}
.way .stop{fill:var(--bad);font-weight:600}
.way .wish,.way .unmet .wish,.way .wish-name,.way .unmet .wish-name{fill:var(--wish)}
.way .wish-name{font-weight:650;font-size:11px}
.way .wish-box{fill:none;stroke:var(--wish);stroke-dasharray:3 3}
.way .rail{fill:none;stroke:var(--faint);stroke-width:2}
.way .line{fill:none;stroke:var(--go);stroke-width:4;stroke-linejoin:round;stroke-linecap:round}
.way .wish-line{fill:none;stroke:var(--wish);stroke-width:2.5;stroke-dasharray:6 5;stroke-linejoin:round}
.way .node{fill:var(--paper);stroke:var(--faint);stroke-width:2}
.way .node.met{stroke:var(--go)}
.way .end{stroke:var(--paper);stroke-width:2}
.way .end.accept{fill:var(--good)}.way .end.drop,.way .end.reject{fill:var(--bad)}.way .end.undecided{fill:var(--warn)}.way .end.meant{fill:var(--wish)}
.way .sign{fill:none;stroke:var(--paper);stroke-width:2.4;stroke-linecap:round;stroke-linejoin:round}
.way .verdict{font-size:13.5px;font-weight:600}
.way .verdict.accept{fill:var(--good)}.way .verdict.drop,.way .verdict.reject{fill:var(--bad)}.way .verdict.undecided{fill:var(--warn)}
.way.bypass{--go:var(--bad)}
.way.bypass .verdict.accept,.way.bypass .pass{fill:var(--bad)}
.way.bypass .end.accept{fill:var(--bad)}
`.trim();

/**
 * The way of a packet as an SVG (SVG 1.1 and CSS): the five hooks in their places, the tables that each asks, the
 * rules that matched with their lines, what changed in the header, where the way ends and why; the hooks it never met
 * are grey. Where it can go several ways, one below the other. There is no script in it and nothing that is fetched.
 */
export function waySvg(trace: Trace, options: WayOptions): string {
  return wayMarkup(trace, options).text;
}

/** The same to be put into other markup. */
export function wayMarkup(trace: Trace, options: WayOptions): Markup {
  const { answer } = trace;
  const on = page(answer.packet.dst, { ...options, style: PLAIN, width: Number.POSITIVE_INFINITY });
  const id = options.id ?? "way";
  const sent = answer.packet.in === null || answer.packet.in === undefined;
  const meant = options.intended ?? trace.skippedInput;
  const branches = answer.branches !== undefined;
  const ways = branches ? outcomes(trace.branches) : trace.branches.slice(0, 1);
  const said = packetText(answer.packet);
  let y = 12;
  const parts: Part[] = [
    markup`<text class="m name" x="${EDGE}" y="${(y += 18)}">${shortened(said, 112)}</text>`,
  ];
  y += 14;
  const told: string[] = [said];
  for (const [i, way] of ways.entries()) {
    if (branches) {
      const lead = `${letter(i)}. ${when(way, trace.branches, on)}`;
      told.push(lead);
      for (const row of wrapped(lead, 112))
        parts.push(markup`<text class="verdict undecided" x="${EDGE}" y="${(y += 20)}">${row}</text>`);
      y += 8;
    }
    const drawn = map(
      { way, course: course(way, sent, meant, on), meant, input: sent ? null : answer.packet.in!, on },
      y,
    );
    parts.push(drawn.markup);
    told.push(...drawn.told);
    y += drawn.height;
  }
  for (const [i, sentence] of conclusion(trace, on).entries()) {
    told.push(sentence);
    if (options.mute === true) continue;
    for (const row of wrapped(sentence, i === 0 || branches ? 112 : 150))
      parts.push(
        markup`<text class="${i === 0 || branches ? `verdict ${answer.verdict}` : "note"}" x="${EDGE}" y="${(y += 19)}">${row}</text>`,
      );
  }
  const source = safe(on.ruleset?.source ?? "");
  if (source !== "")
    parts.push(
      markup`<text class="small" x="${EDGE}" y="${(y += 19)}">${shortened(`:12 is line 12 of ${source}`, 150)}</text>`,
    );
  const height = Math.round(y + 16);
  const bypass =
    options.intended !== undefined && options.intended.verdict !== "accept" && answer.verdict === "accept";
  return markup`<svg xmlns="http://www.w3.org/2000/svg" class="way${bypass ? " bypass" : ""}" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="${id}-title ${id}-desc">
    <title id="${id}-title">${`The way of ${said}: ${answer.verdict}`}</title>
    <desc id="${id}-desc">${told.join("; ")}</desc>
    ${options.bare === true ? null : new Markup(`<style>${WAY_STYLE}</style>`)}
    <rect class="paper" width="${WIDTH}" height="${height}"/>
    ${parts}</svg>`;
}

interface Point {
  readonly x: number;
  readonly y: number;
}

interface Row extends Line {
  /** Characters that it is moved to the right. */
  readonly indent: number;
}

/** A hook's box where it stands. */
interface Box extends Station {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
  readonly rows: readonly Row[];
  readonly wishes: readonly Row[];
}

type Boxes = Readonly<Record<Hook, Box>>;

/** What a map shows. */
interface Scene {
  readonly way: TracedBranch;
  readonly course: Course;
  readonly meant: Meant | null;
  /** The interface that the packet comes in by; `null` where the host sends it. */
  readonly input: string | null;
  readonly on: Page;
}

/** The places that lines run through. */
interface Places {
  readonly boxes: Boxes;
  /** Where a packet comes in. */
  readonly source: Point;
  /** The routing decision. */
  readonly fork: Point;
  /** The host's own programs. */
  readonly host: Point;
  /** Where a packet leaves. */
  readonly exit: Point;
  /** Where a line can run below everything. */
  readonly floor: number;
}

/** The middle of a box's headline, where lines run through. */
const middle = (box: Box): Point => ({ x: box.x + box.w / 2, y: box.y + HEAD / 2 });

function placesOf(course: Course, top: number): Places {
  const sized = (hook: Hook, y: number): Box => {
    const station = course.stations[hook];
    const { x, w } = BOXES[hook];
    const chars = Math.floor((w - 2 * PAD) / CHAR);
    const rows = rowsOf(station.lines, chars);
    const wishes = rowsOf(station.wish, chars - 2);
    const wish = wishes.length === 0 ? 0 : (wishes.length + 1) * ROW + 18;
    const h = HEAD + STOPS + rows.length * ROW + (rows.length > 0 ? 8 : 0) + wish;
    return { ...station, x, y, w, h, rows, wishes };
  };
  const upper = [sized("INPUT", top), sized("OUTPUT", top)] as const;
  const y = top + Math.max(...upper.map((box) => box.h)) + GAP;
  const [INPUT, OUTPUT] = upper;
  const [PREROUTING, FORWARD, POSTROUTING] = [
    sized("PREROUTING", y),
    sized("FORWARD", y),
    sized("POSTROUTING", y),
  ];
  const exit = { x: middle(POSTROUTING).x, y: POSTROUTING.y + POSTROUTING.h + 46 };
  return {
    boxes: { PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING },
    source: { x: PREROUTING.x + 78, y: middle(INPUT).y },
    fork: { x: (PREROUTING.x + PREROUTING.w + FORWARD.x) / 2, y: middle(FORWARD).y },
    host: { x: (INPUT.x + INPUT.w + OUTPUT.x) / 2, y: middle(INPUT).y },
    exit,
    floor: Math.max(PREROUTING.y + PREROUTING.h, FORWARD.y + FORWARD.h, exit.y + 24),
  };
}

/** Text in rows of at most so many characters. */
function rowsOf(lines: readonly Line[], chars: number): Row[] {
  return lines.flatMap((line): Row[] => {
    const indent = line.kind === "change" ? 2 : Math.min(10, 2 * Math.max(0, line.depth - 1));
    const room = chars - indent;
    if (line.at !== null)
      return [{ ...line, indent, text: shortened(line.text, room - String(line.at).length - 2) }];
    const [from, to] = line.text.split(" -> ");
    const text = line.text.replace(" -> ", " → ");
    // A translation is torn at its arrow, if anywhere.
    const texts =
      text.length <= room
        ? [text]
        : to !== undefined && line.kind === "change"
          ? [from!, `→ ${to}`]
          : wrapped(text, room - 2);
    return texts.map((text, i) => ({
      ...line,
      indent: i === 0 ? indent : indent + 2,
      text: shortened(text, i === 0 ? room : room - 2),
    }));
  });
}

/** What is too long loses its middle. */
const shortened = (text: string, chars: number): string =>
  text.length <= chars
    ? text
    : `${text.slice(0, Math.ceil((chars - 1) / 2))}…${text.slice(text.length - Math.floor((chars - 1) / 2))}`;

/** The line through hooks. */
function through(hooks: readonly Hook[], places: Places, last: Point | null): Point[] {
  const { boxes, source, fork, host, floor } = places;
  const out: Point[] = [hooks[0] === "OUTPUT" ? host : source];
  for (const [i, hook] of hooks.entries()) {
    const here = middle(boxes[hook]);
    if (hook === "PREROUTING") {
      // By the loopback interface it goes round below.
      if (i > 0) out.push({ x: middle(boxes.POSTROUTING).x, y: floor + 14 }, { x: source.x, y: floor + 14 });
      out.push({ x: source.x, y: here.y });
    }
    if (hook === "INPUT") out.push(fork, { x: fork.x, y: here.y });
    if (hook === "POSTROUTING" && hooks[i - 1] === "OUTPUT")
      out.push({ x: middle(boxes.OUTPUT).x, y: here.y });
    out.push(here);
  }
  return last === null ? out : [...out, last];
}

const traced = (points: readonly Point[]): string =>
  points.map(({ x, y }, i) => `${i === 0 ? "M" : "L"}${x} ${y}`).join("");

/** A map from `top` on, how high it is, and what it shows in words. */
function map(
  scene: Scene,
  top: number,
): { readonly markup: Markup; readonly height: number; readonly told: readonly string[] } {
  const { way, course, meant, input, on } = scene;
  const places = placesOf(course, top);
  const { boxes, source, fork, host, exit, floor } = places;
  const { hooks } = course;
  const accepted = way.verdict === "accept";
  const goal = !accepted ? null : way.delivery === "local" ? host : exit;
  const loops = hooks.indexOf("PREROUTING") > 0;
  const aim = course.wish.at(-1);
  const decides = course.decides === null ? null : boxes[course.decides];
  const hoped = meant?.verdict !== "accept" ? null : aim === "INPUT" ? host : exit;
  const rails: Point[][] = [
    through(["PREROUTING", "FORWARD", "POSTROUTING"], places, exit),
    [
      fork,
      { x: fork.x, y: host.y },
      host,
      middle(boxes.OUTPUT),
      { x: middle(boxes.OUTPUT).x, y: middle(boxes.POSTROUTING).y },
    ],
  ];
  const line = hooks.length === 0 ? [] : through(hooks, places, goal);
  const stopped = accepted ? null : stopAt(scene, places);
  // The routing decision ends the way where it is asked and no hook follows.
  if (stopped === fork) line.push(fork);
  const shift = ({ x, y }: Point): Point => ({ x: x + 6, y: y + 6 });
  const who = accepted && way.delivery !== "local" ? containerAt(on.host, way.header.dst) : null;
  const header = at(printAddress(way.header.dst), way.header.dport);
  const taken = goal === exit;
  const markupOf = markup`
    ${rails.map((points) => markup`<path class="rail" d="${traced(points)}"/>`)}
    ${aim === undefined ? null : markup`<path class="wish-line" d="${traced(through(course.wish, places, hoped).map(shift))}"/>`}
    ${line.length < 2 ? null : markup`<path class="line course" d="${traced(line)}"/>`}
    ${Object.values(boxes).map(boxMarkup)}
    ${node(fork, 9, hooks.includes("INPUT") || hooks.includes("FORWARD") || stopped === fork)}
    <text class="small" x="${fork.x}" y="${fork.y + 24}" text-anchor="middle">routing</text>
    ${node(host, 13, hooks[0] === "OUTPUT" || goal === host)}
    <text class="small" x="${host.x}" y="${host.y + 29}" text-anchor="middle">this host</text>
    ${pill(source, 156, input !== null, input === null ? "comes in" : safe(input), null)}
    ${pill(exit, boxes.POSTROUTING.w, taken, taken ? `${safe(way.out ?? "")}` : "goes out", taken ? `${who === null ? "" : `${safe(who.name)} `}${header}` : null)}
    ${decides === null || meant === null ? null : sign({ x: decides.x + decides.w - 18, y: wishTop(decides) }, meant.verdict, "meant")}
    ${aim === undefined ? null : legend(source)}
    ${goal === null ? null : sign(goal === host ? host : { x: exit.x - boxes.POSTROUTING.w / 2, y: exit.y }, "accept")}
    ${stopped === null ? null : sign(stopped, way.verdict)}`;
  return {
    markup: markup`<g class="map">${markupOf}</g>`,
    height: floor + (loops ? 24 : 6) - top,
    told: toldOf(course),
  };
}

/** Where a way ends that does not arrive. */
function stopAt({ way, course }: Scene, { boxes, fork, source }: Places): Point {
  const last = course.hooks.at(-1);
  if (last === undefined) return source;
  if (way.hook === null && last === "PREROUTING") return fork;
  const box = boxes[last];
  return { x: box.x + box.w, y: box.y + HEAD / 2 };
}

/** The top of a box's wish: the middle of its first row. */
const wishTop = (box: Box): number => box.y + box.h - 10 - (box.wishes.length + 1) * ROW + 2;

function boxMarkup(box: Box): Markup {
  const { x, y, w, h } = box;
  let at = x + PAD;
  const chips = box.stops.map(({ name, said }) => {
    const wide = name.length * 6 + 12;
    const here = at;
    at += wide + 5;
    return markup`<rect class="chip${said ? " said" : ""}" x="${here}" y="${y + HEAD}" width="${wide}" height="16" rx="8"/>
      <text class="small chip-name${said ? " said" : ""}" x="${here + wide / 2}" y="${y + HEAD + 11.5}" text-anchor="middle">${name}</text>`;
  });
  let row = y + HEAD + STOPS + 2;
  const rows = box.rows.map((each) => rowMarkup(each, x + PAD, (row += ROW) - 4, x + w - PAD, ""));
  const top = wishTop(box);
  let under = top + 4;
  const wish =
    box.wishes.length === 0
      ? null
      : markup`<rect class="wish-box" x="${x + 6}" y="${top - 13}" width="${w - 12}" height="${(box.wishes.length + 1) * ROW + 14}" rx="6"/>
        <text class="wish-name" x="${x + PAD}" y="${under}">what your own rules say</text>
        ${box.wishes.map((each) => rowMarkup(each, x + PAD, (under += ROW), x + w - PAD, " wish"))}`;
  return markup`<g class="station ${box.met ? "met" : "unmet"}" data-hook="${box.hook}">
    <rect class="box" x="${x}" y="${y}" width="${w}" height="${h}" rx="9"/>
    <text class="name" x="${x + PAD}" y="${y + 20}">${box.hook}</text>
    ${chips}${rows}${wish}</g>`;
}

function rowMarkup(row: Row, x: number, y: number, right: number, more: string): Markup {
  return markup`<g><title>${row.at === null ? row.whole : `${row.whole} (line ${row.at})`}</title>
    <text class="m ${row.kind}${more}" x="${x + row.indent * CHAR}" y="${y}">${row.text}</text>
    ${row.at === null ? null : markup`<text class="m at" x="${right}" y="${y}" text-anchor="end">:${row.at}</text>`}</g>`;
}

const node = ({ x, y }: Point, r: number, met: boolean): Markup =>
  markup`<circle class="node${met ? " met" : ""}" cx="${x}" cy="${y}" r="${r}"/>`;

/** Where a packet comes in or leaves: a name, and what more there is to it. */
function pill({ x, y }: Point, w: number, met: boolean, name: string, more: string | null): Markup {
  const h = more === null ? 28 : 44;
  const chars = Math.floor((w - 20) / CHAR);
  return markup`<g class="station ${met ? "met" : "unmet"}"><title>${more === null ? name : `${name}: ${more}`}</title>
    <rect class="box" x="${x - w / 2}" y="${y - h / 2}" width="${w}" height="${h}" rx="14"/>
    <text class="m name" x="${x}" y="${more === null ? y + 4.5 : y - 4}" text-anchor="middle">${shortened(name, chars)}</text>
    ${more === null ? null : markup`<text class="m" x="${x}" y="${y + 13}" text-anchor="middle">${shortened(more, chars)}</text>`}</g>`;
}

/** What the two lines are. */
const legend = ({ x, y }: Point): Markup =>
  markup`<path class="line" d="M${x + 34} ${y + 44}h34"/><text x="${x + 78}" y="${y + 48}">what happens</text>
    <path class="wish-line" d="M${x + 34} ${y + 68}h34"/><text x="${x + 78}" y="${y + 72}">what your own rules say</text>`;

/** How it ends there: a tick, a cross or a question mark, in a circle. */
function sign({ x, y }: Point, verdict: TracedBranch["verdict"], more = ""): Markup {
  const shape = {
    accept: `M${x - 4.5} ${y + 0.5}L${x - 1} ${y + 4}L${x + 5} ${y - 4}`,
    drop: `M${x - 4} ${y - 4}L${x + 4} ${y + 4}M${x + 4} ${y - 4}L${x - 4} ${y + 4}`,
    reject: `M${x - 4} ${y - 4}L${x + 4} ${y + 4}M${x + 4} ${y - 4}L${x - 4} ${y + 4}`,
    undecided: `M${x - 3} ${y - 3}a3.2 3.2 0 1 1 4.5 3L${x} ${y + 2}M${x} ${y + 5.5}v.2`,
  }[verdict];
  return markup`<g class="sign-of"><circle class="end ${verdict}${more === "" ? "" : ` ${more}`}" cx="${x}" cy="${y}" r="10.5"/><path class="sign" d="${shape}"/></g>`;
}

/** The map in words, in the order of the way. */
function toldOf({ stations, hooks, decides }: Course): string[] {
  const line = ({ whole, at }: Line): string => (at === null ? whole : `${whole} (line ${at})`);
  const met = hooks.map((hook) => {
    const said = stations[hook].lines.filter(({ kind }) => kind !== "table").map(line);
    return `${hook}: ${said.length === 0 ? "no rule matched" : said.join(", ")}`;
  });
  const others = Object.values(stations)
    .filter((s) => !s.met)
    .map(({ hook, lines }) => `${hook}: ${lines.map(line).join(", ")}`);
  const own =
    decides === null
      ? []
      : [
          `your own rules in ${decides}: ${stations[decides].wish
            .filter(({ kind }) => kind !== "table")
            .map(line)
            .join(", ")}`,
        ];
  return [...met, ...others, ...own];
}
