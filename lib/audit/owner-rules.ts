/**
 * Rules of the owner's own that never do what they say: an allow or deny behind a contrary rule that takes all of its
 * packets, a chain that nothing calls, and a deny of a port that the owner's own DNAT leads past it.
 */
import { type Host, outsideInterfaces } from "../host/host.ts";
import { purposeOf } from "../host/purpose.ts";
import { hasPorts, PROTO } from "../packet/field.ts";
import type { Packet } from "../packet/packet.ts";
import type { Program, Step } from "../path/program.ts";
import { type Shadow, shadowedRulesWithin } from "../reach/shadowed-rules.ts";
import { type Chain, chainOf, type Rule, type Ruleset, TABLES, targetName } from "../rules/ruleset.ts";
import { Simulator } from "../simulate/simulator.ts";
import { bannerOf } from "./bans.ts";
import { isDockerChain, isDockerRule } from "./docker-rules.ts";
import { destinationPorts, type Lint, type LintKind } from "./lint.ts";
import { type RuleNote, ruleNote } from "./rule-note.ts";

/** Of more rules than this the shadowed ones are not looked for: they would cost more than the rest of the audit. */
const MOST_RULES = 3000;
/** Intervals that the diagrams of the search may have. */
const BUDGET = 3_000_000;
/** DNAT rules of the owner's that are tried, one packet each. */
const MOST_TRIED = 200;
/** Of more rules or chains of one lint the others are counted. */
const MOST_NAMED = 6;

/** Whether the owner wrote a rule: in a chain of the owner's own, or by a ufw command. */
const isOwners = (rule: Rule, host: Host): boolean =>
  isOwnersChain(rule.table, rule.chain) && !isDockerRule(rule, host);

function isOwnersChain(table: Chain["table"], name: string): boolean {
  const by = purposeOf(table, name)?.by;
  return by === undefined || by === "you" || /^ufw6?-user-(input|output|forward)$/.test(name);
}

/** What is wrong with the owner's rules; `unsearched` says which of it was not looked for. */
export function ownerRules(program: Program): { lint: Lint[]; unsearched: string[] } {
  const dead = shadowedRulesWithin(program, "filter", MOST_RULES, BUDGET);
  const unsearched =
    dead !== null
      ? []
      : [
          `IPv${program.ruleset.family}: rules that never match were not looked for, since there are too many rules (fwcheck explain --chain looks at one chain)`,
        ];
  const lint = [
    ...(dead === null ? [] : shadowed(program, dead)),
    ...uncalled(program),
    ...pastDeny(program),
  ];
  return { lint, unsearched };
}

/** A rule by its line, as a message names it. */
const named = ({ line, text, ufw }: RuleNote): string =>
  `line ${line} (${ufw === undefined ? text : `ufw ${ufw}`})`;

const noted = (kind: LintKind, rule: Rule, message: string, ruleset: Ruleset): Lint => ({
  ...{ kind, family: ruleset.family, rule: ruleNote(rule, ruleset), message },
});

type Word = "allow" | "deny" | "other";

const wordOf = (rule: Rule): Word => {
  const target = targetName(rule);
  return target === "ACCEPT" ? "allow" : target === "DROP" || target === "REJECT" ? "deny" : "other";
};

/** Rules of one verdict that no packet matches, for the same reason. */
interface Group {
  readonly rule: Rule;
  readonly word: Word;
  readonly by: readonly Rule[];
  readonly alike: Rule[];
}

/** Allows and denies that no packet matches since rules in front of them, and not all of the same verdict, take them all. */
function shadowed({ ruleset, host }: Program, dead: ReadonlyMap<Rule, Shadow>): Lint[] {
  const groups: Group[] = [];
  for (const { rules } of ruleset.tables.get("filter")?.chains.values() ?? []) {
    // Where nothing comes to the end of a chain, one reason does for all of its last rules.
    const tail = rules.findLastIndex((rule) => dead.get(rule)?.kind !== "taken") + 1;
    const known = new Map<string, Group>();
    for (const [i, rule] of rules.entries()) {
      const shadow = dead.get(rule);
      const word = wordOf(rule);
      if (shadow?.kind !== "taken" || word === "other" || !isOwners(rule, host) || isSettled(rule)) continue;
      // Behind an allow of the same packets a second allow is superfluous, and no harm.
      const by = shadow.by.filter((each) => !isSettled(each) && decides(each, ruleset, word));
      if (by.length === 0) continue;
      const key = i >= tail ? "tail" : `${word} ${by.map(({ index }) => index).join()}`;
      const group = known.get(key);
      if (group !== undefined) group.alike.push(rule);
      else known.set(key, { rule, word, by, alike: [] });
    }
    groups.push(...known.values());
  }
  return groups.map(({ rule, word, by, alike }) => {
    const notes = by.map((each) => ruleNote(each, ruleset));
    const lines = alike.slice(0, MOST_NAMED).map(({ line }) => line);
    const more = alike.length > lines.length ? ` and ${alike.length - lines.length} more` : "";
    const others =
      alike.length === 0
        ? ""
        : `, nor the rules of line${alike.length > 1 ? "s" : ""} ${lines.join(", ")}${more}`;
    const message = `no packet ever matches this ${word}${others}: rules in front of it in ${rule.chain} take all of its packets, and ${notes.map(named).join(", ")} ${by.length > 1 ? "say" : "says"} otherwise; move it up or remove it`;
    return { ...noted("shadowed", rule, message, ruleset), by: notes };
  });
}

/** Whether a rule is about packets of connections that are there, or of none: no allow or deny of a new one. */
function isSettled(rule: Rule): boolean {
  const states = rule.matches.flatMap(({ extension, values }) =>
    ["conntrack", "state"].includes(extension.name) && values.state !== undefined ? [values.state] : [],
  );
  return states.some(
    ({ not, value }) => !not && !(value as readonly string[]).some((s) => s === "NEW" || s === "UNTRACKED"),
  );
}

/** Whether a rule can decide otherwise than a word says. */
const decides = (rule: Rule, ruleset: Ruleset, word: Word): boolean => {
  const own = words(rule, ruleset);
  return own.size > 1 || !own.has(word);
};

/** What a rule can decide, by itself or by the chain that it calls. */
function words(rule: Rule, ruleset: Ruleset, seen: Set<string> = new Set()): Set<Word> {
  const { target } = rule;
  if (target.kind !== "jump" && target.kind !== "goto") return new Set([wordOf(rule)]);
  const out = new Set<Word>();
  const stack = [target.chain];
  for (let name = stack.pop(); name !== undefined; name = stack.pop()) {
    if (seen.has(name)) continue;
    seen.add(name);
    for (const inner of chainOf(ruleset, rule.table, name)?.rules ?? []) {
      const { target: to } = inner;
      if (to.kind === "jump" || to.kind === "goto") stack.push(to.chain);
      else if (wordOf(inner) !== "other") out.add(wordOf(inner));
    }
  }
  return out;
}

/** Chains with an allow or deny that no rule calls. */
function uncalled({ ruleset }: Program): Lint[] {
  return TABLES.flatMap((table): Lint[] => {
    const chains = [...(ruleset.tables.get(table)?.chains.values() ?? [])];
    const called = new Set(
      chains.flatMap(({ rules }) =>
        rules.flatMap(({ target }) =>
          target.kind === "jump" || target.kind === "goto" ? [target.chain] : [],
        ),
      ),
    );
    const found = chains.filter(
      ({ name, policy, rules }) =>
        policy === null &&
        !called.has(name) &&
        rules.some((rule) => wordOf(rule) !== "other") &&
        // DOCKER-USER has a lint of its own.
        name !== "DOCKER-USER" &&
        (isBans(name) || (isOwnersChain(table, name) && !isDockerChain(table, name))),
    );
    const [first] = found;
    if (first === undefined) return [];
    const names = found.slice(0, MOST_NAMED).map(({ name }) => name);
    const more = found.length > names.length ? ` and ${found.length - names.length} more` : "";
    const bans = found.some(({ name }) => isBans(name)) ? ", and bans in them hold nowhere" : "";
    const message = `no rule of table ${table} calls chain${found.length > 1 ? "s" : ""} ${names.join(", ")}${more}: no packet ever meets these rules${bans}; call them or remove them`;
    return [noted("chain-not-called", first.rules[0]!, message, ruleset)];
  });
}

const isBans = (chain: string): boolean => bannerOf(chain) === "fail2ban";

/** A DNAT of the owner's whose packets an explicit deny of INPUT names, and never sees. */
function pastDeny(program: Program): Lint[] {
  const { ruleset, host } = program;
  const dnats = TABLES.flatMap((table) => [...(ruleset.tables.get(table)?.chains.values() ?? [])])
    .filter(({ table }) => table === "nat")
    .flatMap(({ rules }) => rules)
    .filter((rule) => targetName(rule) === "DNAT" && !isDockerRule(rule, host));
  if (dnats.length === 0) return [];
  const simulator = new Simulator([ruleset], host);
  return dnats.slice(0, MOST_TRIED).flatMap((rule): Lint[] => {
    const packet = sample(rule, program);
    if (packet === null) return [];
    const { answer, skippedInput } = simulator.trace(packet);
    const deny =
      skippedInput?.verdict === "drop" || skippedInput?.verdict === "reject"
        ? skippedInput.path.at(-1)
        : undefined;
    if (answer.verdict !== "accept" || answer.delivery !== "forward" || deny === undefined) return [];
    if (!translatedBy(answer.path, rule) || deny.step !== "rule") return [];
    const by = chainOf(ruleset, deny.table, deny.chain)?.rules.find((r) => r.index === deny.rule);
    // A deny of everything else is no deny of this port.
    if (by === undefined || destinationPorts(by).length === 0 || !isOwners(by, host)) return [];
    const note = ruleNote(by, ruleset);
    const message = `this translation opens port ${packet.dport} although ${named(note)} denies it: packets that it rewrites pass FORWARD and never INPUT; deny them in FORWARD by their new destination, or remove the translation`;
    return [{ ...noted("dnat-past-deny", rule, message, ruleset), by: [note] }];
  });
}

const translatedBy = (path: readonly Step[], rule: Rule): boolean =>
  path.some((s) => s.step === "rule" && s.table === "nat" && s.chain === rule.chain && s.rule === rule.index);

/** A packet that a DNAT rule may be about: from outside, to an address of the host, for the first port that it matches. */
function sample(rule: Rule, { host, ruleset }: Program): Packet | null {
  const { family } = ruleset;
  const { in: input, dst, proto } = rule.reading;
  const dport = destinationPorts(rule)[0]?.[0];
  const number = proto?.value ?? PROTO.tcp;
  if (dport === undefined || !hasPorts(number) || proto?.not === true) return null;
  const outside = outsideInterfaces(host);
  const named = input !== undefined && !input.not ? input.value : outside[0];
  const device = host.interfaces.find((i) => i.name === named && outside.includes(i.name));
  const own = device?.addresses.find((a) => a.family === family)?.address;
  const to = dst !== undefined && !dst.not ? dst.value.address : own;
  if (device === undefined || to === undefined) return null;
  return {
    ...{ family, in: device.name, dst: to, proto: number, sport: 40000, dport },
    src: family === 4 ? 0xc633_6407 : 0x2001_0db8_ffff_0000_0000_0000_0000_0007n,
    ...(number === PROTO.tcp ? { flags: 2 } : {}),
  };
}
