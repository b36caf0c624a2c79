/**
 * The judge: random packets over captures, found rulesets and generated ones, through the kernel and the simulator, and
 * compared step by step, for each rule language. `npm run test:kernel`; KERNEL_PACKETS (of each language), KERNEL_SEED and
 * KERNEL_ONLY (a part of a name, `witness` for the witnesses of the audit alone, `drawn` for what the seed changes, `nft` for
 * nftables alone, `both` for hosts with both backends of iptables) change what is run.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Answer, assumptionText, type Family } from "fwcheck";
import { random } from "../random.ts";
import { Aim, framed, sized } from "./aim.ts";
import { Cover } from "./cover.ts";
import { generate, INTERFACES, type Random } from "./generate.ts";
import { Judge, type Judged, settled, several, spoken } from "./judge.ts";
import { closed, isModernNft, Lab, type LabPacket, ROUTER, type Scenario, UNREAD } from "./lab.ts";
import { layouts } from "./layouts.ts";
import { nftCaptures } from "./nft/captures.ts";
import { generateBoth, generateNft } from "./nft/generate.ts";
import { traps } from "./nft/traps.ts";
import { type Probe, probes } from "./probes.ts";
import { routes } from "./routes.ts";
import { BATCH, shrink } from "./shrink.ts";
import { witnesses } from "./witness.ts";

const PACKETS = Number(process.env.KERNEL_PACKETS ?? 50_000);
const SEED = Number(process.env.KERNEL_SEED ?? 1);
const ONLY = process.env.KERNEL_ONLY;
/** Nothing is left out. */
const WHOLE = ONLY === undefined;
/** Everything that depends on the seed: all but the witnesses and the probes. */
const DRAWN = "drawn";
/** Hosts with native nftables; all of their names start so. */
const NFT = "nft";
/** Hosts with both backends of iptables; all of their names start so. */
const BOTH = "both";
const WITH_BOTH = WHOLE || ONLY === DRAWN || ONLY.startsWith(BOTH);
const WITH_IPTABLES = WHOLE || !(ONLY.startsWith(NFT) || ONLY.startsWith(BOTH));
const WITH_NFT = WHOLE || ONLY === DRAWN || ONLY.startsWith(NFT);
/** Packets on one lab at most, so that no table of connections grows without end. */
const LARGEST = 1000;
/** Packets on one generated ruleset: more where the run is long. */
const MOST_DRAWN = PACKETS < 500_000 ? 400 : 800;
/** Labs that are being opened while another is at work. */
const AHEAD = 4;
/** Limits: differences after which a run ends, differences that are shrunk, and labs for each of these. */
const MOST_DIFFERENCES = 40;
const MOST_SHRUNK = 4;
const MOST_TRIES = Number(process.env.KERNEL_TRIES ?? 200);
/** Packets printed before the one that differs, where the difference shows again. */
const MOST_LISTED = 12;
const ROOT = process.env.KERNEL_ROOT ?? ".";

/** What differed: printed when it is found and again at the end of the run, of which often only the last lines are kept. */
const told: string[] = [];
function tell(difference: string): void {
  told.push(difference);
  console.log(difference);
}

interface Tally {
  packets: number;
  undecided: number;
  differences: number;
  skipped: number;
  labs: number;
}

/** A scenario, the random generator of its packets, and their number. */
interface Task {
  readonly scenario: Scenario;
  readonly next: Random;
  readonly packets: number;
}

/** Compares packets on one lab, up to the first that differs. */
async function judge({ scenario, next, packets }: Task, lab: Lab, tally: Tally): Promise<void> {
  const judge = new Judge(lab);
  const aim = new Aim(next, scenario.family, lab.ruleset, lab.host, judge.simulator);
  const sent: LabPacket[] = [];
  for (let done = 0; done < packets; ) {
    const batch: { packet: LabPacket; answer: Answer }[] = [];
    for (let tries = 0; batch.length < BATCH && tries < BATCH * 20; tries++) {
      const packet = aim.draw();
      const answer = judge.foretell(packet);
      if (answer === undefined) continue;
      if (settled(answer)) aim.saw(packet, answer);
      batch.push({ packet, answer });
    }
    if (batch.length === 0) return;
    const judged = await judge.compare(batch);
    done += judged.length;
    tally.packets += judged.length;
    tally.undecided += judged.filter(({ answer: a }) => a.verdict === "undecided" || several(a)).length;
    for (const j of judged) cover.add(lab.ruleset, j.packet, j.answer);
    const at = judged.findIndex((j) => j.differs !== null);
    if (at >= 0) {
      tally.differences++;
      sent.push(...judged.slice(0, at + 1).map((j) => j.packet));
      await lab.close();
      await report(scenario, sent, judged[at]!, tally);
      return;
    }
    sent.push(...judged.map((j) => j.packet));
  }
}

/** Sends all hand-written packets, even after a difference. */
async function probed(written: readonly Probe[]): Promise<void> {
  for (const { scenario, packets } of written) {
    if (ONLY !== undefined && !scenario.name.includes(ONLY)) continue;
    const lab = await Lab.open(scenario);
    if (typeof lab === "string") {
      tally.differences++;
      tell(`\nDIFFERENCE: the kernel refuses ${scenario.name}: ${lab}`);
      continue;
    }
    const judge = new Judge(lab);
    const batch = packets.map((each) => {
      const packet = sized(framed(each, scenario.family, lab.host), scenario.family);
      return { packet, answer: judge.said(packet) };
    });
    const judged = await judge.compare(batch);
    await lab.close();
    for (const [at, each] of judged.entries()) {
      tally.packets++;
      cover.add(lab.ruleset, each.packet, each.answer);
      if (each.answer.verdict === "undecided" || several(each.answer)) tally.undecided++;
      if (each.differs === null) continue;
      await report(
        scenario,
        batch.slice(0, at + 1).map((b) => b.packet),
        each,
        tally,
      );
      tally.differences++;
      break;
    }
    tally.labs++;
  }
  console.log(`probes: ${said()}`);
}

/** Shrinks a difference and prints it: the packet, those that have to come before it, and the rules it takes. */
async function report(
  scenario: Scenario,
  sent: readonly LabPacket[],
  judged: Judged,
  tally: Tally,
): Promise<void> {
  const most = tally.differences > MOST_SHRUNK ? 0 : MOST_TRIES;
  const small = await shrink(scenario, sent, most);
  const { packet, answer, deed, differs } = small.judged ?? judged;
  const how =
    most === 0
      ? "not shrunk"
      : small.judged === null
        ? `it did not show again in ${small.tries} labs, so nothing is left out`
        : `shrunk in ${small.tries} labs`;
  // What does not show again can only be found from everything that was sent.
  const listed = most > 0 && small.judged === null ? Number.POSITIVE_INFINITY : MOST_LISTED;
  const before = small.packets.slice(0, -1);
  const unlisted = Math.max(0, before.length - listed);
  const sysctls = Object.entries(small.scenario.sysctls).map(([name, value]) => `${name} = ${value}`);
  tell(
    [
      `\nDIFFERENCE (${differs}) in ${scenario.name}, seed ${SEED}; ${how}`,
      ...(most > 0 || process.env.KERNEL_VERBOSE ? textsOf(small.scenario) : []),
      ...small.scenario.routes.map((r) => `ip route add ${r}`),
      ...small.scenario.rules.map((r) => `ip rule add ${r}`),
      ...sysctls,
      ...(unlisted > 0 ? [`  ${unlisted} packets, then`] : []),
      ...before.slice(unlisted).map((p) => `  before    ${JSON.stringify(p)}`),
      `  packet    ${JSON.stringify(packet)}`,
      `  kernel    ${deed.path.join("; ")}`,
      `            ${JSON.stringify(deed.out)}`,
      `  simulator ${answer.path.map(spoken).join("; ")}`,
      `            ${answer.verdict} ${answer.delivery} ${answer.out} ${JSON.stringify(answer.sent)} ${JSON.stringify(answer.reasonCode ?? "")} ${answer.assumptionCodes.map(assumptionText).join(" | ")}`,
    ].join("\n"),
  );
}

/** The rules of a scenario in the order in which they are loaded. */
const textsOf = ({ backend = "legacy", nft, ordered, other, save }: Scenario): string[] => [
  save.trimEnd(),
  ...(other === undefined ? [] : [`(${backend} above, the other backend below)`, other.trimEnd()]),
  nft?.trimEnd() ?? "",
  ...(ordered === true ? ["(with the order of the base chains)"] : []),
];

/** Rules whose rate is reached at once would make a difference of time, not of meaning. */
const untimed = (save: string): string =>
  save.replace(/--limit \S+( --limit-burst \d+)?/g, "--limit 10000/sec --limit-burst 10000");

/** A folder of a capture as a scenario for each family. */
function captured(folder: string, name: string): Scenario[] {
  const text = (file: string): string | null =>
    existsSync(join(folder, file)) ? readFileSync(join(folder, file), "utf8") : null;
  const addr = JSON.parse(text("addr.json") ?? "[]") as {
    ifname: string;
    master?: string;
    addr_info: { local: string; prefixlen: number; family: string; scope: string }[];
  }[];
  return ([4, 6] as const).flatMap((family): Scenario[] => {
    const save = text(family === 4 ? "iptables-save.txt" : "ip6tables-save.txt");
    if (save === null || !save.includes("COMMIT")) return [];
    const interfaces =
      addr.length === 0
        ? INTERFACES[family]
        : addr
            .filter((i) => i.ifname !== "lo" && i.master === undefined)
            .map((i) => ({
              name: i.ifname,
              addresses: i.addr_info
                .filter((a) => a.family === (family === 4 ? "inet" : "inet6") && a.scope !== "link")
                .map((a) => `${a.local}/${a.prefixlen}`),
            }));
    return [plain(`${name} IPv${family}`, family, save, interfaces)];
  });
}

const plain = (name: string, family: Family, save: string, interfaces: Scenario["interfaces"]): Scenario => ({
  name,
  family,
  interfaces,
  routes:
    interfaces.length > 0
      ? [`default dev ${(interfaces.find((i) => /^(eth|en)/.test(i.name)) ?? interfaces[0]!).name}`]
      : [],
  rules: [],
  sysctls: ROUTER,
  save: untimed(save.slice(0, save.lastIndexOf("COMMIT") + 7)),
});

/** Returns the interfaces that a ruleset names, some with addresses. */
function interfacesOf(save: string): Scenario["interfaces"] {
  const names = new Set([...save.matchAll(/ -[io] ([\w.@-]{1,15})(?= )/g)].map((m) => m[1]!));
  for (const usual of ["eth0", "eth1"]) names.add(usual);
  names.delete("lo");
  const known = INTERFACES[4];
  return [...names].slice(0, 12).map((name, i) => ({
    name,
    addresses: i < known.length ? known[i]!.addresses : [`10.${100 + i}.0.1/24`],
  }));
}

function* scenarios(): Generator<Scenario> {
  yield* layouts();
  for (const folder of ["examples", "../shared/captures"]) {
    const at = join(ROOT, folder);
    if (!existsSync(at)) continue;
    for (const name of readdirSync(at)) {
      yield* captured(join(at, name), `${folder}/${name}`);
      if (existsSync(join(at, name, "reachability.txt")))
        for (const inner of readdirSync(join(at, name)))
          yield* captured(join(at, name, inner), `${folder}/${name}/${inner}`);
    }
  }
  const found = join(ROOT, "../shared/rulesets");
  if (existsSync(found))
    for (const name of readdirSync(found)) {
      const save = readFileSync(join(found, name), "utf8");
      // Zones of conntrack are a named limit.
      if (
        save.length > 100_000 ||
        save.includes("--zone") ||
        !save.includes("COMMIT") ||
        /ip6tables|-p ipv6-icmp|icmp6/.test(save)
      )
        continue;
      yield plain(`rulesets/${name}`, 4, save, interfacesOf(save));
    }
}

const why = closed();
if (why !== undefined) {
  console.log(`skipped: ${why}`);
  process.exit(0);
}

/** The hosts of a campaign: given ones with a third of the packets, in labs of a moderate size; then generated ones without end. */
interface Campaign {
  /** Packets to compare. */
  readonly packets: number;
  readonly given: readonly Scenario[];
  /** Start of the names of generated hosts. */
  readonly prefix: string;
  readonly make: (next: Random, family: Family, name: string) => Scenario;
}

function* tasks({ given: all, prefix, make }: Campaign): Generator<Task> {
  const isAll = WHOLE || [DRAWN, NFT, BOTH].includes(ONLY);
  const given = all.filter((s) => isAll || s.name.includes(ONLY));
  const each = given.length === 0 ? 0 : Math.max(50, Math.floor(PACKETS / 3 / given.length));
  for (let round = 0; round * LARGEST < each; round++)
    for (const [i, scenario] of given.entries())
      yield {
        scenario,
        next: random(SEED * 7919 + i + round * 104_729),
        packets: Math.min(each - round * LARGEST, LARGEST),
      };
  if (!isAll && !ONLY.startsWith(prefix)) return;
  const one = Number(/\d+/.exec(ONLY ?? "")?.[0] ?? Number.NaN);
  for (let n = Number.isNaN(one) ? 0 : one; ; n++) {
    const next = random(SEED * 104_729 + n);
    yield { scenario: make(next, n % 3 === 2 ? 6 : 4, `${prefix} ${n}`), next, packets: MOST_DRAWN };
    if (n === one) return;
  }
}

if (WHOLE || ONLY === "witness") {
  const { hosts, witnesses: sent, wrong } = await witnesses(ROOT);
  for (const line of wrong) console.log(`WITNESS ${line}`);
  console.log(`witnesses: ${sent} of ${hosts} hosts sent, ${wrong.length} that the kernel treats otherwise`);
  if (wrong.length > 0) process.exit(1);
  if (ONLY !== undefined) process.exit(0);
}

const cover = new Cover();
let started = Date.now();
let tally: Tally = { packets: 0, undecided: 0, differences: 0, skipped: 0, labs: 0 };
const said = (): string =>
  `${tally.packets} packets compared in ${((Date.now() - started) / 1000).toFixed(0)} s on ${tally.labs} labs, ${tally.undecided} undecided, ${tally.skipped} rulesets refused by the kernel, ${tally.differences} differences`;

/** A ruleset that cannot be compared: refused by the kernel, or not read, which is a difference. */
function refused({ name }: Scenario, why: string): void {
  if (why.startsWith(UNREAD)) {
    tally.differences++;
    tell(`\nDIFFERENCE in ${name}, seed ${SEED}: ${why}`);
    return;
  }
  tally.skipped++;
  if (process.env.KERNEL_VERBOSE) console.log(`skipped ${name}: ${why}`);
}

/** Compares until the packets are used up. Labs are opened ahead: the kernel takes its time to make a namespace. */
async function campaign(hosts: Campaign): Promise<void> {
  const ahead: { task: Task; lab: Promise<Lab | string> }[] = [];
  const source = tasks(hosts);
  for (let printed = 0; ; ) {
    while (ahead.length < AHEAD && tally.packets < hosts.packets && tally.differences < MOST_DIFFERENCES) {
      const { value: task, done } = source.next();
      if (done === true) break;
      ahead.push({ task, lab: Lab.open(task.scenario) });
    }
    const first = ahead.shift();
    if (first === undefined) break;
    const lab = await first.lab;
    if (typeof lab === "string") {
      refused(first.task.scenario, lab);
      continue;
    }
    tally.labs++;
    if (tally.packets < hosts.packets) await judge(first.task, lab, tally);
    await lab.close();
    if (tally.packets >= printed + PACKETS / 20) {
      printed = tally.packets;
      console.log(`... ${said()}`);
    }
  }
}

let different = 0;
/** Runs the hand-written packets of a language, then its drawn ones, with a tally of their own. */
async function compare(language: string, written: readonly Probe[], hosts: () => Campaign): Promise<void> {
  started = Date.now();
  tally = { packets: 0, undecided: 0, differences: 0, skipped: 0, labs: 0 };
  if (ONLY !== DRAWN) await probed(written);
  if (ONLY?.startsWith("probe") !== true) await campaign(hosts());
  console.log(`${language}, seed ${SEED}: ${said()}`);
  different += tally.differences;
}

if (WITH_IPTABLES)
  await compare("iptables", [...probes(), ...routes()], () => ({
    packets: PACKETS,
    given: [...scenarios()],
    prefix: "generated",
    make: generate,
  }));
const modern = isModernNft();
if (WITH_NFT)
  await compare("nftables", traps(), () => ({
    packets: PACKETS,
    given: nftCaptures(ROOT, process.env.KERNEL_FOLDER ?? "."),
    prefix: "nft generated",
    make: (next, family, name) => generateNft(next, family, name, modern),
  }));
if (WITH_BOTH)
  await compare("both backends", [], () => ({
    // Their rules are those of the other campaigns: half of the packets, unless only these hosts are selected.
    packets: WHOLE || ONLY === DRAWN ? Math.ceil(PACKETS / 2) : PACKETS,
    given: [],
    prefix: `${BOTH} generated`,
    make: (next, family, name) => generateBoth(next, family, name, modern),
  }));
console.log(`${cover}`);
for (const difference of told) console.log(difference);
process.exit(different === 0 ? 0 : 1);
