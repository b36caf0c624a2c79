/**
 * The judge: random packets over captures, found rulesets and generated ones, through the kernel and the simulator, and
 * compared step by step. `npm run test:kernel`; KERNEL_PACKETS, KERNEL_SEED and KERNEL_ONLY (a part of a name) change
 * what is run.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Answer, type Family, readPacket, Simulator } from "fwcheck";
import { GROUPS } from "../../lib/path/route.ts";
import type { Step } from "../../lib/simulate/state.ts";
import { random } from "../random.ts";
import { Aim } from "./aim.ts";
import { generate, INTERFACES, type Random } from "./generate.ts";
import { closed, type Deed, Lab, type LabPacket, type Scenario } from "./lab.ts";

const PACKETS = Number(process.env.KERNEL_PACKETS ?? 50_000);
const SEED = Number(process.env.KERNEL_SEED ?? 1);
const ONLY = process.env.KERNEL_ONLY;
const BATCH = 50;
const ROOT = process.env.KERNEL_ROOT ?? ".";

const spoken = (step: Step): string =>
  step.step === "rule"
    ? `${step.table} ${step.chain} ${step.rule}`
    : `${step.table} ${step.chain} ${step.step}`;

type Branch = Pick<Answer, "verdict" | "delivery" | "out" | "sent" | "path" | "assumptions">;

/** What differs between what the kernel did and what one branch of the answer says; `null` when nothing does. */
function difference(
  packet: LabPacket,
  answer: Branch,
  deed: Deed,
  tables: ReadonlySet<string>,
): string | null {
  const path = answer.path.map(spoken);
  const kernel = deed.path.filter((step) => tables.has(step.split(" ")[0]!));
  // Where nothing is decided the way ends early.
  if (answer.verdict === "undecided" && path.every((step, i) => kernel[i] === step)) return null;
  if (path.join("; ") !== kernel.join("; ")) return "path";
  const leaves = answer.verdict === "accept" && (answer.delivery === "forward" || answer.delivery === "out");
  if (!leaves) return deed.out.length === 0 ? null : "something came out";
  const [out, ...more] = deed.out;
  if (out === undefined) return "nothing came out";
  if (more.length > 0) return "it came out more than once";
  if (out.out !== answer.out) return "interface";
  const sent = answer.sent!;
  if (out.src !== sent.src || out.dst !== sent.dst) return "address";
  if (out.ttl !== sent.ttl) return "ttl";
  if (out.tos !== sent.tos) return "tos";
  const chosen = answer.assumptions.some((a) => a.includes("the kernel chooses"));
  if (out.sport !== undefined && sent.sport !== null && packet.fragment !== 1 && !chosen)
    if (out.sport !== sent.sport || out.dport !== sent.dport) return "port";
  return null;
}

interface Tally {
  packets: number;
  undecided: number;
  differences: number;
  skipped: number;
}

/** The lab's interfaces listen to no group but those that all do. */
const NO_GROUPS = new Map([[GROUPS, false]]);

/** Runs one scenario; `true` when nothing differed. */
async function judge(
  scenario: Scenario,
  next: Random,
  packets: number,
  tally: Tally,
  seed: number,
): Promise<void> {
  const lab = await Lab.open(scenario);
  if (typeof lab === "string") {
    tally.skipped++;
    if (process.env.KERNEL_VERBOSE) console.log(`skipped ${scenario.name}: ${lab}`);
    return;
  }
  const simulator = new Simulator([lab.ruleset], lab.host, { assume: NO_GROUPS });
  const aim = new Aim(next, scenario.family, lab.ruleset, lab.host, simulator);
  const tables = new Set<string>(lab.ruleset.tables.keys());
  const sent: LabPacket[] = [];
  // Flows whose fate the simulator leaves open: the kernel's table may know more of them.
  const open = new Set<string>();
  const flowOf = (p: LabPacket): string =>
    `${p.proto} ${[p.sport ?? p.id ?? 0, p.dport ?? 0].sort().join(" ")}`;
  let wrong = 0;
  try {
    for (let done = 0; done < packets && wrong < 1; ) {
      const batch: { packet: LabPacket; answer: Answer }[] = [];
      for (let tries = 0; batch.length < BATCH && tries < BATCH * 20; tries++) {
        const packet = aim.draw();
        if (open.has(flowOf(packet))) continue;
        const { seq: _, ack: __, ...plain } = packet;
        const read = readPacket(plain.in === null ? { ...plain, uid: 0, gid: 0 } : plain);
        if (typeof read === "string") throw new Error(`${read}: ${JSON.stringify(packet)}`);
        const answer = simulator.packet(read);
        if (
          answer.verdict === "undecided" ||
          answer.assumptions.some((a) => a.includes(" taken not to ")) ||
          answer.assumptions.some((a) => a.includes("the kernel chooses"))
        )
          open.add(flowOf(packet));
        else aim.saw(packet, answer);
        batch.push({ packet, answer });
      }
      if (batch.length === 0) return;
      const deeds = await lab.send(batch.map((b) => b.packet));
      for (const [i, deed] of deeds.entries()) {
        const { packet, answer } = batch[i]!;
        tally.packets++;
        done++;
        sent.push(packet);
        const ways: Branch[] = answer.branches === undefined ? [answer] : [...answer.branches];
        const found = ways.map((way) => difference(packet, way, deed, tables));
        // Ways that end alike are not told one by one: the first is as good as any, and the path may be another's.
        const several = answer.assumptions.some((a) => a.includes(" taken not to "));
        if (answer.verdict === "undecided" || several) tally.undecided++;
        if (found.includes(null) || (several && found.every((f) => f === "path"))) continue;
        tally.differences++;
        wrong++;
        if (wrong > 1) continue;
        report(scenario, seed, packet, answer, deed, found.join(", "), sent);
      }
    }
  } finally {
    lab.close();
  }
}

function report(
  scenario: Scenario,
  seed: number,
  packet: LabPacket,
  answer: Answer,
  deed: Deed,
  what: string,
  sent: readonly LabPacket[],
): void {
  // What has the same two ports may be of the same flow, translated or not.
  const pair = (p: LabPacket): string => [p.sport ?? p.id ?? 0, p.dport ?? 0].sort().join(" ");
  const before = sent
    .slice(0, -1)
    .filter((p) => pair(p) === pair(packet) || (p.src === packet.src && p.sport === packet.sport));
  const rules = scenario.save.split("\n");
  const steps = [...deed.path, ...answer.path.map(spoken)];
  const named = new Set(steps.map((s) => s.split(" ").slice(0, 2).join(" ")));
  let table = "";
  const shown = rules.filter((line) => {
    if (line.startsWith("*")) table = line.slice(1);
    const chain = /^-A (\S+)/.exec(line)?.[1] ?? /^:(\S+)/.exec(line)?.[1];
    return chain !== undefined && named.has(`${table} ${chain}`);
  });
  console.log(
    [
      `\nDIFFERENCE (${what}) in ${scenario.name}, seed ${seed}`,
      `  packet    ${JSON.stringify(packet)}`,
      ...before.slice(-10).map((p) => `  before    ${JSON.stringify(p)}`),
      `  kernel    ${deed.path.join("; ")}`,
      `            ${JSON.stringify(deed.out)}`,
      `  simulator ${answer.path.map(spoken).join("; ")}`,
      `            ${answer.verdict} ${answer.delivery} ${answer.out} ${JSON.stringify(answer.sent)} ${answer.reason ?? ""} ${answer.assumptions.join(" | ")}`,
      ...(process.env.KERNEL_VERBOSE ? shown.map((l) => `  ${l}`) : []),
      `  routes ${scenario.routes.join(" | ")} rules ${scenario.rules.join(" | ")} ${JSON.stringify(scenario.sysctls)}`,
    ].join("\n"),
  );
}

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
  sysctls: {
    "net.ipv4.ip_forward": 1,
    "net.ipv6.conf.all.forwarding": 1,
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.default.rp_filter": 0,
  },
  save: untimed(save.slice(0, save.lastIndexOf("COMMIT") + 7)),
});

/** The interfaces that a ruleset speaks of, with addresses on some of them. */
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
const started = Date.now();
const tally: Tally = { packets: 0, undecided: 0, differences: 0, skipped: 0 };
const given = [...scenarios()].filter((s) => ONLY === undefined || s.name.includes(ONLY));
// A third of the packets goes over what was found, the rest over what is generated.
const each = given.length === 0 ? 0 : Math.max(50, Math.floor(PACKETS / 3 / given.length));
for (const [i, scenario] of given.entries())
  await judge(scenario, random(SEED * 7919 + i), each, tally, SEED);
console.log(`given: ${given.length} rulesets, ${JSON.stringify(tally)}`);
if (ONLY === undefined || ONLY.startsWith("generated")) {
  const one = Number(/\d+/.exec(ONLY ?? "")?.[0] ?? Number.NaN);
  for (let n = Number.isNaN(one) ? 0 : one; tally.packets < PACKETS && tally.differences < 40; n++) {
    const next = random(SEED * 104_729 + n);
    await judge(generate(next, n % 3 === 2 ? 6 : 4, `generated ${n}`), next, 400, tally, SEED);
    if (n === one) break;
  }
}
const seconds = (Date.now() - started) / 1000;
console.log(
  `seed ${SEED}: ${tally.packets} packets compared in ${seconds.toFixed(0)} s, ${tally.undecided} undecided, ${tally.skipped} rulesets refused by the kernel, ${tally.differences} differences`,
);
process.exit(tally.differences === 0 ? 0 : 1);
