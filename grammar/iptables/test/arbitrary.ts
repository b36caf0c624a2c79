/** Generators of rulesets: valid lines, lines with errors, and arbitrary text. */
import fc from "fast-check";

/** Number of runs per property; set `FUZZ_RUNS=200000` for a long test. */
export const runs = { numRuns: Number(process.env.FUZZ_RUNS ?? 300) };

const names = [
  "INPUT",
  "FORWARD",
  "DOCKER-USER",
  "ufw-user-input",
  "__proto__",
  "constructor",
  "a.b",
  "día",
  "LOG",
];
const chain = fc.constantFrom(...names);

/** Values that are likely to be parsed or quoted wrongly. */
export const value = fc.oneof(
  fc.constantFrom(
    "tcp",
    "80",
    "10.0.0.0/8",
    "eth0",
    "RELATED,ESTABLISHED",
    "docker0",
    "",
    "!",
    "-",
    "-5",
    "-4",
  ),
  fc.constantFrom(
    "-j",
    "--dport",
    "-foo",
    "--a=b",
    "a b",
    "\t",
    '"',
    "\\",
    "it's",
    '\\"',
    "#",
    "COMMIT",
    "[0:0]",
  ),
  fc.constantFrom(
    "*nat",
    ":x",
    "\r",
    "a\rb",
    "\u00e9",
    "\ufeff",
    "\u2028",
    "\u0001",
    "12,34",
    "007",
    "_proto_",
  ),
  fc.string({ unit: "binary", maxLength: 6 }).map((s) => s.replaceAll("\n", "")),
);

/** Quotes a value, which is valid for all values. */
const quoted = (word: string): string => `"${word.replace(/["\\]/g, "\\$&")}"`;
const bare = (word: string): boolean => /^[\w.,:/|]+$/.test(word);
const quotedOrBare = (word: string): fc.Arbitrary<string> =>
  bare(word) ? fc.constantFrom(word, word, word, quoted(word)) : fc.constant(quoted(word));

/** An option and its text. */
export interface OptionText {
  readonly option: { readonly negated: boolean; readonly name: string; readonly values: readonly string[] };
  readonly text: string;
}

const option = (name: fc.Arbitrary<string>, count: { min: number; max: number }): fc.Arbitrary<OptionText> =>
  fc
    .tuple(fc.boolean(), name, fc.array(value, { minLength: count.min, maxLength: count.max }))
    .chain(([negated, word, values]) =>
      fc.tuple(...values.map(quotedOrBare)).map((words) => ({
        option: { negated, name: word, values },
        text: [...(negated ? ["!"] : []), word, ...words].join(" "),
      })),
    );

const one = { min: 1, max: 1 };
/** Any option in valid syntax. */
export const validOption: fc.Arbitrary<OptionText> = fc.oneof(
  option(fc.constantFrom("-p", "-s", "-i", "--dport", "--syn", "--tcp-flags", "-4", "--x-y", "-f"), {
    min: 0,
    max: 2,
  }),
  option(
    fc.constantFrom("--comment", "--log-prefix", "--string", "--name", "--u32", "--helper", "--label"),
    one,
  ),
  option(fc.constantFrom("-m", "--match", "-j", "-g", "--jump"), one),
);

const match = fc.constantFrom("tcp", "udp", "conntrack", "comment", "multiport").map((m) => `-m ${m}`);
const target = fc.constantFrom("ACCEPT", "DROP", "LOG", "DNAT", "DOCKER", "ufw-x").map((j) => `-j ${j}`);
const counters = fc.oneof(
  fc.constantFrom(
    "",
    "",
    "[0:0] ",
    "[12:345] ",
    "[12:345]",
    "[12345678901234567890:1] ",
    "[1:] ",
    "[9007199254740993:0] ",
  ),
  fc.nat().map((n) => `[${n}:${n}] `),
);

/** Words with a syntactic meaning, or similar to such words. */
const noise = fc.constantFrom(
  "!",
  "! 80",
  "! -i",
  "-m",
  "-j",
  '"',
  'a"b',
  '"a"b',
  '--comment "x',
  "--comment -foo",
  "--comment !",
  "# x",
  "--dport ! 80",
  "--string ! x",
  "--name ! -j",
  "--dport=80",
  '--comment="a b"',
  "--a=",
  "-c 1 2",
  "-c 1,2",
  "-c 1",
  "--set-counters 7 8",
  "--set-counters=1",
  "-j LOG",
  '-j "LOG"',
  "-g x",
  "-5",
  "--",
  "-é",
  "-4",
  "-44",
  "  ",
  "\t",
  "\r",
  "\u0000",
  "ACCEPT",
  "-A",
  "COMMIT",
  "[1:2]",
  "-m -j",
  '-m "-j"',
  "-j -x",
  '-foo"bar"',
);
const words = fc.array(
  fc.oneof(
    validOption.map((w) => w.text),
    match,
    target,
    noise,
  ),
  { maxLength: 6 },
);
const ruleLine = fc
  .tuple(
    counters,
    fc.constantFrom("-A", "-A", "-A", "--append", "-I"),
    chain,
    fc.constantFrom("", " 3", " 0"),
    words,
  )
  .map(([count, command, name, position, rest]) =>
    [`${count}${command}`, name + (command === "-I" ? position : ""), ...rest].join(" "),
  );
const chainLine = fc
  .tuple(
    chain,
    fc.constantFrom("ACCEPT", "-", "DROP", "", "[0:0]", '"'),
    counters.map((c) => c.trimEnd()),
  )
  .map((parts) => `:${parts.join(" ")}`);
const otherLine = fc.constantFrom(
  "*filter",
  "*nat",
  "COMMIT",
  "",
  "# comment",
  "#",
  "  # x",
  "-N x",
  "-P INPUT DROP",
  "-P INPUT DROP -c 1 2",
  "-F",
  "-X x",
  '-D INPUT -p tcp -m comment --comment "a b" ! x',
  "--flush",
  "-E a b",
  "-t nat",
  "root@h:~# ls",
  "* a",
  "*",
  ":",
  ": x - ",
  "COMMIT x",
  "-A",
  "-N",
  "-P x",
  "[1:2] -F",
  "hello",
  "\ufeff*raw",
  "-A,-I",
);

/** A line of any kind. */
export const line = fc.oneof({ weight: 4, arbitrary: ruleLine }, chainLine, otherLine);
/** A text of several lines. */
export const text = fc
  .tuple(
    fc.constantFrom("", "*filter\n", "*filter\n", "*nat\r\n"),
    fc.array(line, { maxLength: 12 }),
    fc.constantFrom("\n", "\n", "\r\n", " \n", "\r\r\n"),
    fc.constantFrom("", "\nCOMMIT", "\nCOMMIT\n", "\n", "\r"),
  )
  .map(([head, lines, feed, tail]) => head + lines.join(feed) + tail);

/** A text with up to four replaced ranges. */
export const mutated = (texts: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(
      texts,
      fc.array(
        fc.tuple(
          fc.nat(),
          fc.nat(12),
          fc.constantFrom(...'"!-\\ \n\r\t#*:[]=x0é\u0000', "", ' "', "-j ", "--comment "),
        ),
        { minLength: 1, maxLength: 4 },
      ),
    )
    .map(([start, edits]) =>
      edits.reduce((now, [place, length, put]) => {
        const at = place % (now.length + 1);
        return now.slice(0, at) + put + now.slice(at + length);
      }, start),
    );
