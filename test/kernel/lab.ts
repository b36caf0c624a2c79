/** The lab: a host of TUN devices in a network namespace of its own, and the kernel's word on every packet sent to it. */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import {
  type Family,
  type Host,
  type PacketJson,
  type Ruleset,
  readHost,
  readNftables,
  readRuleset,
  withNftables,
} from "fwcheck";
import { dockerBridges } from "../../lib/host/known/docker.ts";
import { isBuiltIn } from "../../lib/iptables/base-chains.ts";
import type { Hook } from "../../lib/rules/base-chain.ts";
import {
  type Backend,
  backendOf,
  idOfBackend,
  iptablesName,
  isTableName,
  type Table,
} from "../../lib/rules/ruleset.ts";

/** A host to judge on. */
export interface Scenario {
  readonly name: string;
  readonly family: Family;
  readonly interfaces: readonly {
    readonly name: string;
    readonly addresses: readonly string[];
    /** Frames with MAC addresses, not bare packets. */
    readonly ethernet?: boolean;
    readonly group?: number;
    /** The ports that make it a bridge. */
    readonly ports?: readonly string[];
  }[];
  /** Arguments of `ip nexthop add`. */
  readonly hops?: readonly string[];
  /** Arguments of `ip route append`. */
  readonly routes: readonly string[];
  /** Arguments of `ip rule add`. */
  readonly rules: readonly string[];
  /** Arguments of `ip`, run last. */
  readonly last?: readonly string[];
  readonly sysctls: Readonly<Record<string, string | number>>;
  /** UDP ports of all addresses that a transparent socket listens on, as a proxy's would. */
  readonly proxies?: readonly number[];
  /** Input of `ipset restore`. */
  readonly sets?: string;
  /** Input of iptables-restore; `""` for none. */
  readonly save: string;
  /** Backend of iptables that loads `save`; the legacy one if absent. */
  readonly backend?: "legacy" | "nft";
  /** Input of iptables-restore of the other backend, loaded after `save`. */
  readonly other?: string;
  /** Input of `nft -f`, loaded last. */
  readonly nft?: string;
  /** The simulator knows the order of base chains with one priority, as from `nft list hooks`. */
  readonly ordered?: boolean;
}

/** Sysctls of a host that forwards all packets between all interfaces. */
export const ROUTER: Scenario["sysctls"] = {
  "net.ipv4.ip_forward": 1,
  "net.ipv6.conf.all.forwarding": 1,
  "net.ipv4.conf.all.rp_filter": 0,
  "net.ipv4.conf.default.rp_filter": 0,
};

/** A packet as the lab sends it: the contract's, and what only a real segment has. */
export interface LabPacket extends PacketJson {
  readonly seq?: number;
  readonly ack?: number;
  /** The frame is for another port of the bridge, not for the host. */
  readonly across?: boolean;
}

/** One step, without what only the text knows. */
export type Spoken = string;

/** Treatment of one packet by the kernel. */
export interface Deed {
  readonly path: readonly Spoken[];
  readonly out: readonly {
    readonly out: string;
    readonly src: string;
    readonly dst: string;
    readonly proto: number;
    readonly ttl: number;
    readonly tos: number;
    readonly sport?: number;
    readonly dport?: number;
  }[];
}

/** Listings that the oracle returns of the host that it built. */
const TOLD = ["addr", "route", "rule", "sysctl", "ipset"] as const;
type Told = (typeof TOLD)[number];

/** start.mjs says where it lies, since the judge runs as a bundle. */
const ORACLE = join(process.env.KERNEL_FOLDER ?? ".", "oracle.py");

/** The command nft: that of another root, if NFT_ROOTFS names one. */
const NFT = process.env.NFT_ROOTFS === undefined ? ["nft"] : ["chroot", process.env.NFT_ROOTFS, "nft"];

/** Returns true if nft takes statements that 1.0.6 refuses. */
export function isModernNft(): boolean {
  const [command, ...rest] = NFT;
  const version = spawnSync(command!, [...rest, "--version"]).stdout.toString();
  return !/ v(?:0|1\.0)\./.test(version);
}

/** Why the lab is closed, in a sentence, or `undefined` when it is open. */
export function closed(): string | undefined {
  if (process.platform !== "linux") return "the kernel tests need Linux";
  if (process.getuid?.() !== 0) return "the kernel tests need root";
  for (const name of [
    "python3",
    "ip",
    "ipset",
    "iptables-legacy-restore",
    "ip6tables-legacy-restore",
    "iptables-nft-restore",
    "nft",
    "unshare",
  ])
    if (spawnSync("sh", ["-c", `command -v ${name}`]).status !== 0) return `the kernel tests need ${name}`;
  if (spawnSync("unshare", ["-n", "test", "-w", "/dev/net/tun"]).status !== 0)
    return "the kernel tests need unshare -n and /dev/net/tun";
  return undefined;
}

/** Returns the interfaces, with two ports for each that Docker's rules use as a bridge; call it before the rules are changed. */
export function bridged({ name, save, interfaces }: Scenario): Scenario["interfaces"] {
  const bridges = dockerBridges(readRuleset([{ name, text: save }]).rulesets);
  return interfaces.map((each, i) =>
    each.ports === undefined && (bridges.has(each.name) || /^docker(0|_gwbridge)$/.test(each.name))
      ? { ...each, ports: [`p${i}a`, `p${i}b`] }
      : each,
  );
}

/** The texts of iptables that a lab was built from. */
interface SavedTexts {
  readonly save: string;
  readonly other: string;
}

/** Backends of iptables that load `save` and `other`. */
const backendsOf = ({ backend = "legacy" }: Scenario): readonly [Backend, Backend] =>
  backend === "nft" ? ["iptables-nft", "iptables-legacy"] : ["iptables-legacy", "iptables-nft"];

/** Names the program of the lab in the comments of a text: a recorded text may be from the other backend. */
function loadedBy(backend: Backend, { family }: Scenario, save: string): string {
  const program = `${family === 4 ? "iptables" : "ip6tables"}-${backend === "iptables-nft" ? "nft" : "legacy"}-save`;
  return save.replace(
    /^# Generated by (?:ip6?tables|xtables)(?:-legacy|-nft)?-save( v[\d.]+)?.*/gm,
    (_, version = "") => `# Generated by ${program}${version}`,
  );
}

/** Reads the tables of iptables; each text gets its backend where both are loaded. */
function readTables(scenario: Scenario, { save, other }: SavedTexts): readonly Ruleset[] {
  const { name, family } = scenario;
  const [first, second] = backendsOf(scenario);
  if (other === "")
    return readRuleset(save === "" ? [] : [{ name, text: loadedBy(first, scenario, save) }]).rulesets;
  return readRuleset([
    { name, text: save, family, backend: first },
    { name: `${name}, other backend`, text: other, family, backend: second },
  ]).rulesets;
}

/** Reads the rules of the scenario's family as the save programs and `nft list ruleset` print them. */
function readRules(scenario: Scenario, printed: SavedTexts & { nft: string }): Ruleset | string {
  const { name, family, nft } = scenario;
  const tables = readTables(scenario, printed);
  if (nft === undefined)
    return tables.find((each) => each.family === family) ?? "the rules do not tell their family";
  const loaded = readNftables([{ name, text: printed.nft, complete: true }]);
  const [fault] = loaded.diagnostics;
  if (fault !== undefined) {
    // nft 1.0.6 prints some rules of its own and of iptables-nft in a form that it cannot read.
    const { status } = spawnSync("unshare", ["-n", ...NFT, "-c", "-f", "-"], { input: printed.nft });
    if (status !== 0) return "nft cannot read its own listing";
    const line = printed.nft.split("\n")[fault.line - 1]?.trim();
    return `${UNREAD} ${fault.line}:${fault.column}: ${fault.message}: ${fault.found}, in: ${line}`;
  }
  const ruleset = withNftables(tables, loaded).rulesets.find((each) => each.family === family);
  return ruleset ?? { family, source: name, tables: new Map(), doubts: [] };
}

/**
 * Returns the order in which the kernel calls base chains: of one priority, the one that was registered last runs first. They are
 * registered in the order of the text, after those of iptables. This kernel has no `nft list hooks`.
 */
function registeredOrder(ruleset: Ruleset, scenario: Scenario): NonNullable<Ruleset["hookOrder"]> {
  const [first] = backendsOf(scenario);
  const loaded = (table: string): number => {
    if (iptablesName(table) === null) return 2;
    return (backendOf(ruleset, table) ?? first) === first ? 0 : 1;
  };
  const order = new Map<Hook, string[]>();
  for (const [id, table] of [...ruleset.tables].sort(([a], [b]) => loaded(a) - loaded(b)))
    for (const { name, base } of table.chains.values())
      if (base !== null) order.set(base.hook, [`${id} ${name}`, ...(order.get(base.hook) ?? [])]);
  return order;
}

/** Start of the sentence where fwcheck does not read what nft prints. */
export const UNREAD = "fwcheck cannot read the listing:";

/** Path of the interpreter itself: the one in PATH may be a wrapper script that searches for it on each call. */
let python: string | undefined;

export class Lab {
  private constructor(
    private readonly child: ChildProcessWithoutNullStreams,
    private readonly lines: AsyncIterator<string>,
    readonly ruleset: Ruleset,
    readonly host: Host,
    /** Backends of iptables with rules: iptables-nft owns the tables of `ip` or `ip6` that have the names of iptables'. */
    private readonly backends: readonly Backend[],
    private readonly trouble: () => string,
  ) {}

  /** Builds the host; a sentence when the kernel refuses it. */
  static async open(scenario: Scenario): Promise<Lab | string> {
    python ??= spawnSync("python3", ["-c", "import sys; print(sys.executable)"]).stdout.toString().trim();
    const child = spawn("unshare", ["-n", python, ORACLE], { stdio: ["pipe", "pipe", "pipe"] });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    let trouble = "";
    child.stderr.on("data", (data: Buffer) => {
      trouble += data.toString();
    });
    child.stdin.on("error", () => undefined);
    child.stdin.write(`${JSON.stringify({ ...scenario, interfaces: bridged(scenario) })}\n`);
    const first = await lines.next();
    if (first.done === true) throw new Error(`the oracle broke: ${trouble.slice(-600)}`);
    const said = JSON.parse(first.value) as Record<Told | "save" | "other" | "nft", string> & {
      refused?: string;
    };
    if (said.refused !== undefined) return said.refused;
    const source = (key: Told) => [{ name: key, text: said[key], family: scenario.family }];
    const read = readRules(scenario, said);
    if (typeof read === "string") {
      child.kill();
      return read;
    }
    const ruleset =
      scenario.ordered === true ? { ...read, hookOrder: registeredOrder(read, scenario) } : read;
    const host = readHost(Object.fromEntries(TOLD.map((key) => [key, source(key)])), [ruleset]);
    const backends = backendsOf(scenario).slice(0, scenario.other === undefined ? 1 : 2);
    return new Lab(child, lines, ruleset, host, backends, () => trouble);
  }

  /** Sends packets in their order. */
  async send(packets: readonly LabPacket[]): Promise<Deed[]> {
    this.child.stdin.write(`${JSON.stringify(packets)}\n`);
    const next = await this.lines.next();
    if (next.done === true) throw new Error(`the oracle ended early: ${this.trouble().slice(-800)}`);
    const deeds = JSON.parse(next.value) as { path: string[]; out: Deed["out"] }[];
    return deeds.map(({ path, out }) => ({ path: path.flatMap((line) => this.spoken(line)), out }));
  }

  /** Ends the lab; its namespace goes with it. */
  async close(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const gone = once(this.child, "exit");
    this.child.stdin.end();
    await gone;
  }

  /**
   * A line of the trace as a step of the contract. Of legacy iptables, an unconditional ACCEPT, DROP or RETURN is printed as if
   * it were the end of its chain, with its own number (trace_packet in ip_tables.c).
   */
  private spoken(line: string): Spoken[] {
    const m = /^(legacy:[a-z]+|[^:]*):(.*):(rule|return|policy):(\d+)$/.exec(line);
    if (m === null) return [`unreadable ${line}`];
    const legacy = m[1]!.startsWith("legacy:");
    const table = this.tableOf(m[1]!);
    const [chain, how, number] = [m[2]!, m[3]!, Number(m[4])];
    const known = this.chains(table)?.get(chain);
    if (known === undefined) {
      // Legacy tables have all built-in chains, and fwcheck leaves out tables of the other backend without any effect.
      const name = iptablesName(table);
      const undeclared = name !== null && isBuiltIn(name, chain);
      return undeclared ? [] : [`unknown ${line}`];
    }
    if (how === "rule" || (legacy && number <= known.rules.length)) return [`${table} ${chain} ${number}`];
    // A base chain that ends has its policy's step, too.
    if (!legacy && how === "return" && known.policy !== null) return [];
    return [`${table} ${chain} ${how}`];
  }

  private chains(table: string): Table["chains"] | undefined {
    return (this.ruleset.tables as ReadonlyMap<string, Table>).get(table)?.chains;
  }

  /** Returns true for a table that nf_tables evaluates. */
  isOfNft(table: string): boolean {
    if (iptablesName(table) === null) return true;
    return (backendOf(this.ruleset, table) ?? this.backends[0]) === "iptables-nft";
  }

  /** The id of a table in the ruleset, by its name in a trace: `legacy:nat`, or family and name as nft prints them. */
  private tableOf(place: string): string {
    const [by, name] = place.split(/[ :]/);
    if (by === "legacy")
      return isTableName(name!) ? idOfBackend(this.ruleset, "iptables-legacy", name) : place;
    const isOwn = by === (this.ruleset.family === 4 ? "ip" : "ip6") && isTableName(name!);
    return isOwn && this.backends.includes("iptables-nft")
      ? idOfBackend(this.ruleset, "iptables-nft", name)
      : place;
  }
}
