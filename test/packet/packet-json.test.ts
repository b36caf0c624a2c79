/** Packets that `readPacket` accepts. */
import { type PacketJson, readPacket } from "fwcheck";
import { expect, test } from "vitest";

test("a packet is at least as long as its headers", () => {
  const length = (more: PacketJson & { length: number }) => typeof readPacket(more) !== "string";
  const four = { src: "192.0.2.1", dst: "192.0.2.2" };
  expect([39, 40].map((n) => length({ ...four, length: n }))).toEqual([false, true]);
  expect([27, 28].map((n) => length({ ...four, proto: "udp", length: n }))).toEqual([false, true]);
  expect(length({ ...four, fragment: 1, length: 20 })).toBe(true);
  expect([59, 60].map((n) => length({ src: "::1", dst: "::2", length: n }))).toEqual([false, true]);
});
