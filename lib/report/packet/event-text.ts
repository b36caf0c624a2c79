/** Texts of the events of a trace: tracking, routing, rules, changes of fields. */
import { ufwCommand } from "../../audit/ufw-rules.ts";
import { maskBits, printAddress, printPrefix } from "../../packet/address.ts";
import {
  type Address,
  CT_STATUS,
  CT_TEMPLATE,
  protoName,
  type Scalar,
  tracksPorts,
} from "../../packet/field.ts";
import type { Step } from "../../path/program.ts";
import type { Rule } from "../../rules/ruleset.ts";
import type { Connection } from "../../simulate/connection-table.ts";
import type { FieldChange, TraceEvent } from "../../simulate/trace.ts";
import { hexText } from "../explain/field-text.ts";
import { at } from "../text/packet-text.ts";
import { endReasonText } from "../text/reason-text.ts";
import { safe } from "../text/terminal.ts";
import type { TextContext } from "./text-context.ts";

/** A table that ran at a hook. */
export type TableEvent = Extract<TraceEvent, { kind: "table" }>;
type TrackEvent = Extract<TraceEvent, { kind: "track" }>;
type RouteEvent = Extract<TraceEvent, { kind: "route" }>;

/** Returns true for a table in which no rule matched and the policy accepted the packet. */
export const hasNoEffect = ({ changes, steps }: TableEvent): boolean =>
  changes.length === 0 && steps.every(({ step }) => step.step === "policy" && step.policy === "ACCEPT");

/** `10.0.0.1:80`, `[2001:db8::1]:80`. */
export const socketText = (address: Address, port: number | undefined): string =>
  at(printAddress(address), port);

function connectionText({ original: o }: Connection): string {
  const [sport, dport] = tracksPorts(o.proto) ? [o.sport, o.dport] : [undefined, undefined];
  return `${protoName(o.proto)} ${socketText(o.src, sport)} -> ${socketText(o.dst, dport)}`;
}

/** `conntrack: NEW`: the state alone. */
export const trackStateText = ({ state }: TrackEvent): string => `conntrack: ${state}`;

/** `conntrack: ESTABLISHED, reply of tcp 203.0.113.2:40000 -> 203.0.113.1:80`. */
export function trackText(event: TrackEvent): string {
  const { state, connection, reply } = event;
  const text = connection === null ? "" : connectionText(connection);
  const isConfirmed = connection !== null && (connection.status & CT_STATUS.CONFIRMED) !== 0;
  const detail = {
    NEW: isConfirmed ? `packet of ${text}, which has no reply yet` : "first packet of a connection",
    ESTABLISHED: `${reply ? "reply" : "packet"} of ${text}`,
    RELATED: `related to ${text}`,
    INVALID: "belongs to no connection and cannot open one",
    UNTRACKED: "not tracked",
  }[state];
  return `${trackStateText(event)}, ${detail}`;
}

/** `routing: out of docker0 (route 172.17.0.0/16)`. */
export function routeText({ decision }: RouteEvent): string {
  if (decision.kind === "none") return `routing: ${safe(endReasonText(decision.reason))}`;
  const { route } = decision;
  if (decision.kind === "local") {
    if (route === undefined) return "routing: to the host itself";
    const device = route.dev === null ? "" : ` on ${safe(route.dev)}`;
    return `routing: to the host itself (${printPrefix(route.to).replace(/\/(32|128)$/, "")}${device})`;
  }
  if (route === undefined) return `routing: out of ${safe(decision.out)}`;
  const details = [
    maskBits(route.to.mask) === 0 ? "default route" : `route ${printPrefix(route.to)}`,
    ...(route.table === "main" || route.table === "local" ? [] : [`table ${safe(route.table)}`]),
    ...(route.inferred === true ? ["inferred"] : []),
  ];
  return `routing: out of ${safe(decision.out)} (${details.join(", ")})`;
}

const hexOrUnknown = (value: Scalar | undefined): string =>
  typeof value === "number" ? hexText(value) : "?";

const ENDPOINTS = [
  ["src", "sport"],
  ["dst", "dport"],
] as const;
const ENDPOINT_FIELDS: readonly string[] = ENDPOINTS.flat();

/** Returns changes of fields, a text each; an address and its port together. */
export function changeTexts(changes: readonly FieldChange[]): string[] {
  const byField = new Map(changes.map((c) => [c.field, c]));
  const endpoints = ENDPOINTS.flatMap(([address, port]): string[] => {
    const [a, p] = [byField.get(address), byField.get(port)];
    if (a === undefined) return p === undefined ? [] : [`${port} ${p.from} -> ${p.to}`];
    const from = socketText(a.from as Address, p?.from as number | undefined);
    return [`${address} ${from} -> ${socketText(a.to as Address, p?.to as number | undefined)}`];
  });
  const others = changes.filter(({ field }) => !ENDPOINT_FIELDS.includes(field)).map(fieldText);
  return [...endpoints, ...others];
}

function fieldText({ field, from, to }: FieldChange): string {
  if (field === "ctstate")
    return to === CT_TEMPLATE
      ? "conntrack: options of the connection set"
      : "conntrack: not tracked from here on";
  if (field === "ttl") return `ttl ${from} -> ${to}`;
  return `${field === "ctmark" ? "connection mark" : field} ${hexOrUnknown(from)} -> ${hexOrUnknown(to)}`;
}

/** `4: -p tcp -m tcp --dport 80 -j ACCEPT (ufw allow 80/tcp)`. */
export function ruleStepText(
  step: Extract<Step, { step: "rule" }>,
  rule: Rule | undefined,
  { ruleset }: TextContext,
): string {
  if (rule === undefined || ruleset === undefined) return `${step.rule}: -j ${safe(step.target)}`;
  const text = safe(rule.text(ruleset));
  const ufw = ufwCommand(rule, ruleset);
  return `${step.rule}: ${text === "" ? "(every packet, no target)" : text}${ufw === null ? "" : ` (ufw ${safe(ufw)})`}`;
}
