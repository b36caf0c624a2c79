/** Changes that let the stopped packets of a query through: the printed commands are applied to the text, and packets compared. */
import {
  isQueryError,
  type QueryChange,
  query,
  type Ruleset,
  readNftables,
  Simulator,
  withNftables,
} from "fwcheck";
import { describe, expect, test } from "vitest";
import { QueryPaths } from "../../lib/compare/query-paths.ts";
import { firstPacketsOf } from "../../lib/compare/query-tests.ts";
import { parseAddress } from "../../lib/packet/address.ts";
import { parseExpression } from "../../lib/query-language/parse-expression.ts";
import { sharedUnknowns } from "../../lib/reach/shared-unknowns.ts";
import { hostOf, rulesetsOf } from "../builders.ts";
import { capture, examples } from "../capture.ts";
import { random } from "../random.ts";
import { draw } from "../reach/draw.ts";
import { ADDR } from "../two-interfaces.ts";

const PACKETS = Number(process.env.LAW_PACKETS ?? 1200);

const IPTABLES = `*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -d 10.99.0.9/32 -i eth0 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -i eth0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.99.0.7:80
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -s 192.0.2.0/24 -j REJECT --reject-with icmp-port-unreachable
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A FORWARD -d 10.99.0.0/24 -j DROP
COMMIT
`;

const NFT = `table inet first {
	chain input {
		type filter hook input priority filter; policy accept;
		ip saddr 192.0.2.0/24 drop
		tcp dport 22 accept
	}
}
table inet second {
	chain input {
		type filter hook input priority filter + 1; policy drop;
		tcp dport 22 accept
	}
}
`;

const nftRulesets = (text: string): readonly Ruleset[] =>
  withNftables([], readNftables([{ name: "nft", text, complete: true }])).rulesets;

/** Applies a command to the text of its language. */
function applied(text: string, command: string): string {
  const iptables = /^ip6?tables(?: -t (\S+))? -([AI]) (\S+)(?: (\d+))? (.*)$/.exec(command);
  const nft = /^nft (?:add|insert) rule (\S+ \S+) (\S+)(?: index (\d+))? (.*)$/.exec(command);
  const lines = text.split("\n");
  if (iptables !== null) {
    const [, table = "filter", , chain, number, body] = iptables;
    const start = lines.indexOf(`*${table}`);
    const end = lines.indexOf("COMMIT", start);
    const rules = lines.flatMap((line, i) =>
      i > start && i < end && line.startsWith(`-A ${chain} `) ? [i] : [],
    );
    const at = number === undefined ? end : rules[Number(number) - 1]!;
    return lines.toSpliced(at, 0, `-A ${chain} ${body}`).join("\n");
  }
  const [, table, chain, index, rule] = nft!;
  const start = lines.indexOf(`\tchain ${chain} {`, lines.indexOf(`table ${table} {`));
  const end = lines.indexOf("\t}", start);
  return lines.toSpliced(index === undefined ? end : start + 2 + Number(index), 0, `\t\t${rule}`).join("\n");
}

const hostFor = (rulesets: readonly Ruleset[]) =>
  hostOf(
    rulesets,
    { addr: ADDR, sysctl: "net.ipv4.ip_forward = 1\nnet.ipv6.conf.all.forwarding = 1\n" },
    { complete: true },
  );

function changeOf(rulesets: readonly Ruleset[], expression: string): QueryChange {
  const answer = query(rulesets, hostFor(rulesets), expression, { explainDrop: true });
  if (isQueryError(answer)) throw new Error(answer.code);
  return answer.families[0]!.change!;
}

const commandsOf = (change: QueryChange): readonly string[] =>
  change.code === "proved" ? change.rules.map(({ command }) => command) : [change.code];

const LANGUAGES = { iptables: [IPTABLES, rulesetsOf], nft: [NFT, nftRulesets] } as const;

describe("the commands let the stopped packets of the expression through, and change no other packet", () => {
  test.each([
    [
      "iptables",
      "ipv4 in eth0 to 203.0.113.1 tcp dport 443",
      ["iptables -I INPUT 1 -i eth0 -d 203.0.113.1 -p tcp -m tcp --dport 443 -j ACCEPT"],
    ],
    [
      "iptables",
      "in eth0 from 198.51.100.0/24 udp dport 53,67-68 to 203.0.113.1",
      [
        "iptables -A INPUT -i eth0 -s 198.51.100.0/24 -d 203.0.113.1 -p udp -m multiport --dports 53,67:68 -j ACCEPT",
      ],
    ],
    // After DNAT the rule sees the new destination.
    [
      "iptables",
      "in eth0 from 198.51.100.0/24 to 203.0.113.1 tcp dport 8080",
      [
        "iptables -I FORWARD 1 -i eth0 -s 198.51.100.0/24 -d 10.99.0.7 -p tcp -m tcp --dport 80 -m conntrack --ctorigdst 203.0.113.1 --ctorigdstport 8080 --ctdir ORIGINAL -j ACCEPT",
      ],
    ],
    // Two tables stop them.
    [
      "iptables",
      "in eth0 from 198.51.100.7 to 10.99.0.9 tcp dport 80",
      [
        "iptables -t raw -I PREROUTING 1 -i eth0 -s 198.51.100.7 -d 10.99.0.9 -p tcp -m tcp --dport 80 -j ACCEPT",
        "iptables -I FORWARD 1 -i eth0 -s 198.51.100.7 -d 10.99.0.9 -p tcp -m tcp --dport 80 -j ACCEPT",
      ],
    ],
    [
      "nft",
      "in eth0 from 198.51.100.0/24 to 203.0.113.1 tcp dport 443",
      [
        'nft add rule inet second input iifname "eth0" ip saddr 198.51.100.0/24 ip daddr 203.0.113.1 tcp dport 443 accept',
      ],
    ],
    [
      "nft",
      "in eth0 from 192.0.2.5, 198.51.100.9 to 203.0.113.1 tcp dport 443 or in eth1 in eth0",
      [
        'nft insert rule inet first input index 0 iifname "eth0" ip saddr 192.0.2.5 ip daddr 203.0.113.1 tcp dport 443 accept',
        'nft add rule inet second input iifname "eth0" ip saddr 192.0.2.5 ip daddr 203.0.113.1 tcp dport 443 accept',
        'nft add rule inet second input iifname "eth0" ip saddr 198.51.100.9 ip daddr 203.0.113.1 tcp dport 443 accept',
      ],
    ],
    [
      "nft",
      "in eth0 to 2001:db8:1::1 udp dport 53",
      ['nft add rule inet second input iifname "eth0" ip6 daddr 2001:db8:1::1 udp dport 53 accept'],
    ],
  ] as const)("%s: %s", (language, text, commands) => {
    const [save, read] = LANGUAGES[language];
    const before = read(save);
    const found = commandsOf(changeOf(before, text));
    expect(found).toEqual(commands);
    const after = read(found.reduce(applied, save));
    expect(compared(before, after, text)).toBeGreaterThan(0);
  });
});

/** Compares drawn packets before and after a change. Returns the number of packets that are let through. */
function compared(before: readonly Ruleset[], after: readonly Ruleset[], text: string): number {
  const expression = parseExpression(text);
  if ("code" in expression) throw new Error(text);
  const host = hostFor(before);
  let opened = 0;
  for (const ruleset of before) {
    const { family } = ruleset;
    const other = after.find((each) => each.family === family)!;
    const paths = new QueryPaths(ruleset, host, expression);
    const { domain, program } = paths;
    const next = random(5);
    const addresses = (word: string) =>
      [...text.matchAll(new RegExp(`${word} ([0-9a-f.:]+)`, "g"))].flatMap(
        ([, address]) => parseAddress(address!, family) ?? [],
      );
    const usual = {
      ...(addresses("from").length === 0 ? {} : { src: addresses("from") }),
      dst: addresses("to"),
      proto: [text.includes("udp") ? 17 : 6],
      dport: [Number(/dport (\d+)/.exec(text)![1])],
      flags: [2],
      ttl: [64],
      type: [family === 4 ? 8 : 128],
    };
    if (usual.dst.length === 0) continue;
    for (let i = 0; i < PACKETS; i++) {
      const { packet, ordinal } = draw(domain, host, family, sharedUnknowns(program), next, { usual });
      const walk = paths.walks.find(({ asked }) => (asked.origin === "sent") === (packet.in === null))!;
      if (domain.diagrams.evaluate(domain.set(firstPacketsOf(walk.asked)), ordinal) !== 1) continue;
      const [old, now] = [ruleset, other].map((each) => new Simulator([each], host).packet(packet));
      const isAsked = domain.diagrams.evaluate(paths.satisfying(walk).yes, ordinal) === 1;
      const stopped = old!.verdict !== "accept" && old!.reasonCode === undefined;
      const where = JSON.stringify([packet, old, now], (_, value) =>
        typeof value === "bigint" ? String(value) : value,
      );
      if (isAsked && stopped && now!.reasonCode === undefined) {
        expect(now!.verdict, where).toBe("accept");
        opened++;
      } else if (!isAsked)
        expect([now!.verdict, now!.out, now!.sent], where).toEqual([old!.verdict, old!.out, old!.sent]);
    }
  }
  return opened;
}

describe("no change is printed", () => {
  test.each([
    ["in eth0 tcp dport 22 ipv4 from 198.51.100.9 to 203.0.113.1", "nothing-stopped"],
    // One rule for each of many interfaces, and none for "all but eth0".
    ["not in eth0 tcp dport 443 ipv4 to 203.0.113.1", "none-proved"],
    // The product of addresses and ports contains other packets.
    ["in eth0 to 203.0.113.1 from 198.51.100.7 (tcp dport 443 or udp dport 53)", "none-proved"],
  ])("%s: %s", (text, code) => expect(changeOf(rulesetsOf(IPTABLES), text).code).toBe(code));

  test("for a chain that a container engine writes", () => {
    const { rulesets, host } = capture(`${examples}docker-29-nftables`);
    const answer = query(rulesets, host, "in eth0 from 198.51.100.0/24 to 172.17.0.2 tcp dport 81", {
      explainDrop: true,
    });
    expect(answer).toMatchObject({
      families: [{ change: { code: "engine-chain", table: "ip docker-bridges", chain: "raw-PREROUTING" } }],
    });
  });
});

test("names of chains are quoted for a shell", () => {
  const save = IPTABLES.replace(":OUTPUT", ":a;reboot - [0:0]\n:OUTPUT").replace(
    "-A INPUT -p tcp",
    "-A INPUT -j a;reboot\n-A a;reboot -s 198.51.100.0/24 -j DROP\n-A INPUT -p tcp",
  );
  expect(
    commandsOf(changeOf(rulesetsOf(save), "in eth0 from 198.51.100.0/24 to 203.0.113.1 tcp dport 22")),
  ).toEqual([
    "iptables -I 'a;reboot' 1 -i eth0 -s 198.51.100.0/24 -d 203.0.113.1 -p tcp -m tcp --dport 22 -j ACCEPT",
  ]);
});

test("ufw and DOCKER-USER are preferred to other places", () => {
  const { rulesets, host } = capture(`${examples}ufw-docker-28.5`);
  const commands = (text: string) => {
    const answer = query(rulesets, host, text, { explainDrop: true });
    if (isQueryError(answer)) throw new Error(answer.code);
    return answer.families.flatMap(({ change }) => commandsOf(change!));
  };
  expect(commands("in eth0 from 198.51.100.0/24 to 203.0.113.1 tcp dport 443")).toEqual([
    "ufw allow in on eth0 from 198.51.100.0/24 to 203.0.113.1 port 443 proto tcp",
  ]);
  expect(commands("in eth0 from 198.51.100.0/24 to 172.17.0.2 tcp dport 81")).toEqual([
    "iptables -t raw -I PREROUTING 1 -i eth0 -s 198.51.100.0/24 -d 172.17.0.2 -p tcp -m tcp --dport 81 -j ACCEPT",
    "iptables -A DOCKER-USER -i eth0 -s 198.51.100.0/24 -d 172.17.0.2 -p tcp -m tcp --dport 81 -j ACCEPT",
  ]);
});
