/**
 * Compares the answers of fwcheck on one host with recorded connections: each line of a truth.ndjson against simulate,
 * audit and fix.
 */
import { readFileSync } from "node:fs";
import {
  type Address,
  type Answer,
  type AuditJson,
  type Finding,
  type FixJson,
  flow,
  type Host,
  type HostSources,
  type Packet,
  printRuleset,
  type Ruleset,
  readHost,
  readPacket,
  readRuleset,
  readSnapshot,
  Simulator,
} from "fwcheck";
import { isInRanges, parseAddress, prefixRange, printAddress } from "../../lib/packet/address.ts";
import { rulesetsOf } from "../builders.ts";
import { covers, exposes, familyOf, type Sent, type Tried } from "./covers.ts";

export type Real = "open" | "refused" | "closed";

/** A connection that a client or a container opens. */
export type Connection =
  | { readonly kind: "published" | "direct"; readonly container?: string; readonly packet: Sent }
  | {
      readonly kind: "egress";
      readonly from: string;
      readonly dst: string;
      readonly proto: string;
      readonly dport: number;
    };

/** One line of a truth.ndjson. */
export type Line = Connection & {
  /** Verdict of the owner's own firewall; `null` or absent where nothing measures it. */
  readonly wanted?: Real | null;
  /** Result of the connection with the containers running. */
  readonly real: Real;
};

/** Runs the command line. */
export type Fwcheck = (
  args: readonly string[],
  input?: string,
) => { readonly code: number | null; readonly out: string; readonly err: string };

/** Counts of the answers for one host. */
export interface Judgement {
  readonly lines: number;
  readonly simulate: { equal: number; undecided: number; wrong: number };
  /** Lines that are open against the owner's rules: named by a finding, covered by `inconclusive` only, missed. */
  readonly audit: { found: number; doubted: number; missed: number; exit: number | null };
  /** Certain findings that contradict a line. */
  readonly falseMust: number;
  readonly fix: { holds: boolean; failed: number; left: number; exit: number | null };
  /** Each contradiction in one sentence. */
  readonly wrong: string[];
  /** Output of `fix --format script --json`; `null` where it prints none. */
  readonly rules: FixJson | null;
  /** Lines that are open against the owner's rules, and that the fix does not name as left open. */
  readonly closes: ReadonlySet<Line>;
  /** By line: the answer of simulate with the fix in force; `undefined` where no fix holds. */
  readonly fixed: readonly (Answer | undefined)[];
}

/** A host as a snapshot describes it. */
export class Snapshot {
  readonly sources: HostSources;
  readonly rulesets: readonly Ruleset[];
  readonly host: Host;

  constructor(readonly path: string) {
    const text = readFileSync(path, "utf8");
    const { rules, sources } = readSnapshot({ name: path, text });
    this.sources = sources;
    this.rulesets = readRuleset(rules).rulesets;
    this.host = readHost(sources, this.rulesets);
  }

  /** The connection that a line describes; `null` for a sender that Docker does not list. */
  tried(line: Connection, sport: number): Tried | null {
    if (line.kind !== "egress") {
      const { kind, packet } = line;
      const dst = parseAddress(packet.dst, familyOf(packet.dst))!;
      // simulate gives the container that a published port leads to.
      return { kind, packet, ends: [packet.dst], bridges: kind === "direct" ? this.bridges(dst) : [] };
    }
    const { from, dst, proto, dport } = line;
    // Docker's default route is by the first network by name that is not internal (libnetwork, endpoint.Less).
    const [network] = this.host.networks
      .filter((n) => n.bridge !== null && n.endpoints.some((e) => e.name === from))
      .sort((a, b) => Number(a.internal) - Number(b.internal) || (a.name < b.name ? -1 : 1));
    const src = network?.endpoints.find(
      ({ name, address }) => name === from && (typeof address === "number" ? 4 : 6) === familyOf(dst),
    );
    if (network?.bridge == null || src === undefined) return null;
    const flags = proto === "tcp" ? { flags: "S" } : {};
    const packet = { in: network.bridge, src: printAddress(src.address), dst, proto, sport, dport, ...flags };
    return { kind: "egress", packet, ends: [dst], bridges: [] };
  }

  /** Returns true if the reply to a packet reaches its sender. */
  answered(sent: Sent): boolean {
    const { verdict } = flow(new Simulator(this.rulesets, this.host), this.host, readPacket(sent) as Packet);
    return verdict === "accept";
  }

  /** Returns true if simulate decides the witness of a finding for all values of the unknowns. */
  proven({ witness }: Finding): boolean {
    const answer = new Simulator(this.rulesets, this.host).packet(readPacket(witness) as Packet);
    const verdicts = new Set((answer.branches ?? [answer]).map(({ verdict }) => verdict));
    return verdicts.size === 1 && !verdicts.has("undecided");
  }

  /**
   * Returns true if a `ufw route` rule decides a packet: a listener on the host itself cannot measure that. Docker's rules in
   * FORWARD often accept before ufw's are evaluated, so that FORWARD here has nothing but ufw's chain.
   */
  routed(sent: Sent): boolean {
    const texts = this.rulesets.map((ruleset) => ({
      name: `${ruleset.family}`,
      text: printRuleset(ruleset)
        .replace(/^-A (FORWARD|DOCKER-USER) .*\n/gm, "")
        .replace(/^:(ufw6?-user-forward) .*$/m, (line, chain) => `${line}\n-A FORWARD -j ${chain}`),
    }));
    const { rulesets } = readRuleset(texts);
    const { path } = new Simulator(rulesets, this.host).packet(readPacket(sent) as Packet);
    const last = path.findLast((s) => s.table === "filter" && s.step === "rule" && s.chain !== "FORWARD");
    return /^ufw6?-user-forward$/.test(last?.chain ?? "");
  }

  private bridges(address: Address): string[] {
    return this.host.interfaces
      .filter(
        ({ name, addresses }) =>
          this.host.bridges.includes(name) &&
          addresses.some(
            (a) => typeof a.address === typeof address && isInRanges(address, [prefixRange(a.prefix)]),
          ),
      )
      .map(({ name }) => name);
  }
}

/**
 * Judges all answers of fwcheck on one host.
 * @param path of a snapshot
 */
export function judge(path: string, lines: readonly Line[], fwcheck: Fwcheck): Judgement {
  const snapshot = new Snapshot(path);
  const wrong: string[] = [];
  const tries = lines.flatMap((line, i) => {
    const tried = snapshot.tried(line, 41_000 + i);
    if (tried === null) wrong.push(`${nameOf(line)}: no network of the container is in the snapshot`);
    return tried === null ? [] : [{ line, tried, name: nameOf(line) }];
  });

  const sent = tries.map(({ tried }) => JSON.stringify(tried.packet)).join("\n");
  const trial = fwcheck(["simulate", path, "--packets", "-", "--json"], `${sent}\n`);
  const answers = trial.out
    .trim()
    .split("\n")
    .map((text) => JSON.parse(text) as Answer);
  if (answers.length !== tries.length)
    wrong.push(`simulate: ${answers.length} answers for ${tries.length} packets: ${trial.err}`);
  for (const [i, one] of tries.entries()) {
    const { sent: header, delivery, out } = answers[i] ?? {};
    if (one.line.kind === "published" && header != null && delivery === "forward" && out != null)
      one.tried = { ...one.tried, ends: [header.dst], bridges: [out] };
  }
  const simulate = { equal: 0, undecided: 0, wrong: 0 };
  const simulated = tries.map(({ line, tried }, i) => {
    const how = compared(answers[i]!, line.real);
    // If the first packet passes and the reply does not, the connection is closed, too.
    return how === "wrong" && line.real !== "open" && !snapshot.answered(tried.packet) ? "equal" : how;
  });
  for (const [i, { line, name }] of tries.entries()) {
    const answer = answers[i]!;
    const how = simulated[i]!;
    simulate[how]++;
    if (how === "wrong")
      wrong.push(`${name}: real ${line.real}, simulate ${answer.verdict} (${answer.delivery})`);
    if (how === "undecided" && answer.assumptionCodes.length === 0 && answer.reasonCode === undefined)
      wrong.push(`${name}: simulate is undecided without a reason`);
  }

  const bypasses = tries.map(({ line, tried }) => bypassed(line) && !snapshot.routed(tried.packet));
  const run = fwcheck(["audit", path, "--json"]);
  const report = JSON.parse(run.out) as AuditJson;
  const audit = { found: 0, doubted: 0, missed: 0, exit: run.code };
  let falseMust = 0;
  const covering = tries.map(({ tried }) =>
    report.findings.filter((finding) => covers(finding, tried) !== false),
  );
  for (const [i, { line, tried, name }] of tries.entries()) {
    if (bypasses[i]) {
      if (covering[i]!.length > 0) audit.found++;
      else if (report.inconclusive.length > 0) audit.doubted++;
      else {
        audit.missed++;
        wrong.push(`${name}: real open, wanted ${line.wanted}: no finding, nothing inconclusive`);
      }
    }
    const rows = report.exposures.map((exposure) => exposes(exposure, tried));
    const known = line.kind === "published" && line.container !== undefined;
    const sure = report.inconclusive.length === 0;
    if (
      line.kind === "published" &&
      known &&
      sure &&
      line.real === "open" &&
      rows.every((holds) => holds === false)
    )
      if (covering[i]!.length === 0)
        wrong.push(`${name}: real open, and no row of the exposure table says so`);
    // `everyone` is every source that the kernel lets in; a route check comes before any rule (rp_filter).
    const outside = answers[i]!.verdict === "drop" && answers[i]!.reasonCode !== undefined;
    const contradicts = (finding: Finding): boolean =>
      line.real !== "open"
        ? !outside
        : line.kind === "published" &&
          line.wanted === "open" &&
          shows(finding, tried.packet) &&
          !snapshot.routed(tried.packet);
    for (const finding of report.findings)
      if (
        finding.certainty === "must" &&
        covers(finding, tried) === true &&
        contradicts(finding) &&
        !depends(finding, answers[i]!)
      ) {
        falseMust++;
        wrong.push(`${name}: real ${line.real}, wanted ${line.wanted}, but must: ${finding.id}`);
      }
  }
  for (const finding of report.findings)
    if (finding.certainty === "must" && !snapshot.proven(finding)) {
      falseMust++;
      wrong.push(`${finding.id}: must, and simulate leaves its witness undecided`);
    }
  if (run.code === 0 && bypasses.includes(true))
    wrong.push("audit exits 0 on a host that is open against its owner's rules");

  const fixing = fwcheck(["fix", path, "--format", "script", "--json"]);
  const rules = fixing.out === "" ? null : (JSON.parse(fixing.out) as FixJson);
  const fix = { holds: rules?.holds === true, failed: rules?.failed.length ?? 0, left: 0, exit: fixing.code };
  const fixed = new Map<Line, Answer>();
  const closes = new Set<Line>();
  if (fix.holds === false) wrong.push(`fix holds no proof: ${rules?.failed.join("; ") ?? fixing.err}`);
  else {
    const rulesets = rulesetsOf(rules!.saved);
    const after = rulesets.length === 0 ? snapshot.rulesets : rulesets;
    const host = readHost(snapshot.sources, after);
    for (const [i, { line, tried, name }] of tries.entries()) {
      // A packet on a bridge arrived on one of its ports, which a rule of the fix may match (physdev).
      const [port] = covering[i]!.flatMap(({ by }) => by.flatMap((group) => group.ports ?? []));
      const packet = port === undefined ? tried.packet : { ...tried.packet, in: port };
      const answer = new Simulator(after, host).packet(readPacket(packet) as Packet);
      fixed.set(line, answer);
      const { verdict } = answer;
      if (bypasses[i] && !named(rules!.failed, covering[i]!, report)) closes.add(line);
      if (bypasses[i] && verdict !== "drop" && verdict !== "reject") {
        fix.left++;
        if (
          !named(rules!.failed, covering[i]!, report) &&
          (verdict === "accept" || covering[i]!.length === 0)
        )
          wrong.push(`${name}: still ${verdict} with the fix, which does not name it`);
      }
      // Without a measured intent of egress, the finding of the audit gives it.
      const allowed =
        line.kind === "egress" && line.wanted == null
          ? covering[i]!.length === 0
          : line.kind !== "direct" && line.wanted === "open" && !snapshot.routed(tried.packet);
      if (
        line.real === "open" &&
        simulated[i] === "equal" &&
        allowed &&
        (verdict === "drop" || verdict === "reject")
      )
        wrong.push(`${name}: real and wanted open, ${verdict} with the fix`);
    }
    if (fix.left > 0 && fix.exit === 0) wrong.push("fix exits 0 and leaves lines open");
  }
  return {
    lines: lines.length,
    simulate,
    audit,
    falseMust,
    fix,
    wrong,
    rules,
    closes,
    fixed: lines.map((l) => fixed.get(l)),
  };
}

/** Returns true for a connection that is open although the owner's rules block it. */
export const bypassed = ({ real, wanted }: Line): boolean =>
  real === "open" && (wanted === "closed" || wanted === "refused");

/**
 * Returns true if the finding names every unknown that leaves a packet undecided, such as a rate that other clients use up.
 * The finding is then certain for its witness, not for this packet.
 */
function depends(finding: Finding, { verdict, branches = [] }: Answer): boolean {
  const keys = branches.flatMap(({ assume = [] }) => assume.map((text) => text.replace(/=(no-)?match$/, "")));
  return verdict === "undecided" && keys.length > 0 && keys.every((key) => finding.depends.includes(key));
}

/** Returns true if the witness is this packet; `by` alone is a projection that forgets source ports, lengths and the like. */
function shows({ witness, assume }: Finding, packet: Sent): boolean {
  const { sport, ttl = 64, ...rest } = witness;
  const { sport: _, ...same } = packet;
  return (
    assume === undefined &&
    ttl === 64 &&
    Number(sport) >= 1024 &&
    Object.keys(rest).length === Object.keys(same).length &&
    Object.entries(same).every(([key, value]) => rest[key as keyof typeof rest] === value)
  );
}

/** Returns true if the open items name a finding that covers the line, or a doubt about the host. */
const named = (
  failed: readonly string[],
  findings: readonly Finding[],
  { inconclusive }: AuditJson,
): boolean =>
  failed.some((sentence) =>
    findings.length > 0
      ? findings.some(({ id }) => sentence.includes(id))
      : inconclusive.some((doubt) => sentence.includes(doubt)),
  );

/** Compares an answer with a real connection. */
export function compared(answer: Answer, real: Real): "equal" | "undecided" | "wrong" {
  if (answer.verdict === "undecided") return "undecided";
  if (answer.verdict !== "accept") return real === "open" ? "wrong" : "equal";
  // A packet to a closed port of the host gets a reset or an ICMP error.
  return real === "open" || (real === "refused" && answer.delivery === "local") ? "equal" : "wrong";
}

/** Returns a short name of a line. */
export function nameOf(line: Connection): string {
  if (line.kind === "egress") return `${line.from} -> ${line.dst} ${line.proto}/${line.dport}`;
  const { packet } = line;
  return `${line.kind} ${packet.in} ${packet.src} -> ${packet.dst} ${packet.proto}/${packet.dport}`;
}

/** Returns a row of the table of hosts. */
export const row = (name: string, j: Judgement): string =>
  `| ${[
    ...[name, j.lines, `${j.simulate.equal}/${j.simulate.undecided}/${j.simulate.wrong}`],
    ...[`${j.audit.found}/${j.audit.doubted}/${j.audit.missed}`, j.falseMust, j.audit.exit],
    `${j.fix.holds ? "holds" : "none"}/${j.fix.failed}/${j.fix.left}/${j.fix.exit}`,
  ].join(" | ")} |`;

export const HEAD =
  "| host | lines | simulate equal/undecided/wrong | audit found/inconclusive/missed | false must | audit exit | fix proof/failed/left open/exit |\n|---|---|---|---|---|---|---|";
