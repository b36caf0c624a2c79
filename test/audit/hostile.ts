/**
 * Hosts on which a wrong "all clear" or a false alarm is likely. The expected findings were derived by hand;
 * `npm run test:kernel` sends the witnesses.
 */
import type { Layout } from "./layout.ts";

export interface Hostile {
  readonly layout: Layout;
  /** The findings, as `lines` prints them. */
  readonly finds: readonly string[];
  /** Interfaces of the first finding. Default: the router's interface. */
  readonly by?: readonly string[];
  /** Unknowns that the findings depend on, each by its match. */
  readonly depends?: readonly string[];
  readonly lint?: readonly string[];
  readonly inconclusive?: readonly string[];
}

const PORT = "-p tcp -m tcp --dport 8080";
const OPEN = `${PORT} -j ACCEPT`;
const all = (to: string): string => `ingress-bypass/4/tcp/any/8080: ${to}`;
const ETH1 = { eth1: "10.99.0.1/24" };
const accepting: Layout["policy"] = { INPUT: "ACCEPT" };
const docker0 = (ports: Record<number, number>, more = {}) => ({
  bridge: "docker0",
  prefix: "172.17.0",
  ports,
  ...more,
});
/** ufw's chains for routed packets, with the rules of `ufw route`. */
const route = (...rules: string[]): Layout => ({
  behind: ["-j ufw-user-forward"],
  chains: { "ufw-user-input": [], "ufw-user-forward": rules },
});

export const HOSTILE: Readonly<Record<string, Hostile>> = {
  "a goto: what falls off its end goes on behind the jump that led there": {
    layout: {
      input: ["-j OWN"],
      chains: { OWN: [`${PORT} -g ALLOWED`, "-j DROP"], ALLOWED: ["-s 10.0.0.0/8 -j ACCEPT"] },
    },
    finds: [all("everyone but 10.0.0.0/8")],
  },
  "a goto that refuses some, an accept behind": {
    layout: {
      input: ["-j OWN", "-j ACCEPT"],
      chains: { OWN: [`${PORT} -g REFUSED`, "-j DROP"], REFUSED: ["-s 10.0.0.0/8 -j DROP"] },
    },
    finds: [all("10.0.0.0/8")],
  },
  "INPUT matches a mark that mangle sets": {
    layout: {
      mangle: ["-s 198.51.100.0/24 -j MARK --set-xmark 0x1/0xffffffff"],
      input: [`${PORT} -m mark --mark 0x1 -j ACCEPT`],
    },
    finds: [all("everyone but 198.51.100.0/24")],
  },
  "a set with a hole in it": {
    layout: {
      ipset: "create office hash:net family inet\nadd office 10.0.0.0/8\nadd office 10.1.0.0/16 nomatch\n",
      input: [`${PORT} -m set --match-set office src -j ACCEPT`],
    },
    finds: [all("everyone but 10.0.0.0/16, 10.2.0.0-10.255.255.255")],
  },
  "a name with a plus lets in by eth0 and not by the VPN": {
    layout: { interfaces: { wg0: "10.8.0.1/24" }, input: [`-i eth+ ${OPEN}`] },
    finds: [all("everyone")],
    by: ["wg0"],
  },
  "everyone but a network is refused": {
    layout: { input: [`! -s 10.0.0.0/8 ${PORT} -j DROP`, "-j ACCEPT"] },
    finds: [all("everyone but 10.0.0.0/8")],
  },
  "a DNAT of the owner's to a container, which the owner's FORWARD blocks": {
    layout: {
      nat: ["-i eth0 -p tcp -m tcp --dport 9000 -j DNAT --to-destination 172.17.0.2:80"],
      input: [OPEN],
    },
    finds: ["direct-bypass/4/tcp/docker0/any: everyone: tcp 9000 to any container on docker0"],
  },
  "the same, and the owner's FORWARD allows it": {
    layout: {
      nat: ["-i eth0 -p tcp -m tcp --dport 9000 -j DNAT --to-destination 172.17.0.2:80"],
      before: ["-d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j ACCEPT"],
      input: [OPEN],
    },
    finds: [],
    lint: ["docker-user-not-first"],
  },
  "the whole host translated to a container": {
    layout: { nat: ["-i eth0 -d 203.0.113.1/32 -j DNAT --to-destination 172.17.0.2"], policy: accepting },
    finds: ["direct-bypass/4/tcp/docker0/any: everyone: tcp 80 to any container on docker0"],
  },
  "a network mapped onto the containers' own": {
    layout: {
      interfaces: { wg0: "10.8.0.1/24" },
      nat: ["-i wg0 -d 10.50.0.0/24 -j NETMAP --to 172.17.0.0/24"],
      input: [OPEN],
    },
    finds: ["direct-bypass/4/tcp/docker0/any: everyone: tcp 80 to any container on docker0"],
    by: ["wg0"],
  },
  "ports shifted onto a container's, one of them the one that Docker lets through": {
    layout: {
      nat: ["-i eth0 -p tcp -m tcp --dport 9000:9009 -j DNAT --to-destination 172.17.0.2:75-84/9000"],
      input: [OPEN],
    },
    finds: ["direct-bypass/4/tcp/docker0/any: everyone: tcp 9005 to any container on docker0"],
  },
  "a redirect to the published port goes to the host itself": {
    layout: { nat: ["-p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080"] },
    finds: [all("everyone")],
  },
  "two bridges, the same port of a container, one of them allowed": {
    layout: {
      nets: [docker0({ 8080: 80 }), { bridge: "br-two", prefix: "172.18.0", ports: { 8081: 80 } }],
      input: [OPEN],
    },
    finds: ["ingress-bypass/4/tcp/any/8081: everyone"],
  },
  "DOCKER-USER lets some past": {
    layout: { user: ["-s 10.0.0.0/8 -j RETURN", "-j DROP"] },
    finds: [all("10.0.0.0/8")],
  },
  "DOCKER-USER returns before it drops": {
    layout: { user: ["-j RETURN", "-i eth0 -j DROP"] },
    finds: [all("everyone")],
    lint: ["behind-return"],
  },
  "untracked: no translation, INPUT decides": {
    layout: { raw: [`${PORT} -j CT --notrack`] },
    finds: [],
  },
  "untracked from a network only": {
    layout: { raw: [`-s 10.0.0.0/8 ${PORT} -j CT --notrack`] },
    finds: [all("everyone but 10.0.0.0/8")],
  },
  "DOCKER-USER drops what is invalid, and nothing that is new": {
    layout: { user: ["-i eth0 -m conntrack --ctstate INVALID -j DROP"] },
    finds: [all("everyone")],
  },
  "INPUT refuses new connections only": {
    layout: { policy: accepting, input: [`${PORT} -m conntrack --ctstate NEW -j DROP`] },
    finds: [all("everyone")],
  },
  "INPUT refuses SYN only": {
    layout: {
      policy: accepting,
      input: ["-p tcp -m tcp --dport 8080 --tcp-flags FIN,SYN,RST,ACK SYN -j DROP"],
    },
    finds: [all("everyone")],
  },
  "a rule by original address knows one of two addresses": {
    layout: {
      interfaces: ETH1,
      user: [
        "-p tcp -m conntrack --ctstate DNAT --ctorigdst 203.0.113.1 --ctorigdstport 8080 --ctdir ORIGINAL -j DROP",
      ],
    },
    finds: [all("everyone")],
    by: ["eth0", "eth1"],
  },
  "ufw default allow, and ufw deny from a network": {
    layout: { policy: { INPUT: "ACCEPT", FORWARD: "ACCEPT" }, input: ["-s 198.51.100.0/24 -j DROP"] },
    finds: [all("198.51.100.0/24")],
  },
  "ufw deny in on one interface": {
    layout: { policy: accepting, interfaces: ETH1, input: [`-i eth1 ${PORT} -j DROP`] },
    finds: [all("everyone")],
    by: ["eth1"],
  },
  "ufw deny of a profile with several ports": {
    layout: { policy: accepting, input: ["-p tcp -m multiport --dports 80,443,8080 -j DROP"] },
    finds: [all("everyone")],
  },
  "dropped in mangle, before any translation": {
    layout: { policy: accepting, mangle: [`! -s 10.0.0.0/8 ${PORT} -j DROP`] },
    finds: [],
  },
  "left untranslated for a network by nat": {
    layout: { nat: [`-s 10.0.0.0/8 ${PORT} -j ACCEPT`] },
    finds: [all("everyone but 10.0.0.0/8")],
  },
  "Docker 27, a drop behind Docker's rules": {
    layout: { guard: false, policy: { FORWARD: "ACCEPT" }, input: [OPEN], behind: ["-i eth0 -j DROP"] },
    finds: ["direct-bypass/4/tcp/172.17.0.2/80: everyone"],
  },
  "a refusal that depends on what the packet holds": {
    layout: { policy: accepting, input: [`${PORT} -m string --string evil --algo bm --to 65535 -j DROP`] },
    finds: [all("everyone")],
    depends: ["string"],
  },
  "translated packets accepted before DOCKER-USER": {
    layout: { before: ["-m conntrack --ctstate DNAT -j ACCEPT"], user: ["-i eth0 -j DROP"] },
    finds: [all("everyone")],
    lint: ["docker-user-not-first"],
  },
  "UDP refused, TCP published": {
    layout: { policy: accepting, input: ["-p udp -m udp --dport 8080 -j DROP"] },
    finds: [],
  },
  "TCP refused, UDP published and not refused": {
    layout: {
      nets: [docker0({ 8080: 80 }, { proto: "udp" })],
      policy: accepting,
      input: [`${PORT} -j DROP`],
    },
    finds: [],
  },
  "UDP published and allowed as TCP only": {
    layout: {
      nets: [docker0({ 5353: 53 }, { proto: "udp" })],
      input: ["-p tcp -m tcp --dport 5353 -j ACCEPT"],
    },
    finds: ["ingress-bypass/4/udp/any/5353: everyone"],
  },
  "SCTP published": {
    layout: { nets: [docker0({ 3868: 3868 }, { proto: "sctp" })] },
    finds: ["ingress-bypass/4/sctp/any/3868: everyone"],
  },
  "ufw route deny of a container, which Docker's rules come before": {
    layout: { input: [OPEN], ...route("-d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j DROP") },
    finds: [all("everyone")],
  },
  "ufw route deny from a network": {
    layout: { input: [OPEN], ...route("-s 198.51.100.0/24 -d 172.17.0.2/32 -j DROP") },
    finds: [all("198.51.100.0/24")],
  },
  "ufw route deny of what containers send": {
    layout: { input: [OPEN], ...route("-o eth0 -p tcp -m tcp --dport 25 -j DROP") },
    finds: ["egress-bypass/4/tcp/docker0/25: every container: tcp 25 to anywhere"],
    by: ["docker0"],
  },
  "an allow by hardware address": {
    layout: { input: [`${PORT} -m mac --mac-source 02:00:00:00:00:01 -j ACCEPT`] },
    finds: [all("everyone")],
  },
  "a reject by the original destination port": {
    layout: {
      policy: accepting,
      input: ["-p tcp -m conntrack --ctstate NEW --ctorigdstport 8080 -j DROP"],
    },
    finds: [all("everyone")],
  },
};
