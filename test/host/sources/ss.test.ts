/** Sockets that ss lists: addresses, processes and containers. */
import { sourceKind } from "fwcheck";
import { describe, expect, test } from "vitest";
import { readSockets } from "../../../lib/host/sources/ss.ts";
import { socketLine } from "../../builders.ts";

describe("ss -H -l -n -t -u -p", () => {
  const places = (text: string) =>
    readSockets(text).map(({ family, address, device, port }) => [family, address, device, port]);

  // Output of iproute2 6.1 on a host with such sockets.
  test("addresses of both families, and sockets that serve both", () => {
    expect(places(socketLine("tcp", "0.0.0.0:22"))).toEqual([[4, null, null, 22]]);
    expect(places(socketLine("tcp", "*:8081", "", "*:*"))).toEqual([
      [4, null, null, 8081],
      [6, null, null, 8081],
    ]);
    expect(places(socketLine("tcp", "[::]:8082", "", "[::]:*"))).toEqual([[6, null, null, 8082]]);
    expect(places(socketLine("tcp", "[::ffff:127.0.0.1]:8083", "", "*:*"))).toEqual([
      [4, 0x7f00_0001, null, 8083],
    ]);
    expect(places(socketLine("udp", "127.0.0.53%lo:53"))).toEqual([[4, 0x7f00_0035, "lo", 53]]);
    expect(places(socketLine("udp", "[fe80::1]%eth0:546", "", "[::]:*"))).toEqual([
      [6, 0xfe80_0000_0000_0000_0000_0000_0000_0001n, "eth0", 546],
    ]);
  });

  test("before 4.13, * means IPv4 and :: means both families", () => {
    const old = `${socketLine("tcp", "*:22", "", "*:*")}\n${socketLine("tcp", ":::23", "", ":::*")}\n`;
    expect(places(old)).toEqual([
      [4, null, null, 22],
      [4, null, null, 23],
      [6, null, null, 23],
    ]);
  });

  test("names of processes are data", () => {
    const users = `users:(("a","b c",pid=7,fd=3),("x")) ("y",pid=8,fd=4))`;
    const [socket] = readSockets(socketLine("tcp", "0.0.0.0:22", users));
    expect(socket!.processes).toEqual([
      { name: 'a","b c', pid: 7 },
      { name: 'x")) ("y', pid: 8 },
    ]);
  });

  test("workers of one socket are one, and a container's cgroup names it", () => {
    const id = "0123456789abcdef".repeat(4);
    const text = [
      socketLine("tcp", "0.0.0.0:80", `users:(("nginx",pid=5,fd=3))`),
      socketLine("tcp", "0.0.0.0:80", `users:(("nginx",pid=6,fd=3))`),
      `/proc/6/cgroup:0::/system.slice/docker-${id}.scope`,
      `/proc/5/cgroup:12:memory:/docker/${id}/docker/${"f".repeat(64)}`,
    ].join("\n");
    const sockets = readSockets(text);
    expect(sockets.length).toBe(1);
    expect(sockets[0]!.processes.map((p) => p.container)).toEqual([id, id]);
  });

  test("other texts and names of ports are refused", () => {
    expect(() => readSockets("[]\n")).toThrow("no line is a listening socket");
    expect(() => readSockets(socketLine("tcp", "0.0.0.0:ssh"))).toThrow("was -n left out?");
    expect(readSockets("\n")).toEqual([]);
  });

  test("a file of a folder is recognized by its lines", () => {
    expect(sourceKind(socketLine("udp", "0.0.0.0:68"))).toBe("listening");
    expect(sourceKind("udp LISTEN to this\n")).toBeUndefined();
  });
});
