/** Packets whose outcome differs between two programs. */
import type { Program } from "../path/program.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import { equalHeaders, type Outcome, type OutcomeSet, outcomeKey } from "../reach/outcome.ts";
import { ends } from "../rules/effect.ts";
import type { Rule } from "../rules/ruleset.ts";
import type { ChangeKind } from "./difference.ts";
import { HEADER_FIELDS, type PacketPaths } from "./packet-paths.ts";

/** Outcomes of all packets of one program. */
export interface ProgramOutcomes {
  readonly paths: PacketPaths;
  readonly outcomes: ReadonlyMap<string, OutcomeSet>;
}

/** Packets that fare differently in one way. */
export interface ChangedOutcomes {
  readonly kind: ChangeKind;
  readonly before: Outcome;
  readonly after: Outcome;
  readonly set: Node;
}

/** Returns true for packets that are dropped or rejected. */
export const isStopped = ({ verdict }: Outcome): boolean => verdict === "drop" || verdict === "reject";

/** Returns the packets that fare differently, by both outcomes. */
export function changedOutcomes(before: ProgramOutcomes, after: ProgramOutcomes): ChangedOutcomes[] {
  const { diagrams } = before.paths.domain;
  const [old, now] = [byFate(before), byFate(after)];
  const list = [...now.values()];
  const numbered = diagrams.unionAll(
    list.map(({ set }, i) => diagrams.mapTerminals(set, (value) => (value === 0 ? 0 : i + 1))),
  );
  const changes: ChangedOutcomes[] = [];
  for (const [key, { outcome, set }] of old) {
    const differs = diagrams.subtract(set, now.get(key)?.set ?? EMPTY);
    if (differs === EMPTY) continue;
    for (const [id, part] of diagrams.split(diagrams.intersect(differs, numbered)))
      changes.push(...changesOf(outcome, list[id - 1]!.outcome, part, before.paths));
  }
  return changes;
}

/** Groups outcomes by what the sender and the receiver see of them: the reason of a drop makes no difference. */
function byFate({ paths, outcomes }: ProgramOutcomes): Map<string, OutcomeSet> {
  const { diagrams } = paths.domain;
  const groups = new Map<string, { readonly outcome: Outcome; readonly sets: Node[] }>();
  const choices = new KernelChoices(paths.program);
  for (const { outcome, set } of outcomes.values()) {
    const key = fateKey(outcome, choices);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { outcome, sets: [set] });
    else group.sets.push(set);
  }
  return new Map(
    [...groups].map(([key, { outcome, sets }]) => [key, { outcome, set: diagrams.unionAll(sets) }]),
  );
}

function fateKey(outcome: Outcome, choices: KernelChoices): string {
  if (isStopped(outcome)) return outcome.verdict;
  const reason = outcome.verdict === "undecided" ? outcome.reason : null;
  return `${headerKey(outcome)}|${JSON.stringify(reason)}|${choices.of(outcome.translated)}`;
}

/** Choices that translations leave to the kernel. The header states have one of the possible values. */
class KernelChoices {
  private readonly known = new Map<Rule, string>();

  constructor(private readonly program: Program) {}

  /** Returns a text that equal choices share; `""` if there are none. */
  of(rules: readonly Rule[]): string {
    return rules.map((rule) => this.ofRule(rule)).join("");
  }

  private ofRule(rule: Rule): string {
    let text = this.known.get(rule);
    if (text === undefined) {
      const effect = this.program.chain(rule.table, rule.chain)?.rules[rule.index - 1]?.effect;
      text = effect === undefined ? "" : [...ends(effect)].flatMap(choiceText).join("");
      this.known.set(rule, text);
    }
    return text;
  }
}

function choiceText(effect: ReturnType<typeof ends> extends Generator<infer E> ? E : never): string[] {
  if (effect.kind !== "nat") return [];
  const { to, ports, random, side, persistent } = effect;
  const address = to.kind === "range" && to.first !== to.last ? `${to.first}-${to.last}` : "";
  const port = ports !== null && ports.first !== ports.last ? `${ports.first}-${ports.last}` : "";
  return address === "" && port === "" && !random
    ? []
    : [[side, address, port, String(random), String(persistent ?? false)].join("/")];
}

const headerKey = (outcome: Outcome): string => outcomeKey({ ...outcome, reason: null, unsure: [] });

/** Returns the changes of packets with two outcomes; packets whose headers become equal have none. */
function changesOf(before: Outcome, after: Outcome, set: Node, paths: PacketPaths): ChangedOutcomes[] {
  const change = (kind: ChangeKind, part: Node): ChangedOutcomes[] =>
    part === EMPTY ? [] : [{ kind, before, after, set: part }];
  if (before.verdict === "undecided" || after.verdict === "undecided") return change("unsettled", set);
  if (isStopped(before)) return change(isStopped(after) ? "stopped-otherwise" : "opened", set);
  if (isStopped(after)) return change("closed", set);
  const { diagrams } = paths.domain;
  const equal = (fields: (typeof HEADER_FIELDS)[number][]): Node =>
    equalHeaders(before.header, after.header, fields, paths.engine);
  const sameWay = before.delivery === after.delivery && before.out === after.out;
  const delivered = sameWay ? diagrams.intersect(set, equal(["dst", "dport"])) : EMPTY;
  // Equal values of a translation whose choice is the kernel's may differ.
  const chosen = sameWay && headerKey(before) === headerKey(after);
  const unchanged = chosen ? EMPTY : diagrams.intersect(delivered, equal([...HEADER_FIELDS]));
  return [
    ...change("delivered-elsewhere", diagrams.subtract(set, delivered)),
    ...change("translated-otherwise", diagrams.subtract(delivered, unchanged)),
  ];
}

/** Returns the packets of all changes. */
export const changedPackets = (changes: readonly ChangedOutcomes[], { domain }: PacketPaths): Node =>
  domain.diagrams.unionAll(changes.map(({ set }) => set));

/** Merges changes that differ in the source that accepted packets get, for packets that one side stops. */
export function mergedChanges(
  changes: readonly ChangedOutcomes[],
  { domain: { diagrams } }: PacketPaths,
): ChangedOutcomes[] {
  const groups = new Map<string, ChangedOutcomes[]>();
  for (const change of changes) {
    const { kind, before, after } = change;
    const key =
      kind === "opened" || kind === "closed"
        ? [kind, ...[before, after].map((outcome) => headerKey(withoutSource(outcome)))].join("||")
        : String(groups.size);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [change]);
    else group.push(change);
  }
  return [...groups.values()].map((group) => {
    const [first] = group as [ChangedOutcomes];
    if (group.length === 1) return first;
    const set = diagrams.unionAll(group.map((change) => change.set));
    return { ...first, before: withoutSource(first.before), after: withoutSource(first.after), set };
  });
}

const withoutSource = (outcome: Outcome): Outcome => {
  const { src: _address, sport: _port, ...header } = outcome.header;
  return { ...outcome, header };
};
