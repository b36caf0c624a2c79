/** ufw's rules told as the commands that wrote them (ufw(8); its rules stand in the chains ufw-user-* and ufw6-user-*). */

import type { Prefix } from "../packet/address.ts";
import { maskBits, printAddress } from "../packet/address.ts";
import { protoName } from "../packet/field.ts";
import { chainOf, type Rule, type Ruleset, targetName } from "../rules/ruleset.ts";

const DIRECTIONS = { input: "", output: "out ", forward: "" } as const;

/** Whether ufw fills this ruleset. */
export const hasUfw = (ruleset: Ruleset): boolean => {
  const chains = ruleset.tables.get("filter")?.chains;
  return chains !== undefined && (chains.has("ufw-user-input") || chains.has("ufw6-user-input"));
};

/** The chain that holds `ufw route` rules. */
export const ufwForwardChain = (ruleset: Ruleset): string =>
  ruleset.family === 4 ? "ufw-user-forward" : "ufw6-user-forward";

const address = (prefix: Prefix): string => {
  const bits = maskBits(prefix.mask);
  const full = typeof prefix.address === "number" ? 32 : 128;
  return bits === full
    ? printAddress(prefix.address)
    : `${printAddress(prefix.address)}/${bits ?? printAddress(prefix.mask)}`;
};

/** What a rule asks, in ufw's words. */
interface Asked {
  readonly on: string;
  readonly from: string | null;
  readonly to: string | null;
  readonly sport: string | null;
  readonly dport: string | null;
  readonly proto: string | null;
  /** Application profiles, by the comments that ufw leaves: `dapp_` for the destination, `sapp_` for the source. */
  readonly dapp: string | null;
  readonly sapp: string | null;
}

/**
 * The command without its first word, as `ufw show added` spells it: `deny 8080/tcp`; `null` when the rule is none of
 * ufw's own. Where ufw writes several rules for one command, each tells the whole of it.
 */
export function ufwCommand(rule: Rule, ruleset: Ruleset): string | null {
  const chain = /^ufw6?-user-(input|output|forward)$/.exec(rule.chain);
  const verb = chain === null ? null : verbOf(targetName(rule));
  if (chain === null || verb === null) return null;
  const siblings = chainOf(ruleset, "filter", rule.chain)?.rules ?? [];
  const at = siblings.indexOf(rule);
  const asked = askedBy(rule);
  // `allow 53` is one rule for TCP and one for UDP.
  const twin = (other: Rule | undefined): boolean =>
    other !== undefined &&
    targetName(other) === targetName(rule) &&
    alike({ ...askedBy(other), proto: null }, { ...asked, proto: null });
  const first = asked.proto === "tcp" && twin(siblings[at + 1]) && askedBy(siblings[at + 1]!).proto === "udp";
  const second =
    asked.proto === "udp" && twin(siblings[at - 1]) && askedBy(siblings[at - 1]!).proto === "tcp";
  const whole = first || second ? { ...asked, proto: null } : asked;
  const direction = chain[1] as keyof typeof DIRECTIONS;
  const on = whole.on !== "" && direction !== "forward" ? whole.on : `${DIRECTIONS[direction]}${whole.on}`;
  const log = logged(siblings, at, asked, ruleset);
  const words = [
    ...(direction === "forward" ? ["route", verb, whole.on] : [verb, on.trim()]),
    log,
    target(whole),
  ];
  return words.filter((word) => word !== "").join(" ");
}

function verbOf(target: string): string | null {
  if (target === "ACCEPT") return "allow";
  if (target === "DROP") return "deny";
  if (target === "REJECT") return "reject";
  return /^ufw6?-user-limit(-accept)?$/.test(target) ? "limit" : null;
}

/** Everything behind the verb and the interfaces. */
function target({ on, from, to, sport, dport, proto, dapp, sapp }: Asked): string {
  const suffix = proto === null ? "" : ` proto ${proto}`;
  if (from === null && to === null && sport === null && sapp === null && on === "") {
    if (dapp !== null) return dapp;
    if (dport !== null) return `${dport}${proto === null ? "" : `/${proto}`}`;
    return `to any${suffix}`;
  }
  const side = (word: string, address: string | null, port: string | null, app: string | null): string[] =>
    address === null && port === null && app === null
      ? []
      : [
          `${word} ${address ?? "any"}${app === null ? (port === null ? "" : ` port ${port}`) : ` app ${app}`}`,
        ];
  const words = [...side("from", from, sport, sapp), ...side("to", to, dport, dapp)].join(" ");
  // The profile says which protocols it means.
  return `${words}${dapp === null && sapp === null ? suffix : ""}`.trim();
}

function askedBy(rule: Rule): Asked {
  const header = rule.reading;
  const ports = (key: "sport" | "dport"): string | null => {
    for (const { extension, values } of rule.matches) {
      const single = values[key];
      if (single !== undefined && !single.not) return range(single.value as readonly [number, number]);
      const many = values[`${key}s`];
      if (extension.name === "multiport" && many !== undefined)
        return (many.value as readonly (readonly [number, number])[]).map(range).join(",");
    }
    return null;
  };
  const profile = (kind: "dapp" | "sapp"): string | null => {
    for (const { extension, values } of rule.matches) {
      const comment = extension.name === "comment" ? values.comment?.value : undefined;
      const name = new RegExp(`${kind}_([^,']+)`).exec(typeof comment === "string" ? comment : "")?.[1];
      if (name !== undefined) return quoted(name.replaceAll("%20", " "));
    }
    return null;
  };
  const on = [
    header.in === undefined ? "" : `in on ${header.in.value}`,
    header.out === undefined ? "" : `out on ${header.out.value}`,
  ];
  return {
    on: on.filter((word) => word !== "").join(" "),
    from: header.src === undefined ? null : address(header.src.value),
    to: header.dst === undefined ? null : address(header.dst.value),
    sport: ports("sport"),
    dport: ports("dport"),
    proto: header.proto === undefined ? null : protoName(header.proto.value),
    dapp: profile("dapp"),
    sapp: profile("sapp"),
  };
}

const quoted = (name: string): string => (/^[\w.-]+$/.test(name) ? name : `'${name}'`);

const alike = (a: Asked, b: Asked): boolean => JSON.stringify(a) === JSON.stringify(b);

/** `log` or `log-all`: ufw asks a chain of its own for the same packets, just before. */
function logged(siblings: readonly Rule[], at: number, asked: Asked, ruleset: Ruleset): string {
  // The profile's comment stands at the rule that decides, not at the one that logs.
  const bare = { ...asked, dapp: null, sapp: null };
  for (let i = at - 1; i >= 0; i--) {
    const before = siblings[i]!;
    if (!alike({ ...askedBy(before), dapp: null, sapp: null }, bare)) return "";
    if (!/^ufw6?-user-logging-/.test(targetName(before))) continue;
    const noted = chainOf(ruleset, "filter", targetName(before))?.rules.find(
      (r) => targetName(r) === "LOG" && alike({ ...askedBy(r), dapp: null, sapp: null }, bare),
    );
    return noted?.matches.some((m) => m.extension.name === "conntrack") === false ? "log-all" : "log";
  }
  return "";
}

const range = ([a, b]: readonly [number, number]): string => (a === b ? String(a) : `${a}:${b}`);
