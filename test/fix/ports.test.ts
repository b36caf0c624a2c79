/**
 * A fix on a container bridge with an outside port (a network card), judged by real packets by each port, on both
 * backends: with br_netfilter `-m physdev` distinguishes the ports; without it bridged frames pass no rule.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fix } from "fwcheck";
import { afterAll, describe, expect, test } from "vitest";
import { type Layout, read, save } from "../audit/layout.ts";
import { backends } from "./backend.ts";

const folder = mkdtempSync(join(tmpdir(), "fwcheck-ports-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const inside = backends(folder);
const put = (name: string, text: string): void => writeFileSync(join(folder, name), text);

const layout = (calls: 0 | 1): Layout => ({
  ports: {
    eth1: { bridge: "docker0" },
    veth0a1b2c3: { bridge: "docker0", kind: "veth" },
    veth0a1b2c4: { bridge: "docker0", kind: "veth" },
  },
  calls,
});

/** The connections that are tried: from a namespace to an address and port. */
const TRIED = {
  "card to container": "lan 172.17.0.2 5432",
  "card to published": "lan 172.17.0.2 80",
  "card through host": "lan 203.0.113.77 9000",
  "container to container": "other 172.17.0.2 5432",
  "container to outside": "other 203.0.113.77 9000",
  "outside to published": "client 203.0.113.1 8080",
} as const;

/** `connect` prints which connections are open; bridge docker0 has ports to namespaces lan (eth1), box and other. */
const NETWORK = `
  ip link set lo up
  for n in client lan box other; do ip netns add $n; ip netns exec $n ip link set lo up; done
  ip link add eth0 type veth peer name eth0 netns client
  ip addr add 203.0.113.1/24 dev eth0; ip link set eth0 up
  ip -n client addr add 203.0.113.77/24 dev eth0; ip -n client link set eth0 up
  ip link add docker0 type bridge forward_delay 0
  ip addr add 172.17.0.1/24 dev docker0; ip link set docker0 up
  for each in eth1:lan:77 veth0a1b2c3:box:2 veth0a1b2c4:other:3; do
    IFS=: read -r port n last <<WORDS
$each
WORDS
    ip link add $port type veth peer name eth0 netns $n
    ip link set $port master docker0; ip link set $port up
    ip -n $n addr add 172.17.0.$last/24 dev eth0; ip -n $n link set eth0 up
    ip -n $n route add default via 172.17.0.1
  done
  echo 1 >/proc/sys/net/ipv4/ip_forward
  serve() {
    ip netns exec $1 python3 -c '
import select, socket, sys
ports = [socket.create_server(("", int(p))) for p in sys.argv[1:]]
while True:
  for port in select.select(ports, [], [])[0]: port.accept()[0].close()' "$2" "$3" &
    servers="$servers $!"
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
      [ "$(ip netns exec $1 ss -Hltn "sport = :$2 or sport = :$3" | wc -l)" != 2 ] || return 0
      sleep 0.5
    done
  }
  servers=
  trap 'kill $servers' EXIT
  serve client 9000 9001
  serve box 80 5432
  connect() {
    pids=
${Object.values(TRIED)
  .map((words, i) => {
    const [from, address, port] = words.split(" ");
    return `    ip netns exec ${from} python3 -c '
import socket
try: socket.create_connection(("${address}", ${port}), 2); print("open")
except OSError: print("closed")' >tried.${i} & pids="$pids $!"`;
  })
  .join("\n")}
    wait $pids
    cat ${Object.values(TRIED)
      .map((_, i) => `tried.${i}`)
      .join(" ")}
  }
`;

describe.each(["nft", "legacy"])("iptables-%s", (backend) => {
  const able =
    inside(
      backend,
      `test -e /proc/sys/net/bridge/bridge-nf-call-iptables && iptables -w 5 -L -n >/dev/null && iptables -t raw -L -n &&
       iptables -A FORWARD -m physdev --physdev-in x && ip netns add x && python3 -V && ss -V`,
    ).code === 0;
  if (!able) console.log("skipped: ports of bridges need root, br_netfilter, iproute2, iptables and python3");

  test.skipIf(!able).each([1, 0] as const)("bridge-nf-call-iptables = %i", (calls) => {
    const { rulesets, host } = read(layout(calls));
    const { script, left, holds, rules4 } = fix(rulesets, host);
    expect(holds).toBe(true);
    const physdev = "-A FWCHECK -i docker0 -m physdev ! --physdev-in eth1 -j RETURN";
    expect([left.length, rules4.includes(physdev)]).toEqual(calls === 1 ? [0, true] : [2, false]);
    put("save", save(layout(calls)));
    put("fix.sh", script);
    const { out, err } = inside(
      backend,
      `${NETWORK}
       echo ${calls} >/proc/sys/net/bridge/bridge-nf-call-iptables
       iptables-restore <save; connect; sh fix.sh >/dev/null; sh fix.sh --check; connect`,
    );
    expect(err).toBe("");
    const [before, after] = out.split("in force\n").map((part) => part.trim().split("\n"));
    const open = (verdicts: readonly string[] | undefined): string[] =>
      Object.keys(TRIED).filter((_, i) => verdicts?.[i] === "open");
    expect(open(before)).toEqual(Object.keys(TRIED));
    const containers = ["container to container", "container to outside"];
    // Without br_netfilter what comes by the card is what the fix names as left open.
    const card = ["card to container", "card to published", "card through host"];
    expect(open(after)).toEqual(calls === 1 ? containers : [...card, ...containers]);
  });
});
