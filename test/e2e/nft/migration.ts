/** Docker's switch from iptables to nftables: rules of DOCKER-USER, translated, stop the same connections under either backend. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Flow, FOLDER, fwcheck, type Probe, type Where } from "../lab.ts";
import { Capture, tablesOf } from "./capture.ts";
import { audit, CaptureHost, down, listing, onHost } from "./capture-host.ts";
import { compare } from "./captured.ts";
import { type Case, derived } from "./probes.ts";
import { check, row, say, since } from "./record.ts";

const NAME = "Docker 28.5, then 29.7";

/** Rules of the owner, in the forms that people use. */
const DOCKER_USER = `*filter
:partners - [0:0]
-F DOCKER-USER
-A DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -g partners
-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctstate DNAT --ctorigdstport 9080 -j DROP
-A DOCKER-USER ! -i docker0 -o docker0 -s 203.0.113.0/24 -d 172.17.0.3/32 -p tcp -m multiport --dports 80,443 -j REJECT --reject-with tcp-reset
-A DOCKER-USER -i docker0 -d 203.0.113.2/32 -p tcp -m tcp --dport 8080 -j DROP
-A DOCKER-USER -j RETURN
-A partners -s 203.0.113.128/25 -j RETURN
-A partners -j DROP
COMMIT
`;

/** Connections that these rules stop. */
const STOPPED = [
  "outside -> 203.0.113.1 port 8080/tcp of web",
  "outside -> 203.0.113.1 port 9080/tcp of web",
  "outside -> 203.0.113.1 port 8443/tcp of web2",
  ...["web", "web2", "lo9090", "tcpd"].map((name) => `${name} -> outside port 8080`),
];

const between = (from: Where, dst: string, port: number): Case => {
  const id = `${JSON.stringify(from)} -> ${dst} port ${port}`;
  const probe: Probe = { id, from, proto: "tcp", dst, port, wait: 0.6 };
  return { probe, open: true, governed: false };
};

/** Rules of a dump without those of ufw, whose policy of routed packets would close every port under nftables. */
const withoutUfw = (saved: string): string =>
  saved
    .split("\n")
    .filter((line) => !/\bufw/.test(line))
    .join("\n")
    .replace(":INPUT DROP", ":INPUT ACCEPT");

/** Docker's tables of the captured host with the same containers; one container has another address there. */
const engine = (): string =>
  tablesOf(new Capture("plain-docker-29.7-nft").text("nft.txt"), /docker/).replaceAll(
    "172.30.0.10",
    "172.30.0.2",
  );

/** Tries all connections and compares each with the rules of the owner; returns their number. */
const judge = (what: string, cases: readonly Case[], stopped: readonly string[]): number =>
  compare(`${NAME}, ${what}`, cases, ({ probe, open }) => open && !stopped.includes(probe.id));

/** The tables of nftables that `fwcheck fix --migrate` prints. */
function migrated(host: CaptureHost): string {
  const { code, out, err } = fwcheck("fix", host.collect(), "--migrate", ...host.flags());
  check(`${NAME}: the migration's proof holds`, code === 0 && /The proof holds/.test(err), `${code}: ${err}`);
  return out;
}

const lints = (host: CaptureHost): readonly string[] =>
  (JSON.parse(audit(host).out) as { lint: readonly { kind: string }[] }).lint.map(({ kind }) => kind);

export async function judgeMigration(): Promise<void> {
  const host = new CaptureHost(new Capture("../captures/ufw-docker-28.5"));
  host.up();
  onHost("iptables-nft-restore", withoutUfw(host.capture.text("iptables-save.txt")));
  onHost("iptables-nft-restore --noflush", DOCKER_USER);
  host.proxies();
  const cases = [
    ...derived(host),
    between({ netns: "web2" }, "172.17.0.2", 80),
    between("host", "203.0.113.1", 8080),
    between("host", "127.0.0.1", 9080),
  ];
  let text = "";
  await row([NAME, "DOCKER-USER", "iptables, Docker 28.5's rules"], () => {
    text = migrated(host);
    return judge("iptables", cases, STOPPED);
  });
  await row([NAME, "DOCKER-USER", "left behind beside Docker 29.7's tables"], () => leftBehind(host, cases));
  await row([NAME, "--migrate", "Docker 29.7's tables"], () => inForce(cases, text));
  down();
  say(`${NAME}: done after ${since()}`);
}

/** After the switch the chain is still called from FORWARD: its drops still bite, and the audit says so. Without it all is open. */
function leftBehind(host: CaptureHost, cases: readonly Case[]): number {
  // Docker removes its own rules; those of DOCKER-USER and the call in FORWARD stay.
  onHost(
    "iptables-nft-restore",
    `*filter\n:FORWARD ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\nCOMMIT\n`,
  );
  onHost("iptables-nft-restore --noflush", DOCKER_USER);
  onHost("nft delete table ip nat; nft delete table ip raw 2>/dev/null || :");
  host.load(engine());
  const found = lints(host);
  check(
    `${NAME}: the audit names the rules left behind`,
    found.includes("docker-user-left-behind"),
    found.join(),
  );
  const number = judge("left behind", cases, STOPPED);
  onHost("nft delete table ip filter");
  return number + judge("without DOCKER-USER", cases, []);
}

/** The translated rules stop the same connections, let an established flow live, and can be loaded again and removed. */
async function inForce(cases: readonly Case[], text: string): Promise<number> {
  const start = listing();
  const flow = await Flow.open("outside", { proto: "tcp", dst: "203.0.113.1", port: 8444 });
  const file = join(FOLDER, "docker-user.nft");
  writeFileSync(file, text);
  onHost(`nft -f ${file}`);
  const once = listing();
  onHost(`nft -f ${file}`);
  check(`${NAME}: twice is as once`, listing() === once);
  const number = judge("nftables", cases, STOPPED);
  check(`${NAME}: an established flow lives`, await flow.lives());
  flow.close();
  onHost("nft delete table ip docker-user");
  check(`${NAME}: the undo leaves what was there before`, listing() === start);
  return number + 1;
}
