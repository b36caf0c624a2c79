/** Debian's podman with netavark on a host of its own: real containers, of an image that is made of busybox. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FOLDER, HERE, must, PYTHON } from "../lab.ts";
import { Capture, type Container, type Published } from "./capture.ts";
import { CaptureHost, clientLinks, onHost, solve, start } from "./capture-host.ts";
import { type Captured, judge, type Standing } from "./captured.ts";
import { apply, undo } from "./forms.ts";
import { audited } from "./lifecycle.ts";
import type { Case } from "./probes.ts";
import { check, row } from "./record.ts";

const FILES = join(FOLDER, "podman");

/** No limits of processes, which a container of CI may not set, and no registry. */
const CONFIGURATION = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[network]
network_backend = "netavark"
`;

interface Run {
  readonly name: string;
  readonly network: "podman" | "app";
  readonly address: string;
  readonly published: readonly Published[];
  readonly command: readonly string[];
}

const port = (address: string, number: number, to: number): Published => ({
  proto: "tcp",
  address,
  port: number,
  to,
});
const HTTPD = ["httpd", "-f", "-p", "80", "-h", "/www"];

const RUNS: readonly Run[] = [
  {
    name: "web",
    network: "podman",
    address: "10.88.0.2",
    published: [port("0.0.0.0", 8080, 80), port("0.0.0.0", 9080, 80)],
    command: HTTPD,
  },
  {
    name: "echo",
    network: "podman",
    address: "10.88.0.3",
    published: [port("0.0.0.0", 8444, 7)],
    command: ["nc", "-ll", "-p", "7", "-e", "/bin/cat"],
  },
  {
    name: "app",
    network: "app",
    address: "172.30.0.2",
    published: [port("203.0.113.1", 8443, 80), port("127.0.0.1", 9090, 80)],
    command: HTTPD,
  },
];

const NETWORKS = {
  podman: { bridge: "podman0", gateway: "10.88.0.1", bits: 16 },
  app: { bridge: "podman1", gateway: "172.30.0.1", bits: 24 },
} as const;

const containerOf = ({ network, address, ...rest }: Run): Container => ({
  ...rest,
  bridge: NETWORKS[network].bridge,
  mac: "",
  addresses: [`${address}/${NETWORKS[network].bits}`],
  gateways: [NETWORKS[network].gateway],
  masqueraded: true,
});

/** The host's files, which podman and other programs print. */
class PodmanFiles extends Capture {
  constructor() {
    super(join(FILES, "files"));
  }

  override containers(): readonly Container[] {
    return RUNS.map(containerOf);
  }
}

const podman = (words: string): string =>
  must(
    `nsenter -m -n -t "$(cat ${FILES}/pid)" env CONTAINERS_CONF=${FILES}/containers.conf podman --root ${FILES}/root --runroot ${FILES}/runroot \
      --storage-driver vfs --network-config-dir ${FILES}/networks --cgroup-manager cgroupfs --events-backend file --log-level error ${words}`,
  );

export class PodmanHost extends CaptureHost {
  constructor() {
    super(new PodmanFiles());
  }

  /** Builds the host without containers. */
  override up(): void {
    mkdirSync(join(FILES, "files"), { recursive: true });
    writeFileSync(join(FILES, "containers.conf"), CONFIGURATION);
    must(`set -e
      for n in $FW $OUT $LAN; do ip netns add $n; ip -n $n link set lo up; done
      ip netns exec $FW sysctl -qw net.ipv4.ip_forward=1
      ${clientLinks({ eth0: ["203.0.113.1/24"], eth1: ["10.99.0.1/24"] })}`);
    for (const each of ["8000/tcp", "8080/tcp"]) start("outside", `${PYTHON} serve ${each}`);
    must(`
      nsenter --net=/run/netns/$FW unshare -m bash "${join(HERE, "nft/podman.sh")}" ${FILES} >${FILES}/log 2>&1 </dev/null &
      for _ in $(seq 100); do [ -s ${FILES}/pid ] && exit 0; sleep 0.1; done; cat ${FILES}/log; exit 1`);
    must(`set -e; t=${FILES}/image; mkdir -p $t/bin $t/etc $t/www $t/tmp $t/proc $t/sys $t/dev
      cp "$(command -v busybox)" $t/bin/busybox
      for a in sh httpd nc cat; do ln -sf busybox $t/bin/$a; done
      echo root:x:0:0::/:/bin/sh >$t/etc/passwd; echo hello >$t/www/index.html
      tar -C $t -cf ${FILES}/image.tar .`);
    podman(`import ${FILES}/image.tar bb:1 2>&1`);
    podman("network create --disable-dns --subnet 172.30.0.0/24 app");
  }

  /** Starts the containers; netavark writes its rules. */
  override load(): void {
    for (const each of RUNS) this.runOne(each);
    this.print();
  }

  /** Runs a container, and makes its network namespace one of the lab. */
  private runOne({ name, network, address, published, command }: Run): void {
    const ports = published.map((each) => `-p ${each.address}:${each.port}:${each.to}`).join(" ");
    podman(
      `run -d --name ${name} --network ${network} --ip ${address} ${ports} --cgroup-parent /$PFX localhost/bb:1 /bin/${command.join(" ")}`,
    );
    const id = podman(`inspect -f '{{.State.Pid}}' ${name}`).trim();
    must(`ip netns attach $PFX-${name} ${id}`);
  }

  /** Writes what podman prints of its containers and networks. */
  private print(): void {
    const files = this.capture.folder;
    const names = RUNS.map(({ name }) => name).join(" ");
    writeFileSync(join(files, "podman-inspect.json"), podman(`inspect ${names}`));
    writeFileSync(join(files, "podman-network-inspect.json"), podman("network inspect podman app"));
    writeFileSync(join(files, "ss.txt"), onHost("ss -H -l -n -t -u -p"));
    writeFileSync(
      join(files, "sysctl.txt"),
      onHost("sysctl -a 2>/dev/null | grep -E '^net[.](ipv[46]|bridge)[.]'"),
    );
    writeFileSync(join(files, "iptables-save.txt"), "");
  }

  /** Removes a container and creates it again with another address. */
  recreate(name: string, address: string): void {
    podman(`rm -f -t 0 ${name}`);
    must(`ip netns del $PFX-${name}`);
    this.runOne({ ...RUNS.find((each) => each.name === name)!, address });
    this.print();
  }

  /** Podman's conmon holds the published ports and serves none. */
  override proxies(): void {}
}

const at = (from: Case["probe"]["from"], dst: string, number: number, open: boolean): Case => ({
  probe: {
    id: `${JSON.stringify(from)} -> ${dst} port ${number}`,
    from,
    proto: "tcp",
    dst,
    port: number,
    wait: 0.6,
  },
  open,
  governed: false,
});

/** Connections that the owner's input hook does not govern. netavark guards no address of a container. */
export const PODMAN_CASES: readonly Case[] = [
  at("outside", "10.88.0.2", 80, true),
  at("outside", "172.30.0.2", 80, true),
  at("lan", "172.30.0.2", 80, true),
  at({ netns: "echo" }, "10.88.0.2", 80, true),
  at({ netns: "app" }, "203.0.113.1", 8080, true),
  at({ netns: "app" }, "10.88.0.2", 80, true),
  at("host", "203.0.113.1", 8080, true),
  at("host", "127.0.0.1", 8080, true),
  at("host", "127.0.0.1", 9090, true),
  at("lan", "203.0.113.2", 8000, true),
];

/** Tries a container that podman creates again with another address, while rules by the original destination are in force. */
export async function judgeRecreated(captured: Captured, standing: Standing): Promise<void> {
  await row([captured.name, "conntrack", "container recreated"], () => {
    const what = `${captured.name}, container recreated`;
    const host = standing.host as PodmanHost;
    const fix = solve(host, "conntrack");
    apply(what, fix, "nft");
    host.recreate("web", "10.88.0.9");
    const { findings } = audited(standing);
    check(`${what}: the audit finds nothing`, findings.length === 0, findings.join());
    const cases = standing.cases.map((each) => ({
      ...each,
      probe: { ...each.probe, dst: each.probe.dst === "10.88.0.2" ? "10.88.0.9" : each.probe.dst },
    }));
    const number = judge(what, { ...standing, cases });
    undo(fix, "nft");
    return number;
  });
}
