/** docs/extensions.md is generated from the extensions; `UPDATE=1` writes it again. */
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
  const nft = e.nft === undefined ? "no" : e.nftExcept === undefined ? "yes" : `yes, except ${e.nftExcept}`;
  return `| ${e.name} | ${family} | ${meaning} | ${e.opaque ?? e.except ?? ""} | ${options.join(" ")} | ${nft} |`;
};

const table = (list: readonly (MatchExtension | TargetExtension)[]): string =>
  [
    "| name | family | meaning | why | options | nft form |",
    "|---|---|---|---|---|---|",
    ...list.map(row),
  ].join("\n");

const count = (list: readonly (MatchExtension | TargetExtension)[]): string => {
  const opaque = list.filter((e) => e.opaque !== undefined).length;
  const except = list.filter((e) => e.opaque === undefined && e.except !== undefined).length;
  return `${list.length}: ${list.length - opaque - except} exact, ${except} exact with an exception, ${opaque} opaque`;
};

const text = `# Extensions

All matches and targets of iptables-extensions(8). Generated from \`lib/iptables\` by \`test/iptables/extensions.test.ts\`; do not
edit.

*Exact*: the predicate or effect is that of the kernel. *Opaque*: the inputs do not determine the result, which is an
unknown: a simulation names the unknowns that its answer depends on, and an audit considers both results. A match or
target that is not in these tables is opaque, and is kept and printed in its original form.

*nft form*: a rule with it can be translated to rules of nft(8) that match the same packets, in a chain at hook forward. All
versions of nft from 1.0.6 on read them. A limit has the same rate, and counts anew. A rule with a part without such a form is
not translated. One difference is left: a packet whose transport header is cut off is dropped by the matches of iptables that read the
header, and matches no rule of nft. Connection tracking gives such a packet the state INVALID.

## Matches

${count(MATCHES)}.

${table(MATCHES)}

## Targets

${count(TARGETS)}.

${table(TARGETS)}
`;

test("docs/extensions.md is up to date", () => {
  if (process.env.UPDATE) writeFileSync(file, text);
  expect(readFileSync(file, "utf8")).toBe(text);
});

test("extensions are unique in a family, and option names in an extension", () => {
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
