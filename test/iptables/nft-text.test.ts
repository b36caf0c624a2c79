/** Translations to nft match the same packets as the rule of iptables, and have the same effect. */
import { describe, expect, test } from "vitest";
import { MATCHES, TARGETS } from "../../lib/iptables/extensions.ts";
import { nftRules } from "../../lib/iptables/nft-text.ts";
import { asIptables } from "../../lib/iptables/rule.ts";
import type { Family } from "../../lib/packet/field.ts";
import { and, visitLeaves } from "../../lib/packet/predicate.ts";
import { isText, OPTIONS, ruleOf, type Translated, translatedCases, translatedRandom } from "./nft-cases.ts";
import { DEFRAGMENTED, factsOf, faultsOfAll, loaded } from "./nft-sets.ts";

const faultsOf = (list: readonly Translated[], always = DEFRAGMENTED): string[] =>
  ([4, 6] as const).flatMap((family) => faultsOfAll(list, family, (text) => text, always));

const CASES = translatedCases();

describe("the same packets and the same effect", () => {
  test("cases of all extensions", () => {
    expect(faultsOf(CASES)).toEqual([]);
  });

  test("random rules", () => {
    const drawn = translatedRandom(20_261_202, 15);
    expect(drawn.filter(isText).length).toBeGreaterThan(300);
    expect(faultsOf(drawn)).toEqual([]);
  }, 120_000);

  test("packets that may be fragments", () => {
    const options = { ...OPTIONS, defragmented: false };
    expect(faultsOf(translatedCases(options), and())).toEqual([]);
  });
});

test("each extension with an nft form is in a translated rule", () => {
  const names = new Set<string>();
  for (const each of CASES.filter(isText)) {
    const { matches, target } = asIptables(each.rule);
    if (each.result.length === 0) continue;
    for (const { extension } of matches) names.add(`${each.family} ${extension.name}`);
    if (target.kind === "extension") names.add(`${each.family} ${target.extension.name}`);
  }
  const missing = [...MATCHES, ...TARGETS]
    .filter(({ nft }) => nft !== undefined)
    .flatMap(({ name, family }) => (family === undefined ? [4, 6] : [family]).map((f) => `${f} ${name}`))
    .filter((key) => !names.has(key));
  expect(missing).toEqual([]);
});

test("no translation depends on an unknown but limit", () => {
  const unknowns = new Set<string>();
  for (const family of [4, 6] as const)
    for (const rule of loaded(CASES, family, (text) => text))
      visitLeaves(rule.compile(factsOf(family)).when, (leaf) => {
        if (leaf.kind === "opaque")
          unknowns.add(`${leaf.key.replace(/@.*/, "")} in ${rule.text({ family })}`);
      });
  expect([...unknowns].filter((text) => !text.startsWith("limit "))).toEqual([]);
});

const nft = (line: string, family: Family = 4, more: Partial<typeof OPTIONS> = {}) =>
  nftRules(ruleOf(line, family), family, { ...OPTIONS, ...more });

describe("texts", () => {
  test.each<[string, readonly string[]]>([
    ["-p tcp --dport 80 -j ACCEPT", ["tcp dport 80 accept"]],
    [
      "-i eth+ -s 10.0.0.0/8 -p tcp -m multiport ! --dports 80,443 -j DROP",
      ['iifname "eth*" ip saddr 10.0.0.0/8 tcp dport != { 80, 443 } drop'],
    ],
    ["! -i eth* -j DROP", ['iifname != "eth\\*" drop']],
    ["! -i + -j DROP", []],
    // A packet without a connection has no status: nft leaves the rule there.
    [
      "-m conntrack ! --ctstate DNAT -j DROP",
      ["ct state invalid,untracked drop", "ct status & dnat == 0 drop"],
    ],
    ["-m conntrack --ctstate DNAT -j ACCEPT", ["ct status dnat accept"]],
    [
      "-m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j RETURN",
      ["ct state related,established return", "ct state new ct status dnat return"],
    ],
    [
      "-p tcp -m conntrack --ctorigdst 203.0.113.1 --ctorigdstport 8080 --ctdir ORIGINAL -j DROP",
      [
        "meta l4proto tcp ct direction original ct original ip daddr 203.0.113.1 ct original proto-dst 8080 drop",
      ],
    ],
    ["-p udp -m multiport --ports 53 -j DROP", ["udp sport 53 drop", "udp sport != 53-53 udp dport 53 drop"]],
    ["-m comment --comment office -j other", ['jump other comment "office"']],
    [
      '-m limit --limit 3/min -j LOG --log-prefix "[x] " --log-level info',
      ['limit rate 3/minute burst 5 packets log prefix "[x] " level info'],
    ],
  ])("%s", (line, rules) => {
    expect(nft(line)).toEqual(rules);
  });

  test("RETURN, chains and fragments as the caller wants", () => {
    expect(nft("-j RETURN", 4, { returns: "accept" })).toEqual(["accept"]);
    expect(nft("-g other", 4, { chain: (name) => `to-${name}` })).toEqual(["goto to-other"]);
    expect(nft("-p tcp --syn", 4, { defragmented: false })).toEqual([
      "meta l4proto tcp ip frag-off & 0x1fff == 0 tcp flags & (fin | syn | rst | ack) == syn counter",
    ]);
  });
});

describe("a part without an exact form is named", () => {
  test.each<[string, string, Family]>([
    [
      "-m recent --rcheck --name x -j DROP",
      "-m recent --rcheck --name x --mask 255.255.255.255 --rsource",
      4,
    ],
    ["-p tcp --tcp-option 7", "-m tcp --tcp-option 7", 4],
    // iptables-nft may have merged these into one test.
    ["-p udp ! --sport 53 ! --dport 53 -j DROP", "-m udp ! --sport 53 ! --dport 53", 4],
    ["-j TEE --gateway 192.0.2.1", "-j TEE --gateway 192.0.2.1", 4],
    ["-m frobnicate --x -j DROP", "-m frobnicate --x", 4],
    ["-j LOG --log-prefix a$b", '-j LOG --log-prefix "a$b"', 4],
    ["-m conntrack --ctorigdstport 80", "-m conntrack --ctorigdstport 80", 4],
    ["-p icmp -m conntrack --ctproto 6", "-m conntrack --ctproto 6", 4],
    ["-m addrtype --dst-type UNICAST", "-m addrtype --dst-type UNICAST", 6],
    // Each of two rules would have a limit of its own.
    ["-m limit --limit 1/sec -m conntrack ! --ctstate DNAT", "-m limit --limit 1/sec", 4],
  ])("%s", (line, part, family) => {
    expect(nft(line, family)).toEqual({ code: "no-nft-form", part });
  });

  test("an interface that nft cannot quote, a chain without a name, fragments of IPv6", () => {
    expect(nft("-i a\\b")).toMatchObject({ code: "no-nft-form" });
    expect(nft("-j other", 4, { chain: () => null })).toEqual({ code: "no-nft-form", part: "-j other" });
    expect(nft("-p tcp --dport 80", 6, { defragmented: false })).toEqual({
      code: "no-nft-form",
      part: "-m tcp --dport 80",
    });
  });
});
