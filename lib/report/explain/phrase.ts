/**
 * What a rule asks and does, in plain words: one wording for each field a predicate can name and for each kind of
 * effect, so that an extension that is written in them needs no words of its own.
 */
import { containerAt, type Host } from "../../host/host.ts";
import { icmpName } from "../../iptables/matches/icmp.ts";
import { printAddress, printAddressRange, printPrefix } from "../../packet/address.ts";
import {
  type Address,
  CT,
  CT_STATUS,
  type Field,
  PROTO,
  protoName,
  type Range,
  type Scalar,
  TCP_FLAGS,
} from "../../packet/field.ts";
import { normalizeRanges, whyUnknown } from "../../packet/predicate.ts";
import { type Effect, ends, type Nat } from "../../rules/effect.ts";
import type { AddressType, Facts } from "../../rules/facts.ts";
import type { TableName } from "../../rules/ruleset.ts";
import { at } from "../text/packet-text.ts";
import { type Form, isAlways, isNever, type Leaf } from "./predicate-form.ts";

/** Whose rules are spoken of: names for addresses come from here. */
export interface About {
  readonly facts: Facts;
  readonly host: Host;
}

/** More values than this are counted, not listed. */
const MOST = 6;

/** `a`, `a or b`, `a, b or c`. */
export const list = (items: readonly string[], word = "or"): string =>
  items.length < 2 ? (items[0] ?? "") : `${items.slice(0, -1).join(", ")} ${word} ${items.at(-1)}`;

const few = (items: readonly string[]): string =>
  items.length <= MOST ? list(items) : list([...items.slice(0, 3), `${items.length - 3} more`]);

const key = (ranges: readonly Range[]): string => normalizeRanges(ranges).join(";");

/** Kinds of address that have a name of their own. */
const KINDS: readonly (readonly [AddressType, string])[] = [
  ["LOCAL", "this host's own addresses"],
  ["BROADCAST", "broadcast addresses"],
  ["MULTICAST", "multicast addresses"],
  ["UNICAST", "ordinary (unicast) addresses"],
  ["ANYCAST", "anycast addresses"],
];

function addresses(ranges: readonly Range[], { facts, host }: About): string {
  const wanted = key(ranges);
  for (const [type, name] of KINDS) {
    const kind = facts.addressIs("dst", type, undefined);
    if (kind.kind === "in" && key(kind.ranges) === wanted) return name;
  }
  const texts = ranges.map((range) => {
    const text = printAddressRange(range);
    const container = range[0] === range[1] ? containerAt(host, range[0] as Address) : null;
    if (container !== null) return `${text} (container ${container.name})`;
    if (range[0] !== range[1] && (text === "127.0.0.0/8" || text === "::1")) return `${text} (loopback)`;
    return text;
  });
  return few(texts);
}

/** Names of interfaces. */
const names = (ranges: readonly Range[]): string =>
  few(
    ranges.map(([lo, hi]) =>
      lo !== hi ? `${lo}+ (any that begins so)` : lo === "" ? "no interface" : String(lo),
    ),
  );

const numbers = (ranges: readonly Range[], one: (value: number) => string = String): string =>
  few(
    ranges.map(([lo, hi]) =>
      lo === hi ? one(lo as number) : `${one(lo as number)} to ${one(hi as number)}`,
    ),
  );

const ports = (ranges: readonly Range[]): string => {
  const single = ranges.length === 1 && ranges[0]![0] === ranges[0]![1];
  return `${single ? "port" : "ports"} ${few(ranges.map(([lo, hi]) => (lo === hi ? String(lo) : `${lo}-${hi}`)))}`;
};

const hex = (value: Scalar): string =>
  typeof value === "number" && value < 10 ? String(value) : `0x${value.toString(16)}`;

const PROTO_TEXT: Readonly<Record<string, string>> = {
  tcp: "TCP",
  udp: "UDP",
  icmp: "ICMP",
  icmpv6: "ICMPv6",
  igmp: "IGMP",
  sctp: "SCTP",
  dccp: "DCCP",
  udplite: "UDP-Lite",
  gre: "GRE",
  esp: "ESP",
  ah: "AH",
};
export const protoText = (proto: number): string =>
  PROTO_TEXT[protoName(proto)] ?? `protocol ${protoName(proto)}`;

const mac = (value: number): string => value.toString(16).padStart(12, "0").match(/../g)!.join(":");

const STATES: Readonly<Record<number, string>> = {
  [CT.INVALID]: "fit no connection (INVALID)",
  [CT.NEW]: "open a connection (NEW)",
  [CT.ESTABLISHED]: "belong to a connection that is there (ESTABLISHED)",
  [CT.RELATED]: "are related to a connection (RELATED)",
  [CT.UNTRACKED]: "are not tracked (UNTRACKED)",
};

const PACKET_TYPES: Readonly<Record<number, string>> = {
  0: "to this host on the wire",
  1: "as a broadcast on the wire",
  2: "as a multicast on the wire",
  3: "to another host on the wire",
  5: "by this host to itself",
};

/** Bits of conntrack's status: what is said where the bit is set, and where it is not. */
const STATUS: readonly (readonly [bit: number, yes: string, no: string])[] = [
  [CT_STATUS.EXPECTED, "that a helper expected", "that no helper expected"],
  [CT_STATUS.SEEN_REPLY, "that was answered", "that nobody has answered"],
  [CT_STATUS.ASSURED, "that is assured: traffic went both ways", "that is not assured"],
  [CT_STATUS.CONFIRMED, "that is confirmed: its first packet got through", "that is not confirmed yet"],
  [CT_STATUS.SRC_NAT, "whose source is translated (SNAT)", "whose source is not translated"],
  [CT_STATUS.DST_NAT, "whose destination is translated (DNAT)", "whose destination is not translated"],
];

const flagNames = (bits: number): string[] =>
  Object.entries(TCP_FLAGS).flatMap(([name, bit]) => (bits & bit ? [name] : []));

/** A question about one field, as what packets do: `come in by eth0`, `are to port 80`. */
function asked(leaf: Extract<Leaf, { kind: "in" }>, about: About): string {
  const { field, ranges, not } = leaf;
  const one = ranges.length === 1 && ranges[0]![0] === ranges[0]![1] ? ranges[0]![0] : undefined;
  const but = (what: string, any: string): string => (not ? `${any} but ${what}` : what);
  const no = not ? "do not " : "";
  const are = not ? "are not" : "are";
  switch (field) {
    case "in":
      return one === "" && !not
        ? "come in by no interface"
        : `come in by ${but(names(ranges), "any interface")}`;
    case "out":
      return one === "" && !not ? "leave by no interface" : `leave by ${but(names(ranges), "any interface")}`;
    case "physin":
      return one === ""
        ? `come in by ${not ? "a port of a bridge" : "no port of a bridge"}`
        : `come in by ${but(`bridge port ${names(ranges)}`, "anything")}`;
    case "physout":
      return one === ""
        ? `leave by ${not ? "a port of a bridge" : "no port of a bridge"}`
        : `leave by ${but(`bridge port ${names(ranges)}`, "anything")}`;
    case "src":
      return `are from ${but(addresses(ranges, about), "any address")}`;
    case "dst":
      return `are to ${but(addresses(ranges, about), "any address")}`;
    case "proto":
      return `${are} ${list(ranges.map(([lo, hi]) => (lo === hi ? protoText(lo as number) : `protocols ${lo} to ${hi}`)))}`;
    case "sport":
      return `are from ${but(ports(ranges), "any port")}`.replace("any port but ports", "any port but");
    case "dport":
      return `are to ${but(ports(ranges), "any port")}`.replace("any port but ports", "any port but");
    case "type":
      return `${are} of ICMP type ${numbers(ranges, (type) => {
        const name = icmpName(type, about.facts.family);
        return name === undefined ? String(type) : `${type} (${name})`;
      })}`;
    case "code":
      return `${are} of ICMP code ${numbers(ranges)}`;
    case "fragment":
      return (one === 1) !== not ? "are fragments behind the first" : "are no fragment behind a first";
    case "flags":
      return `${are} with the TCP flag bits ${numbers(ranges)}`;
    case "tos":
      return `${no}have TOS ${numbers(ranges, hex)}`;
    case "ttl":
      return `${no}have a ${about.facts.family === 4 ? "TTL" : "hop limit"} of ${numbers(ranges)}`;
    case "length":
      return `${are} ${numbers(ranges)} bytes long`;
    case "mac":
      return `come from ${but(`MAC address ${numbers(ranges, mac)}`, "anywhere")}`;
    case "pkttype":
      return `were ${not ? "not " : ""}sent ${numbers(ranges, (v) => PACKET_TYPES[v] ?? `as kind ${v}`)}`;
    case "mark":
      if (one === 0) return not ? "carry a mark" : "carry no mark";
      return `${no}carry the mark ${numbers(ranges, hex)}`;
    case "spi":
      return `${no}have the SPI ${numbers(ranges, hex)}`;
    case "socket":
      return (one === 1) !== not ? "a program of this host sent" : "no program of this host sent";
    case "uid":
      return `${not ? "were not" : "were"} sent by user id ${numbers(ranges)}`;
    case "gid":
      return `${not ? "were not" : "were"} sent by group id ${numbers(ranges)}`;
    case "ctstate":
      return states(ranges, not);
    case "ctmark":
      return `${no}belong to a connection marked ${numbers(ranges, hex)}`;
    case "ctdir":
      return (one === 0) !== not ? "go the way in which the connection was opened" : "are answers";
    case "ctstatus":
      return `${no}belong to a connection of status ${numbers(ranges, hex)}`;
    case "ctproto":
      return `${no}belong to a connection of ${list(ranges.map(([lo]) => protoText(lo as number)))}`;
    case "ctorigsrc":
      return `belong to a connection that came from ${but(addresses(ranges, about), "any address")}`;
    case "ctorigdst":
      return `belong to a connection that was addressed to ${but(addresses(ranges, about), "any address")} at first`;
    case "ctorigsrcport":
      return `belong to a connection that came from ${but(ports(ranges), "any port")}`;
    case "ctorigdstport":
      return `belong to a connection that was addressed to ${but(ports(ranges), "any port")} at first, before any translation`;
    case "ctreplsrc":
      return `belong to a connection that ${but(addresses(ranges, about), "any address")} answers`;
    case "ctrepldst":
      return `belong to a connection whose answers go to ${but(addresses(ranges, about), "any address")}`;
    case "ctreplsrcport":
      return `belong to a connection whose answers come from ${but(ports(ranges), "any port")}`;
    case "ctrepldstport":
      return `belong to a connection whose answers go to ${but(ports(ranges), "any port")}`;
  }
}

function states(ranges: readonly Range[], not: boolean): string {
  const all = Object.values(CT).sort();
  const held = all.filter((s) => ranges.some(([lo, hi]) => s >= (lo as number) && s <= (hi as number)));
  const wanted = not ? all.filter((s) => !held.includes(s)) : held;
  const is = (...states: number[]): boolean =>
    wanted.length === states.length && states.every((s) => wanted.includes(s as never));
  if (is(CT.NEW, CT.ESTABLISHED, CT.RELATED)) return "conntrack knows";
  if (is(CT.ESTABLISHED, CT.RELATED))
    return "belong to a connection that is there or are related to one (RELATED,ESTABLISHED)";
  if (is(CT.INVALID, CT.UNTRACKED)) return "conntrack knows nothing of (INVALID,UNTRACKED)";
  return list(wanted.map((s) => STATES[s]!));
}

function bits({ field, mask, value, not }: Extract<Leaf, { kind: "bits" }>): string {
  const no = not ? "do not " : "";
  if (field === "flags") {
    const [on, off] = [
      flagNames((mask as number) & (value as number)),
      flagNames((mask as number) & ~(value as number)),
    ];
    const set = [
      on.length === 0 ? "" : `${list(on, "and")} set`,
      off.length === 0 ? "" : `${list(off, "and")} not set`,
    ].filter((word) => word !== "");
    return `${no}have the TCP flags ${set.join(" and ")}`;
  }
  if (field === "ctstatus") {
    const said = STATUS.flatMap(([bit, yes, off]) =>
      (mask as number) & bit ? [((value as number) & bit) !== 0 ? yes : off] : [],
    );
    if (said.length === 1 && not) {
      const [, yes, off] = STATUS.find(([bit]) => (mask as number) & bit)!;
      return `belong to a connection ${said[0] === yes ? off : yes}`;
    }
    if (said.length > 0) return `${no}belong to a connection ${list(said, "and")}`;
  }
  if (field === "tos" && mask === 0xfc) return `${no}have DSCP ${(value as number) >>> 2}`;
  if (field === "tos" && mask === 0x03) return `${no}have the ECN bits ${value}`;
  if (field === "src" || field === "dst")
    return `are ${field === "src" ? "from" : "to"} ${not ? "any address but " : ""}${printPrefix({ address: value as Address, mask: mask as Address })}`;
  const what =
    field === "mark"
      ? "carry a mark"
      : field === "ctmark"
        ? "belong to a connection with a mark"
        : field === "tos"
          ? "have a TOS"
          : `have a value of ${field}`;
  const [all, none] = [value === mask, value === 0 || value === 0n];
  const single = typeof mask === "number" && (mask & (mask - 1)) === 0;
  if (all || none)
    return single || !not
      ? `${what} ${all !== not ? "with" : "without"} ${single ? "bit" : "the bits"} ${hex(mask)}`
      : `${all ? no : ""}${what} with ${all ? "all" : "any"} of the bits ${hex(mask)}`;
  return `${no}${what} that is ${hex(value)} in the bits ${hex(mask)}`;
}

/** A part of a rule's question as what packets do: `come in by eth0`, `either A or B`. */
function clause(form: Form, about: About): string {
  switch (form.kind) {
    case "in":
      return asked(form, about);
    case "bits":
      return bits(form);
    case "spelled":
      return `${form.not ? "do not match" : "match"} ${form.text}`;
    case "all":
      return form.of.map((part) => clause(part, about)).join(" and ");
    case "some":
      return form.of.length === 2
        ? `either ${clause(form.of[0]!, about)} or ${clause(form.of[1]!, about)}`
        : `do one of these: ${form.of.map((part) => clause(part, about)).join("; ")}`;
  }
}

type Asked = Extract<Leaf, { kind: "in" }>;

const isOf = (part: Form, field: Field): boolean =>
  (part.kind === "in" || part.kind === "bits") && part.field === field;

/** Order in which clauses are said. */
const ORDER: readonly Field[] = ["in", "physin", "out", "physout", "ctstate", "ctstatus"];

/** A question as the packets that it is about: who they are, and what must be matched that no ruleset tells. */
export interface Subject {
  /** `TCP packets to port 80 that come in by eth0`: a plural. */
  readonly who: string;
  /** Matches that stand behind the verb as they are spelled; `why` says why nobody can tell whether they hold. */
  readonly only: readonly { readonly text: string; readonly why: string | null }[];
}

/** The packets that a rule is about. */
export function subject(form: Form, about: About): Subject {
  if (isAlways(form)) return { who: "All that get this far", only: [] };
  if (isNever(form)) return { who: "No packets at all", only: [] };
  const parts = form.kind === "all" ? [...form.of] : [form];
  const take = (field: Field, fits: (leaf: Asked) => boolean = () => true): Asked | undefined => {
    const i = parts.findIndex((part) => part.kind === "in" && part.field === field && fits(part));
    return i < 0 ? undefined : (parts.splice(i, 1)[0] as Asked);
  };
  const single = ({ ranges, not }: Asked): boolean =>
    !not && ranges.length === 1 && ranges[0]![0] === ranges[0]![1];
  // What has ports is no later fragment, which nobody needs to be told.
  take("fragment", (leaf) => single(leaf) && leaf.ranges[0]![0] === 0);
  const proto = take("proto", single)?.ranges[0]?.[0] as number | undefined;
  const type =
    proto === PROTO.icmp || proto === PROTO.icmpv6
      ? take("type", (leaf) => icmp(leaf) !== undefined)
      : undefined;
  function icmp({ ranges, not }: Asked): string | undefined {
    const [range] = ranges;
    return not || ranges.length !== 1 || range === undefined || range[0] !== range[1]
      ? undefined
      : icmpName(range[0] as number, about.facts.family);
  }
  const kind = type === undefined ? "" : ` ${icmp(type)!}`;
  const noun =
    proto === undefined
      ? "Packets"
      : protoText(proto).startsWith("protocol")
        ? `Packets of ${protoText(proto)}`
        : `${protoText(proto)}${kind} packets`;
  const end = (word: string, address: Field, port: Field): string => {
    const where = parts
      .filter((part) => isOf(part, address))
      .map((part) => clause(part, about).replace(/^are (from|to) /, ""));
    const which = take(port);
    if (where.length > 0) parts.splice(0, parts.length, ...parts.filter((part) => !isOf(part, address)));
    const places = list(where, "and");
    if (which === undefined) return places === "" ? "" : ` ${word} ${places}`;
    const numbers = asked(which, about).replace(/^are (from|to) /, "");
    return ` ${word} ${numbers}${places === "" ? "" : ` of ${places}`}`;
  };
  const modifiers = `${end("from", "src", "sport")}${end("to", "dst", "dport")}`;
  if (parts.some((part) => isOf(part, "uid") || isOf(part, "gid"))) take("socket", ({ not }) => !not);
  // That conntrack knows a packet goes without saying where its connection is spoken of.
  const spoken = parts.some(
    (part) => (part.kind === "in" || part.kind === "bits") && /^ct(?!state)/.test(part.field),
  );
  if (spoken) take("ctstate", ({ ranges, not }) => !not && states(ranges, false) === "conntrack knows");
  const place = (part: Form): number => {
    const i = part.kind === "in" || part.kind === "bits" ? ORDER.indexOf(part.field) : -1;
    return i < 0 ? ORDER.length : i;
  };
  const unknown = parts.filter((part) => part.kind === "spelled");
  const clauses = parts
    .filter((part) => part.kind !== "spelled")
    .sort((a, b) => place(a) - place(b))
    .map((part) => clause(part, about));
  const alone = noun === "Packets" && modifiers === "" && clauses.length === 0;
  return {
    who: alone
      ? "All that get this far"
      : `${noun}${modifiers}${clauses.length === 0 ? "" : ` that ${joined(clauses)}`}`,
    only: unknown,
  };
}

/** Clauses behind one `that`: the word is said again where what stands before would swallow it. */
function joined(clauses: readonly string[]): string {
  const whole = clauses.map((c, i) =>
    i > 0 && /^(a program|no program|conntrack)/.test(c) ? `that ${c}` : c,
  );
  return list(whole, "and");
}

const place = (nat: Nat, about: About): string => {
  const { to, ports: given } = nat;
  const port =
    given === null
      ? null
      : given.first === given.last
        ? String(given.first)
        : `${given.first}-${given.last}${given.base === undefined ? "" : `, counted from ${given.base}`}`;
  switch (to.kind) {
    case "keep":
      return port === null ? "the same address" : `port ${port}, the address stays`;
    case "interface":
      return nat.side === "dst"
        ? `this host itself${port === null ? "" : `, port ${port}`}`
        : `the address of the interface they leave by${port === null ? "" : `, port ${port}`}`;
    case "netmap":
      return `the same place in ${printPrefix({ address: to.address, mask: to.mask })}`;
    case "range": {
      const single = to.first === to.last;
      const container = single ? containerAt(about.host, to.first) : null;
      const text =
        single && given !== null && given.first === given.last
          ? at(printAddress(to.first), given.first)
          : `${single ? printAddress(to.first) : printAddressRange([to.first, to.last])}${port === null ? "" : `, port ${port}`}`;
      return `${text}${container === null ? "" : ` (container ${container.name})`}`;
    }
  }
};

/** Where ACCEPT lets packets go on to other tables, which may still drop them. */
const ACCEPTED: Partial<Record<TableName, string>> = {
  raw: "are done with table raw, and go on",
  mangle: "are done with table mangle, and go on",
  nat: "stay as they are: table nat is done with them and with all later packets of the connection",
};

/** Names of what a target changes. */
const CHANGED: Partial<Record<Field, string>> = {
  mark: "mark",
  tos: "TOS",
  ttl: "TTL",
  flags: "TCP flags",
};

/**
 * What becomes of a rule's packets, a verb in the plural: `are dropped`. Jumps and returns depend on where the rule
 * stands: see `explain`.
 * @param target the rule's target as it is spelled, and what it does beside deciding, where that is known
 */
export function verb(
  effect: Exclude<Effect, { kind: "jump" | "goto" | "return" }>,
  table: TableName,
  target: { readonly text: string; readonly does?: string | undefined },
  about: About,
): string {
  switch (effect.kind) {
    case "verdict":
      return {
        accept: ACCEPTED[table] ?? "are accepted",
        drop: "are silently dropped",
        reject: "are rejected, and their sender is told",
      }[effect.verdict];
    case "nat": {
      const random = effect.random ? ", chosen at random" : "";
      return effect.side === "dst"
        ? `are sent on to ${place(effect, about)}${random}: this and every later packet of the connection`
        : `go out as if they came from ${place(effect, about)}${random}: this and every later packet of the connection`;
    }
    case "note":
      if (target.text === "") return "are counted, and go on";
      return `go on: ${target.text} ${target.does ?? "decides nothing"}`;
    case "opaque":
      return `may end here or not: ${target.text} decides, and no ruleset tells how (${effect.why})`;
    case "fork": {
      const why = whyUnknown(effect.when);
      if (why !== null)
        return `may end here or not: ${target.text} decides, and no ruleset tells how (${why})`;
      const [stolen] = [...ends(effect)].flatMap((end) => (end.kind === "stolen" ? [end.why] : []));
      return `go on, or stay with the kernel: ${stolen}`;
    }
    case "hotdrop":
    case "stolen":
      return `are dropped: ${effect.why}`;
    case "assign": {
      const { field, change } = effect;
      if (field === "ctstate")
        return "are not tracked: conntrack leaves them alone, and so does the nat table";
      const mine = field === "ctmark";
      const what = mine ? "mark of their connection" : (CHANGED[field] ?? field);
      if (change.kind === "add")
        return `get a ${what} ${Math.abs(change.by)} ${change.by < 0 ? "lower" : "higher"}, and go on`;
      if (change.kind === "copy")
        return `${mine ? "leave their mark at their connection" : "get the mark of their connection"}, and go on`;
      const { clear, xor } = change;
      if (field === "flags") return `lose the TCP flags ${list(flagNames(clear), "and")}, and go on`;
      if (clear === 0xffff_ffff || (clear === 0xff && field !== "mark"))
        return mine
          ? `mark their connection with ${hex(xor)}, and go on`
          : `get the ${what} ${field === "ttl" ? xor : hex(xor)}, and go on`;
      if (field === "tos" && clear === 0xfc) return `get DSCP ${xor >>> 2}, and go on`;
      const whose = mine ? "the mark of their connection" : `their ${what}`;
      if (clear === xor) return `get the bits ${hex(xor)} set in ${whose}, and go on`;
      if (xor === 0) return `lose the bits ${hex(clear)} of ${whose}, and go on`;
      if (clear === 0) return `get the bits ${hex(xor)} flipped in ${whose}, and go on`;
      if ((xor & ~clear) === 0) return `get ${hex(xor)} in the bits ${hex(clear)} of ${whose}, and go on`;
      return `get the ${what} (old & ~${hex(clear)}) ^ ${hex(xor)}, and go on`;
    }
  }
}
