/** Rules in DOCKER-USER that do not do what they seem to, each with the reason. */
import { headerOf } from "../host/infer.ts";
import type { Program } from "../path/program.ts";
import { chainOf, type Rule, type Ruleset, targetName } from "../rules/ruleset.ts";
import { missed } from "./ban.ts";
import { publishing } from "./docker.ts";
import { type RuleNote, ruleNote } from "./note.ts";

/** What can be wrong with DOCKER-USER. */
export type LintKind =
  | "host-port-after-dnat"
  | "original-port-unguarded"
  | "behind-return"
  | "docker-user-not-first"
  | "docker-user-not-called"
  | "ban-misses-containers";

/** One rule, and what is wrong with it. */
export interface Lint {
  /** What is wrong. */
  readonly kind: LintKind;
  /** 4 or 6. */
  readonly family: 4 | 6;
  /** The rule; `null` where none stands where one should. */
  readonly rule: RuleNote | null;
  /** What happens, and what to write instead. */
  readonly message: string;
}

type PortRange = readonly [number, number];

/** Looks at DOCKER-USER and its place in FORWARD. */
export function lint(program: Program): Lint[] {
  const { ruleset } = program;
  const out: Lint[] = [];
  const say = (kind: LintKind, rule: Rule | null, message: string): void => {
    out.push({ kind, family: ruleset.family, rule: rule === null ? null : ruleNote(rule, ruleset), message });
  };
  const published = publishedPorts(program);
  banned(ruleset, published.host, say);
  const user = chainOf(ruleset, "filter", "DOCKER-USER");
  if (user === undefined) return out;
  place(ruleset, say);
  let ended = false;
  let established = false;
  for (const rule of user.rules) {
    if (ended)
      say(
        "behind-return",
        rule,
        "an unconditional rule stands in front of this one; no packet ever comes here",
      );
    const conntrack = rule.matches.find((m) => m.extension.name === "conntrack")?.values;
    const states = conntrack?.state?.value as readonly string[] | undefined;
    if (
      states?.includes("ESTABLISHED") &&
      !conntrack?.state?.not &&
      ["RETURN", "ACCEPT"].includes(targetName(rule))
    )
      established = true;
    for (const [first, last] of destinationPorts(rule)) {
      const host = [...published.host].filter((p) => p >= first && p <= last && !published.container.has(p));
      if (host.length > 0)
        say(
          "host-port-after-dnat",
          rule,
          `DOCKER-USER sees packets after DNAT, with the container's port: port ${host.join(", ")} of the host is never seen here; match the container's port, or use -m conntrack --ctorigdstport ${host[0]} --ctdir ORIGINAL`,
        );
    }
    if (conntrack?.origdstport !== undefined && ["DROP", "REJECT"].includes(targetName(rule))) {
      const { in: input } = headerOf(rule);
      const dnat = states?.includes("DNAT") && !conntrack.state?.not;
      const guarded =
        conntrack.dir !== undefined ||
        dnat === true ||
        conntrack.origdst !== undefined ||
        input !== undefined;
      if (!guarded)
        say(
          "original-port-unguarded",
          rule,
          "without --ctdir ORIGINAL and a guard (--ctstate DNAT, --ctorigdst or -i) this also cuts the containers' own connections to that port of others",
        );
      else if (conntrack.dir === undefined && !established)
        say(
          "original-port-unguarded",
          rule,
          "without --ctdir ORIGINAL, or a RELATED,ESTABLISHED return in front, this also cuts the replies of flows that are there",
        );
    }
    if (isUnconditional(rule) && ["RETURN", "ACCEPT", "DROP", "REJECT"].includes(targetName(rule)))
      ended = true;
  }
  return out;
}

/** Whether a rule asks nothing of a packet. */
const isUnconditional = (rule: Rule): boolean =>
  rule.unknown.length === 0 &&
  rule.matches.every((m) => m.extension.name === "comment" || Object.keys(m.values).length === 0);

/** Whether DOCKER-USER is asked before anything accepts. */
function place(ruleset: Ruleset, say: (kind: LintKind, rule: Rule | null, message: string) => void): void {
  const forward = chainOf(ruleset, "filter", "FORWARD")?.rules ?? [];
  const at = forward.findIndex((rule) => targetName(rule) === "DOCKER-USER");
  if (at < 0) {
    say("docker-user-not-called", null, "FORWARD never jumps to DOCKER-USER: its rules are never asked");
    return;
  }
  for (const rule of forward.slice(0, at)) {
    if (!accepts(rule, ruleset, new Set())) continue;
    const who = author(targetName(rule));
    say(
      "docker-user-not-first",
      rule,
      `${who} stands in front of DOCKER-USER in FORWARD and can accept packets that DOCKER-USER would stop`,
    );
  }
}

/** Whose chain it is that stands in the way, where its name tells. */
function author(chain: string): string {
  if (/^ts-/.test(chain)) return `Tailscale's chain ${chain}`;
  if (/^(nm-|nordvpn|PROTONVPN|mullvad|wg|WG|wireguard|vpn|VPN|openvpn|OPENVPN)/.test(chain))
    return `the VPN's chain ${chain}`;
  if (/^DOCKER|^KUBE-|^CNI-|^LIBVIRT_/.test(chain)) return `the chain ${chain}`;
  return "this rule";
}

/** Bans that are asked for packets to the host and not for those to containers. */
function banned(
  ruleset: Ruleset,
  published: ReadonlySet<number>,
  say: (kind: LintKind, rule: Rule | null, message: string) => void,
): void {
  for (const { by, entry, list } of missed(ruleset)) {
    const asked = destinationPorts(entry);
    const ports = [...published].filter(
      (port) => asked.length === 0 || asked.some(([first, last]) => port >= first && port <= last),
    );
    if (ports.length === 0) continue;
    const which =
      ports.length > 6
        ? `${ports.length} published ports`
        : `published port${ports.length > 1 ? "s" : ""} ${ports.join(", ")}`;
    say(
      "ban-misses-containers",
      entry,
      `${by} bans on INPUT alone: whom ${list} holds still reaches ${which}; ask it in DOCKER-USER, too`,
    );
  }
}

/** Whether a rule, or a chain it jumps to, has an ACCEPT. */
function accepts(rule: Rule, ruleset: Ruleset, seen: Set<string>): boolean {
  if (targetName(rule) === "ACCEPT") return true;
  const { target } = rule;
  if ((target.kind !== "jump" && target.kind !== "goto") || seen.has(target.chain)) return false;
  seen.add(target.chain);
  return (
    chainOf(ruleset, "filter", target.chain)?.rules.some((inner) => accepts(inner, ruleset, seen)) ?? false
  );
}

function destinationPorts(rule: Rule): PortRange[] {
  return rule.matches.flatMap(({ extension, values }): PortRange[] => {
    if (extension.name === "multiport")
      return values.dports === undefined || values.dports.not
        ? []
        : [...(values.dports.value as PortRange[])];
    return values.dport === undefined || values.dport.not ? [] : [values.dport.value as PortRange];
  });
}

/** Ports that DNAT rules listen on, and those they lead to. */
function publishedPorts(program: Program): { host: ReadonlySet<number>; container: ReadonlySet<number> } {
  const host = new Set<number>();
  const container = new Set<number>();
  for (const { rule, effect } of publishing(program)) {
    if (effect.kind !== "nat") continue;
    for (const [first, last] of destinationPorts(rule)) if (first === last) host.add(first);
    if (effect.ports !== null) container.add(effect.ports.first);
  }
  return { host, container };
}
