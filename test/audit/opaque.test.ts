/**
 * A rule whose match has an unknown value, appended to or inserted in any chain: the sets and the simulator agree on
 * every finding, and no finding is lost. A finding that depends on the unknown is at most `may`.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { capture, examples } from "../capture.ts";
import { auditOf } from "./json.ts";

/** Matches whose values the inputs do not determine. */
const OPAQUE = [
  "-m statistic --mode random --probability 0.5",
  "-m time --timestart 10:00",
  "-m string --algo bm --string x",
  "-m recent --rcheck --name seen --rsource",
  "-m frobnicate --level 3",
];

/** Targets by table; those of nat that translate depend on the hook. */
const TARGETS: Readonly<Record<string, readonly string[]>> = {
  raw: ["ACCEPT", "DROP", "RETURN", "CT --notrack", "FROB"],
  mangle: ["ACCEPT", "DROP", "RETURN", "MARK --set-xmark 0x7/0xff", "TTL --ttl-set 9", "FROB"],
  nat: ["ACCEPT", "RETURN", "FROB"],
  filter: ["ACCEPT", "DROP", "RETURN", "REJECT --reject-with icmp-port-unreachable", "LOG", "FROB"],
  security: ["ACCEPT", "DROP"],
};
const TRANSLATIONS: Readonly<Record<string, readonly string[]>> = {
  PREROUTING: ["DNAT --to-destination 172.17.0.2:80", "REDIRECT --to-ports 81"],
  DOCKER: ["DNAT --to-destination 172.17.0.2:80"],
  OUTPUT: ["DNAT --to-destination 172.17.0.2:80"],
  INPUT: ["SNAT --to-source 192.0.2.9"],
  POSTROUTING: ["MASQUERADE", "SNAT --to-source 192.0.2.9"],
};

interface Place {
  readonly table: string;
  readonly chain: string;
}

/** The chains of a dump, in its order. */
function places(save: string): Place[] {
  let table = "";
  return save.split("\n").flatMap((line) => {
    if (line.startsWith("*")) table = line.slice(1).trim();
    return line.startsWith(":") ? [{ table, chain: line.slice(1).split(" ")[0]! }] : [];
  });
}

/** The dump with a rule as the first or the last of a chain. */
function withRule(save: string, { table, chain }: Place, rule: string, first: boolean): string {
  const start = save.indexOf(`*${table}\n`);
  const end = save.indexOf("COMMIT", start);
  const rules = save.slice(start, end).search(/^(\[\d+:\d+\] )?-A /m);
  const at = first && rules >= 0 ? start + rules : end;
  return `${save.slice(0, at)}-A ${chain} ${rule}\n${save.slice(at)}`;
}

for (const folder of readdirSync(examples).filter((n) => existsSync(join(examples, n, "iptables-save.txt"))))
  describe(folder, () => {
    const path = join(examples, folder);
    const before = (() => {
      const { rulesets, host } = capture(path);
      return auditOf(rulesets, host);
    })();
    let save = "";
    capture(path, (text) => (save = text));
    test.each(places(save).map((place, i) => [`${place.table} ${place.chain}`, place, i] as const))(
      "%s",
      (_, place, i) => {
        const all = TARGETS[place.table]!;
        // One target of the table in turn, and every translation of the hook.
        const targets = [
          all[i % all.length]!,
          ...(place.table === "nat" ? (TRANSLATIONS[place.chain] ?? []) : []),
        ];
        targets.forEach((target, j) => {
          const rule = `${OPAQUE[(i + j) % OPAQUE.length]!} -j ${target}`;
          const { rulesets, host } = capture(path, (text) => withRule(text, place, rule, (i + j) % 2 === 0));
          const after = auditOf(rulesets, host);
          expect(
            after.inconclusive.filter((s) => s.includes("report this")),
            rule,
          ).toEqual([]);
          const found = new Set(after.findings.map((f) => f.id));
          for (const { id } of before.findings) expect(found.has(id), `${rule}: ${id}`).toBe(true);
        });
      },
    );
  });

test("packets that an unknown may drop are possible findings, not certain ones", () => {
  const place = { table: "filter", chain: "FORWARD" };
  const { rulesets, host } = capture(join(examples, "ufw-docker-20.10"), (text) =>
    withRule(text, place, "-m statistic --mode random --probability 0.5 -j DROP", true),
  );
  const { findings } = auditOf(rulesets, host);
  expect(findings.length).toBeGreaterThan(8);
  for (const f of findings) expect([f.id, f.certainty]).toEqual([f.id, "may"]);
});

test("an unknown that decides only the translation leaves the verdict certain", () => {
  const place = { table: "nat", chain: "POSTROUTING" };
  const { rulesets, host } = capture(join(examples, "ufw-docker-20.10"), (text) =>
    withRule(text, place, "-m statistic --mode random --probability 0.5 -j MASQUERADE", false),
  );
  const { findings, inconclusive } = auditOf(rulesets, host);
  expect(inconclusive).toEqual([]);
  expect(findings.map((f) => [f.certainty, f.actual.verdict])).toEqual(
    findings.map(() => ["must", "accept"]),
  );
});

test("packets of an unknown target are a possible finding", () => {
  const { rulesets, host } = capture(join(examples, "ufw-docker-20.10"), (text) =>
    withRule(text, { table: "filter", chain: "FORWARD" }, "-j FROB", true),
  );
  const { findings, inconclusive } = auditOf(rulesets, host);
  for (const f of findings) expect([f.id, f.certainty]).toEqual([f.id, "may"]);
  expect(inconclusive).toContain("IPv4: fwcheck does not know the target FROB");
});

test("a finding that is certain on one interface only has its witness there, and the witness opens a connection", () => {
  const rate =
    "-A DOCKER-USER -i eth0 -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m hashlimit --hashlimit-above 2/hour --hashlimit-burst 1 --hashlimit-mode srcip --hashlimit-name web -j DROP";
  const { rulesets, host } = capture(`${examples}ufw-docker-20.10`, (text) =>
    text.replace(/^(?=(\[\d+:\d+\] )?-A DOCKER-USER )/m, `${rate}\n`),
  );
  const findings = auditOf(rulesets, host).findings.filter(
    (f) => f.proto === "tcp" && f.kind === "ingress-bypass" && f.in.length > 1,
  );
  expect(findings.length).toBeGreaterThan(0);
  for (const { certainty, depends, witness } of findings) {
    expect([certainty, depends]).toEqual(["must", ["hashlimit@filter/DOCKER-USER/1"]]);
    expect(witness.in).not.toBe("eth0");
    expect(witness.flags).toBe("S");
  }
});
