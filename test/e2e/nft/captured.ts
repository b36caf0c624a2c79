/** Captured hosts for real: what clients reach is what was measured on them, and with each fix what the owner's rules decide. */
import { rmSync } from "node:fs";
import { basename, join } from "node:path";
import type { Line } from "../../hosts/nft-connections.ts";
import { resultLines } from "../../hosts/nft-results.ts";
import { bash, Flow, FOLDER, must, type Probe, watching } from "../lab.ts";
import { Capture, tablesOf } from "./capture.ts";
import { CaptureHost, down, type Fix, listing, onHost, solve } from "./capture-host.ts";
import { apply, command, FORMS, type Form, STRATEGIES, type Strategy, undo } from "./forms.ts";
import { attempt, type Case, derived, measureIntent, type Results, recorded } from "./probes.ts";
import { check, row, say, since } from "./record.ts";

/** A captured host with the rules of its owner. */
export interface Captured {
  readonly name: string;
  readonly capture: string;
  /** A host that is built in another way than by its capture. */
  readonly build?: () => CaptureHost;
  /** Result file of the capture. */
  readonly results?: string;
  readonly connections?: Readonly<Record<string, Line>>;
  /** More connections. */
  readonly cases?: readonly Case[];
  /** Loads the owner's rules. */
  readonly owner: (host: CaptureHost) => void;
  /** Tables of the engine. */
  readonly engine: (host: CaptureHost) => string;
  /** The owner's rules were on the host when clients connected. */
  readonly ownerWasThere: boolean;
  /** A connection that stays open while fixes come and go. */
  readonly flow: Omit<Probe, "id" | "from">;
  /**
   * Findings that a strategy cannot close, by their ids: a rule by the container's address would also stop packets that the
   * owner's forward hook accepts.
   */
  readonly cannot?: Readonly<Partial<Record<Strategy, readonly string[]>>>;
  /** Container whose program echoes, other than the captured one. */
  readonly echoes?: string;
  /** Table of an engine that fwcheck does not know, and the names of this host's interfaces and processes. */
  readonly unknown?: { readonly table: string; readonly rename: (text: string) => string };
  /** Only rules for `nft -f` by the original destination are tried, and these once: the host is part of another one. */
  readonly brief?: true;
  /** What else the host goes through. */
  readonly afterwards?: (captured: Captured, standing: Standing) => Promise<void>;
}

/** A host that is up, with what is known of its connections. */
export interface Standing {
  readonly host: CaptureHost;
  readonly cases: readonly Case[];
  readonly intent: Results;
}

/** Builds a host, measures what its owner's rules decide, and compares what clients reach without a fix with the capture. */
export function stand(captured: Captured): Standing {
  const { name, owner, engine, ownerWasThere, echoes, unknown } = captured;
  const host =
    captured.build?.() ?? new CaptureHost(new Capture(captured.capture, unknown?.rename), unknown?.table);
  host.up(echoes);
  // Containers of later captures are not there.
  const connections = Object.entries(captured.connections ?? {}).filter(
    ([, line]) => line.kind !== "connection" || (line.since ?? "") <= basename(captured.capture),
  );
  const lines = captured.results === undefined ? [] : resultLines(new Capture(".").text(captured.results));
  const measured = [...recorded(host, lines, Object.fromEntries(connections)), ...(captured.cases ?? [])];
  const cases = [...measured, ...derived(host)];
  const load = (): void => {
    host.load(engine(host));
    host.proxies();
  };
  if (!ownerWasThere) {
    load();
    // A bridge forwards multicast, and so neighbour discovery of IPv6, some time after it is up.
    must("sleep 1");
    compare(`${name}, without the owner's rules`, cases, ({ open }) => open);
    host.stopProxies();
    onHost("nft flush ruleset");
  }
  owner(host);
  const intent = measureIntent(host, cases);
  load();
  const standing = { host, cases, intent };
  judgeBefore(`${name}, before`, standing);
  say(
    `${name}: ${measured.length} measured and ${cases.length - measured.length} derived connections, after ${since()}`,
  );
  return standing;
}

/** Tries all connections without a fix; returns their number. */
export const judgeBefore = (what: string, { host, cases, intent }: Standing): number =>
  compare(what, cases, (each) => each.open && (!isOwnSocket(host, each) || expected(each, intent)));

/** Tries connections and compares each result; returns their number. */
export function compare(what: string, cases: readonly Case[], wanted: (each: Case) => boolean): number {
  const results = attempt(cases);
  // On a busy machine an answer may be late: what must work has more time the second time.
  const late = cases.filter((each) => wanted(each) && results.get(each.probe.id) !== true);
  const again = attempt(late.map((each) => ({ ...each, probe: { ...each.probe, wait: 3 } })));
  for (const each of cases) {
    const got = again.get(each.probe.id) ?? results.get(each.probe.id);
    check(`${what}: ${each.probe.id}`, got === wanted(each), `open is ${got}`);
  }
  return results.size;
}

/** Returns true if a client connects to a socket of the host, that of docker-proxy: the owner's input hook decides without a fix. */
const isOwnSocket = (host: CaptureHost, { probe, governed }: Case): boolean =>
  governed &&
  probe.dst.includes(":") &&
  !host
    .published()
    .some(([{ addresses }, { port }]) => port === probe.port && addresses.some((each) => each.includes(":")));

/** Returns true if a connection must succeed once the owner's rules hold for published ports. */
export const expected = ({ probe, open, governed }: Case, intent: Results): boolean =>
  open && (!governed || intent.get(probe.id) === true);

/** Tries all connections with a fix in force; returns their number. @param spared ports that stay open */
export const judge = (what: string, { cases, intent }: Standing, spared: readonly number[] = []): number =>
  compare(what, cases, (each) => (spared.includes(each.probe.port) ? each.open : expected(each, intent)));

/** A connection that is open and that the owner's rules deny. */
export const denied = ({ cases, intent }: Standing): Probe => {
  const found = cases.find((each) => each.open && each.probe.from === "outside" && !expected(each, intent));
  if (found === undefined) throw new Error("the owner denies nothing that is open");
  return found.probe;
};

/** Tries each strategy in each form on one host. */
export async function judgeCaptured(captured: Captured): Promise<void> {
  const standing = stand(captured);
  const { name } = captured;
  check(`${name}: the owner denies something that is open`, denied(standing) !== undefined);
  for (const strategy of captured.brief === true ? (["conntrack"] as const) : STRATEGIES) {
    const left = captured.cannot?.[strategy] ?? [];
    const fix = solve(standing.host, strategy);
    const named = fix.left.map(({ finding, why }) => finding ?? why);
    check(`${name}, ${strategy}: what stays open is named`, same(named, left), fix.failed.join("; "));
    check(`${name}, ${strategy}: the proof`, fix.holds && same(fix.proof.remaining, left));
    if (fix.nft === "") {
      await row([name, strategy, `none: ${left.length} findings stay open by name`], () => 0);
      continue;
    }
    const seen: Seen = { rules: null };
    for (const form of captured.brief === true ? (["nft"] as const) : FORMS)
      await row([name, strategy, form], () => tryForm(captured, standing, fix, strategy, form, seen));
  }
  await captured.afterwards?.(captured, standing);
  down();
  say(`${name}: done after ${since()}`);
}

/** Rules with which all connections of a strategy were tried. */
interface Seen {
  rules: string | null;
}

/**
 * Applies a form, tries all connections, and removes it; returns the number of connections. A form with exactly the rules of
 * one before it is tried with an established flow and a denied and an allowed connection only: the kernel has the same rules.
 */
async function tryForm(
  { name, flow: at, cannot, brief }: Captured,
  standing: Standing,
  fix: Fix,
  strategy: Strategy,
  form: Form,
  seen: Seen,
): Promise<number> {
  const what = `${name}, ${strategy}, ${form}`;
  const start = listing();
  const flow = await Flow.open("outside", at);
  apply(what, fix, form);
  const rules = listing();
  check(`${what}: all other tables are as before`, othersOf(rules) === start);
  const spared = (cannot?.[strategy] ?? []).map((id) => Number(id.split("/").at(-1)));
  const number = judge(what, rules === seen.rules ? sample(standing) : standing, spared);
  seen.rules = rules;
  if (form === "nft" && brief !== true) again(what, command(fix, form), denied(standing));
  check(`${what}: an established flow lives`, await flow.lives());
  flow.close();
  undo(fix, form);
  check(`${what}: the undo leaves what was there before`, listing() === start);
  return number + 1;
}

/** A listing without the tables of a fix. */
const othersOf = (text: string): string => tablesOf(text, /^(?!ip6? fwcheck$)/);

/** A standing with a denied and an allowed connection. */
function sample(standing: Standing): Standing {
  const stops = denied(standing);
  const passes = standing.cases.find((each) => each.open && expected(each, standing.intent))!.probe;
  const cases = standing.cases.filter(({ probe }) => probe === stops || probe === passes);
  return { ...standing, cases: cases.map((each) => ({ ...each, probe: { ...each.probe, wait: 0.2 } })) };
}

const same = (a: readonly string[], b: readonly string[]): boolean =>
  [...a].sort().join() === [...b].sort().join();

/** Applies a form 100 times while a client tries a denied port. */
function again(what: string, line: string, probe: Probe): void {
  const once = listing();
  rmSync(join(FOLDER, "again"), { force: true });
  const seen = bash(
    `${watching({ ...probe, wait: 0.1 }, 20, '"$E2E/again"')} >"$E2E/watched" & ip netns exec "$FW" sh -c 'for i in $(seq 100); do ${line} || exit 1; done'; echo $? >"$E2E/again"; wait %1; cat "$E2E/again" "$E2E/watched"`,
  ).out.trim();
  const [code, json] = seen.split("\n");
  const { open, tried } = JSON.parse(json!) as { open: number; tried: number };
  check(`${what}: 100 times as once`, code === "0" && listing() === once);
  check(`${what}: a denied port stays closed while it is applied again`, open === 0 && tried > 5, seen);
}
