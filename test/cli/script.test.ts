/**
 * The collector's script on hosts that hold secrets, that lack programs, whose programs fail or hang: in BusyBox, dash and
 * bash, each in a network namespace of its own.
 */
import { execFile, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  hostDoubtText,
  readHost,
  readPacket,
  readRuleset,
  readSnapshot,
  type Snapshot,
  simulate,
} from "fwcheck";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { synOf } from "../builders.ts";

const scratch = mkdtempSync(join(tmpdir(), "fwcheck-script-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const SCRIPT = readFileSync(new URL("../../cli/collect.sh", import.meta.url), "utf8");
const quick = SCRIPT.replaceAll("timeout -s KILL 60", "timeout -s KILL 1");

interface Collected {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the script from standard input, as `ssh host sh -s` does, after running `before` in the namespace. */
function collect(
  shell: string,
  {
    script = SCRIPT,
    before = ":",
    env = {},
  }: { script?: string; before?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Collected> {
  return new Promise((resolve) => {
    const args = ["-n", "-m", "sh", "-c", `${before}\nexec ${shell} -s`];
    const options = { env: { ...process.env, ...env }, maxBuffer: 1 << 28 };
    const child = execFile("unshare", args, options, (_error, out, err) =>
      resolve({ code: child.exitCode, out, err }),
    );
    child.stdin!.end(script);
  });
}

/** Reads a snapshot, with its doubts as sentences. */
const taken = (out: string): Omit<Snapshot, "doubts"> & { readonly doubts: readonly string[] } => {
  const snapshot = readSnapshot({ name: "snapshot", text: out });
  return { ...snapshot, doubts: snapshot.doubts.map(hostDoubtText) };
};
/** Returns the parts of a snapshot: kind, title and exit code. */
const endings = (out: string): Map<string, string> =>
  new Map(
    [...out.matchAll(/^\S{36} (?:begin (.*)\n[\s\S]*?^\S{36} end (\d+)|(missing .*))$/gm)].map((m) =>
      m[3] === undefined ? ([m[1]!, m[2]!] as const) : ([m[3], ""] as const),
    ),
  );

const able = (...programs: string[]): boolean =>
  spawnSync("unshare", ["-n", "-m", "sh", "-ec", programs.map((p) => `command -v ${p}`).join("\n")])
    .status === 0;
const SHELLS = ["dash", "busybox sh", "bash --posix"].filter((shell) => able(shell.split(" ")[0]!, "ip"));
const skipped = SHELLS.length === 0 ? " (skipped: it needs root and iproute2)" : "";

/** Returns the doubts, without that of a Docker client without a daemon, which this machine may have. */
const settled = (doubts: readonly string[]): string[] =>
  doubts.filter((doubt) => !doubt.startsWith("docker version "));
const NO_IPV6 =
  "the host has no IPv6 rules: the save programs print nothing, so all its IPv6 ports are open, and they are not checked";

/** Creates a folder of programs that replace those of the host. */
function programs(name: string, texts: Readonly<Record<string, string>>): string {
  const folder = join(scratch, name);
  mkdirSync(folder, { recursive: true });
  for (const [program, text] of Object.entries(texts)) {
    writeFileSync(join(folder, program), `#!/bin/sh\n${text}\n`);
    chmodSync(join(folder, program), 0o755);
  }
  return `${folder}:${process.env.PATH}`;
}

/** The daemon's data about a container; text with SECRET must not leave the host. */
const container = (id: string, name: string, label: string) => ({
  Id: id,
  Created: "2026-01-01T00:00:00Z",
  Path: "/bin/SECRET",
  Args: ["--token=SECRET"],
  Name: name,
  HostnamePath: "/SECRET",
  LogPath: "/SECRET",
  Mounts: [{ Type: "bind", Source: "/srv/SECRET", Destination: "/SECRET" }],
  Config: {
    Hostname: "SECRET",
    Domainname: "SECRET",
    User: "SECRET",
    Env: ["DB_PASSWORD=SECRET", "PATH=/SECRET"],
    Cmd: ["SECRET"],
    Entrypoint: ["SECRET"],
    Image: "registry/SECRET",
    WorkingDir: "/SECRET",
    Healthcheck: { Test: ["CMD", "curl", "-u", "SECRET"] },
    Labels: {
      "com.docker.compose.project": label,
      "com.docker.compose.service": "web",
      "com.docker.compose.project.working_dir": "/home/SECRET",
      "com.docker.compose.environment_file": "SECRET",
      "traefik.http.middlewares.auth.basicauth.users": "admin:SECRET",
    },
  },
  HostConfig: {
    NetworkMode: "app",
    Binds: ["/SECRET:/x"],
    LogConfig: { Type: "splunk", Config: { "splunk-token": "SECRET" } },
    Sysctls: { "kernel.SECRET": "1" },
    ExtraHosts: ["SECRET:127.0.0.1"],
  },
  NetworkSettings: {
    SandboxKey: "/SECRET",
    Ports: { "80/tcp": [{ HostIp: "0.0.0.0", HostPort: "8080" }], "81/tcp": null },
    Networks: {
      app: {
        IPAMConfig: { IPv4Address: "172.30.0.5" },
        Links: ["SECRET"],
        Aliases: ["SECRET"],
        DNSNames: ["SECRET"],
        DriverOpts: { password: "SECRET" },
        NetworkID: "n1",
        EndpointID: "e1",
        Gateway: "172.30.0.1",
        IPAddress: "172.30.0.5",
        IPPrefixLen: 24,
        GlobalIPv6Address: "fd00::5",
        MacAddress: "02:42:ac:1e:00:05",
      },
    },
  },
});
const network = {
  Name: "app",
  Id: "n1",
  Created: "2026-01-01T00:00:00Z",
  Scope: "local",
  Driver: "bridge",
  EnableIPv6: true,
  IPAM: {
    Driver: "default",
    Options: { key: "SECRET" },
    Config: [{ Subnet: "172.30.0.0/24", Gateway: "172.30.0.1" }],
  },
  Internal: false,
  Containers: { c1: { Name: "web", EndpointID: "e1", IPv4Address: "172.30.0.5/24", IPv6Address: "" } },
  Options: { "com.docker.network.bridge.name": "br-app", "com.example.password": "SECRET" },
  Labels: { password: "SECRET" },
};
/** Special characters of shells, JSON, templates and lines. */
const NAMES = ["web", "a b'\"`$(id)\\", "{{.Config.Env}}", "ü\u001b[31m"];

describe.skipIf(SHELLS.length === 0 || !able("docker"))(
  `docker inspect is reduced on the host${able("docker") ? skipped : " (skipped: it needs the docker CLI)"}`,
  () => {
    const socket = join(scratch, "docker.sock");
    let server: Server;
    /** A container that ends after it was listed, once. */
    let ghosts = 0;
    const all = NAMES.map((name, i) => container(`c${i + 1}`, `/${name}`, name));
    beforeAll(async () => {
      server = createServer((request, response) => {
        const path = request.url!.replace(/^\/v[\d.]+/, "").replace(/\?.*/, "");
        const ids = all.map((c) => ({ Id: c.Id }));
        const answers: Record<string, unknown> = {
          "/_ping": "OK",
          "/version": {
            Version: "28.2.2",
            ApiVersion: "1.50",
            MinAPIVersion: "1.24",
            Os: "linux",
            Arch: "amd64",
          },
          "/containers/json": ghosts-- > 0 ? [...ids, { Id: "ghost" }] : ids,
          "/networks": [{ Id: "n1", Name: "app" }],
          "/networks/n1": network,
          "/info": {
            ID: "x",
            Name: "SECRET",
            HttpProxy: "http://u:SECRET@p",
            FirewallBackend: { Driver: "iptables" },
          },
          ...Object.fromEntries(all.map((c) => [`/containers/${c.Id}/json`, c])),
        };
        const answer = answers[path];
        response.writeHead(answer === undefined ? 404 : 200, {
          "Content-Type": "application/json",
          "Api-Version": "1.50",
        });
        response.end(answer === undefined ? '{"message":"No such thing"}' : JSON.stringify(answer));
      });
      await new Promise<void>((listening) => server.listen(socket, listening));
    });
    afterAll(() => server.close());

    test.each(SHELLS)("%s", async (shell) => {
      ghosts = 1;
      const { out, err } = await collect(shell, { env: { DOCKER_HOST: `unix://${socket}`, HOME: scratch } });
      expect(err).toBe("");
      expect(out).not.toContain("SECRET");
      const { sources, doubts } = taken(out);
      expect(doubts.filter((doubt) => doubt.includes("docker"))).toEqual([]);
      const { containers, networks, daemon } = readHost({ docker: sources.docker! }, []);
      expect(containers.map((c) => [c.name, c.project, c.service])).toEqual(NAMES.map((n) => [n, n, "web"]));
      expect(containers[0]).toMatchObject({
        addresses: [0xac1e0005, 0xfd00n * (1n << 112n) + 5n],
        published: [{ family: 4, proto: 6, hostPort: 8080 }],
        fixed: true,
      });
      // This machine may run Podman.
      const ofDocker = networks.filter(({ engine }) => engine !== "podman");
      expect(ofDocker).toMatchObject([{ name: "app", bridge: "br-app", endpoints: [{ name: "web" }] }]);
      expect(daemon.backend).toBe("iptables");
    });
  },
);

describe.skipIf(SHELLS.length === 0)(`a host with failing programs${skipped}`, () => {
  test.each(SHELLS)("iptables-save fails: its exit code is reported (%s)", async (shell) => {
    const fails = "echo 'you must be root' >&2; echo '*filter'; exit 4";
    const PATH = programs(
      "fails",
      Object.fromEntries(
        ["", "-legacy", "-nft"].flatMap((backend) => [
          [`iptables${backend}-save`, fails],
          [`ip6tables${backend}-save`, fails],
        ]),
      ),
    );
    const { out } = await collect(shell, { env: { PATH } });
    const { rules, doubts } = taken(out);
    expect(rules).toEqual([]);
    expect(doubts).toContain("iptables-nft-save -c failed on the host: you must be root");
    expect(doubts).toContain("ip6tables-legacy-save -c failed on the host: you must be root");
  });

  test.each(SHELLS)("docker and ufw hang: the other parts are complete (%s)", async (shell) => {
    const PATH = programs("hangs", { docker: "exec sleep 30", ufw: "exec sleep 30" });
    const before = Date.now();
    const { code, out } = await collect(shell, { script: quick, env: { PATH } });
    expect(Date.now() - before).toBeLessThan(20_000);
    expect(code).toBe(0);
    expect(taken(out).doubts.join()).toMatch(/docker version .* failed on the host: /);
    expect(endings(out).get("ufw ufw status verbose")).toBe("137");
  });

  test.each(SHELLS)("a child in a session of its own does not delay the script (%s)", async (shell) => {
    const PATH = programs("leaves", {
      ufw: "setsid sleep 100 & echo Status: active; echo $! >&2",
      docker: "setsid sleep 100 & echo '\"1\"'; echo $! >&2",
    });
    const before = Date.now();
    const { code, out } = await collect(shell, { env: { PATH } });
    const children = [...out.matchAll(/^\S{36} begin errors (?:ufw|docker)[^\n]*\n(\d+)$/gm)].map((m) =>
      Number(m[1]),
    );
    for (const child of children) process.kill(child);
    expect(children.length).toBeGreaterThanOrEqual(2);
    expect(Date.now() - before).toBeLessThan(50_000);
    expect(code).toBe(0);
    expect(out).toMatch(/^\S{36} begin ufw ufw status verbose\nStatus: active\n\n\S{36} end 0$/m);
  });

  test.each(SHELLS)("aliases of interfaces stay on the host (%s)", async (shell) => {
    const before = `ip link add name a0 type bridge; ip link set a0 alias 'of "SECRET", \\ and more'`;
    const { out } = await collect(shell, { before });
    expect(out).toContain('"ifname":"a0"');
    expect(out).not.toContain("SECRET");
    const [addresses] = taken(out).sources.addr!;
    expect(JSON.parse(addresses!.text).map((i: { ifname: string }) => i.ifname)).toContain("a0");
  });

  test.each(SHELLS)("a program that reads standard input does not consume the script (%s)", async (shell) => {
    const PATH = programs("reads", { ipset: "cat", ufw: "cat >&2", docker: "cat" });
    const { code, out } = await collect(shell, { env: { PATH } });
    expect(code).toBe(0);
    expect(out).toMatch(/ done\n$/);
    expect(out).not.toContain("collect()");
  });

  test.each(SHELLS)(
    "much is printed on both outputs, with NUL and without an end of line (%s)",
    async (shell) => {
      const PATH = programs("much", {
        ipset:
          "i=0; while [ $i -lt 20000 ]; do echo \"create s$i hash:ip\"; echo 'an error' >&2; i=$((i+1)); done; printf 'a\\000b'",
      });
      const { out } = await collect(shell, { env: { PATH } });
      const [sets] = taken(out).sources.ipset!;
      expect(sets!.text.match(/^create/gm)).toHaveLength(20_000);
      expect(sets!.text).toContain("a\u0000b");
    },
  );

  test.skipIf(!SHELLS.includes("busybox sh"))("nothing is installed but BusyBox", async () => {
    const root = join(scratch, "root");
    const before = `set -e; mkdir -p ${root}/bin ${root}/proc ${root}/dev; mknod ${root}/dev/null c 1 3; cp "$(command -v busybox)" ${root}/bin/busybox
      chroot ${root} /bin/busybox --install -s /bin; mount -t proc proc ${root}/proc; cd ${root}`;
    const { code, out, err } = await collect(`chroot ${root} /bin/sh`, { before });
    expect([code, err]).toEqual([0, ""]);
    const { rules, doubts, sources } = taken(out);
    expect(rules).toEqual([]);
    expect(doubts.slice(0, 3)).toEqual([
      "iptables-save is not on the host: what becomes of IPv4 packets is not known",
      "ip6tables-save is not on the host: what becomes of IPv6 packets is not known",
      "nft is not on the host: whether tables of nftables filter beside iptables is not known; install nftables and take the snapshot again",
    ]);
    // BusyBox's own ip prints no JSON.
    expect(doubts.slice(3).map((d) => d.replace(/: BusyBox v.*$/, ": BusyBox"))).toEqual(
      [
        "-j addr",
        "-d -j link",
        "-j -4 route show table all",
        "-j -6 route show table all",
        "-j -4 rule",
        "-j -6 rule",
      ].map((options) => `ip ${options} failed on the host: BusyBox`),
    );
    expect(sources.sysctl![0]!.text).toMatch(/^net\.ipv4\.conf\.lo\.rp_filter = \d$/m);
  });

  test("hundreds of interfaces with special characters in their names", async () => {
    const names = ["eth0.100", "a'b", 'a"b', "$(id)", "-x", "*", "a\\b"];
    const many = Array.from({ length: 300 }, (_, i) => `v${i}`);
    const word = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
    const before = [...names, ...many].map((name) => `ip link add name ${word(name)} type bridge`);
    const { out } = await collect("dash", { before: before.join("\n") });
    const [settings] = taken(out).sources.sysctl!;
    for (const name of [...names.filter((n) => n !== "eth0.100"), "eth0/100", ...many])
      expect(settings!.text).toContain(`\nnet.ipv4.conf.${name}.rp_filter = `);
  });
});

describe.skipIf(SHELLS.length === 0 || !able("nft", "iptables-nft-save"))(
  "rules that nft itself wrote into iptables' tables",
  () => {
    const NATIVE = `nft add table ip filter; nft 'add chain ip filter INPUT { type filter hook input priority 0; policy drop; }'
    nft 'add rule ip filter INPUT tcp dport { 22, 80 } accept'`;
    test.each(SHELLS)("make the audit inconclusive: iptables-save omits their sets (%s)", async (shell) => {
      const { out } = await collect(shell, { before: NATIVE });
      const { rules, doubts } = taken(out);
      expect(settled(doubts)).toEqual([NO_IPV6]);
      expect(rules[0]!.missing!.unprinted).toMatchObject([
        { table: "filter", chain: "INPUT", size: 1, rules: [1] },
      ]);
    });
    test("rules of iptables do not", async () => {
      const before = `iptables-nft -A INPUT -p tcp -m multiport --dports 22,80 -m comment --comment 'a @b { lookup' -j ACCEPT
      iptables-nft -t nat -A PREROUTING -p tcp -m multiport --dports 1,2 -m addrtype --dst-type LOCAL -j DNAT --to 192.0.2.1`;
      const { out } = await collect("dash", { before });
      const { rules, doubts } = taken(out);
      expect(settled(doubts)).toEqual([NO_IPV6]);
      expect(rules[0]!.missing!.unprinted ?? []).toEqual([]);
    });
  },
);

/** A host with the real ufw and a real ipset, which write to disk only within this mount namespace. */
const REAL = `set -e
  mount --make-rprivate /; mkdir -p "$COPY"
  cp -a /etc/ufw "$COPY/etc"; mount --bind "$COPY/etc" /etc/ufw
  cp -a /etc/default/ufw "$COPY/default"; mount --bind "$COPY/default" /etc/default/ufw
  mount -t tmpfs tmpfs /run
  ip link set lo up; ip link add eth0 type veth peer name wire; ip link set wire up
  ip addr add 203.0.113.1/24 dev eth0; ip link set eth0 up
  ipset create banned hash:net; ipset add banned 198.51.100.0/24
  ufw allow 22/tcp comment 'for $(id) & <b>' >/dev/null; ufw deny 8080 >/dev/null; ufw --force enable >/dev/null
  iptables-nft -I INPUT -m set --match-set banned src -j DROP`;
const ufw = able("ufw", "ipset", "iptables-nft", "python3");

describe.skipIf(SHELLS.length === 0 || !ufw)(
  `a host with ufw and an ipset${ufw ? skipped : " (skipped: it needs ufw, ipset and iptables-nft)"}`,
  () => {
    test.each(SHELLS)("is read completely (%s)", async (shell) => {
      const COPY = join(scratch, `ufw-${shell.replaceAll(" ", "")}`);
      const { code, out } = await collect(shell, { before: REAL, env: { COPY } });
      expect(code).toBe(0);
      const { rules, sources, doubts } = taken(out);
      expect(settled(doubts)).toEqual([]);
      expect(out).toMatch(/^Status: active$/m);
      const { rulesets, diagnostics } = readRuleset(rules);
      expect([rulesets.map((r) => r.family), diagnostics]).toEqual([[4, 6], []]);
      const host = readHost(sources, rulesets);
      expect(host.inferences).toEqual([]);
      const verdict = (src: string, dport: number): string => {
        const packet = readPacket({ in: "eth0", src, dst: "203.0.113.1", dport, flags: "S" });
        if (typeof packet === "string") throw new Error(packet);
        return simulate(rulesets, host, packet).verdict;
      };
      expect([
        verdict("203.0.113.9", 22),
        verdict("203.0.113.9", 8080),
        verdict("203.0.113.9", 9),
        verdict("198.51.100.7", 22),
      ]).toEqual(["accept", "drop", "drop", "drop"]);
    });
    const rule = "-A INPUT -p tcp -m tcp --dport 9999 -j DROP";
    const legacy = spawnSync("unshare", ["-n", "iptables-legacy", ...rule.split(" ")]).status === 0;
    const why = legacy ? "" : " (skipped: it needs iptables-legacy and its kernel modules)";
    test.skipIf(!legacy)(`additional rules of iptables-legacy are followed${why}`, async () => {
      const before = `${REAL}\niptables-legacy ${rule}`;
      const { code, out } = await collect("dash", { before, env: { COPY: join(scratch, "ufw-both") } });
      expect(code).toBe(0);
      expect(out.match(new RegExp(rule, "g"))).toHaveLength(1);
      const { rules, sources, doubts } = taken(out);
      expect(settled(doubts)).toEqual([]);
      const { rulesets } = readRuleset(rules);
      const packet = synOf({ in: "eth0", src: "198.51.100.7", dst: "203.0.113.1", dport: 9999 });
      const answer = simulate(rulesets, readHost(sources, rulesets), packet);
      expect(answer.verdict).toBe("drop");
      expect(answer.path.at(-1)).toMatchObject({ table: "iptables-legacy filter", chain: "INPUT", rule: 1 });
    });
  },
);
