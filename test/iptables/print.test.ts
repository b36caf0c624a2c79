/** Every case of cases.ts as the real iptables recorded it, read and printed by fwcheck; needs no root. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { LOSSY } from "./cases.ts";
import { RELEASES, type Recorded, readRecorded, recordOf } from "./lab.ts";
import { body, reread } from "./reprint.ts";

const recorded = RELEASES.flatMap((release) =>
  readRecorded(readFileSync(recordOf(release), "utf8")).map((r) => ({ ...r, release })),
);

/** Accepted differences: iptables-save itself loses or corrupts these. */
const lossy = (r: Recorded): boolean => LOSSY.has(r.line);

describe("saved text is a fixed point", () => {
  const saved = recorded.filter((r) => r.saved !== undefined && !lossy(r));
  test.each(groups(saved))("%s", (_name, list) => {
    for (const r of list)
      for (const line of r.saved!)
        expect(body(line, r), `${r.line} (${r.variant}, IPv${r.family})`).toEqual({
          rules: [line],
          errors: [],
        });
  });
});

describe("what is written by hand becomes what the kernel saves", () => {
  const saved = recorded.filter((r) => r.saved !== undefined && !lossy(r));
  test.each(groups(saved))("%s", (_name, list) => {
    for (const r of list)
      expect(body(r.line, r), `${r.line} (${r.variant}, IPv${r.family})`).toEqual({
        rules: r.saved,
        errors: [],
      });
  });
});

describe("what iptables refuses is never dropped in silence", () => {
  const refused = recorded.filter((r) => r.saved === undefined);
  test.each(groups(refused))("%s", (_name, list) => {
    for (const r of list) {
      const { rules } = body(r.line, r);
      // Kept as it can be, and stable.
      for (const line of rules) expect(reread(line, r), r.line).toEqual([line]);
    }
  });
});

/** Recorded lines by extension and table. */
function groups(list: typeof recorded): [string, typeof recorded][] {
  const by = new Map<string, typeof recorded>();
  for (const r of list) {
    const key = `${r.extension} (${r.table}), iptables ${r.release}`;
    const group = by.get(key);
    if (group === undefined) by.set(key, [r]);
    else group.push(r);
  }
  return [...by];
}
