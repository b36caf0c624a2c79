/** A capture of a host with nftables: its links, addresses, routes and containers, as its files list them. */
import { existsSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";

export const CAPTURES = join(process.env.E2E_ROOT ?? ".", "../shared/captures-nft");

interface AddressInfo {
  readonly family: "inet" | "inet6";
  readonly local: string;
  readonly prefixlen: number;
  readonly scope: string;
}

interface Link {
  readonly ifname: string;
  readonly master?: string;
  readonly address: string;
  readonly linkinfo?: { readonly info_kind?: string };
}

interface RouteInfo {
  readonly dst: string;
  readonly dev?: string;
  readonly gateway?: string;
  readonly protocol?: string;
  readonly table?: string;
}

/** A link of the host, other than `lo`. */
export interface Interface {
  readonly name: string;
  readonly mac: string;
  readonly bridge: boolean;
  /** Bridge of which it is a port. */
  readonly master: string | null;
  /** Addresses of a scope other than link, with their prefix lengths. */
  readonly addresses: readonly string[];
}

/** A port that an engine publishes. */
export interface Published {
  readonly proto: "tcp" | "udp";
  /** Port of the container. */
  readonly to: number;
  /** Address of the host; `0.0.0.0` and `::` for all. */
  readonly address: string;
  readonly port: number;
}

export interface Container {
  readonly name: string;
  readonly bridge: string;
  readonly mac: string;
  /** Addresses with their prefix lengths. */
  readonly addresses: readonly string[];
  /** Addresses of the bridge, by which it reaches others; none in an internal network. */
  readonly gateways: readonly string[];
  readonly command: readonly string[];
  /** The engine translates the source of what it sends. */
  readonly masqueraded: boolean;
  readonly published: readonly Published[];
}

/** Ports of a container by its own ports, as both engines inspect them. */
type Ports = Readonly<Record<string, readonly { HostIp: string; HostPort: string }[] | null>>;

interface Inspected {
  readonly Name: string;
  readonly Path: string;
  readonly Args: readonly string[];
  readonly NetworkSettings: {
    readonly Ports: Ports | null;
    readonly Networks: Readonly<
      Record<
        string,
        {
          readonly IPAddress: string;
          readonly IPPrefixLen: number;
          readonly GlobalIPv6Address: string;
          readonly GlobalIPv6PrefixLen: number;
          readonly MacAddress: string;
        }
      >
    >;
  };
}

interface DockerNetwork {
  readonly Name: string;
  readonly Internal: boolean;
  readonly Options: Readonly<Record<string, string>> | null;
}

interface PodmanNetwork {
  readonly name: string;
  readonly internal: boolean;
  readonly network_interface: string;
}

const MASQUERADES = "com.docker.network.bridge.enable_ip_masquerade";

/** The files of one capture. */
export class Capture {
  readonly folder: string;

  /**
   * @param name folder below `captures-nft`, or another one by its whole path
   * @param edit changes the texts of its files
   */
  constructor(
    readonly name: string,
    private readonly edit: (text: string) => string = (text) => text,
  ) {
    this.folder = resolve(CAPTURES, name);
  }

  has(file: string): boolean {
    return existsSync(join(this.folder, file));
  }

  text(file: string): string {
    return this.edit(readFileSync(join(this.folder, file), "utf8"));
  }

  private json<T>(file: string): readonly T[] {
    return this.has(file) ? (JSON.parse(this.text(file)) as T[]) : [];
  }

  interfaces(): readonly Interface[] {
    const addresses = new Map(
      this.json<{ ifname: string; addr_info: readonly AddressInfo[] }>("addr.json").map((each) => [
        each.ifname,
        each.addr_info.filter((a) => a.scope !== "link").map((a) => `${a.local}/${a.prefixlen}`),
      ]),
    );
    return this.json<Link>("link.json")
      .filter(({ ifname }) => ifname !== "lo")
      .map(({ ifname, master, address, linkinfo }) => ({
        name: ifname,
        mac: address,
        bridge: linkinfo?.info_kind === "bridge",
        master: master ?? null,
        addresses: addresses.get(ifname) ?? [],
      }));
  }

  /** Returns the routes of table main, those excepted that the kernel makes of addresses. */
  routes(): readonly RouteInfo[] {
    return ["route4.json", "route6.json"]
      .flatMap((file) => this.json<RouteInfo>(file))
      .filter(({ protocol, table }) => protocol !== "kernel" && (table ?? "main") === "main");
  }

  /** Returns the kernel settings, `name=value`. */
  sysctls(): readonly string[] {
    return this.text("sysctl.txt")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.replace(/ = /, "="));
  }

  containers(): readonly Container[] {
    const bridges = new Map<
      string,
      { readonly name: string; readonly internal: boolean; readonly masqueraded: boolean }
    >();
    for (const { Name, Internal, Options } of this.json<DockerNetwork>("docker-network-inspect.json")) {
      const name = Options?.["com.docker.network.bridge.name"];
      if (name !== undefined)
        bridges.set(Name, { name, internal: Internal, masqueraded: Options?.[MASQUERADES] !== "false" });
    }
    for (const { name, internal, network_interface } of this.json<PodmanNetwork>(
      "podman-network-inspect.json",
    ))
      bridges.set(name, { name: network_interface, internal, masqueraded: true });
    const gateways = new Map(this.interfaces().map(({ name, addresses }) => [name, addresses]));
    return ["docker-inspect.json", "podman-inspect.json"]
      .flatMap((file) => this.json<Inspected>(file))
      .map(({ Name, Path, Args, NetworkSettings: { Ports, Networks } }) => {
        const [[network, at]] = Object.entries(Networks) as [[string, (typeof Networks)[string]]];
        const bridge = bridges.get(network);
        if (bridge === undefined) throw new Error(`${this.name}: no bridge is known for network ${network}`);
        return {
          name: Name.replace(/^\//, ""),
          bridge: bridge.name,
          mac: at.MacAddress,
          addresses: [
            `${at.IPAddress}/${at.IPPrefixLen}`,
            ...(at.GlobalIPv6Address === "" ? [] : [`${at.GlobalIPv6Address}/${at.GlobalIPv6PrefixLen}`]),
          ],
          gateways: bridge.internal ? [] : (gateways.get(bridge.name) ?? []).map(bare),
          masqueraded: bridge.masqueraded,
          command: [basename(Path), ...Args],
          published: publishedPorts(Ports ?? {}),
        };
      });
  }
}

/** Returns an address without its prefix length. */
export const bare = (address: string): string => address.replace(/\/.*/, "");

const publishedPorts = (ports: Ports): Published[] =>
  Object.entries(ports).flatMap(([key, places]) => {
    const [to, proto] = key.split("/") as [string, "tcp" | "udp"];
    return (places ?? [])
      .filter(({ HostPort }) => HostPort !== "")
      .map(({ HostIp, HostPort }) => ({ proto, to: Number(to), address: HostIp, port: Number(HostPort) }));
  });

/** Returns the tables of a listing whose lines `table FAMILY NAME {` match. */
export const tablesOf = (listing: string, which: RegExp): string =>
  [...listing.matchAll(/^table (.*?) \{.*\n(?:.*\n)*?\}\n/gm)]
    .filter(([, id]) => which.test(id!))
    .map(([text]) => text)
    .join("");
