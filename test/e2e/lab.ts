/** The lab's handles: programs on the host and beside it, real connections, and fwcheck upon what is collected. */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

export const HERE = process.env.E2E_FOLDER ?? ".";
const ROOT = process.env.E2E_ROOT ?? ".";
export const FOLDER = process.env.E2E ?? ".";
const PFX = `fce${process.pid}`;

/** Programs of this machine that build the lab. */
const HERE_NEEDED = ["ip", "nsenter", "unshare", "python3", "socat", "busybox", "ldd"];
/** Programs of the host with ufw and dockerd. */
const HOST_NEEDED = ["iptables", "ip6tables", "ipset", "conntrack", "ufw", "dockerd", "docker", "containerd"];
const PACKAGES = "docker.io ufw conntrack ipset socat busybox-static";

/**
 * Returns why the lab cannot be built, in a sentence; `undefined` if it can be.
 * @param there programs that the host needs
 * @param packages Debian's packages that have these programs
 */
export function closed(there = HOST_NEEDED, packages = PACKAGES): string | undefined {
  if (process.platform !== "linux") return "the end-to-end test needs Linux";
  if (process.getuid?.() !== 0) return "the end-to-end test needs root";
  const root = process.env.E2E_ROOTFS;
  const has = (name: string, at: string | undefined): boolean =>
    spawnSync("sh", [
      "-c",
      at === undefined ? `command -v ${name}` : `chroot "$0" sh -c 'command -v ${name}'`,
      at ?? "",
    ]).status === 0;
  for (const name of [...HERE_NEEDED, ...there])
    if (!has(name, there.includes(name) ? root : undefined))
      return `the end-to-end test needs ${name} (Debian: ${packages})`;
  const tried = `t=$(mktemp -d) && ip netns add ${PFX}-try && ip netns del ${PFX}-try && unshare -m mount -t tmpfs tmpfs "$t" && rmdir "$t"`;
  if (spawnSync("sh", ["-c", tried]).status !== 0)
    return "the end-to-end test needs to make network and mount namespaces";
  return undefined;
}

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a script of bash with the lab's functions in reach. */
export function bash(script: string, input = ""): Ran {
  const run = spawnSync("bash", ["-c", `. "${join(HERE, "host.sh")}"; ${script}`], {
    encoding: "utf8",
    input,
    env: { ...process.env, E2E: FOLDER, PFX },
    maxBuffer: 1 << 26,
    timeout: 120_000,
  });
  return { code: run.status ?? 1, out: run.stdout, err: run.stderr };
}

/** The same, where it must not fail. @throws Error with what it said */
export function must(script: string, input = ""): string {
  const { code, out, err } = bash(script, input);
  if (code !== 0) throw new Error(`${script}: exit ${code}\n${out}${err}`);
  return out;
}

export function fwcheck(...args: string[]): Ran {
  return piped(args, "");
}

/** The same, with a text on standard input. */
export function piped(args: readonly string[], input: string): Ran {
  const run = spawnSync(process.execPath, [join(ROOT, "dist/cli/main.js"), ...args], {
    encoding: "utf8",
    input,
    maxBuffer: 1 << 26,
  });
  return { code: run.status ?? 1, out: run.stdout, err: run.stderr };
}

export type Where =
  | "outside"
  | "lan"
  | "host"
  | { readonly container: string }
  /** A namespace of the lab, by what follows the prefix of its name. */
  | { readonly netns: string };

/** One connection that is tried. */
export interface Probe {
  readonly id: string;
  readonly from: Where;
  readonly proto: "tcp" | "udp";
  readonly src?: string;
  readonly dst: string;
  readonly port: number;
  /** Tried after those before it, one by one. */
  readonly order?: boolean;
  /** Seconds to wait for an answer. */
  readonly wait?: number;
}

// A wrapper of a version manager in front of python3 would cost more than what is run.
export const PYTHON = `${existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3"} "${join(HERE, "net.py")}"`;
export const inside = (where: Where): string =>
  where === "outside"
    ? 'ip netns exec "$OUT"'
    : where === "lan"
      ? 'ip netns exec "$LAN"'
      : where === "host"
        ? 'ip netns exec "$FW"'
        : "netns" in where
          ? `ip netns exec "$PFX-${where.netns}"`
          : `nsenter -n -t "$(d inspect -f '{{.State.Pid}}' ${where.container})"`;

/** Results of many connections, tried in parallel. */
export function tried(probes: readonly Probe[]): Map<string, string> {
  const places = new Map<string, Probe[]>();
  for (const probe of probes) {
    const place = inside(probe.from);
    places.set(place, [...(places.get(place) ?? []), probe]);
  }
  const jobs = [...places].map(([place, list], i) => {
    writeFileSync(join(FOLDER, `probes.${i}`), JSON.stringify(list));
    return `${place} ${PYTHON} probe <"$E2E/probes.${i}" >"$E2E/answers.${i}" &`;
  });
  const out = must(`${jobs.join("\n")}\nwait\ncat "$E2E"/answers.*; rm -f "$E2E"/answers.* "$E2E"/probes.*`);
  const answers = new Map<string, string>();
  for (const line of out.trim().split("\n"))
    for (const [id, how] of Object.entries(JSON.parse(line) as Record<string, string>)) answers.set(id, how);
  return answers;
}

/** Listens, and echoes what comes. */
export function serve(where: Where, ...ports: string[]): void {
  must(`${inside(where)} ${PYTHON} serve ${ports.join(" ")} >/dev/null 2>&1 </dev/null & sleep 0.3`);
}

/**
 * The words of a program that tries one connection for some seconds, and counts how often it opened.
 * @param until file, in the shell's words, with which it ends before that
 */
export const watching = (probe: Omit<Probe, "id" | "from">, seconds: number, until = ""): string =>
  `${inside("outside")} ${PYTHON} watch '${JSON.stringify(probe)}' ${seconds} ${until}`;

/** A connection that stays. */
export class Flow {
  private constructor(
    private readonly child: ChildProcessWithoutNullStreams,
    private readonly lines: AsyncIterator<string>,
  ) {}

  static async open(where: Where, probe: Omit<Probe, "id" | "from">): Promise<Flow> {
    const script = `. "${join(HERE, "host.sh")}"; exec ${inside(where)} ${PYTHON} flow '${JSON.stringify(probe)}'`;
    const child = spawn("bash", ["-c", script], { env: { ...process.env, E2E: FOLDER, PFX } });
    const flow = new Flow(child, createInterface({ input: child.stdout })[Symbol.asyncIterator]());
    if ((await flow.lines.next()).value !== "open") throw new Error("the flow did not open");
    return flow;
  }

  /** Returns true if the flow still gets answers. */
  async lives(): Promise<boolean> {
    this.child.stdin.write("more\n");
    return (await this.lines.next()).value === "lives";
  }

  close(): void {
    this.child.kill();
  }
}
