/** docs/extensions.md is made from the extensions themselves; `UPDATE=1` writes it anew. */
import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { MatchExtension, TargetExtension } from "../../lib/iptables/extension.ts";
import { MATCHES, TARGETS } from "../../lib/iptables/extensions.ts";

const file = new URL("../../docs/extensions.md", import.meta.url);

const row = (e: MatchExtension | TargetExtension): string => {
  const family = e.family === undefined ? "4, 6" : String(e.family);
  const meaning = e.opaque !== undefined ? "opaque" : e.except !== undefined ? "exact, except" : "exact";
  const options = Object.values(e.options)
    .filter((o) => o.name !== "")
    .map((o) => `\`${o.negatable ? "[!] " : ""}${o.name}\``);
  return `| ${e.name} | ${family} | ${meaning} | ${e.opaque ?? e.except ?? ""} | ${options.join(" ")} |`;
};

const table = (list: readonly (MatchExtension | TargetExtension)[]): string =>
  ["| name | family | meaning | why | options |", "|---|---|---|---|---|", ...list.map(row)].join("\n");

const count = (list: readonly (MatchExtension | TargetExtension)[]): string => {
  const opaque = list.filter((e) => e.opaque !== undefined).length;
  const except = list.filter((e) => e.opaque === undefined && e.except !== undefined).length;
  return `${list.length}, of which ${list.length - opaque - except} are exact, ${except} exact with an exception, ${opaque} opaque`;
};

const text = `# Extensions

Every match and target of iptables-extensions(8), and what fwcheck knows of it. Made from \`lib/rules\` by
\`test/rules/docs.test.ts\`; do not edit.

*Exact*: a predicate or an effect that says what the kernel does. *Opaque*: the inputs do not tell, so that the answer
is never guessed: a simulation says which unknown it hangs on, and an audit counts with both answers. A match or
target that is not in these tables is read, kept and printed as it was written, and is opaque.

## Matches

${count(MATCHES)}.

${table(MATCHES)}

## Targets

${count(TARGETS)}.

${table(TARGETS)}
`;

test("docs/extensions.md says what the code says", () => {
  if (process.env.UPDATE) writeFileSync(file, text);
  expect(readFileSync(file, "utf8")).toBe(text);
});

test("every extension stands once a family, and no option twice", () => {
  for (const list of [MATCHES, TARGETS]) {
    const keys = list.flatMap((e) =>
      (e.family === undefined ? [4, 6] : [e.family]).map((f) => `${f} ${e.name}`),
    );
    expect(new Set(keys).size).toBe(keys.length);
    for (const e of list) {
      const names = Object.values(e.options).flatMap((o) => [o.name, ...o.aliases]);
      expect(new Set(names).size, e.name).toBe(names.length);
    }
  }
});
