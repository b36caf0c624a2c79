/** One host of the lab: the record that describes it, and the connections that are tried on it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Connection, Line, Real } from "../../hosts/judge.ts";
import { bash, FOLDER, inside, must, type Probe, PYTHON, type Ran, tried, type Where } from "../lab.ts";

const RESET = `. "${join(process.env.E2E_HOSTS ?? ".", "reset.sh")}"; `;

/** Runs a script of bash with the functions of host.sh and reset.sh; it must not fail. @throws Error */
export const lab = (script: string, input = ""): string => must(RESET + script, input);
export const attempt = (script: string, input = ""): Ran => bash(RESET + script, input);

/** A host in the order in which it comes to be: links, the owner's firewall, containers, later rules. */
export interface HostRecord {
  readonly name: string;
  /** First and last major version of Docker that it is for. */
  readonly since?: number;
  readonly until?: number;
  /** Without `--experimental --ip6tables`, which Docker before 28 needs for IPv6 rules. */
  readonly plain?: boolean;
  /** Additional flags of dockerd. */
  readonly dockerd?: string;
  /** The iptables backend that it is for; both where absent. */
  readonly backend?: "nft" | "legacy";
  /** Name of an interface that connects a client. */
  readonly vpn?: string;
  /** Commands in the lab before the firewall: links, sets, files of ufw. */
  readonly topology?: string;
  /** Arguments of ufw, a command each, in order; nothing where the host has no ufw. */
  readonly ufw?: readonly string[];
  /** Commands on the host before there are containers. */
  readonly owner?: string;
  /** Networks by name: arguments of `docker network create`. */
  readonly networks?: Readonly<Record<string, string>>;
  /** Containers in order: name, arguments of `docker run`, ports that a program in it listens on. */
  readonly run: readonly (readonly [name: string, args: string, ...listen: string[]])[];
  /** Commands in the lab with the containers running. */
  readonly after?: string;
  /** Ports that are published by other means than `-p`, with the container where Docker knows it: `9999/tcp web`. */
  readonly ports?: readonly string[];
  /** Of these, what the owner wants is not INPUT's answer: his own rules in FORWARD let them pass. */
  readonly unmeasured?: readonly string[];
  /** ufw is there before Docker and takes all of ip6tables: dockerd starts again after it. */
  readonly restart?: boolean;
  /** Kind of link that the kernel may not have. */
  readonly link?: string;
  /** More addresses of the host that clients try, by family. */
  readonly addresses?: Readonly<Partial<Record<4 | 6, readonly string[]>>>;
  /** The interface that packets of a client come in by, where it is not the usual one. */
  readonly inputs?: Readonly<Partial<Record<Client, string>>>;
  /** The source of a client, where it is not the usual one. */
  readonly sources?: Readonly<Partial<Record<Client, string>>>;
  readonly families?: readonly (4 | 6)[];
  /** Ports that a program listens on in the container that `pod` made. */
  readonly pod?: readonly string[];
  /** Containers whose packets do not pass the host. */
  readonly quietly?: readonly string[];
  /** Servers that containers connect to, if not the usual ones. */
  readonly servers?: readonly string[];
  /** More that containers connect to: `web 203.0.113.1 8080/tcp`. */
  readonly reach?: readonly string[];
  /** Containers came back in `after`, so that their programs have to start again. */
  readonly again?: boolean;
  /** Its changes are not undone by `settle`. */
  readonly fresh?: boolean;
  /** The owner's intent for containers' own addresses: `closed` by default, `null` if undefined. */
  readonly direct?: Real | null;
  /** The owner's intent for outbound packets: measured with the host's own packets before there are containers. */
  readonly egress?: "measured";
}

export type Client = "out" | "office" | "lan" | "vpn";

interface Place {
  readonly from: Where;
  readonly in: string;
  readonly src: Readonly<Record<4 | 6, string>>;
  readonly dst: Readonly<Record<4 | 6, string>>;
}

const OUTSIDE = { from: "outside", in: "eth0", dst: { 4: "203.0.113.1", 6: "2001:db8:1::1" } } as const;

const CLIENTS: Readonly<Record<Client, Place>> = {
  out: { ...OUTSIDE, src: { 4: "203.0.113.2", 6: "2001:db8:1::2" } },
  office: { ...OUTSIDE, src: { 4: "198.51.100.9", 6: "2001:db8:5::9" } },
  lan: {
    from: "lan",
    in: "eth1",
    src: { 4: "10.99.0.2", 6: "2001:db8:99::2" },
    dst: { 4: "10.99.0.1", 6: "2001:db8:99::1" },
  },
  vpn: {
    from: { netns: "vpn" },
    in: "",
    src: { 4: "10.8.0.2", 6: "2001:db8:8::2" },
    dst: { 4: "10.8.0.1", 6: "2001:db8:8::1" },
  },
};

const familyOf = (address: string): 4 | 6 => (address.includes(":") ? 6 : 4);

/** Host ports of `-p` arguments, each with its protocol. */
function published(args: string): string[] {
  const specs = args.matchAll(/-p (?:(?:\[[^\]]*\]|[\d.]+):)?(\d+)(?:-(\d+))?:\d+(?:-\d+)?(\/udp)?/g);
  return [...specs].flatMap(([, first, last = first, proto = "/tcp"]) =>
    Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => `${Number(first) + i}${proto}`),
  );
}

/** Seconds to wait for an answer: all peers are namespaces of this machine. */
const WAIT = 0.8;

/** Programs that containers reach outside, and the address of each. */
const SERVED: readonly string[] = ["8000/tcp", "8080/tcp", "53/udp"];
// Each has one address of its family: a UDP server answers from the one that its routing prefers.
const SERVERS = ["203.0.113.2", "10.99.0.2", "2001:db8:99::2"];

/** Starts a program on ports of several places; `settle` ends it. */
function listen(places: readonly (readonly [Where, readonly string[]])[]): void {
  const start = places.map(
    ([place, ports]) =>
      `${inside(place)} ${PYTHON} serve ${ports.join(" ")} >/dev/null 2>&1 </dev/null & echo $! >>"$E2E/servers"`,
  );
  if (start.length > 0) lab(`${start.join("\n")}\nsleep 0.4`);
}

/** Puts one host up on a settled lab, and opens connections. */
export class LabHost {
  private readonly places: readonly Place[];
  private readonly families: readonly (4 | 6)[];

  constructor(private readonly record: HostRecord) {
    this.families = record.families ?? [4, 6];
    this.places = (Object.keys(CLIENTS) as Client[])
      .filter((name) => name !== "vpn" || record.vpn !== undefined)
      .map((name) => {
        const place = CLIENTS[name];
        const source = record.sources?.[name];
        return {
          ...place,
          in: record.inputs?.[name] ?? (name === "vpn" ? record.vpn! : place.in),
          src: source === undefined ? place.src : { ...place.src, [familyOf(source)]: source },
        };
      });
  }

  /** All lines of the host: what the owner's rules say before there are containers, and what clients reach then. */
  build(): Line[] {
    const { record } = this;
    if (record.vpn !== undefined) lab(`tunnel ${record.vpn}`);
    if (record.topology !== undefined) lab(`set -e\n${record.topology}`);
    if (record.ufw !== undefined) {
      writeFileSync(join(FOLDER, "policies"), `${record.ufw.join("\n")}\n`);
      lab("policies");
    }
    if (record.owner !== undefined) lab("h sh -es", record.owner);
    if (record.restart === true) lab('docker_down; DOCKER_FLAGS=$(cat "$E2E/flags") docker_up');
    const wanted = this.wanted();
    const networks = Object.entries(record.networks ?? {}).map(([name, args]) => {
      const bridge = /-d |bridge\.name/.test(args) ? "" : `-o com.docker.network.bridge.name=br-${name}`;
      return `d network create ${bridge} ${args} ${name} >/dev/null`;
    });
    const containers = record.run.map(([name, args]) => `d run -d --name ${name} ${args} bb:1 >/dev/null`);
    lab(["set -e", ...networks, ...containers].join("\n"));
    const serve = (): void =>
      listen([
        ...record.run.flatMap(([name, , ...ports]) =>
          ports.length > 0 ? [[{ container: name }, ports] as const] : [],
        ),
        ...(record.pod === undefined ? [] : [[{ netns: "pod" }, record.pod] as const]),
      ]);
    if (record.again !== true) serve();
    if (record.after !== undefined) lab(`set -e\n${record.after}`);
    if (record.again === true) serve();
    const connections = [...this.inward(), ...this.outward()];
    const real = this.open(connections);
    for (const port of record.unmeasured ?? [])
      for (const key of [...wanted.keys()]) if (key.endsWith(` ${port}`)) wanted.delete(key);
    return connections.map((connection, i) => ({
      ...(connection.kind === "egress"
        ? connection
        : { ...connection, packet: { ...connection.packet, sport: 41_000 + i } }),
      wanted: connection.kind === "direct" ? this.direct() : (wanted.get(place(connection)) ?? null),
      real: real[i]!,
    }));
  }

  /** Opens connections, all at once. */
  open(connections: readonly Connection[]): Real[] {
    if (connections.length === 0) return [];
    lab(
      'h sh -c \'for f in /proc/net/xt_recent/*; do [ ! -e "$f" ] || echo / >"$f"; done; conntrack -F >/dev/null 2>&1 || :\'',
    );
    const all = connections.map((connection, i) => ({ ...this.probe(connection), id: `${i}` }));
    const answers = tried(all);
    // Nothing sends a lost datagram again but the client.
    const lost = all.filter(({ id, proto }) => proto === "udp" && answers.get(id) === "closed");
    for (const [id, answer] of lost.length === 0 ? [] : tried(lost)) answers.set(id, answer);
    return connections.map((_, i) => answers.get(`${i}`) as Real);
  }

  private probe(connection: Connection): Omit<Probe, "id"> {
    if (connection.kind === "egress") {
      const { from, dst, proto, dport } = connection;
      return { from: { container: from }, proto: proto as "tcp", dst, port: dport, wait: WAIT };
    }
    const { src, dst, proto, dport } = connection.packet;
    const { from } = this.places.find((p) => p.src[familyOf(src)] === src)!;
    return { from, proto: proto as "tcp", src, dst, port: dport, wait: WAIT };
  }

  private direct(): Real | null {
    return this.record.direct === undefined ? "closed" : this.record.direct;
  }

  /** Results of clients that connect to listeners on the host itself: the verdicts of the owner's INPUT rules. */
  private wanted(): Map<string, Real> {
    const ports = [
      ...new Set([
        ...this.record.run.flatMap(([, args]) => published(args)),
        ...(this.record.ports ?? []).map((text) => text.split(" ")[0]!),
      ]),
    ];
    const inward = this.families.flatMap((family) => ports.flatMap((port) => this.toPort(family, port)));
    listen([["outside", SERVED], ["lan", SERVED], ...(ports.length > 0 ? [["host", ports] as const] : [])]);
    const found = this.open(inward);
    lab('quiet "$FW"');
    const out = new Map(inward.map((connection, i) => [place(connection), found[i]!]));
    if (this.record.egress !== "measured") return out;
    const outward = SERVERS.flatMap((dst) => SERVED.map((port) => sent("host", dst, port)));
    const answers = tried(
      outward.map(({ dst, proto, dport }, i) => ({
        id: `${i}`,
        from: "host",
        dst,
        port: dport,
        proto: proto as "tcp",
        wait: WAIT,
      })),
    );
    for (const [i, connection] of outward.entries()) out.set(place(connection), answers.get(`${i}`) as Real);
    return out;
  }

  /** Each client to a port of the host's own addresses. */
  private toPort(family: 4 | 6, port: string, container?: string): Connection[] {
    return this.places.flatMap((from) => {
      const cross = from.src === CLIENTS.out.src ? [CLIENTS.lan.dst[family]] : [];
      const more = this.record.addresses?.[family] ?? [];
      return [from.dst[family], ...cross, ...more].map((dst) =>
        knock("published", from, family, dst, port, container),
      );
    });
  }

  private inward(): Connection[] {
    const list = JSON.parse(lab('d inspect $(d ps -q) 2>/dev/null || echo "[]"')) as Inspected[];
    const ports = list.flatMap(({ Name, NetworkSettings }) =>
      Object.entries(NetworkSettings.Ports ?? {}).flatMap(([to, binds]) =>
        (binds ?? []).map(({ HostIp, HostPort }) => ({
          family: HostIp.includes(":") ? (6 as const) : (4 as const),
          name: Name.slice(1),
          port: `${HostPort}/${to.split("/")[1]}`,
        })),
      ),
    );
    const owners = (this.record.ports ?? []).map((text) => {
      const [port = "", name] = text.split(" ");
      return { family: 4 as const, port, name };
    });
    const unique = new Map([...ports, ...owners].map((p) => [`${p.family} ${p.port}`, p]));
    const knocks = [...unique.values()].filter(({ family }) => this.families.includes(family));
    const hosts = list.filter(({ Name }) => this.record.quietly?.includes(Name.slice(1)) !== true);
    const own = hosts.flatMap(({ Name, NetworkSettings }) => {
      const listens = this.record.run.find(([name]) => name === Name.slice(1))?.slice(2) ?? [];
      const addresses = Object.values(NetworkSettings.Networks).flatMap((n) => [
        n.IPAddress,
        n.GlobalIPv6Address,
      ]);
      return addresses
        .filter((a) => a !== "" && this.families.includes(familyOf(a)))
        .flatMap((dst) =>
          listens.flatMap((port) =>
            this.places.map((from) => knock("direct", from, familyOf(dst), dst, port, Name.slice(1))),
          ),
        );
    });
    return [...knocks.flatMap(({ family, port, name }) => this.toPort(family, port, name)), ...own];
  }

  private outward(): Connection[] {
    const six = new Set(
      this.inward().flatMap((c) =>
        c.kind === "direct" && familyOf(c.packet.dst) === 6 ? [c.container] : [],
      ),
    );
    const more = (this.record.reach ?? []).map((text) => {
      const [from = "", dst = "", port = ""] = text.split(" ");
      return sent(from, dst, port);
    });
    const usual = this.record.run
      .filter(([name, , ...ports]) => ports.length > 0 && this.record.quietly?.includes(name) !== true)
      .flatMap(([name]) =>
        (this.record.servers ?? SERVERS)
          .filter((dst) => familyOf(dst) === 4 || six.has(name))
          .flatMap((dst) => SERVED.map((port) => sent(name, dst, port))),
      );
    return [...usual, ...more];
  }
}

interface Inspected {
  readonly Name: string;
  readonly NetworkSettings: {
    readonly Ports: Readonly<Record<string, readonly { HostIp: string; HostPort: string }[] | null>> | null;
    readonly Networks: Readonly<
      Record<string, { readonly IPAddress: string; readonly GlobalIPv6Address: string }>
    >;
  };
}

function knock(
  kind: "published" | "direct",
  from: Place,
  family: 4 | 6,
  dst: string,
  port: string,
  container?: string,
): Connection {
  const [dport, proto = "tcp"] = port.split("/");
  const flags = proto === "tcp" ? { flags: "S" } : {};
  const packet = {
    in: from.in,
    src: from.src[family],
    dst,
    proto,
    sport: 40_000,
    dport: Number(dport),
    ...flags,
  };
  return { kind, ...(container === undefined ? {} : { container }), packet };
}

function sent(from: string, dst: string, port: string): Extract<Connection, { kind: "egress" }> {
  const [dport, proto = "tcp"] = port.split("/");
  return { kind: "egress", from, dst, proto, dport: Number(dport) };
}

/** A connection without the container that answers or sends. */
const place = (c: Connection): string =>
  c.kind === "egress"
    ? `${c.dst} ${c.proto}/${c.dport}`
    : `${c.packet.src} ${c.packet.dst} ${c.packet.dport}/${c.packet.proto}`;
