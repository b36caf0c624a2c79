/** Lint of DOCKER-USER, the owner's chains below it, its position in FORWARD, and bans that miss containers. */
import { purposeOf } from "../host/purpose.ts";
import { MOST_NESTED, type Program } from "../path/program.ts";
import { type Chain, chainOf, type Rule, type Ruleset, targetName } from "../rules/ruleset.ts";
import { below, missed } from "./bans.ts";
import { publishing } from "./docker-rules.ts";
import { type Lint, type LintDetail, lintOf, type PrecedingRule } from "./lint.ts";
import { ruleNote } from "./rule-note.ts";
import { ufwForwardChain } from "./ufw-rules.ts";

type PortRange = readonly [number, number];

/** Returns the lint of one family's DOCKER-USER. */
export function dockerUserLint(program: Program): Lint[] {
  const { ruleset } = program;
  const published = publishedPorts(program);
  const user = chainOf(ruleset, "filter", "DOCKER-USER");
  return [
    ...banLint(ruleset, published.host),
    ...(user === undefined
      ? []
      : [...positionLint(ruleset), ...new UserChainLint(ruleset, published).lintOf(user)]),
  ];
}

/** Lint of DOCKER-USER and the owner's chains below it, which all see packets after DNAT. */
class UserChainLint {
  private readonly found: Lint[] = [];
  private readonly seen = new Set<Chain>();
  /** Chains that also see packets for the host itself, before DNAT. */
  private readonly shared: ReadonlySet<Chain>;

  constructor(
    private readonly ruleset: Ruleset,
    private readonly published: PublishedPorts,
  ) {
    this.shared = new Set([...below(ruleset, "INPUT"), ...below(ruleset, "OUTPUT")]);
  }

  lintOf(chain: Chain): readonly Lint[] {
    this.visit(chain, false, 0);
    return this.found;
  }

  private add(detail: LintDetail, rule: Rule): void {
    this.found.push(lintOf(detail, rule, this.ruleset));
  }

  /**
   * Visits a chain and those that it calls.
   * @param established whether a rule before it has returned or accepted packets of established connections
   * @returns the same at the end of the chain
   */
  private visit(chain: Chain, established: boolean, depth: number): boolean {
    if (this.seen.has(chain) || depth > MOST_NESTED) return established;
    this.seen.add(chain);
    let isEstablished = established;
    let terminator: Rule | null = null;
    for (const rule of chain.rules) {
      if (terminator !== null)
        this.add({ kind: "behind-return", by: [ruleNote(terminator, this.ruleset)] }, rule);
      if (passesEstablished(rule)) isEstablished = true;
      if (!this.shared.has(chain)) this.checkHostPorts(rule);
      this.checkOriginalPort(rule, isEstablished);
      const called = this.ownersChain(rule);
      if (called !== undefined) isEstablished = this.visit(called, isEstablished, depth + 1);
      if (isUnconditional(rule) && TERMINATING.includes(targetName(rule))) terminator ??= rule;
    }
    return isEstablished;
  }

  /** Returns the chain that a rule calls if the owner fills it. */
  private ownersChain({ table, target }: Rule): Chain | undefined {
    if (target.kind !== "jump" && target.kind !== "goto") return undefined;
    const by = purposeOf(table, target.chain)?.by;
    const isOwners = by === undefined || by === "you" || target.chain === ufwForwardChain(this.ruleset);
    return isOwners ? chainOf(this.ruleset, table, target.chain) : undefined;
  }

  private checkHostPorts(rule: Rule): void {
    const { host, container } = this.published;
    for (const [first, last] of destinationPorts(rule)) {
      const ports = [...host].filter((p) => p >= first && p <= last && !container.has(p));
      if (ports.length > 0) this.add({ kind: "host-port-after-dnat", chain: rule.chain, ports }, rule);
    }
  }

  private checkOriginalPort(rule: Rule, established: boolean): void {
    const conntrack = conntrackOf(rule);
    if (conntrack?.origdstport === undefined || !["DROP", "REJECT"].includes(targetName(rule))) return;
    const { in: input } = rule.reading;
    const isDnat = statesOf(rule)?.includes("DNAT") === true && !conntrack.state?.not;
    const isGuarded =
      conntrack.dir !== undefined || isDnat || conntrack.origdst !== undefined || input !== undefined;
    if (!isGuarded) this.add({ kind: "original-port-unguarded", drops: "own-connections" }, rule);
    else if (conntrack.dir === undefined && !established)
      this.add({ kind: "original-port-unguarded", drops: "replies" }, rule);
  }
}

/** Targets after which an unconditional rule lets no packet reach the next rule of the chain. */
const TERMINATING = ["RETURN", "ACCEPT", "DROP", "REJECT"];

const conntrackOf = (rule: Rule): Rule["matches"][number]["values"] | undefined =>
  rule.matches.find((m) => m.extension.name === "conntrack")?.values;

const statesOf = (rule: Rule): readonly string[] | undefined =>
  conntrackOf(rule)?.state?.value as readonly string[] | undefined;

const passesEstablished = (rule: Rule): boolean =>
  statesOf(rule)?.includes("ESTABLISHED") === true &&
  conntrackOf(rule)?.state?.not !== true &&
  ["RETURN", "ACCEPT"].includes(targetName(rule));

/** Whether a rule matches every packet. */
const isUnconditional = (rule: Rule): boolean =>
  rule.unknown.length === 0 &&
  rule.matches.every((m) => m.extension.name === "comment" || Object.keys(m.values).length === 0);

/** Returns the lint of rules in FORWARD that can accept packets before DOCKER-USER is evaluated. */
function positionLint(ruleset: Ruleset): Lint[] {
  const forward = chainOf(ruleset, "filter", "FORWARD")?.rules ?? [];
  const position = forward.findIndex((rule) => targetName(rule) === "DOCKER-USER");
  if (position < 0) return [lintOf({ kind: "docker-user-not-called" }, null, ruleset)];
  return forward
    .slice(0, position)
    .filter((rule) => mayAccept(rule, ruleset))
    .map((rule) =>
      lintOf({ kind: "docker-user-not-first", preceding: precedingRule(targetName(rule)) }, rule, ruleset),
    );
}

/** Returns the origin of a rule by the chain that it calls. */
function precedingRule(chain: string): PrecedingRule {
  if (/^ts-/.test(chain)) return { kind: "tailscale", chain };
  if (/^(nm-|nordvpn|PROTONVPN|mullvad|wg|WG|wireguard|vpn|VPN|openvpn|OPENVPN)/.test(chain))
    return { kind: "vpn", chain };
  if (/^DOCKER|^KUBE-|^CNI-|^LIBVIRT_/.test(chain)) return { kind: "chain", chain };
  return { kind: "rule" };
}

/** Returns the lint of ban lists that only INPUT evaluates while containers publish ports. */
function banLint(ruleset: Ruleset, published: ReadonlySet<number>): Lint[] {
  return missed(ruleset).flatMap(({ entry, list }) => {
    const banned = destinationPorts(entry);
    const ports = [...published].filter(
      (port) => banned.length === 0 || banned.some(([first, last]) => port >= first && port <= last),
    );
    return ports.length === 0 ? [] : [lintOf({ kind: "ban-misses-containers", list, ports }, entry, ruleset)];
  });
}

/** Whether a rule, or a chain below it, has an ACCEPT. */
function mayAccept(rule: Rule, ruleset: Ruleset): boolean {
  const names = new Set<string>();
  const isAccept = (each: Rule): boolean => {
    const { target } = each;
    if (target.kind === "jump" || target.kind === "goto") names.add(target.chain);
    return targetName(each) === "ACCEPT";
  };
  if (isAccept(rule)) return true;
  // A worklist, since chains may be nested deeper than the JavaScript stack.
  for (const name of names) if (chainOf(ruleset, "filter", name)?.rules.some(isAccept) === true) return true;
  return false;
}

/** Returns the destination ports that a rule matches, as ranges. */
export function destinationPorts(rule: Rule): PortRange[] {
  return rule.matches.flatMap(({ extension, values }): PortRange[] => {
    if (extension.name === "multiport")
      return values.dports === undefined || values.dports.not
        ? []
        : [...(values.dports.value as PortRange[])];
    return values.dport === undefined || values.dport.not ? [] : [values.dport.value as PortRange];
  });
}

interface PublishedPorts {
  readonly host: ReadonlySet<number>;
  readonly container: ReadonlySet<number>;
}

/** Returns the ports that DNAT rules match, and those that they set. */
function publishedPorts(program: Program): PublishedPorts {
  const host = new Set<number>();
  const container = new Set<number>();
  for (const { rule, effect } of publishing(program)) {
    if (effect.kind !== "nat") continue;
    for (const [first, last] of destinationPorts(rule)) if (first === last) host.add(first);
    if (effect.ports !== null) container.add(effect.ports.first);
  }
  return { host, container };
}
