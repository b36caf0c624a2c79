/**
 * Checks each finding's witness in the kernel: with all rules the packet gets to the container
 * or leaves the host, and with the owner's rules alone, as if Docker had written none, it does not.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type FindingJson, type Host, type HostSources, type Ruleset, readHost, readRuleset } from "fwcheck";
import { withoutEngines } from "../../lib/audit/engine-rules.ts";
import { printRuleset } from "../../lib/iptables/print.ts";
import { printAddress, printPrefix } from "../../lib/packet/address.ts";
import { chainOf } from "../../lib/rules/ruleset.ts";
import { HOSTILE } from "../audit/hostile.ts";
import { auditOf } from "../audit/json.ts";
import { LAYOUTS, type Layout, read } from "../audit/layout.ts";
import { type Deed, Lab, type LabPacket, ROUTER, type Scenario } from "./lab.ts";

interface Subject {
  readonly name: string;
  readonly rulesets: readonly Ruleset[];
  readonly host: Host;
}

/** Number of packets sent, and the differences between kernel and findings. */
export interface Witnessed {
  readonly hosts: number;
  readonly witnesses: number;
  readonly wrong: readonly string[];
}

/** Sends every witness of every capture, and of every layout that a test writes by hand. */
export async function witnesses(root: string): Promise<Witnessed> {
  const wrong: string[] = [];
  let sent = 0;
  let hosts = 0;
  for (const { name, rulesets, host } of [...captures(root), ...layouts()]) {
    hosts++;
    const { findings } = auditOf(rulesets, host);
    for (const ruleset of rulesets) {
      // The lab's packets have no chunk, without which the kernel takes none of SCTP for the first of a connection.
      const own = findings.filter(
        (f) => f.family === ruleset.family && f.certainty === "must" && f.proto !== "sctp",
      );
      if (own.length === 0) continue;
      sent += own.length;
      const owner = withoutEngines(ruleset, host);
      for (const [rules, judge] of [
        [ruleset, (f: FindingJson, deed: Deed) => asSaid(f, deed, host)],
        [owner, (f: FindingJson, deed: Deed) => asIntended(f, deed, owner)],
      ] as const) {
        const lab = await Lab.open(scenario(name, rules, host));
        if (typeof lab === "string") {
          wrong.push(`${name}: the kernel refuses the host: ${lab}`);
          continue;
        }
        try {
          const deeds = await lab.send(own.map((f, i) => packetOf(f, i, lab.host)));
          for (const [i, deed] of deeds.entries()) {
            const why = judge(own[i]!, deed);
            if (why !== null)
              wrong.push(
                `${name}: ${own[i]!.id}: ${why}: ${JSON.stringify(own[i]!.witness)}, ${deed.path.join("; ")}`,
              );
          }
        } finally {
          await lab.close();
        }
      }
    }
  }
  return { hosts, witnesses: sent, wrong };
}

/**
 * Each from a port of its own: two ways to one endpoint are two connections. What comes in by a bridge comes by one of
 * its ports in the lab.
 */
const packetOf = ({ witness }: FindingJson, i: number, { interfaces }: Host): LabPacket => ({
  ...witness,
  in: interfaces.find((each) => each.master === witness.in)?.name ?? witness.in ?? null,
  ...(witness.sport === undefined ? {} : { sport: witness.sport + i }),
});

/** What the kernel did otherwise than a finding says, with all the rules. */
function asSaid(f: FindingJson, { out }: Deed, host: Host): string | null {
  if (f.kind === "ineffective-allow") return out.length === 0 ? null : "it came through";
  const [packet, ...more] = out;
  if (packet === undefined) return "it did not come through";
  if (more.length > 0) return "it came out more than once";
  if (f.kind === "egress-bypass" || f.kind === "forward-bypass")
    return host.bridges.includes(packet.out) ? `it left by ${packet.out}` : null;
  if (!host.bridges.includes(packet.out)) return `it left by ${packet.out}, which is no container's`;
  if (f.container === null) return null;
  if (packet.dst !== f.container.ip) return `it went to ${packet.dst}`;
  if (f.container.port !== null && packet.dport !== f.container.port)
    return `it went to port ${packet.dport}`;
  return null;
}

/** What the kernel did otherwise than the owner's rules are said to want, with those alone. */
function asIntended(f: FindingJson, { out, path }: Deed, owner: Ruleset): string | null {
  if (f.kind === "ineffective-allow")
    return out.length === 1 ? null : "the owner's rules do not let it through";
  // What containers send is held against what the host itself would be allowed to send; of a loopback address that
  // comes from outside the kernel evaluates no rule.
  if (f.kind === "egress-bypass" || f.witness.dst.startsWith("127.")) return null;
  if (out.length > 0) return "the owner's rules let it through";
  const { rule } = f.intended;
  // Such a rule matches the packet that Docker translates; untranslated it is addressed to the host.
  if (f.kind === "ingress-bypass" && "chain" in rule && rule.chain === "ufw-user-forward") return null;
  const last = path.at(-1);
  if ("policy" in rule) {
    const policy = /^(\w+) (\w+) policy/.exec(rule.policy);
    return policy === null || last === `${policy[1]} ${policy[2]} policy`
      ? null
      : `the owner's rules end in ${last}`;
  }
  // Docker's rules are gone, and the others are numbered anew.
  const number = chainOf(owner, rule.table, rule.chain)!.rules.findIndex((r) => r.index === rule.rule) + 1;
  return path.includes(`${rule.table} ${rule.chain} ${number}`) ? null : `the owner's rules end in ${last}`;
}

function scenario(name: string, ruleset: Ruleset, host: Host): Scenario {
  const { family } = ruleset;
  const interfaces = host.interfaces
    .filter((i) => i.name !== "lo" && i.master === null)
    .map((i) => ({
      name: i.name,
      addresses: i.addresses
        .filter((a) => a.family === family && !printAddress(a.address).startsWith("fe80:"))
        .map(
          (a) =>
            `${printAddress(a.address)}/${printPrefix(a.prefix).split("/")[1] ?? (family === 4 ? 32 : 128)}`,
        ),
    }));
  const first = host.routes.find(
    (r) => r.family === family && printPrefix(r.to).endsWith("/0") && r.dev !== null,
  );
  return {
    name,
    family,
    interfaces,
    routes: first === undefined ? [] : [`default dev ${first.dev}`],
    rules: [],
    sysctls: ROUTER,
    save: `# Generated by ip${family === 6 ? "6" : ""}tables-save v1.8.9\n${printRuleset(ruleset)}`,
  };
}

function* captures(root: string): Generator<Subject> {
  for (const folder of ["examples", "../shared/captures"]) {
    const at = join(root, folder);
    if (!existsSync(at)) continue;
    for (const name of readdirSync(at)) {
      const whole = existsSync(join(at, name, "reachability.txt"));
      for (const inner of whole ? readdirSync(join(at, name)) : [""]) {
        const path = join(at, name, inner);
        if (existsSync(join(path, "iptables-save.txt"))) yield captured(join(folder, name, inner), path);
      }
    }
  }
}

function captured(name: string, path: string): Subject {
  const source = (file: string) =>
    existsSync(join(path, file)) ? [{ name: file, text: readFileSync(join(path, file), "utf8") }] : [];
  const { rulesets } = readRuleset([...source("iptables-save.txt"), ...source("ip6tables-save.txt")]);
  const all: HostSources = {
    addr: source("addr.json"),
    route: [...source("route4.json"), ...source("route6.json")],
    docker: [...source("docker-inspect.json"), ...source("docker-network-inspect.json")],
    sysctl: source("sysctl.txt"),
  };
  const given = Object.entries(all).filter(([, list]) => list.length > 0);
  return { name, rulesets, host: readHost(Object.fromEntries(given), rulesets) };
}

function layouts(): Subject[] {
  const hostile = Object.entries(HOSTILE).map(([name, { layout }]): [string, Layout] => [name, layout]);
  return [...Object.entries<Layout>(LAYOUTS), ...hostile]
    .filter(([, { ipset }]) => ipset === undefined)
    .map(([name, layout]) => ({ name: `layout ${name}`, ...read(layout) }));
}
