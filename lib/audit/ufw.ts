/** ufw's rules told as the commands that wrote them (ufw(8); its rules stand in the chains ufw-user-* and ufw6-user-*). */

import { headerOf } from "../host/infer.ts";
import type { Prefix } from "../packet/address.ts";
import { maskBits, printAddress } from "../packet/address.ts";
import { protoName } from "../packet/field.ts";
import { type Rule, type Ruleset, targetName } from "../rules/ruleset.ts";

const DIRECTIONS = { input: "", output: "out ", forward: "route " } as const;

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

/** The command without its first word: `deny 8080/tcp`; `null` when the rule is none of ufw's own. */
export function ufwCommand(rule: Rule): string | null {
  const chain = /^ufw6?-user-(input|output|forward)$/.exec(rule.chain);
  if (chain === null) return null;
  const target = targetName(rule);
  const verb =
    target === "ACCEPT"
      ? "allow"
      : target === "DROP"
        ? "deny"
        : target === "REJECT"
          ? "reject"
          : /^ufw6?-user-limit(-accept)?$/.test(target)
            ? "limit"
            : null;
  if (verb === null) return null;
  const header = headerOf(rule);
  const ports = (key: "sport" | "dport"): string | null => {
    for (const match of rule.matches) {
      const single = match.values[key];
      if (single !== undefined && !single.not) return range(single.value as readonly [number, number]);
      const many = match.values[`${key}s`];
      if (match.extension.name === "multiport" && many !== undefined)
        return (many.value as readonly (readonly [number, number])[]).map(range).join(",");
    }
    return null;
  };
  const proto = header.proto === undefined ? null : protoName(header.proto.value);
  const [sport, dport] = [ports("sport"), ports("dport")];
  const direction = DIRECTIONS[chain[1] as keyof typeof DIRECTIONS];
  const on = [
    header.in === undefined ? "" : `in on ${header.in.value} `,
    header.out === undefined ? "" : `out on ${header.out.value} `,
  ].join("");
  const lead = direction === "route " ? `route ${verb} ${on}` : `${verb} ${on === "" ? direction : on}`;
  if (
    header.src === undefined &&
    header.dst === undefined &&
    sport === null &&
    dport !== null &&
    on === "" &&
    direction !== "route "
  )
    return `${lead}${dport}${proto === null ? "" : `/${proto}`}`;
  const from = header.src === undefined ? "from any" : `from ${address(header.src.value)}`;
  const to = header.dst === undefined ? "to any" : `to ${address(header.dst.value)}`;
  const words = [
    from,
    sport === null ? "" : `port ${sport}`,
    to,
    dport === null ? "" : `port ${dport}`,
    proto === null ? "" : `proto ${proto}`,
  ];
  return `${lead}${words.filter((w) => w !== "").join(" ")}`.trim();
}

const range = ([a, b]: readonly [number, number]): string => (a === b ? String(a) : `${a}:${b}`);
