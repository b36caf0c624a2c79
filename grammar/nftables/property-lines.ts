/** Lines of tables, sets and objects that are read as words: the forms that nft takes. */

const STRING = '(?:"[^"]*"|[A-Za-z_][\\w./*\\\\-]*)';
const BYTES = "\\d+ ?[a-z]+";
const RATE = `rate (?:over )?(?:\\d+|${BYTES}) ?/ ?[a-z]+(?: burst (?:\\d+ packets|${BYTES}))?`;
const COUNTER = "packets \\d+ bytes \\d+";
const QUOTA = `(?:(?:over|until) )?${BYTES}(?: used ${BYTES})?`;
const list = (item: string): string => `${item}(?: , ${item})*`;
const braces = (item: string): string => `\\{ ${list(item)}(?: ,)? \\}`;
/** A statement that each element of a set has. */
const STATEFUL = `(?:counter(?: ${COUNTER})?|limit ${RATE}|quota ${QUOTA}|ct count (?:over )?\\d+|last(?: used \\w+)?)`;
const SET = [
  "size \\d+",
  "(?:timeout|gc-interval) \\w+",
  "policy (?:performance|memory)",
  "auto-merge",
  `${STATEFUL}(?: ${STATEFUL})*`,
];

/** Forms of the lines of each block: their words, joined by blanks. */
const FORMS = {
  counter: [COUNTER],
  quota: [QUOTA],
  limit: [RATE],
  secmark: [STRING],
  synproxy: [
    "mss \\d+(?: wscale \\d+)?(?: timestamp)?(?: sack-perm)?",
    "(?:wscale \\d+ ?)?(?:timestamp ?)?(?:sack-perm)?",
  ],
  "ct helper": [`type "[^"]*" protocol \\w+`, "l3proto \\w+"],
  "ct timeout": ["protocol \\w+", "l3proto \\w+", `policy = ${braces("\\w+ : \\w+")}`],
  "ct expectation": ["protocol \\w+", "dport \\d+", "timeout \\w+", "size \\d+", "l3proto \\w+"],
  flowtable: [
    "hook \\w+ priority (?:- ?)?\\w+(?: ?[+-] ?\\w+)?",
    `devices = (?:\\$\\w+|${braces(`\\$?${STRING}`)})`,
    "counter",
    "flags offload",
  ],
  set: SET,
  map: SET,
};

const compile = (forms: readonly string[]): RegExp => new RegExp(`^(?:${forms.join("|")})$`);
const patterns: ReadonlyMap<string, RegExp> = new Map(
  Object.entries(FORMS).map(([kind, forms]) => [kind, compile(forms)]),
);
const COMMENT = compile([`comment ${STRING}`]);
const FLAGS = compile([`flags ${list("[a-z]+")}`]);

/** Returns true if a line of a block of this kind has a form that nft takes. */
export function isProperty(kind: string, words: readonly string[]): boolean {
  const line = words.join(" ");
  return patterns.get(kind)?.test(line) ?? isBalanced(words);
}

/** `comment "x"` */
export function isComment(words: readonly string[]): boolean {
  return COMMENT.test(words.join(" "));
}

/** `flags interval,timeout` */
export function isFlags(words: readonly string[]): boolean {
  return FLAGS.test(words.join(" "));
}

/** Returns true if a line of an unknown kind can be printed and read again. */
function isBalanced(words: readonly string[]): boolean {
  let depth = 0;
  for (const word of words) {
    if (word === "{") depth++;
    else if (word === "}" && --depth < 0) return false;
    else if (word.startsWith('"') && (word.length === 1 || !word.endsWith('"'))) return false;
  }
  return depth === 0;
}
