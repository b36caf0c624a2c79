/** Exposure of the host itself: sockets that ss lists, against all rules on the path to them. */
import { existsSync, readFileSync } from "node:fs";
import { auditText, type ListeningSocketJson, readHost, readRuleset, readSnapshot } from "fwcheck";
import { describe, expect, test } from "vitest";
import { rulesetsOf, socketLine } from "../builders.ts";
import { shared } from "../capture.ts";
import { auditOf } from "./json.ts";

const ADDR = JSON.stringify(
  [
    ["lo", "127.0.0.1", 8],
    ["eth0", "203.0.113.1", 24],
    ["eth1", "10.9.0.1", 24],
    ["docker0", "172.17.0.1", 16],
  ].map(([ifname, local, prefixlen]) => ({
    ifname,
    addr_info: [{ family: "inet", local, prefixlen, scope: ifname === "lo" ? "host" : "global" }],
  })),
);

/** Returns the sockets of a host with rules of raw, nat and filter. */
function host(
  filter: string,
  sockets: string,
  { raw = "", nat = "", docker }: { raw?: string; nat?: string; docker?: string } = {},
) {
  const text = `*raw\n:PREROUTING ACCEPT [0:0]\n${raw}COMMIT\n*nat\n:PREROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n${nat}COMMIT\n*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n${filter}COMMIT\n`;
  const rulesets = rulesetsOf(text);
  const sources = {
    addr: [{ name: "addr", text: ADDR }],
    listening: [{ name: "ss", text: sockets }],
    ...(docker === undefined ? {} : { docker: [{ name: "docker", text: docker }] }),
  };
  return auditOf(rulesets, readHost(sources, rulesets));
}
const one = (
  filter: string,
  local: string,
  tables: { raw?: string; nat?: string } = {},
): ListeningSocketJson =>
  host(filter, socketLine("tcp", local, `users:(("it",pid=1,fd=3))`), tables).listening![0]!;
const summaryOf = ({ open, from, by, as }: ListeningSocketJson) => [
  open,
  from,
  by.map((group) => `${group.in.join("+")}${group.to === undefined ? "" : ` to ${group.to}`}`).join("; "),
  ...(as === undefined ? [] : [as]),
];

describe("sources that reach a socket", () => {
  // Each line was confirmed with real sockets and clients on Linux 6.18 in network namespaces.
  const table: readonly [string, string, string, string[], { raw?: string; nat?: string }?][] = [
    [
      "allowed",
      "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n",
      "0.0.0.0:22",
      ["yes", "everyone", "eth0+eth1"],
    ],
    [
      "from one network",
      "-A INPUT -s 203.0.113.8/32 -p tcp -m tcp --dport 22 -j ACCEPT\n",
      "0.0.0.0:22",
      ["yes", "203.0.113.8", "eth0+eth1"],
    ],
    [
      "by one interface",
      "-A INPUT -i eth1 -p tcp -m tcp --dport 22 -j ACCEPT\n",
      "0.0.0.0:22",
      ["yes", "everyone", "eth1"],
    ],
    [
      "at one address",
      "-A INPUT -d 10.9.0.1/32 -p tcp -m tcp --dport 22 -j ACCEPT\n",
      "0.0.0.0:22",
      ["yes", "everyone", "eth0+eth1 to 10.9.0.1"],
    ],
    [
      "bound to the other address",
      "-A INPUT -d 10.9.0.1/32 -p tcp -m tcp --dport 22 -j ACCEPT\n",
      "203.0.113.1:22",
      ["no", "no one", ""],
    ],
    [
      "bound to an interface",
      "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n",
      "0.0.0.0%eth1:22",
      ["yes", "everyone", "eth1"],
    ],
    ["on loopback", "-A INPUT -j ACCEPT\n", "127.0.0.1:22", ["local", "no one", ""]],
    [
      "all but a first packet",
      "-A INPUT -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT\n",
      "0.0.0.0:22",
      ["no", "no one", ""],
    ],
    ["only for many hosts", "-A INPUT -d 224.0.0.0/4 -j ACCEPT\n", "0.0.0.0:22", ["no", "no one", ""]],
    [
      "dropped in raw",
      "-A INPUT -j ACCEPT\n",
      "0.0.0.0:22",
      ["no", "no one", ""],
      { raw: "-A PREROUTING -p tcp -m tcp --dport 22 -j DROP\n" },
    ],
    [
      "redirected to",
      "-A INPUT -p tcp -m tcp --dport 8080 -j ACCEPT\n",
      "0.0.0.0:8080",
      ["yes", "everyone", "eth0+eth1", "80"],
      { nat: "-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080\n" },
    ],
    [
      "sent to another address",
      "-A INPUT -m conntrack --ctstate DNAT -j ACCEPT\n",
      "0.0.0.0:8080",
      ["yes", "everyone", "eth0+eth1 to 198.51.100.50", "80"],
      {
        nat: "-A PREROUTING -d 198.51.100.50/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 203.0.113.1:8080\n",
      },
    ],
    [
      "sent to another address, or to its own",
      "-A INPUT -p tcp -m tcp --dport 8080 -j ACCEPT\n",
      "203.0.113.1:8080",
      ["yes", "everyone", "eth0+eth1 to 203.0.113.1, 198.51.100.50"],
      {
        nat: "-A PREROUTING -d 198.51.100.50/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 203.0.113.1\n",
      },
    ],
    [
      "sent to another address by one interface, or to any of the host's",
      "-A INPUT -p tcp -m tcp --dport 8080 -j ACCEPT\n",
      "0.0.0.0:8080",
      ["yes", "everyone", "eth0; eth1 to 10.9.0.1, 172.17.0.1, 203.0.113.1, 198.51.100.50"],
      {
        nat: "-A PREROUTING -i eth1 -d 198.51.100.50/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 203.0.113.1\n",
      },
    ],
    [
      "redirected away",
      "-A INPUT -j ACCEPT\n",
      "0.0.0.0:80",
      ["translated", "no one", ""],
      { nat: "-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080\n" },
    ],
    [
      "at an address that is not listed",
      "-A INPUT -j ACCEPT\n",
      "192.0.2.77:22",
      ["maybe", "everyone", "eth0+eth1"],
    ],
    [
      "as a match of unknown outcome says",
      "-A INPUT -p tcp -m tcp --dport 22 -m string --string x --algo bm -j ACCEPT\n",
      "0.0.0.0:22",
      ["maybe", "everyone", "eth0+eth1"],
    ],
  ];
  test.each(table)("%s", (_, filter, local, expected, tables) => {
    expect(summaryOf(one(filter, local, tables))).toEqual(expected);
  });

  test("names the rule that accepts, and the rule that drops", () => {
    const open = one("-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n", "0.0.0.0:22").rule;
    expect(open).toMatchObject({ chain: "INPUT", rule: 1 });
    const closed = one("-A INPUT -p tcp -m tcp --dport 22 -j REJECT\n", "0.0.0.0:22").rule;
    expect(closed).toMatchObject({ chain: "INPUT", rule: 1 });
    expect(one("", "0.0.0.0:22").rule).toMatchObject({
      code: "policy",
      policy: "filter INPUT policy DROP",
    });
  });

  test("names a container on the host's network", () => {
    const id = "c".repeat(64);
    const docker = JSON.stringify([
      { Id: id, Name: "/web", NetworkSettings: {}, HostConfig: { NetworkMode: "host" } },
    ]);
    const sockets = `${socketLine("tcp", "0.0.0.0:80", `users:(("nginx",pid=5,fd=3))`)}\n/proc/5/cgroup:0::/system.slice/docker-${id}.scope\n`;
    const result = host("-A INPUT -j ACCEPT\n", sockets, { docker });
    expect(result.listening).toMatchObject([{ container: "web", processes: ["nginx"], open: "yes" }]);
    expect(auditText(result)).toMatch(/80\/tcp +nginx, container web +everyone/);
  });

  test("a published port is listed once, and a port whose packets a translation redirects is not open", () => {
    const nat =
      "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\n";
    const filter =
      "-A INPUT -j ACCEPT\n-A FORWARD -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT\n";
    const proxy = socketLine("tcp", "0.0.0.0:8080", `users:(("docker-proxy",pid=1,fd=3))`);
    const other = socketLine("tcp", "203.0.113.1:8080", `users:(("apache2",pid=2,fd=3))`);
    const { exposures, listening } = host(filter, `${proxy}\n${other}\n`, { nat });
    expect(exposures.length).toBe(1);
    expect(listening).toMatchObject([{ processes: ["apache2"], open: "translated", from: "no one" }]);
  });

  test("unknown inputs give no claim", () => {
    const rulesets = rulesetsOf("*filter\n:INPUT DROP [0:0]\nCOMMIT\n");
    const none = auditOf(rulesets, readHost({}, rulesets));
    expect(none.listening).toBeNull();
    expect(auditText(none)).not.toContain("Sockets of the host itself");
    const six = { listening: [{ name: "ss", text: socketLine("tcp", "[::]:22", "", "[::]:*") }] };
    expect(auditOf(rulesets, readHost(six, rulesets)).listening).toMatchObject([
      { family: 6, open: "maybe", from: "not known (no IPv6 rules were audited)" },
    ]);
  });

  test("300 sockets cost about as much as one", () => {
    const filter = Array.from(
      { length: 50 },
      (_, i) => `-A INPUT -p tcp -m tcp --dport ${i + 1} -j ACCEPT\n`,
    );
    const sockets = Array.from({ length: 300 }, (_, i) => socketLine("tcp", `0.0.0.0:${i + 1}`)).join("\n");
    const { listening } = host(filter.join(""), sockets);
    expect(listening!.filter((l) => l.open === "yes").length).toBe(50);
    expect(listening!.filter((l) => l.open === "no").length).toBe(250);
  });
});

describe.skipIf(!existsSync(`${shared}hosts`))("a real host", () => {
  test("its listener on 9000 is closed by ufw, in both families", () => {
    const text = readFileSync(`${shared}hosts/a2-multinet-shared-ns/host.snap`, "utf8");
    const { rules, sources } = readSnapshot({ name: "host.snap", text });
    const { rulesets } = readRuleset(rules);
    const { listening } = auditOf(rulesets, readHost(sources, rulesets));
    expect(
      listening!.map(({ family, listen, processes, open }) => [family, listen.port, processes, open]),
    ).toEqual([
      [4, 9000, ["python3"], "no"],
      [6, 9000, ["python3"], "no"],
    ]);
  });
});
