/** Prints the action of a rule as a verb phrase about packets: `are dropped`, `jump to chain DOCKER-USER`. */

import { knownChain } from "../../host/known/chains.ts";
import { printAddress } from "../../packet/address.ts";
import type { Field } from "../../packet/field.ts";
import type { Change } from "../../rules/effect.ts";
import type { TableId } from "../../rules/ruleset.ts";
import { purposeText } from "../text/chain-purpose.ts";
import { counted, listText } from "../text/list.ts";
import { at } from "../text/packet-text.ts";
import { flagNames, hexText } from "./field-text.ts";
import type { NewAddress, ReturnPoint, RuleAction } from "./rule-action.ts";

type TranslateAction = Extract<RuleAction, { code: "translate" }>;

/** Tables in which ACCEPT ends one table only: later tables can still drop the packet. */
const ACCEPTED: Partial<Record<TableId, string>> = {
  raw: "leave table raw and continue with the next table",
  mangle: "leave table mangle and continue with the next table",
  nat: "are not translated by table nat, and neither are later packets of the connection",
};

/** Returns the verb phrase of an action. */
export function actionText(action: RuleAction, table: TableId): string {
  switch (action.code) {
    case "jump":
      return `jump to ${chainText(table, action)}`;
    case "goto":
      return `go to ${chainText(table, action)}, and do not return to this chain`;
    case "return":
      return returnText(action.to);
    case "verdict":
      return {
        accept: ACCEPTED[table] ?? "are accepted",
        drop: "are dropped without a reply",
        reject: "are rejected with an error to the sender",
      }[action.verdict];
    case "translate":
      return translationText(action);
    case "continue":
      if (action.target === "") return "are counted and continue with the next rule";
      return `continue with the next rule: ${action.target} ${action.sideEffect ?? "has no verdict"}`;
    case "unknown":
      return `may end here or continue: the verdict of ${action.target} is unknown (${action.why})`;
    case "select":
      return `have the action that the map contains for them: ${action.target}`;
    case "may-keep":
      return `continue with the next rule, or the kernel keeps them: ${action.why}`;
    case "drop":
      return `are dropped: ${action.why}`;
    case "set":
      return `${changeText(action.field, action.change)} and continue with the next rule`;
  }
}

function chainText(table: TableId, { chain, empty }: { readonly chain: string; readonly empty: boolean }) {
  if (empty) return `chain ${chain}, which is empty`;
  const purpose = knownChain(table, chain);
  return purpose === null ? `chain ${chain}` : `chain ${chain}, which ${purposeText(purpose)}`;
}

/** Returns the verb phrase of packets that return from a chain. */
export function returnText(to: ReturnPoint): string {
  switch (to.code) {
    case "not-called":
      return "return, but no rule calls this chain";
    case "several-callers":
      return "return to the next rule of the chain that called";
    case "caller-of":
      return `return to the chain that called ${to.chain}`;
    case "rule":
      return `return to ${to.chain}, rule ${to.rule}`;
    case "end":
      return `return to the end of ${to.chain}${to.policy === null ? "" : ` (policy ${to.policy})`}`;
    case "policy":
      return `get the policy of ${to.chain}, ${to.policy}`;
  }
}

const translationText = (action: TranslateAction): string =>
  `have their ${action.side === "dst" ? "destination" : "source"} rewritten to ${newEndpoint(action)}${action.random ? " (chosen at random)" : ""}, for the whole connection`;

function newEndpoint({ side, to, ports }: TranslateAction): string {
  const port =
    ports === null
      ? null
      : ports.first === ports.last
        ? String(ports.first)
        : `${ports.first}-${ports.last}${ports.base === undefined ? "" : ` (counted from ${ports.base})`}`;
  if (to.kind === "unchanged") return port === null ? "the same address" : `port ${port} of the same address`;
  if (to.kind !== "range" || to.first !== to.last || ports === null || ports.first !== ports.last)
    return `${addressText(to, side)}${port === null ? "" : `, port ${port}`}${containerText(to)}`;
  return `${at(to.first, ports.first)}${containerText(to)}`;
}

function addressText(to: Exclude<NewAddress, { kind: "unchanged" }>, side: TranslateAction["side"]): string {
  switch (to.kind) {
    case "interface":
      return side === "dst" ? "this host itself" : "the address of the outgoing interface";
    case "prefix":
      return `the same host part in ${to.prefix}`;
    case "range":
      return to.first === to.last ? to.first : `${to.first}-${to.last}`;
  }
}

const containerText = (to: NewAddress): string =>
  to.kind === "range" && to.container !== null ? ` (container ${to.container})` : "";

/** Names of fields that targets change; others have the name of the field. */
const FIELD_NAMES: Partial<Record<Field, string>> = {
  mark: "mark",
  ctmark: "connection mark",
  tos: "TOS",
  ttl: "TTL",
  src: "source address",
  dst: "destination address",
  sport: "source port",
  dport: "destination port",
};

function changeText(field: Field, change: Change): string {
  if (field === "ctstate") return "are not tracked by conntrack, are not translated,";
  const name = FIELD_NAMES[field] ?? field;
  switch (change.kind) {
    case "add":
      return `get a ${name} ${Math.abs(change.by)} ${change.by < 0 ? "lower" : "higher"}`;
    case "copy":
      return copyText(name, change);
    case "address":
      return addressChangeText(name, change);
    case "bits":
      return bitsText(field, name, change);
  }
}

function copyText(name: string, { from, shift = 0 }: Extract<Change, { kind: "copy" }>): string {
  const source = FIELD_NAMES[from] ?? from;
  const moved =
    shift === 0
      ? ""
      : `, shifted by ${counted(Math.abs(shift), "bit")} to the ${shift < 0 ? "right" : "left"}`;
  return name === FIELD_NAMES.ctmark && source === FIELD_NAMES.mark
    ? `have their mark saved as the connection mark${moved}`
    : `get the ${source} as their ${name}${moved}`;
}

const addressChangeText = (name: string, { keep, xor }: Extract<Change, { kind: "address" }>): string =>
  keep === 0n
    ? `get the ${name} ${printAddress(xor)}`
    : `get the ${name} (old & ${printAddress(keep)}) ^ ${printAddress(xor)}`;

const valueText = (field: Field, value: number): string =>
  field === "src" || field === "dst"
    ? printAddress(value)
    : ["ttl", "sport", "dport"].includes(field)
      ? String(value)
      : hexText(value);

/** `(old & ~clear) ^ xor` as iptables' set, or, and, xor. */
function bitsText(field: Field, name: string, { clear, xor }: Extract<Change, { kind: "bits" }>): string {
  if (field === "flags") return `have the TCP flags ${listText(flagNames(clear), "and")} cleared`;
  if (clear === 0xffff_ffff || (clear === 0xff && field !== "mark"))
    return `get the ${name} ${valueText(field, xor)}`;
  if (field === "tos" && clear === 0xfc) return `get DSCP ${xor >>> 2}`;
  if (clear === xor) return `have the bits ${hexText(xor)} of their ${name} set`;
  if (xor === 0) return `have the bits ${hexText(clear)} of their ${name} cleared`;
  if (clear === 0) return `have the bits ${hexText(xor)} of their ${name} flipped`;
  if ((xor & ~clear) === 0) return `have the bits ${hexText(clear)} of their ${name} set to ${hexText(xor)}`;
  return `get the ${name} (old & ~${hexText(clear)}) ^ ${hexText(xor)}`;
}
