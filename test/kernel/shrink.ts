/** Makes a difference small: fewer packets before it, fewer rules, a plainer packet, as long as it stays. */
import type { Answer } from "fwcheck";
import { sized } from "./aim.ts";
import { Judge, type Judged } from "./judge.ts";
import { bridged, Lab, type LabPacket, type Scenario } from "./lab.ts";

/** A host and the packets sent to it; the last one differs. */
export interface Found {
  readonly scenario: Scenario;
  readonly packets: readonly LabPacket[];
  /** The difference itself; `null` where it did not show again. */
  readonly judged: Judged | null;
  /** Number of labs that were opened. */
  readonly tries: number;
}

/** Labs in which a difference may show again: what depends on time does not show in each. */
const REPLAYS = 8;
/** Packets that a lab is sent at a time, as when the difference was found. */
export const BATCH = 50;

/**
 * Shrinks a difference.
 * @param most labs to open at most
 */
export async function shrink(whole: Scenario, packets: readonly LabPacket[], most: number): Promise<Found> {
  // A bridge stays one when the rules that identify it are removed.
  const scenario: Scenario = { ...whole, interfaces: bridged(whole) };
  let best: Found = { scenario, packets, judged: null, tries: 0 };
  let tries = 0;
  /** Returns true if it still differs; an earlier difference is a smaller case. */
  const attempt = async (host: Scenario, sent: readonly LabPacket[]): Promise<boolean> => {
    if (tries >= most) return false;
    tries++;
    const found = await replay(host, sent);
    if (found !== null) best = { scenario: host, ...found, tries };
    return found !== null;
  };
  let again = false;
  for (let n = 0; n < REPLAYS && !again; n++) again = await attempt(scenario, packets);
  if (!again) return { ...best, tries };
  for (let before = 0, pass = 0; size(best) !== before && pass < 3; pass++) {
    before = size(best);
    await fewer(
      () => best.packets.slice(0, -1),
      (rest) => attempt(best.scenario, [...rest, best.packets.at(-1)!]),
    );
    await fewer(
      () => best.scenario.save.split("\n").filter(spare),
      (rest) => attempt({ ...best.scenario, save: without(best.scenario.save, rest) }, best.packets),
    );
    await fewer(
      () => (best.scenario.other ?? "").split("\n").filter(spare),
      (rest) => attempt({ ...best.scenario, other: without(best.scenario.other!, rest) }, best.packets),
    );
    for (const parts of [tables, blocks, rules])
      await fewer(
        () => parts(best.scenario.nft ?? ""),
        (rest) => attempt({ ...best.scenario, nft: keeping(best.scenario.nft!, parts, rest) }, best.packets),
      );
    for (const key of ["rules", "routes"] as const)
      await fewer(
        () => best.scenario[key],
        (rest) => attempt({ ...best.scenario, [key]: rest }, best.packets),
      );
    await fewer(
      () => Object.entries(best.scenario.sysctls),
      (rest) => attempt({ ...best.scenario, sysctls: Object.fromEntries(rest) }, best.packets),
    );
    for (const rule of best.scenario.save.split("\n").filter(spare))
      for (const shorter of shortened(rule))
        await attempt({ ...best.scenario, save: best.scenario.save.replace(rule, shorter) }, best.packets);
    for (const field of PLAIN) {
      const last = best.packets.at(-1)!;
      if (!(field in last)) continue;
      const { [field]: _, ...rest } = last;
      const plain = sized(rest as LabPacket, best.scenario.family);
      await attempt(best.scenario, [...best.packets.slice(0, -1), plain]);
    }
  }
  return { ...best, tries };
}

/** Fields that a packet can do without. */
const PLAIN = [
  "fragment",
  "about",
  "mac",
  "pkttype",
  "uid",
  "gid",
  "mark",
  "ttl",
  "tos",
  "flags",
  "ack",
  "seq",
] as const;

const size = ({ scenario, packets }: Found): number =>
  JSON.stringify(scenario).length + JSON.stringify(packets).length;

/** Returns true for a line that can be removed: a rule, or the declaration of a user chain. */
const spare = (line: string): boolean => /^-A |^:\S+ - /.test(line);

/** The save with only these of its spare lines. */
function without(save: string, rest: readonly string[]): string {
  const left = [...rest];
  const kept = save.split("\n").filter((line) => {
    if (!spare(line)) return true;
    if (left[0] !== line) return false;
    left.shift();
    return true;
  });
  // A table without a rule goes, too.
  return kept.join("\n").replace(/^\*\w+\n(?::\S+ ACCEPT \[0:0\]\n)*COMMIT\n/gm, "");
}

/** Parts of a text for `nft -f` that it may do without: whole tables, chains, sets and maps, and rules of one line. */
const tables = (nft: string): string[] => nft.match(/^table .*\n(?:.*\n)*?\}$/gm) ?? [];
const blocks = (nft: string): string[] => nft.match(/^\t\w+ [^\n]*\{\n(?:\t\t.*\n)*?\t\}$/gm) ?? [];
const rules = (nft: string): string[] =>
  nft
    .split("\n")
    .filter((line) => /^\t\t(?!type |flags |elements |auto-merge|\})/.test(line) && !line.endsWith("{"));

/** The text with only these of its parts. */
function keeping(nft: string, parts: (nft: string) => string[], rest: readonly string[]): string {
  const left = [...rest];
  let text = nft;
  let from = 0;
  for (const part of parts(nft)) {
    const at = text.indexOf(part, from);
    if (left[0] === part) {
      left.shift();
      from = at + part.length;
    } else {
      text = text.slice(0, at) + text.slice(at + part.length);
      from = at;
    }
  }
  return text.replace(/\n{2,}/g, "\n");
}

/** A rule with one of its matches less. */
function shortened(rule: string): string[] {
  const words = rule.split(/ (?=(?:! )?-[sdiofm] )/);
  const last = words.at(-1)!;
  const goal = / (?=-[jg] )/.exec(last);
  const parts =
    goal === null ? words : [...words.slice(0, -1), last.slice(0, goal.index), last.slice(goal.index + 1)];
  return parts
    .slice(1, goal === null ? undefined : -1)
    .map((part) => parts.filter((p) => p !== part).join(" "));
}

/** Leaves out halves, quarters and so on down to single items, as long as the rest will do (delta debugging). */
async function fewer<T>(
  items: () => readonly T[],
  attempt: (rest: readonly T[]) => Promise<boolean>,
): Promise<void> {
  for (let chunk = items().length; chunk >= 1; chunk = chunk === 1 ? 0 : Math.ceil(chunk / 2))
    for (let at = 0; at < items().length; ) {
      const rest = items().filter((_, i) => i < at || i >= at + chunk);
      if (!(await attempt(rest))) at += chunk;
    }
}

/** Sends the packets to a fresh lab, up to the first that differs; `null` when none does. */
async function replay(
  scenario: Scenario,
  packets: readonly LabPacket[],
): Promise<{ packets: readonly LabPacket[]; judged: Judged } | null> {
  const lab = await Lab.open(scenario);
  if (typeof lab === "string") return null;
  try {
    const judge = new Judge(lab);
    const batch: { packet: LabPacket; answer: Answer }[] = [];
    for (const packet of packets) {
      const answer = judge.foretell(packet);
      if (answer !== undefined) batch.push({ packet, answer });
    }
    const judged: Judged[] = [];
    for (let n = 0; n < batch.length && judged.at(-1)?.differs == null; n += BATCH)
      judged.push(...(await judge.compare(batch.slice(n, n + BATCH))));
    const at = judged.findIndex((j) => j.differs !== null);
    return at < 0 ? null : { packets: judged.slice(0, at + 1).map((j) => j.packet), judged: judged[at]! };
  } finally {
    await lab.close();
  }
}
