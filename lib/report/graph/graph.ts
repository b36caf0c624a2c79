/** Builds the chain graph of a ruleset. */
import type { Host } from "../../host/host.ts";
import { DOCKER_USER } from "../../host/known/docker.ts";
import { hasOpenOrder, hookStages } from "../../path/hook-stages.ts";
import { chainName } from "../../path/stop-order.ts";
import { type BaseChain, HOOKS, type Hook } from "../../rules/base-chain.ts";
import { CallGraph } from "../../rules/call-graph.ts";
import {
  type Chain,
  calledChain,
  chainOf,
  iptablesName,
  type Rule,
  type Ruleset,
  type TableId,
} from "../../rules/ruleset.ts";
import type { Trace } from "../../simulate/answer.ts";
import { chainAuthor, ruleAuthor } from "../explain/author.ts";
import { rulesetDoubtText } from "../text/doubt-text.ts";
import { counted } from "../text/list.ts";
import { packetText } from "../text/packet-text.ts";
import { unknownReasonText } from "../text/reason-text.ts";
import { notesText } from "./captions.ts";
import { foldRules, type RowLimits } from "./fold-rules.ts";
import {
  type ChainGraph,
  type ChainName,
  chainId,
  type GraphCall,
  type GraphChain,
  type GraphHook,
  type GraphOmissions,
  type GraphOptions,
  type GraphRow,
  type GraphStage,
  type PathPoint,
} from "./graph-model.ts";
import { conditionText, rowAction, targetsText, targetText } from "./row-text.ts";
import { TraceMarks } from "./trace-marks.ts";

/** Limits that keep the picture readable and its layout fast. */
interface DrawingLimits extends RowLimits {
  /** Rows of all chains of a table at one hook; chains after them get the usual limits. */
  readonly allRows: number;
  /** Chains of a table at one hook. */
  readonly chains: number;
  /** Lines between them. */
  readonly calls: number;
}
const USUAL: DrawingLimits = { unfolded: 8, rows: 16, allRows: 640, chains: 40, calls: 400 };
const ALL: DrawingLimits = {
  unfolded: Number.POSITIVE_INFINITY,
  rows: 400,
  allRows: 4000,
  chains: 400,
  calls: 1000,
};

/** Rules of a row that are printed. */
const PRINTED_RULES = 12;

/** The packet path between the hooks (Documentation/networking, ip_rcv and ip_output). */
const PATH: readonly (readonly [PathPoint, PathPoint])[] = [
  ["network", "PREROUTING"],
  ["PREROUTING", "routing"],
  ["routing", "INPUT"],
  ["routing", "FORWARD"],
  ["INPUT", "programs"],
  ["programs", "OUTPUT"],
  ["FORWARD", "POSTROUTING"],
  ["OUTPUT", "POSTROUTING"],
  ["POSTROUTING", "out"],
];

/**
 * Returns the chain graph of a ruleset.
 * @param host its bridges identify rules of Docker
 */
export function chainGraph(ruleset: Ruleset, host: Host, options: GraphOptions = {}): ChainGraph {
  return new GraphBuilder(ruleset, host, options).graph();
}

const chainKey = (table: TableId, name: string): string => `${table}/${name}`;

const sameChain = (a: ChainName | undefined, b: ChainName): boolean =>
  a?.table === b.table && a.name === b.name;

/** Takes a called chain into the section that is built; returns false if there is no room for it. */
type Take = (chain: Chain) => boolean;

class GraphBuilder {
  private readonly limits: DrawingLimits;
  private readonly marks: TraceMarks;
  private readonly calls: CallGraph;
  /** Keys of the drawn chains. */
  private readonly drawn = new Set<string>();
  /** Keys of the selected chain and the chains above it; their calls are never folded. */
  private readonly route: ReadonlySet<string>;
  /** Keys of the selected chain, the chains above and those below it; `null` if no chain is selected. */
  private readonly selected: ReadonlySet<string> | null;
  /** Number of calls without a line. */
  private omittedCalls = 0;

  constructor(
    private readonly ruleset: Ruleset,
    private readonly host: Host,
    private readonly options: GraphOptions,
  ) {
    this.limits = options.all === true ? ALL : USUAL;
    this.marks = new TraceMarks(options.trace, ruleset);
    this.calls = new CallGraph(ruleset);
    const { chain } = options;
    const keys = (names: Iterable<string>): string[] =>
      [...names].map((name) => chainKey(chain!.table, name));
    this.route = new Set(chain === undefined ? [] : keys(this.calls.above(chain.table, chain.name)));
    this.selected =
      chain === undefined
        ? null
        : new Set([...this.route, ...keys(this.calls.below(chain.table, chain.name))]);
  }

  graph(): ChainGraph {
    const { points } = this.marks;
    const hooks: GraphHook[] = HOOKS.map((hook) => ({
      hook,
      stops: this.stages(hook),
      passed: points.has(hook),
    }));
    const uncalled = this.uncalledStages();
    if (uncalled.length > 0) hooks.push({ hook: null, stops: uncalled, passed: false });
    const omitted = this.omissions();
    return {
      version: 1,
      family: this.ruleset.family,
      source: this.ruleset.source,
      hooks,
      calls: hooks.flatMap(({ stops }) => stops.flatMap(({ chains }) => chains.flatMap(callsOf))),
      way: PATH.map(([from, to]) => ({ from, to, passed: points.has(from) && points.has(to) })),
      rewrites: this.translatesDestinations(),
      part: this.selected !== null,
      traced: this.options.trace === undefined ? null : traceSummary(this.options.trace),
      omitted,
      notes: [
        ...this.ruleset.doubts.map(rulesetDoubtText),
        ...HOOKS.flatMap((hook) => this.openOrders(hook)),
        ...notesText(omitted),
      ],
    };
  }

  private translatesDestinations(): boolean {
    return [...this.ruleset.tables.keys()].some(
      (table) =>
        iptablesName(table) === "nat" &&
        [...this.calls.below(table, "PREROUTING")].some((name) =>
          chainOf(this.ruleset, table, name)!.rules.some((rule) => rule.action === "dnat"),
        ),
    );
  }

  /** Returns a note for each group of shown base chains of a hook with one priority, in an order that is not known. */
  private openOrders(hook: Hook): string[] {
    const shown = hookStages(this.ruleset, hook).flatMap((base) =>
      base === null || this.shownChain(base) === null ? [] : [base],
    );
    const groups = shown.map((base) =>
      shown.filter((each) => each === base || hasOpenOrder(each, base, this.ruleset)).map(chainName),
    );
    const open = new Map(groups.filter(({ length }) => length > 1).map((chains) => [chains.join(), chains]));
    return [...open.values()].map((chains) => unknownReasonText({ code: "chain-order", hook, chains }));
  }

  /** Stages of a hook, without tables that accept every packet. */
  private stages(hook: Hook): GraphStage[] {
    return hookStages(this.ruleset, hook).flatMap((base): GraphStage[] => {
      if (base === null) return this.selected === null ? [{ table: null, chains: [] }] : [];
      const chain = this.shownChain(base);
      return chain === null ? [] : [{ table: base.table, chains: this.section(hook, [chain]) }];
    });
  }

  /** Returns a base chain if the graph has it: one that may stop or change packets, or is selected. */
  private shownChain({ table, name }: BaseChain): Chain | null {
    const chain = chainOf(this.ruleset, table, name);
    if (chain === undefined) return null;
    if (this.selected !== null && !this.selected.has(chainKey(table, name))) return null;
    const isIdle = chain.rules.length === 0 && chain.policy !== "DROP" && table !== "filter";
    return isIdle && this.options.all !== true ? null : chain;
  }

  /** Chains that no hook reaches, if they are selected. */
  private uncalledStages(): GraphStage[] {
    return [...this.ruleset.tables].flatMap(([table, { chains }]): GraphStage[] => {
      const roots = [...chains.values()].filter(({ name }) => {
        if (this.calls.hooks(table, name).length > 0) return false;
        return this.selected === null ? this.options.all === true : this.selected.has(chainKey(table, name));
      });
      return roots.length === 0 ? [] : [{ table, chains: this.section(null, roots) }];
    });
  }

  /** Chains and the chains below them, breadth first, up to the limits. */
  private section(hook: Hook | null, roots: readonly Chain[]): GraphChain[] {
    const found = new Map<string, Chain>();
    let { calls, allRows: room } = this.limits;
    const take: Take = (chain) => {
      const isFull = calls <= 0 || (found.size >= this.limits.chains && !found.has(chain.name));
      if (isFull && !this.mustDraw(hook, chain)) {
        this.omittedCalls++;
        return false;
      }
      calls--;
      if (found.has(chain.name)) return true;
      found.set(chain.name, chain);
      this.drawn.add(chainKey(chain.table, chain.name));
      return true;
    };
    for (const root of roots.slice(0, this.limits.chains)) take(root);
    const out: GraphChain[] = [];
    // The iteration includes chains that are added during it.
    for (const chain of found.values()) {
      const drawnChain = this.chain(hook, chain, take, room > 0 ? this.limits : USUAL);
      room -= drawnChain.rows.length;
      out.push(drawnChain);
    }
    return out;
  }

  /** Returns true for the selected chain and for chains that the traced packet reached. */
  private mustDraw(hook: Hook | null, { table, name }: Chain): boolean {
    if (sameChain(this.options.chain, { table, name })) return true;
    return hook !== null && this.marks.of(hook, table, name) !== undefined;
  }

  private chain(hook: Hook | null, chain: Chain, take: Take, limits: DrawingLimits): GraphChain {
    const { table, name, policy, rules, line } = chain;
    const marks = hook === null ? undefined : this.marks.of(hook, table, name);
    const passed: ReadonlySet<number> = marks?.rules ?? new Set();
    const rowLimits = sameChain(this.options.chain, chain) ? ALL : limits;
    const rows = foldRules(rules, {
      limits: rowLimits,
      similar: rowLimits !== ALL,
      host: this.host,
      isSingle: (rule) => passed.has(rule.index),
      isOnRoute: (rule) => this.isOnRoute(rule),
      callsDrawn: (rule) => this.drawableCallee(rule) !== null,
    });
    return {
      id: chainId(hook, table, name),
      hook,
      table,
      name,
      policy,
      author: policy === null ? chainAuthor(table, name) : null,
      size: rules.length,
      line,
      also: this.calls.hooks(table, name).filter((each) => each !== hook),
      rows: rows.map((row) =>
        this.row(
          hook,
          row,
          row.some((rule) => passed.has(rule.index)),
          take,
        ),
      ),
      passed: marks !== undefined,
      ended: marks?.policy ?? false,
    };
  }

  private isOnRoute(rule: Rule): boolean {
    return rule.calledChains.some((callee) => this.route.has(chainKey(rule.table, callee)));
  }

  /** The chain that a rule calls, if it has rules or is the one for the owner's rules about containers. */
  private drawableCallee(rule: Rule): Chain | null {
    const name = calledChain(rule);
    const chain = name === null ? undefined : chainOf(this.ruleset, rule.table, name);
    if (chain === undefined) return null;
    if (this.selected !== null && !this.selected.has(chainKey(chain.table, chain.name))) return null;
    const isUserChain = iptablesName(chain.table) === "filter" && chain.name === DOCKER_USER;
    return chain.rules.length > 0 || isUserChain || this.options.all === true ? chain : null;
  }

  private row(hook: Hook | null, rules: readonly Rule[], passed: boolean, take: Take): GraphRow {
    const [rule] = rules as [Rule];
    const isSingle = rules.length === 1;
    const actions = new Set(rules.map(rowAction));
    const authors = new Set(rules.map((each) => ruleAuthor(each, this.host)));
    const haveOneCallee = new Set(rules.map(calledChain)).size === 1 && actions.size === 1;
    const callee = haveOneCallee ? this.drawableCallee(rule) : null;
    return {
      first: rule.index,
      last: rules.at(-1)!.index,
      condition: isSingle ? conditionText(rule, this.ruleset) : counted(rules.length, "rule"),
      action: actions.size === 1 ? [...actions][0]! : "several",
      target: isSingle ? targetText(rule, this.ruleset) : targetsText(rules, this.ruleset),
      to: callee !== null && take(callee) ? chainId(hook, rule.table, callee.name) : null,
      author: authors.size === 1 ? [...authors][0]! : null,
      rules: [
        ...rules.slice(0, PRINTED_RULES).map((each) => `${each.index} ${each.text(this.ruleset)}`.trimEnd()),
        ...(rules.length > PRINTED_RULES ? [`and ${rules.length - PRINTED_RULES} more`] : []),
      ],
      passed,
    };
  }

  private omissions(): GraphOmissions {
    let [empty, uncalled, folded] = [0, 0, 0];
    for (const [table, { chains }] of this.ruleset.tables)
      for (const { name, policy, rules } of chains.values()) {
        if (policy !== null || this.drawn.has(chainKey(table, name))) continue;
        if (this.calls.hooks(table, name).length === 0) uncalled++;
        else if (rules.length === 0) empty++;
        else folded++;
      }
    const calls = this.omittedCalls;
    if (this.selected !== null) return { empty: 0, uncalled: 0, folded: 0, calls };
    // Such chains are drawn unless a limit is reached, which `folded` reports.
    if (this.options.all === true) return { empty: 0, uncalled: 0, folded, calls };
    return { empty, uncalled, folded, calls };
  }
}

/** Text of the traced packet and its verdict. */
function traceSummary({ answer: { packet, verdict, delivery, out } }: Trace): string {
  const where = out !== null ? `, out of ${out}` : delivery === "local" ? ", by this host" : "";
  return `${packetText(packet)}: ${verdict}${where}`;
}

function callsOf(chain: GraphChain): GraphCall[] {
  return chain.rows.flatMap((row, i): GraphCall[] => {
    if (row.to === null) return [];
    const kind = row.action === "goto" ? "goto" : "jump";
    const { to, passed } = row;
    return [{ from: chain.id, to, kind, row: i, rules: row.last - row.first + 1, passed }];
  });
}
