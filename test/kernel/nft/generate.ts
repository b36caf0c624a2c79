/** Random rulesets of nftables: tables of all families of IP, base chains at many priorities, calls, sets and maps. */
import type { Family } from "fwcheck";
import { chance, drawHost, drawTables, pick, type Random, whole } from "../generate.ts";
import type { Scenario } from "../lab.ts";
import { match, type Theme } from "./matches.ts";
import { type NftHook, type Place, type Protocol, Sets, type TableFamily } from "./place.ts";
import { final, passing } from "./statements.ts";

/** Priorities in front of and after all of the kernel's own hooks, and those of iptables' tables. */
const PRIORITIES = [
  ...[-350, -300, -300, -250, -225, -199, -150, -150, -101, -99, -50, -10, -1],
  ...[0, 0, 0, 0, 1, 10, 10, 50, 99, 101, 150, 225, 300, 350],
];
/** Those of nat order its chains alone. */
const NAT_PRIORITIES = [-190, -150, -110, -100, -100, -99, -50, 0, 99, 100, 100, 110, 300];
const HOOKS = [
  ...(["forward", "forward", "forward", "prerouting", "prerouting", "prerouting"] as const),
  ...(["input", "input", "output", "output", "postrouting", "postrouting"] as const),
];

interface Base {
  readonly name: string;
  readonly hook: NftHook;
  readonly type: "filter" | "nat" | "route";
  readonly line: string;
}

/** A protocol and a family that the rule's matches agree on. */
function theme({ next, family, packets, base }: Place): Theme {
  const either = chance(next, 0.85) ? packets : packets === 4 ? 6 : 4;
  // A translation in a table of both families is of one.
  const named = base?.type === "nat" || chance(next, 0.55) ? either : undefined;
  const own = family === "ip" ? 4 : family === "ip6" ? 6 : named;
  const n = next();
  const usual: Protocol | undefined =
    n < 0.4 ? "tcp" : n < 0.58 ? "udp" : n < 0.68 ? ((own ?? packets) === 4 ? "icmp" : "icmpv6") : undefined;
  const protocol = chance(next, 0.03) ? pick(next, ["sctp", "dccp", "udplite"] as const) : usual;
  // ICMP says which family it is of.
  const implied = protocol === "icmp" ? 4 : protocol === "icmpv6" ? 6 : own;
  return { protocol, family: implied };
}

/** A rule: matches, statements between them, and what it does at its end. */
function rule(place: Place): string {
  const { next } = place;
  const own = theme(place);
  const words: string[] = [];
  for (let i = whole(next, 0, 3); i > 0; i--) {
    words.push(match(place, own));
    if (chance(next, 0.15)) words.push(passing(place, own));
  }
  const any = words.findIndex((w) => /\bth [sd]port\b/.test(w));
  // nft 1.0.6 leaves out a second condition on the protocol as well, which fwcheck does not expect.
  const named = words.some((w) => /\bprotocol\b|\bl4proto\b|\bnexthdr\b/.test(w));
  if (own.protocol === undefined && any >= 0 && !named && chance(next, 0.85))
    words.splice(any, 0, ported(place));
  // Some statements need the protocol to be known before them.
  const { protocol } = own;
  if (protocol !== undefined && !words.some((w) => /^\w+ ([sd]port|flags|type) /.test(w)))
    words.unshift(`meta l4proto ${protocol === "icmpv6" ? "ipv6-icmp" : protocol}`);
  if (chance(next, 0.3)) words.push(passing(place, own));
  const last = final(place, own);
  words.push(last === "" && words.length === 0 ? "counter" : last);
  if (chance(next, 0.06) && !last.includes("\n")) words.push('comment "a rule"');
  return words.filter((w) => w !== "").join(" ");
}

/** A condition on the protocol before `th`. nft 1.0.6 does not print the last one; in tables of one family no version does. */
const ported = ({ next, family }: Place): string =>
  pick(next, [
    "meta l4proto { tcp, udp }",
    "meta l4proto { tcp, udp }",
    "meta l4proto { tcp, udp, icmp, ipv6-icmp, sctp }",
    "meta l4proto != udp",
    ...(family === "inet" ? [`ct state new,established ct protocol ${pick(next, ["tcp", "udp"])}`] : []),
  ]);

/** What the tables of a ruleset share. */
interface Shared {
  /** Hooks with priorities that a base chain has. */
  readonly taken: Set<string>;
  readonly modern: boolean;
  /** The simulator knows the order of equal priorities. */
  readonly ordered: boolean;
}

/** A base chain's place and the line that says so. */
function base(next: Random, name: string, { taken, ordered }: Shared): Base {
  for (;;) {
    const hook = pick(next, HOOKS);
    const nat = hook !== "forward" && chance(next, 0.4);
    const type = nat ? "nat" : hook === "output" && chance(next, 0.25) ? "route" : "filter";
    const priority = pick(next, nat ? NAT_PRIORITIES : PRIORITIES);
    const at = `${hook} ${nat} ${priority}`;
    // Answers that depend on the order of equal priorities are undecided unless it is known.
    if (taken.has(at) && !chance(next, ordered ? 0.6 : 0.12)) continue;
    taken.add(at);
    const policy = chance(next, 0.12) ? "drop" : "accept";
    return { name, hook, type, line: `type ${type} hook ${hook} priority ${priority}; policy ${policy};` };
  }
}

/** A chain's text. */
const chainText = (name: string, lines: readonly string[]): string =>
  [`\tchain ${name} {`, ...lines.map((line) => `\t\t${line}`), "\t}"].join("\n");

/** One table; its chains call only later ones, so that no chain calls itself. */
function table(next: Random, packets: Family, family: TableFamily, name: string, shared: Shared): string {
  const sets = new Sets(next);
  const place = { next, family, packets, sets, modern: shared.modern };
  const common = Array.from({ length: whole(next, 0, 2) }, (_, i) => `shared${i}`);
  const chains: string[] = [];
  for (let b = whole(next, 1, 4); b > 0; b--) {
    const own = base(next, `base${b}`, shared);
    const called = Array.from({ length: whole(next, 0, 4) }, (_, i) => `${own.name}-${i}`);
    const callable = [...called, ...common];
    [own.name, ...called].forEach((chain, i) => {
      const count = whole(next, i === 0 ? 1 : 0, 5);
      const rules = Array.from({ length: count }, () =>
        rule({ ...place, base: own, chains: callable.slice(i) }),
      );
      chains.push(chainText(chain, i === 0 ? [own.line, ...rules] : rules));
    });
  }
  common.forEach((chain, i) => {
    const rules = Array.from({ length: whole(next, 0, 4) }, () =>
      rule({ ...place, base: null, chains: common.slice(i + 1) }),
    );
    chains.push(chainText(chain, rules));
  });
  const dormant = chance(next, 0.04) ? ["\tflags dormant"] : [];
  return [`table ${family} ${name} {`, ...dormant, ...sets.text, ...chains, "}"].join("\n");
}

/** The text of a whole ruleset. */
function nftables(next: Random, family: Family, given: Pick<Shared, "modern" | "ordered">): string {
  const shared: Shared = { ...given, taken: new Set() };
  const own: TableFamily = family === 4 ? "ip" : "ip6";
  const count = whole(next, 1, 3);
  const tables = Array.from({ length: count }, (_, i) =>
    table(next, family, chance(next, 0.5) ? own : "inet", `t${i}`, shared),
  );
  return `${tables.join("\n\n")}\n`;
}

/**
 * A scenario with tables of both backends of iptables, and with native tables as often as not. fwcheck gets the order of the
 * base chains as often as not.
 * @param modern it may have statements that nft 1.0.6 refuses
 */
export function generateBoth(next: Random, family: Family, name: string, modern: boolean): Scenario {
  // iptables-nft has no QUEUE where the kernel was built without nft's queue.
  const ofNft = drawTables(next, family).replace(/-j QUEUE$/gm, "-j NFQUEUE");
  const ofLegacy = drawTables(next, family);
  const ordered = chance(next, 0.5);
  // Where no order is given, fwcheck lists chains as if iptables-nft had been loaded first.
  const isNftFirst = !ordered || chance(next, 0.5);
  return {
    ...drawHost(next, family, name),
    save: isNftFirst ? ofNft : ofLegacy,
    other: isNftFirst ? ofLegacy : ofNft,
    backend: isNftFirst ? "nft" : "legacy",
    ordered,
    ...(chance(next, 0.5) ? { nft: nftables(next, family, { modern, ordered }) } : {}),
  };
}

/**
 * A scenario with native tables, and with iptables' of either backend as often as not.
 * @param modern it may have statements that nft 1.0.6 refuses
 */
export function generateNft(next: Random, family: Family, name: string, modern: boolean): Scenario {
  const host = drawHost(next, family, name);
  const ordered = chance(next, 0.5);
  const nft = nftables(next, family, { modern, ordered });
  if (chance(next, 0.6)) return { ...host, nft, ordered };
  return {
    ...host,
    save: drawTables(next, family),
    backend: chance(next, 0.5) ? "nft" : "legacy",
    nft,
    ordered,
  };
}
