/**
 * The syntax tree of `nft list ruleset` and of files for `nft -f`: all that the text contains, in its order, without meaning.
 * Words are kept as they are written: `filter - 10` of a priority, `80` or `http` of a port.
 */

/** `error`: a part of the text is missing in the document. `warning`: the document is complete. */
export type Severity = "error" | "warning";

/** A place in the text. */
export interface Position {
  /** 1-based line. */
  readonly line: number;
  /** 1-based column in UTF-16 units. */
  readonly column: number;
}

/** One error or warning, with its position. */
export interface Diagnostic extends Position {
  readonly severity: Severity;
  /** Message without position. */
  readonly message: string;
  /** The offending text, at most 80 characters; `""` at the end of the text. */
  readonly found: string;
}

// Expressions -----------------------------------------------------------------------------------------------------------

/** A literal: a number, an address, a time, a symbol (`established`), or a quoted string, whose text has no quotes. */
export interface Value {
  readonly kind: "value";
  readonly text: string;
  readonly quoted: boolean;
}

/** `10.0.0.0/8`, and `ct0/3` of a value under a mask. */
export interface Prefix {
  readonly kind: "prefix";
  readonly value: Expression;
  /** Length in bits, as written. */
  readonly length: string;
}

/** `syn / fin,syn,rst,ack`: a value under a mask. */
export interface Mask {
  readonly kind: "mask";
  readonly value: Expression;
  readonly mask: Expression;
}

/** `1024-65535`. */
export interface RangeOf {
  readonly kind: "range";
  readonly first: Expression;
  readonly last: Expression;
}

/** `a . b`. */
export interface Concatenation {
  readonly kind: "concatenation";
  readonly parts: readonly Expression[];
}

/** `syn,ack`: values joined by commas outside braces; bits of one value. */
export interface List {
  readonly kind: "list";
  readonly items: readonly Expression[];
}

/** `*` in a set: every other value. */
export interface CatchAll {
  readonly kind: "catch-all";
}

/** One element of a set or a map. */
export interface Element {
  readonly key: Expression;
  /** Right side of a map (`key : data`): an expression or a verdict; `null` in a set. */
  readonly data: Expression | Verdict | null;
  /** Words after the key: `timeout 1h`, `expires 59m`, `counter packets 0 bytes 0`, `limit rate 1/second`, `comment "x"`. */
  readonly options: readonly string[];
  /** Words of the comment, without quotes; absent without one. */
  readonly comment?: string;
  /** The key has a timeout or expires: it is in the set for a while only. */
  readonly expires?: true;
}

/** `{ 22, 80-90 }`, anonymous. */
export interface SetLiteral {
  readonly kind: "set";
  readonly elements: readonly Element[];
}

/** `@name`: a named set, map or other object of the same table. */
export interface SetReference {
  readonly kind: "reference";
  readonly name: string;
}

/** `$name`, defined by `define name = ...`. */
export interface Variable {
  readonly kind: "variable";
  readonly name: string;
}

/**
 * An expression that reads something: `ip saddr` is `["ip", "saddr"]`, `meta l4proto`, `iifname` (as `["iifname"]`),
 * `ct original ip saddr`, `tcp option maxseg size`, `fib daddr . iif type` as `["fib", "daddr . iif", "type"]`, `rt nexthop`,
 * `socket cgroupv2 level 2`, `@th,16,16` as `["@", "th", "16", "16"]`, `numgen random mod 2 offset 1`,
 * `exthdr hbh`, `ipsec in reqid`, `osf ttl loose name`, `xfrm ...`.
 */
export interface Selector {
  readonly kind: "selector";
  readonly words: readonly string[];
  /** Expressions inside it: the input of `jhash ip saddr . tcp dport mod 2`. */
  readonly inputs?: readonly Expression[];
}

/** `a & b`. */
export interface Binary {
  readonly kind: "binary";
  /** `&`, `|`, `^`, `<<`, `>>`. */
  readonly operator: string;
  /** The operator as a word, if the text has one: `and`, `or`, `xor`, `lshift`, `rshift`. */
  readonly word?: string;
  readonly left: Expression;
  readonly right: Expression;
}

/** `tcp dport map { 80 : 10.0.0.1 }`: the value that a map has for a key. */
export interface MapLookup {
  readonly kind: "map";
  readonly key: Expression;
  readonly map: SetLiteral | SetReference | Variable;
}

export type Expression = (
  | Value
  | Prefix
  | Mask
  | RangeOf
  | Concatenation
  | List
  | CatchAll
  | SetLiteral
  | SetReference
  | Variable
  | Selector
  | Binary
  | MapLookup
) & { readonly at?: Position };

// Statements ------------------------------------------------------------------------------------------------------------

/** A comparison: `tcp dport 80` has the operator `""`; others are `==`, `!=`, `<`, `<=`, `>`, `>=`, `!` (`tcp flags ! syn`). */
export interface Match {
  readonly kind: "match";
  readonly left: Expression;
  readonly operator: "" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "!";
  readonly right: Expression;
}

/** `accept`, `drop`, `continue`, `return`, `jump NAME`, `goto NAME`, or a jump to a chain in braces. */
export interface Verdict {
  readonly kind: "verdict";
  readonly verdict: "accept" | "drop" | "continue" | "return" | "jump" | "goto" | "queue";
  /** Chain of a jump or goto. */
  readonly chain?: string;
  /** Rules of an anonymous chain: `jump { counter accept }`. */
  readonly rules?: readonly Rule[];
}

/** `ip saddr vmap { 10.0.0.1 : drop }`. */
export interface VerdictMap {
  readonly kind: "vmap";
  readonly key: Expression;
  readonly map: SetLiteral | SetReference | Variable;
}

/**
 * `meta mark set 1`, `ip ttl set 64`, `ct mark set meta mark`, `tcp option maxseg size set rt mtu`, `ct helper set "ftp"`,
 * `ct timeout set "x"`, `ct expectation set "x"`.
 */
export interface Assignment {
  readonly kind: "assignment";
  readonly target: Selector;
  readonly value: Expression;
}

/** `snat to 1.2.3.4:1000-2000 random`, `dnat ip to tcp dport map @m`, `masquerade to :1024-65535`, `redirect to :80`. */
export interface NatStatement {
  readonly kind: "nat";
  readonly type: "snat" | "dnat" | "masquerade" | "redirect";
  /** `ip` or `ip6` in tables of family inet; `""` if not written. */
  readonly family: "" | "ip" | "ip6";
  /** `prefix` and `interval` before `to`; `addr . port` is in `address` as a map of concatenations. */
  readonly words: readonly string[];
  /** The new address, or a map to it; `null` if absent. A map may give `address . port`. */
  readonly address: Expression | null;
  /** The new port or ports after `:`; `null` if absent. */
  readonly port: Expression | null;
  /** `random`, `fully-random`, `persistent`. */
  readonly flags: readonly string[];
}

/** `reject`, `reject with icmp port-unreachable`, `reject with tcp reset`. */
export interface Reject {
  readonly kind: "reject";
  /** Words after `with`; none if absent. */
  readonly words: readonly string[];
}

/** `add @blocked { ip saddr timeout 1h }`, `update @m { ip saddr : 1 }`, `delete @s { ip saddr }`. */
export interface SetStatement {
  readonly kind: "set";
  readonly operation: "add" | "update" | "delete";
  readonly set: string;
  readonly key: Expression;
  readonly data: Expression | Verdict | null;
  /** Words after the key: `timeout 1h`. */
  readonly options: readonly string[];
  /** Statements of the element: `limit rate over 3/minute`, `counter`. */
  readonly statements: readonly Statement[];
}

/** `limit rate over 10/second burst 5 packets`, `quota over 10 mbytes`, `ct count over 20`, `limit name "x"`, `quota name "x"`. */
export interface LimitStatement {
  readonly kind: "limit";
  /** Words of the statement; the first is `limit`, `quota` or `ct` (count). */
  readonly words: readonly string[];
  /** The map of `limit name tcp dport map { 22 : "slow" }`. */
  readonly inputs?: readonly Expression[];
}

/** `tproxy ip to 127.0.0.1:80`. */
export interface TproxyStatement {
  readonly kind: "tproxy";
  readonly family: "" | "ip" | "ip6";
  readonly address: Expression | null;
  readonly port: Expression | null;
}

/** `xt match "limit"`, `xt target "LOG"`: an extension of iptables that nft does not print. */
export interface XtStatement {
  readonly kind: "xt";
  readonly type: string;
  readonly name: string;
  /** The name has no quotes, as nft 1.0.6 prints it. */
  readonly bare?: true;
}

/**
 * Every other statement, by its first word: `counter`, `log`, `notrack`, `queue`, `dup`, `fwd`, `flow`, `synproxy`, `last`,
 * `meter`, `reset` (of `reset tcp option`), `comment` if it is not the end of the rule. `ct helper set` and the like are assignments.
 */
export interface OtherStatement {
  readonly kind: "other";
  /** The statement's words as written; quoted ones with their quotes. */
  readonly words: readonly string[];
  /** Expressions after the words: queue number, addresses and devices of `dup` and `fwd`, key of `meter`, map of `counter name`. */
  readonly inputs?: readonly Expression[];
  /** Statements of `meter NAME { KEY STATEMENT }`. */
  readonly statements?: readonly Statement[];
}

/**
 * The rest of a rule from the first statement that has no known syntax; a diagnostic reports it. Or a statement that nft printed
 * as an empty text between two blanks: a match of iptables-nft, whose condition is lost. Its effect is unknown.
 */
export interface UnknownStatement {
  readonly kind: "unknown";
  /** As written; `""` for an empty text. */
  readonly text: string;
}

export type Statement = (
  | Match
  | Verdict
  | VerdictMap
  | Assignment
  | NatStatement
  | Reject
  | SetStatement
  | LimitStatement
  | TproxyStatement
  | XtStatement
  | OtherStatement
  | UnknownStatement
) & { readonly at?: Position };

/** Structure of a rule without its values. Within one parse, equal shapes are one object. */
export interface Shape {
  /** Number of values. */
  readonly count: number;
}

/** Offsets of values in a text. */
export interface ValueSpans {
  /** The whole text. */
  readonly text: string;
  readonly offsets: Uint32Array;
}

/** Index of the start of a rule's first value in the offsets, relative to `Rule.at`; each value has a start and an end. */
export const VALUE_SPANS = 4;

/** One rule. */
export interface Rule extends Position {
  readonly kind: "rule";
  /** Rules of one shape have the same statements and selectors; only the texts of values and the names of chains and sets differ. */
  readonly shape: Shape;
  /** Texts of the values and names in which rules of one shape differ, in the order of the text, without quotes. */
  readonly values: readonly string[];
  /** Positions of the values in the text; `null` for a rule that the grammar parsed. */
  readonly spans: ValueSpans | null;
  /** Index of the rule in the offsets. */
  readonly at: number;
  /** Built at each read. */
  readonly statements: readonly Statement[];
  /** `comment "..."` at its end, without quotes; `null` without one. */
  readonly comment: string | null;
  /** `# handle 5` of `nft -a`; `null` if not printed. */
  readonly handle: number | null;
  /** The rule as written, without the indentation of its first line and without its handle. */
  readonly text: string;
  /** Returns one of the values without building the others. */
  value(index: number): string;
  /**
   * Returns the statements as properties that call a function when a text of them is read that contains a value. A result
   * that reads no value, or only some, is the same for all rules of the shape that agree in these.
   * @param onRead is called with the index of the value
   * @returns `null` if other rules of the shape may have other statements
   */
  observe(onRead: (index: number) => void): readonly Statement[] | null;
}

// Objects ---------------------------------------------------------------------------------------------------------------

/** `type filter hook input priority filter + 5; policy drop;`. */
export interface BaseChainLine extends Position {
  /** `filter`, `nat` or `route`. */
  readonly type: string;
  /** `input`, `ingress`, ... */
  readonly hook: string;
  /** Names of devices of ingress and egress. */
  readonly devices: readonly string[];
  /** The names of devices have no quotes: nft 1.0.6 prints several devices like this. */
  readonly bareDevices?: true;
  /** As written: `0`, `-100`, `filter`, `filter + 10`. */
  readonly priority: string;
  /** `accept` or `drop`; `null` if not written. */
  readonly policy: string | null;
}

export interface Chain extends Position {
  readonly kind: "chain";
  readonly name: string;
  readonly base: BaseChainLine | null;
  readonly comment: string | null;
  /** `offload` and the like. */
  readonly flags: readonly string[];
  readonly rules: readonly Rule[];
  readonly handle: number | null;
  /** `define x = 5` and the like in the block, for what follows them there; absent without any. */
  readonly definitions?: readonly Command[];
}

/** A named set or map. */
export interface NamedSet extends Position {
  readonly kind: "set" | "map";
  readonly name: string;
  /** Key: `type ipv4_addr . inet_service` has `["ipv4_addr", "inet_service"]`; `typeof ip saddr . tcp dport` the selectors. */
  readonly key: { readonly type: readonly string[] } | { readonly typeof: Expression } | null;
  /** Data of a map: `verdict`, `ipv4_addr . inet_service`, `mark`; `null` for a set. */
  readonly data: { readonly type: readonly string[] } | { readonly typeof: Expression } | null;
  /** The data are intervals (`interval ipv4_addr`), or objects (`counter`, `limit`). */
  readonly dataWord?: string;
  /** `constant`, `interval`, `timeout`, `dynamic`. */
  readonly flags: readonly string[];
  /** Words of other properties: `size 65535`, `timeout 1h`, `gc-interval 5m`, `auto-merge`, `policy memory`, `counter`, `# count 3`. */
  readonly properties: readonly (readonly string[])[];
  readonly comment: string | null;
  /** `null` if the text has no line `elements`: an empty set, or a listing without elements (`nft -t`). */
  readonly elements: readonly Element[] | null;
  /** Elements in each line of the text but the last; 0 if all are in one line. The choice of nft depends on the type of the key. */
  readonly elementsPerLine: number;
  readonly handle: number | null;
  /** `define x = 5` and the like in the block, for what follows them there; absent without any. */
  readonly definitions?: readonly Command[];
}

/** A named counter, quota, limit, ct helper, ct timeout, ct expectation, flowtable, secmark or synproxy. */
export interface NamedObject extends Position {
  readonly kind: "object";
  /** `counter`, `quota`, `limit`, `ct helper`, `ct timeout`, `ct expectation`, `flowtable`, `secmark`, `synproxy`, `tunnel`. */
  readonly type: string;
  readonly name: string;
  /** Words of its body, statement by statement. */
  readonly body: readonly (readonly string[])[];
  readonly comment: string | null;
  readonly handle: number | null;
  /** `define x = 5` and the like in the block, for what follows them there; absent without any. */
  readonly definitions?: readonly Command[];
}

/** `table inet filter { ... }`. */
export interface Table extends Position {
  readonly kind: "table";
  /** `ip` if not written. */
  readonly family: "ip" | "ip6" | "inet" | "arp" | "bridge" | "netdev";
  readonly name: string;
  /** `dormant`, `owner`, `persist`. */
  readonly flags: readonly string[];
  readonly comment: string | null;
  /** Chains, sets, maps and objects in the order of the text. */
  readonly entries: readonly (Chain | NamedSet | NamedObject)[];
  /** Name in `# progname firewalld`: the program that owns the table; `null` if not printed. */
  readonly program: string | null;
  /** `# Warning: table ip nat is managed by iptables-nft, do not touch!` precedes it. */
  readonly managed?: true;
  readonly handle: number | null;
  /** `define x = 5` and the like in the block, for what follows them there; absent without any. */
  readonly definitions?: readonly Command[];
}

/**
 * A command of a file for `nft -f`: `add table inet x`, `add rule inet x input tcp dport 22 accept`, `flush ruleset`,
 * `delete chain ip x y`. A table block without a verb is an entry of its own.
 */
export interface Command extends Position {
  readonly kind: "command";
  /** `add`, `insert`, `create`, `replace`, `delete`, `destroy`, `flush`, `rename`, `reset`, `define`, `undefine`, `redefine`; `add` if not written. */
  readonly verb: string;
  /** `table`, `chain`, `rule`, `set`, `map`, `element`, `ruleset`, `variable`, or the type of another object. */
  readonly object: string;
  readonly family: Table["family"];
  /** Name of the table; `""` for `flush ruleset`. */
  readonly table: string;
  /** Name of the chain, set, map, object or variable; family of `flush ruleset ip`; `""` without one. */
  readonly name: string;
  /** New name of `rename chain`. */
  readonly newName?: string;
  /** Rule of `add rule`; chain of `add chain`; set of `add set`; set literal of `add element`; value of `define`; else `null`. */
  readonly body: Rule | Chain | NamedSet | NamedObject | Table | Expression | null;
  /** `position 3`, `index 2`, `handle 5`; `null` without one. */
  readonly place: { readonly word: string; readonly number: number } | null;
}

/** `# ...` in a line of its own, without the `#`. */
export interface Comment extends Position {
  readonly kind: "comment";
  readonly text: string;
}

/** A whole file. */
export interface Document {
  /** In the order of the text. */
  readonly entries: readonly (Table | Command | Comment)[];
}
