/** Connections of the result files of captures with nftables, by the labels of their lines, and the reasons of lines without one. */
import type { Packet } from "fwcheck";
import { synOf } from "../builders.ts";
import type { Rules } from "./nft-capture.ts";

/** A connection that a client opens. */
export interface Connection {
  readonly kind: "connection";
  readonly packet: Packet;
  /** Rules on the host at that time; those of its section if absent. */
  readonly rules?: Rules;
  /** Reason why an accepted connection has no answer, where the files of the capture do not show it. */
  readonly silent?: string;
  /** The client opened it before the rules of the section were loaded. */
  readonly openedBefore?: true;
  /** Capture with the containers of the connection; later ones have them, too. */
  readonly since?: string;
  /** A listener that was started for this line alone. */
  readonly listener?: true;
}

/** A line without a connection that can be simulated, and why. */
export interface LeftOut {
  readonly kind: "left out";
  readonly why: string;
}

/** A list of tables. */
export interface Tables {
  readonly kind: "tables";
  readonly rules: Rules;
}

export type Line = Connection | LeftOut | Tables;

type More = Partial<Omit<Connection, "kind" | "packet">>;

const connection = (
  on: string | null,
  src: string,
  dst: string,
  dport: number,
  more: More & { proto?: string } = {},
): Connection => {
  const { proto = "tcp", ...rest } = more;
  const header = { ...(on === null ? {} : { in: on }), src, dst, dport };
  return {
    kind: "connection",
    packet: synOf(proto === "tcp" ? header : { ...header, proto, flags: undefined }),
    ...rest,
  };
};
const outside = (dst: string, dport: number, more?: More & { proto?: string }): Connection =>
  connection("eth0", dst.includes(":") ? "2001:db8:1::2" : "203.0.113.2", dst, dport, more);
const inside = (dst: string, dport: number, more?: More): Connection =>
  connection("eth1", "10.99.0.2", dst, dport, more);
const hostTo = (src: string, dst: string, dport: number, more?: More): Connection =>
  connection(null, src, dst, dport, more);
const leftOut = (why: string): LeftOut => ({ kind: "left out", why });

const DOCKER_LINES: Readonly<Record<string, Line>> = {
  "outside -> host:8080 (published web:80)": outside("203.0.113.1", 8080),
  "outside -> host:9080 (2nd publish of same web:80)": outside("203.0.113.1", 9080),
  "outside -> host:8443 (other container)": outside("203.0.113.1", 8443),
  "outside -> [v6 host]:8080 (docker-proxy, passes INPUT)": outside("2001:db8:1::1", 8080),
  "outside -> web container by direct routing": outside("172.17.0.2", 80),
  "outside -> rt1 172.26.0.10:80 (routed network)": outside("172.26.0.10", 80),
  "inside (10.99.0.2, eth1) -> 10.99.0.1:8080": inside("10.99.0.1", 8080),
  "host -> 127.0.0.1:8080": hostTo("127.0.0.1", "127.0.0.1", 8080),
  "host -> 203.0.113.1:8080": hostTo("203.0.113.1", "203.0.113.1", 8080),
  "host -> web:80": hostTo("172.17.0.1", "172.17.0.2", 80),
  "web2 -> web:80 same bridge": connection("docker0", "172.17.0.3", "172.17.0.2", 80),
  "app (other network) -> 203.0.113.1:8080": connection("br-app", "172.30.0.10", "203.0.113.1", 8080),
  "web egress -> outside:8000": connection("docker0", "172.17.0.2", "203.0.113.2", 8000),
  "web egress -> outside:8080 (same number as published)": connection(
    "docker0",
    "172.17.0.2",
    "203.0.113.2",
    8080,
  ),
  "inside -> outside:8000 (routed, not Docker's)": inside("203.0.113.2", 8000),
  "established flow to 8444, opened before, still echoes": outside("203.0.113.1", 8444, {
    openedBefore: true,
  }),
  "NEW connection to 8444 (must fail)": outside("203.0.113.1", 8444),
};

const RESTARTED = leftOut("the rules after a restart of the daemon were not captured");
const TORN = leftOut("the rules after a container started without Docker's chains were not captured");
const UPDATES = leftOut("it counts connections while the rules change");

/** What happened after the fix; `flushed` is all that the configuration file of the owner leaves. */
const afterwards = (flushed: Rules): Readonly<Record<string, Line>> => ({
  "docker tables while dockerd is stopped": leftOut("a number of tables"),
  "after dockerd's restart: our table": leftOut("a number of tables"),
  "after dockerd's restart: docker's tables": leftOut("a number of tables"),
  "after dockerd's restart: web has address": RESTARTED,
  "after dockerd's restart: outside -> host:8080": RESTARTED,
  "the internal-ip fix from before the restart: outside -> host:8080": RESTARTED,
  "re-applied 150 times (one transaction each): let in of 55 tries": UPDATES,
  "re-applied 150 times (one transaction each): let in of 51 tries": UPDATES,
  "deleted and applied in two steps, 150 times: let in of 156 tries": UPDATES,
  "deleted and applied in two steps, 150 times: let in of 171 tries": UPDATES,
  "undone: outside -> host:8080": outside("203.0.113.1", 8080, { rules: { kind: "listed" } }),
  "undone: tables": { kind: "tables", rules: { kind: "listed" } },
  "after nftables.conf again (flush ruleset): tables left": { kind: "tables", rules: flushed },
  "then: outside -> host:8080 (docker-proxy listens; INPUT decides)": outside("203.0.113.1", 8080, {
    rules: flushed,
  }),
  "then: web egress": connection("docker0", "172.17.0.2", "203.0.113.2", 8000, { rules: flushed }),
  "then a container starts: tables": TORN,
  "then: outside -> host:8080": TORN,
  "then: outside -> host:8999": TORN,
});

/** Lines of the results of Docker 29.7 beside rules of the owner, as `nftables.conf` or ufw write them. */
export const besideDocker = (flushed: Rules): Readonly<Record<string, Line>> => ({
  ...DOCKER_LINES,
  ...afterwards(flushed),
});

const [WEB, UDP, APP, SIX, NOICC, ROUTED] = [
  "01-web8080",
  "02-loopback-udp",
  "04-internal",
  "05-ipv6",
  "06-noicc-nomasq",
  "08-routed",
] as const;
/** A container with its own source address for egress, which existed between the captures 06 and 08 alone. */
const SNAT1 = leftOut("no capture lists the container snat1");

/** Lines of the results of Docker 29.7 alone. */
export const DOCKER_ALONE: Readonly<Record<string, Line>> = {
  "outside -> 203.0.113.1:8080": outside("203.0.113.1", 8080, { since: WEB }),
  "outside -> 203.0.113.1:9090": outside("203.0.113.1", 9090, { since: UDP }),
  "outside -> 203.0.113.1:8443": outside("203.0.113.1", 8443, {
    since: APP,
    silent: "app listens on port 80 alone (docker-inspect.json)",
  }),
  "outside -> 203.0.113.1:8090": outside("203.0.113.1", 8090, { since: APP }),
  "outside -> 203.0.113.1:7100": outside("203.0.113.1", 7100, { since: APP }),
  "outside -> 203.0.113.1:5432": outside("203.0.113.1", 5432, { since: APP }),
  "outside -> 203.0.113.1:8081": outside("203.0.113.1", 8081, { since: SIX }),
  "outside -> 203.0.113.1:8086": outside("203.0.113.1", 8086, { since: NOICC }),
  "outside -> 203.0.113.1:8087": outside("203.0.113.1", 8087, { since: ROUTED }),
  "outside -> 203.0.113.1:8085": SNAT1,
  "outside -> 10.99.0.1:8090 (published on 203.0.113.1 only)": outside("10.99.0.1", 8090, { since: APP }),
  "outside -> 10.99.0.1:8080": outside("10.99.0.1", 8080, { since: WEB }),
  "outside -> [2001:db8:1::1]:8081": outside("2001:db8:1::1", 8081, { since: SIX }),
  "outside -> [2001:db8:1::1]:8080 (v4-only container, docker-proxy)": outside("2001:db8:1::1", 8080, {
    since: WEB,
  }),
  "outside -> 172.17.0.2:80 (container, direct)": outside("172.17.0.2", 80, { since: WEB }),
  "outside -> 172.17.0.3:90 (published on 127.0.0.1, direct)": outside("172.17.0.3", 90, { since: UDP }),
  "outside -> 172.30.0.10:80 (user network, direct)": outside("172.30.0.10", 80, { since: APP }),
  "outside -> 172.28.0.11:80 (noicc, not published, direct)": outside("172.28.0.11", 80, { since: NOICC }),
  "outside -> 172.27.0.10:80 (nat-unprotected, direct)": outside("172.27.0.10", 80, { since: ROUTED }),
  "outside -> 172.26.0.10:80 (routed, published 80, direct)": outside("172.26.0.10", 80, { since: ROUTED }),
  "outside -> [2001:db8:78::10]:80 (routed, direct)": outside("2001:db8:78::10", 80, { since: ROUTED }),
  "outside -> [2001:db8:77::10]:80 (nat v6, direct)": outside("2001:db8:77::10", 80, { since: SIX }),
  "outside -> 203.0.113.1:5353/udp": outside("203.0.113.1", 5353, { proto: "udp", since: UDP }),
  "app -> web by address (other network)": connection("br-app", "172.30.0.10", "172.17.0.2", 80, {
    since: APP,
  }),
  "app -> 203.0.113.1:8080 (published port of another network)": connection(
    "br-app",
    "172.30.0.10",
    "203.0.113.1",
    8080,
    { since: APP },
  ),
  "dns -> web same bridge": connection("docker0", "172.17.0.4", "172.17.0.2", 80, { since: UDP }),
  "noicc2 -> noicc1 same bridge, icc=false": connection("br-noicc", "172.28.0.11", "172.28.0.10", 80, {
    since: NOICC,
  }),
  "web -> unp1 (nat-unprotected) by address": connection("docker0", "172.17.0.2", "172.27.0.10", 80, {
    since: ROUTED,
  }),
  "web -> rt1 (routed) by address": connection("docker0", "172.17.0.2", "172.26.0.10", 80, { since: ROUTED }),
  "web -> snat1 unpublished": SNAT1,
  "host -> 127.0.0.1:8080": hostTo("127.0.0.1", "127.0.0.1", 8080, { since: WEB }),
  "host -> 127.0.0.1:9090": hostTo("127.0.0.1", "127.0.0.1", 9090, { since: UDP }),
  "host -> 203.0.113.1:8080": hostTo("203.0.113.1", "203.0.113.1", 8080, { since: WEB }),
  "host -> 172.17.0.2:80": hostTo("172.17.0.1", "172.17.0.2", 80, { since: WEB }),
  "host -> 172.28.0.11:80": hostTo("172.28.0.1", "172.28.0.11", 80, { since: NOICC }),
};

export const SWARM: Readonly<Record<string, Line>> = {
  "outside -> 203.0.113.1:8088": outside("203.0.113.1", 8088),
};

const started = { listener: true } as const;
export const FIREWALLD: Readonly<Record<string, Line>> = {
  "outside -> host:22": outside("203.0.113.1", 22, started),
  "inside -> host:22": inside("10.99.0.1", 22, started),
  "outside -> host:80": outside("203.0.113.1", 80, started),
  "inside -> host:80": inside("10.99.0.1", 80, started),
  "outside -> host:25": outside("203.0.113.1", 25, started),
  "inside -> host:25": inside("10.99.0.1", 25, started),
  "outside -> host:8443 (forward-port to inside:443)": outside("203.0.113.1", 8443),
  "outside -> 10.99.0.2:443 (routed)": outside("10.99.0.2", 443),
};

export const PODMAN: Readonly<Record<string, Line>> = {
  "outside -> 203.0.113.1:8080": outside("203.0.113.1", 8080),
  "outside -> 203.0.113.1:8090": outside("203.0.113.1", 8090),
  "outside -> 203.0.113.1:9090": outside("203.0.113.1", 9090),
  "outside -> 10.99.0.1:8090": outside("10.99.0.1", 8090),
  "outside -> 10.88.0.2:80": outside("10.88.0.2", 80),
  "outside -> 172.30.0.10:80": outside("172.30.0.10", 80),
  "outside -> 172.31.0.2:80": outside("172.31.0.2", 80, {
    silent:
      "its network is internal, so the container has no route for replies; the files list neither of them",
  }),
};
