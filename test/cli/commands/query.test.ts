/** Tests `fwcheck query`: its text, its exit codes, and the errors of the expression. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { QueryJson } from "../../../lib/index.ts";
import { ADDR } from "../../two-interfaces.ts";
import { Program } from "../program.ts";

const RULES = `*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -i eth0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.99.0.7:80
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -s 198.51.100.0/24 -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -s 192.0.2.0/24 -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p udp -m udp --sport 67 --dport 68 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 81 -m recent --rcheck --name list --rsource -j ACCEPT
-A FORWARD -d 10.99.0.7/32 -p tcp -m tcp --dport 80 -j ACCEPT
COMMIT
`;

const program = new Program();
let host: readonly string[] = [];
beforeAll(() => {
  host = [
    program.file("rules.v4", RULES),
    program.file("addr.json", ADDR),
    program.file(
      "route.json",
      JSON.stringify([
        { dst: "default", dev: "eth0", gateway: "203.0.113.254" },
        { dst: "203.0.113.0/24", dev: "eth0", scope: "link", prefsrc: "203.0.113.1" },
        { dst: "10.99.0.0/24", dev: "eth1", scope: "link", prefsrc: "10.99.0.1" },
      ]),
    ),
    program.file(
      "sysctl.txt",
      "net.ipv4.ip_forward = 1\nnet.ipv4.conf.all.rp_filter = 0\nnet.ipv6.conf.all.disable_ipv6 = 1\n",
    ),
  ];
});
afterAll(() => program.remove());

const query = (expression: string, ...flags: string[]) => {
  const [rules, addr, route, sysctl] = host as [string, string, string, string];
  const files = ["--addr", addr, "--route", route, "--sysctl", sysctl, "--assume", "complete"];
  return program.run(["query", rules, ...files, ...flags, expression]);
};

describe("fwcheck query", () => {
  test("prints the packets by outcome, the rules that decide with their shares, and an example", async () => {
    expect((await query("local ipv4 tcp dport 1-80 in eth0")).out).toMatchInlineSnapshot(`
      "IPv4: accepted for the host itself
        tcp 22 from 192.0.2.0/24, 198.51.100.0/24 to 10.99.0.1, 203.0.113.1 in
            eth0
        decided by: -A INPUT -s 198.51.100.0/24 -p tcp -m tcp --dport 22 -j ACCEPT
            (line 9): 50 %
                    -A INPUT -s 192.0.2.0/24 -p tcp -m tcp --dport 22 -j ACCEPT (line
            10): 50 %
        example: tcp 198.51.100.7:40000 -> 203.0.113.1:22 [S] in eth0
      "
    `);
    expect(
      (await query("to 10.99.0.7 ipv4 tcp dport 80 in eth1 or out eth1 in eth0 ipv4")).out,
    ).toMatchInlineSnapshot(`
      "IPv4: accepted, forwarded out of eth1 as 10.99.0.7:80
        tcp 8080 from any address but 10.99.0.1, 127.0.0.0/8, 203.0.113.1 to
            anywhere in eth0
        decided by: -A FORWARD -d 10.99.0.7/32 -p tcp -m tcp --dport 80 -j ACCEPT
            (line 13)
        example: tcp 198.51.100.7:40000 -> 203.0.113.1:8080 [S] in eth0

      IPv4: accepted, forwarded out of eth1 (under 0.1 %)
        tcp 80 from any address but 10.99.0.1, 127.0.0.0/8, 203.0.113.1 to
            10.99.0.7 in eth0, eth1
        decided by: -A FORWARD -d 10.99.0.7/32 -p tcp -m tcp --dport 80 -j ACCEPT
            (line 13)
        example: tcp 198.51.100.7:40000 -> 10.99.0.7:80 [S] in eth0

      IPv4: dropped (under 0.1 %)
        tcp 80 from 127.0.0.0/8 to 10.99.0.7 in eth1
        decided by: a loopback address from outside (martian source)
        example: tcp 127.0.0.0:40000 -> 10.99.0.7:80 [S] in eth1

      IPv4: dropped (under 0.1 %)
        tcp 80 from 10.99.0.1, 203.0.113.1 to 10.99.0.7 in eth1
        decided by: no unicast address as source (martian source)
        example: tcp 10.99.0.1:40000 -> 10.99.0.7:80 [S] in eth1
      "
    `);
  });

  test("names the unknowns on which packets depend; exit code 2", async () => {
    const { out, code } = await query("in eth0 ipv4 tcp dport 81 to 203.0.113.1 from 198.51.100.0/24");
    expect(code).toBe(2);
    expect(out).toMatchInlineSnapshot(`
      "IPv4: accepted for the host itself (50 %), if recent@filter/INPUT/4
        tcp 81 from 198.51.100.0/24 to 203.0.113.1 in eth0
        decided by: -A INPUT -p tcp -m tcp --dport 81 -m recent --rcheck --name list
            --mask 255.255.255.255 --rsource -j ACCEPT (line 12)
        example: tcp 198.51.100.7:40000 -> 203.0.113.1:81 [S] in eth0, assuming
            recent@filter/INPUT/4=match

      IPv4: dropped (50 %), if recent@filter/INPUT/4
        tcp 81 from 198.51.100.0/24 to 203.0.113.1 in eth0
        decided by: INPUT policy DROP
        example: tcp 198.51.100.7:40000 -> 203.0.113.1:81 [S] in eth0, assuming
            recent@filter/INPUT/4=no-match
      "
    `);
  });

  test("limits other fields than addresses and ports", async () => {
    expect((await query("local udp in eth0 from 198.51.100.9 ipv4")).out).toMatchInlineSnapshot(`
      "IPv4: accepted for the host itself
        udp 68 from 198.51.100.9 to 10.99.0.1, 203.0.113.1 in eth0, sport 67
        decided by: -A INPUT -p udp -m udp --sport 67 --dport 68 -j ACCEPT (line 11)
        example: udp 198.51.100.9:67 -> 203.0.113.1:68 in eth0
      "
    `);
  });

  test("--explain-drop prints a change that is proved, or why there is none", async () => {
    const explained = async (expression: string) =>
      (await query(expression, "--explain-drop")).out.split("IPv4 to allow")[1];
    expect(await explained("in eth0 from 203.0.113.9 to 203.0.113.1 tcp dport 443")).toMatchInlineSnapshot(`
      ": this change lets the stopped packets through; of all first
          packets of connections, none outside of the expression is treated
          differently:
        iptables -A INPUT -i eth0 -s 203.0.113.9 -d 203.0.113.1 -p tcp -m tcp --dport 443 -j ACCEPT
      "
    `);
    expect(await explained("local in eth0 ipv4 tcp dport 22")).toMatchInlineSnapshot(`
      ": no rule or policy stops a packet of the expression for certain
      "
    `);
    const { out } = await query(
      "in eth0 from 203.0.113.9 to 203.0.113.1 tcp dport 443",
      "--explain-drop",
      "--json",
    );
    expect((JSON.parse(out) as QueryJson).families[0]!.change).toMatchObject({
      code: "proved",
      exceptRefused: false,
      rules: [{ table: "filter", chain: "INPUT", before: null, bothFamilies: false }],
    });
  });

  test.each([
    ["local tcp dport 22 in eth0 ipv4", [], 0],
    ["local tcp dport 22 in eth0 ipv4", ["--expect-some"], 0],
    ["local tcp dport 22 in eth0 ipv4", ["--expect-empty"], 1],
    ["local tcp dport 23 in eth0 ipv4", [], 0],
    ["local tcp dport 23 in eth0 ipv4", ["--expect-some"], 1],
    ["local tcp dport 23 in eth0 ipv4", ["--expect-empty"], 0],
    ["local tcp dport 81 in eth0 ipv4", ["--expect-empty"], 2],
    ["local tcp dport 81 in eth0 ipv4", ["--expect-some"], 2],
    ["ipv4 ipv6", ["--expect-empty"], 0],
    ["new", ["--expect-empty", "--expect-some"], 2],
    ["new ipv4", ["--budget", "0"], 2],
    ["new ipv4", ["--budget", "10"], 2],
  ])("%s %j exits %i", async (expression, flags, exit) => {
    const { code, err } = await query(expression, ...flags);
    expect(code, err).toBe(exit);
  });

  test.each([
    ["", /a test/],
    ["tcp dprt 22", /^tcp dprt 22\n {4}\^{4}\nfwcheck: "dprt" does not fit here\. Did you mean dport\?/],
    ["in eth7", /no interface "eth7"\. Did you mean eth0\?/],
    ["out lo", /sent local/],
    ["to container web", /no container "web"/],
    ["to network web", /no container network "web"/],
    ["by INPT 1", /no chain "INPT"\. Did you mean INPUT\?/],
    ["by INPUT 9", /no rule "INPUT 9"/],
    ["tcp established", /first packet of each connection/],
  ])("refuses %j with exit code 2", async (expression, message) => {
    const { code, out, err } = await query(expression);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(message);
  });

  test("prints at most 50 outcomes of a family as text, and all as JSON", async () => {
    const numbers = Array.from({ length: 60 }, (_, i) => i + 1);
    const translated = numbers.map(
      (n) => `-A PREROUTING -i eth0 -p tcp -m tcp --dport ${n} -j DNAT --to-destination 10.99.0.${n + 1}`,
    );
    const save = [
      "*nat",
      ":PREROUTING ACCEPT [0:0]",
      ...translated,
      "COMMIT",
      "*filter",
      ":FORWARD ACCEPT [0:0]",
      "COMMIT",
      "",
    ];
    const rules = program.file("many.v4", save.join("\n"));
    const args = [
      "query",
      rules,
      ...host.slice(1, 2).flatMap((addr) => ["--addr", addr]),
      "--assume",
      "complete",
    ];
    const expression = "in eth0 out eth1 tcp dport 1-60 ipv4";
    const { out } = await program.run([...args, expression]);
    const json = JSON.parse((await program.run([...args, "--json", expression])).out) as QueryJson;
    const { length } = json.families[0]!.groups;
    expect(length).toBeGreaterThanOrEqual(60);
    expect(out.match(/^IPv4: accepted/gm)!.length).toBe(50);
    expect(out).toContain(`IPv4: ${length - 50} more outcomes (--json lists all)`);
  });

  test("needs rules and an expression", async () => {
    expect(await program.run(["query", "local"])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/the input with the rules is missing/),
    });
    expect(await program.run(["query", host[0]!])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/an expression is missing/),
    });
  });

  test("--json has every set without limits", async () => {
    const json = JSON.parse((await query("local tcp dport 22 ipv4 in eth0", "--json")).out) as QueryJson;
    expect(json).toMatchObject({
      version: 1,
      outcome: "some",
      doubts: [],
      families: [
        {
          family: 4,
          matches: "some",
          groups: [
            {
              origin: "arriving",
              certainty: "certain",
              verdict: "accept",
              delivery: "local",
              packets: [
                {
                  in: ["eth0"],
                  sources: { kind: "only", parts: ["192.0.2.0/24", "198.51.100.0/24"], more: 0 },
                  services: { kind: "only", parts: ["tcp 22"] },
                  fields: [],
                  partly: [],
                },
              ],
              deciders: [
                { decider: { code: "rule", chain: "INPUT", rule: 1 }, share: 0.5 },
                { decider: { code: "rule", chain: "INPUT", rule: 2 }, share: 0.5 },
              ],
              witness: { proto: "tcp", dport: 22, in: "eth0" },
            },
          ],
        },
      ],
    });
  });
});
