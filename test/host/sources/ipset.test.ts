/** Parses `ipset save` and looks addresses up; where the kernel is available, compares with `ipset test`. */
import { describe, expect, test } from "vitest";
import { readIpsets } from "../../../lib/host/sources/ipset.ts";
import { parseAddress } from "../../../lib/packet/address.ts";
import type { Side } from "../../../lib/packet/field.ts";
import { type Family, type Field, PROTO, type Scalar } from "../../../lib/packet/field.ts";
import { evaluate, type Unknown } from "../../../lib/packet/predicate.ts";
import { closed, inNamespace } from "../../iptables/lab.ts";

type Fields = Partial<Record<Field, Scalar>>;

function asked(
  text: string,
  name: string,
  sides: string,
  fields: Fields,
  family: Family = 4,
): boolean | Unknown | undefined {
  const { sets, diagnostics } = readIpsets(text);
  expect(diagnostics).toEqual([]);
  const predicate = sets.member(name, sides.split(",") as Side[], family);
  const packet: Fields = { fragment: 0, in: "", out: "", ...fields };
  return predicate && evaluate(predicate, { field: (f) => packet[f], settled: () => undefined });
}

const ip = (text: string): Scalar => parseAddress(text, text.includes(":") ? 6 : 4)!;
const saved = (type: string, ...elements: string[]): string =>
  [
    `create s ${type} hashsize 1024 maxelem 65536 bucketsize 12 initval 0x1`,
    ...elements.map((e) => `add s ${e}`),
    "",
  ].join("\n");

describe("membership", () => {
  test("the most specific network decides, and nomatch takes out", () => {
    const text = saved("hash:net family inet", "10.0.0.0/8", "10.1.0.0/16 nomatch", "10.1.2.0/24 timeout 0");
    for (const [address, inside] of [
      ["10.0.0.1", true],
      ["10.1.0.1", false],
      ["10.1.2.3", true],
      ["11.0.0.1", false],
    ] as const)
      expect(asked(text, "s", "src", { src: ip(address) }), address).toBe(inside);
  });
  test("ports need a protocol, and a whole header", () => {
    const text = saved(
      "hash:ip,port family inet",
      "192.0.2.1,tcp:80",
      "192.0.2.1,icmp:echo-request",
      "192.0.2.1,esp:0",
    );
    const src = ip("192.0.2.1");
    expect(asked(text, "s", "src,dst", { src, proto: PROTO.tcp, dport: 80 })).toBe(true);
    expect(asked(text, "s", "src,src", { src, proto: PROTO.tcp, dport: 80, sport: 81 })).toBe(false);
    expect(asked(text, "s", "src,dst", { src, proto: PROTO.udp, dport: 80 })).toBe(false);
    expect(asked(text, "s", "src,dst", { src, proto: PROTO.tcp, dport: 80, fragment: 1 })).toBe(false);
    expect(asked(text, "s", "src,dst", { src, proto: PROTO.icmp, type: 8, code: 0 })).toBe(true);
    expect(asked(text, "s", "src,dst", { src, proto: PROTO.esp })).toBe(true);
  });
  test("too few sides, another family: nothing", () => {
    const text = saved("hash:ip,port family inet", "192.0.2.1,tcp:80");
    const fields = { src: ip("192.0.2.1"), proto: PROTO.tcp, dport: 80 };
    expect(asked(text, "s", "src", fields)).toBe(false);
    expect(asked(text, "s", "src,dst,dst", fields)).toBe(true);
    expect(asked(text, "s", "src,dst", fields, 6)).toBe(false);
  });
  test("interfaces: another interface of a more specific network is a no", () => {
    const text = saved(
      "hash:net,iface family inet",
      "10.0.0.0/8,eth0",
      "10.1.0.0/16,eth1",
      "12.0.0.0/8,br- wildcard",
    );
    const at = (src: string, input: string) => asked(text, "s", "src,src", { src: ip(src), in: input });
    expect(at("10.2.0.1", "eth0")).toBe(true);
    expect(at("10.1.0.1", "eth0")).toBe(false);
    expect(at("10.1.0.1", "eth1")).toBe(true);
    expect(at("12.1.0.1", "br-0")).toBe(true);
    expect(at("12.1.0.1", "")).toBe(false);
  });
  test("a list is the union of its members; a member that is missing leaves it unknown", () => {
    const text =
      "create a hash:ip\nadd a 192.0.2.1\ncreate b hash:net\nadd b 10.0.0.0/8\ncreate l list:set size 8\nadd l a\nadd l b\n";
    expect(asked(text, "l", "src", { src: ip("10.1.1.1") })).toBe(true);
    expect(asked(text, "l", "src", { src: ip("11.1.1.1") })).toBe(false);
    expect(asked(`${text}add l c\n`, "l", "src", { src: ip("10.1.1.1") })).toBeUndefined();
    expect(asked(text, "nobody", "src", {})).toBeUndefined();
  });
  test("every type of ipset(8) is read", () => {
    const mac = "00:11:22:33:44:55";
    const all: readonly [string, string, string, Fields][] = [
      ["bitmap:ip range 10.0.0.0-10.0.0.255", "10.0.0.5", "src", { src: ip("10.0.0.5") }],
      [
        "bitmap:ip,mac range 10.0.0.0-10.0.0.255",
        `10.0.0.5,${mac}`,
        "src,src",
        { src: ip("10.0.0.5"), mac: 0x001122334455 },
      ],
      ["bitmap:port range 0-1024", "80", "dst", { proto: PROTO.udp, dport: 80 }],
      ["hash:ip family inet netmask 24", "10.0.0.0", "src", { src: ip("10.0.0.9") }],
      ["hash:ip family inet bitmask 255.0.255.0", "10.0.5.0", "src", { src: ip("10.77.5.9") }],
      ["hash:ip,mac family inet", `10.0.0.5,${mac}`, "src,src", { src: ip("10.0.0.5"), mac: 0x001122334455 }],
      [
        "hash:ip,mark family inet markmask 0xff",
        "10.0.0.5,0x5",
        "src,src",
        { src: ip("10.0.0.5"), mark: 0x105 },
      ],
      [
        "hash:ip,port,ip family inet",
        "10.0.0.5,tcp:80,10.0.0.6",
        "src,dst,dst",
        { src: ip("10.0.0.5"), dst: ip("10.0.0.6"), proto: 6, dport: 80 },
      ],
      [
        "hash:ip,port,net family inet",
        "10.0.0.5,tcp:80,10.0.0.0/24",
        "src,dst,dst",
        { src: ip("10.0.0.5"), dst: ip("10.0.0.6"), proto: 6, dport: 80 },
      ],
      ["hash:mac", mac, "src", { mac: 0x001122334455 }],
      [
        "hash:net,net family inet",
        "10.0.0.0/8,11.0.0.0/8",
        "src,dst",
        { src: ip("10.0.0.5"), dst: ip("11.0.0.6") },
      ],
      [
        "hash:net,port family inet",
        "10.0.0.0/8,udp:53",
        "src,dst",
        { src: ip("10.0.0.5"), proto: 17, dport: 53 },
      ],
      [
        "hash:net,port,net family inet",
        "10.0.0.0/8,udp:53,11.0.0.0/8",
        "src,dst,dst",
        { src: ip("10.0.0.5"), dst: ip("11.0.0.6"), proto: 17, dport: 53 },
      ],
    ];
    for (const [type, element, sides, fields] of all) {
      expect(asked(saved(type, element), "s", sides, fields), type).toBe(true);
      expect(asked(saved(type), "s", sides, fields), type).toBe(false);
    }
    expect(
      asked(saved("hash:net family inet6", "2001:db8::/32"), "s", "src", { src: ip("2001:db8::7") }, 6),
    ).toBe(true);
  });
  test("what cannot be read is said with its place", () => {
    const { sets, diagnostics } = readIpsets(
      'create a hash:frob\ncreate b hash:ip\nadd b 192.0.2.300\nadd c 192.0.2.1\nadd b 192.0.2.1 frob\nflush\nadd b 192.0.2.1 comment "a b" timeout 5\n',
    );
    expect(diagnostics.map((d) => `${d.line}:${d.column} ${d.found}`)).toEqual([
      "1:10 hash:frob",
      "3:7 192.0.2.300",
      "4:5 c",
      "5:17 frob",
      "6:1 flush",
    ]);
    expect(sets.sets.get("b")!.elements.length).toBe(1);
  });
});

const shut = closed();

describe.skipIf(shut !== undefined)(shut ?? "the kernel says the same", () => {
  /** A small pseudo-random source, so that a failure comes again. */
  let seed = 7;
  const pick = <T>(list: readonly T[]): T =>
    list[(seed = (seed * 1103515245 + 12345) & 0x7fffffff) % list.length]!;
  const NETS = [
    "10.0.0.0/28",
    "10.0.0.0/29",
    "10.0.0.4/30",
    "10.0.0.6/31",
    "10.0.0.7",
    "10.0.0.8/29",
    "10.0.0.9",
  ];
  const HOSTS = [
    "10.0.0.0",
    "10.0.0.4",
    "10.0.0.6",
    "10.0.0.7",
    "10.0.0.8",
    "10.0.0.9",
    "10.0.0.15",
    "10.0.0.16",
  ];
  const PORTS = ["tcp:80", "udp:80", "tcp:81", "icmp:8/0", "esp:0", "sctp:80"];
  const IFACES = ["eth0", "eth1", "br-a"];
  const parts: Readonly<Record<string, readonly [elements: readonly string[], probes: readonly string[]]>> = {
    ip: [HOSTS, HOSTS],
    net: [NETS, HOSTS],
    port: [PORTS, PORTS],
    iface: [IFACES, IFACES],
    mark: [
      ["0x5", "0x7"],
      ["0x5", "0x6", "0x7"],
    ],
    mac: [["00:11:22:33:44:55"], ["00:11:22:33:44:55", "00:11:22:33:44:56"]],
  };
  const types = [
    ...["hash:ip", "hash:ip netmask 30", "hash:ip,port", "hash:ip,port,ip", "hash:ip,port,net", "hash:net"],
    ...[
      "hash:net,iface",
      "hash:net,port",
      "hash:net,net",
      "hash:net,port,net",
      "hash:ip,mark",
      "hash:ip,mac",
    ],
    ...["bitmap:ip range 10.0.0.0/24", "bitmap:ip,mac range 10.0.0.0/24"],
  ];
  const fieldsOf = (dimension: string, probe: string, i: number): Fields => {
    if (dimension === "ip" || dimension === "net") return { [i === 0 ? "src" : "dst"]: ip(probe) };
    if (dimension === "iface") return { in: probe };
    if (dimension === "mark") return { mark: Number(probe) };
    if (dimension === "mac") return { mac: Number(`0x${probe.replaceAll(":", "")}`) };
    const [proto, port] = probe.split(":");
    const number = PROTO[proto as keyof typeof PROTO];
    return number === PROTO.icmp
      ? { proto: number, type: 8, code: 0 }
      : { proto: number, dport: Number(port) };
  };

  test.each(types)("%s", (type) => {
    const dimensions = type.split(" ")[0]!.split(":")[1]!.split(",");
    const nomatch = dimensions.some((d) => d === "net");
    const tuple = (which: 0 | 1): string => dimensions.map((d) => pick(parts[d]![which])).join(",");
    const commands: string[] = [];
    const probes: string[][] = [];
    for (let round = 0; round < 6; round++) {
      commands.push(`create s${round} ${type}`);
      for (let i = 0; i < 8; i++)
        commands.push(`add s${round} ${tuple(0)}${nomatch && pick([0, 1, 2]) === 0 ? " nomatch" : ""}`);
      probes.push(Array.from({ length: 14 }, () => tuple(1)));
    }
    const script = [
      "while read -r line; do ipset $line 2>/dev/null; done",
      "ipset save",
      ...probes.flatMap((list, round) =>
        list.map(
          (p) => `ipset -q test s${round} ${p} && echo "= s${round} ${p} yes" || echo "= s${round} ${p} no"`,
        ),
      ),
    ].join("\n");
    const { out } = inNamespace(script, `${commands.join("\n")}\n`, 4);
    const text = out
      .split("\n")
      .filter((l) => !l.startsWith("="))
      .join("\n");
    if (!text.includes("create s0 ")) return; // this kernel lacks the type
    const sides = dimensions
      .map((d, i) => (d === "port" || i === 2 || (d === "net" && i === 1) ? "dst" : "src"))
      .join(",");
    let checked = 0;
    for (const line of out.split("\n").filter((l) => l.startsWith("= "))) {
      const [, name, probe, answer] = line.split(" ");
      const fields: Fields = Object.assign(
        {},
        ...dimensions.map((d, i) => fieldsOf(d, probe!.split(",")[i]!, i)),
      );
      expect(asked(text, name!, sides, fields), `${line}\n${text}`).toBe(answer === "yes");
      checked++;
    }
    expect(checked).toBe(84);
  });
});
