/** What happens to a fix while a host runs: reloads of nftables.conf, a boot, a container with another address. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { bash, Flow, FOLDER, inside, tried } from "../lab.ts";
import { audit, down, type Fix, listing, onHost, solve } from "./capture-host.ts";
import { type Captured, denied, expected, judge, type Standing, stand } from "./captured.ts";
import { apply, command, NFT_FILE, SCRIPT_FILE, save, undo } from "./forms.ts";
import { check, row, say, since } from "./record.ts";

/** A container that is created again with another address. */
export interface Recreated {
  readonly container: string;
  readonly from: string;
  readonly to: string;
}

/** Result of `fwcheck audit` on the host as it is. */
export interface Audited {
  readonly code: number;
  /** Ids of the findings, sorted. */
  readonly findings: readonly string[];
  /** Kinds of the lint. */
  readonly lint: readonly string[];
}

export function audited({ host }: Standing, edit?: (text: string) => string): Audited {
  const { code, out } = audit(host, edit);
  const { findings, lint } = JSON.parse(out) as {
    findings: readonly { id: string }[];
    lint: readonly { kind: string }[];
  };
  return { code, findings: findings.map(({ id }) => id).sort(), lint: lint.map(({ kind }) => kind) };
}

/** Runs the script of a fix on the host; returns its exit code and what it printed. */
export const script = (flags: string): { readonly code: number; readonly text: string } => {
  const { code, out, err } = bash(`${inside("host")} sh ${SCRIPT_FILE} ${flags}`);
  return { code, text: `${out}${err}`.trim() };
};

/** Loads the owner's rules and the engine's, as a boot does. */
function boot({ owner, engine }: Captured, { host }: Standing): void {
  onHost("nft flush ruleset");
  owner(host);
  host.load(engine(host));
}

/** Tries what a running host goes through. */
export async function judgeLifecycle(captured: Captured, recreated: Recreated): Promise<void> {
  // The container of the flows echoes.
  const standing = stand({ ...captured, echoes: recreated.container });
  const { name } = captured;
  const open = audited(standing);
  check(`${name}: the audit finds what is open`, open.code === 1 && open.findings.length > 0);
  if (standing.host.capture.has("nftables.conf")) {
    const conf = standing.host.capture.text("nftables.conf");
    await row([name, "conntrack", "reload of nftables.conf"], () => reload(captured, standing, conf, open));
    await row([name, "conntrack", "included in nftables.conf"], () => included(captured, standing, conf));
  }
  await row([name, "conntrack", "--cut"], () => cut(captured, standing));
  await row([name, "conntrack", "unit after a boot"], () => unit(captured, standing));
  await row([name, "conntrack", "container recreated"], () => stays(captured, standing, recreated));
  boot(captured, standing);
  standing.host.move(recreated.container, recreated.to, recreated.from);
  standing.host.proxies();
  await row([name, "internal-ip", "container recreated, fix run again"], () =>
    runAgain(captured, standing, recreated),
  );
  down();
  say(`${name}, lifecycle: done after ${since()}`);
}

/** `flush ruleset` removes the fix and the engine's tables: nothing may call this host fine, and the fix can be applied again. */
function reload(captured: Captured, standing: Standing, conf: string, open: Audited): number {
  const what = `${captured.name}, reload of nftables.conf`;
  const { host } = standing;
  const fix = solve(host, "conntrack");
  apply(what, fix, "script");
  const file = join(FOLDER, "nftables.conf");
  writeFileSync(file, conf);
  onHost(`nft -f ${file}`);
  const missing = script("--check");
  check(`${what}: --check sees that the fix is gone`, missing.code === 1, missing.text);
  const gone = audited(standing);
  check(`${what}: without the engine's tables the audit is inconclusive`, gone.code === 2, `${gone.code}`);
  tear(captured, standing);
  host.load(captured.engine(host));
  const again = audited(standing);
  check(`${what}: after Docker's restart the audit finds the same`, same(again, open));
  onHost(command(fix, "script"));
  const number = judge(what, standing);
  check(`${what}: the audit finds nothing`, audited(standing).findings.length === 0);
  undo(fix, "script");
  return number;
}

/**
 * After the flush, Docker builds its tables only in part when a container starts. Then no hook translates: the host's own sockets
 * get the packets, and the owner's input hook governs.
 */
function tear(captured: Captured, standing: Standing): void {
  const what = `${captured.name}, torn tables`;
  const { host } = standing;
  host.load(torn(captured.engine(host)));
  const { lint } = audited(standing);
  check(`${what}: the audit names them`, lint.includes("engine-table-torn"), lint.join());
  const probe = denied(standing);
  check(`${what}: the input hook governs`, tried([probe]).get(probe.id) !== "open");
  const missing = script("--check");
  check(`${what}: --check`, missing.code === 1, missing.text);
  for (const family of ["ip", "ip6"]) onHost(`nft delete table ${family} docker-bridges`);
}

/** Docker's tables without the base chains of nat and the forward hook, and with empty maps, as measured after a flush. */
const torn = (tables: string): string =>
  tables
    .replace(/^\tchain (?:filter-FORWARD|nat-[A-Z]+) \{\n(?:.*\n)*?\t\}\n/gm, "")
    .replace(/^\t\telements = \{[^}]*\}\n/gm, "");

/** `--cut` ends the flows that the policy forbids, and no others. */
async function cut(captured: Captured, standing: Standing): Promise<number> {
  const what = `${captured.name}, --cut`;
  const at = { proto: "tcp", port: 8080 } as const;
  const flows = [
    await Flow.open("outside", { ...at, dst: "203.0.113.1" }),
    await Flow.open("outside", captured.flow),
    await Flow.open("lan", { ...at, dst: "10.99.0.1" }),
  ];
  const alive = async (): Promise<string> => (await Promise.all(flows.map((flow) => flow.lives()))).join();
  const fix = solve(standing.host, "conntrack");
  apply(what, fix, "script");
  check(`${what}: all flows live with the fix`, (await alive()) === "true,true,true");
  const { code, text } = script("--cut");
  check(`${what}: the script`, code === 0, text);
  const allows = standing.cases.some(
    (each) => each.probe.from === "lan" && each.probe.port === at.port && expected(each, standing.intent),
  );
  const left = await alive();
  check(`${what}: only what the owner allows lives`, left === `false,false,${allows}`, left);
  for (const flow of flows) flow.close();
  undo(fix, "script");
  return flows.length;
}

/** Included in nftables.conf, the fix is in force after each reload, before Docker has started. */
function included(captured: Captured, standing: Standing, conf: string): number {
  const what = `${captured.name}, included in nftables.conf`;
  const { host } = standing;
  save(solve(host, "conntrack"));
  const file = join(FOLDER, "nftables.conf");
  writeFileSync(file, `${conf}\ninclude "${NFT_FILE}"\n`);
  for (const time of ["boot", "reload"]) {
    onHost(`nft -f ${file}`);
    check(`${what}, ${time}: the fix is there before Docker's tables`, /table ip fwcheck/.test(listing()));
    host.load(captured.engine(host));
  }
  const number = judge(what, standing);
  boot(captured, standing);
  return number;
}

/** After a boot the unit's command puts the fix into force. */
function unit(captured: Captured, standing: Standing): number {
  const what = `${captured.name}, unit after a boot`;
  const fix = solve(standing.host, "conntrack");
  save(fix);
  boot(captured, standing);
  onHost(command(fix, "systemd"));
  const number = judge(what, standing);
  undo(fix, "systemd");
  return number;
}

/** The standing of a host whose container has another address. */
function recreate(captured: Captured, standing: Standing, { container, from, to }: Recreated): Standing {
  const { host } = standing;
  const edit = moved(from, to);
  host.move(container, from, to);
  for (const family of ["ip", "ip6"]) onHost(`nft delete table ${family} docker-bridges`);
  host.load(edit(captured.engine(host)));
  host.proxies(edit);
  const cases = standing.cases.map((each) => ({
    ...each,
    probe: { ...each.probe, dst: edit(each.probe.dst) },
  }));
  return { ...standing, cases };
}

/** Rules by the original destination hold for a container with another address. */
function stays(captured: Captured, standing: Standing, recreated: Recreated): number {
  const what = `${captured.name}, container recreated, conntrack`;
  const fix = solve(standing.host, "conntrack");
  apply(what, fix, "nft");
  const now = recreate(captured, standing, recreated);
  const { findings } = audited(now, moved(recreated.from, recreated.to));
  check(`${what}: the audit finds nothing`, findings.length === 0, findings.join());
  const number = judge(what, now);
  undo(fix, "nft");
  return number;
}

/** Rules by address become wrong: the audit and the script say so, and a new fix closes the port. */
function runAgain(captured: Captured, standing: Standing, recreated: Recreated): number {
  const what = `${captured.name}, container recreated, internal-ip`;
  const { host } = standing;
  const stale: Fix = solve(host, "internal-ip");
  apply(what, stale, "script");
  const now = recreate(captured, standing, recreated);
  const edit = moved(recreated.from, recreated.to);
  const found = audited(now, edit);
  check(`${what}: the audit finds the open port`, found.code === 1 && found.findings.length > 0);
  const refused = script("");
  check(`${what}: the old script refuses`, refused.code === 3, `${refused.code}: ${refused.text}`);
  const fix = solve(host, "internal-ip", edit);
  save(fix);
  onHost(command(fix, "script"));
  const number = judge(what, now);
  undo(fix, "script");
  return number;
}

/** Returns a function that replaces an address in a text. */
const moved = (from: string, to: string) => (text: string) =>
  text.replace(new RegExp(`(?<![\\d.])${from.replaceAll(".", "\\.")}(?![\\d.])`, "g"), to);

export const same = (a: Audited, b: Audited): boolean =>
  a.code === b.code && a.findings.join() === b.findings.join();
