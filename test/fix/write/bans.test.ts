/** A fix whose rules call a chain of bans: the script holds while fail2ban bans and unbans. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fix } from "fwcheck";
import { afterAll, describe, expect, test } from "vitest";
import type { FamilyRules } from "../../../lib/fix/write/family.ts";
import { analysed, script } from "../../../lib/fix/write/script.ts";
import { jail, read, save } from "../../audit/layout.ts";
import { rulesetOf } from "../../builders.ts";
import { backends } from "../backend.ts";

const folder = mkdtempSync(join(tmpdir(), "fwcheck-bans-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const inside = backends(folder);
const put = (name: string, text: string): void => writeFileSync(join(folder, name), text);

const layout = (...banned: string[]) => ({
  nets: [{ bridge: "docker0", prefix: "172.17.0", ports: { 8080: 80, 8081: 81 } }],
  input: ["-p tcp -m multiport --dports 8080:8081 -j f2b-web", "-p tcp -m tcp --dport 8080 -j ACCEPT"],
  chains: { "f2b-web": jail(...banned), "f2b-off": jail() },
});

describe("the digest of the analysed rules", () => {
  const digest = (text: string, banChains: readonly string[] = ["f2b-web"], given = true): string => {
    const ruleset = rulesetOf(text, { family: 4 });
    const part = { family: 4, chains: new Map(), sets: [], cuts: [], ruleset, banChains } as const;
    return analysed({ ...part, input: given ? text : null } satisfies FamilyRules);
  };
  const before = save(layout());
  const added = (rule: string): string => before.replace("-A f2b-web", `-A ${rule}\n-A f2b-web`);

  test.each([
    "f2b-web -s 198.51.100.77/32 -j REJECT --reject-with icmp-port-unreachable",
    "f2b-web -s 198.51.100.0/24 -p tcp -j DROP",
    "f2b-web -s 198.51.100.77/32 -j DROP",
  ])("leaves a ban out: %s", (ban) => {
    expect(digest(added(ban))).toBe(digest(before));
    expect(digest(added(ban), ["f2b-web"], false)).toBe(digest(before));
    // A chain whose bans are copied is compared as a whole.
    expect(digest(added(ban), [])).not.toBe(digest(before));
  });

  test.each([
    "f2b-web -s 198.51.100.77/32 -j ACCEPT",
    "f2b-web -s 198.51.100.77/32 -j RETURN",
    "f2b-web -s 198.51.100.77/32 -j f2b-off",
    "f2b-web -j DROP",
    "f2b-web -s 198.51.100.77/32 -p tcp -m tcp --dport 80 -j DROP",
    "f2b-off -s 198.51.100.77/32 -j DROP",
    "INPUT -s 198.51.100.77/32 -j DROP",
  ])("contains every other rule: %s", (rule) => {
    expect(digest(added(rule))).not.toBe(digest(before));
  });
});

/** The host of the layout, a client outside and a container, each a namespace; `client` sends from an address to a port. */
const NETWORK = `
  ip link set lo up
  for n in client box; do ip netns add $n; ip netns exec $n ip link set lo up; done
  ip link add eth0 type veth peer name eth0 netns client
  ip addr add 203.0.113.1/24 dev eth0; ip link set eth0 up
  ip -n client addr add 203.0.113.77/24 dev eth0; ip -n client addr add 203.0.113.78/24 dev eth0
  ip -n client link set eth0 up
  ip link add docker0 type veth peer name eth0 netns box
  ip addr add 172.17.0.1/24 dev docker0; ip link set docker0 up
  ip -n box addr add 172.17.0.2/24 dev eth0; ip -n box link set eth0 up
  ip -n box route add default via 172.17.0.1
  echo 1 >/proc/sys/net/ipv4/ip_forward
  ip netns exec box python3 -c '
import socket
s = socket.create_server(("", 80))
while True: s.accept()[0].close()' &
  server=$!
  trap 'kill $server' EXIT
  client() {
    ip netns exec client python3 -c '
import socket, sys
for n in range(40):
  try:
    socket.create_connection(("203.0.113.1", 8080), 1, (sys.argv[1], 0)); print("open"); break
  except ConnectionRefusedError:
    # The server may not listen yet; a rule that rejects is no answer of it.
    if n == 39: print("closed")
    import time; time.sleep(0.05)
  except OSError: print("closed"); break' "203.0.113.$1"
  }
`;

describe.each(["nft", "legacy"])("iptables-%s", (backend) => {
  const able =
    inside(backend, "iptables -w 5 -L -n >/dev/null && iptables -t raw -L -n && ip netns add x && python3 -V")
      .code === 0;
  if (!able) console.log("skipped: bans on the real iptables need root, unshare, iproute2 and python3");

  test.skipIf(!able)("a ban cuts a client off, an unban lets it in, and the script still holds", () => {
    const { rulesets, host } = read(layout("203.0.113.5"));
    const { script: text, left, holds } = fix(rulesets, host);
    expect([holds, left]).toEqual([true, []]);
    put("save", save(layout("203.0.113.5")));
    put("fix.sh", text);
    const ban = "f2b-web -s 203.0.113.77 -j REJECT --reject-with icmp-port-unreachable";
    const both = "echo $(client 77) $(client 78)";
    const state = "sh fix.sh --check; sh fix.sh >/dev/null; echo $?";
    const { out, err } = inside(
      backend,
      `${NETWORK}
       iptables-restore <save; sh fix.sh >/dev/null; echo $?; ${both}
       iptables -I ${ban}; ${state}; ${both}
       iptables -D ${ban}; ${state}; ${both}
       iptables -D f2b-web 1; ${state}
       iptables -I f2b-web -s 203.0.113.77 -j ACCEPT; sh fix.sh >/dev/null; echo $?`,
    );
    expect(err).toBe(
      "fwcheck: the rules of iptables are not the ones that were analysed: run fwcheck fix again\n",
    );
    const held = ["in force", "0"];
    expect(out.trim().split("\n")).toEqual([
      ...["0", "open open"],
      ...[...held, "closed open"],
      ...[...held, "open open"],
      ...held,
      "3",
    ]);
  });

  test.skipIf(!able)("names of chains are data", () => {
    const names = ["f2b-$(touch<pwnedpwned)", "f2b-`id`'$(id)", "f2b-.*", "f2b-\\n", "f2b-web"];
    const text = (chain: string) =>
      `*filter\n:INPUT ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n:${chain} - [0:0]\nCOMMIT\n`;
    for (const name of names) {
      const ruleset = rulesetOf(text(name), { family: 4 });
      expect(ruleset.tables.get("filter")!.chains.has(name)).toBe(true);
      const part = { family: 4, sets: [], cuts: [], ruleset, banChains: [name], input: null } as const;
      put("names.sh", script([{ ...part, chains: new Map([["FWCHECK", ["-s 192.0.2.1/32 -j DROP"]]]) }]));
      put("chain", name);
      const { out } = inside(
        backend,
        `iptables -N DOCKER-USER; iptables -N "$(cat chain)" || exit; iptables -N f2b-other
         sh names.sh >/dev/null; echo $?
         iptables -A "$(cat chain)" -s 192.0.2.1 -j DROP; sh names.sh >/dev/null; echo $?
         iptables -A f2b-other -s 192.0.2.1 -j DROP; sh names.sh >/dev/null; echo $?; ls pwned`,
      );
      expect([name, out]).toEqual([name, "0\n0\n3\n"]);
    }
  });
});
