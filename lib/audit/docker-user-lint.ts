/** Lint of DOCKER-USER, the owner's chains below it, its position in FORWARD, and bans that miss containers. */
import { isVpnChain, knownChain } from "../host/known/chains.ts";
import { DOCKER_USER } from "../host/known/docker.ts";
import { ufwCommandChain } from "../host/known/ufw.ts";
import { requiredRanges } from "../packet/required-ranges.ts";
import { MOST_NESTED, type Program } from "../path/program.ts";
import { isUnconditional, plain, plainPorts, type Reading } from "../rules/reading.ts";
import { type Chain, calledChain, chainOf, type Rule, type Ruleset } from "../rules/ruleset.ts";
import { bansMissingInForward, chainsAt, chainsBelow } from "./bans.ts";
import { publications } from "./engine-rules.ts";
import { type Lint, type LintDetail, lintOf, type PrecedingRule } from "./lint.ts";
import { ruleNote } from "./rule-note.ts";

/** Returns the lint of one family's DOCKER-USER. */
export function dockerUserLint(program: Program): Lint[] {
  const { ruleset } = program;
  const published = publishedPorts(program);
  const user = chainOf(ruleset, "filter", DOCKER_USER);
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
    this.shared = new Set([...chainsAt(ruleset, "INPUT"), ...chainsAt(ruleset, "OUTPUT")]);
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
      if (TERMINATING.includes(rule.action) && isUnconditional(rule.reading)) terminator ??= rule;
    }
    return isEstablished;
  }

  /** Returns the chain that a rule calls if the owner fills it. */
  private ownersChain(rule: Rule): Chain | undefined {
    const called = calledChain(rule);
    if (called === null) return undefined;
    const by = knownChain(rule.table, called)?.by;
    const isOwners =
      by === undefined || by === "you" || called === ufwCommandChain(this.ruleset.family, "forward");
    return isOwners ? chainOf(this.ruleset, rule.table, called) : undefined;
  }

  private checkHostPorts(rule: Rule): void {
    const { host, container } = this.published;
    for (const [first, last] of plainPorts(rule.reading.destinationPorts)) {
      const ports = [...host].filter((p) => p >= first && p <= last && !container.has(p));
      if (ports.length > 0) this.add({ kind: "host-port-after-dnat", chain: rule.chain, ports }, rule);
    }
  }

  private checkOriginalPort(rule: Rule, established: boolean): void {
    if (rule.action !== "drop" && rule.action !== "reject") return;
    const { direction, in: input, originalDestination, originalPorts, states } = rule.reading;
    if (originalPorts === undefined) return;
    const isDnat = plain(states)?.includes("DNAT") === true;
    const isGuarded =
      direction !== undefined || isDnat || originalDestination !== undefined || input !== undefined;
    if (!isGuarded) this.add({ kind: "original-port-unguarded", drops: "own-connections" }, rule);
    else if (direction === undefined && !established)
      this.add({ kind: "original-port-unguarded", drops: "replies" }, rule);
  }
}

/** Actions after which an unconditional rule lets no packet reach the next rule of the chain. */
const TERMINATING: readonly Reading["action"][] = ["return", "accept", "drop", "reject"];

const passesEstablished = ({ action, reading: { states } }: Rule): boolean =>
  (action === "return" || action === "accept") && plain(states)?.includes("ESTABLISHED") === true;

/** Returns the lint of rules in FORWARD that can accept packets before DOCKER-USER is evaluated. */
function positionLint(ruleset: Ruleset): Lint[] {
  const forward = chainOf(ruleset, "filter", "FORWARD")?.rules ?? [];
  const position = forward.findIndex((rule) => calledChain(rule) === DOCKER_USER);
  if (position < 0) return [lintOf({ kind: "docker-user-not-called" }, null, ruleset)];
  return forward
    .slice(0, position)
    .filter((rule) => mayAccept(rule, ruleset))
    .map((rule) => lintOf({ kind: "docker-user-not-first", preceding: precedingRule(rule) }, rule, ruleset));
}

/** Returns the origin of a rule by the chain that it calls. */
function precedingRule(rule: Rule): PrecedingRule {
  const chain = calledChain(rule);
  if (chain === null) return { kind: "rule" };
  const purpose = knownChain(rule.table, chain);
  if (purpose?.by === "Tailscale") return { kind: "tailscale", chain };
  if (isVpnChain(chain)) return { kind: "vpn", chain };
  return purpose?.role === "engine" || purpose?.by === "libvirt"
    ? { kind: "chain", chain }
    : { kind: "rule" };
}

/** Returns the lint of ban lists that only INPUT evaluates while containers publish ports. */
function banLint(ruleset: Ruleset, published: ReadonlySet<number>): Lint[] {
  return bansMissingInForward(ruleset).flatMap(({ entry, list }) => {
    const banned = plainPorts(entry.reading.destinationPorts);
    const ports = [...published].filter(
      (port) => banned.length === 0 || banned.some(([first, last]) => port >= first && port <= last),
    );
    return ports.length === 0 ? [] : [lintOf({ kind: "ban-misses-containers", list, ports }, entry, ruleset)];
  });
}

/** Returns true if a rule, or a chain below it, has an ACCEPT. */
function mayAccept(rule: Rule, ruleset: Ruleset): boolean {
  const called = calledChain(rule);
  const below = called === null ? [] : chainsBelow(ruleset, rule.table, called).flatMap(({ rules }) => rules);
  return [rule, ...below].some(({ action }) => action === "accept");
}

interface PublishedPorts {
  readonly host: ReadonlySet<number>;
  readonly container: ReadonlySet<number>;
}

/** Returns the ports that DNAT rules match, and those that they set. */
function publishedPorts(program: Program): PublishedPorts {
  const host = new Set<number>();
  const container = new Set<number>();
  for (const { when, nat } of publications(program)) {
    for (const [first, last] of requiredRanges(when, "dport") ?? [])
      if (first === last) host.add(Number(first));
    if (nat.ports !== null)
      for (let port = nat.ports.first; port <= nat.ports.last; port++) container.add(port);
  }
  return { host, container };
}
