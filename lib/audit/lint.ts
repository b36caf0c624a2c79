/** Rules in DOCKER-USER that do not do what they seem to, each with the reason. */
import { purposeOf } from "../host/purpose.ts";
import { MOST_NESTED, type Program } from "../path/program.ts";
import { type Chain, chainOf, type Rule, type Ruleset, targetName } from "../rules/ruleset.ts";
import { below, missed } from "./bans.ts";
import { publishing } from "./docker-rules.ts";
import { type RuleNote, ruleNote } from "./rule-note.ts";
import { ufwForwardChain } from "./ufw-rules.ts";

/** What can be wrong with DOCKER-USER, its chains, and the owner's other rules. */
export type LintKind =
  | "host-port-after-dnat"
  | "original-port-unguarded"
  | "behind-return"
  | "docker-user-not-first"
  | "docker-user-not-called"
  | "ban-misses-containers"
  | "shadowed"
  | "chain-not-called"
  | "dnat-past-deny";

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
  /** The rules that make it so; absent where no other rule does. */
  readonly by?: readonly RuleNote[];
}

type PortRange = readonly [number, number];

type Say = (kind: LintKind, rule: Rule | null, message: string) => void;

/** Looks at DOCKER-USER, the owner's chains that it calls, and its place in FORWARD. */
export function lint(program: Program): Lint[] {
  const { ruleset } = program;
  const out: Lint[] = [];
  const say: Say = (kind, rule, message) => {
    out.push({ kind, family: ruleset.family, rule: rule === null ? null : ruleNote(rule, ruleset), message });
  };
  const published = publishedPorts(program);
  banned(ruleset, published.host, say);
  const user = chainOf(ruleset, "filter", "DOCKER-USER");
  if (user === undefined) return out;
  place(ruleset, say);
  new UserChains(ruleset, published, say).look(user, false);
  return out;
}

/** DOCKER-USER and the owner's chains below it: all of them see packets after DNAT. */
class UserChains {
  private readonly seen = new Set<Chain>();
  /** Chains that see packets for the host itself, too, before DNAT. */
  private readonly shared: ReadonlySet<Chain>;

  constructor(
    private readonly ruleset: Ruleset,
    private readonly published: Published,
    private readonly say: Say,
  ) {
    this.shared = new Set([...below(ruleset, "INPUT"), ...below(ruleset, "OUTPUT")]);
  }

  /**
   * Looks at a chain and those that it calls.
   * @param established whether packets of connections that are there came back before
   * @returns the same at its end
   */
  look(chain: Chain, established: boolean, depth = 0): boolean {
    if (this.seen.has(chain) || depth > MOST_NESTED) return established;
    this.seen.add(chain);
    let ended: Rule | null = null;
    for (const rule of chain.rules) {
      if (ended !== null)
        this.say(
          "behind-return",
          rule,
          `rule ${ended.index} (line ${ended.line}) in front of this one is unconditional; no packet ever comes here`,
        );
      if (passesEstablished(rule)) established = true;
      if (!this.shared.has(chain)) this.hostPorts(rule);
      this.originalPorts(rule, established);
      const called = this.called(rule);
      if (called !== undefined) established = this.look(called, established, depth + 1);
      if (isUnconditional(rule) && ENDS.includes(targetName(rule))) ended ??= rule;
    }
    return established;
  }

  /** The chain that a rule calls, where the owner fills it. */
  private called({ table, target }: Rule): Chain | undefined {
    if (target.kind !== "jump" && target.kind !== "goto") return undefined;
    const by = purposeOf(table, target.chain)?.by;
    const own = by === undefined || by === "you" || target.chain === ufwForwardChain(this.ruleset);
    return own ? chainOf(this.ruleset, table, target.chain) : undefined;
  }

  private hostPorts(rule: Rule): void {
    const { host, container } = this.published;
    const where = rule.chain === "DOCKER-USER" ? rule.chain : `${rule.chain}, which DOCKER-USER calls,`;
    for (const [first, last] of destinationPorts(rule)) {
      const ports = [...host].filter((p) => p >= first && p <= last && !container.has(p));
      if (ports.length > 0)
        this.say(
          "host-port-after-dnat",
          rule,
          `${where} sees packets after DNAT, with the container's port: port ${ports.join(", ")} of the host is never seen here; match the container's port, or use -m conntrack --ctorigdstport ${ports[0]} --ctdir ORIGINAL`,
        );
    }
  }

  private originalPorts(rule: Rule, established: boolean): void {
    const conntrack = conntrackOf(rule);
    if (conntrack?.origdstport === undefined || !["DROP", "REJECT"].includes(targetName(rule))) return;
    const { in: input } = rule.reading;
    const dnat = statesOf(rule)?.includes("DNAT") && !conntrack.state?.not;
    const guarded =
      conntrack.dir !== undefined || dnat === true || conntrack.origdst !== undefined || input !== undefined;
    if (!guarded)
      this.say(
        "original-port-unguarded",
        rule,
        "without --ctdir ORIGINAL and a guard (--ctstate DNAT, --ctorigdst or -i) this also cuts the containers' own connections to that port of others",
      );
    else if (conntrack.dir === undefined && !established)
      this.say(
        "original-port-unguarded",
        rule,
        "without --ctdir ORIGINAL, or a RELATED,ESTABLISHED return in front, this also cuts the replies of flows that are there",
      );
  }
}

/** Targets behind which no rule of the chain is evaluated. */
const ENDS = ["RETURN", "ACCEPT", "DROP", "REJECT"];

const conntrackOf = (rule: Rule): Rule["matches"][number]["values"] | undefined =>
  rule.matches.find((m) => m.extension.name === "conntrack")?.values;

const statesOf = (rule: Rule): readonly string[] | undefined =>
  conntrackOf(rule)?.state?.value as readonly string[] | undefined;

/** Whether a rule lets through packets of connections that are there. */
const passesEstablished = (rule: Rule): boolean =>
  statesOf(rule)?.includes("ESTABLISHED") === true &&
  conntrackOf(rule)?.state?.not !== true &&
  ["RETURN", "ACCEPT"].includes(targetName(rule));

/** Whether a rule asks nothing of a packet. */
const isUnconditional = (rule: Rule): boolean =>
  rule.unknown.length === 0 &&
  rule.matches.every((m) => m.extension.name === "comment" || Object.keys(m.values).length === 0);

/** Whether DOCKER-USER is asked before anything accepts. */
function place(ruleset: Ruleset, say: Say): void {
  const forward = chainOf(ruleset, "filter", "FORWARD")?.rules ?? [];
  const at = forward.findIndex((rule) => targetName(rule) === "DOCKER-USER");
  if (at < 0) {
    say("docker-user-not-called", null, "FORWARD never jumps to DOCKER-USER: its rules are never asked");
    return;
  }
  for (const rule of forward.slice(0, at)) {
    if (!accepts(rule, ruleset)) continue;
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
function banned(ruleset: Ruleset, published: ReadonlySet<number>, say: Say): void {
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

/** Whether a rule, or a chain that it leads to, has an ACCEPT. */
function accepts(rule: Rule, ruleset: Ruleset): boolean {
  const names = new Set<string>();
  const isAccept = (each: Rule): boolean => {
    const { target } = each;
    if (target.kind === "jump" || target.kind === "goto") names.add(target.chain);
    return targetName(each) === "ACCEPT";
  };
  if (isAccept(rule)) return true;
  // The set grows while it is gone through: chains may be nested deeper than JavaScript's own stack.
  for (const name of names) if (chainOf(ruleset, "filter", name)?.rules.some(isAccept) === true) return true;
  return false;
}

/** The destination ports that a rule matches: first and last of each range. */
export function destinationPorts(rule: Rule): PortRange[] {
  return rule.matches.flatMap(({ extension, values }): PortRange[] => {
    if (extension.name === "multiport")
      return values.dports === undefined || values.dports.not
        ? []
        : [...(values.dports.value as PortRange[])];
    return values.dport === undefined || values.dport.not ? [] : [values.dport.value as PortRange];
  });
}

interface Published {
  readonly host: ReadonlySet<number>;
  readonly container: ReadonlySet<number>;
}

/** Ports that DNAT rules listen on, and those they lead to. */
function publishedPorts(program: Program): Published {
  const host = new Set<number>();
  const container = new Set<number>();
  for (const { rule, effect } of publishing(program)) {
    if (effect.kind !== "nat") continue;
    for (const [first, last] of destinationPorts(rule)) if (first === last) host.add(first);
    if (effect.ports !== null) container.add(effect.ports.first);
  }
  return { host, container };
}
