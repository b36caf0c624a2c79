/** Debian's firewalld on the host of a capture, with the zone and the policy that Docker adds, and its reload. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Flow, FOLDER, HERE, must, tried } from "../lab.ts";
import { tablesOf } from "./capture.ts";
import { type CaptureHost, listing, solve } from "./capture-host.ts";
import { type Captured, denied, judge, judgeBefore, type Standing } from "./captured.ts";
import { apply, undo } from "./forms.ts";
import { audited, same, script } from "./lifecycle.ts";
import { check, row } from "./record.ts";

const FILES = join(FOLDER, "firewalld");

/** What Docker creates when it finds firewalld (moby's firewalld.go); target ACCEPT in both. */
const DOCKER_FILES: Readonly<Record<string, string>> = {
  "zones/docker.xml": `<zone target="ACCEPT"><short>docker</short></zone>`,
  "policies/docker-forwarding.xml": `<policy target="ACCEPT"><ingress-zone name="ANY"/><egress-zone name="docker"/></policy>`,
};

/** Runs a command in firewalld's namespaces. */
const beside = (command: string): string =>
  must(`nsenter -m -n -t "$(cat "${FILES}/etc/pid")" ${command}`).trim();

/**
 * Starts firewalld.
 * @param files its configuration besides Docker's, by path below /etc/firewalld
 */
export function startFirewalld(host: CaptureHost, files: Readonly<Record<string, string>>): void {
  rmSync(FILES, { recursive: true, force: true });
  for (const folder of ["zones", "policies"]) mkdirSync(join(FILES, "etc", folder), { recursive: true });
  for (const [path, text] of Object.entries({ ...DOCKER_FILES, ...files }))
    writeFileSync(join(FILES, "etc", path), `<?xml version="1.0" encoding="utf-8"?>\n${text}\n`);
  must(
    `ip netns exec "$FW" unshare -m --propagation private sh "${join(HERE, "nft/firewalld.sh")}" ${FILES}/etc >${FILES}/log 2>&1 </dev/null &
    for _ in $(seq 100); do
      [ -s ${FILES}/etc/pid ] && nsenter -m -n -t "$(cat ${FILES}/etc/pid)" firewall-cmd --state >/dev/null 2>&1 && exit 0
      sleep 0.1
    done
    cat ${FILES}/log; exit 1`,
  );
  dockerAddsBridges(host);
}

/** Puts the bridges of containers into Docker's zone, as Docker does at its start and after each reload of firewalld. */
export function dockerAddsBridges(host: CaptureHost): void {
  const bridges = new Set(host.all().map(({ bridge }) => bridge));
  beside(`firewall-cmd --zone=docker ${[...bridges].map((name) => `--add-interface=${name}`).join(" ")}`);
}

/** Command that prints the bridges in Docker's zone. */
const DOCKERS_BRIDGES = "firewall-cmd --zone=docker --list-interfaces";

/** Loads the configuration again. Interfaces that no file assigns to a zone lose theirs. */
const reload = (): void => check("firewalld reloads", beside("firewall-cmd --reload") === "success");

/** Tries reloads of firewalld without a fix and with one. Docker puts its bridges into its zone again some time later. */
export async function judgeReload(captured: Captured, standing: Standing): Promise<void> {
  await row([captured.name, "none", "reload of firewalld"], () => reloadWithout(captured, standing));
  await row([captured.name, "conntrack", "reload of firewalld"], () => reloadWith(captured, standing));
}

function reloadWithout({ name }: Captured, standing: Standing): number {
  const { host } = standing;
  const found = audited(standing);
  check(`${name}: the audit finds what is open`, found.code === 1 && found.findings.length > 0);
  const engines = tablesOf(listing(), /docker/);
  reload();
  check(`${name}, reload: Docker's bridges lose their zone`, beside(DOCKERS_BRIDGES) === "");
  dockerAddsBridges(host);
  check(`${name}, reload: Docker's tables are as before`, tablesOf(listing(), /docker/) === engines);
  check(`${name}, reload: the audit finds the same`, same(audited(standing), found));
  return judgeBefore(`${name}, reload`, standing);
}

async function reloadWith({ name, flow: at }: Captured, standing: Standing): Promise<number> {
  const what = `${name}, reload with the fix`;
  const { host } = standing;
  const start = listing();
  const flow = await Flow.open("outside", at);
  const fix = solve(host, "conntrack");
  apply(what, fix, "script");
  const ours = tablesOf(listing(), /fwcheck/);
  reload();
  check(`${what}: our tables are as before`, tablesOf(listing(), /fwcheck/) === ours);
  const stops = denied(standing);
  check(
    `${what}: a denied port is closed before Docker adds its bridges`,
    tried([stops]).get(stops.id) !== "open",
  );
  dockerAddsBridges(host);
  const checked = script("--check");
  check(`${what}: --check`, checked.code === 0 && checked.text === "in force", checked.text);
  const { findings } = audited(standing);
  check(`${what}: the audit finds nothing`, findings.length === 0, findings.join());
  const number = judge(what, standing);
  check(`${what}: an established flow lives`, await flow.lives());
  flow.close();
  undo(fix, "script");
  check(`${what}: the undo leaves what was there before`, listing() === start);
  return number + 2;
}
