/** Random statements of nftables: verdicts, verdict maps, translations, and what may stand before a match. */
import type { Family } from "fwcheck";
import { chance, PORTS, pick, some, whole } from "../generate.ts";
import { keyParts, type Selector, selectors, type Theme } from "./matches.ts";
import { isNamed, isOrdered, keys, neighbour, type Place, type Type, value } from "./place.ts";

const hex = (n: number): string => `0x${n.toString(16)}`;

/** ` { key : data, ... }` of an anonymous map, or the name of one. */
function mapped(place: Place, parts: readonly Selector[], type: string, data: () => string): string {
  const { next } = place;
  const types = parts.map((p) => p.type);
  const intervals = chance(next, 0.4) && types.some(isOrdered);
  const pairs = keys(next, types, intervals, whole(next, 1, 5)).map((each) => `${each} : ${data()}`);
  if (!types.every(isNamed) || chance(next, 0.5)) return `{ ${pairs.join(", ")} }`;
  const others = chance(next, 0.15) ? [`* : ${data()}`] : [];
  return `@${place.sets.map(types, type, [...pairs, ...others], intervals)}`;
}

const text = (parts: readonly Selector[]): string => parts.map((p) => p.text).join(" . ");

/** A verdict, of the end of a rule or of an element. */
function verdict(place: Place): string {
  const { next, chains } = place;
  const calls =
    chains.length === 0
      ? []
      : [`jump ${pick(next, chains)}`, `jump ${pick(next, chains)}`, `goto ${pick(next, chains)}`];
  return pick(next, ["accept", "accept", "drop", "return", "continue", ...calls, ...calls]);
}

/** A verdict map over one expression or several. */
export function verdictMap(place: Place, theme: Theme): string {
  const { next } = place;
  const parts = chance(next, 0.6) ? [pick(next, selectors(place, theme))] : keyParts(place, theme, 1);
  const named = parts.filter((p) => p.type !== "uid");
  const used = named.length === 0 ? [{ text: "iifname", type: "ifname" as Type }] : named;
  return `${text(used)} vmap ${mapped(place, used, "verdict", () => verdict(place))}`;
}

/** A new mark from a number, another mark, or a map. */
function markValue(place: Place, theme: Theme, own: "meta mark" | "ct mark"): string {
  const { next } = place;
  const number = (): string => hex(whole(next, 0, 3));
  const from = pick(next, ["meta mark", "ct mark"]);
  return pick(next, [
    number,
    number,
    () => `${own} | ${hex(whole(next, 1, 3))}`,
    () => `${own} & ${hex(pick(next, [1, 2, 0xf0]))}`,
    () => `${own} ^ ${hex(whole(next, 1, 3))}`,
    () => `${own} & 0xfffffff0 | ${hex(whole(next, 1, 3))}`,
    () => `${own} & 0xfffffffc ^ 0x1`,
    () => from,
    () => `${from} & ${hex(pick(next, [1, 3]))}`,
    () => `${from} | ${hex(pick(next, [1, 2]))}`,
    () => shifted(place, from),
    () => (place.modern ? small(place, theme) : shifted(place, from)),
    () => {
      const parts = chance(next, 0.7) ? [pick(next, selectors(place, theme))] : keyParts(place, theme, 1);
      const used = parts.filter((p) => p.type !== "uid");
      if (used.length === 0) return number();
      return `${text(used)} map ${mapped(place, used, "mark", number)}`;
    },
  ])();
}

/** A mark, shifted. Few values remain: the set engine tracks each combination of marks. */
const shifted = ({ next }: Place, from: string): string =>
  `${from} ${pick(next, ["<< 1 & 0x3", "<< 4 & 0x10", ">> 1", ">> 4", "<< 31", ">> 28 & 0x7", ">> 1 ^ 0x1", "<< 1 & 0x1 | 0x2"])}`;

/** An expression of a few bits as a mark. */
function small({ next }: Place, { protocol, family }: Theme): string {
  const forms = ["ct direction", "meta l4proto & 0x3"];
  if (family !== undefined) {
    const dscp = family === 4 ? "ip dscp" : "ip6 dscp";
    forms.push(`${dscp} >> 4`, `${dscp} >> 4`, `${dscp} << 2 & 0x10 | 0x1`, `${dscp} << 30`);
    if (chance(next, 0.1)) forms.push(dscp);
  }
  if (protocol === "icmp") forms.push("icmp type & 0x3", "icmp code & 0x1");
  if (protocol === "icmpv6") forms.push("icmpv6 type & 0x3");
  return pick(next, forms);
}

/** A statement after which the rule goes on. */
export function passing(place: Place, theme: Theme): string {
  const { next } = place;
  const n = next();
  if (n < 0.3) return "counter";
  if (n < 0.5) return `meta mark set ${markValue(place, theme, "meta mark")}`;
  if (n < 0.68) return `ct mark set ${markValue(place, theme, "ct mark")}`;
  if (n < 0.75)
    return pick(next, ["log", 'log prefix "seen " group 5', "meta priority set 1:2", "ct event set new"]);
  return payload(place, theme);
}

const addressOf = (next: Place["next"], family: Family): string =>
  `${family === 4 ? "ip" : "ip6"} ${pick(next, ["saddr", "daddr"])}`;

/** A change of some bits of an address, or one that a map decides. */
function changedAddress(place: Place, family: Family): string {
  const { next } = place;
  const own = addressOf(next, family);
  const [prefix, host] = family === 4 ? ["255.255.255.0", "0.0.0.9"] : ["ffff:ffff:ffff:ffff::", "::9"];
  const type: Type = family === 4 ? "ipv4_addr" : "ipv6_addr";
  const key = [{ text: addressOf(next, family), type }];
  return pick(next, [
    () => `${own} set ${own} & ${prefix}`,
    () => `${own} set ${own} & ${prefix} | ${host}`,
    () => `${own} set ${own} ^ ${host}`,
    () => `${own} set ${text(key)} map ${mapped(place, key, type, () => neighbour(next, family))}`,
  ])();
}

/** Changes of the header; most of one that decides no route. */
function payload(place: Place, { family, protocol }: Theme): string {
  const { next } = place;
  const forms: string[] = ["notrack", "notrack"];
  if (place.base === null || !/^(prerouting|output)$/.test(place.base.hook)) forms.splice(0);
  if (family === 4)
    forms.push(
      `ip ttl set ${pick(next, [1, 5, 64])}`,
      `ip dscp set ${value(next, "dscp")}`,
      `ip ecn set ${pick(next, ["not-ect", "ect0"])}`,
    );
  if (family === 6)
    forms.push(`ip6 hoplimit set ${pick(next, [1, 5, 64])}`, `ip6 dscp set ${value(next, "dscp")}`);
  if (protocol === "tcp" || protocol === "udp")
    if (chance(next, 0.15))
      forms.push(`${protocol} ${pick(next, ["dport", "sport"])} set ${pick(next, PORTS)}`);
  if (protocol === "tcp") forms.push("tcp option maxseg size set 1200");
  if (family !== undefined && chance(next, 0.1))
    forms.push(`${addressOf(next, family)} set ${neighbour(next, family)}`, changedAddress(place, family));
  if (place.modern && family === 4 && chance(next, 0.3))
    forms.push(`ip ttl set ip ttl & ${hex(pick(next, [0xf0, 0x3f]))}`, "ip dscp set ip dscp | 0x01");
  if (place.modern && family === 6 && chance(next, 0.3))
    forms.push("ip6 hoplimit set ip6 hoplimit | 0x40", "ip6 dscp set ip6 dscp & 0x3c");
  return forms.length === 0 ? "counter" : pick(next, forms);
}

/** `reject` in all its forms. */
function reject({ next, family: table }: Place, { protocol, family }: Theme): string {
  const kinds = ["host-unreachable", "net-unreachable", "port-unreachable", "admin-prohibited"];
  const forms = ["reject"];
  if (family === 4 || table === "ip") forms.push(`reject with icmp ${pick(next, kinds)}`);
  if (family === 6 || table === "ip6")
    forms.push(`reject with icmpv6 ${pick(next, ["no-route", "admin-prohibited", "addr-unreachable"])}`);
  if (table === "inet" && family === undefined)
    forms.push(
      `reject with icmpx ${pick(next, ["host-unreachable", "port-unreachable", "admin-prohibited"])}`,
    );
  if (protocol === "tcp") forms.push("reject with tcp reset");
  return pick(next, forms);
}

const bracket = (address: string, port: string | number): string =>
  address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;

/** Two addresses of a range. */
function between(place: Place, family: Family): string {
  const base =
    family === 4
      ? pick(place.next, ["203.0.113.", "172.17.0.", "10.99.0."])
      : pick(place.next, ["2001:db8:1::", "fd00:17::"]);
  const first = whole(place.next, 2, 8);
  return `${base}${first}-${base}${whole(place.next, first + 1, 9)}`;
}

/** A translation that the hook allows; a rule of a table of both families names the family. */
function translation(place: Place, theme: Theme): string {
  const { next, base } = place;
  const family = theme.family ?? place.packets;
  const to = (kind: "dnat" | "snat"): string =>
    place.family === "inet" ? `${kind} ${family === 4 ? "ip" : "ip6"} to` : `${kind} to`;
  const ported = theme.protocol === "tcp" || theme.protocol === "udp";
  const there = neighbour(next, family);
  const forms: string[] = [];
  const kind = base?.hook === "prerouting" || base?.hook === "output" ? "dnat" : "snat";
  const type: Type = family === 4 ? "ipv4_addr" : "ipv6_addr";
  const flags =
    kind === "snat"
      ? ["", "", "", " random", " fully-random", " persistent"]
      : ["", "", "", " random", " persistent"];
  forms.push(
    `${to(kind)} ${there}`,
    `${to(kind)} ${there}${pick(next, flags)}`,
    `${to(kind)} ${between(place, family)}${pick(next, flags)}`,
  );
  if (kind === "dnat") forms.push("redirect");
  if (base?.hook === "postrouting")
    forms.push(
      "masquerade",
      "masquerade",
      `masquerade${pick(next, [" random", " fully-random", " persistent"])}`,
    );
  if (ported) {
    const port = pick(next, PORTS);
    const ports = pick(next, [`${port}`, "8000-8010"]);
    forms.push(`${to(kind)} ${bracket(there, ports)}`, `${kind} to :${ports}`);
    if (kind === "dnat") {
      forms.push(`redirect to :${ports}`, `redirect to :${theme.protocol} dport map { 80 : 8080, 443 : 22 }`);
      const data = (): string => `${neighbour(next, family)} . ${pick(next, PORTS)}`;
      const used = [{ text: `${theme.protocol} dport`, type: "inet_service" as const }];
      forms.push(`${to(kind)} ${text(used)} map ${mapped(place, used, `${type} . inet_service`, data)}`);
    } else if (base?.hook === "postrouting") forms.push("masquerade to :40000-40010");
  }
  const parts = selectors(place, { ...theme, family }).filter(
    (s) => s.type === type || s.type === "ifname" || s.type === "mark",
  );
  const used = [pick(next, parts)];
  forms.push(`${to(kind)} ${text(used)} map ${mapped(place, used, type, () => neighbour(next, family))}`);
  return pick(next, forms);
}

/** The last statement of a rule; `""` for none. */
export function final(place: Place, theme: Theme): string {
  const { next, base, chains } = place;
  const n = next();
  if (chains.length > 0 && n < 0.28) return `${pick(next, ["jump", "jump", "goto"])} ${pick(next, chains)}`;
  if (base?.type === "nat" && n < 0.75) return translation(place, theme);
  if (n < 0.4) return verdictMap(place, theme);
  if (n < 0.43) {
    const inner = [verdict(place), verdict(place)].map(
      (v) => `${some(next, ["counter", `meta mark ${whole(next, 0, 2)}`], 2).join(" ")} ${v}`,
    );
    return `${pick(next, ["jump", "goto"])} {\n\t\t\t${inner.join("\n\t\t\t")}\n\t\t}`;
  }
  if (n < 0.48 && base !== null && base.type === "filter" && base.hook !== "postrouting")
    return reject(place, theme);
  return pick(next, ["accept", "accept", "accept", "drop", "return", "continue", "", "", ""]);
}
