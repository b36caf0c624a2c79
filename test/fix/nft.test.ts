/** Fixes for nftables: tables of their own, proved over all packets, on hosts of either language. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { audit, type Fix, fix, fixLanguage, readRuleset, type Strategy, simulate } from "fwcheck";
import { afterAll, describe, expect, test } from "vitest";
import { PLACES } from "../../lib/fix/place.ts";
import { nftDigest } from "../../lib/fix/write/nft.ts";
import { listingText } from "../../lib/fix/write/nft-listing.ts";
import { read } from "../audit/layout.ts";
import { synOf } from "../builders.ts";
import { shared } from "../capture.ts";
import { Snapshot } from "../hosts/judge.ts";
import { readCapture, root, textOf } from "../hosts/nft-capture.ts";

const hasNftCaptures = existsSync(root);
const nftCapture = (name: string) => ({ ...readCapture(name), listing: textOf(`${name}/nft.txt`) });

const folder = mkdtempSync(join(tmpdir(), "fwcheck-nft-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const rulesOf = (rules: readonly string[]): string[] => rules.map((rule) => rule.replace(/^add rule /, ""));

describe("a host with DOCKER-USER", () => {
  const { rulesets, host } = read({
    nets: [{ bridge: "docker0", prefix: "172.17.0", ports: { 8080: 80, 8443: 443 } }],
    input: [
      "-s 10.99.0.0/24 -p tcp -m tcp --dport 8080 -j ACCEPT",
      '-m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[in] "',
      "-p tcp -j REJECT --reject-with tcp-reset",
    ],
  });

  test("its policy becomes rules of nft, rule for rule", () => {
    const result = fix(rulesets, host, { language: "nftables" });
    expect([result.holds, result.left, result.proof.remaining]).toEqual([true, [], []]);
    expect(rulesOf(result.rules4)).toEqual([
      "ip fwcheck forward ct state related,established accept",
      'ip fwcheck forward iifname "docker0" accept',
      "ip fwcheck forward ip daddr 172.17.0.2 tcp dport 80 goto policy-1",
      "ip fwcheck forward ip daddr 172.17.0.2 tcp dport 443 goto policy-2",
      "ip fwcheck policy-1 ip saddr 10.99.0.0/24 accept",
      'ip fwcheck policy-1 limit rate 3/minute burst 10 packets log prefix "[in] "',
      "ip fwcheck policy-1 meta l4proto tcp reject with tcp reset",
      'ip fwcheck policy-2 limit rate 3/minute burst 10 packets log prefix "[in] "',
      "ip fwcheck policy-2 meta l4proto tcp reject with tcp reset",
    ]);
  });

  test("without a language it gets rules of iptables", () => {
    const result = fix(rulesets, host);
    expect([fixLanguage(rulesets), result.language, result.nft]).toEqual(["iptables", "iptables", ""]);
    expect(result.rules4.length).toBeGreaterThan(0);
  });

  test("a match that nftables does not have leaves its findings open, by name, and no others", () => {
    const limited = read({
      nets: [{ bridge: "docker0", prefix: "172.17.0", ports: { 8080: 80, 8443: 443 } }],
      input: [
        "-p tcp -m tcp --dport 8080 -m recent --update --seconds 30 --hitcount 6 --name web -j DROP",
        "-p tcp -m tcp --dport 8080 -m recent --set --name web -j ACCEPT",
      ],
    });
    const result = fix(limited.rulesets, limited.host, { language: "nftables" });
    expect([result.holds, result.proof.closed]).toEqual([true, ["ingress-bypass/4/tcp/any/8443"]]);
    expect(result.left).toMatchObject([
      { finding: "ingress-bypass/4/tcp/any/8080", reason: { code: "no-nft-form" } },
    ]);
  });
});

const hosts = join(shared, "hosts");
const recorded = existsSync(hosts)
  ? readdirSync(hosts).filter((name) => existsSync(join(hosts, name, "host.snap")))
  : [];

describe.skipIf(recorded.length === 0)("recorded hosts", () => {
  test.each(recorded)("%s", (name) => {
    const { rulesets, host } = new Snapshot(join(hosts, name, "host.snap"));
    const found = audit(rulesets, host).findings.map(({ id }) => id);
    const result = fix(rulesets, host, { language: "nftables" });
    expect([result.holds, result.proof.changed]).toEqual([true, []]);
    const named = (id: string): boolean => result.left.some(({ finding }) => finding === id);
    expect(found.filter((id) => !result.proof.closed.includes(id) && !named(id))).toEqual([]);
    if (found.length === 0) expect(result.nft).toBe("");
  });
});

const STRATEGIES: readonly (Strategy | "auto")[] = ["auto", "internal-ip", "conntrack", "ipset"];

/** Whether the owner's input hook accepts 8080 and 9080 from the inside network. */
const CAPTURES = { "plain-docker-29.7-nft": true, "ufw-routed-docker-29.7-nft": false } as const;

describe.skipIf(!hasNftCaptures).each(Object.entries(CAPTURES))("Docker 29 with %s", (name, inside) => {
  // The callback runs where the tests are skipped, too.
  const { rulesets, host, listing } = hasNftCaptures
    ? nftCapture(name)
    : { rulesets: [], host: undefined!, listing: "" };
  const fixed = (strategy: Strategy | "auto"): Fix =>
    fix(rulesets, host, { strategy, sets: true, inputs: [{ name: "nft.txt", text: listing }] });

  test.each(STRATEGIES)("%s closes what the input hook drops, and nothing else", (strategy) => {
    const result = fixed(strategy);
    expect([result.language, result.holds, result.proof.remaining]).toEqual(["nftables", true, []]);
    expect(result.proof.closed).toHaveLength(4);
    // The rules as printed, on top of the ruleset.
    const { rulesets: after, diagnostics } = readRuleset([
      {
        name: "nft.txt",
        text: `${listing}\n${result.nft.replace(/^(delete )?table ip6? fwcheck$/gm, "")}`,
        complete: true,
      },
    ]);
    expect(diagnostics).toEqual([]);
    const verdict = (on: string, src: string, dst: string, dport: number): string =>
      simulate(after, host, synOf({ in: on, src, dst, dport })).verdict;
    expect(
      [8080, 9080, 8443, 8444].map((port) => verdict("eth0", "203.0.113.2", "203.0.113.1", port)),
    ).toEqual(["drop", "drop", "drop", "drop"]);
    expect(verdict("eth1", "10.99.0.2", "10.99.0.1", 8080)).toBe(inside ? "accept" : "drop");
    expect(verdict("docker0", "172.17.0.2", "203.0.113.2", 8080)).toBe("accept");
  });
});

test.skipIf(!hasNftCaptures)("the script compares listings as fwcheck does", () => {
  const { listing } = nftCapture("plain-docker-29.7-nft");
  const text = `${listing}table ip fwcheck {\n\tchain forward {\n\t}\n}\n# a comment\ntable ip own {\n\tset s {\n\t\ttype ipv4_addr\n\t\tflags dynamic,timeout\n\t\telements = { 192.0.2.1 expires 3s,\n\t\t\t     192.0.2.2 expires 4s }\n\t}\n\tchain c {\n\t\tcounter packets 12 bytes 99 drop\n\t\tquota 5 mbytes used 3 kbytes accept\n\t}\n}\n`;
  const awk = spawnSync("awk", [listingText.AWK], { input: text, encoding: "utf8" });
  expect(awk.stdout).toBe(listingText.stable(text));
  expect(listingText.stable(text)).not.toMatch(/fwcheck|expires|packets|used|comment$/m);
  expect(nftDigest(listing)).not.toBe(nftDigest(listing.replace("dport 22", "dport 23")));
});

test("a fix in force is not counted as a change, and an older one is replaced", () => {
  const { rulesets, host } = read({ input: ["-s 10.99.0.0/24 -j ACCEPT"] });
  const first = fix(rulesets, host, { language: "nftables" });
  const live = rulesets.map((ruleset) =>
    PLACES.nftables.with(ruleset, {
      family: ruleset.family,
      chains: new Map([["forward", ["ip saddr 192.0.2.1 drop"]]]),
      sets: [],
      banChains: [],
      ruleset,
      input: null,
      cuts: [],
    }),
  );
  const second = fix(live, host, { language: "nftables" });
  expect([second.rules4, second.inForce]).toEqual([first.rules4, false]);
  const again = fix(
    rulesets.map((ruleset, i) => (ruleset.family === 4 ? withText(ruleset, first.nft) : rulesets[i]!)),
    host,
    { language: "nftables" },
  );
  expect([again.rules4, again.inForce, again.holds]).toEqual([first.rules4, true, true]);
});

const withText = (ruleset: Parameters<typeof PLACES.nftables.without>[0], text: string) => {
  const [table] = readRuleset([{ name: "fix", text, complete: true }]).rulesets.filter(
    ({ family }) => family === ruleset.family,
  );
  return { ...ruleset, tables: new Map([...ruleset.tables, ...table!.tables]) };
};

const able = spawnSync("unshare", ["-n", "nft", "list", "ruleset"]).status === 0;

describe.skipIf(!able || !hasNftCaptures)("the script with the real nft", () => {
  const { rulesets, host, listing } = hasNftCaptures
    ? nftCapture("plain-docker-29.7-nft")
    : { rulesets: [], host: undefined!, listing: "" };
  // nft 1.0.6 reads a priority by name only where it has one.
  const loadable = listing.replaceAll("output priority dstnat", "output priority -100");
  /** Runs commands on a host with the ruleset and a fix of it, as nft lists it there. */
  const run = (commands: string) => {
    const inside = (text: string) =>
      spawnSync("unshare", ["-n", "sh", "-uc", `nft -f host.nft\n${text}`], {
        cwd: folder,
        encoding: "utf8",
        timeout: 60_000,
      });
    writeFileSync(join(folder, "host.nft"), loadable);
    const listed = inside("nft list ruleset").stdout;
    const result = fix(rulesets, host, { inputs: [{ name: "nft.txt", text: listed }] });
    writeFileSync(join(folder, "fix.sh"), result.script);
    writeFileSync(join(folder, "fix.nft"), result.nft);
    const { status, stdout, stderr } = inside(commands);
    return { code: status, out: stdout, err: stderr };
  };

  test("is in force after it was applied once or twice, and not before", () => {
    const { out, err } = run(
      "sh fix.sh --check; echo $?; sh fix.sh >&2; echo $?; sh fix.sh --check; echo $?; nft list ruleset >one; sh fix.sh >&2; nft list ruleset | cmp - one; echo $?",
    );
    expect(out).toBe("not in force\n1\n0\nin force\n0\n0\n");
    expect(err).toContain("there is no table ip fwcheck");
  });

  test("detects other rules in its table, and repairs them", () => {
    const { out } = run(
      "sh fix.sh >&2; nft insert rule ip fwcheck forward accept; sh fix.sh --check; sh fix.sh >&2; sh fix.sh --check",
    );
    expect(out).toBe("not in force\nin force\n");
  });

  test("refuses a ruleset that is not the analysed one, unless forced", () => {
    const { out, err } = run(
      "nft add rule inet filter input tcp dport 99 accept; sh fix.sh; echo $?; nft list tables | grep -c fwcheck; sh fix.sh --force >&2; sh fix.sh --check",
    );
    expect(out).toBe("3\n0\nin force\n");
    expect(err).toContain("the ruleset is not the one that was analysed");
  });

  test("--check reports that other rules have changed since the analysis", () => {
    const changed = "other rules have changed since the analysis";
    const same = run("sh fix.sh >/dev/null; sh fix.sh --check");
    expect(same).toMatchObject({ code: 0, out: "in force\n" });
    expect(same.err).not.toContain(changed);
    const other = run(
      "sh fix.sh >/dev/null; nft add rule inet filter input tcp dport 99 accept; sh fix.sh --check",
    );
    expect(other).toMatchObject({ code: 0, out: "in force\n" });
    expect(other.err).toContain(changed);
  });

  test("the undo leaves the ruleset as it was, byte by byte", () => {
    const { out } = run(
      "nft list ruleset >before; sh fix.sh >&2; sh fix.sh --undo; nft list ruleset | cmp - before; echo $?; nft -f fix.nft; nft delete table ip fwcheck; nft list ruleset | cmp - before; echo $?",
    );
    expect(out).toBe("0\n0\n");
  });

  test("a text that nft refuses changes nothing", () => {
    const { out } = run(
      "nft list ruleset >before; sed 's/drop$/dropp/' fix.sh >broken.sh; sh broken.sh 2>/dev/null; echo $?; nft list ruleset | cmp - before; echo $?",
    );
    expect(out).toBe("1\n0\n");
  });

  test("it stays after a reload of a file that includes it, which flushes the ruleset", () => {
    const { out } = run(
      '{ echo flush ruleset; cat host.nft; echo "include \\"$PWD/fix.nft\\""; } >all.nft; nft -f all.nft; nft -f all.nft; sh fix.sh --check',
    );
    expect(out).toBe("in force\n");
  });
});
